"""C&W L2 by its behaviour: a linear model with two classes has closed forms for the nearest image that fools and for the least c.

The label leads by m(x'), which falls by g . delta, g being the difference of the two rows of W. The nearest image that fools is
m / |g| away. And |delta|^2 + c f is least at delta = c g / 2 while that does not fool: so c must exceed 2 m / |g|^2.
"""

import math

import torch
from torch import Tensor

from advcourse.core.rounding import number
from advcourse.labs import definitions as by_hand
from advcourse.labs.checks import Student, picture
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab3.questions import lead, seen
from advcourse.labs.properties import takes_class_0
from advcourse.labs.verdicts import Finding
from advcourse.metrics import l2

FAR = 0.05  # from the boundary, where the least constant is asked for; unsquared distances make it 1 / (2 FAR) times as large
REACHABLE = {"const": 10.0, "searches": 2, "lr": 0.02, "steps": 15}  # a grey image gets to any target
SLOW = {
    "lr": 2.4e-4,
    "steps": 36,
    "searches": 1,
}  # about 17 of these steps lead to the boundary: no overshoot to speak of
LINE = {"kind": "linear", "classes": 2, "grey": True}
SURELY, SURE = (
    8,
    {"lr": 0.005, "steps": 10, "searches": 1},
)  # with a confidence the smaller constant ends nearer
REACHED = 1e-5  # a lead this small is rounding
# Three rounds: their constants as multiples of the first, by the outcomes of the first round and of the second.
ROUNDS = {
    (True, True): (1, 0.5, 0.25),
    (True, False): (1, 0.5, 0.75),
    (False, True): (1, 10, 5.5),
    (False, False): (1, 10, 100),
}
TIMES = (1, 0.5, 0.25, 0.75, 10, 5.5, 100)
MIDDLE = 0.08
# Distances of the images, by their middle.
AROUND = torch.linspace(0.25, 1.75, 16, dtype=torch.float64)
# The first constant by the least one of the middle, and the steps. It is enough for half of the images; or for all, and the steps
# are so long that a smaller constant often ends farther away.
FINE, COARSE = (1, {"lr": 2e-3, "steps": 12}), (3, {"lr": 0.02, "steps": 6})


def _normal(case):
    """g (N, C, H, W): the lead falls along it."""
    weight = by_hand.model_of(case)[1].weight.detach()
    return (weight[1 - case.labels] - weight[case.labels]).view_as(case["x"])


def _length(images):
    return images.flatten(1).norm(dim=1)


def at_distance(case: Case, far: Tensor | float) -> Case:
    """The same images, moved along g until the boundary is `far` (a number, or one for each image) away."""
    g, x = _normal(case), by_hand.clean(case)
    surplus = lead(case, x).detach() / _length(g) - far
    return case.but(x=(x + (surplus / _length(g)).view(-1, 1, 1, 1) * g).float())


def least_constant(case: Case) -> float:
    return (2 * lead(case, by_hand.clean(case)) / _length(_normal(case)).square()).mean().item()


def fooled(case: Case, images: Tensor) -> Tensor:
    """Which images fool, with all the confidence that was asked for."""
    return lead(case, images) < REACHED - case["confidence"]


def _is_clean(case, images):
    return (images - by_hand.clean(case)).abs().flatten(1).amax(1) < 1e-6


def _distance(case, images):
    """L2 distance of each image, infinite where it does not fool."""
    return torch.where(fooled(case, images), l2(by_hand.clean(case), images), torch.inf)


