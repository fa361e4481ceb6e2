"""Properties that hold for every attack with a budget, whatever its formula. A lab's tasks are made of these and of their own.

A property is a function of (student, draw) that returns nothing or raises a `Finding`. Those that need settings are made: by
`stays_in_budget`, `recognises`, `follows`, `uses_seed` and `fools`.
"""

import re
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from advcourse.core.inputs import predict
from advcourse.labs.checks import Student, picture
from advcourse.labs.comparing import MOST, agree
from advcourse.labs.exercises import Case, Draw, Task
from advcourse.labs.running import CRASH, NUMBER, TENSOR, TEXT, Reply
from advcourse.labs.verdicts import Finding
from advcourse.metrics import succeeded

ALMOST_ALL = 0.995  # where both are the student's images, rounding hardly differs

_LEFT = {
    "input": "What came in was changed in place. Work on a copy: x.clone(), or out-of-place operations.",
    "mode": "The model is not in the mode that it came in. It comes in eval mode: do not call model.train().",
    "buffers": "The model ran in training mode: its batch-normalisation statistics changed. It comes in eval mode; leave it so.",
    "parameters": "The model's weights are not what they were. An attack changes images, never weights.",
    "parameter flags": "The model's parameters have another requires_grad than before. Leave it as it was.",
    "parameter gradients": "Gradients were left in the .grad of the model's parameters. Ask for that of the images alone: "
    "torch.autograd.grad(loss, x_i), or loss.backward(inputs=[x_i]).",
    "input flags": "The images that came in now require gradients, or hold some. Work on a copy: x.clone().requires_grad_().",
    "random state": "The global random state changed: other code would draw other numbers after a call. "
    "Use a generator of your own: torch.Generator().manual_seed(seed), given as generator=... to the draw.",
    "gradient mode": "Gradients are switched otherwise than before. Use `with torch.no_grad():`, which undoes itself.",
    "defaults": "New tensors are of another type, or on another device, than before. Leave torch.set_default_dtype and "
    "torch.set_default_device alone: say dtype=... or device=... where you make a tensor.",
}


def answers(student: Student, draw: Draw) -> None:
    """It takes the parameters asked for, and returns images."""
    wanted, found = student.task.parameters, student.runner.parameters()
    named = [name for name in found if not name.startswith("*")]
    names, hides = tuple(name.rstrip("=") for name in named), len(named) < len(found)
    extra = [name for name in named if name.rstrip("=") not in wanted]
    asked = tuple(name for name in names if name in wanted)
    fits = names[: len(wanted)] == wanted or (hides and asked == tuple(n for n in wanted if n in asked))
    call = f"{student.task.name}({', '.join(wanted)})"
    if not fits or not all(name.endswith("=") for name in extra):
        raise Finding("signature", f"The parameters must be {call}; yours are ({', '.join(found)}).")
    case = student.task.case(draw)
    reply = student.ask(case)
    if hides and reply.kind == CRASH and _CANNOT_BE_CALLED.search(reply.detail):
        told = f"Your function hides its parameters, and cannot be called as {call}. {_last_line(reply)}. {_SHOW}"
        raise Finding("signature", told)
    student.images(reply, case)


_CANNOT_BE_CALLED = re.compile(
    r"TypeError: .*(keyword argument|positional argument|values for argument)[^\n]*$"
    r"|Expected a value of type|Unknown keyword argument|missing value for argument"
)
_SHOW = (
    "If a decorator wraps it, put @functools.wraps(f) on the inner function, and let that take the same parameters. "
    "In place of a torch.jit.ScriptFunction or an nn.Module submit the plain Python function."
)


def keeps_what_it_gets(student: Student, draw: Draw) -> None:
    """Images, mode, statistics and weights are as before."""
    _left(student, draw, ("input", "mode", "parameters", "buffers", "gradient mode", "defaults"))


