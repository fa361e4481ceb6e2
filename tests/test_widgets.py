"""The attack explorer, driven as a user drives it: by setting the value of a control."""

import io
from dataclasses import dataclass
from html import unescape
from statistics import NormalDist

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from PIL import Image
from torch import nn

from advcourse import attacks, plots
from advcourse.core.inputs import InputError
from advcourse.core.rounding import number
from advcourse.course import widgets
from advcourse.data import ImageSet

CLASSES = ("dark", "bright", "<even>")


@pytest.fixture
def model():
    """Three classes of the mean brightness m of a 1 x 4 x 4 image: logits 0, 16 m - 8 and -9."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.0], [1.0], [0.0]]).expand(3, 16))
        net[1].bias.copy_(torch.tensor([0.0, -8.0, -9.0]))
    return net.eval()


@pytest.fixture
def images():
    """Brightness 0.4, which is dark by 1.6 / 16 = 0.1, and 0.7, which is bright by 0.2."""
    pixels = torch.tensor([0.4, 0.7])[:, None, None, None].expand(2, 1, 4, 4).clone()
    return ImageSet(pixels, torch.tensor([0, 1]), CLASSES, name="grey", split="test", licence="none")


@pytest.fixture
def explorer(model, images):
    return widgets.explorer(model, images, eps=0.05)


def text(explorer):
    return unescape(explorer.message.value)


def picture(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)))


def test_eps_decides_the_outcome(explorer):
    """Checks against the linear model's own arithmetic: FGSM fools it from eps = 0.1 on."""
    assert "does not fool the model" in text(explorer) and "now it says dark" in text(explorer)
    before = explorer.picture.value
    explorer.eps.value = 0.11
    assert "fools the model" in text(explorer) and "now it says bright" in text(explorer)
    assert explorer.picture.value != before


def test_text_says_what_the_attack_says(explorer, model, images):
    """Checks the text against a run of the same attack outside the explorer."""
    explorer.index.value, explorer.attack.value = 1, "BIM"
    explorer.steps.value, explorer.eps.value = 7, 0.3
    x, y = images.images[1:], images.labels[1:]
    result = attacks.BIM(0.3, alpha=round(2.5 * 0.3 / 7, 6), steps=7).run(model, x, y)
    assert torch.equal(explorer.result.images, result.images)
    for part in (
        str(result.attack),
        f"L∞ {number(result.distances['Linf'])}",
        f"L2 {number(result.distances['L2'])}",
        f"{int(result.steps)} step",
        "The label is bright",
    ):
        assert part in text(explorer)