def weighs_as_the_formula(student: Student, draw: Draw) -> None:
    """Whether |delta|^2 + c f fools tells by which constants suffice: those above the closed form's, and no others."""
    case = at_distance(student.task.case(draw, **LINE), FAR).but(**SLOW)
    least = least_constant(case)

    def share(times):
        tried = case.but(const=times * least)
        return fooled(tried, student(tried)).double().mean().item()

    enough, little = share(2.5), share(0.2)
    if enough == 1 and little == 0:
        return
    if little > 0:
        if share(1e-4) > 0:
            told = "Even a constant of next to nothing fools: the distance plays no part in the loss. Add |x' - x|^2 to c f."
            raise Finding("no distance", told)
        told = (
            f"A constant of {number(0.2 * least)} fools here, where the formula needs {number(least)}: the distance weighs too "
            "little. Sum the squares over the pixels of an image; do not average them."
        )
        raise Finding("distance averaged", told)
    n = len(case["x"])
    if share(1.6 * n) == 1:
        told = (
            f"It takes {n} times the constant that the formula needs, and there are {n} images: f is averaged over the batch, "
            "the distance is not. Add both up."
        )
        raise Finding("f averaged", told)
    if share(2.0 / FAR) == 1:
        told = (
            f"It takes about {1 / (2 * FAR):.0f} times the constant that the formula needs. Is the distance squared? "
            "|x' - x|^2 has no root."
        )
        raise Finding("distance not squared", told)
    told = (
        f"With c = {number(2.5 * least)} and small steps no image fools; by the closed form {number(least)} suffices. Check the "
        "sign of f, and that Adam steps on w."
    )
    raise Finding("does not succeed", told)


def gives_up_cleanly(student: Student, draw: Draw) -> None:
    """A constant far too small fools nothing: then the clean image comes back, exactly."""
    case = at_distance(student.task.case(draw, **LINE), 0.5)
    case = case.but(const=0.05 * least_constant(case), searches=1, lr=2e-3, steps=10)
    images = student(case)
    astray = ~_is_clean(case, images) & ~fooled(case, images)
    if astray.any():
        told = "Where nothing fools, something else than x comes back. Begin with best = x, and replace it by successes alone."
        raise Finding("failure not clean", told, picture(case, images, int(astray.nonzero()[0])))


def grows_until_it_fools(student: Student, draw: Draw) -> None:
    """From a constant far too small the search must climb: five rounds are a factor of 10000."""
    case = at_distance(student.task.case(draw, **LINE), 0.3)
    case = case.but(const=0.01 * least_constant(case), searches=5, lr=0.02, steps=6)
    if not (success := fooled(case, student(case))).all():
        told = (
            f"{int((~success).sum())} of {len(success)} images do not fool. The first constant is 100 times too small here; the "
            "search has five rounds to let it grow. Does c change after each round, by `search`?"
        )
        raise Finding("search stuck", told)


def keeps_the_best(student: Student, draw: Draw) -> None:
    """More steps never make the result worse, nor do more rounds: any iterate of any round may be the best."""
    case = at_distance(student.task.case(draw, **LINE), 0.3)
    case = case.but(const=3 * least_constant(case), searches=1, lr=0.01)
    runs = [_distance(case, student(case.but(steps=steps))) for steps in (8, 11, 14, 17)]
    if any((later > earlier + 1e-5).any() for earlier, later in zip(runs, runs[1:])):
        told = (
            "With more steps an image gets worse: the last iterate decides. Compare every iterate of the loop with the best so "
            "far, and keep the nearest that fools."
        )
        raise Finding("last iterate", told)
    if torch.equal(runs[0], runs[-1]):
        told = "The first iterate that fools is kept. Adam comes nearer afterwards: compare each success with the best so far."
        raise Finding("first success", told)
    case = case.but(const=case["const"] * 0.4, steps=12)  # too small in the second round
    rounds = [_distance(case, student(case.but(searches=searches))) for searches in (1, 2)]
    if any((later > earlier + 1e-5).any() for earlier, later in zip(rounds, rounds[1:])):
        told = (
            "With more rounds of the search an image gets worse: what an earlier constant has found is forgotten. Keep the best "
            "over all rounds: set it up before the loop."
        )
        raise Finding("best forgotten", told)


def comes_near(student: Student, draw: Draw) -> None:
    """On the linear model the distance is at most 5 % above the closed form's, and never below."""
    case = at_distance(student.task.case(draw, **LINE), 0.3)
    case = case.but(const=30 * least_constant(case), searches=5, lr=0.005, steps=50)
    images = student(case)
    ratio = _distance(case, images) / 0.3
    if (worst := ratio.max().item()) > 1.05:
        told = (
            f"An image ends {number(worst)} times as far away as the nearest one that fools (on a linear model that one is "
            "known). Is c lowered after a success, and is every iterate compared?"
        )
        raise Finding("too far", told, picture(case, images, int(ratio.argmax())))


