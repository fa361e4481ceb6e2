"""Lab 7: what a teacher says, at a temperature."""

from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab7.answering import evaluating
from advcourse.labs.lab7.losses import (
    EVAL_MODE,
    FIRST,
    LAST,
    TEN_CLASSES,
    TaughtTask,
    in_logarithms,
    one_number,
    trains_as,
)


def taught(draw: Draw, x: Tensor) -> dict[str, Tensor | float]:
    """The logits of a teacher, and a temperature."""
    return {"teacher_logits": 8 * draw.normal((len(x), 10)), "temperature": draw.number(3, 8)}


def at_temperature(model, x, teacher_logits, temperature):
    """The teacher's probabilities, and the logarithms of the student's."""
    return (teacher_logits / temperature).softmax(1), (model(x) / temperature).log_softmax(1)


@exercise(
    "What a teacher says, at temperature T",
    2,
    taught,
    (
        "Both the teacher's logits and the model's are divided by the temperature. The teacher's become probabilities, the "
        "model's log-probabilities.",
        "p = (teacher_logits / temperature).softmax(1); log_q = (model(x) / temperature).log_softmax(1).",
        "return -(p * log_q).sum(1).mean(). cross_entropy(model(x) / temperature, p) is the same: it takes probabilities for "
        "labels, too.",
    ),
    shape=one_number,
    kind=TaughtTask,
)
def distillation_loss(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, (teacher_logits / temperature).softmax(1))


@distillation_loss.slip(
    "student at 1",
    "The teacher speaks at temperature T, the student at 1. Both do at T: it is this that makes the student's logits T "
    "times as large.",
)
def student_not_warm(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), (teacher_logits / temperature).softmax(1))


@distillation_loss.slip(
    "teacher at 1", "The student speaks at temperature T, the teacher at 1. Both do at T."
)
def teacher_not_warm(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, teacher_logits.softmax(1))


@distillation_loss.slip("both at 1", "There is no temperature in it. Divide the logits of both by T.")
def cold(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), teacher_logits.softmax(1))


@distillation_loss.slip(
    "hard labels",
    "The student learns the teacher's answers, one class each. It learns all of the teacher's probabilities.",
)
def answers_only(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, teacher_logits.argmax(1))


@distillation_loss.slip(
    "hard labels at 1",
    "The student learns the teacher's answers, one class each, and at temperature 1. It learns the probabilities at T, at T.",
)
def ordinary_training(model, x, teacher_logits, temperature):
    return cross_entropy(model(x), teacher_logits.argmax(1))


@distillation_loss.slip(
    "times T squared",
    "The loss is multiplied by T². Hinton et al. do so, beside a second term; Papernot et al. do not.",
)
def hintons(model, x, teacher_logits, temperature):
    return temperature**2 * distillation_loss(model, x, teacher_logits, temperature)


@distillation_loss.slip(
    "multiplied",
    "The logits are multiplied by T. Divide them, so that the probabilities become softer.",
)
def sharper(model, x, teacher_logits, temperature):
    return distillation_loss(model, x, teacher_logits, 1 / temperature)


@distillation_loss.slip(
    "entropy taken off",
    "This is the divergence, the cross-entropy less the teacher's entropy. Its gradient is the same, its number not; "
    "write the cross-entropy.",
)
def divergence(model, x, teacher_logits, temperature):
    p, log_q = at_temperature(model, x, teacher_logits, temperature)
    return kl_div(log_q, p, reduction="batchmean")


@distillation_loss.slip(
    "softmax twice",
    "The student's probabilities go through a softmax once more: cross_entropy wants logits, here logits / T.",
)
def probabilities_as_logits(model, x, teacher_logits, temperature):
    p, log_q = at_temperature(model, x, teacher_logits, temperature)
    return cross_entropy(log_q.exp(), p)


@distillation_loss.slip(
    "roles swapped",
    "The student's probabilities weigh the teacher's logarithms. It is the other way round: -sum p_teacher log p_student.",
)
def teacher_for_student(model, x, teacher_logits, temperature):
    return cross_entropy(teacher_logits / temperature, (model(x) / temperature).softmax(1))


@distillation_loss.slip(
    "mean over the classes too",
    "The loss is averaged over the classes as well. Sum over them, and average over the images.",
)
def mean_of_all(model, x, teacher_logits, temperature):
    p, log_q = at_temperature(model, x, teacher_logits, temperature)
    return -(p * log_q).mean()


@distillation_loss.slip(*TEN_CLASSES)
def ten_times_the_mean(model, x, teacher_logits, temperature):
    return 10 * mean_of_all(model, x, teacher_logits, temperature)


@distillation_loss.slip("summed", "The losses of all images are added up. Take their mean.")
def not_averaged(model, x, teacher_logits, temperature):
    return len(x) * distillation_loss(model, x, teacher_logits, temperature)


@distillation_loss.slip(*EVAL_MODE)
def evaluates(model, x, teacher_logits, temperature):
    with evaluating(model):
        return distillation_loss(model, x, teacher_logits, temperature)


@distillation_loss.right
def written_out(model, x, teacher_logits, temperature):
    z = model(x) / temperature
    log_q = z - z.logsumexp(1, keepdim=True)
    p = (teacher_logits / temperature).exp()
    p = p / p.sum(1, keepdim=True)
    return -(p * log_q).sum() / len(x)


@distillation_loss.wrong("detached")
def graph_lost(model, x, teacher_logits, temperature):
    return distillation_loss(model, x, teacher_logits, temperature).detach()


@distillation_loss.wrong("input")
def divided_in_place(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, teacher_logits.div_(temperature).softmax(1))


@distillation_loss.wrong("formula")
def root_of_the_temperature(model, x, teacher_logits, temperature):
    return distillation_loss(model, x, teacher_logits, temperature**0.5)


@distillation_loss.wrong("crash")
def labels_of_the_wrong_type(model, x, teacher_logits, temperature):
    return cross_entropy(model(x) / temperature, teacher_logits.argmax(1, keepdim=True))


@distillation_loss.wrong("logarithm of a softmax")
def logarithm_of_the_softmax(model, x, teacher_logits, temperature):
    p, q = (teacher_logits / temperature).softmax(1), (model(x) / temperature).softmax(1)
    return -(p * q.log()).sum(1).mean()


@distillation_loss.wrong("logarithm of a softmax")
def kept_off_0(model, x, teacher_logits, temperature):
    p, q = (teacher_logits / temperature).softmax(1), (model(x) / temperature).softmax(1)
    return -(p * (q + 1e-8).log()).sum(1).mean()


@distillation_loss.wrong("other classes")
def class_by_class(model, x, teacher_logits, temperature):
    p, log_q = at_temperature(model, x, teacher_logits, temperature)
    return -sum((p[:, k] * log_q[:, k]).mean() for k in range(10))


@distillation_loss.wrong("formula")
def divided_after_the_softmax(model, x, teacher_logits, temperature):
    p = (teacher_logits / temperature).softmax(1)
    return -(p * model(x).log_softmax(1) / temperature).sum(1).mean()


distillation_loss.checks(*FIRST, trains_as(distillation_loss), in_logarithms(distillation_loss), *LAST)
