"""The pages of a graded class as people see them: opened from disk in a real browser, wide, narrow and on paper."""

import re

import pytest
from graded import a_class, ada, damaged, hostile, verdict
from pages import MARKS, OUTSIDE

from advcourse.grading.tell import feedback, overview
from advcourse.grading.tell.report import WEAK

pytestmark = MARKS

# The lightest of all text, as the sum of its red, green and blue; white has 765.
LIGHTEST = """() => Math.max(...[...document.querySelectorAll("main, main *")]
    .map(one => getComputedStyle(one).color.match(/[0-9]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)))"""
# Kind of page -> pictures, and words that stand on it.
EXPECTED = {
    "student": (1, ["✗ wrong", "! crashed", "✓ right", "… not attempted yet", "check(fgsm, seed=123)"]),
    "damaged": (0, ["Your file could not be graded", "hand it in again"]),
    "hostile": (1, ["</pre></title><script>alert(1)</script>", "About your file"]),
    "class": (1, ["501 submissions", "took too much time", "student 499", "Isolation"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages of one student of each kind, and of a class of 501, whose links lead to the first student's page."""
    folder = tmp_path_factory.mktemp("pages")
    reports = [*a_class(500), hostile()]
    pages = {
        "student": feedback.page(ada(isolation=WEAK)),
        "damaged": feedback.page(damaged()),
        "hostile": feedback.page(hostile()),
        "class": overview.page(reports, "Lab 1", {report.student: "student.html" for report in reports}),
    }
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("width", [1200, 420])
@pytest.mark.parametrize("kind", EXPECTED)
def test_the_page_opens_without_a_network(browser, folder, kind, width):
    """Checks in Chromium: no error, no dialog, no request but the page's own; pictures and words are there; nothing sticks out.

    The reader's desktop is a dark one: the page is light all the same.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, color_scheme="dark")
    page = context.new_page()
    address, seen, requests = (folder / f"{kind}.html").as_uri(), [], []
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    assert seen == [] and [url for url in requests if not url.startswith("data:")] == [address]
    pictures, words = EXPECTED[kind]
    widths = page.evaluate("() => [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == pictures and all(widths)
    text = page.inner_text("main")
    assert all(word in text for word in words)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate(OUTSIDE) == [] and page.evaluate(LIGHTEST) <= 3 * 0x55
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()


def test_from_the_class_to_a_student_to_a_task(browser, folder):
    """Checks the links, where the reader has turned scripts off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "class.html").as_uri())
    page.get_by_role("link", name="student 499").last.click()
    page.get_by_role("link", name="A random step first").click()
    assert page.url == (folder / "student.html").as_uri() + "#task-rfgsm"
    picture = page.get_by_role("img", name=verdict("fgsm", "box").picture.alt)
    assert picture.count() == 1
    context.close()


@pytest.mark.parametrize("kind", ["student", "class"])
def test_it_can_be_printed(browser, folder, tmp_path, kind):
    """Checks what Chromium computes for paper: no box scrolls, the student's page fits the width of A4, and a PDF comes out."""
    page = browser.new_page(viewport={"width": 680, "height": 1000})  # A4 less its margins, in CSS pixels
    page.goto((folder / f"{kind}.html").as_uri())
    page.emulate_media(media="print")
    kinds = page.evaluate(
        "() => [...document.querySelectorAll('.scroll')].map(one => getComputedStyle(one).overflowX)"
    )
    assert set(kinds) == {"visible"}
    if kind == "student":
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 680
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", (tmp_path / "page.pdf").read_bytes())
    a4 = (595, 842) if kind == "student" else (842, 595)  # in points, upright or across
    assert {tuple(round(float(side)) for side in size) for size in sizes} == {a4}
    page.close()
