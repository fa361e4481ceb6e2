"""How much the tests with many cases try: a sample in `make test`, all of it in `make test-long`."""

import os

LONG = bool(os.environ.get("ADVCOURSE_LONG"))


def amount(sample, full):
    """`sample` in `make test`, `full` in `make test-long`."""
    return full if LONG else sample


def some(cases, every):
    """Of the list `cases` the first of each `every` in `make test`, all in `make test-long`."""
    return cases[:: amount(every, 1)]
