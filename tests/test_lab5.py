"""Lab 5: what every lab passes, the judge's formulas and cameras, and the pictures that a student's functions make."""

import math
import re

import numpy as np
import pytest
import torch
from lab_tests import LabTests, notebook

from advcourse import data, metrics
from advcourse.cases import printability, printer, signs
from advcourse.core.errors import InputError
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.lab5 import LAB, TASKS, show
from advcourse.labs.lab5.cameras import Phone, Photographed, StrictPhone, View, Wavering, blurred, warped
from advcourse.labs.lab5.destruction import destruction, three_and_four
from advcourse.labs.lab5.eot_gradient import eot_gradient, two_questions
from advcourse.labs.lab5.eot_pgd import eot_pgd, pgd
from advcourse.labs.lab5.homography import few_and_many, homography, seen, three_on_a_line, unseen
from advcourse.labs.lab5.nps import all_printable, nps, two_patterns
from advcourse.labs.lab5.photographs import SIGNS, misread, readable
from advcourse.labs.lab5.printed import inks, printed, with_the_corners
from advcourse.labs.lab5.road import bins, pasted, print_of, read_as_target
from advcourse.labs.lab5.sticker import READ_AS, as_on_the_screen, sticker, stop_sign


class TestLab5(LabTests):
    lab, written, pictures = LAB, 4, 7


def question(task, seed=5, **arguments):
    return TASKS[task].case(Draw(seed), **arguments)


def test_destruction_is_the_librarys_on_what_the_camera_spares():
    """Checks the rate of each attack against `metrics.destruction_rate`, on the images whose clean photograph is right."""
    for case in three_and_four(destruction, Draw(3)):
        y, kept = case["y"], case["clean"][1] == case["y"]
        for rate, attacked, after in zip(called(destruction, case), case["attacked"], case["after"]):
            rights = [(part == y)[kept] for part in (case["clean"][0], attacked, after)]
            assert rate == pytest.approx(metrics.destruction_rate(*rights))


def test_destruction_by_hand():
    """Checks the lab's own example: eight successes, two of which the camera alone spoils, five right again: 5/6. And 0/0."""
    y = torch.zeros(10, dtype=torch.long)
    paper, attacked, after = y.clone(), y + 1, torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 0, 0])
    paper[6:8], attacked[8:] = 2, 0
    case = question("destruction").but(
        clean=torch.stack([y, paper]), attacked=torch.stack([attacked, y]), after=torch.stack([after, y]), y=y
    )
    first, second = called(destruction, case).tolist()
    assert first == pytest.approx(5 / 6) and math.isnan(second)


def test_a_homography_by_hand():
    """Checks the lab's own example: with last row (0.5, 0, 1) the point (2, 4) is seen at (1, 2), and (0, 4) stays."""
    matrix = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0, 1]]).double()
    src = torch.tensor([[0.0, 0], [2, 4], [0, 4], [3, 1], [1, 2]]).double()
    dst = torch.stack([torch.stack([x / (0.5 * x + 1), y / (0.5 * x + 1)]) for x, y in src])
    assert dst[1].tolist() == [1.0, 2.0] and torch.equal(seen(matrix, src), dst)
    assert torch.allclose(homography(src, dst), matrix, atol=1e-9)


def test_homographies_are_scikit_images():
    """Checks unseen points against `skimage.transform.ProjectiveTransform`, with few and many pairs, and three on a line."""
    from skimage.transform import ProjectiveTransform

    for case in (*few_and_many(homography, Draw(4)), three_on_a_line(homography, Draw(4))):
        theirs = ProjectiveTransform.from_estimate(case["src"].numpy(), case["dst"].numpy())
        ours = seen(called(homography, case), unseen()).numpy()
        assert np.abs(theirs(unseen().numpy()) - ours).max() < 1e-5


def test_the_printer_is_scipys_trilinear_interpolation():
    """Checks colours against SciPy's interpolation in a cube of eight corners; and the library's printer, with its own inks."""
    from scipy.interpolate import RegularGridInterpolator

    for case in with_the_corners(printed, Draw(2)):
        cube = case["corners"].double().view(2, 2, 2, 3).numpy()
        theirs = RegularGridInterpolator(((0, 1),) * 3, cube)(case["x"].double().permute(0, 2, 3, 1).numpy())
        assert torch.allclose(called(printed, case), torch.from_numpy(theirs).permute(0, 3, 1, 2), atol=1e-12)
        assert torch.allclose(
            called(printed, case.but(corners=printer.CORNERS)),
            printer.printed(case["x"].double()),
            atol=1e-12,
        )


def test_a_printed_pixel_by_hand():
    """Checks the lab's own example: (1, 0.5, 0) is half red and half yellow."""
    pixel = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).double()
    assert torch.allclose(
        printed(pixel, printer.CORNERS).flatten(), torch.tensor([0.875, 0.505, 0.15]).double()
    )