def searches_alone(student: Student, draw: Draw) -> None:
    """Images at very different distances need different constants: each alone and all together give the same."""
    far = torch.tensor([0.05, 0.5], dtype=torch.float64)
    case = at_distance(student.task.case(draw, n=2, **LINE), far)
    case = case.but(const=0.1 * least_constant(case), searches=3, lr=0.01, steps=8)
    together = student(case)
    distances = _distance(case, together)
    for i, one in enumerate(map(case.image, range(len(far)))):
        if not torch.isclose(_distance(one, student(one))[0], distances[i], rtol=0.02):
            told = (
                "An image attacked alone comes out otherwise than in a batch. Does one outcome decide for all? lo, hi, c, the "
                "success and the best are vectors, one number for each image."
            )
            raise Finding("search shared", told, picture(case, together, i))


def starts_anew(student: Student, draw: Draw) -> None:
    """Three rounds give the nearest of what their constants give alone: each starts at x, and knows its own successes alone."""
    case = at_distance(student.task.case(draw, n=len(AROUND), **LINE), MIDDLE * AROUND)
    for first, steps in (FINE, COARSE):
        _gives_what_its_rounds_give(student, case.but(**steps), _few_digits(first * least_constant(case)))


def _gives_what_its_rounds_give(student, case, first):
    alone = {times: student(case.but(const=times * first, searches=1)) for times in TIMES}
    together = student(case.but(const=first, searches=3))
    far = {times: _distance(case, images) for times, images in alone.items()}
    same = {times: (images - together).abs().flatten(1).amax(1) < 1e-5 for times, images in alone.items()}

    def explained(i, rounds):
        """Is image i what the nearest of these rounds gives?"""
        nearest = min(far[times][i] for times in rounds) * (1 + 1e-4)
        return any(same[times][i] and far[times][i] <= nearest for times in rounds)

    images = range(len(together))
    taken = [_outcomes(far, i) for i in images]
    lost = [i for i in images if not explained(i, ROUNDS[taken[i]])]
    if not lost:
        return
    if not all(any(explained(i, rounds) for rounds in ROUNDS.values()) for i in lost):
        told = (
            "What a later round finds is not what its constant finds alone. Each round starts anew: w = to_w(x), and a new "
            "Adam, whose memory is empty. And its c is the one that `search` gives."
        )
        raise Finding("goes on", told, picture(case, together, lost[0]))
    if all(explained(i, ROUNDS[once, once or again]) for i, (once, again) in enumerate(taken)):
        told = (
            "Where one round succeeds and the next one fails, c does not go to the middle between lo and hi. Each round has "
            "successes of its own: set fooled to all False at its start."
        )
        raise Finding("success remembered", told, picture(case, together, lost[0]))
    told = (
        "After a round c goes the wrong way for some images. A round is a success where any of its iterates fools, the last one "
        "or another: fooled |= success, whether or not it is the nearest so far. Then search moves lo or hi."
    )
    raise Finding("wrong way", told, picture(case, together, lost[0]))


def _outcomes(far, i):
    """Whether image i is fooled in the first round, and in the second; far: its distance by the constant."""
    once = far[1][i].isfinite().item()
    return once, far[0.5 if once else 10][i].isfinite().item()


