"""The pages that grading makes: what they say, of whom, and that nothing in them acts or lies."""

import base64
import io
import re
from collections import Counter
from dataclasses import replace

import graded
import numpy as np
import pytest
from graded import DIGEST, ada, damaged, hostile, questions, report, result, verdict
from PIL import Image
from reports import Page

from advcourse import plots
from advcourse.core.inputs import InputError
from advcourse.core.page import element, printable
from advcourse.grading.tell import feedback, overview
from advcourse.grading.tell.report import WEAK

LOOK = "Worth a look: 1 of 1"
OUTCOMES = "Outcomes, the task with the fewest right answers first"
STUDENTS = "All submissions, in numbers of tasks"
MISTAKES = "The most frequent mistakes"


def students_page(made):
    return Page(feedback.page(made))


def class_page(*made, links=None):
    return Page(overview.page(made, "Lab 1", links))


def tags(page):
    """How often each tag is there, and with which attributes."""
    return Counter((name, *sorted(attributes)) for name, attributes in page.tags)


# A student's page


def test_a_student_reads_what_the_verdicts_say():
    """Checks the page against the verdicts: their words, traces, pictures pixel by pixel, and the line that repeats a check."""
    page = students_page(ada())
    box, bug = verdict("fgsm", "box"), verdict("llc", "bug")
    for text in (box.message, bug.message, bug.trace, verdict("project", "stub").message.replace("`", "")):
        assert text in page.text
    for told in (
        "✗ wrong (0 of 2 points)",
        "! crashed (0 of 2 points)",
        "✓ right (3 of 3 points)",
        "… not attempted yet (0 of 2 points)",
        "check(fgsm, seed=123)",
        "check(llc, seed=123)",
    ):
        assert page.text.count(told) == 1
    assert page.text.count("check(") == 2
    [picture] = page.all("img")
    shown = Image.open(io.BytesIO(base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"))))
    assert (np.asarray(shown) == np.asarray(Image.open(io.BytesIO(box.picture.png())))).all()
    assert picture["alt"] == box.picture.alt and page.text.count(box.picture.alt) == 1  # its caption


def test_the_table_at_the_top():
    """By hand: four tasks with outcome and points, two questions; each links to its place on the page."""
    page = students_page(ada())
    assert page.tables["Points"] == [
        ["task", "outcome", "points"],
        ["One step along the sign of the gradient", "✗ wrong", "0 of 2"],
        ["One step towards the least likely class", "! crashed", "0 of 2"],
        ["A random step first", "✓ right", "3 of 3"],
        ["Back into the ball and the box", "… not attempted yet", "0 of 2"],
        ["Question 1", "a person reads this", "up to 3"],
        ["Question 2", "a person reads this", "up to 3"],
    ]
    links = [tag["href"] for tag in page.all("a")]
    assert links == [f"#{tag['id']}" for tag in page.all("article")] and len(set(links)) == 6


@pytest.mark.parametrize(
    "made, told",
    [
        (ada, "3 of 9 points by program; 6 more are given by a person."),
        (lambda: report("Ada", result("fgsm")), "2 of 2 points."),
        (lambda: report("Ada", replace(result("fgsm"), points=1, possible=1)), "1 of 1 point."),
        (lambda: report("Ada", written=questions("x")), "Up to 3 points are given by a person."),
        (lambda: report("Ada", error="no"), "No points."),
    ],
)
def test_the_sum_in_words(made, told):
    """By hand."""
    assert students_page(made()).text.count(told) == 1


def test_signs_are_for_the_instructor_alone():
    """Checks that the student's page is the same, byte for byte, whether there are signs or not; the class's page tells them."""
    signed = ada(signs=("Cell 7, line 1: imports `os`.",))
    assert feedback.page(signed) == feedback.page(ada())
    assert "Cell 7, line 1: imports os." in class_page(signed).text


def test_written_answers_stand_as_they_were_written():
    """By hand: an answer in a box of its own, its marks untouched; an empty one is told."""
    page = students_page(ada())
    assert "A person reads this: up to 3 points.It is **fast**." in page.text
    assert page.text.count("No answer was found in your file.") == 1


def test_advice_and_notes():
    """Checks that a note about the file and advice are told, and what stands between backticks becomes code."""
    fgsm = replace(result("fgsm", "box"), advice="It calls `llc`, which is not right yet.")
    text = feedback.page(report("Ada", fgsm, notes=("Cell 3 does not compile.",)))
    assert "It calls <code>llc</code>, which is not right yet." in text
    assert "Cell 3 does not compile." in Page(text).text


def test_what_cannot_be_run_cannot_be_repeated():
    """Checks that no line to repeat is given for an answer that does not compile."""
    broken = unparsed()
    assert "check(" not in students_page(report("Ada", broken)).text


def unparsed():
    """An answer with markup in a line that does not compile."""
    told = "Cell 7 does not compile: invalid syntax (SyntaxError in line 1, `def fgsm(<b>):`)."
    return replace(result("fgsm", "bug"), outcome="does not compile", key="syntax", message=told, trace="")


def test_an_answer_that_does_not_compile():
    """By hand: the outcome, the line as code, escaped, in the note too; a column of its own for the class, where there is one."""
    made = report("Ada", unparsed(), result("llc"), notes=("Cell 7: `<i>`",))
    text = feedback.page(made)
    assert "<code>def fgsm(&lt;b&gt;):</code>" in text and "<code>&lt;i&gt;</code>" in text
    assert "✎ does not compile (0 of 2 points)" in Page(text).text and "crashed" not in Page(text).text
    page = class_page(made)
    assert (
        page.row(OUTCOMES, "fgsm One step along the sign of the gradient")["✎ does not compile"] == "1 100 %"
    )
    assert page.row(STUDENTS, "Ada")["does not compile"] == "1"
    assert "does not compile" not in class_page(ada()).text


def test_an_unreadable_file_says_what_to_do():
    """By hand: why, and what to do; no task is called crashed, since none was run."""
    text = students_page(damaged()).text
    assert "Your file could not be graded: the file is empty; allowed is a Jupyter notebook (.ipynb)." in text
    assert "hand it in again" in text and "0 of 4 points." in text and "crashed" not in text


def test_where_the_grader_failed_nothing_is_asked_of_the_student():
    """Checks the report of a submission that was never graded, which has no digest."""
    text = students_page(replace(damaged(), digest="", error="not graded: OSError: no disk")).text
    assert "The grader itself failed, which costs you nothing." in text and "hand it in" not in text


def test_the_small_line_about_isolation():
    """Checks that weak isolation is told at the end, and strong isolation is not spoken of."""
    assert students_page(ada(isolation=WEAK)).text.rstrip().endswith("which this machine does not have.")
    assert students_page(ada()).text.rstrip().endswith(DIGEST)


# Both pages


@pytest.mark.parametrize(
    "show", [feedback.page, lambda made: overview.page([made], made.student or "Lab 1")], ids=["one", "class"]
)
def test_hostile_texts_stay_texts(show):
    """Checks, with a parser, that hostile texts make the same tags as harmless ones, and that a file can hold the page.

    Control characters, halves of letters and marks that turn the direction of writing are gone.
    """
    made = hostile()
    text = show(made)
    tame = replace(
        made, student="x", notes=("`x`",), signs=("`x`",) * 9, written=questions("x"),
        tasks=tuple(replace(task, message="`x`", trace="x", advice="`x`") for task in made.tasks),
    )  # fmt: skip
    page = Page(text)
    assert tags(page) == tags(Page(show(tame)))
    assert "<script" not in text.lower() and "</pre></title><script>alert(1)</script>" in page.text
    assert text.encode("utf-8") and not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("show", [feedback.page, lambda made: overview.page([made, ada()], "Lab 1")])
def test_nothing_comes_from_elsewhere(show):
    """Checks the policy that browsers obey, and that no tag has an address outside of the file."""
    page = Page(show(ada()))
    assert {"http-equiv": "Content-Security-Policy"}.items() <= page.all("meta")[3].items()
    assert page.all("meta")[3]["content"].startswith("default-src 'none';")
    assert not {"script", "link", "iframe", "object", "form"} & {name for name, _ in page.tags}
    sources = [tag[name] for _, tag in page.tags for name in ("src", "href") if name in tag]
    assert sources and all(source.startswith(("data:image/png;base64,", "#")) for source in sources)


def test_printable():
    """By hand: line feeds and tabs stay, Windows' line ends become them, and what acts on a screen becomes a sign for it."""
    assert printable("a\tb\r\nc\n\u200dé שלום 🙂") == "a\tb\nc\n\u200dé שלום 🙂"
    assert printable("\x1b[31m\x00\x85\u202e\u2067\udc80") == "�[31m�����"
    assert element("p", "\x00<", title='"\x01') == '<p title="&quot;�">�&lt;</p>'


# The class's page


def test_the_tasks_that_failed_most():
    """By hand: of three, fgsm is right never, llc once, rfgsm always; the unreadable file counts in no task."""
    page = class_page(
        report("a", result("fgsm", "box"), result("llc"), result("rfgsm")),
        report("b", result("fgsm", "box"), result("llc", "bug"), result("rfgsm")),
        report("c", result("fgsm", "units"), result("llc", "stub"), result("rfgsm")),
        damaged(),
    )
    assert [row[0].split()[0] for row in page.tables[OUTCOMES][1:]] == ["fgsm", "llc", "rfgsm"]
    assert page.tables[OUTCOMES][2][1:] == ["1 33 %", "0 0 %", "1 33 %", "0 0 %", "1 33 %"]
    assert page.tables[OUTCOMES][1][1:] == ["0 0 %", "3 100 %", "0 0 %", "0 0 %", "0 0 %"]
    assert [row[0] for row in page.tables[MISTAKES][1:]] == [
        "fgsm 2 of 3 who tried",
        "fgsm 1 of 3 who tried",
        "llc 1 of 2 who tried",
    ]
    told = re.sub(" +", " ", page.tables[MISTAKES][1][1])
    assert told.startswith("box : ") and verdict("fgsm", "box").message in told


def test_points_in_words():
    """Checks the quartiles against NumPy's: of 2, 5, 7 and 9 points they are 4.25, 6 and 7.5."""
    [fgsm] = ada().tasks[:1]
    made = [report(f"s{points}", replace(fgsm, points=points, possible=9)) for points in (9, 2, 7, 5)]
    told = "4 submissions. The median is 6 of 9 points; the middle half has 4.2 to 7.5; the lowest has 2, the highest 9."
    assert told in class_page(*made).text
    assert "One submission, with 3 of 9 points." in class_page(ada()).text


def test_submissions_worth_a_look():
    """By hand: an error, a limit and a sign are reasons; a crash of the student's own is none."""
    made = [report("d", graded.late("llc"), signs=("Cell 7: imports `os`.",)), damaged("e")]
    page = class_page(ada(), *made, links={"d": "feedback/d.html"})
    rows = page.tables["Worth a look: 2 of 3"]
    assert [[row[0], re.sub(" +", " ", row[1])] for row in rows[1:]] == [
        ["d", "Task llc took too much time. Cell 7: imports os ."],
        ["e", "It could not be graded: the file is empty; allowed is a Jupyter notebook (.ipynb)"],
    ]
    assert "feedback/d.html" in {tag.get("href") for tag in page.all("a")}
    assert "No submission stands out." in class_page(ada()).text


def test_what_a_limit_stopped_is_told_once():
    """Checks an endless loop, which the grader tells as a sign as well: one line in the list, "timed out" in the columns."""
    late = graded.late("llc")
    page = class_page(
        report("d", late, signs=("Task llc: it was stopped (time).", "Task fgsm: it was stopped (time)."))
    )
    assert re.sub(" +", " ", page.tables[LOOK][1][1]) == (
        "Task llc took too much time. Task fgsm: it was stopped (time)."
    )
    assert [re.sub(r"\W+", " ", cell).strip() for cell in page.tables[OUTCOMES][0]][4] == "timed out"
    assert page.tables[OUTCOMES][1][4] == "1 100 %"


def test_identical_answers_are_pointed_out():
    """By hand: of eight, two share two tasks, three the whole file; what five of eight wrote is obvious, and not told."""
    shared = {0: "aa", 1: "aa"}
    made = []
    for i in range(8):
        one = replace(result("fgsm"), answer=shared.get(i, f"own{i}"))
        two = replace(result("llc"), answer=shared.get(i, f"own{i}"))
        three = replace(result("rfgsm"), answer="obvious" if i < 5 else "")
        digest = "same" if i > 4 else f"file{i}"
        made.append(replace(report(f"s{i}", one, two, three), digest=digest))
    page = class_page(*made)
    rows = [
        [re.sub(" +,", ",", re.sub(" +", " ", cell)) for cell in row]
        for row in page.tables["Identical answers"]
    ]
    assert rows[1:] == [["s0, s1", "fgsm, llc"], ["s5, s6, s7", "the whole file"]]
    assert "costs no points and proves nothing" in page.text
    assert "Identical answers" not in class_page(ada(), damaged("a"), damaged("b")).tables


def test_who_is_late_and_what_was_not_graded():
    """By hand: a column for lateness where there is some; sentences about students without a hand-in, and about files."""
    made = [replace(ada(), student=name, digest=name) for name in ("Ann", "Bob")]
    assert "late" not in class_page(*made).tables[STUDENTS][0]
    words = {"Bob": "late by 3 min (its name)"}
    page = Page(
        overview.page(
            made, "Lab 1", None, words, ["Cy: no notebook of lab1 (<the> folder is empty)."], ["x: a link"]
        )
    )
    assert [row[-1] for row in page.tables[STUDENTS]] == ["late", "", words["Bob"]]
    assert "Cy: no notebook of lab1 (<the> folder is empty)." in page.text and "x: a link" in page.text
    assert "Nothing of this lab" in page.text and "About the files" in page.text
    assert "Nothing of this lab" not in class_page(*made).text


def test_many_signs_are_folded_up():
    """By hand: of nine signs five are shown at once."""
    page = class_page(ada(signs=tuple(f"sign {i}" for i in range(9))))
    assert [summary for summary in re.findall(r"\d+ more", page.tables[LOOK][1][1])] == ["4 more"]


def test_all_students_with_links():
    """By hand: by name, whatever its case; points, tasks by outcome, answers that wait; an odd address is one attribute."""
    page = class_page(
        replace(ada(), student="zoë"), replace(ada(), student="Ben"), links={"Ben": 'feedback/"><b>.html'}
    )
    head, *rows = page.tables[STUDENTS]
    assert rows == [
        ["Ben", "3 of 9", "1", "1", "1", "0", "1", "1", ""],
        ["zoë", "3 of 9", "1", "1", "1", "0", "1", "1", ""],
    ]
    assert head[:2] == ["student", "points"] and head[7:] == ["written answers", "worth a look"]
    assert [tag["href"] for tag in page.all("a") if "feedback" in tag["href"]] == ['feedback/"><b>.html']
    assert page.row("Written answers", "Question 1") == {
        "question": "Question 1", "points": "up to 3", "have points": "0", "to be read": "2", "left empty": "0",
    }  # fmt: skip
    assert page.row("Written answers", "Question 2")["left empty"] == "2"


def test_isolation_of_the_class():
    """By hand, for none, some and all."""
    weak = ada(isolation=WEAK)
    assert "All were graded in a sandbox." in class_page(ada()).text
    assert "1 of 2 were graded with weak isolation" in class_page(ada(), weak).text
    assert "All were graded with weak isolation" in class_page(weak).text


def test_five_hundred_students():
    """Checks counts that follow from the making: 167 of 500 have fgsm wrong, 72 were stopped, 100 have a sign, 157 either."""
    reports = graded.a_class(500)
    page = Page(overview.page(reports, "Lab 1", {one.student: f"{i}.html" for i, one in enumerate(reports)}))
    assert len(page.tables[STUDENTS]) == 501
    rows = {row[0].split()[0]: row[1:] for row in page.tables[OUTCOMES][1:]}
    assert rows["fgsm"][:2] == ["333 67 %", "167 33 %"] and rows["llc"][3] == "72 14 %"
    assert "Worth a look: 157 of 500" in page.tables  # 100 + 72, less 15 of which both is true
    points = Counter(one.points for one in reports)
    [picture] = page.all("img")
    assert dict(re.findall(r"(\d+): (\d+)", picture["alt"])) == {str(k): str(v) for k, v in points.items()}


@pytest.mark.parametrize("key, told", [("stub", "0 to 0"), ("", "2 to 2")])
def test_all_alike(key, told):
    """Checks classes in which all have no points, and all have all: there is a picture, and no mistake is told."""
    page = class_page(*(report(f"s{i}", result("fgsm", key)) for i in range(5)))
    assert f"the middle half has {told};" in page.text and len(page.all("img")) == 1
    assert MISTAKES not in page.tables


def test_unusual_classes():
    """Checks a page for no submission at all, and one where no file could be read."""
    assert "There are no submissions." in Page(overview.page([], "Lab 1")).text
    page = class_page(damaged("a"), damaged("b"))
    assert "2 files could not be graded and have 0 points here." in page.text and OUTCOMES not in page.tables
    assert "One submission, with 0 of 0 points." in class_page(report("a", error="no")).text


# The histogram


def test_histogram_against_numpy():
    """Checks the heights and places of the bars, and the counts that come back, against NumPy's histogram."""
    values = np.random.default_rng(0).integers(0, 27, 200)
    figure, counts = plots.histogram(values, 26, "points", "submissions")
    heights, _ = np.histogram(values, np.arange(-0.5, 27))
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == heights.tolist() == list(counts.values())
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(range(27))
    assert list(counts) == [str(i) for i in range(27)]


def test_histogram_of_many_numbers():
    """By hand: 0 to 100 in bars of three, the last of which has 99 and 100."""
    figure, counts = plots.histogram([0, 2, 3, 100], 100, "points", "submissions")
    bars = figure.axes[0].patches
    assert len(bars) == 34 and counts["0 to 2"] == 2 and counts["3 to 5"] == 1 and counts["99 to 100"] == 1
    assert bars[0].get_x() + bars[0].get_width() / 2 == pytest.approx(1)


@pytest.mark.parametrize("values", [[], [-1], [4], [0.5]])
def test_histogram_bad_input(values):
    """Checks that the message names the argument, and what is allowed."""
    with pytest.raises(InputError, match="values: got .* allowed are whole numbers from 0 to 3"):
        plots.histogram(values, 3, "x", "y")


def test_a_notebook_in_another_language_gets_advice_that_helps():
    """Checks the page for an R notebook: opened and saved again it would still be one."""
    text = students_page(
        replace(damaged(), error="this notebook is written in R (kernel ir); the lab needs Python")
    ).text
    assert "into the lab's own notebook, with the Python kernel" in text and "hand it in again" not in text
