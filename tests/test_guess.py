"""Guesses: what is kept, compared and told, against cases worked out by hand."""

import json

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from advcourse import plots
from advcourse.core.errors import InputError
from advcourse.course import guess, guesses, notebooks


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """No test sees the guesses of whoever runs it."""
    monkeypatch.setenv(guesses.FOLDER, str(tmp_path / "guesses"))
    return tmp_path / "guesses"


def a_number(low=0, high=100):
    return guess.number("00/noise", "How many of 100 digits survive?", low, high, "digits", "Noise is blind.")


def status(question):
    return question.children[-1].children[-1].value


def keep(question, value):
    question.control.value = value
    question.keep.click()
    return question


def test_a_number_is_compared_on_its_scale():
    """Against arithmetic: 60 for 88 on a scale of 100 is 28 % too low; 88 is spot on; 90 is near."""
    answer = keep(a_number(), 60).compare(88, "It has no direction.")
    assert answer.error == pytest.approx(0.28)
    assert answer.text == (
        "You guessed 60 digits; it is 88 digits. That is too low by 28 % of the scale. It has no direction."
    )
    guess.clear()
    assert keep(a_number(), 88).compare(88).text.endswith("Spot on.")
    guess.clear()
    assert keep(a_number(), 93).compare(88).text.endswith("That is too high by 5 % of the scale: near.")


@pytest.mark.parametrize(
    ("high", "unit", "told"),
    [(100, "digits", "0 to 100 digits"), (8, "of 8 tosses", "0 to 8 tosses"), (255, "of 255", "0 to 255")],
)
def test_the_scale_names_its_end_once(high, unit, told):
    """Against sentences by hand: the unit of "3 of 8 tosses" has the scale's end in it already."""
    asked = guess.number("99/scale", "How many?", 0, high, unit, "None.")
    assert f"<p>On a scale from {told}.</p>" in asked._repr_mimebundle_()["text/html"]


def test_where_only_text_is_shown_the_answers_can_be_read():
    """Against sentences by hand: a terminal shows the plain text, which names what may be answered."""
    asked = (
        a_number(),
        guess.choice("00/harder", "Which?", ("one label", "a hidden model")),
        guess.line("00/curve", "Draw it.", (0.1, 0.2), 0.0, 1.0, "share"),
    )
    assert [question._repr_mimebundle_()["text/plain"] for question in asked] == [
        "Guess first. How many of 100 digits survive? On a scale from 0 to 100 digits.",
        "Guess first. Which? One of: one label; a hidden model.",
        "Guess first. Draw it. A height from 0 % to 100 % at each of 0.1, 0.2.",
    ]


def test_the_intuition_may_come_with_the_answer(own_folder):
    """Against the file and the sentence at the end: before the answer nothing has it; the answer's replaces the question's."""
    question = keep(a_number(), 10)
    assert "blind" not in (own_folder / "00" / "noise.json").read_text()
    question.compare(88)
    assert guess.calibration("00").text.endswith("Noise is blind.")
    question.compare(88, intuition="Most of it goes nowhere.")
    assert guess.calibration("00").text.endswith("Most of it goes nowhere.")


def test_a_choice_is_right_or_wrong():
    """Against the two sentences, and the order of the options, which stays."""
    options = ("one label", "half the budget")
    question = guess.choice("00/harder", "Which hurts most?", options)
    question.keep.click()
    assert question.kept is None and "Choose one" in status(question)
    assert keep(question, "one label").compare("half the budget", "See?").text == (
        "You guessed “one label”. The answer is “half the budget”. See?"
    )
    guess.clear()
    question = guess.choice("00/harder", "Which hurts most?", options)
    assert keep(question, "half the budget").compare("half the budget").error == 0
    assert question.control.options == options
    with pytest.raises(InputError, match="truth: got 'x'; allowed are 'one label', 'half the budget'"):
        question.compare("x")


