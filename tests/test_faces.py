"""Eyeglass frames: the steps of the attack by hand, its goals on unseen photographs, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from advcourse import models
from advcourse.cases import faces as case
from advcourse.cases import printability
from advcourse.cases.printer import printed
from advcourse.core.inputs import InputError
from advcourse.data import faces, glasses

SHEET = (3, glasses.ROWS, glasses.COLUMNS)


@pytest.fixture(scope="module")
def model():
    return models.load("faces-cnn")


@pytest.fixture(scope="module")
def kim():
    return case.album("Kim")


@pytest.fixture(scope="module")
def few(kim):
    """Four of the photographs."""
    return case.Album(kim.person, kim.images[:4], faces.chosen(kim.view, torch.arange(4)))


# ---- the parts, by hand ----


def test_momentum_by_hand():
    """Against numbers worked out by hand: slopes are divided by their largest size, per image, before they are added."""
    memory = case.gathered(torch.zeros(2, 2), torch.tensor([[2.0, -4.0], [0.0, 0.0]]), 0.4)
    assert torch.equal(memory, torch.tensor([[0.5, -1.0], [0.0, 0.0]]))
    memory = case.gathered(memory, torch.tensor([[1.0, 1.0], [-3.0, 6.0]]), 0.4)
    assert torch.allclose(memory, torch.tensor([[1.2, 0.6], [-0.5, 1.0]]))


def test_steps_out_of_range_are_dropped_by_hand():
    """Against numbers worked out by hand: 0.1 - 0.2 and 0.9 + 0.2 would leave the range and stay; they are not clipped."""
    colours, taken = case.stepped(torch.tensor([0.1, 0.9, 0.5, 0.2]), torch.tensor([0.2, -0.2, 0.1, 0.2]))
    assert torch.allclose(colours, torch.tensor([0.1, 0.9, 0.4, 0.0]))
    assert taken.tolist() == [False, False, True, True]


def test_total_variation_by_hand():
    """Against sqrt(0.3^2 + 0.4^2) at the cell that differs to the right and below; neighbours outside the frame do not count."""
    colours, cells = torch.zeros(3, 3, 3), torch.zeros(3, 3, dtype=torch.bool)
    cells[:2, :2] = True
    colours[0, 0, 1], colours[0, 1, 0], colours[:, 2, 2] = 0.3, 0.4, 1.0
    # cell (0, 0): 0.3 across and 0.4 down; (0, 1): 0.3 down; (1, 0): 0.4 across
    assert printability.isotropic_variation(colours, cells).item() == pytest.approx(
        (0.5 + 0.3 + 0.4) / 4, abs=2e-3
    )
    assert printability.isotropic_variation(torch.full((3, 3, 3), 0.7), cells).item() == pytest.approx(
        0, abs=1e-6
    )


def test_non_printability_by_hand():
    """Against logarithms worked out by hand; and 400 printable colours, whose product is below the smallest float."""
    cells, palette = torch.tensor([[True, False]]), torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    colours = torch.tensor([[[0.5, 0.0]], [[0.5, 0.0]], [[0.5, 0.0]]])
    assert printability.mean_log_nps(colours, cells, palette).item() == pytest.approx(
        2 * math.log(math.sqrt(0.75)), abs=1e-4
    )
    many = torch.full((400, 3), 0.4)
    assert printability.mean_log_nps(colours, cells, many).item() == pytest.approx(
        400 * math.log(math.sqrt(0.03)), rel=1e-4
    )
    on_palette, off_palette = (printed(torch.full((3, 1, 2), value)) for value in (0.5, 0.25))
    assert printability.mean_log_nps(on_palette, cells) < printability.mean_log_nps(off_palette, cells)


def test_deficit_by_hand():
    """Against differences of logits: the source's lead when dodging, the target's lag when impersonating, and the floor."""
    logits = torch.tensor([[5.0, 1.0, 3.0], [0.0, 9.0, 1.0]])
    assert case.deficit(logits, 0, None, 3).tolist() == [2.0, -3.0]
    assert case.deficit(logits, 0, 2, 3).tolist() == [2.0, 8.0]
    assert case.deficit(logits, 2, 1, 3).tolist() == [4.0, -3.0]


def test_the_first_step_is_the_equation(few, model):
    """Against the update written out image by image, in float64: start - alpha mean_i(g_i / max |g_i|), where in range."""
    photographs, net = replace(few, images=few.images.double()), models.load("faces-cnn").double()
    attack = case.FrameAttack(steps=1, momentum=0, tv=0, nps=0, batch=4, sittings=1, seed=3)
    frame = attack.run(net, photographs)
    start, fitting = case.plain_frame(frame.start).double(), photographs.fitted(3)
    step = torch.zeros(SHEET, dtype=torch.float64)
    for i in range(4):
        sheet = start.clone().requires_grad_()
        logits = net(
            glasses.wear(photographs.images[i : i + 1], fitting.part(slice(i, i + 1)), printed(sheet))
        )[0]
        others = torch.cat([logits[: photographs.person], logits[photographs.person + 1 :]])
        (logits[photographs.person] - others.max()).clamp(min=-3).backward()
        step += sheet.grad / sheet.grad.abs().max().clamp(min=1e-30) / 4
    moved = start - 20 / 255 * step * glasses.cells()
    expected = torch.where((moved < 0) | (moved > 1), start, moved)
    assert torch.allclose(frame.colours, expected, atol=1e-9)


def test_it_starts_from_the_best_of_five(few, model):
    """Against the mean deficit of each plain frame, measured here."""
    frame = case.FrameAttack(steps=1, sittings=1, seed=5).run(model, few)
    fitting, deficits = few.fitted(5), {}
    for name in case.SOLID:
        with torch.no_grad():
            logits = model(glasses.wear(few.images, fitting, printed(case.plain_frame(name))))
        deficits[name] = case.deficit(logits, few.person, None, 3.0).mean().item()
    assert deficits[frame.start] == pytest.approx(min(deficits.values()), abs=1e-4)


# ---- the attack ----


@pytest.fixture(scope="module")
def frame(model):
    photographs = case.album("Sidney")
    return case.FrameAttack(steps=80, batch=10, sittings=4).run(model, photographs)


def test_dodging_is_stronger_than_its_controls(frame, model):
    """Against the same person bare, with a plain, a random and a black frame, on 24 photographs that nothing was fitted to."""
    unseen = case.album("Sidney", n=24, seed=11)
    dodged = case.measure(model, unseen, frame.colours).dodged
    others = {name: case.measure(model, unseen, sheet).dodged for name, sheet in case.controls(frame).items()}
    assert set(others) == {"bare", f"plain {frame.start}", "random cells", "black"}
    assert dodged.n == 24 and dodged.value >= 0.5
    assert all(other.value <= dodged.value - 0.3 for other in others.values()), others


def test_a_frame_stays_a_frame(frame):
    """Against the sheet: colours in range, nothing changed outside the frame's cells, and the losses fell."""
    outside = ~glasses.cells()
    assert torch.equal(frame.colours[:, outside], case.plain_frame(frame.start)[:, outside])
    assert 0 <= frame.colours.min() and frame.colours.max() <= 1
    assert sum(frame.losses[-10:]) < sum(frame.losses[:10]) - 10 and 0.5 < frame.kept <= 1


