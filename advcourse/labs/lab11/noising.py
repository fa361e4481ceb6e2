"""What the judge of lab 11 asks of a private gradient: the clip without noise, and then the noise by its statistics."""

from typing import Any

from advcourse.core.rounding import number
from advcourse.labs.checks import Student
from advcourse.labs.comparing import called
from advcourse.labs.exercises import Case, Draw
from advcourse.labs.lab11.sets import PlainTask
from advcourse.labs.properties import follows_its_seed
from advcourse.labs.running import CRASH
from advcourse.labs.verdicts import Finding

MANY = 10_000  # weights: their spread is then known to 0.7 %
OFF = 0.05  # so far the spread of the noise may be from what it should be, which is seven times that
OFF_CENTRE = 0.06  # of the spread, six times the uncertainty of the mean
SQUARE_OF_SQUARES = (
    2.6  # the fourth moment of a normal draw is 3, known to 0.05 here; that of a uniform one is 1.8
)


def gradients_of(
    draw: Draw,
    x: None = None,
    images: int = 7,
    weights: int = 20,
    noise: float | None = None,
    zero: bool = False,
) -> dict[str, Any]:
    """Fresh gradients of some images, float64. Some are longer than the clip and some shorter; one much longer than all others.

    With `zero` one is 0 throughout.
    """
    clip = draw.number(0.7, 2.2)
    lengths = clip * (0.1 + 0.7 * draw.uniform((images,)))
    lengths[: images // 2] = clip * (1.5 + 2 * draw.uniform((images // 2,)))
    lengths[:1] = 20 * clip
    rows = draw.normal((images, weights))
    rows = rows / rows.norm(dim=1, keepdim=True) * lengths[:, None]
    if zero:
        rows[-1] = 0
    return {
        "gradients": rows[draw.uniform((images,)).argsort()].double(),
        "clip": clip,
        "noise": draw.number(0.6, 3) if noise is None else noise,
        "expected": images + 2 + draw.integer() % 5,
        "seed": draw.integer() // 2,
    }


def without_noise(task: PlainTask, draw: Draw) -> list[Case]:
    """Questions with noise = 0, in which only the clip counts."""
    return [task.case(draw, noise=0.0) for _ in range(2)]


def bears_a_gradient_of_zero(student: Student, draw: Draw) -> None:
    """A gradient of zero does no harm."""
    case = student.task.case(draw, noise=0.0, zero=True)
    reply = student.ask(case)
    if reply.value is not None and reply.value.dim() and reply.value.isnan().any():
        told = (
            "One of the images has a gradient of zero, as images do that the net is sure of. There 0 / 0 is no number, and "
            "spoils the "
            "sum: norms.clamp(min=1e-12)."
        )
        raise Finding("gradient of zero", told)
    student.images(reply, case)


def adds_its_noise(student: Student, draw: Draw) -> None:
    """With many weights the noise has the mean, the spread and the shape of normal draws."""
    case = student.task.case(draw, weights=MANY, images=6)
    while (
        abs(case["noise"] * case["clip"] - 1) < 0.3 or abs(case["clip"] - 1) < 0.2
    ):  # no mistake may be right
        case = student.task.case(draw, weights=MANY, images=6)
    _judged(case, student(case) - called(student.task.solution, case.but(noise=0.0)))


def _judged(case, residue):
    clip, noise, expected = case["clip"], case["noise"], case["expected"]
    wanted = noise * clip / expected
    spread = residue.std().item()
    if residue.square().mean().sqrt() < 1e-6 * wanted:
        raise Finding(
            "no noise", "There is no noise: with noise = 0 and with noise above 0 you return the same."
        )
    if spread < 1e-6 * wanted:
        raise Finding(
            "one draw", "All weights get the same draw. Draw a number for each: torch.randn(D, ...)."
        )
    if residue.mean().abs() > OFF_CENTRE * spread and residue.mean().abs() > OFF_CENTRE * wanted:
        told = (
            f"The noise has the mean {number(residue.mean().item())}, and a spread of {number(spread)}: it pushes all weights "
            "one way. "
            "torch.randn has the mean 0; torch.rand lies between 0 and 1."
        )
        raise Finding("off centre", told)
    if abs(spread / wanted - 1) <= OFF:
        if (residue / spread).pow(4).mean() < SQUARE_OF_SQUARES:
            told = "The noise has the right spread, and is not normal: its ends are missing. The guarantee needs torch.randn."
            raise Finding("not normal", told)
        return
    told = (
        f"The spread of the noise is {number(spread)}; right is noise * clip / expected = {number(wanted)}."
    )
    for key, value, why in _AMOUNTS:
        if abs(spread / value(noise, clip, expected, len(case["gradients"])) - 1) <= OFF:
            raise Finding(key, f"{told} {why}")
    if spread < wanted and residue.norm() < 3 * clip * len(case["gradients"]) / expected:
        raise Finding("noise first", f"{told} {_FIRST}")
    raise Finding("amount of noise", told)


_FIRST = "It is clipped away: what is clipped is the gradient of an image, and the noise comes after it, to the sum."
_AMOUNTS = (
    (
        "noise without clip",
        lambda noise, clip, expected, n: noise / expected,
        "Noise hides an image if it is large beside what the image can do, which is clip: noise * clip.",
    ),
    (
        "noise of each image",
        lambda noise, clip, expected, n: noise * clip * n**0.5 / expected,
        "You add noise to each gradient. One draw for the sum is enough: what one image can do to the sum is clip, however "
        "many there are.",
    ),
    (
        "noise after the division",
        lambda noise, clip, expected, n: noise * clip,
        "You add it after the division. One image can do clip / expected to the mean, so divide the noise as well.",
    ),
    (
        "variance",
        lambda noise, clip, expected, n: (noise * clip) ** 2 / expected,
        "noise * clip is the spread of the noise, not its variance: multiply the draws by it.",
    ),
    (
        "variance",
        lambda noise, clip, expected, n: (noise * clip) ** 0.5 / expected,
        "noise * clip is the spread of the noise, not its variance: multiply the draws by it, and take no root.",
    ),
)


def clipped_first(student: Student, draw: Draw) -> None:
    """Huge noise is not clipped away."""
    case = student.task.case(draw, weights=400, images=3, noise=1e4)
    found = student(case) * case["expected"] / case["clip"]
    if found.norm() < 1e4:  # a thousandth of what it should be is more
        raise Finding(
            "noise first",
            f"With noise = 10 000 the result is {number(found.norm().item())} times clip long. {_FIRST}",
        )


def draws_by_its_seed(student: Student, draw: Draw) -> None:
    """The seed decides the noise."""
    case = student.task.case(draw)
    told = "All seeds give the same noise. Whoever knows the noise takes it away again: draw it from the seed that comes in."
    if finding := follows_its_seed(student, case, told, student(case), student(case)):
        raise finding


def holds_without_images(student: Student, draw: Draw) -> None:
    """A batch into which no image was drawn still gives its noise: otherwise it would tell that it is empty."""
    case = student.task.case(draw, weights=200)
    case = case.but(gradients=case["gradients"][:0])
    reply = student.ask(case)
    told = (
        "A batch may come without any image, when chance draws none, as gradients of shape (0, D). Its sum is 0, and the noise "
        "is added all the same: without it, everybody could see that nobody was drawn."
    )
    if reply.kind == CRASH:
        raise Finding("empty batch", f"{told} The error: {reply.detail.splitlines()[-1]}")
    found = student.images(reply, case)
    wanted = case["noise"] * case["clip"] / case["expected"]
    if not 0.7 < found.square().mean().sqrt() / wanted < 1.3:
        raise Finding("empty batch", told)
