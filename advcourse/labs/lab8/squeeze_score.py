"""Lab 8: does the answer hold when the image gets coarser?"""

import torch
from torch import Tensor

from advcourse.labs.comparing import called, gives, numbers
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab8.defended import Squeezer
from advcourse.labs.lab8.questions import FIRST, LAST
from advcourse.labs.properties import other_amount, other_classes, other_shape, treats_images_alone


def some_squeezers(draw: Draw, x: Tensor, number: int = 3) -> dict[str, tuple[Squeezer, ...]]:
    """So many squeezers, up to four, in a fresh order."""
    shape, bits = tuple(x.shape[1:]), 1 + draw.integer() % 2
    all_four = [
        Squeezer("levels", bits=bits, shape=shape),
        Squeezer("median"),
        Squeezer("blur"),
        Squeezer("levels", bits=3 - bits, shape=shape),
    ]
    some, first = all_four[:number], draw.integer() % number
    return {"squeezers": tuple(some[first:] + some[:first])}


@torch.no_grad()
def probabilities(model, x):
    return model(x).softmax(1)


def distances(model, squeezers, x):
    """|p(x) - p(s(x))| of each squeezer, (J, N, K)."""
    p = probabilities(model, x)
    return torch.stack([(p - probabilities(model, s(x))).abs() for s in squeezers])


@exercise(
    "Does the answer hold when the image gets coarser?",
    3,
    some_squeezers,
    (
        "p = model(x).softmax(1), and the same of squeeze(x) for each squeezer. Each pair gives one distance for each image.",
        "The L1 distance of two rows is (p - q).abs().sum(1), (N,). Stack those of all squeezers: (J, N).",
        "with torch.no_grad(): ... return torch.stack([(p - model(s(x)).softmax(1)).abs().sum(1) for s in squeezers]).amax(0).",
    ),
    shape=lambda case: (len(case["x"]),),
)
def squeeze_score(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).amax(0)


