"""Answers to rfgsm(model, x, y, eps, alpha, seed)."""

import torch
import torch.nn.functional as F

from museum import Room

room = Room("rfgsm")


@room.right
def with_grad(model, x, y, eps, alpha, seed):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)
    start = (x + alpha * noise.sign()).clamp(0, 1).requires_grad_()
    gradient = torch.autograd.grad(log_odds(model(start), y).sum(), start)[0]
    return (start.detach() + (eps - alpha) * gradient.sign()).clamp(0, 1)


@room.right
def with_coins(model, x, y, eps, alpha, seed):
    generator = torch.Generator()
    generator.manual_seed(seed)
    coins = 2 * torch.randint(0, 2, x.shape, generator=generator) - 1
    start = torch.clip(x + alpha * coins.to(x.device, x.dtype), 0, 1)
    start.requires_grad_(True)
    logits = model(start)
    own = F.one_hot(y, logits.shape[1]).bool()
    others = logits[~own].view(len(x), -1)
    (others.logsumexp(1) - logits[own]).sum().backward(inputs=[start])
    with torch.no_grad():
        return torch.clip(start + (eps - alpha) * start.grad.sign(), 0, 1)


def noise_like(x, seed):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)


def log_odds(logits, label):
    others = logits.scatter(1, label[:, None], -torch.inf)
    return others.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]


def gradient_at(model, x, y):
    x_in = x.clone().requires_grad_()
    return torch.autograd.grad(log_odds(model(x_in), y).sum(), x_in)[0]


@room.wrong("second step")
def second_step_of_eps(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return (start + eps * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("gradient at x")
def gradient_at_the_clean_image(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, x, y).sign()).clamp(0, 1)


@room.wrong("start is no sign step")
def start_without_sign(model, x, y, eps, alpha, seed):
    noise = 2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) - 1
    start = (x + alpha * noise).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("budget")
def gaussian_start(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed)).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("no randomness")
def fgsm_again(model, x, y, eps, alpha, seed):
    return (x + eps * gradient_at(model, x, y).sign()).clamp(0, 1)


@room.wrong("not repeatable")
def seed_unused(model, x, y, eps, alpha, seed):
    start = (x + alpha * torch.randn(x.shape, generator=fresh).to(x).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


fresh = torch.Generator().manual_seed(1)


@room.wrong("random state")
def seeds_everything(model, x, y, eps, alpha, seed):
    torch.manual_seed(seed)
    start = (x + alpha * torch.randn_like(x).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("descends")
def sign_flipped(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return (start - (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("start outside the box")
def start_not_clipped(model, x, y, eps, alpha, seed):
    start = x + alpha * noise_like(x, seed).sign()
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("one-sided")
def noise_of_one_sign(model, x, y, eps, alpha, seed):
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x) - 0.2
    start = (x + alpha * noise.sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("one noise for all")
def noise_of_one_image(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x[:1], seed).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("ignores the model")
def random_step_alone(model, x, y, eps, alpha, seed):
    return (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)


@room.wrong("box")
def not_clipped(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return start + (eps - alpha) * gradient_at(model, start, y).sign()


@room.wrong("attached")
def result_on_the_graph(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1).requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(start), y), start)[0]
    return (start + (eps - alpha) * gradient.sign()).clamp(0, 1)


@room.wrong("saturated")
def plain_log_softmax(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1).requires_grad_()
    loss = F.nll_loss(model(start).log_softmax(1), y)
    gradient = torch.autograd.grad(loss, start)[0]
    return (start.detach() + (eps - alpha) * gradient.sign()).clamp(0, 1)


@room.wrong("softmax twice")
def probabilities_to_cross_entropy(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1).requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(start).softmax(1), y), start)[0]
    return (start.detach() + (eps - alpha) * gradient.sign()).clamp(0, 1)


@room.wrong("logits for log-probabilities")
def nll_of_the_logits(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1).requires_grad_()
    gradient = torch.autograd.grad(F.nll_loss(model(start), y), start)[0]
    return (start.detach() + (eps - alpha) * gradient.sign()).clamp(0, 1)


@room.wrong("second step of alpha")
def alpha_twice(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return (start + alpha * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("no sign")
def second_step_without_sign(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y) / 1000).clamp(0, 1)


@room.wrong("perturbation")
def returns_the_change(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x, seed).sign()).clamp(0, 1)
    return start + (eps - alpha) * gradient_at(model, start, y).sign() - x


@room.wrong("other type")
def start_of_float32(model, x, y, eps, alpha, seed):
    start = torch.zeros(x.shape, device=x.device)
    start += x + alpha * noise_like(x, seed).sign()
    start = start.clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("skips misread images")
def only_where_the_model_is_right(model, x, y, eps, alpha, seed):
    right = (model(x).argmax(1) == y).view(-1, 1, 1, 1)
    return torch.where(right, with_grad(model, x, y, eps, alpha, seed), x)


@room.wrong("part of the seed")
def one_of_two_first_steps(model, x, y, eps, alpha, seed):
    return with_grad(model, x, y, eps, alpha, seed % 2)


@room.wrong("one noise for all channels")
def grey_first_step(model, x, y, eps, alpha, seed):
    start = (x + alpha * noise_like(x[:, :1], seed).sign()).clamp(0, 1)
    return (start + (eps - alpha) * gradient_at(model, start, y).sign()).clamp(0, 1)


@room.wrong("gradient outside the box")
def clipped_after_the_gradient(model, x, y, eps, alpha, seed):
    start = x + alpha * noise_like(x, seed).sign()
    gradient = gradient_at(model, start, y)
    return (start.clamp(0, 1) + (eps - alpha) * gradient.sign()).clamp(0, 1)
