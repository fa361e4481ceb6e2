"""Guesses as a reader makes them, with the keyboard alone, in JupyterLab in a real browser."""

import json

import nbformat
import pytest
from pages import MARKS
from served import IDLE, ROOT, opened_page, run_all, served

from advcourse.course.notebooks import METADATA

pytestmark = MARKS

CELLS = (
    "from advcourse.course import guess\n"
    "harder = guess.choice('00/harder', 'Which hurts most?', ('one label', 'half the budget', 'a hidden model'))\nharder",
    "noise = guess.number('00/noise', 'How many of 100 digits survive?', 0, 100, 'digits')\nnoise",
    "curve = guess.line('00/curve', 'How does it fall?', (0, 0.1, 0.2), 0.0, 1.0, 'share')\ncurve",
    "harder.compare('half the budget')",
    "noise.compare(88)",
    "curve.compare((1, 0.6, 0.2))",
    "guess.calibration('00')",
)


@pytest.fixture
def book(tmp_path):
    """The path of a notebook with the three kinds of questions."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.cells[3].metadata["jupyter"] = {"source_hidden": True}
    nbformat.write(notebook, tmp_path / "guesses.ipynb")
    return tmp_path / "guesses.ipynb"


def test_a_reader_guesses_with_the_keyboard(tmp_path, book):
    """Checks the three kinds: keys move the controls, the button keeps the guess on disk, and the next run shows both."""
    kept = tmp_path / "kept"
    with (
        served(tmp_path, book, ADVCOURSE_GUESSES=str(kept)) as address,
        opened_page() as page,
    ):
        page.goto(address)
        run_all(page)
        assert page.get_by_text("Show the answer").count() == 3
        page.locator(".widget-radio-box input").first.focus()
        page.keyboard.press("Space")
        page.locator(".widget-hslider .noUi-handle").first.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.locator(".widget-vslider .noUi-handle").first.focus()
        for _ in range(5):
            page.keyboard.press("ArrowUp")
        buttons = page.get_by_role("button", name="Keep my guess")
        for i in range(3):
            buttons.nth(i).focus()
            page.keyboard.press("Enter")
        page.get_by_text("Now run the answer below.").nth(2).wait_for()
        (ROOT / "build").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "build" / "guesses.png", full_page=True)
        run_all(page)
        page.get_by_text("You guessed", exact=False).first.wait_for()
        page.locator(IDLE).wait_for()
        page.screenshot(path=ROOT / "build" / "guesses_compared.png", full_page=True)
        assert page.get_by_text("Show the answer").count() == 0
        assert page.get_by_text("You guessed “half the budget", exact=False).count() == 0
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    found = {path.stem: json.loads(path.read_text()) for path in (kept / "00").glob("*.json")}
    assert found["noise"]["guess"] == 60 and found["noise"]["error"] == 0.28
    assert found["harder"]["guess"] == "one label" and found["harder"]["error"] == 1
    assert found["curve"]["guess"][0] > 0.5 and found["curve"]["guess"][1:] == [0.5, 0.5]


def test_without_widgets_the_question_is_text_and_the_answer_a_fold(tmp_path, book):
    """Checks JupyterLab with its widgets switched off: what may be answered can be read, no answer can, and nothing fails."""
    switched_off = {"disabledExtensions": {"@jupyter-widgets/jupyterlab-manager": True}}
    settings = tmp_path / "plain" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(switched_off))
    variables = {
        "ADVCOURSE_GUESSES": str(tmp_path / "kept"),
        "JUPYTER_CONFIG_PATH": str(tmp_path / "plain"),
    }
    with served(tmp_path, book, **variables) as address, opened_page() as page:
        page.goto(address)
        run_all(page)
        assert page.locator(".jupyter-widgets").count() == 0
        shown = [output.inner_text() for output in page.locator(".jp-OutputArea-output").all()]
        for told in ("half the budget", "On a scale from 0 to 100 digits.", "at each of 0, 0.1, 0.2."):
            assert any("Guess first." in text and told in text for text in shown)
        assert shown[3:6] == ["Show the answer"] * 3
        page.get_by_text("Show the answer").nth(1).click()
        page.get_by_text("It is 88 digits.").wait_for()
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() == 0
        exported = page.request.get(
            address.replace("/lab/tree/", "/nbconvert/html/")
        ).text()  # as the menu does
        assert (
            exported.count('<details class="folded">') == 1
            and "harder.compare" not in exported.split("<details")[0]
        )