@squeeze_score.slip(
    "logits",
    "The distance is that of the logits. Two answers that are equally sure may have very different logits: compare "
    "probabilities, softmax(1).",
)
@torch.no_grad()
def without_softmax(model, squeezers, x):
    return torch.stack([(model(x) - model(s(x))).abs().sum(1) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "log-probabilities",
    "The distance is that of the log-probabilities, where classes that nobody thinks of weigh most. Compare probabilities.",
)
@torch.no_grad()
def with_log_softmax(model, squeezers, x):
    log_p = model(x).log_softmax(1)
    return torch.stack([(log_p - model(s(x)).log_softmax(1)).abs().sum(1) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "mean over squeezers",
    "The distances are averaged over the squeezers. One squeezer that raises the alarm is then outvoted: take the largest.",
)
def averaged(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).mean(0)


@squeeze_score.slip(
    "sum over squeezers", "The distances are added up over the squeezers. Take the largest of them."
)
def added_up(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).sum(0)


@squeeze_score.slip(
    "smallest", "You take the smallest distance: an attack needs to fool one squeezer only. Take the largest."
)
def smallest(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).amin(0)


@squeeze_score.slip(
    "first squeezer alone",
    "Only the first squeezer counts. Compare with each of them, and take the largest distance.",
)
def first_alone(model, squeezers, x):
    return distances(model, squeezers[:1], x).sum(2)[0]


@squeeze_score.slip(
    "first three alone",
    "Only the first three squeezers count, and there may be more. Compare with each of them.",
)
def the_first_three(model, squeezers, x):
    return squeeze_score(model, squeezers[:3], x)


@squeeze_score.slip(
    "last squeezer alone",
    "Only the last squeezer counts. Is the distance overwritten in the loop? Take the largest of all.",
)
def overwritten(model, squeezers, x):
    for squeeze in squeezers:
        worst = distances(model, [squeeze], x).sum(2)[0]
    return worst


@squeeze_score.slip(
    "L2", "This is the L2 distance. The score is the L1 distance: the sum of absolute values."
)
def euclidean(model, squeezers, x):
    return distances(model, squeezers, x).norm(dim=2).amax(0)


@squeeze_score.slip("largest class", "Only the class that moves most counts. L1 is the sum over all classes.")
def l_infinity(model, squeezers, x):
    return distances(model, squeezers, x).amax(2).amax(0)


@squeeze_score.slip(
    "mean over classes",
    "The absolute differences are averaged over the classes. L1 is their sum, which reaches from 0 to 2.",
)
def mean_absolute(model, squeezers, x):
    return distances(model, squeezers, x).mean(2).amax(0)


@squeeze_score.slip("half", "This is half of the L1 distance. The score reaches from 0 to 2.")
def total_variation(model, squeezers, x):
    return 0.5 * squeeze_score(model, squeezers, x)


@squeeze_score.slip(
    "signed sum",
    "The differences are added up with their signs. Two softmaxes both sum to 1, so that this is always 0. Take abs() first.",
)
def without_abs(model, squeezers, x):
    p = probabilities(model, x)
    return torch.stack([(p - probabilities(model, s(x))).sum(1) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "among themselves",
    "The squeezed images are compared with each other. Compare each with the image as it is.",
)
def without_the_image(model, squeezers, x):
    p = [probabilities(model, s(x)) for s in squeezers]
    pairs = [(a - b).abs().sum(1) for i, a in enumerate(p) for b in p[:i]]
    return torch.stack(pairs).amax(0)


@squeeze_score.slip(
    "one after the other",
    "The squeezers work one after the other on the same image. Each has the image as it came.",
)
def chained(model, squeezers, x):
    squeezed = x
    for squeeze in squeezers:
        squeezed = squeeze(squeezed)
    return (probabilities(model, x) - probabilities(model, squeezed)).abs().sum(1)


@squeeze_score.slip("images", "This says how far the images move. Ask how far the model's probabilities do.")
def of_the_images(model, squeezers, x):
    return torch.stack([(s(x) - x).abs().flatten(1).sum(1) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "answers", "This says whether the answer changes. The score is finer: how far the probabilities move."
)
@torch.no_grad()
def changes_of_answer(model, squeezers, x):
    seen = model(x).argmax(1)
    return torch.stack([(model(s(x)).argmax(1) != seen).to(x.dtype) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "largest of each class",
    "The largest change is taken for each class before the sum, so that different squeezers have a part in one "
    "distance. Each squeezer has one distance: sum over the classes first, then take the largest.",
)
def maximum_before_the_sum(model, squeezers, x):
    return distances(model, squeezers, x).amax(0).sum(1)


@squeeze_score.slip(
    "softmax over the batch",
    "The softmax runs over the images of the batch, dim 0. Each image has probabilities of its own: softmax(1).",
)
@torch.no_grad()
def along_the_images(model, squeezers, x):
    p = model(x).softmax(0)
    return torch.stack([(p - model(s(x)).softmax(0)).abs().sum(1) for s in squeezers]).amax(0)


@squeeze_score.slip(
    "top class alone", "Only the class that the model sees counts. L1 is the sum over all classes."
)
def confidence_lost(model, squeezers, x):
    top = probabilities(model, x).argmax(1)
    return distances(model, squeezers, x)[:, range(len(x)), top].amax(0)


@squeeze_score.right
def kept_in_a_loop(model, squeezers, x):
    p, worst = probabilities(model, x), torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for squeeze in squeezers:
        q = probabilities(model, squeeze(x))
        worst = torch.maximum(worst, torch.linalg.vector_norm(p - q, ord=1, dim=1))
    return worst


@squeeze_score.right
def in_one_batch(model, squeezers, x):
    p = probabilities(model, torch.cat([x, *(s(x) for s in squeezers)])).unflatten(0, (-1, len(x)))
    return torch.nn.functional.l1_loss(p[1:], p[:1].expand_as(p[1:]), reduction="none").sum(2).max(0).values


@squeeze_score.wrong("formula")
def squared(model, squeezers, x):
    return distances(model, squeezers, x).square().sum(2).amax(0)


@squeeze_score.wrong("shape")
def of_each_squeezer(model, squeezers, x):
    return distances(model, squeezers, x).sum(2).T


@squeeze_score.wrong("attached")
def with_a_graph(model, squeezers, x):
    p = model(x).softmax(1)
    return torch.stack([(p - model(s(x)).softmax(1)).abs().sum(1) for s in squeezers]).amax(0)


@squeeze_score.wrong("crash")
def called_at_once(model, squeezers, x):
    return (probabilities(model, x) - probabilities(model, squeezers(x))).abs().sum(1)


@squeeze_score.wrong("other amount")
def always_three(model, squeezers, x):
    a, b, c = squeezers
    return squeeze_score(model, (a, b, c), x)


@squeeze_score.wrong("other classes")
def ten_classes(model, squeezers, x):
    p = probabilities(model, torch.cat([x, *(s(x) for s in squeezers)])).view(-1, len(x), 10)
    return (p[1:] - p[:1]).abs().sum(2).amax(0)


def with_squeezers(task: Task, draw: Draw, number: int) -> Case:
    """Eight images, and so many squeezers."""
    case = task.case(draw, n=8)
    return case.but(**some_squeezers(draw, case["x"], number))


def two_questions(task: Task, draw: Draw) -> tuple[Case, Case]:
    """With three squeezers, and with four, the last of which moves the first image most, and the first not least."""
    three, four = (with_squeezers(task, draw, number).to(torch.float64) for number in (3, 4))
    least, *others = called(distances, four).sum(-1)[:, 0].argsort().tolist()
    return three, four.but(squeezers=tuple(four["squeezers"][i] for i in (others[0], least, *others[1:])))


def two_squeezers(task: Task, draw: Draw) -> Case:
    """One squeezer fewer than otherwise."""
    return with_squeezers(task, draw, 2)


squeeze_score.checks(
    *FIRST,
    other_classes,
    other_amount("It works for three squeezers and fails for two.", two_squeezers),
    gives(squeeze_score, by=numbers(1e-9), make=two_questions),
    treats_images_alone,
    other_shape,
    *LAST,
)
