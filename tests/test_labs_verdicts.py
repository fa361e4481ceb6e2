"""The labs' verdicts are those that are stored, whatever their code looks like."""

import json

import pytest
import verdicts
from amounts import some

STORED = json.loads(verdicts.STORED.read_text(encoding="utf-8"))


def test_every_answer_has_its_verdicts():
    """Checks the stored names against the files of the tasks."""
    assert sorted(STORED) == sorted(verdicts.names())


@pytest.mark.long
@pytest.mark.parametrize("name", some(sorted(STORED), 36))
def test_a_verdict_is_the_stored_one(name, one_thread):
    """Checks outcome, key and words against those that they got when the file was written."""
    assert [verdicts.told(name, seed) for seed in verdicts.SEEDS] == STORED[name]
