"""Lab 11: what every lab passes, the judge's questions, and the authors' answers against the library and cases by hand."""

import pytest
import torch
from lab_tests import LabTests
from scipy.stats import norm
from sklearn.cluster import KMeans

from advcourse import data
from advcourse.data import ImageSet
from advcourse.grading.run.staging import FILES
from advcourse.labs.checks import Student
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Draw
from advcourse.labs.lab11 import LAB, TASKS, packed, show, two_means
from advcourse.labs.lab11.clustering import SEEDS, poisoned_class, tells
from advcourse.labs.lab11.poisoning import stamped
from advcourse.labs.lab11.thief import asked
from advcourse.labs.running import LocalRunner
from advcourse.lifecycle import LiRA, ShadowSet, Trigger, activation_clustering, backdoor_success, clipped_sum
from advcourse.lifecycle import poison as by_library


class TestLab11(LabTests):
    lab, written, pictures = LAB, 6, 4


def question(task, seed=5, **arguments):
    return TASKS[task].case(Draw(seed), **arguments)


# Poison


def test_a_poisoned_set_is_the_librarys():
    """Checks number, classes, images and labels of the poison against `lifecycle.poison`, whose choice is another draw."""
    x, y = data.load("mnist-5k", "train").first(200)
    trigger, target, share = Trigger(alpha=0.8), 3, 0.1
    mask, pattern = trigger.mask(28, 28)[None].float(), torch.ones(1, 28, 28)
    found = TASKS["poison"](x, y, mask, pattern, target, share, 4)
    images, labels = found[:, :-1].view_as(x), found[:, -1].long()
    touched = (labels != y).nonzero()[:, 0]
    theirs = by_library(
        ImageSet(x, y, tuple("0123456789"), name="a", split="train", licence="none"), trigger, target, share
    )
    assert len(touched) == len(theirs.touched) == 20 and (y[touched] != target).all()
    assert torch.allclose(images[touched], trigger(x[touched]))
    untouched = torch.ones(len(x), dtype=torch.bool)
    untouched[touched] = False
    assert torch.equal(images[untouched], x[untouched]) and (labels[touched] == target).all()


def test_poison_by_hand():
    """Checks four images of one pixel: the two of another class are stamped half, and are labelled anew."""
    x, y = torch.tensor([0.0, 0.2, 0.4, 0.6]).view(4, 1, 1, 1), torch.tensor([0, 1, 1, 0])
    half = torch.full((1, 1, 1), 0.5)
    found = TASKS["poison"](x, y, half, 2 * half, 0, 0.5, 7)
    assert torch.allclose(found, torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.7, 0.0], [0.6, 0.0]]))


def test_success_is_the_librarys():
    """Checks the share against `lifecycle.backdoor_success` on the judge's trojans, with a trigger of the library."""
    for seed in range(3):
        case = question("success", seed)
        model = case.victim.build()

        class Stamp(Trigger):
            def __call__(self, x, mask=case["mask"], pattern=case["pattern"]):
                return stamped(x, mask, pattern)

        theirs = backdoor_success(model, Stamp(), case["x"], case["y"], case["target"]).value
        assert called(TASKS["success"], case).item() == pytest.approx(theirs)
        assert 0.2 < theirs < 0.9


# Suspects


def test_two_means_finds_clusters_as_good_as_scikit_learns():
    """Checks the sum of squares of `two_means` against KMeans with as many starts, on points without clusters."""
    for seed in range(5):
        z = torch.randn(150, 10, generator=torch.Generator().manual_seed(seed)).double()
        second = two_means(z)
        ours = sum(((z[side] - z[side].mean(0)) ** 2).sum().item() for side in (second, ~second))
        theirs = KMeans(2, n_init=20, random_state=0).fit(z.numpy()).inertia_
        assert ours < 1.01 * theirs and not second[0]


def test_the_nets_that_are_asked_about_tell_right_from_wrong():
    """Checks two of the nets: the library's filter finds their poison by ICA, and not by principal components."""
    for seed in SEEDS[:2]:
        h, poison = poisoned_class(seed)
        assert tells(seed)
        label = torch.zeros(len(h), dtype=torch.long)
        flags = {how: activation_clustering(h, label, how).suspicious for how in ("ica", "pca")}
        hits = {how: ((found & poison).sum() / (found | poison).sum()).item() for how, found in flags.items()}
        assert hits["ica"] > 0.85 and hits["pca"] < 0.6


# Membership


@pytest.mark.parametrize("online", [True, False])
def test_the_scores_are_the_librarys(online):
    """Checks the scores against `LiRA` of the library, which gets logits that have these confidences, to nine digits."""
    case = question("lira", 3, nets=20, points=40, online=online)
    phi, t = case["phi"], case["target"]
    logits = torch.stack([phi, torch.zeros_like(phi)], 2)  # of two classes: phi = Z_0 - Z_1
    shadows = ShadowSet(logits=logits, labels=torch.zeros(40, dtype=torch.long), members=case["members"])
    theirs = LiRA(online, "pooled")(shadows.without(t), shadows.answers(t))
    assert torch.allclose(called(TASKS["lira"], case), theirs, rtol=1e-9, atol=1e-9)


