"""Lab 1: one step along the sign of the gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks
from advcourse.labs import definitions as by_hand
from advcourse.labs.comparing import follows, recognises
from advcourse.labs.exercises import Case, exercise
from advcourse.labs.lab1 import loud
from advcourse.labs.lab1.gradients import gradient, largest_logit, margin, own_logit, softmax_twice
from advcourse.labs.lab1.questions import COLOUR, FIRST, LAST, a_budget, library
from advcourse.labs.properties import fools, stays_in_budget, treats_images_alone

DESCENDS = (
    "The loss falls, but to leave the true class it must rise. Either the sign of the step is wrong (add it), or that of the "
    "loss (log_odds must grow as the logit of the label shrinks)."
)


@exercise(
    "One step along the sign of the gradient",
    2,
    a_budget,
    (
        "You need the gradient of the loss with respect to the pixels, not the weights. So the pixels must ask for one: "
        "x.clone().requires_grad_().",
        "For log_odds leave out the label's own logit: logits.scatter(1, y.unsqueeze(1), -torch.inf) puts minus infinity in its "
        "place, and logsumexp(1) of that sums up the others. logits.gather(1, y.unsqueeze(1)).squeeze(1) is the label's own.",
        "gradient = torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]: each image has its own part in the sum. Return "
        "(x + eps * gradient.sign()).clamp(0, 1).",
    ),
)
def fgsm(model, x, y, eps):
    return (x + eps * gradient(model, x, y).sign()).clamp(0, 1)


@fgsm.slip("descends", DESCENDS)
def sign_flipped(model, x, y, eps):
    return (x - eps * gradient(model, x, y).sign()).clamp(0, 1)


def proportional_to_the_gradient(case: Case, images: Tensor) -> bool:
    """Whether each image's change is its gradient, however long."""
    x = by_hand.clean(case)
    change, slope = (images - x).flatten(1), by_hand.slope(case, x, case.labels).flatten(1)
    cosine = (change * slope).sum(1) / (change.norm(dim=1) * slope.norm(dim=1))
    return bool((cosine.abs() > 0.99).all())


@fgsm.slip(
    "no sign",
    "The change is the gradient itself, long or short as it happens to be. FGSM takes its sign: every pixel moves by eps.",
    test=proportional_to_the_gradient,
)
def sign_forgotten(model, x, y, eps):
    return (x + eps * gradient(model, x, y, F.cross_entropy)).clamp(0, 1)


@fgsm.slip(
    "own prediction",
    "The step leaves the class that the model predicts, not the label y that was given. They differ for some images.",
)
def leaves_the_prediction(model, x, y, eps):
    return fgsm(model, x, model(x).argmax(1), eps)


@fgsm.slip(*loud.SOFTMAX_TWICE)
def probabilities_to_cross_entropy(model, x, y, eps):
    return (x + eps * gradient(model, x, y, softmax_twice).sign()).clamp(0, 1)


@fgsm.slip(*loud.OWN_LOGIT)
def nll_of_the_logits(model, x, y, eps):
    return (x + eps * gradient(model, x, y, own_logit).sign()).clamp(0, 1)


@fgsm.slip(*loud.MARGIN)
def leads_of_the_strongest_other(model, x, y, eps):
    return (x + eps * gradient(model, x, y, margin).sign()).clamp(0, 1)


@fgsm.slip(*loud.LARGEST_LOGIT)
def climbs_the_winner(model, x, y, eps):
    return (x + eps * gradient(model, x, y, largest_logit).sign()).clamp(0, 1)


@fgsm.right
def with_quieter_logits(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    own = logits.detach().gather(1, y[:, None])
    lead = own - logits.detach().scatter(1, y[:, None], -torch.inf).amax(1, keepdim=True)
    loss = F.cross_entropy(logits / (lead / 8).clamp_min(1), y)  # as they are, unless they would saturate
    return (x + eps * torch.autograd.grad(loss, x_in)[0].sign()).clamp(0, 1)


@fgsm.right
def with_backward_one_by_one(model, x, y, eps):
    results = []
    for image, label in zip(x, y):
        delta = torch.zeros_like(image).unsqueeze(0).requires_grad_(True)
        scores = model(image + delta)[0]
        others = torch.cat([scores[:label], scores[label + 1 :]])
        torch.autograd.backward(torch.logsumexp(others, 0) - scores[label], inputs=[delta])
        step = torch.where(delta.grad > 0, eps, -eps)
        results.append(torch.min(torch.max(image + step[0], torch.zeros_like(image)), torch.ones_like(image)))
    return torch.stack(results)


@fgsm.wrong("box")
def not_clipped(model, x, y, eps):
    return x + eps * gradient(model, x, y).sign()


@fgsm.wrong("other range")
def clipped_to_minus_one(model, x, y, eps):
    return not_clipped(model, x, y, eps).clamp(-1, 1)


@fgsm.wrong("units")
def eps_in_grey_levels(model, x, y, eps):
    return fgsm(model, x, y, eps / 255)


@fgsm.wrong("clean image")
def returns_the_clean_image(model, x, y, eps):
    fgsm(model, x, y, eps)
    return x


@fgsm.wrong("blank")
def returns_zeros(model, x, y, eps):
    return torch.zeros_like(x)


@fgsm.wrong("mode")
def switches_to_training(model, x, y, eps):
    return fgsm(model.train(), x, y, eps)


@fgsm.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    F.cross_entropy(model(x_in), y).backward()
    return (x + eps * x_in.grad.sign()).clamp(0, 1)


@fgsm.wrong("input")
def changes_x_in_place(model, x, y, eps):
    x += eps * gradient(model, x, y).sign()
    return x.clamp(0, 1)


@fgsm.wrong("input flags")
def flags_x_itself(model, x, y, eps):
    x.requires_grad = True
    slope = torch.autograd.grad(F.cross_entropy(model(x), y), x)[0]
    return (x + eps * slope.sign()).clamp(0, 1).detach()


@fgsm.wrong("attached")
def result_on_the_graph(model, x, y, eps):
    return (x.clone().requires_grad_() + eps * gradient(model, x, y).sign()).clamp(0, 1)


@fgsm.wrong("ignores the model")
def hard_coded(model, x, y, eps):
    stored = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    return (x + eps * stored.to(x)).clamp(0, 1)


@fgsm.wrong("other type")
def type_written_down(model, x, y, eps):
    x_in = x.float().clone().requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * slope.sign()).clamp(0, 1)


