"""Answers to fgsm(model, x, y, eps)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("fgsm")


def log_odds(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


@room.right
def with_grad(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    loss = log_odds(model(x_in), y).sum()
    gradient = torch.autograd.grad(loss, x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.right
def with_quieter_logits(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    own = logits.detach().gather(1, y[:, None])
    lead = own - logits.detach().scatter(1, y[:, None], -torch.inf).amax(1, keepdim=True)
    loss = F.cross_entropy(logits / (lead / 8).clamp_min(1), y)  # as they are, unless they would saturate
    gradient = torch.autograd.grad(loss, x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.right
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


@room.wrong("descends")
def sign_flipped(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x - eps * gradient.sign()).clamp(0, 1)


@room.wrong("box")
def not_clipped(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return x + eps * gradient.sign()


@room.wrong("other range")
def clipped_to_minus_one(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(-1, 1)


@room.wrong("units")
def eps_in_grey_levels(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps / 255 * gradient.sign()).clamp(0, 1)


@room.wrong("no sign")
def sign_forgotten(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient).clamp(0, 1)


@room.wrong("own prediction")
def leaves_the_prediction(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    gradient = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1)), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("clean image")
def returns_the_clean_image(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    (x + eps * gradient.sign()).clamp(0, 1)
    return x


@room.wrong("blank")
def returns_zeros(model, x, y, eps):
    return torch.zeros_like(x)


@room.wrong("mode")
def switches_to_training(model, x, y, eps):
    model.train()
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("parameter gradients")
def backward_through_the_weights(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    F.cross_entropy(model(x_in), y).backward()
    return (x + eps * x_in.grad.sign()).clamp(0, 1)


@room.wrong("input")
def changes_x_in_place(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    x += eps * gradient.sign()
    return x.clamp(0, 1)


@room.wrong("input flags")
def flags_x_itself(model, x, y, eps):
    x.requires_grad = True
    gradient = torch.autograd.grad(F.cross_entropy(model(x), y), x)[0]
    return (x + eps * gradient.sign()).clamp(0, 1).detach()


@room.wrong("attached")
def result_on_the_graph(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x_in + eps * gradient.sign()).clamp(0, 1)


@room.wrong("ignores the model")
def hard_coded(model, x, y, eps):
    stored = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    return (x + eps * stored.to(x)).clamp(0, 1)


@room.wrong("other type")
def type_written_down(model, x, y, eps):
    x_in = x.float().clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("other shape")
def size_written_down(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x.view(-1, 784) + eps * gradient.sign().view(-1, 784)).clamp(0, 1).view(-1, 1, 28, 28)


@room.wrong("batch of one")
def squeezes(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1).squeeze().reshape(-1, *x.shape[1:]).squeeze(0)


@room.wrong("random state")
def seeds_everything(model, x, y, eps):
    torch.manual_seed(1234567)
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("parameter flags")
def freezes_the_model(model, x, y, eps):
    for parameter in model.parameters():
        parameter.requires_grad = False
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("gradient mode")
def switches_gradients_off(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    torch.set_grad_enabled(False)
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("shape")
def returns_the_first_alone(model, x, y, eps):
    x_in = x[:1].clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y[:1]), x_in)[0]
    return (x_in.detach() + eps * gradient.sign()).clamp(0, 1)


@room.wrong("type")
def returns_an_array(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1).numpy()


@room.wrong("signature")
def without_eps(model, x, y):
    return fgsm_with(model, x, y, 0.3)  # noqa: F821 - never reached


@room.wrong("formula")
def half_the_budget(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps / 2 * gradient.sign()).clamp(0, 1)


@room.wrong("budget")
def twice_the_budget(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + 2 * eps * gradient.sign()).clamp(0, 1)


@room.wrong("mixes images")
def one_direction_for_all(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.mean(0, keepdim=True).sign()).clamp(0, 1)


@room.wrong("saturated")
def plain_cross_entropy(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in).softmax(1), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.nll_loss(model(x_in), y), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("margin")
def leads_of_the_strongest_other(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits, own = model(x_in), F.one_hot(y, model(x).shape[1]).bool()
    loss = (logits.masked_fill(own, -torch.inf).amax(1) - logits[own]).sum()
    return (x + eps * torch.autograd.grad(loss, x_in)[0].sign()).clamp(0, 1)


@room.wrong("largest logit")
def climbs_the_winner(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(model(x_in).max(1)[0].sum(), x_in)[0]
    return (x + eps * gradient.sign()).clamp(0, 1)


@room.wrong("perturbation")
def returns_the_change(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(x_in), y), x_in)[0]
    return eps * gradient.sign()


@room.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    gradient = torch.autograd.grad(log_odds(logits, y).sum(), x_in)[0]
    right = (logits.argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, (x + eps * gradient.sign()).clamp(0, 1), x)


def with_mask(number, model, x, y, eps):
    x_in = x.clone().requires_grad_()
    logits = model(x_in)
    odds = logits.scatter(1, y[:, None], number).logsumexp(1) - logits.gather(1, y[:, None])[:, 0]
    return (x + eps * torch.autograd.grad(odds.sum(), x_in)[0].sign()).clamp(0, 1)


@room.wrong("finite mask")
def masked_with_0(model, x, y, eps):
    return with_mask(0.0, model, x, y, eps)


@room.wrong("finite mask")
def masked_with_minus_1000(model, x, y, eps):
    return with_mask(-1000.0, model, x, y, eps)


@room.wrong("weak")
def smoothed_labels(model, x, y, eps):
    x_in = x.clone().requires_grad_()
    loss = F.cross_entropy(model(x_in), y, label_smoothing=0.1)
    return (x + eps * torch.autograd.grad(loss, x_in)[0].sign()).clamp(0, 1)
