"""Lab 12: which swaps of a word promise most."""

from typing import Any

import torch
from torch import Tensor

from advcourse.labs.checks import Student
from advcourse.labs.comparing import Comparison, called, gives
from advcourse.labs.exercises import Case, Draw, exercise
from advcourse.labs.lab12.nets import SentenceNet
from advcourse.labs.lab12.reading import best_pairs, gains_of, lead, slope_of, wrong_minus_right
from advcourse.labs.lab12.sentences import SentenceTask, a_sentence, synonyms_of
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device
from advcourse.labs.running import TENSOR, Reply
from advcourse.labs.verdicts import Finding

APART = 0.003  # of the largest gain: nearer to each other two gains are not drawn
MANY = 99  # more places than any sentence has


def a_question(draw: Draw, net: SentenceNet | None = None) -> dict[str, Any]:
    """A sentence, the words that may stand at each of its places, and how many swaps are asked for."""
    numbers = a_sentence(draw, 12 + draw.integer() % 6)
    options = synonyms_of(draw)[numbers]
    return {"numbers": numbers, "label": draw.integer() % 2, "options": options, "k": 4}


class RankTask(SentenceTask):
    """Its cases have gains far apart, so that rounding does not decide on the order."""

    def case(self, draw: Draw, **how: Any) -> Case:
        """A fresh question, see `SentenceTask.case`."""
        while True:
            case = super().case(draw, **how)
            gains = _gains(case)
            best = gains.amax(1)[gains.amax(1).isfinite()].sort().values
            within = gains.topk(2, 1).values.diff(dim=1).abs()
            least = APART * best.abs().max()
            if len(best) > 5 and best.diff().min() > least and within[within.isfinite()].min() > least:
                return case


def _gains(case: Case) -> Tensor:
    net, numbers = case.victim.build(torch.float64), case["numbers"]
    gains = gains_of(net, numbers, case["options"], slope_of(net, numbers, wrong_minus_right(case["label"])))
    return gains.masked_fill(case["options"] == 0, -torch.inf)


def rows_of(case: Case) -> tuple[int, int]:
    """The shape of the answer: one row for each of at most k places with an option."""
    return min(case["k"], int((case["options"] > 0).any(1).sum())), 2