def leaves_nothing_behind(student: Student, draw: Draw) -> None:
    """No gradients, flags or random numbers are left over, and the result is free of the graph."""
    reply = leaves_no_trace(student, draw)
    if reply.requires_grad:
        told = "The result still hangs on the graph (requires_grad is True), and keeps it in memory. Return x_adv.detach()."
        raise Finding("attached", told)


def leaves_no_trace(student: Student, draw: Draw) -> Reply:
    """No gradients, flags or random numbers are left over; returns the reply."""
    return _left(student, draw, tuple(_LEFT))


def _left(student, draw, names):
    case = student.task.case(draw)
    reply = student.ask(case)
    student.images(reply, case)
    for name in names:
        if name in reply.left:
            raise Finding(name, _LEFT[name])
    return reply


def changes_the_images(student: Student, draw: Draw) -> None:
    """What comes back is neither the clean image nor a blank one."""
    case = student.task.case(draw, grey=True)
    images, x = student(case), case["x"].double()
    if ((images - x).abs() >= 0.9 * images.abs()).double().mean() > MOST:  # nearer to 0 than to the grey x
        told = (
            f"The result is the change alone: its pixels reach from {images.min():.3f} to {images.max():.3f}, and those of x "
            f"from {x.min():.1f} to {x.max():.1f}. Add the change to x, and return the sum."
        )
        if images.flatten(1).std(1).min() >= 1e-6:
            raise Finding("perturbation", told, picture(case, images, 0))
    if torch.equal(images, x):
        told = "The result is the clean image: nothing was changed. Is the changed image the one that you return?"
        raise Finding("clean image", told, picture(case, images, 0))
    if (images.flatten(1).std(1) < 1e-6).any():
        i = int((images.flatten(1).std(1) < 1e-6).nonzero()[0])
        raise Finding(
            "blank", "Every pixel of the result is the same. Start from x.", picture(case, images, i)
        )


def asks_the_model(student: Student, draw: Draw) -> None:
    """Another model gives another answer."""
    case = student.task.case(draw, grey=True)
    other = student.task.case(draw, grey=True).victim
    first, second = student(case), student(case.but(other))
    if torch.equal(first, second):
        told = "Two different models get the very same images. The step must come from the gradient of the model that is given."
        raise Finding("ignores the model", told, picture(case, first, 0))


def stays_in_the_box(student: Student, draw: Draw) -> None:
    """All pixels are in [0, 1]."""
    case = student.task.case(draw)
    images = student(case)
    low, high = images.min().item(), images.max().item()
    if low >= -1e-6 and high <= 1 + 1e-6:
        return
    worst = int((images - images.clamp(0, 1)).abs().flatten(1).amax(1).argmax())
    if low >= -1 and high <= 1 + 1e-6:
        told = f"Pixels go down to {low:.3f}: they are cut off at another range. Images live in [0, 1], not in [-1, 1]."
        raise Finding("other range", told, picture(case, images, worst))
    told = f"Pixels reach from {low:.3f} to {high:.3f}. Clip the result to [0, 1], or it is no image."
    raise Finding("box", told, picture(case, images, worst))


def stays_in_budget(
    overshoot: Callable[[Case], tuple[float, str, str]] | None = None,
) -> Callable[[Student, Draw], None]:
    """No pixel moves by more than eps. `overshoot(case)` -> (size, key, message): a known way to go too far, told by its size."""

    def ask(student, draw):
        case = student.task.case(draw, grey=True)
        images = student(case)
        eps = case["eps"]
        moved = (images - case["x"].double()).abs().flatten(1).amax(1)
        worst, size = int(moved.argmax()), moved.max().item()
        if size < eps / 50:
            told = f"No pixel moves by more than {size:.5f}, but eps is {eps}. Pixels are in [0, 1], and so is eps: no 255 here."
            raise Finding("units", told, picture(case, images, worst))
        if size <= eps + 1e-5:
            return
        if ((images < 1e-6) | (images > 1 - 1e-6)).double().mean() > MOST:
            told = f"Every pixel is black or white, but eps is {eps}. Is eps multiplied by 255? Pixels are in [0, 1]."
            raise Finding("units", told, picture(case, images, worst))
        known = overshoot(case) if overshoot else None
        if known and abs(size - known[0]) < 0.05 * (known[0] - eps):
            raise Finding(known[1], known[2], picture(case, images, worst))
        told = f"A pixel moves by {size:.3f}, more than the budget eps = {eps}."
        raise Finding("budget", told, picture(case, images, worst))

    return ask


