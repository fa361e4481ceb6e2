"""Lab 12: swap words for synonyms until the model misreads the sentence."""

from typing import Any

import torch

from advcourse.labs.exercises import Draw, exercise
from advcourse.labs.lab12.nets import SentenceNet
from advcourse.labs.lab12.reading import allowed, best_pairs, gains_of, lead, slope_of, wrong_minus_right
from advcourse.labs.lab12.sentences import SentenceTask, a_sentence, stopwords_of, synonyms_of
from advcourse.labs.lab12.swapping import (
    leaves_what_is_misread,
    swaps_enough,
    swaps_synonyms_alone,
    uses_the_whole_budget,
)
from advcourse.labs.properties import answers, keeps_what_it_gets, leaves_nothing_behind, other_device

TRIED = 8


def a_sentence_to_attack(draw: Draw, net: SentenceNet | None = None) -> dict[str, Any]:
    """A sentence, synonyms of all words, the words that must stay, and the share that may be swapped."""
    length = (13, 14, 15, 16, 17, 18, 19, 22, 23)[draw.integer() % 9]  # 0.3 of none is a whole number
    return {
        "numbers": a_sentence(draw, length),
        "label": draw.integer() % 2,
        "synonyms": synonyms_of(draw),
        "stopwords": stopwords_of(draw),
        "share": 0.3,
    }


def promising(model, found, label, options, k=TRIED):
    """The k swaps of the sentence `found` that promise most, rows (place, word)."""
    slope = slope_of(model, found, wrong_minus_right(label))
    return best_pairs(gains_of(model, found, options, slope), options, k)


def tried(model, found, label, pairs):
    """Copies of the sentence, one with each of the swaps, and the wrong class's lead in each."""
    copies = found.repeat(len(pairs), 1)
    copies[torch.arange(len(pairs)), pairs[:, 0]] = pairs[:, 1]
    return copies, lead(model, copies, label)


def swapped(model, numbers, label, options, budget, k=TRIED, early=True, better=True):
    """The attack: with `options` (L, S) at each place, at most `budget` swaps, of which k are tried each time."""
    found, options = numbers.clone(), options.clone()
    now = lead(model, found[None], label)[0]
    for _ in range(budget):
        pairs = promising(model, found, label, options, k)
        if (early and now > 0) or not len(pairs):
            break
        copies, leads = tried(model, found, label, pairs)
        best = leads.argmax()
        if better and leads[best] <= now:
            break
        found, now = copies[best], leads[best]
        options[pairs[best, 0]] = 0
    return found


@exercise(
    "Synonyms, and no more than needed",
    5,
    a_sentence_to_attack,
    (
        "Make `options` first: synonyms[numbers], the synonyms of the words of the ORIGINAL sentence, and 0 where "
        "stopwords[numbers]. Then your `rank` can be used as it is, on the sentence as it is now.",
        "Each turn: stop if the wrong class leads. pairs = rank(model, found, label, options, 8). Make a copy of the sentence "
        "for each pair, ask the model about all copies at once, and keep the copy in which the wrong class leads most, if that "
        "is more than now. Then set options[place] = 0: this place has had its swap.",
        "copies = found.repeat(len(pairs), 1); copies[torch.arange(len(pairs)), pairs[:, 0]] = pairs[:, 1]; "
        "logits = model(copies); leads = logits[:, 1 - label] - logits[:, label]; best = leads.argmax(). "
        "At most int(share * len(numbers)) turns.",
    ),
    shape=lambda case: case["numbers"].shape,
    numbers="whole",
    kind=SentenceTask,
)
def swap(model, numbers, label, synonyms, stopwords, share):
    return swapped(model, numbers, label, allowed(numbers, synonyms, stopwords), int(share * len(numbers)))


@swap.slip(
    "wrong way",
    "Your swaps make the model surer of the right class. Keep the copy in which the wrong class leads most: logits[:, 1 - label] "
    "minus logits[:, label].",
)
def helps_the_right_class(model, numbers, label, synonyms, stopwords, share):
    options, found = allowed(numbers, synonyms, stopwords), numbers
    for _ in range(int(share * len(numbers))):
        pairs = promising(model, found, 1 - label, options)
        if not len(pairs):
            break
        copies, leads = tried(model, found, 1 - label, pairs)
        found = copies[leads.argmax()]
        options[pairs[leads.argmax(), 0]] = 0
    return found