@exercise(
    "The most promising swaps",
    4,
    a_question,
    (
        "A number of a word cannot be differentiated, its vector can. Take vectors = model.embedding(numbers).detach()"
        ".requires_grad_(), let model.from_vectors(vectors[None], (numbers > 0)[None]) read them, and ask for the gradient of "
        "the wrong class's logit minus the right one's.",
        "options has the shape (L, S), and model.embedding.weight[options] is (L, S, D). Subtract the vectors of the words that "
        "stand there, (L, 1, D), multiply by the gradient, (L, 1, D), and sum over D. Where options is 0, put -torch.inf.",
        "value, which = gain.max(1) is the best option of each place. places = value.argsort(descending=True), cut to k and to "
        "the places that have an option; torch.stack([places, options[places, which[places]]], 1).",
    ),
    shape=rows_of,
    numbers="whole",
    kind=RankTask,
)
def rank(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    return best_pairs(gains_of(model, numbers, options, slope), options, k)


@rank.slip(
    "wrong way",
    "Your swaps make the model surer of the right class. Climb the logit of the wrong class minus that of the right one, and "
    "take the new word's vector minus the old one's.",
)
def climbs_the_right_class(model, numbers, label, options, k):
    return rank(model, numbers, 1 - label, options, k)


@rank.slip(
    "own word",
    "You rate each new word by itself. A swap takes the old word away, too: its gain is that of the difference of the two "
    "vectors, new minus old.",
)
def new_word_alone(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    gains = (model.embedding.weight.detach()[options] * slope[:, None]).sum(2)
    return best_pairs(gains, options, k)


@rank.slip("wrong way")
def the_other_difference(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    return best_pairs(-gains_of(model, numbers, options, slope), options, k)


@rank.slip(
    "gradient to the number",
    "You multiply a slope by the difference of two words' NUMBERS. A number is a place in the alphabet and no amount: word 7 is "
    "not more than word 6. Differentiate by the vectors, and multiply by the difference of the vectors.",
)
def slope_by_the_number(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label)).sum(1)
    return best_pairs(slope[:, None] * (options - numbers[:, None]), options, k)


@rank.slip(
    "same place twice",
    "A place comes twice in your list. Only one word can stand there: take the best option of each place first, then the best "
    "places.",
)
def best_of_all_pairs(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    gains = gains_of(model, numbers, options, slope).masked_fill(options == 0, -torch.inf)
    best = gains.flatten().topk(min(k, int((options > 0).any(1).sum()))).indices
    return torch.stack([best // options.shape[1], options.flatten()[best]], 1)


@rank.slip(
    "size of the gain",
    "You rank by the size of the gain, up or down. A swap with a large negative gain helps the right class.",
)
def largest_in_size(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    return best_pairs(gains_of(model, numbers, options, slope).abs(), options, k)


@rank.slip(
    "one logit",
    "You climb the logit of the wrong class alone, or push down that of the right class alone. Only the difference of the two "
    "decides.",
)
def the_wrong_logit_alone(model, numbers, label, options, k):
    slope = slope_of(model, numbers, lambda logits: logits[1 - label])
    return best_pairs(gains_of(model, numbers, options, slope), options, k)


@rank.slip("one logit")
def the_right_logit_alone(model, numbers, label, options, k):
    slope = slope_of(model, numbers, lambda logits: -logits[label])
    return best_pairs(gains_of(model, numbers, options, slope), options, k)


@rank.slip(
    "one slope for all",
    "Every place gets the same slope, summed or averaged over the sentence. Where the order of the words counts, each place has "
    "its own: a row of the gradient.",
)
def the_mean_slope(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    return best_pairs(gains_of(model, numbers, options, slope.mean(0).expand_as(slope)), options, k)


@rank.slip(
    "first option",
    "You take the first option of each place. The best one of the place is the one with the largest gain.",
)
def the_first_of_each_place(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    return best_pairs(gains_of(model, numbers, options, slope)[:, :1], options[:, :1], k)


@rank.slip(
    "order of the sentence",
    "The swaps are the right ones, in another order: of the sentence, or the least promising first. The most promising comes "
    "first.",
)
def sorted_by_place(model, numbers, label, options, k):
    found = rank(model, numbers, label, options, k)
    return found[found[:, 0].argsort()]


@rank.slip("order of the sentence")
def least_promising_first(model, numbers, label, options, k):
    return rank(model, numbers, label, options, k).flip(0)


@rank.slip("columns swapped", "Each row holds the word and then the place. It is the other way round.")
def word_and_place(model, numbers, label, options, k):
    return rank(model, numbers, label, options, k).flip(1)


@rank.slip(
    "which option",
    "The second column says the how-manieth option it is. Return the number of the word: options[place, which].",
)
def number_of_the_option(model, numbers, label, options, k):
    found = rank(model, numbers, label, options, k)
    which = (options[found[:, 0]] == found[:, 1:]).long().argmax(1)
    return torch.stack([found[:, 0], which], 1)


@rank.slip(
    "nearest word",
    "You rank by the distance between the vectors. How near two words are says nothing about which class they speak for: the "
    "gradient does.",
)
def nearest_vectors(model, numbers, label, options, k):
    vectors = model.embedding.weight.detach()
    return best_pairs(-(vectors[options] - vectors[numbers][:, None]).norm(dim=2), options, k)


@rank.slip(
    "every swap tried",
    "You ask the model about every swap. That is a good order, and it costs a query for each option. Here the first-order gain "
    "is asked for, of one gradient: (e_new - e_old) · slope.",
)
def tries_every_swap(model, numbers, label, options, k):
    gains = torch.zeros(options.shape)
    for place in range(len(numbers)):
        copies = numbers.repeat(options.shape[1], 1)
        copies[:, place] = options[place]
        gains[place] = lead(model, copies, label)
    return best_pairs(gains, options, k)


@rank.right
def through_ones_and_zeros(model, numbers, label, options, k):
    weight = model.embedding.weight.detach()
    chosen = torch.nn.functional.one_hot(numbers, len(weight)).to(weight).requires_grad_()
    logits = model.from_vectors((chosen @ weight)[None], torch.ones_like(numbers, dtype=torch.bool)[None])[0]
    (slope,) = torch.autograd.grad(logits[1 - label] - logits[label], chosen)
    pairs = []
    for place, (row, own) in enumerate(zip(slope, numbers)):
        rated = [(float(row[w] - row[own]), place, int(w)) for w in options[place] if w > 0]
        pairs += [max(rated)] if rated else []
    pairs.sort(reverse=True)
    return torch.tensor([pair[1:] for pair in pairs[:k]], device=numbers.device)


@rank.right
def by_the_log_probability(model, numbers, label, options, k):
    there = torch.ones(1, len(numbers), dtype=torch.bool, device=numbers.device)
    vectors = model.embedding(numbers)[None].detach().requires_grad_()
    model.from_vectors(vectors, there).log_softmax(1)[0, 1 - label].backward(inputs=[vectors])
    with torch.no_grad():
        change = model.embedding(options) - model.embedding(numbers).unsqueeze(1)
        gain = torch.einsum("lsd,ld->ls", change, vectors.grad[0])
        gain[options == 0] = -torch.inf
        value, which = gain.max(dim=1)
        rows = [[i, int(options[i, which[i]])] for i in value.argsort().flip(0).tolist() if value[i] > -1e30]
    return torch.tensor(rows[:k], device=numbers.device)


@rank.wrong("no word")
def padding_is_an_option(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    value, which = gains_of(model, numbers, options, slope).max(1)
    places = value.topk(min(k, int((options > 0).any(1).sum()))).indices
    return torch.stack([places, options[places, which[places]]], 1)


@rank.wrong("no option")
def any_word_at_all(model, numbers, label, options, k):
    slope, vectors = slope_of(model, numbers, wrong_minus_right(label)), model.embedding.weight.detach()
    gains = slope @ vectors[2:].T - (slope * vectors[numbers]).sum(1, keepdim=True)
    value, which = gains.max(1)
    places = value.topk(min(k, int((options > 0).any(1).sum()))).indices
    return torch.stack([places, which[places] + 2], 1)


@rank.wrong("too many rows")
def always_k_rows(model, numbers, label, options, k):
    slope = slope_of(model, numbers, wrong_minus_right(label))
    gains = gains_of(model, numbers, options, slope).masked_fill(options == 0, -torch.inf)
    value, which = gains.max(1)
    places = value.topk(min(k, len(numbers))).indices
    return torch.stack([places, options[places, which[places]]], 1)


@rank.wrong("saturated")
def slope_of_the_loss(model, numbers, label, options, k):
    slope = slope_of(model, numbers, lambda logits: -logits.log_softmax(0)[label])
    return best_pairs(gains_of(model, numbers, options, slope), options, k)


@rank.wrong("saturated")
def slope_of_the_probability(model, numbers, label, options, k):
    slope = slope_of(model, numbers, lambda logits: logits.softmax(0)[1 - label])
    return best_pairs(gains_of(model, numbers, options, slope), options, k)


@rank.wrong("crash")
def differentiates_the_numbers(model, numbers, label, options, k):
    asked = numbers.clone().requires_grad_()
    logits = model(asked[None])[0]
    (slope,) = torch.autograd.grad(logits[1 - label] - logits[label], asked)
    return best_pairs(slope[:, None] * (options - numbers[:, None]), options, k)


@rank.wrong("parameter gradients")
def backward_everywhere(model, numbers, label, options, k):
    vectors = model.embedding(numbers).detach().requires_grad_()
    logits = model.from_vectors(vectors[None], (numbers > 0)[None])[0]
    (logits[1 - label] - logits[label]).backward()
    return best_pairs(gains_of(model, numbers, options, vectors.grad), options, k)


@rank.wrong("input")
def marks_what_came_in(model, numbers, label, options, k):
    found = rank(model, numbers, label, options, k)
    options[found[:, 0]] = 0
    return found


def _other_pairs(case: Case, found: Tensor, expected: Tensor) -> Finding:
    """The finding for pairs that no slip explains."""
    right = int((found == expected).all(1).sum())
    first = int((found != expected).any(1).nonzero()[0])
    told = (
        f"{right} of {len(expected)} rows are right. Row {first} is (place, word) = {tuple(found[first].long().tolist())}; the "
        f"most promising that is left is {tuple(expected[first].long().tolist())}."
    )
    return Finding("formula", told)


PAIRS = Comparison(
    lambda student, case: student(case), called, lambda found, right: torch.equal(found, right), _other_pairs
)


def names_options(student: Student, draw: Draw) -> None:
    """Each row is a place of the sentence and one of its options."""
    case = student.task.case(draw, k=MANY)
    found, options = student(case).long(), case["options"]
    places, words = found.unbind(1)
    if ((places < 0) | (places >= len(options))).any() or (words <= 0).any():
        _explained(student.task, case, found)
    if (words == 0).any():
        told = (
            "A row has the word 0, which stands for none: it fills up `options` where a place has fewer. Put -torch.inf where "
            "options is 0, before you take the largest."
        )
        raise Finding("no word", told)
    within = (places >= 0) & (places < len(options))
    there = (options[places.clamp(0, len(options) - 1)] == words[:, None]).any(1) & within
    if not there.all():
        _explained(student.task, case, found)
        i = int((~there).nonzero()[0])
        told = f"Row {i} is (place, word) = {tuple(found[i].tolist())}, and that word is no option there."
        raise Finding("no option", told)


def _explained(task, case, found):
    """Raise the finding of the slip that gives the same, if there is one."""
    for slip in task.slips:
        if torch.equal(called(slip.function, case), found.double()):
            raise Finding(slip.key, slip.message)


def gives_fewer_rows(student: Student, draw: Draw) -> None:
    """Where fewer than k places have an option, there are fewer rows."""
    case = student.task.case(draw, k=MANY)
    reply, rows = student.ask(case), rows_of(case)[0]
    if (
        isinstance(reply, Reply)
        and reply.kind == TENSOR
        and reply.value.dim() == 2
        and len(reply.value) > rows
    ):
        told = (
            f"Only {rows} places have an option, and you return {len(reply.value)} rows. A place whose options are all 0 gives "
            "no row."
        )
        raise Finding("too many rows", told)
    student.images(reply, case)


def where_logits_are_large(student: Student, draw: Draw) -> None:
    """A net that is very sure has the same order; its probabilities have no slope."""
    case = student.task.case(draw, loud=4000.0, deep=2000.0)
    if not torch.equal(student(case), called(student.task.solution, case)):
        told = (
            "On a model that is very sure the order is another one: there the slope of the loss, or of a probability, is 0 to "
            "the last digit. Take that of the logits' difference."
        )
        raise Finding("saturated", told)


def _three(task, draw, **how):
    asked = (("neighbours", 4), ("neighbours", MANY), ("alone", 5))
    return [task.case(draw, kind=kind, k=k, **how) for kind, k in asked]


rank.checks(
    answers,
    keeps_what_it_gets,
    gives_fewer_rows,
    names_options,
    gives(rank, PAIRS, make=_three),
    where_logits_are_large,
    other_device,
    leaves_nothing_behind,
)
