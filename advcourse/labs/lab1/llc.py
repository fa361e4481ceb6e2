"""Lab 1: one step towards the least likely class."""

import torch
import torch.nn.functional as F

from advcourse import attacks
from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import follows, recognises
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.gradients import gradient, margin, own_logit, softmax_twice
from advcourse.labs.lab1.questions import COLOUR, FIRST, LAST, a_budget, keys_but, library
from advcourse.labs.properties import fools, stays_in_budget, treats_images_alone


def towards(model, x, eps, target):
    return (x - eps * gradient(model, x, target).sign()).clamp(0, 1)


@exercise(
    "One step towards the least likely class",
    2,
    a_budget,
    (
        "Two parts: which class is the target of each image? And which way does the loss of that class have to go?",
        "target = model(x).argmin(1): the smallest logit in each row. It is a label like any other.",
        "As fgsm with the target in place of y, and with minus: (x - eps * gradient.sign()).clamp(0, 1).",
    ),
)
def llc(model, x, eps):
    return towards(model, x, eps, model(x).argmin(1))


@llc.slip(
    "moves away",
    "The images move away from the least likely class. To come nearer to a target, its loss must fall: subtract the step.",
)
def sign_flipped(model, x, eps):
    return towards(model, x, -eps, model(x).argmin(1))


@llc.slip(
    "most likely",
    "The target is the class with the largest logit. The least likely class has the smallest: argmin, not argmax.",
)
def largest_logit(model, x, eps):
    return towards(model, x, eps, model(x).argmax(1))


@llc.slip(
    "no target",
    "The images leave the class that the model predicts, towards no class in particular. Go towards the least likely class.",
)
def fgsm_again(model, x, eps):
    return towards(model, x, -eps, model(x).argmax(1))


@llc.slip(
    "class 0",
    "The target is class 0 for every image. It is the class with the smallest logit of each: argmin(1).",
)
def class_zero(model, x, eps):
    return towards(model, x, eps, torch.zeros(len(x), dtype=torch.long, device=x.device))


@llc.slip(*loud.SOFTMAX_TWICE)
def probabilities_to_cross_entropy(model, x, eps):
    return (x - eps * gradient(model, x, model(x).argmin(1), softmax_twice).sign()).clamp(0, 1)


@llc.slip(*loud.OWN_LOGIT)
def climbs_the_smallest_logit(model, x, eps):
    return (x - eps * gradient(model, x, model(x).argmin(1), own_logit).sign()).clamp(0, 1)


@llc.slip(*loud.MARGIN)
def against_the_likeliest(model, x, eps):
    return (x - eps * gradient(model, x, model(x).argmin(1), margin).sign()).clamp(0, 1)


@llc.slip(*loud.LARGEST_LOGIT)
def climbs_the_winner(model, x, eps):
    return (x - eps * gradient(model, x, model(x).argmin(1), lambda logits, y: logits.amax(1)).sign()).clamp(
        0, 1
    )


@llc.slip(
    "least probable",
    "The target is the class with the smallest probability. Where the model is sure, many probabilities are 0, and argmin "
    "takes the first of them. Compare the logits, which differ.",
)
def smallest_probability(model, x, eps):
    return towards(model, x, eps, model(x).float().softmax(1).argmin(1))


@llc.right
def climbs_the_log_probability(model, x, eps):
    with torch.no_grad():
        target = torch.topk(model(x), 1, largest=False).indices
    x_adv = x.detach().clone()
    x_adv.requires_grad = True
    score = model(x_adv).log_softmax(dim=-1).gather(1, target).sum()
    score.backward(inputs=[x_adv])
    with torch.no_grad():
        return torch.clip(x + eps * torch.sign(x_adv.grad), min=0.0, max=1.0)


@llc.wrong("box")
def not_clipped(model, x, eps):
    return x - eps * gradient(model, x, model(x).argmin(1)).sign()


@llc.wrong("mixes images")
def one_target_for_all(model, x, eps):
    return towards(model, x, eps, model(x).sum(0).argmin().repeat(len(x)))


@llc.wrong("crash")
def argmin_over_the_batch(model, x, eps):
    return towards(model, x, eps, model(x).argmin(0))


@llc.wrong("parameter gradients")
def backward_through_the_weights(model, x, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    F.cross_entropy(logits, logits.argmin(1)).backward()
    return (x - eps * x_in.grad.sign()).clamp(0, 1)


@llc.wrong("clean image")
def gradient_of_nothing(model, x, eps):
    return x + 0 * eps


@llc.wrong("saturated")
def climbs_the_probability(model, x, eps):
    target = model(x).argmin(1)
    x_in = x.clone().requires_grad_()
    p = model(x_in).softmax(1).gather(1, target[:, None])
    return (x + eps * torch.autograd.grad(p.sum(), x_in)[0].sign()).clamp(0, 1)


@llc.wrong("perturbation")
def returns_the_change(model, x, eps):
    return -eps * gradient(model, x, model(x).argmin(1)).sign()


@llc.wrong("other type")
def noughts_of_float32(model, x, eps):
    delta = torch.zeros(x.shape).requires_grad_()
    logits = model((x + delta).float())
    slope = torch.autograd.grad(F.cross_entropy(logits, logits.argmin(1)), delta)[0]
    return (x - eps * slope.sign()).clamp(0, 1)


@llc.wrong("formula")
def second_most_likely(model, x, eps):
    return towards(model, x, eps, model(x).topk(2).indices[:, 1])


def not_class_0(task: Task, draw: Draw) -> Case:
    """A hesitant case where class 0 is the most likely or the least likely class of no image, and of no one rank in all."""
    for _ in range(50):
        case = loud.hesitant(task, draw)
        logits = by_hand.logits(case, by_hand.clean(case))
        rank = (logits > logits[:, :1]).sum(1)
        if 0 < rank.min() < rank.max() < logits.shape[1] - 1:
            break
    return case


llc.checks(
    *FIRST,
    recognises(llc, *keys_but(llc, "least probable"), make=not_class_0),
    stays_in_budget(),
    treats_images_alone,
    follows(llc, make=loud.hesitant),
    follows(llc, kind="linear"),
    follows(llc),
    *LAST,
    follows(llc, **COLOUR),
    fools(library(attacks.LLC), eps=0.3),
    loud.withstands_saturation(llc, climbs_the_smallest_logit),
    recognises(llc, "least probable", make=loud.certain_of_many),
    follows(llc, make=loud.certain_of_many),
)