def treats_images_alone(student: Student, draw: Draw) -> None:
    """A batch of one works, and an image gets the same answer alone and in company."""
    case = student.task.case(draw, n=3, mixed=True)
    together = student(case)
    for i in range(len(together)):
        one = case.image(i)
        reply = student.ask(one)
        if reply.kind == CRASH or (reply.kind == TENSOR and reply.value.shape != together[i : i + 1].shape):
            told = f"A batch of one image fails. Keep all four dimensions, N = 1 too; no squeeze(). {_last_line(reply)}"
            raise Finding("batch of one", told)
        alone = student.images(reply, one)
        if not agree(alone, together[i : i + 1], ALMOST_ALL):
            told = (
                "An image attacked alone comes out otherwise than in a batch. Each image must have a norm, a maximum and a "
                "success of its own: reduce over all dimensions but the first."
            )
            of_images = student.task.shape is None
            raise Finding("mixes images", told, picture(case, together, i) if of_images else None)


_OTHER_TYPE = (
    "Tensors that you make yourself, with torch.zeros, torch.full, torch.rand or torch.tensor, hold float32 unless you say "
    "otherwise, and so does what .float() returns. Make them like x: torch.zeros_like(x), or .to(x) at the end."
)


def other_type(student: Student, draw: Draw) -> None:
    """float64 images come back as float64."""
    case = student.task.case(draw).to(torch.float64)
    reply = student.ask(case)
    if reply.kind == CRASH:
        told = f"It works for float32 images and fails for float64. {_OTHER_TYPE} {_last_line(reply)}"
        raise Finding("other type", told)
    student.images(reply, case)
    if reply.value.dtype != torch.float64:
        told = f"float64 images came in and {reply.value.dtype} came back. {_OTHER_TYPE}"
        raise Finding("other type", told)


def other_shape(student: Student, draw: Draw) -> None:
    """Images in colour, wider than high, work."""
    case = student.task.case(draw, shape=(3, 20, 24))
    reply = student.ask(case)
    if reply.kind == CRASH:
        told = f"It fails for colour images of 20 x 24 pixels. Is a size written down somewhere? {_last_line(reply)}"
        raise Finding("other shape", told)
    student.images(reply, case)


def other_classes(student: Student, draw: Draw) -> None:
    """A model of another number of classes works."""
    message = "It works for ten classes and fails for seven. Is their number written down somewhere? It is logits.shape[1]."
    _works(student, student.task.case(draw, classes=7), "other classes", message)


def other_amount(message: str, make: Callable[[Task, Draw], Case]) -> Callable[[Student, Draw], None]:
    """With another number of something it works too; make(task, draw) gives the case, `message` says of what."""

    def ask(student, draw):
        told = f"{message} Is their number written down somewhere? Take it from what comes in."
        _works(student, make(student.task, draw), "other amount", told)

    return ask


def _works(student, case, key, message):
    """No crash, and a result of the right shape."""
    reply = student.ask(case)
    shape = tuple(student.task.shape(case)) if student.task.shape else case["x"].shape
    if reply.kind == CRASH or (reply.kind == TENSOR and reply.value.shape != shape):
        raise Finding(key, f"{message} {_last_line(reply)}".rstrip())
    student.images(reply, case)