def test_nps_is_exact_and_the_librarys():
    """Checks the logarithm against exact products of fractions, and against the library's score, printable pixels included."""
    from fractions import Fraction

    for case in (*two_patterns(nps, Draw(1)), all_printable(nps, Draw(1))):
        x, mask, colours = case["x"].double(), case["mask"], case["palette"].double()
        total = Fraction(0)
        for pixel in x[:, mask].T:
            product = Fraction(1)
            for colour in colours:
                product *= Fraction(max(math.dist(pixel.tolist(), colour.tolist()), 1e-6))
            total += product
        mean = total / int(mask.sum())
        expected = math.log(mean.numerator) - math.log(mean.denominator)
        assert float(called(nps, case)) == pytest.approx(expected, rel=1e-9)
        assert float(printability.log_nps(x, colours, mask)) == pytest.approx(
            expected, rel=1e-6
        )  # log(n) in float32


def test_the_expected_gradient_is_that_of_differences():
    """Checks the gradient along a random direction against the difference of mean losses, computed without autograd."""
    for case in two_questions(eot_gradient, Draw(6)):
        case = case.but(x=0.25 + 0.5 * case["x"])  # away from black and white, where photographs are cut off
        model, x, y = case.victim.build(torch.float64), case["x"], case["y"]
        direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        views = [view.build(torch.float64) for view in case["views"]]

        def loss(z):
            with torch.no_grad():
                rows = [model(view(z)).log_softmax(1)[range(len(y)), y].sum() for view in views]  # noqa: B023
            return -sum(rows) / len(rows)

        expected = (loss(x + 1e-5 * direction) - loss(x - 1e-5 * direction)) / 2e-5
        assert float((called(eot_gradient, case) * direction).sum()) == pytest.approx(
            float(expected), rel=1e-4
        )


def test_a_warp_is_scikit_images():
    """Checks the cameras' warp against `skimage.transform.warp` with the same matrix, in pixels."""
    from skimage.transform import warp

    x = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0)).double()
    matrix = torch.tensor([[1.1, 0.1, 0.05], [-0.1, 1.05, 0.0], [0.2, 0.1, 1.0]]).double()
    to_pixels = torch.tensor([[6, 0, 5.5], [0, 6, 5.5], [0, 0, 1]]).double()
    in_pixels = (to_pixels @ matrix @ torch.linalg.inv(to_pixels)).numpy()
    theirs = warp(x[0, 0].numpy(), in_pixels, order=1, mode="constant")
    ours = warped(x, matrix[None], "zeros")[0, 0].numpy()
    assert np.abs(theirs - ours)[2:-2, 2:-2].max() < 1e-9


def test_a_blur_is_scipys():
    """Checks the lens against SciPy's Gaussian filter, away from the edge, where the two differ."""
    from scipy.ndimage import gaussian_filter

    x = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)).double()
    theirs = gaussian_filter(x[0, 0].numpy(), 0.8, truncate=8)
    ours = blurred(x, torch.tensor([0.8]).double())[0, 0].numpy()
    assert np.abs(theirs - ours)[7:-7, 7:-7].max() < 1e-6


def test_photographs_follow_from_the_seed():
    """Checks one seed twice, another one, both types, and each image of a batch for draws of its own; and values in [0, 1]."""
    x = torch.full((2, 3, 16, 16), 0.5)
    camera = Phone()
    assert torch.equal(camera(x, 3), camera(x, 3)) and not torch.equal(camera(x, 3), camera(x, 4))
    assert torch.allclose(camera(x, 3), camera(x.double(), 3).float(), atol=1e-5)
    assert not torch.equal(*camera(x, 3)) and 0 <= camera(x, 3).min() and camera(x, 3).max() <= 1


def test_a_strict_phone_refuses_old_seeds_and_too_many():
    """Checks both errors, and that looking without a gradient is free."""
    x, camera = torch.rand(1, 3, 8, 8), StrictPhone(2)
    for _ in range(5):
        camera(x, 0)
    x.requires_grad_()
    camera(x, 0)
    with pytest.raises(RuntimeError, match="seed 0 was asked for before"):
        camera(x, 0)
    camera(x, 1)
    with pytest.raises(RuntimeError, match="3 photographs with a gradient, and allowed are 2"):
        camera(x, 2)


def test_a_view_keeps_the_street_and_loses_the_sign_beside_it():
    """Checks a transparent plate, and a camera that points beside an opaque one: both show the street alone."""
    view = View("view", 3, distance=8.0).build()
    opaque = torch.cat([torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)], 1)
    clear = torch.cat([opaque[:, :3], torch.zeros(1, 1, 16, 16)], 1)
    beside = View("view", 3, distance=8.0, aside=8.0).build()
    assert torch.allclose(view(clear), beside(opaque)) and not torch.allclose(view(opaque), view(clear))