def test_a_line_is_compared_place_by_place():
    """Against the mean of the distances: 0, 0.1, 0.3 and 0.4 of the scale."""
    question = guess.line("00/curve", "Draw it.", (0, 0.1, 0.2, 0.3), 0.0, 1.0, "share")
    for point, height in zip(question.points, (1, 0.5, 0.5, 0.5)):
        point.value = height
    question.keep.click()
    answer = question.compare((1, 0.6, 0.2, 0.1))
    assert answer.error == pytest.approx(0.2) and "farthest off at 0.3" in answer.text
    curves = [line.get_ydata().tolist() for line in answer.figure.axes[0].lines]
    assert curves == [[1, 0.6, 0.2, 0.1], [1, 0.5, 0.5, 0.5]]
    with pytest.raises(InputError, match="truth: got 2 numbers; allowed are 4"):
        question.compare((1, 2))


def test_without_a_guess_the_answer_is_folded_and_nothing_is_kept(own_folder):
    """Against the page that is shown, and the folder, which is not even made."""
    figure = plots.show(plots.grid(torch.rand(1, 1, 8, 8)), "The digits that survive")
    answer = a_number().compare(88, shown=figure)
    assert answer.error is None and answer.text == "It is 88 digits."
    page = answer._repr_html_()
    assert page.startswith("<details><summary>Show the answer</summary>") and page.endswith("</details>")
    assert page.count("<img") == 1 and "The digits that survive" in page
    assert not own_folder.exists()
    assert "<details>" not in keep(a_number(), 60).compare(88, shown=figure)._repr_html_()


def test_a_guess_survives_a_restart_and_can_be_cleared():
    """Against a second question with the same key: it shows the guess until it is cleared."""
    keep(a_number(), 60)
    again = a_number()
    assert again.kept == again.control.value == 60 and "Kept: 60 digits" in status(again)
    assert guess.clear("00") == 1 and a_number().kept is None and guess.clear() == 0
    with pytest.raises(InputError, match="chapter: got '../x'; allowed are two digits"):
        guess.clear("../x")


@pytest.mark.parametrize("kept", [60, "much", None, [1], [0.5, "x"], [0.5, 7], {}, True])
def test_a_guess_that_does_not_fit_the_question_is_none(own_folder, kept):
    """Against a chapter, or a file, that was changed since: the question is asked anew, and nothing fails."""
    (own_folder / "00").mkdir(parents=True)
    (own_folder / "00" / "noise.json").write_text(json.dumps({"guess": kept, "truth": 3}))
    asked = (
        guess.number("00/noise", "?", 2, 50),
        guess.choice("00/noise", "?", ("a", "b")),
        guess.line("00/noise", "?", (1, 2), 0.0, 1.0),
    )
    assert [question.kept for question in asked] == [None, None, None]


def test_who_has_seen_the_answer_cannot_guess_again():
    """Against a second guess after the comparison, in this session and in the next: the first one counts, until it is cleared."""
    question = keep(a_number(), 60)
    question.compare(88)
    assert keep(question, 88).compare(88).error == pytest.approx(0.28)
    assert keep(a_number(), 88).kept == 60 and "this guess counts" in status(a_number())
    assert guess.calibration("00").errors == {"noise": pytest.approx(0.28)}
    guess.clear("00")
    assert keep(a_number(), 88).compare(88).error == 0


def test_a_cleared_guess_is_forgotten_by_the_question_that_is_open():
    """Against an open question whose chapter is cleared: it compares nothing, and a new guess counts."""
    here, there = (guess.number(f"{chapter}/n", "How many?", 0, 100, "digits") for chapter in ("00", "01"))
    for question in (here, there):
        question.control.value = 40
        question.keep.click()
    assert guess.clear("00") == 1
    assert here.compare(76).error is None and guess.clear("00") == 0
    assert there.compare(50).error == 0.1
    here.control.value = 70
    here.keep.click()
    assert here.compare(75).error == 0.05


