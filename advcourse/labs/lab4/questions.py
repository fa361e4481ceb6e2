"""What lab 4 asks of most of its tasks."""

from advcourse.labs.exercises import Case
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device

FIRST = (answers, keeps_what_it_gets)
LAST = (other_device, leaves_nothing_behind)


def one_for_each_attack(case: Case) -> tuple[int]:
    """The shape of a result that has a number for each row of the table of sizes."""
    return (len(case["size"]),)
