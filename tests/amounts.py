"""How much the tests that draw their cases try: a sample in `make test`, all of it in `make test-long`."""

import os

LONG = bool(os.environ.get("ADVCOURSE_LONG"))


def amount(sample, full):
    """`sample` in `make test`, `full` in `make test-long`."""
    return full if LONG else sample