def test_picture_shows_clean_change_and_result(explorer):
    """Checks grey levels in the PNG: the clean image left, cividis' bright end in the middle, the result right."""
    explorer.eps.value = 0.2
    shown = picture(explorer)
    row = shown[shown.shape[0] * 2 // 3].astype(int)
    left, middle, right = (row[int(shown.shape[1] * at)] for at in (1 / 6, 1 / 2, 5 / 6))
    assert abs(left - 0.4 * 255).max() <= 1
    assert middle[0] > 240 and middle[1] > 220 and middle[2] < 120
    assert abs(right - 0.6 * 255).max() <= 1


def test_frame_marks_success(explorer):
    """Checks the frame's colour in the PNG: there where FGSM fools the linear model, and only there."""

    def framed():
        return (picture(explorer) == tuple(bytes.fromhex(plots.FOOLED[1:]))).all(-1).any()

    assert not framed()
    explorer.eps.value = 0.11
    assert framed()
    explorer.eps.value = 0.09
    assert not framed()


def test_slider_noise_stays_out_of_the_text(explorer):
    """Checks that a sum of slider steps, which is not a short decimal in binary, is read as one."""
    explorer.eps.value = 0.1 + 0.2
    assert "FGSM(eps=0.3," in text(explorer)


def test_image_slider(explorer, images):
    """Checks that the attack was run on the image chosen."""
    before = explorer.picture.value
    explorer.index.value = 1
    assert torch.equal(explorer.result.clean, images.images[1:])
    assert explorer.picture.value != before


def test_target(explorer):
    """Checks that the chosen class reaches the attack, and that "none" takes it away again."""
    explorer.eps.value, explorer.target.value = 0.2, 1
    assert explorer.result.attack.targeted and explorer.result.target.tolist() == [1]
    assert "makes the model say bright" in text(explorer)
    explorer.target.value = 2
    assert "does not make the model say <even>" in text(explorer) and "<even>" not in explorer.message.value
    explorer.target.value = widgets.UNTARGETED
    assert explorer.result.target is None


def test_controls_that_an_attack_does_not_heed_are_disabled(explorer):
    """Checks against the signatures: one-step attacks take no steps, LLC no target, T-MI-FGSM always one."""
    disabled = {}
    for name in explorer.attack.options:
        explorer.attack.value = name
        disabled[name] = (explorer.eps.disabled, explorer.steps.disabled, explorer.target.disabled)
    assert disabled["FGSM"] == (False, True, False)
    assert disabled["LLC"] == (False, True, True)
    assert disabled["PGD"] == (False, False, False)
    assert disabled["U-MI-FGSM"] == (False, False, True)
    assert disabled["T-MI-FGSM"] == (False, False, False)


def test_every_attack_runs(explorer):
    """Checks that each attack of the list gives a result within the budget, once a target is chosen."""
    explorer.target.value = 1
    for name in explorer.attack.options:
        explorer.attack.value = name
        assert explorer.error is None and explorer.result.distances["Linf"] <= 0.05 + 1e-6


def test_an_attack_that_wants_a_target_says_so(explorer):
    """Checks that what the library raises is read on the page, and that choosing a target mends it."""
    explorer.attack.value = "T-MI-FGSM"
    assert isinstance(explorer.error, InputError) and "target: got None" in text(explorer)
    explorer.target.value = 1
    assert explorer.error is None and "No result" not in text(explorer)


@dataclass(frozen=True)
class Broken:
    """An attack that fails, as a student's may."""

    eps: float
    targeted = False
    chooses_target = False

    def run(self, model, x, y, target=None):
        raise ZeroDivisionError("step <0>")


def test_a_failing_attack_is_a_sentence(model, images):
    """Checks that the error is on the page, the old result is gone, and the next choice works."""
    explorer = widgets.explorer(model, images, {"FGSM": attacks.FGSM, "mine": Broken})
    before = explorer.picture.value
    explorer.attack.value = "mine"
    assert "ZeroDivisionError: step <0>" in text(explorer) and "<0>" not in explorer.message.value
    assert explorer.result is None and isinstance(explorer.error, ZeroDivisionError)
    shown = picture(explorer)
    assert shown[shown.shape[0] * 2 // 3, shown.shape[1] // 2].tolist() == [255, 255, 255]
    explorer.attack.value = "FGSM"
    assert explorer.error is None and explorer.picture.value == before


@pytest.mark.parametrize("attack", [attacks.FGSM, Broken])
def test_threads_are_given_back(model, images, attack):
    """Checks torch's own count of threads before and after, for an attack that works and for one that fails."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        widgets.explorer(model, images, {"it": attack})
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_failing_factory_is_a_sentence(model, images):
    """Checks an error before the attack exists: parameters that its class refuses."""
    explorer = widgets.explorer(model, images, {"PGD": lambda eps: attacks.PGD(eps, steps=-1)})
    assert "InputError: steps" in text(explorer)


def test_a_model_that_errs_already_is_named(model, images):
    """Checks the text for an image whose label the model gets wrong before any attack."""
    wrong = ImageSet(images.images, 1 - images.labels, CLASSES, name="grey", split="test", licence="none")
    assert "was already wrong on the clean image" in text(widgets.explorer(model, wrong))


def test_colour_images_and_other_sizes(images):
    """Checks that a colour image of another shape fills the same figure."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 5, 3))
    pixels = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    data = ImageSet(pixels, torch.tensor([0, 1]), CLASSES, name="colour", split="test", licence="none")
    explorer = widgets.explorer(model, data, eps_max=0.1)
    assert explorer.error is None and explorer.eps.value == 0.05 and explorer.eps.max == 0.1


def test_accessible(explorer):
    """Checks that each control is named, that a changed text is announced, and that no tooltip stops ipywidgets' image view."""
    for control in (explorer.index, explorer.attack, explorer.eps, explorer.steps, explorer.target):
        assert control.description
    assert 'role="status"' in explorer.message.value and 'aria-live="polite"' in explorer.message.value
    assert explorer.picture.tooltip is None


def test_nothing_piles_up(explorer):
    """Checks pyplot's figures and the figure's artists after many changes, and that equal settings give equal bytes."""
    first, artists = explorer.picture.value, len(explorer._figure.findobj())
    for eps in (0.1, 0.2, 0.3, 0.05):
        explorer.eps.value = eps
    assert explorer.picture.value == first
    assert len(explorer._figure.findobj()) == artists and pyplot.get_fignums() == []


def test_shipped_digits_and_model():
    """Checks the shipped model and digits in the explorer: FGSM at eps = 0.3 changes the first digit's label."""
    from advcourse import data, models

    digits, model = data.load("mnist-5k"), models.load("mnist-cnn")
    explorer = widgets.explorer(model, digits, eps=0.3)
    assert explorer.error is None and bool(explorer.result.success)
    assert f"The label is {int(digits.labels[0])}." in text(explorer)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"factories": {}}, ["factories", "none"]),
        ({"index": 2}, ["index", "2", "1"]),
        ({"eps": 0.6}, ["eps", "0.6", "0.5"]),
        ({"eps_max": 0}, ["eps_max", "0"]),
        ({"steps": 0}, ["steps", "0"]),
    ],
)
def test_bad_settings(model, images, settings, words):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError) as error:
        widgets.explorer(model, images, **settings)
    assert all(word in str(error.value) for word in words)


