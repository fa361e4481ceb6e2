"""The explorer of apps, driven as a user drives it, on a detector that can be calculated by hand; and the difference of texts."""

import difflib
from html import unescape

import pytest
import torch
from torch import nn

from advcourse.cases.malware import Detector, edit
from advcourse.core.inputs import InputError
from advcourse.course.app_explorer import app_explorer, difference, overturned
from advcourse.data.apps import TORCH, PocketPhone, Vocabulary

SMS, FINGER, CONTACTS, SCREEN = NAMES = (
    "permission::android.permission.SEND_SMS",
    "feature::android.hardware.fingerprint",
    "permission::android.permission.READ_CONTACTS",
    "activity::.ChatActivity",
)


@pytest.fixture
def detector():
    """The lead of "benign" is -1 - 2 SMS + 1.5 fingerprint + 1 contacts + 2 screen, so the screen comes first."""
    net = nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-2.0, 1.5, 1.0, 2.0], [0, 0, 0, 0]]))
        net.bias.copy_(torch.tensor([-1.0, 0]))
    return Detector("by hand", net, Vocabulary(NAMES))


@pytest.fixture
def explorer(detector):
    return app_explorer(detector, [TORCH], budget=3, additions=0)


def test_the_meter_is_the_linear_models_arithmetic(explorer):
    """Against the sigmoid of the lead by hand: -3 at first, then -1, 0.5 and 1.5."""
    for additions, lead in enumerate((-3, -1, 0.5, 1.5)):
        explorer.additions.value = additions
        assert explorer.suspicion == pytest.approx(1 / (1 + torch.tensor(float(lead)).exp().item()), abs=1e-6)
        words = "passes as benign" if lead > 0 else "is stopped as malicious"
        assert f"With {additions} addition" in explorer.meter.value and words in explorer.meter.value


def test_the_phone_is_asked_only_by_the_button_and_gives_the_reason(explorer):
    """Against the phone itself: the second addition is hardware that it lacks; a careful edit is installed."""
    explorer.additions.value = 2
    assert explorer.trace is None and "Not installed yet" in explorer.message.value
    explorer.install.click()
    assert "MISSING_FEATURE: the app requires android.hardware.fingerprint" in explorer.message.value
    explorer.careful.value = True
    assert explorer.trace is None
    explorer.install.click()
    assert explorer.trace == PocketPhone().run(TORCH.manifest, TORCH.program)
    assert "does what it did before" in explorer.message.value


def test_what_the_app_does_in_addition_is_marked(explorer):
    """Against the torch's own program: READ_CONTACTS lets its library send the contacts away."""
    explorer.careful.value, explorer.additions.value = True, 3
    explorer.install.click()
    assert "another program now" in explorer.message.value
    assert "+ launch   com.friendlogin.OnLaunch SENDS CONTACTS" in unescape(explorer.logged.value)
    assert "+   <uses-permission" in unescape(explorer.changed.value)


def test_a_difference_is_difflibs():
    """Against difflib's own delta, whose lines begin with the same signs, and its context."""
    before, after = "a\nb\nc\nd\ne\nf", "a\nb\nX\nd\ne\nf\ng"
    expected = [(line[0], line[2:]) for line in difflib.Differ().compare(before.split(), after.split())]
    assert difference(before, after, "letters").lines == expected
    short = difference(before, after, "letters", around=1)
    shown = [" b", "-c", "+X", " d", "…", " f", "+g"]
    assert [mark + text for mark, text in short.lines] == ["…", *shown]
    assert repr(short).splitlines()[0] == "letters" and "+ X" in repr(short)
    assert difference("a  b\nc", "a    b\nc", "columns").lines == [(" ", "a    b"), (" ", "c")]


def test_a_detector_before_and_after(detector):
    """By the sigmoid of the leads by hand, -3 and, with the screen, -1, which still is an alarm; with all three, 1.5."""
    few, all_three = (edit(TORCH.manifest, added) for added in ([SCREEN], NAMES))
    shown, passed = (overturned(detector, TORCH, manifest) for manifest in (few, all_three))
    assert shown.before == pytest.approx(0.9526, abs=1e-4) and shown.after == pytest.approx(0.7311, abs=1e-4)
    assert passed.after == pytest.approx(0.1824, abs=1e-4)
    assert "As it was, it is stopped as malicious: the detector gives “malicious” 95" in repr(shown)
    assert "With 1 line more, it is stopped as malicious" in repr(shown)
    assert "With 3 lines more, it passes as benign" in repr(passed) and "+     <activity" in repr(passed)
    page = unescape(passed._repr_html_())
    assert page.count('role="meter"') == 2 and page.count("With 3 lines more, it passes as benign") == 1


def test_texts_are_escaped():
    """Checks that a text cannot write HTML of its own into the page."""
    page = difference("", "<script>", "<b>")._repr_html_()
    assert "<script>" not in page and "<b>" not in page


@pytest.mark.parametrize(
    ("apps", "more", "words"),
    [
        ([], {}, "apps: got none"),
        ([TORCH], {"budget": 0}, "budget: got 0"),
        ([TORCH], {"budget": 3, "additions": 4}, "additions: got 4"),
    ],
)
def test_bad_arguments_are_named(detector, apps, more, words):
    """Checks the error that names the argument and what was given."""
    with pytest.raises(InputError, match=words):
        app_explorer(detector, apps, **more)
