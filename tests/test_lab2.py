"""Lab 2: what every lab passes, and the author's answers, which define what is right."""

import re

import pytest
import torch
from lab_tests import LabTests, notebook

from advcourse import data
from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab2 import LAB, TASKS, best_pair, deepfool, jsma, measure, measure_universal
from advcourse.labs.lab2.gradients import jacobian
from advcourse.labs.victims import Victim


class TestLab2(LabTests):
    lab, written, pictures = LAB, 6, 5


def asked(task, seed=3, **how):
    """A question of this task."""
    return TASKS[task].case(Draw(seed), **how)


def answer(task, case):
    """The author's answer in float64, on the judge's models."""
    return called(TASKS[task], case)


# The nearest boundary


def given():
    """The function `jacobian` of the cell that students are given."""
    (cell,) = (cell for cell in notebook("exercises", "lab2").cells if cell.id == "lab2-given")
    names = {"torch": torch}
    exec(cell.source, names)
    return names["jacobian"]


def test_the_given_jacobian_is_the_weight():
    """Checks the cell that students are given, and the answers' copy of it, against the weights of a linear model."""
    case = asked("deepfool", kind="linear", n=2)
    model, x = case.victim.build(torch.float64), by_hand.clean(case)
    expected = model[1].weight.view(1, -1, *x.shape[1:]).expand(2, -1, -1, -1, -1)
    for of in given(), jacobian:
        logits, gradients = of(model, x)
        assert torch.equal(logits, model(x)) and torch.allclose(gradients, expected)


def test_the_answers_jacobian_is_the_given_one():
    """Checks every number against the cell that students are given."""
    case = asked("deepfool", n=2)
    first, second = (of(case.victim.build(), case["x"]) for of in (given(), jacobian))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize("kind", ["linear", "smooth"])
def test_the_jacobian_is_a_slope(kind):
    """Checks every logit's gradient at one pixel against central differences."""
    case = asked("deepfool", kind=kind, n=2)
    x, model = by_hand.clean(case), by_hand.model_of(case)
    logits, gradients = jacobian(model, x)
    step = torch.zeros_like(x)
    step[:, 0, 13, 9] = 1e-5
    with torch.no_grad():
        slope = (model(x + step) - model(x - step)) / 2e-5
        assert torch.equal(logits, model(x))
    assert torch.allclose(gradients[:, :, 0, 13, 9], slope, rtol=1e-5, atol=1e-9)


def test_distances_and_step_by_hand():
    """Checks a case worked out on paper: two pixels, three classes, f = (0, -1, -2) and w = (0, 0), (0.6, 0.8), (3, 4)."""
    gradients = torch.tensor([[[1.0, 0.0], [1.6, 0.8], [4.0, 4.0]]]).view(1, 3, 1, 1, 2)
    given_case = {"logits": torch.tensor([[5.0, 4.0, 3.0]]), "gradients": gradients}
    for norm, far, step in (("L2", (1.0, 0.4), (0.24, 0.32)), ("Linf", (1 / 1.4, 2 / 7), (2 / 7, 2 / 7))):
        case = Case(None, torch.zeros(1), given_case | {"norm": norm})
        expected = torch.tensor([[torch.inf, *far]], dtype=torch.double)
        assert torch.allclose(answer("distances", case), expected)
        assert torch.allclose(answer("shortest_step", case).flatten(), torch.tensor(step).double())


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_nothing_nearer_crosses(norm):
    """Checks the geometry by brute force: the step ends on a boundary; of 2000 changes a little shorter none reaches one."""
    case = asked("shortest_step", n=3, shape=(1, 2, 2), norm=norm)
    logits, w = case["logits"].double(), case["gradients"].double().flatten(2)

    def ahead(change):
        """How far the first class leads the second after a change (..., 3, 4) of the linear model."""
        top = (logits + torch.einsum("nkd,...nd->...nk", w, change)).topk(2).values
        return top[..., 0] - top[..., 1]

    r = answer("shortest_step", case).flatten(1)
    assert ahead(r).abs().max() < 1e-9
    numbers = torch.randn(2000, *r.shape, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    p = 2 if norm == "L2" else torch.inf
    change = numbers.sign() if norm == "Linf" else numbers
    change = 0.999 * change * (r.norm(p=p, dim=1) / change.norm(p=p, dim=2))[..., None]
    classes = (logits + torch.einsum("nkd,mnd->mnk", w, change)).argmax(2)
    assert (classes == logits.argmax(1)).all()


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_deepfool_is_foolboxs(norm):
    """Checks the walk image by image against foolbox, which adds 1e-4 to each distance; its box is opened, to clip nothing."""
    import foolbox

    case = asked("deepfool", **deepfool.CURVED, norm=norm)
    attack = {"L2": foolbox.attacks.L2DeepFoolAttack, "Linf": foolbox.attacks.LinfDeepFoolAttack}[norm]
    model = foolbox.PyTorchModel(case.victim.build(), bounds=(-50, 50), device="cpu")
    own = by_hand.most_likely(case)
    theirs = attack(steps=4, overshoot=0.1, candidates=10, loss="logits").run(model, case["x"], own)
    ours = answer("deepfool", case)
    assert (ours != by_hand.clean(case)).flatten(1).any(1).all()  # all are fooled
    assert (ours - theirs).abs().max() < 1e-3


# One for all


def test_one_class_and_a_line_end_in_the_corner():
    """Checks the closed form: where all images are of one of two classes of a linear model, v is a corner of the ball."""
    case = asked("uap", kind="linear", n=12, classes=2, grey=True, cap=9.0)
    weight = case.victim.build(torch.float64)[1].weight.detach()
    own = by_hand.most_likely(case)
    assert (own == own[0]).all()  # grey images are much alike
    uphill = (weight[1 - own[0]] - weight[own[0]]).view_as(case["x"][0])
    assert torch.allclose(answer("uap", case), case["eps"] * uphill.sign())


# Saliency


def test_the_pair_is_found_by_looking_at_all():
    """Checks the table against three nested loops in plain Python, and (-1, -1) where they find nothing."""
    case = asked("best_pair", **best_pair.MANY)
    found = answer("best_pair", case)
    for n in range(len(found)):
        g, t = case["gradients"][n].flatten(1).double().tolist(), int(case["target"][n])
        free, best, pair = case["free"][n].flatten().tolist(), 0.0, [-1, -1]
        for p in range(len(free)):
            for q in range(p + 1, len(free)):
                a = g[t][p] + g[t][q]
                b = sum(g[j][p] + g[j][q] for j in range(len(g)) if j != t)
                if free[p] and free[q] and a > 0 and b < 0 and -a * b > best:
                    best, pair = -a * b, [p, q]
        assert found[n].tolist() == pair


def test_on_a_line_the_steepest_pixels_rise():
    """Checks a case worked out on paper: with the logits (0, w.x) B is 0, so there is no pair; with (-w.x, w.x) the top two."""
    w = torch.tensor([0.5, 3.0, -1.0, 2.0])
    for others, expected in ((0.0, [-1, -1]), (-1.0, [1, 3])):
        gradients = torch.stack([others * w, w]).view(1, 2, 1, 2, 2)
        free = torch.ones(1, 1, 2, 2, dtype=torch.bool)
        case = Case(None, torch.zeros(1), {"gradients": gradients, "target": torch.tensor([1]), "free": free})
        assert answer("best_pair", case).tolist() == [expected]


def test_jsma_keeps_its_budget_and_reaches_targets():
    """Checks what JSMA promises: pixels rise, at most gamma of them, and more images than before are at the target."""
    case = asked("jsma", **jsma.SMALL)
    images, x = answer("jsma", case), by_hand.clean(case)
    assert (images >= x).all() and ((images != x).flatten(1).sum(1) <= 0.3 * 36).all()
    start, end = (by_hand.logits(case, i).argmax(1) == case["target"] for i in (x, images))
    assert torch.equal(images[start], x[start]) and end.sum() > start.sum()


# Space


def test_the_warp_is_scipys():
    """Checks the bilinear reading against scipy's map_coordinates, whose mode "nearest" goes on with the border's pixels."""
    from scipy.ndimage import map_coordinates

    case = asked("warp", shape=(3, 20, 24), n=2)
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(24), indexing="ij")
    images = answer("warp", case)
    for n in range(2):
        u, v = case["flow"][n].double()
        for c in range(3):
            places = torch.stack([rows + v, columns + u]).numpy()
            theirs = map_coordinates(case["x"][n, c].double().numpy(), places, order=1, mode="nearest")
            assert torch.allclose(images[n, c], torch.from_numpy(theirs), atol=1e-9)


