"""Answers to distillation_loss(model, x, teacher_logits, temperature)."""

import torch
from torch.nn.functional import cross_entropy, kl_div, softmax

from museum import Room

room = Room("distillation_loss")


@room.right
def soft_cross_entropy(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, softmax(teacher_logits / temperature, 1))


@room.right
def written_out(model, x, teacher_logits, temperature):
    z = model(x) / temperature
    log_q = z - torch.logsumexp(z, 1, keepdim=True)
    p = torch.exp(teacher_logits / temperature)
    p = p / p.sum(1, keepdim=True)
    return -(p * log_q).sum() / len(x)


@room.wrong("student at 1")
def student_not_warm(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), softmax(teacher_logits / temperature, 1))


@room.wrong("teacher at 1")
def teacher_not_warm(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, softmax(teacher_logits, 1))


@room.wrong("both at 1")
def cold(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), softmax(teacher_logits, 1))


@room.wrong("hard labels")
def answers_only(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, teacher_logits.argmax(1))


@room.wrong("hard labels at 1")
def ordinary_training(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), teacher_logits.argmax(1))


@room.wrong("times T squared")
def hintons(model, x, teacher_logits, temperature):
    return temperature**2 * soft_cross_entropy(model, x, teacher_logits, temperature)


@room.wrong("multiplied")
def sharper(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) * temperature, softmax(teacher_logits * temperature, 1))


@room.wrong("entropy taken off")
def divergence(model, x, teacher_logits, temperature):
    log_q = (model(x) / temperature).log_softmax(1)
    return kl_div(log_q, softmax(teacher_logits / temperature, 1), reduction="batchmean")


@room.wrong("softmax twice")
def probabilities_as_logits(model, x, teacher_logits, temperature):
    return cross_entropy(softmax(model(x) / temperature, 1), softmax(teacher_logits / temperature, 1))


@room.wrong("roles swapped")
def teacher_for_student(model, x, teacher_logits, temperature):
    return cross_entropy(teacher_logits / temperature, softmax(model(x) / temperature, 1))


@room.wrong("mean over the classes too")
def mean_of_all(model, x, teacher_logits, temperature):
    log_q = (model(x) / temperature).log_softmax(1)
    return -(softmax(teacher_logits / temperature, 1) * log_q).mean()


@room.wrong("summed")
def not_averaged(model, x, teacher_logits, temperature):
    return len(x) * soft_cross_entropy(model, x, teacher_logits, temperature)


@room.wrong("eval mode")
def evaluates(model, x, teacher_logits, temperature):
    was = model.training
    model.eval()
    loss = soft_cross_entropy(model, x, teacher_logits, temperature)
    model.train(was)
    return loss


@room.wrong("detached")
def graph_lost(model, x, teacher_logits, temperature):
    return soft_cross_entropy(model, x, teacher_logits, temperature).detach()


@room.wrong("input")
def divided_in_place(model, x, teacher_logits, temperature):
    p = softmax(teacher_logits.div_(temperature), 1)
    return cross_entropy(model(x) / temperature, p)


@room.wrong("formula")
def root_of_the_temperature(model, x, teacher_logits, temperature):
    return soft_cross_entropy(model, x, teacher_logits, temperature**0.5)


@room.wrong("crash")
def labels_of_the_wrong_type(model, x, teacher_logits, temperature):
    p = softmax(teacher_logits / temperature, 1)
    return cross_entropy(model(x) / temperature, p.argmax(1, keepdim=True))


@room.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, teacher_logits, temperature):
    log_q = softmax(model(x) / temperature, 1).log()
    return -(softmax(teacher_logits / temperature, 1) * log_q).sum(1).mean()


@room.wrong("logarithm of a softmax")
def kept_off_0(model, x, teacher_logits, temperature):
    log_q = (softmax(model(x) / temperature, 1) + 1e-8).log()
    return -(softmax(teacher_logits / temperature, 1) * log_q).sum(1).mean()


@room.wrong("other classes")
def ten_times_the_mean(model, x, teacher_logits, temperature):
    log_q = (model(x) / temperature).log_softmax(1)
    return -10 * (softmax(teacher_logits / temperature, 1) * log_q).mean()


@room.wrong("other classes")
def class_by_class(model, x, teacher_logits, temperature):
    log_q = (model(x) / temperature).log_softmax(1)
    p = softmax(teacher_logits / temperature, 1)
    return -sum((p[:, k] * log_q[:, k]).mean() for k in range(10))


@room.wrong("formula")
def divided_after_the_softmax(model, x, teacher_logits, temperature):
    log_q = model(x).log_softmax(1) / temperature
    return -(softmax(teacher_logits / temperature, 1) * log_q).sum(1).mean()
