"""Answers to region_votes(model, x, noise, most)."""

import torch
from torch.nn.functional import one_hot

from museum import Room

room = Room("region_votes")


def answers(model, images, most):
    """The logits of any number of images, in parts."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(most)])


def noisy(x, noise):
    return (x[:, None] + noise).clamp(0, 1).flatten(0, 1)


@room.right
def all_pairs(model, x, noise, most):
    logits = answers(model, noisy(x, noise), most)
    return one_hot(logits.argmax(1), logits.shape[1]).view(len(x), len(noise), -1).sum(1)


@room.right
def image_by_image(model, x, noise, most):
    rows = []
    for image in x:
        seen = answers(model, (image + noise).clamp(0, 1), most)
        rows.append(torch.bincount(seen.argmax(1), minlength=seen.shape[1]))
    return torch.stack(rows)


@room.right
def by_numbers(model, x, noise, most):
    votes = None
    for pairs in torch.arange(len(x) * len(noise), device=x.device).split(most):
        image, voter = pairs // len(noise), pairs % len(noise)
        with torch.no_grad():
            logits = model((x[image] + noise[voter]).clamp(0, 1))
        votes = logits.new_zeros(len(x), logits.shape[1]) if votes is None else votes
        votes.index_add_(0, image, one_hot(logits.argmax(1), logits.shape[1]).to(votes))
    return votes


@room.wrong("no clip")
def unclipped(model, x, noise, most):
    logits = answers(model, (x[:, None] + noise).flatten(0, 1), most)
    return one_hot(logits.argmax(1), logits.shape[1]).view(len(x), len(noise), -1).sum(1)


@room.wrong("clipped noise")
def clipped_too_early(model, x, noise, most):
    return all_pairs(model, x, noise.clamp(0, 1), most)


@room.wrong("no noise")
def m_times_the_same(model, x, noise, most):
    return all_pairs(model, x, torch.zeros_like(noise), most)


@room.wrong("noise alone")
def without_the_image(model, x, noise, most):
    return all_pairs(model, torch.zeros_like(x), noise, most)


@room.wrong("itself too")
def one_more_voter(model, x, noise, most):
    return all_pairs(model, x, torch.cat([torch.zeros_like(noise[:1]), noise]), most)


@room.wrong("probabilities")
def soft_votes(model, x, noise, most):
    p = answers(model, noisy(x, noise), most).softmax(1)
    return p.view(len(x), len(noise), -1).sum(1)


@room.wrong("mean probabilities")
def mean_of_soft_votes(model, x, noise, most):
    p = answers(model, noisy(x, noise), most).softmax(1)
    return p.view(len(x), len(noise), -1).mean(1)


@room.wrong("logits")
def mean_logits(model, x, noise, most):
    return answers(model, noisy(x, noise), most).view(len(x), len(noise), -1).mean(1)


@room.wrong("shares")
def divided(model, x, noise, most):
    return all_pairs(model, x, noise, most) / len(noise)


@room.wrong("winner alone")
def winner_of_the_mean(model, x, noise, most):
    mean = mean_logits(model, x, noise, most)
    return len(noise) * one_hot(mean.argmax(1), mean.shape[1])


@room.wrong("one row for all")
def summed_over_images(model, x, noise, most):
    return all_pairs(model, x, noise, most).sum(0, keepdim=True).repeat(len(x), 1)


@room.wrong("last part lost")
def full_parts_alone(model, x, noise, most):
    images = noisy(x, noise)
    votes = torch.zeros(len(x), 10, device=x.device)
    for k in range(len(images) // most):
        part = images[k * most : (k + 1) * most]
        with torch.no_grad():
            seen = model(part).argmax(1)
        for i, c in enumerate(seen.tolist()):
            votes[(k * most + i) // len(noise), c] += 1
    return votes


@room.wrong("too many at once")
def voter_by_voter(model, x, noise, most):
    with torch.no_grad():
        seen = torch.stack([model((x + u).clamp(0, 1)).argmax(1) for u in noise])
    return one_hot(seen, 10).sum(0)


@room.wrong("formula")
def subtracted(model, x, noise, most):
    return all_pairs(model, x, -noise, most)


@room.wrong("shape")
def the_class(model, x, noise, most):
    return all_pairs(model, x, noise, most).argmax(1)


@room.wrong("input")
def added_in_place(model, x, noise, most):
    x += 0 * noise[0]
    noise *= 0.5
    return all_pairs(model, x, 2 * noise, most)


@room.wrong("buffers")
def in_training_mode(model, x, noise, most):
    model.train()
    votes = all_pairs(model, x, noise, most)
    model.eval()
    return votes


@room.wrong("crash")
def noise_without_an_axis(model, x, noise, most):
    return one_hot(model((x + noise).clamp(0, 1)).argmax(1), 10)


@room.wrong("other classes")
def ten_classes(model, x, noise, most):
    seen = answers(model, noisy(x, noise), most).argmax(1)
    return one_hot(seen, 10).view(len(x), len(noise), 10).sum(1)