def test_bad_data(model, images):
    """Checks the message for a set without images."""
    with pytest.raises(InputError, match="data: got .*0, 1, 4, 4"):
        widgets.explorer(model, images.subset([]))


# ---- transformations ----


def darker(strength):
    """Takes `strength` from each pixel, without a gradient: at 0.2 the bright image 0.7 is on the edge to dark."""
    return lambda x: (x.detach() - strength).clamp(0, 1)


@pytest.fixture
def changes(model, images):
    kinds = {"darker": (darker, (0.1, 0.3)), "as it is": (lambda strength: lambda x: x, (1,))}
    return widgets.transformation_explorer(model, images, kinds, index=1, eps=0.1)


def test_transformed_images_and_answers(changes, images):
    """Checks by the linear model's arithmetic: bright 0.7, less 0.1, less PGD's 0.1, less both, each read by its brightness."""
    assert changes.images.flatten(1).mean(1).tolist() == pytest.approx([0.7, 0.6, 0.6, 0.5], abs=1e-6)
    assert "The label is bright" in text(changes) and changes.logits[1].argmax() == 1
    changes.strength.value = 0.3
    assert changes.images[1].mean().item() == pytest.approx(0.4) and changes.logits[1].argmax() == 0
    assert "for the changed image dark" in text(changes)


def test_strengths_follow_the_transformation(changes):
    """Checks that another transformation brings its own strengths, and that the four images are drawn anew."""
    before = changes.picture.value
    changes.kind.value = "as it is"
    assert changes.strength.options == (1,) and changes.error is None
    assert torch.equal(changes.images[0], changes.images[1]) and changes.picture.value != before


def test_the_attacker_sees_through_with_the_box_ticked(model, images):
    """Checks against what BPDA does: of a constant change no gradient is left of the model's, with the identity's it comes back.

    The change makes any image 0.55 bright where it was brighter than one half. So the attacker who knows of it has the
    model's own gradient at 0.55, and moves the image from 0.7 to 0.45, beyond the step.
    """
    step = lambda strength: lambda x: 0.55 * (x.detach() > 0.5).to(x)  # noqa: E731
    explorer = widgets.transformation_explorer(model, images, {"step": (step, (1,))}, index=1, eps=0.25)
    assert explorer.logits.argmax(1).tolist() == [1, 1, 0, 0]
    explorer.known.value = True
    assert explorer.images[2].mean().item() == pytest.approx(0.45, abs=0.01)
    assert "PGD, eps 0.25, through the change" in text(explorer)


