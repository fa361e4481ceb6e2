"""Properties that hold for every attack with a budget, whatever its formula. A lab's tasks are made of these and of their own.

A property is a function of (student, draw) that returns nothing or raises a `Finding`. Those that need settings are made: by
`stays_in_budget`, `recognises`, `follows`, `uses_seed` and `fools`.
"""

import torch

from advcourse.inputs import predict
from advcourse.labs.checks import picture
from advcourse.labs.running import CRASH, NUMBER, TENSOR
from advcourse.labs.verdicts import Finding
from advcourse.metrics import succeeded
from advcourse.rounding import percent

SAME = 1e-4  # pixels closer than this are the same: float32 rounding, far below every step size asked for
MOST = 0.98  # share of pixels that must agree: a gradient next to 0 may have either sign, by rounding
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
}


def answers(student, draw):
    """It takes the parameters asked for, and returns images."""
    wanted, found = student.task.parameters, student.runner.parameters()
    extra = [name for name in found if name.rstrip("=") not in wanted]
    if tuple(name.rstrip("=") for name in found[: len(wanted)]) != wanted or not all(
        name.endswith("=") for name in extra
    ):
        call = f"{student.task.name}({', '.join(wanted)})"
        raise Finding("signature", f"The parameters must be {call}; yours are ({', '.join(found)}).")
    student(student.task.case(draw))


def keeps_what_it_gets(student, draw):
    """Images, mode, statistics and weights are as before."""
    _left(student, draw, ("input", "mode", "parameters", "buffers", "gradient mode"))


def leaves_nothing_behind(student, draw):
    """No gradients, flags or random numbers are left over, and the result is free of the graph."""
    reply = leaves_no_trace(student, draw)
    if reply.requires_grad:
        told = "The result still hangs on the graph (requires_grad is True), and keeps it in memory. Return x_adv.detach()."
        raise Finding("attached", told)


def leaves_no_trace(student, draw):
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


def changes_the_images(student, draw):
    """What comes back is neither the clean image nor a blank one."""
    case = student.task.case(draw, grey=True)
    images = student(case)
    if torch.equal(images, case["x"].double()):
        told = "The result is the clean image: nothing was changed. Is the changed image the one that you return?"
        raise Finding("clean image", told, picture(case, images, 0))
    if (images.flatten(1).std(1) < 1e-6).any():
        i = int((images.flatten(1).std(1) < 1e-6).nonzero()[0])
        raise Finding(
            "blank", "Every pixel of the result is the same. Start from x.", picture(case, images, i)
        )


def asks_the_model(student, draw):
    """Another model gives another answer."""
    case = student.task.case(draw, grey=True)
    other = student.task.case(draw, grey=True).victim
    first, second = student(case), student(case.but(other))
    if torch.equal(first, second):
        told = "Two different models get the very same images. The step must come from the gradient of the model that is given."
        raise Finding("ignores the model", told, picture(case, first, 0))


def stays_in_the_box(student, draw):
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


def stays_in_budget(overshoot=None):
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


def treats_images_alone(student, draw):
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


def other_type(student, draw):
    """float64 images come back as float64."""
    case = student.task.case(draw).to(torch.float64)
    reply = student.ask(case)
    if reply.kind == CRASH:
        told = f"It works for float32 images and fails for float64. Is a type written down somewhere? {_last_line(reply)}"
        raise Finding("other type", told)
    student.images(reply, case)
    if reply.value.dtype != torch.float64:
        told = f"float64 images came in and {reply.value.dtype} came back. Take the type from x."
        raise Finding("other type", told)


def other_shape(student, draw):
    """Images in colour, wider than high, work."""
    case = student.task.case(draw, shape=(3, 20, 24))
    reply = student.ask(case)
    if reply.kind == CRASH:
        told = f"It fails for colour images of 20 x 24 pixels. Is a size written down somewhere? {_last_line(reply)}"
        raise Finding("other shape", told)
    student.images(reply, case)


def other_device(student, draw):
    """Images on a GPU come back on it, but for a result that is a plain number. Asked only where the function has a GPU."""
    if not student.runner.has_gpu:
        return
    case = student.task.case(draw)
    reply = student.ask(case, "cuda")
    if reply.kind == CRASH or (reply.kind != NUMBER and not reply.device.startswith("cuda")):
        told = f"It fails for images on a GPU. Make new tensors on x.device. {_last_line(reply)}"
        raise Finding("other device", told)


def _last_line(reply):
    return f"The error: {reply.detail.splitlines()[-1]}" if reply.kind == CRASH else ""


def agree(images, expected, most=MOST):
    """True where a share of `most` of the pixels are the same; in the worst image a little less will do."""
    close = (images - expected).abs() < SAME * expected.abs().clamp_min(1)  # not every result is an image
    same = (close | (images == expected)).double().reshape(len(images), -1).mean(1)
    return bool(same.mean() >= most and same.min() >= most - 0.03)


def recognises(definition, slips, **how):
    """Where the images are not those of `definition`, a function of the case, but what a known slip gives, the slip is named.

    `slips`: rows of (key, message, test), where test(case, images) is True for that slip. `how`: the case, as for `Task.case`.
    """

    def ask(student, draw):
        case = student.task.case(draw, **how)
        images, expected = student(case), definition(case)
        if agree(images, expected):
            return
        for key, message, test in slips:
            if test(case, images):
                raise Finding(key, message, picture(case, images, _worst(images, expected)))

    return ask


def same_as(definition, most=MOST):
    """The test of a slip: are these the images that `definition`, a function of the case, gives?"""
    return lambda case, images: agree(images, definition(case), most)


def follows(definition, most=MOST, **how):
    """The images are those of the `definition`, a function of the case. `how`: the case, as for `Task.case`."""

    def ask(student, draw):
        case = student.task.case(draw, **how)
        images, expected = student(case), definition(case)
        if not agree(images, expected, most):
            raise formula(case, images, expected)

    return ask


def formula(case, images, expected):
    """The finding for images that no known slip explains."""
    share = ((images - expected).abs() >= SAME).double().mean().item()
    told = f"{percent(share)} of the pixels are not what the formula gives. Compare your lines with it, one symbol at a time."
    return Finding("formula", told, picture(case, images, _worst(images, expected)))


def _worst(images, expected):
    return int((images - expected).abs().flatten(1).mean(1).argmax())


def uses_seed(told, **how):
    """The same seed gives the same images, and another seed others; `told` is said where all seeds give the same.

    `how`: the case, as for `Task.case`.
    """

    def ask(student, draw):
        case = student.task.case(draw, grey=True, **how)
        first, again, other = student(case), student(case), student(case.but(seed=case["seed"] + 1))
        if torch.equal(first, other):
            raise Finding("no randomness", told, picture(case, first, 0))
        if not torch.equal(first, again):
            told_again = (
                "The same seed gives other images each time. Draw from torch.Generator().manual_seed(seed)."
            )
            raise Finding("not repeatable", told_again, picture(case, again, 0))

    return ask


def fools(right_answer, share=0.7, n=32, **settings):
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