def test_the_flows_loss_by_hand():
    """Checks a case worked out on paper: one pixel of 2 x 2 moves by (3, 4), so two pairs differ by 5, and each counts twice."""
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    case = Case(None, torch.zeros(1), {"flow": flow})
    assert abs(answer("flow_loss", case).item() - (2 * (5 + 5) + 2 * (1e-4 + 1e-4))) < 1e-6


# Trying out


def test_measure_counts_what_reaches_the_target():
    """Checks the count and the mean number of changed pixels by hand, on the images that come back; none was of the target."""
    result = measure(jsma.jsma.solution, 4, n=4, norm="L0", target=3, theta=1.0, gamma=0.04)
    images = result.images
    with torch.no_grad():
        reached = Victim("mnist-cnn").build()(images).argmax(1) == 3
    assert re.search(rf"makes a 3 of {int(reached.sum())} of 4 digits\. .*You guessed 4", repr(result))
    assert torch.equal(result.predictions == 3, reached) and result.rate == reached.double().mean()


def test_measure_can_leave_out_the_clip():
    """Checks that DeepFool's points fool as they are, and that fewer do so once they are clipped, as the notebook tells."""
    free, clipped = (
        measure(deepfool.active_images_alone, n=8, norm="L2", steps=20, overshoot=0.02, clip=clip)
        for clip in (False, True)
    )
    assert free.rate == 1 and clipped.rate < 0.5
    assert "8 of 8 digits, not clipped. The mean L2 distance is" in repr(free)


def test_measure_universal_judges_on_other_digits():
    """Checks the count by hand: the same v, put on the digits that it was not made on."""
    settings = {"eps": 0.3, "alpha": 0.1, "passes": 2, "batch": 10, "cap": 5.0}
    result = measure_universal(TASKS["uap"].solution, 50, n=20, **settings)
    x, y = data.load("mnist-5k", "test").pick(40)
    model = Victim("mnist-cnn").build()
    v = TASKS["uap"](model, x[:20], y[:20], **settings)
    with torch.no_grad():
        after, before = (model(i).argmax(1) for i in ((x[20:] + v).clamp(0, 1), x[20:]))
    assert torch.equal(result.predictions, after)
    assert result.rate == (after != before).double().mean() and "You guessed 50" in repr(result)


def test_measure_universal_says_what_is_missing():
    """Checks the text for an unwritten answer and for one that returns a perturbation for each image."""

    def unwritten(model, x, y, eps):
        raise NotImplementedError()

    assert repr(measure_universal(unwritten, n=4)) == "unwritten is not written yet."
    assert "no perturbation" in repr(measure_universal(lambda model, x, y, eps: x, n=4))