def other_device(student: Student, draw: Draw) -> None:
    """Images on a GPU come back on it, but for a result that is a plain number. Asked only where the function has a GPU."""
    if not student.runner.has_gpu:
        return
    case = student.task.case(draw)
    reply = student.ask(case, "cuda")
    if reply.kind == CRASH or (reply.kind not in (NUMBER, TEXT) and not reply.device.startswith("cuda")):
        told = f"It fails for images on a GPU. Make new tensors on x.device. {_last_line(reply)}"
        raise Finding("other device", told)


def _last_line(reply):
    return f"The error: {reply.detail.splitlines()[-1]}" if reply.kind == CRASH else ""


# So far away: a part of a seed, or its remainder, is the same for two of them.
OTHER_SEEDS = (1, 2, 420, 1000, 1024)


def follows_its_seed(student: Student, case: Case, told: str, first: Tensor, again: Tensor) -> Finding | None:
    """A `Finding` where other seeds give what `case` gave `first`; `told` is said where all do. `again`: the second answer."""
    seeds = [case["seed"], *(case["seed"] + step for step in OTHER_SEEDS)]
    found = [first, *(student(case.but(seed=seed)) for seed in seeds[1:])]
    if all(torch.equal(first, other) for other in found):
        return Finding("no randomness", told)
    for (seed, one), (other, same) in combinations(zip(seeds, found, strict=True), 2):
        if torch.equal(one, same):
            told = (
                f"The seeds {seed} and {other} give the same. Hand the seed to manual_seed as it is: a remainder, or a part "
                "of its digits, takes few values."
            )
            return Finding("part of the seed", told)
    if not torch.equal(first, again):
        told = "The same seed gives something else each time. Draw from torch.Generator().manual_seed(seed)."
        return Finding("not repeatable", told)
    return None


def uses_seed(told: str, **how: Any) -> Callable[[Student, Draw], None]:
    """The same seed gives the same images, and another seed others; `told` is said where all seeds give the same.

    `how`: the case, as for `Task.case`.
    """

    def ask(student, draw):
        case = student.task.case(draw, grey=True, **how)
        first, again = student(case), student(case)
        if found := follows_its_seed(student, case, told, first, again):
            raise Finding(found.key, found.message, picture(case, first, 0))

    return ask


def takes_class_0(student: Student, draw: Draw, make: Callable[..., Case] = Task.case) -> None:
    """A target of class 0 for every image is a target: the answer is not the one for target=None.

    The case is make(task, draw, grey=True), of which both answers are known to differ.
    """
    case = make(student.task, draw, grey=True)
    case = case.but(target=torch.zeros_like(case.labels))
    images, untargeted = student(case), student(case.but(target=None))
    if agree(images, untargeted, ALMOST_ALL):
        told = (
            "A target of class 0 for every image is taken for none. 0 is a class like any other, and counts as False: ask "
            "whether target is None, not whether it is true, has a sum above 0, or any()."
        )
        raise Finding("class 0 for no target", told, picture(case, images, 0))


def fools(
    right_answer: Callable[[nn.Module, Case], Tensor], share: float = 0.7, n: int = 32, **settings: Any
) -> Callable[[Student, Draw], None]:
    """On real digits it fools at least `share` of as many as `right_answer(model, case)` does."""

    def ask(student, draw):
        case = student.task.case(draw, "mnist-cnn", n, **settings)
        model, target = case.victim.build(), case.arguments.get("target")
        images, best = student(case), right_answer(model, case)
        theirs = succeeded(predict(model, images.float().clamp(0, 1)), case.labels, target)
        ours = succeeded(predict(model, best), case.labels, target)
        if theirs.sum() < share * ours.sum():
            told = (
                f"{int(theirs.sum())} of {n} digits fool the model; a right answer fools {int(ours.sum())}."
            )
            raise Finding("weak", told, picture(case, images, int((ours & ~theirs).nonzero()[0])))

    return ask