def _few_digits(value):
    """A number near `value` of eight binary digits, so that ten times or half of it is exact in float32."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def leads_by_the_confidence(student: Student, draw: Draw) -> None:
    """With a confidence the label trails by as much, and the image is no farther than that needs."""
    case = at_distance(student.task.case(draw, **LINE), 0.2)
    confidence = 0.5 * lead(case, by_hand.clean(case)).mean().item()
    case = case.but(confidence=confidence, const=3 * least_constant(case), searches=1, lr=0.01, steps=20)
    images = student(case)
    _leads(case, images, "The other class", "Only")
    _compares_distances(student, case.but(**SURE))


def _compares_distances(student, case):
    """With a confidence, too, the nearest image of two rounds is kept: the loss is less where c is large, near or far."""
    case = case.but(const=SURELY * least_constant(case))
    alone = [_distance(case, student(case.but(const=times * case["const"]))) for times in (1, 0.5)]
    together = student(case.but(searches=2))
    excess = _distance(case, together) / torch.minimum(*alone)
    if (excess > 1 + 1e-3).any():
        told = (
            "With a confidence, not the nearest image of two rounds comes back. Compare |x' - x|^2 and nothing else: c f differs "
            "from round to round."
        )
        raise Finding("least loss", told, picture(case, together, int(excess.argmax())))


def _leads(case, images, which, only):
    """A finding where an image is not as sure as the case's confidence asks for; `which` class must lead."""
    ahead, confidence = -lead(case, images), case["confidence"]
    short = ahead < confidence * 0.98 - REACHED
    if not short.any():
        return
    i = int(short.nonzero()[0])
    if _is_clean(case, images).any():
        told = "With a confidence no image is found. f must fall to -confidence: give cw_loss the confidence."
        raise Finding("confidence never reached", told, picture(case, images, i))
    told = (
        f"{which} leads by {number(ahead[i].item())}; a confidence of {number(confidence)} was asked for. {only} iterates "
        "with f <= -confidence count as success."
    )
    raise Finding("confidence", told, picture(case, images, i))


def reaches_the_target(student: Student, draw: Draw) -> None:
    """With a target the images are seen as it. Each has another one, so that no single class will do."""
    case = student.task.case(draw, kind="linear", grey=True)
    ranks = 1 + (draw.integer() + torch.arange(len(case.labels))) % 9
    ranked = by_hand.logits(case, by_hand.clean(case)).argsort(1, descending=True)
    case = case.but(target=ranked.gather(1, ranks[:, None])[:, 0], **REACHABLE)
    images = student(case)
    missed = ~fooled(case, images)
    if not missed.any():
        _leads_to_the_target(student, case)
        return takes_class_0(student, draw, _far_from_class_0)
    i, seen = int(missed.nonzero()[0]), by_hand.logits(case, images).argmax(1)
    if torch.equal(images, student(case.but(target=None))):
        told = "With a target the images are the same as without. Where target is given, it is the label, and targeted is True."
        raise Finding("target unused", told, picture(case, images, i))
    told = f"{int(missed.sum())} of {len(missed)} miss the target; one is seen as {seen[i]}, wanted is {case['target'][i]}."
    raise Finding("misses the target", told, picture(case, images, i))


def _leads_to_the_target(student, case):
    """With a confidence, the target is ahead by as much."""
    case = case.but(steps=40, confidence=0.5 * lead(case, by_hand.clean(case)).mean().item())
    _leads(case, student(case), "A target", "With a target, too, only")


def _far_from_class_0(task, draw, grey):
    """A question with an image for which class 0 is neither the likeliest nor the next: the nearest that fools is another's."""
    while True:
        case = task.case(draw, kind="linear", grey=grey, **REACHABLE)
        ranked = by_hand.logits(case, by_hand.clean(case)).argsort(1, descending=True)
        if (ranked[:, 3:] == 0).any():
            return case


def starts_at_saturated_pixels(student: Student, draw: Draw) -> None:
    """Black and white images must be able to move: their pixels start inside the box."""
    case = student.task.case(draw, kind="linear", classes=2)
    case = seen(case.but(x=case["x"].round(), const=100.0, searches=1, lr=0.2, steps=20))
    images = student(case)
    if not fooled(case, images).all():
        told = "Images of black and white pixels hardly move. Start from `to_w(x)`, which draws their pixels into the box."
        raise Finding("flat start", told, picture(case, images, 0))


def fools_digits(student: Student, draw: Draw) -> None:
    """On real digits and the model that ships with the library all are fooled."""
    case = student.task.case(draw, "mnist-cnn", 4, const=10.0, lr=0.3, steps=20, searches=1)
    images = student(case)
    if not fooled(case, images).all():
        told = f"{int(fooled(case, images).sum())} of {len(images)} digits fool the model; a right answer fools them all."
        raise Finding("weak", told, picture(case, images, int((~fooled(case, images)).nonzero()[0])))