def test_the_authors_photographs_fool_more_than_pgds():
    """Checks new photographs of signs: the budget is kept, clean ones are read, and PGD is behind by five points or more."""
    x, y = (part[:30] for part in readable())
    victim, seeds = Photographed(SIGNS), list(range(900, 908))
    model, eps = victim.build(), 10 / 255
    ours = eot_pgd(model, x, y, eps, 10, 3)
    assert (ours - x).abs().max() <= eps + 1e-6 and ours.min() >= 0 and ours.max() <= 1
    clean, plain, best = (
        misread(victim, images, y, seeds).mean() for images in (x, pgd(model[-1], x, y, eps, 10), ours)
    )
    assert clean < 0.1 and best > plain + 0.05 and plain > clean + 0.05


def test_the_stickers_controls_do_not_fool():
    """Checks black, white and random paper over the same mask of both targets, and the author's sticker beside them."""
    for target in READ_AS:
        number = data.signs.CLASSES.index(target)
        case = stop_sign(sticker, Draw(3), target=number, corners=printer.CORNERS.float())
        plate, mask, new = case["plate"], case["mask"], bins(Draw(4), 4)
        random = torch.rand(plate[:3].shape, generator=torch.Generator().manual_seed(0))
        papers = plate[:3], 0 * plate[:3], 0 * plate[:3] + 1, random, called(sticker, case)[:3].float()
        surfaces = [pasted(plate, mask, print_of(colours, case["corners"])) for colours in papers]
        *controls, ours = (read_as_target(case, surface, new).double().mean() for surface in surfaces)
        assert ours > 0.85 and max(controls) < 0.1
        assert 0.3 < signs.share_of_plate(plate, mask) < 0.6


def test_inks_are_duller_than_the_screen():
    """Checks drawn printers: corners in [0, 1], white lighter than black, and no two alike."""
    first, second = inks(Draw(1)), inks(Draw(2))
    assert (
        0 <= first.min()
        and first.max() < 1
        and (first[7] > first[0]).all()
        and not torch.equal(first, second)
    )


def test_a_sticker_for_the_screen_does_not_know_the_printer():
    """Checks that the wrong answer is the same for two printers, and the right one is not."""
    case = question("sticker")
    other = case.but(corners=inks(Draw(9)))
    assert torch.equal(called(as_on_the_screen, case), called(as_on_the_screen, other))
    assert not torch.equal(called(sticker, case), called(sticker, other))


def test_show_says_what_is_missing():
    """Checks the text for an unwritten answer and for one of another shape, and the error for what is no task."""

    def unwritten(x, corners):
        raise NotImplementedError()

    missing = show(unwritten, task="printed")
    assert repr(missing) == "unwritten is not written yet." and "<img" not in missing._repr_html_()
    assert "`check(homography)` says why" in repr(show(lambda src, dst: src, task="homography"))
    with pytest.raises(InputError, match="task: got 'unwritten'; allowed are 'destruction'"):
        show(unwritten)


def test_show_tells_what_was_measured():
    """Checks the printed grey against the mean of the eight corners, computed here, and the guess."""
    shown = show(printed.solution, "white")
    grey = [float(value) for value in repr(shown).split("printed as (")[1].split(")")[0].split(", ")]
    assert grey == pytest.approx(printer.CORNERS.mean(0).tolist(), abs=0.006)
    assert repr(shown).endswith("You guessed white.")
    assert shown.png.startswith(b"\x89PNG") and '<img alt="' in shown._repr_html_()


def test_the_lab_has_the_points_it_says():
    """Checks the sum by hand: 3 + 4 + 3 + 3 + 4 + 4 + 5."""
    assert LAB.points == 26


def test_the_notebook_shows_the_titles_that_feedback_lists():
    """Checks each task's title, by which the page of results calls it, against the first words below its heading."""
    text = "\n".join(cell.source for cell in notebook("exercises", "lab5").cells)
    for name, task in TASKS.items():
        assert re.search(rf"### Task \d+: `{name}` [^\n]*\n\n\*\*{re.escape(task.title)}\.?\*\*", text), name


def test_a_wavering_net_has_a_large_slope_where_it_is_bright_and_another_sign_elsewhere():
    """Checks slopes by hand: of m, the mean of x times the pattern; 6 times as large and turned round in a bright photograph."""
    net = Wavering(3, (3, 8, 8)).double()
    x = torch.stack([torch.full((3, 8, 8), 0.4), torch.full((3, 8, 8), 0.7)]).double().requires_grad_()
    logits = net(x)
    (slope,) = torch.autograd.grad(logits[:, 0].sum(), x)
    assert torch.allclose(slope[1], -6 * slope[0]) and torch.allclose(
        logits, torch.zeros(2, 2).double(), atol=1e-5
    )
    assert torch.allclose(slope[0], (-net.pattern / slope[0].numel()).expand(3, -1, -1))
    assert (slope[0] > 0).any() and (slope[0] < 0).any()