@swap.slip(
    "never verified",
    "You make the swap that promises most, and never ask the model whether it keeps the promise. The gradient holds near the "
    "old vector, and a swap is a long jump: try the best 8, and keep the one after which the wrong class leads most.",
)
def trusts_the_promise(model, numbers, label, synonyms, stopwords, share):
    options = allowed(numbers, synonyms, stopwords)
    return swapped(model, numbers, label, options, int(share * len(numbers)), k=1, better=False)


@swap.slip("never verified")
def the_most_promising_together(model, numbers, label, synonyms, stopwords, share):
    found = numbers.clone()
    pairs = promising(model, found, label, allowed(numbers, synonyms, stopwords), int(share * len(numbers)))
    for place, word in pairs.tolist():
        if lead(model, found[None], label)[0] > 0:
            break
        found[place] = word
    return found


@swap.slip(
    "one swap",
    "You make one swap, whatever the share allows. Go on as long as the right class leads, up to int(share * len(numbers)).",
)
def one_alone(model, numbers, label, synonyms, stopwords, share):
    return swapped(model, numbers, label, allowed(numbers, synonyms, stopwords), 1)


@swap.slip("one too few", "You make one swap fewer than the share allows: int(share * len(numbers)) of them.")
def starts_at_one(model, numbers, label, synonyms, stopwords, share):
    options = allowed(numbers, synonyms, stopwords)
    return swapped(model, numbers, label, options, int(share * len(numbers)) - 1)


@swap.slip(
    "on after success",
    "You go on after the model misreads the sentence, until the share is used up. Each swap more is one that a reader may "
    "notice: stop as soon as the wrong class leads.",
)
def uses_all_it_may(model, numbers, label, synonyms, stopwords, share):
    options = allowed(numbers, synonyms, stopwords)
    return swapped(model, numbers, label, options, int(share * len(numbers)), early=False)


@swap.right
def tries_every_option(model, numbers, label, synonyms, stopwords, share):
    found, swaps = numbers.clone(), []
    while len(swaps) < int(share * len(numbers)):
        with torch.no_grad():
            now = model(found[None])[0]
        copies = []
        for place in range(len(numbers)):
            if place in swaps or stopwords[numbers[place]]:
                continue
            for word in synonyms[numbers[place]].tolist():
                if word:
                    copies.append(found.clone())
                    copies[-1][place] = word
        if now[1 - label] > now[label] or not copies:
            break
        with torch.no_grad():
            logits = model(torch.stack(copies))
        leads = logits[:, 1 - label] - logits[:, label]
        best = int(leads.argmax())
        if leads[best] <= now[1 - label] - now[label]:
            break
        found = copies[best]
        swaps = (found != numbers).nonzero()[:, 0].tolist()
    return found


@swap.right
def from_a_list_of_pairs(model, numbers, label, synonyms, stopwords, share):
    budget, found, done = int(share * len(numbers)), list(numbers.tolist()), set()

    def read(rows):
        with torch.no_grad():
            logits = model(torch.tensor(rows, device=numbers.device))
        return (logits[:, 1 - label] - logits[:, label]).tolist()

    while len(done) < budget and read([found])[0] <= 0:
        here = torch.tensor(found, device=numbers.device)
        slope, weight = slope_of(model, here, lambda z: z[1 - label] - z[label]), model.embedding.weight
        pairs = []
        for place, original in enumerate(numbers.tolist()):
            if place not in done and not stopwords[original]:
                for word in filter(None, synonyms[original].tolist()):
                    pairs.append((float((weight[word] - weight[found[place]]) @ slope[place]), place, word))
        pairs = sorted(pairs, reverse=True)[:12]
        copies = [[*found[:place], word, *found[place + 1 :]] for _, place, word in pairs]
        if not copies or max(read(copies)) <= read([found])[0]:
            break
        leads = read(copies)
        best = leads.index(max(leads))
        found = copies[best]
        done.add(pairs[best][1])
    return torch.tensor(found, device=numbers.device)


@swap.wrong("synonym of a synonym")
def synonyms_of_the_last_step(model, numbers, label, synonyms, stopwords, share):
    found = numbers.clone()
    for _ in range(int(share * len(numbers))):
        pairs = promising(model, found, label, allowed(found, synonyms, stopwords))
        if lead(model, found[None], label)[0] > 0 or not len(pairs):
            break
        copies, leads = tried(model, found, label, pairs)
        found = copies[leads.argmax()]
    return found


