"""What the judge of lab 12 asks of an attack that swaps words."""

import torch
from torch import Tensor

from advcourse.core.rounding import percent
from advcourse.labs.checks import Student
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab12.sentences import lead_of
from advcourse.labs.verdicts import Finding

SENTENCES, EXACTLY = 8, 6  # asked about with the usual share; with a share that gives just what is needed
SLACK = 2  # sentences of these that a right answer may misread less
MOST_DRAWN = 60  # until so many are found
LONGER = 0.5  # swaps more than the author's, on average over what both bring through
SAME = 0.85  # share of the sentences that a slip must explain


def _cases(task, draw, n=SENTENCES, **how):
    return [task.case(draw, kind=("alone", "neighbours")[i % 2], **how) for i in range(n)]


def _misread(case: Case, found: Tensor) -> bool:
    return bool(lead_of(case.victim, found[None].long(), case["label"])[0] > 0)


def swaps_synonyms_alone(student: Student, draw: Draw) -> None:
    """Words become synonyms of theirs, stopwords stay, and no more than the share of the words is swapped."""
    cases = _cases(student.task, draw, 6, deep=4.0)  # too deep to succeed early
    found = [student(case).long() for case in cases]
    if all(torch.equal(f, c["numbers"]) for f, c in zip(found, cases)):
        told = (
            "The sentences come back as they went in. Is the sentence with the swaps the one that you return?"
        )
        raise Finding("nothing swapped", told)
    keeps_the_rules(cases, found)


def keeps_the_rules(cases: list[Case], found: list[Tensor]) -> None:
    """Raise a `Finding` where a word became no synonym of it, a stopword was swapped, or too many words were."""
    swaps = [
        (case, place, int(case["numbers"][place]), int(result[place]))
        for case, result in zip(cases, found)
        for place in (result != case["numbers"]).nonzero()[:, 0].tolist()
    ]
    if any(not 2 <= new < len(case["synonyms"]) for case, _, _, new in swaps):
        told = (
            "A word has become number 0 or 1, or a number beyond the list: it is gone, or unknown. A swap puts a synonym in "
            "its place; 0 in `synonyms` stands for none."
        )
        raise Finding("word removed", told)
    for case, place, old, _ in swaps:
        if case["stopwords"][old]:
            told = (
                f"Word {old} at place {place} is a stopword, and you swap it. Words such as `not` and `no` carry the sense of "
                "the sentence, whatever a dictionary lists for them: leave all with stopwords[word] alone."
            )
            raise Finding("stopword", told)
    odd = [swap for swap in swaps if not (swap[0]["synonyms"][swap[2]] == swap[3]).any()]
    if odd:
        _, place, old, new = odd[0]
        if all(new in _reached(case["synonyms"], old) for case, _, old, new in odd):
            told = (
                f"At place {place} stands a synonym of a synonym. Look words up in the ORIGINAL sentence, numbers, and not in "
                "that of the last step: step by step `good` becomes anything."
            )
            raise Finding("synonym of a synonym", told)
        told = f"Word {old} at place {place} has become {new}, which is not in synonyms[{old}]."
        raise Finding("no synonym", told)
    for case, result in zip(cases, found):
        length, made = len(result), int((result != case["numbers"]).sum())
        most = int(case["share"] * length + 1e-9)
        if made > most:
            told = (
                f"{made} of {length} words were swapped; a share of {case['share']:.3g} are {most}. Round down: "
                "int(share * len(numbers))."
            )
            raise Finding("more than the share", told)


def _reached(synonyms: Tensor, word: int, steps: int = 4) -> set[int]:
    """The words that some steps from synonym to synonym lead to."""
    found = {word}
    for _ in range(steps):
        found |= set(synonyms[sorted(found)].flatten().tolist()) - {0}
    return found


def leaves_what_is_misread(student: Student, draw: Draw) -> None:
    """Sentences that are misread as they are come back unchanged."""
    for case in _cases(student.task, draw, 4, deep=-0.3):
        found = student(case).long()
        if not torch.equal(found, case["numbers"]):
            told = "The model misreads a sentence before anything is swapped, and you swap a word. Ask the model first."
            raise Finding("misread already", told)


def swaps_enough(student: Student, draw: Draw) -> None:
    """Nearly as many sentences are misread as by the author's answer, with hardly more swaps."""
    _compare(student, _cases(student.task, draw, deep=1.0))


def uses_the_whole_budget(student: Student, draw: Draw) -> None:
    """Where the share gives just as many swaps as a right answer needs, and unverified swaps are not enough, all are made."""
    unverified = next(slip.function for slip in student.task.slips if slip.key == "never verified")
    cases = []
    for i in range(MOST_DRAWN):
        case = student.task.case(draw, kind=("alone", "neighbours")[i % 2], deep=1.2)
        right = called(student.task.solution, case).long()
        needed = int((right != case["numbers"]).sum())
        case = case.but(share=(needed + 0.5) / len(case["numbers"]))
        if needed > 1 and _misread(case, right) and not _misread(case, called(unverified, case).long()):
            cases.append(case)
        if len(cases) == EXACTLY:
            break
    _compare(student, cases)


def _compare(student, cases):
    found = [student(case).long() for case in cases]
    keeps_the_rules(cases, found)
    right = [called(student.task.solution, case).long() for case in cases]
    theirs, ours = ([_misread(c, r) for c, r in zip(cases, some)] for some in (found, right))
    swaps = [[int((r != c["numbers"]).sum()) for c, r in zip(cases, some)] for some in (found, right)]
    both = [i for i in range(len(cases)) if theirs[i] and ours[i]]
    longer = sum(swaps[0][i] - swaps[1][i] for i in both) / max(1, len(both))
    enough = sum(theirs) >= sum(ours) - SLACK
    if enough and longer <= LONGER:
        return
    shares = [_explained(slip, cases, found) for slip in student.task.slips]
    if max(shares) >= SAME:
        slip = student.task.slips[shares.index(max(shares))]
        raise Finding(slip.key, slip.message)
    told = (
        f"{sum(theirs)} of {len(cases)} sentences are misread ({percent(sum(theirs) / len(cases))}), and {sum(ours)} by a "
        "right answer"
    )
    if enough:
        raise Finding("too many swaps", f"{told}, but yours take {longer:.1f} swaps more on average.")
    raise Finding(
        "weak", f"{told}. Is the slope that of the sentence as it is now, and is the best of 8 kept?"
    )


def _explained(slip, cases, found):
    """The share of the sentences that a slip gives the same."""
    same = [torch.equal(called(slip.function, c), r.double()) for c, r in zip(cases, found)]
    return sum(same) / len(same)