def test_smoothness_and_printability_have_an_effect(model, few):
    """Against the attack without them: a rougher sheet, and colours farther from what prints."""
    attack = case.FrameAttack(steps=25, sittings=1, batch=4)
    with_both, without = attack.run(model, few), replace(attack, tv=0, nps=0).run(model, few)
    assert with_both.tv < without.tv and with_both.nps < without.nps


def test_the_same_seed_gives_the_same_frame(model, few):
    """Against a second run, bit by bit, and another seed; the model, the photographs and torch's state stay as they were."""
    attack, state, before = (
        case.FrameAttack(steps=4, sittings=2, batch=3),
        torch.get_rng_state(),
        few.images.clone(),
    )
    first, again = attack.run(model, few).colours, attack.run(model, few).colours
    assert torch.equal(first, again) and not torch.equal(
        first, replace(attack, seed=1).run(model, few).colours
    )
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(few.images, before)
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


def test_only_the_cells_that_may_change_do(model, few):
    """Against a mask of the left lens: the other cells keep the colour they began with."""
    cells = glasses.cells().clone()
    cells[:, glasses.COLUMNS // 2 :] = False
    frame = case.FrameAttack(steps=3, sittings=1).run(model, few, cells=cells)
    changed = (frame.colours != case.plain_frame(frame.start)).any(0)
    assert changed.any() and not changed[~cells].any()


def test_impersonation_comes_nearer_to_the_target(model):
    """Against the target's lag in logits on photographs that nothing was fitted to: plain frame against the attack's."""
    photographs, unseen = case.album("Sidney"), case.album("Sidney", "test")
    attack = case.FrameAttack(steps=40, sittings=2, batch=8)
    target = case.nearest(model, photographs, attack, candidates=2)
    frame, lags = attack.run(model, photographs, target), []
    for sheet in (case.plain_frame(frame.start), frame.colours):
        with torch.no_grad():
            logits = model(case.worn(unseen, sheet))
        lags.append(case.deficit(logits, frame.source, target, 100).mean().item())
    assert lags[1] < lags[0] - 2 and frame.target == target != frame.source
    measured = case.measure(model, unseen, frame.colours, target)
    assert measured.impersonated.n == 12 and measured.impersonated.value <= measured.dodged.value


def test_the_area_is_that_of_the_paper(kim):
    """Against the 6.5 % of Sharif et al. 2016, to a point and a half."""
    assert case.area(kim) == pytest.approx(0.065, abs=0.015)


def test_photographs_with_glasses_differ_only_there(few):
    """Against the photographs: bare ones are equal to them, and another sitting covers other pixels."""
    assert torch.equal(case.worn(few, None), few.images)
    black = case.plain_frame("black")
    one, other = case.worn(few, black, seed=0), case.worn(few, black, seed=1)
    assert 0.02 < (one != few.images).any(1).float().mean() < 0.25 and not torch.equal(one, other)


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds(model, few):
    """Against the CPU's frame after one step, and its readings of it."""
    there, net = replace(few, images=few.images.cuda()), models.load("faces-cnn", "cuda")
    attack = case.FrameAttack(steps=1, sittings=1, batch=4)
    here, found = attack.run(model, few), attack.run(net, there)
    assert found.colours.is_cuda and found.start == here.start
    assert ((found.colours.cpu() - here.colours).abs() < 1e-2).double().mean() > 0.95
    assert case.measure(net, there, here.colours, "Noa") == case.measure(model, few, here.colours, "Noa")


# ---- what is refused ----


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"steps": 0}, "steps: got 0"),
        ({"alpha": 0}, "alpha: got 0"),
        ({"momentum": 2}, "momentum: got 2"),
        ({"batch": 1.5}, "batch: got 1.5"),
        ({"tv": -1}, "tv: got -1"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_settings_out_of_range(settings, message):
    """Against the argument that the message must name."""
    with pytest.raises(InputError, match=message):
        case.FrameAttack(**settings)


def test_bad_arguments(model, few):
    """Against the argument that each message must name, and the names of those who are allowed."""
    attack, nobody = case.FrameAttack(steps=1), case.Album(few.person, few.images[:0], few.view)
    for wrong, message in (
        ({"target": "Kim"}, "target: got 'Kim', who is on the photographs"),
        ({"target": few.person}, "target: got 'Kim', who is on the photographs"),
        ({"target": "Nobody"}, "target: got 'Nobody'; allowed are Alex"),
        ({"target": 40}, "target: got 40"),
        ({"cells": torch.zeros(16, 88, dtype=torch.bool)}, "cells: got no cell"),
        ({"cells": torch.ones(16, 88)}, "cells: allowed is a bool tensor"),
        ({"photographs": nobody}, "photographs: got none"),
        ({"model": "faces-cnn"}, "model"),
        ({"model": nn.Identity()}, "model"),
    ):
        with pytest.raises(InputError, match=message):
            attack.run(**{"model": model, "photographs": few} | wrong)
    for wrong in ({"person": "Nobody"}, {"person": 0, "n": 0}, {"person": 0, "split": "val"}):
        with pytest.raises(InputError):
            case.album(**wrong)
    with pytest.raises(InputError, match="colour: got 'pink'"):
        case.plain_frame("pink")


def test_strange_albums_and_sheets_are_refused(model, few):
    """By hand: whatever takes photographs or a sheet names what it got, and never measures another thing than was meant."""
    images, one = few.images, few.images[:1]
    albums = [
        ("album", "got str"),
        (images, "got Tensor"),
        (case.Album(99, images, few.view), "photographs.person: got 99"),
        (case.Album(few.person, images * float("nan"), few.view), "photographs.images"),
        (case.Album(few.person, (255 * images).byte(), few.view), "photographs.images"),
        (case.Album(few.person, images[:, :, :32, :32], few.view), "allowed are images .3, 64, 64"),
        (case.Album(few.person, one, few.view), "got 1 images"),
        (case.Album(few.person, images[:0], few.view), "photographs: got none"),
    ]
    sheet, quick = case.plain_frame("red"), case.FrameAttack(steps=1, sittings=1)
    for photographs, message in albums:
        for use in (
            lambda given: quick.run(model, given),
            lambda given: case.measure(model, given, sheet),
            lambda given: case.nearest(model, given, quick),
            lambda given: case.worn(given, sheet),
            case.area,
        ):
            with pytest.raises(InputError, match=message):
                use(photographs)
    for wrong in (2 * sheet, sheet - 1, sheet * float("nan"), sheet.byte(), sheet[None], sheet[:, :8], "red"):
        with pytest.raises(InputError, match="sheet: "):
            case.measure(model, few, wrong)
    with pytest.raises(InputError, match="n: got 1000000000"):
        case.album("Kim", n=10**9)