@swap.wrong("stopword")
def swaps_stopwords(model, numbers, label, synonyms, stopwords, share):
    return swapped(model, numbers, label, synonyms[numbers], int(share * len(numbers)))


@swap.wrong("stopword")
def swaps_stopwords_alone(model, numbers, label, synonyms, stopwords, share):
    options = allowed(numbers, synonyms, ~stopwords)
    return swapped(model, numbers, label, options, int(share * len(numbers)))


@swap.wrong("no synonym")
def any_word(model, numbers, label, synonyms, stopwords, share):
    every = torch.arange(2, len(synonyms), device=numbers.device).expand(len(numbers), -1)
    every = every.masked_fill(stopwords[numbers][:, None], 0)
    return swapped(model, numbers, label, every, int(share * len(numbers)))


@swap.wrong("no synonym")
def the_other_way_round(model, numbers, label, synonyms, stopwords, share):
    options = torch.zeros(len(numbers), len(synonyms), dtype=numbers.dtype, device=numbers.device)
    for i, word in enumerate(numbers):
        if not stopwords[word]:
            backwards = (synonyms == word).any(1).nonzero()[:, 0]
            options[i, : len(backwards)] = backwards
    return swapped(model, numbers, label, options, int(share * len(numbers)))


@swap.wrong("word removed")
def takes_words_out(model, numbers, label, synonyms, stopwords, share):
    unknown = torch.ones_like(numbers)[:, None].masked_fill(stopwords[numbers][:, None], 0)
    return swapped(model, numbers, label, unknown, int(share * len(numbers)))


@swap.wrong("more than the share")
def rounds_up(model, numbers, label, synonyms, stopwords, share):
    options = allowed(numbers, synonyms, stopwords)
    return swapped(model, numbers, label, options, int(share * len(numbers)) + 1)


@swap.wrong("more than the share")
def as_many_as_it_takes(model, numbers, label, synonyms, stopwords, share):
    return swapped(model, numbers, label, allowed(numbers, synonyms, stopwords), len(numbers))


@swap.wrong("misread already")
def swaps_before_it_asks(model, numbers, label, synonyms, stopwords, share):
    found, options = numbers.clone(), allowed(numbers, synonyms, stopwords)
    for _ in range(int(share * len(numbers))):
        pairs = promising(model, found, label, options)
        if not len(pairs):
            break
        copies, leads = tried(model, found, label, pairs)
        found, options[pairs[leads.argmax(), 0]] = copies[leads.argmax()], 0
        if leads.max() > 0:
            break
    return found


@swap.wrong("nothing swapped")
def unchanged(model, numbers, label, synonyms, stopwords, share):
    return numbers.clone()


@swap.wrong("nothing swapped")
def returns_the_sentence_that_came(model, numbers, label, synonyms, stopwords, share):
    swap(model, numbers, label, synonyms, stopwords, share)
    return numbers


@swap.wrong("weak")
def at_random(model, numbers, label, synonyms, stopwords, share):
    found, options = numbers.clone(), allowed(numbers, synonyms, stopwords)
    generator = torch.Generator().manual_seed(0)
    places = (options > 0).any(1).nonzero()[:, 0]
    for place in places[torch.randperm(len(places), generator=generator)][: int(share * len(numbers))]:
        if lead(model, found[None], label)[0] > 0:
            break
        found[place] = options[place][0]
    return found


@swap.wrong("input")
def writes_into_the_sentence(model, numbers, label, synonyms, stopwords, share):
    numbers[:] = swap(model, numbers, label, synonyms, stopwords, share)
    return numbers


@swap.wrong("input")
def writes_into_the_table(model, numbers, label, synonyms, stopwords, share):
    synonyms[stopwords] = 0
    return swapped(model, numbers, label, synonyms[numbers], int(share * len(numbers)))


@swap.wrong("crash")
def options_of_no_length(model, numbers, label, synonyms, stopwords, share):
    return swapped(model, numbers, label, synonyms[numbers[stopwords]], int(share * len(numbers)))


swap.checks(
    answers,
    keeps_what_it_gets,
    swaps_synonyms_alone,
    swaps_enough,
    leaves_what_is_misread,
    uses_the_whole_budget,
    other_device,
    leaves_nothing_behind,
)