def test_scores_by_hand():
    """Checks one point and five nets: in (2, 4), out (0, 1), so centres 3 and 0.5 and spreads of root 2 and root 1/2."""
    phi = torch.tensor([[2.0], [4.0], [0.0], [1.0], [2.5]]).double()
    members = torch.tensor([[True], [True], [False], [False], [True]])
    wanted = norm(3, 2**0.5).logpdf(2.5) - norm(0.5, 0.5**0.5).logpdf(2.5)
    assert TASKS["lira"](phi, members, 4, True).item() == pytest.approx(wanted, rel=1e-12)
    assert TASKS["lira"](phi, members, 4, False).item() == pytest.approx(2 / 0.5**0.5, rel=1e-12)


# Privacy


def test_the_clip_is_the_librarys():
    """Checks the sum without noise against `lifecycle.clipped_sum`, which computes each image's gradient itself."""
    x, y = data.load("mnist-5k", "train").first(6)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).double()
    x = x.double()
    rows = []
    for image, label in zip(x, y):
        loss = torch.nn.functional.cross_entropy(net(image[None]), label[None])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, net.parameters())]))
    found = TASKS["noisy_gradient"](torch.stack(rows), 1.5, 0.0, 4, 0)
    theirs = torch.cat([g.flatten() for g in clipped_sum(net, x, y, 1.5).values()])
    assert torch.allclose(found, theirs / 4)


def test_a_private_gradient_by_hand():
    """Checks (3, 4), of length 5, and (0, 1) with a clip of 2: the first becomes (1.2, 1.6)."""
    rows = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert torch.allclose(TASKS["noisy_gradient"](rows, 2, 0.0, 2, 0), torch.tensor([0.6, 1.3]))


# Thief


def test_every_question_is_known():
    """Checks the count, and the images, against what a thief asks in three calls."""

    def steal(model, pool, unseen, budget):
        model(pool[:3])
        model(pool[5:7])
        return model(unseen[:1]).expand(len(unseen))

    case = question("steal")
    reply = Student(LocalRunner(steal), TASKS["steal"]).ask(case)
    assert reply.asked == 6
    assert torch.equal(asked(case), torch.cat([case["pool"][:3], case["pool"][5:7], case["unseen"][:1]]))


def test_a_victim_has_names_of_its_own():
    """Checks the victim's classes against the digits': nearly all are told apart, and few have the digit's own number."""
    x, y = data.load("mnist-5k", "test").first(300)
    net = question("steal").victim.victim.net
    table = torch.zeros(10, 10)
    table.index_put_((y, net(x).argmax(1)), torch.ones(300), accumulate=True)
    assert table.amax(1).sum() > 0.8 * 300 and table.diagonal().sum() < 0.6 * 300


# What is where


def test_graded_answers_do_not_have_the_library_of_the_life_cycle():
    """Checks the list of what is staged: nothing of `lifecycle` or of the training of nets is there."""
    assert not [name for name in FILES if name.startswith(("lifecycle", "training", "zoo"))]


def test_a_packed_set_is_rows_of_pixels_and_a_label():
    """Checks two images of two pixels by hand."""
    x = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(2, 1, 1, 2)
    assert torch.equal(packed(x, torch.tensor([7, 8])), torch.tensor([[0.1, 0.2, 7], [0.3, 0.4, 8]]))


def test_a_view_waits_for_a_right_answer():
    """Checks `show` with a function that is not written, and with a wrong one: a sentence, and no net is trained."""

    def lira(phi, members, target, online):
        raise NotImplementedError()

    assert str(show(lira)) == "lira is not written yet."
    assert "check(lira)" in str(show(lambda phi, members, target, online: phi[target], task="lira"))


SHAPES = {
    "poison": lambda given: (len(given["x"]), 785),
    "success": lambda given: (),
    "suspects": lambda given: given["h"].shape[:1],
    "lira": lambda given: given["phi"].shape[1:],
    "noisy_gradient": lambda given: given["gradients"].shape[1:],
    "steal": lambda given: given["unseen"].shape[:1],
}


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -1e30, 7.0])
def test_odd_numbers_are_wrong_answers_and_nothing_else(task, value):
    """Tensors of the right shape, full of one number: each is told in a sentence, and no error leaves the judge."""

    def answer(**given):
        return torch.full(SHAPES[task](given), value)

    verdict = LAB.check(answer, task, 3)
    assert verdict.outcome == "wrong" and verdict.points == 0 and len(verdict.message) < 2_000
