"""docs/inputs.md says what comes of odd inputs; here they are tried again."""

from pathlib import Path

import odd_inputs
import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "inputs.md"
WRITTEN = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
ALL = {f"{group}: {name}": case for group, cases in odd_inputs.CASES.items() for name, case in cases.items()}


@pytest.mark.parametrize("name", ALL)
def test_the_document_says_what_comes_of_it(name):
    """Against the file: its row for this input holds the words that trying it gives now; torch's own errors pass through."""
    function, context = ALL[name]
    outcome = " ".join(odd_inputs.attempt(function, context).replace("|", "\\|").split())
    assert f"| {name.partition(': ')[2]} | {outcome} |" in WRITTEN.splitlines()


def test_the_document_has_a_row_for_each_and_no_other():
    """Against a count: two rows of each table are its head."""
    rows = [line for line in WRITTEN.splitlines() if line.startswith("| ") and line != "| | |"]
    assert len(rows) == len(ALL) >= 40