@fgsm.wrong("other shape")
def size_written_down(model, x, y, eps):
    slope = gradient(model, x, y)
    return (x.view(-1, 784) + eps * slope.sign().view(-1, 784)).clamp(0, 1).view(-1, 1, 28, 28)


@fgsm.wrong("batch of one")
def squeezes(model, x, y, eps):
    return fgsm(model, x, y, eps).squeeze().reshape(-1, *x.shape[1:]).squeeze(0)


@fgsm.wrong("random state")
def seeds_everything(model, x, y, eps):
    torch.manual_seed(1234567)
    return fgsm(model, x, y, eps)


@fgsm.wrong("parameter flags")
def freezes_the_model(model, x, y, eps):
    for parameter in model.parameters():
        parameter.requires_grad = False
    return fgsm(model, x, y, eps)


@fgsm.wrong("gradient mode")
def switches_gradients_off(model, x, y, eps):
    images = fgsm(model, x, y, eps)
    torch.set_grad_enabled(False)
    return images


@fgsm.wrong("shape")
def returns_the_first_alone(model, x, y, eps):
    return fgsm(model, x[:1], y[:1], eps)


@fgsm.wrong("type")
def returns_an_array(model, x, y, eps):
    return fgsm(model, x, y, eps).numpy()


@fgsm.wrong("signature")
def without_eps(model, x, y):
    return fgsm(model, x, y, 0.3)


@fgsm.wrong("formula")
def half_the_budget(model, x, y, eps):
    return fgsm(model, x, y, eps / 2)


@fgsm.wrong("budget")
def twice_the_budget(model, x, y, eps):
    return fgsm(model, x, y, 2 * eps)


@fgsm.wrong("mixes images")
def one_direction_for_all(model, x, y, eps):
    return (x + eps * gradient(model, x, y, F.cross_entropy).mean(0, keepdim=True).sign()).clamp(0, 1)


@fgsm.wrong("saturated")
def plain_cross_entropy(model, x, y, eps):
    return (x + eps * gradient(model, x, y, F.cross_entropy).sign()).clamp(0, 1)


@fgsm.wrong("perturbation")
def returns_the_change(model, x, y, eps):
    return eps * gradient(model, x, y).sign()


@fgsm.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps):
    right = (model(x).argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, fgsm(model, x, y, eps), x)


def with_mask(number, model, x, y, eps):
    def masked(logits, y):
        others = logits.scatter(1, y[:, None], number)
        return others.logsumexp(1) - logits.gather(1, y[:, None])[:, 0]

    return (x + eps * gradient(model, x, y, masked).sign()).clamp(0, 1)


@fgsm.wrong("finite mask")
def masked_with_0(model, x, y, eps):
    return with_mask(0.0, model, x, y, eps)


@fgsm.wrong("finite mask")
def masked_with_minus_1000(model, x, y, eps):
    return with_mask(-1000.0, model, x, y, eps)


@fgsm.wrong("weak")
def smoothed_labels(model, x, y, eps):
    def smoothed(logits, y):
        return F.cross_entropy(logits, y, label_smoothing=0.1)

    return (x + eps * gradient(model, x, y, smoothed).sign()).clamp(0, 1)


def one_step_from(case: Case, start: Tensor, size: float) -> Case:
    """The question about one step of this size from `start`, which is a part of other attacks."""
    return Case(case.victim, case.labels, {"x": start, "y": case.labels, "eps": size})


fgsm.checks(
    *FIRST,
    recognises(fgsm, make=loud.hesitant),
    stays_in_budget(),
    treats_images_alone,
    follows(fgsm, make=loud.hesitant),
    follows(fgsm, kind="linear"),
    follows(fgsm),
    *LAST,
    follows(fgsm, **COLOUR),
    fools(library(attacks.FGSM), eps=0.3),
    loud.withstands_saturation(fgsm, nll_of_the_logits),
)