def test_a_failing_transformation_is_a_sentence(model, images):
    """Checks that the error is on the page, the old result is gone, and the next choice works."""
    kinds = {"darker": (darker, (0.1,)), "mine": (lambda strength: lambda x: x / 0 + "<0>", (1,))}
    explorer = widgets.transformation_explorer(model, images, kinds)
    explorer.kind.value = "mine"
    assert "No result. TypeError" in text(explorer) and explorer.images is None
    explorer.kind.value = "darker"
    assert explorer.error is None and explorer.images is not None


def test_bad_transformations(model, images):
    """Checks that the message names the argument, what was given and what is allowed."""
    for kinds in ({}, {"darker": (darker, ())}):
        with pytest.raises(InputError, match="kinds: got .*allowed are one or more"):
            widgets.transformation_explorer(model, images, kinds)
    with pytest.raises(InputError, match=r"eps: got 0.6; allowed is a number >= 0 and <= 0.5"):
        widgets.transformation_explorer(model, images, {"darker": (darker, (1,))}, eps=0.6)
    with pytest.raises(InputError, match="index: got 2"):
        widgets.transformation_explorer(model, images, {"darker": (darker, (1,))}, index=2)
    with pytest.raises(InputError, match="data: got .*0, 1, 4, 4"):
        widgets.transformation_explorer(model, images.subset([]), {"darker": (darker, (1,))})


# ---- the vote ----


def test_the_votes_follow_the_radius(model, images):
    """Against the linear model's arithmetic: the mean of 16 pixels' noise has the deviation r / sqrt(48), and is nearly normal.

    Brightness 0.4 is dark by 0.1. A version at 0.51 is bright, but the noise leaves a share to the dark, within four deviations.
    """
    torch.manual_seed(0)
    versions = {"clean": images.images, "near": 0.51 + 0 * images.images}
    explorer = widgets.vote_explorer(model, versions, images.labels, samples=400)
    assert explorer.votes.sum() == 400 and explorer.votes[0] > 380 and "The vote is right." in text(explorer)
    explorer.version.value, explorer.radius.value = "near", 0.0
    assert explorer.votes.tolist() == [0, 400, 0] and "The votes of 400: 1: 400. The vote is wrong." in text(
        explorer
    )
    before = explorer.picture.value
    explorer.radius.value = 0.45
    dark = 400 * NormalDist().cdf(-0.01 / (0.45 / 48**0.5))
    assert explorer.votes[0].item() == pytest.approx(dark, abs=40) and explorer.picture.value != before
    explorer.index.value, explorer.samples.value = 1, 7
    assert explorer.votes.sum() == 7 and "The label is 1." in text(explorer)


def test_bad_versions(model, images):
    """Checks that the message names the argument, what was given and what is allowed."""
    with pytest.raises(InputError, match="versions: got none; allowed is at least one"):
        widgets.vote_explorer(model, {}, images.labels)
    with pytest.raises(InputError, match=r"versions\['clean'\]: got values in \[2.4, 2.7\]; allowed is"):
        widgets.vote_explorer(model, {"clean": images.images + 2}, images.labels)
    for setting, message in (
        ({"index": 2}, "index: got 2"),
        ({"radius": 2}, "radius: got 2"),
        ({"samples": 0}, "samples: got 0"),
    ):
        with pytest.raises(InputError, match=message):
            widgets.vote_explorer(model, {"clean": images.images}, images.labels, **setting)
    with pytest.raises(InputError, match=r"labels: got .*allowed is shape \(2,\)"):
        widgets.vote_explorer(model, {"clean": images.images}, images.labels[:1])