@pytest.mark.parametrize("chapter", [0, "0", "first", None])
def test_a_calibration_needs_a_chapter(chapter):
    """Against a number, one digit, a word and nothing: the error says what is allowed."""
    with pytest.raises(InputError, match="chapter: got .*; allowed are two digits, such as '00'"):
        guess.calibration(chapter)


def test_calibration_counts_and_names_the_worst():
    """Against three guesses worked out by hand: off by 0.28, 1 and 0 of the scale, 43 % on average."""
    keep(a_number(), 60).compare(88)
    wrong = guess.choice("00/harder", "Which hurts most?", ("a", "b"), "Many take a for b.")
    keep(wrong, "a").compare("b")
    keep(guess.choice("00/easy", "Which?", ("a", "b")), "b").compare("b")
    keep(guess.choice("01/other", "Which?", ("a", "b")), "a").compare("b")
    found = guess.calibration("00")
    assert found.n == 3 and found.errors == {"easy": 0, "harder": 1, "noise": pytest.approx(0.28)}
    assert found.text == (
        "Chapter 00: 3 guesses, 1 of them right or nearly so; on average 43 % of the scale away. "
        "Farthest off: “Which hurts most?” You said “a”; the answer is “b”. Many take a for b."
    )
    assert "You have not guessed in chapter 07 yet" in repr(guess.calibration("07"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"guess": 3}', '{"error": "much"}', '{"error": 0.1, "question": 3}', "\x00"]
)
def test_damaged_files_are_no_guesses(own_folder, content):
    """Against a file that something else has written: no error, and no part in the calibration."""
    (own_folder / "00").mkdir(parents=True)
    (own_folder / "00" / "noise.json").write_text(content)
    a_number()
    assert guess.calibration("00").n == 0


def test_a_folder_that_cannot_be_written_costs_nothing(own_folder):
    """Against a file in the folder's place: the guess lasts as long as the notebook."""
    own_folder.write_text("in the way")
    assert keep(a_number(), 60).compare(88).error == pytest.approx(0.28)


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: guess.number("noise", "?", 0, 1), "key: got 'noise'; allowed is chapter/name"),
        (lambda: guess.number("00/../../x", "?", 0, 1), "key"),
        (lambda: guess.number("00/a", "?", 1, 1), "high: got 1; allowed is a number above low, 1"),
        (
            lambda: guess.choice("00/a", "?", ("a",)),
            "options: got .*; allowed are two or more different answers",
        ),
        (lambda: guess.choice("00/a", "?", ("a", "a")), "options"),
        (lambda: guess.line("00/a", "?", (1,), 0, 1), "places: got 1; allowed are 2 to 10"),
    ],
)
def test_bad_questions_are_refused(make, told):
    """Against the words that the error must hold."""
    with pytest.raises(InputError, match=told):
        make()


CELLS = (
    "from advcourse.course import guess\nn = guess.number('00/noise', 'How many?', 0, 100)\nn",
    "n.compare(88)",
    "guess.calibration('00')",
)


def test_a_chapter_runs_without_a_person_and_stores_no_guess(tmp_path, own_folder):
    """Against the notebook that refreshing writes: the question as text, the answer in a fold, none of the author's guesses."""
    keep(a_number(), 60)
    path = tmp_path / "00_start.ipynb"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbformat.write(book, path)
    notebooks.refresh(path)
    outputs = [cell.outputs[0].data for cell in nbformat.read(path, 4).cells]
    assert "How many?" in outputs[0]["text/html"] and notebooks.WIDGET not in outputs[0]
    assert outputs[1]["text/html"].startswith("<details>") and "You guessed" not in json.dumps(outputs)
    assert "not guessed" in outputs[2]["text/plain"]


def test_a_run_with_nbclient_is_not_held_up(tmp_path):
    """Against a plain run of the cells, as papermill and nbval make it: no error, and no cell that waits."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    NotebookClient(book, kernel_name="python3", timeout=120).execute()
    assert all(cell.outputs for cell in book.cells)
