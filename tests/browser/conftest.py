"""One browser for the tests of a file."""

import pytest


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    from pages import opened_browser  # here, so that collecting the tests needs no browser

    with opened_browser() as browser:
        yield browser
