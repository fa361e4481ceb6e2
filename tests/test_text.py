"""Attacks on sentences: against exhaustive search, a peer's similarity, counting, and what was measured of them."""

from dataclasses import replace

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import paired_cosine_distances
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from advcourse import data, models
from advcourse.beyond import text
from advcourse.core.identity import identity
from advcourse.core.inputs import InputError
from advcourse.data import reviews
from advcourse.data.words import WordList, words_of
from advcourse.zoo import recipes

NETS = ("reviews-bag", "reviews-gru")
ATTACKS = {
    "hotflip": text.HotFlip(text.synonyms(guard=True)),
    "any": text.HotFlip(text.any_word()),
    "textfooler": text.TextFooler(text.synonyms()),
    "random": text.RandomSwaps(text.synonyms()),
}
each_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture(scope="module", params=NETS)
def victim(request):
    """A shipped net, and 100 held-out sentences that it reads rightly."""
    net = models.load(request.param)
    return net, text.read_rightly(net, data.load("reviews")).pick(100)


@pytest.fixture(scope="module")
def few():
    """The shipped bag of embeddings, and 40 sentences that it reads rightly."""
    net = models.load("reviews-bag")
    return net, text.read_rightly(net, data.load("reviews")).pick(40)


class Linear(models.BagOfEmbeddings):
    """The mean of the words' weights: the lead of class 1 is exactly linear in the words."""

    def __init__(self, weights):
        super().__init__(len(weights), width=1)
        self.layers = nn.Identity()
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor(weights, dtype=torch.float64)[:, None])

    def from_vectors(self, vectors, there):
        return torch.cat([vectors.new_zeros(len(vectors), 1), super().from_vectors(vectors, there)], 1)


KNOWN = WordList(["a", "good", "fair", "film", "bad", "big", "movie"])
NET = Linear([0.0, 0.0, 0.0, 3.0, 1.0, 0.5, -4.0, -1.0, -0.5])
TABLE = {"good": ["fair"], "fair": ["good", "bad"], "film": ["movie"], "bad": ["big"], "movie": ["film"]}
OWN = text.Substitutes(KNOWN, TABLE)
POSITIVE = torch.tensor([1])


# ---- the nets ----


@pytest.mark.parametrize("name", NETS)
def test_shipped_nets_read_what_their_cards_say(name):
    """Against the card, and the accuracy that tf-idf with logistic regression reaches on such sentences, 0.785."""
    net, held_out, card = models.load(name), data.load("reviews"), models.card(name)
    right = len(text.read_rightly(net, held_out)) / len(held_out)
    assert right >= 0.77 and card["held_out_accuracy"] == pytest.approx(right, abs=0.002)
    assert card["data"]["test"] == held_out.checksum and card["data"]["name"] == "reviews"
    assert card["settings"].items() <= recipes.RECIPES[name].settings().items()
    assert net.embedding.num_embeddings == len(reviews.word_list())
    assert name in models.names(parts=True) and name not in models.names()


@pytest.mark.slow
def test_training_again_gives_the_accuracy_of_the_card(tmp_path):
    """Against the shipped card: within a point on the held-out sentences."""
    card = recipes.train_shipped("reviews-bag", tmp_path, progress=False)
    assert card["held_out_accuracy"] == pytest.approx(
        models.card("reviews-bag")["held_out_accuracy"], abs=0.01
    )
    assert card.keys() == models.card("reviews-bag").keys()


def test_the_bag_is_torchs_embedding_bag():
    """Against torch's EmbeddingBag, sentence by sentence, without the padding."""
    net = models.BagOfEmbeddings(9).double()
    numbers = KNOWN.encode(["a good film", "bad", "a bad bad bad movie"])
    bag = nn.EmbeddingBag.from_pretrained(net.embedding.weight, mode="mean")
    expected = torch.cat([net.layers(bag(row[row > 0][None])) for row in numbers])
    torch.testing.assert_close(net(numbers), expected, rtol=1e-12, atol=1e-12)


def test_the_gru_does_not_see_padding_but_sees_the_order():
    """Against torch's packed sequences, which have no padding; the bag, unlike it, takes words in any order."""
    net, bag = models.GatedReader(9).double(), models.BagOfEmbeddings(9).double()
    numbers = KNOWN.encode(["a good film", "bad", "a bad bad good movie"])
    lengths = (numbers > 0).sum(1)
    packed = pack_padded_sequence(net.embedding(numbers), lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(net.unit(packed)[0], batch_first=True)
    torch.testing.assert_close(
        net(numbers), net.last(states.sum(1) / lengths[:, None]), rtol=1e-12, atol=1e-12
    )
    there, back = KNOWN.encode(["good bad film", "film bad good"])[:, None]
    assert not torch.allclose(net(there), net(back)) and torch.allclose(bag(there), bag(back))


# ---- against exhaustive search, by hand ----


def exhaustive(sentence, table):
    """The leads of the wrong class after each single swap: {(place, new word): lead}, for a positive sentence."""
    words, leads = words_of(sentence), {}
    for place, word in enumerate(words):
        for other in table(word):
            new = [*words[:place], other, *words[place + 1 :]]
            leads[place, other] = -NET(KNOWN.encode([" ".join(new)]))[0, 1].item()
    return leads


@pytest.mark.parametrize(
    "sentence", ["a good film", "a fair film, a good movie", "good good a a movie film a"]
)
@pytest.mark.parametrize("any_word", [False, True])
def test_the_first_swap_is_the_best_of_all(sentence, any_word):
    """Against all single swaps, tried one by one: the net is linear, so the first-order gain is exact, and ties are equal."""
    substitutes = text.Substitutes(KNOWN) if any_word else text.Substitutes(KNOWN, TABLE)
    leads = exhaustive(sentence, substitutes.of)
    result = text.HotFlip(substitutes, tried=1).run(NET, [sentence], POSITIVE, edits=torch.tensor([1]))
    [(place, (old, new))] = result.swaps(0).items()
    assert leads[place, new] == pytest.approx(max(leads.values())) and words_of(sentence)[place] == old


def test_black_box_by_hand():
    """Against the algorithm on paper: importance good 3, film 0.5, a 0; "fair" helps, then "movie"; every question counts."""
    result = text.TextFooler(text.Substitutes(KNOWN, TABLE), share=1.0).run(NET, ["A good film"], POSITIVE)
    assert result.altered == ["A fair movie"] and not result.success.any()
    assert result.queries.tolist() == [1 + 3 + 1 + 1]  # the sentence, three unknown words, "fair", "movie"
    worse = text.TextFooler(text.Substitutes(KNOWN, {"film": ["movie"], "fair": ["bad", "good"]}), share=1.0)
    found = worse.run(NET, ["a film, fair"], POSITIVE)
    assert found.altered == ["a film, bad"] and found.success.all() and found.queries.tolist() == [1 + 3 + 2]


@pytest.mark.parametrize("options", [["awful", "poor"], ["poor", "awful"]])
def test_a_sentence_beside_one_with_large_logits_gets_the_same_words(options):
    """Against the sentence alone: both words succeed, and the more similar one is taken, also beside a lead of 1e9, next to
    which float32 has no room for a similarity."""
    words = WordList(["good", "awful", "poor", "huge", "vast", "film"])
    net = Linear([0.0, 0.0, 3.0, -4.0, -4.0, 1e9, -1e9, 0.0])
    attack = text.TextFooler(text.Substitutes(words, {"good": options, "huge": ["vast"]}), share=1.0)
    alone = attack(net, ["good film"], torch.tensor([1]))
    together = attack(net, ["good film", "huge"], torch.tensor([1, 1]))
    assert together == [*alone, "vast"]
    altered = [f"{word} film" for word in options]
    near = text.similarity(words.encode(["good film"] * 2), words.encode(altered))
    assert abs(near[0] - near[1]) > 0.01 and alone == [altered[int(near.argmax())]]


def test_altered_sentences_keep_their_letters():
    """Against a sentence written out: only the word changes, and keeps its capital."""
    result = text.HotFlip(text.Substitutes(KNOWN, {"good": ["bad"]})).run(NET, ["Good — a FILM!"], POSITIVE)
    assert result.altered == ["Bad — a FILM!"] and result.swaps(0) == {0: ("good", "bad")}
    assert result.edits.tolist() == [1] and result.success.tolist() == [True]


# ---- similarity, substitutes, judge ----


def test_similarity_is_scikit_learns():
    """Against scikit-learn's tf-idf with the same words and training sentences, and its cosine; unknown words apart."""
    known, training = reviews.word_list(), data.load("reviews", "train")
    peer = TfidfVectorizer(analyzer=words_of, vocabulary=known.words).fit(training.sentences)
    clean = [t for t in data.load("reviews").sentences if all(word in known for word in words_of(t))][:50]
    altered = (
        text.RandomSwaps(text.any_word())
        .run(models.load("reviews-bag"), clean, torch.zeros(50).long())
        .altered
    )
    expected = 1 - paired_cosine_distances(peer.transform(clean), peer.transform(altered))
    found = text.similarity(known.encode([*clean, *altered])[:50], known.encode([*clean, *altered])[50:])
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-9, atol=1e-9)
    assert found.min() < 0.95 and found.max() <= 1


def test_the_guard_keeps_pairs_of_like_polarity():
    """Against the valences, pair by pair: what it drops has opposite signs or lies more than 1.5 apart, what it keeps has not."""
    plain, guarded, rated = text.synonyms(), text.synonyms(guard=True), reviews.valence()
    dropped = 0
    for word, others in reviews.synonyms().items():
        kept = guarded.of(word)
        assert plain.of(word) == others
        for other in others:
            a, b = rated.get(word, 0), rated.get(other, 0)
            assert (other in kept) == (not (a > 0 > b or a < 0 < b) and abs(a - b) <= 1.5)
            dropped += other not in kept
    assert 300 < dropped < 3000 and "big" in plain.of("bad") and "big" not in guarded.of("bad")


def test_the_judge_adds_valences():
    """Against two sums by hand: okay .9, great 3.1, horrible -2.5."""
    sums = text.polarity(["An okay film, a GREAT film.", "Horrible, horrible film"])
    torch.testing.assert_close(sums, torch.tensor([4.0, -5.0], dtype=torch.float64))


# ---- what was measured ----


def test_words_fool_both_nets_and_chance_does_not(victim):
    """Against the figures of the literature's kind of attack on 100 sentences: any word fools all but a few with one or two
    swaps; synonyms fool about half, guarded ones fewer; random swaps of as many words far fewer than any of them."""
    net, chosen = victim
    sentences, labels = chosen.sentences, chosen.labels

    def run(attack, **more):
        return attack.run(net, sentences, labels, **more)

    free, plain = run(text.HotFlip(text.any_word())), run(text.HotFlip(text.synonyms()))
    guarded, blind = run(text.HotFlip(text.synonyms(guard=True))), run(text.TextFooler(text.synonyms()))
    assert free.success_rate.value >= 0.97 and free.edits.double().mean() <= 2
    assert 0.4 <= plain.success_rate.value <= 0.8 and 0.4 <= blind.success_rate.value <= 0.8
    assert guarded.success_rate.value < plain.success_rate.value
    assert blind.queries.double().mean() > plain.queries.double().mean() > 8
    for result in (free, plain, guarded, blind):
        chance = run(text.RandomSwaps(result.attack.substitutes), edits=result.edits)
        assert chance.success_rate.high < result.success_rate.low and chance.success_rate.value <= 0.2


def test_similarity_holds_to_the_original(few):
    """Against the similarity of first and last sentence: a limit on each step alone would let the sum of them drift."""
    net, chosen = few
    loose, tight = (
        text.HotFlip(text.any_word(), share=1.0, similar=limit).run(net, chosen.sentences, chosen.labels)
        for limit in (0.0, 0.85)
    )
    assert tight.similarity.min() >= 0.85 > loose.similarity.min()
    blind = text.TextFooler(text.synonyms(), share=1.0, similar=0.9).run(net, chosen.sentences, chosen.labels)
    chance = text.RandomSwaps(text.synonyms(), share=1.0, similar=0.9).run(
        net, chosen.sentences, chosen.labels
    )
    assert min(blind.similarity.min(), chance.similarity.min()) >= 0.9


# ---- the contract ----


@each_attack
def test_every_attack_keeps_its_contract(attack, few):
    """Against copies of all that was handed over; budgets and substitutes are counted, queries by a net that counts."""
    net, chosen = few

    class Counting(models.WordReader):
        embedding, asked = net.embedding, 0

        def __init__(self):
            nn.Module.__init__(self)
            self.net = net

        def from_vectors(self, vectors, there):
            type(self).asked += len(vectors)
            return self.net.from_vectors(vectors, there)

    counting, labels = Counting().train(), chosen.labels.clone()
    weights = {name: values.clone() for name, values in net.state_dict().items()}
    state = torch.get_rng_state()
    result = attack.run(counting, list(chosen.sentences), labels)
    assert (
        torch.equal(torch.get_rng_state(), state) and counting.training and torch.equal(labels, chosen.labels)
    )
    assert all(torch.equal(values, weights[name]) for name, values in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert Counting.asked == int(result.queries.sum()) + len(chosen)  # the last pass gives the logits
    lengths = torch.tensor([len(words_of(sentence)) for sentence in chosen.sentences])
    assert (result.edits <= (0.3 * lengths.double() + 1e-9).long().clamp(min=1)).all()
    for i in range(len(chosen)):
        assert all(new in attack.substitutes.of(old) for old, new in result.swaps(i).values())
    torch.testing.assert_close(result.logits, text.read(net, result.altered))
    labels.zero_()
    assert torch.equal(result.labels, chosen.labels)  # its own copy
    again = attack.run(net, chosen.sentences, chosen.labels)
    assert again.altered == result.altered == attack(net, chosen.sentences, chosen.labels)
    alone = attack.run(net, chosen.sentences[:1], chosen.labels[:1])
    assert alone.altered == result.altered[:1] and identity(attack) == identity(replace(attack))


@each_attack
def test_no_sentences_and_no_words_to_swap(attack, few):
    """Against the empty set, and a budget of none: nothing changes, and nothing breaks."""
    net, chosen = few
    empty = attack.run(net, [], torch.zeros(0, dtype=torch.int64))
    assert empty.altered == [] and empty.success_rate.n == 0
    still = attack.run(net, chosen.sentences, chosen.labels, edits=torch.zeros(40, dtype=torch.int64))
    assert still.altered == list(chosen.sentences) and not still.success.any()
    assert replace(attack, share=0.0)(net, chosen.sentences[:3], chosen.labels[:3]) == list(
        chosen.sentences[:3]
    )


def test_random_swaps_follow_their_seed(few):
    """Against a second run, and another seed."""
    net, chosen = few
    first, second, other = (
        text.RandomSwaps(text.synonyms(), seed=seed)(net, chosen.sentences, chosen.labels)
        for seed in (1, 1, 2)
    )
    assert first == second != other


LABELS = torch.tensor([1])


@pytest.mark.parametrize(
    "bad, message",
    [
        (lambda: text.HotFlip("synonyms"), "substitutes: got 'synonyms'; allowed are text.any_word"),
        (lambda: text.HotFlip(text.synonyms(), share=1.5), "share: got 1.5; allowed"),
        (lambda: text.HotFlip(text.synonyms(), tried=0), "tried: got 0; allowed"),
        (lambda: text.RandomSwaps(text.synonyms(), seed=-1), "seed: got -1; allowed"),
        (lambda: text.TextFooler(text.any_word()), "substitutes: got any word, far too many to try"),
        (lambda: text.Substitutes(KNOWN, {"good": ["unheard"]}), "table: got no pair of two words"),
        (lambda: text.HotFlip(OWN)(NET, "a good film", LABELS), "sentences: got something else"),
        (lambda: text.HotFlip(OWN)(NET, ["!"], LABELS), "sentences: got '!', without a word"),
        (lambda: text.HotFlip(OWN)(NET, ["a"], torch.tensor([1, 0])), "labels: got shape"),
        (lambda: text.HotFlip(OWN)(NET, ["a"], torch.tensor([0.5])), "labels: got shape"),
        (lambda: text.HotFlip(OWN)(NET, ["a"], torch.tensor([-1])), "labels: got -1; allowed"),
        (
            lambda: text.HotFlip(OWN)(NET, ["a"], torch.tensor([2])),
            "labels: got label 2; allowed are 0 to 1",
        ),
        (lambda: text.HotFlip(text.synonyms())(len, ["a"], LABELS), "model: got builtin"),
        (lambda: text.HotFlip(OWN).run(NET, ["a"], LABELS, edits=[0.5]), "edits: got shape"),
        (lambda: text.read(nn.Identity(), ["a film"]), "model: returned shape .* of torch.int64 for 1 sent"),
        (lambda: text.read(NET, ["a film"]), "words: got a list of 8589 numbers, but the model knows 9"),
        (lambda: text.train_reader(NET, data.load("reviews"), KNOWN, epochs=0), "epochs: got 0"),
    ],
)
def test_bad_input_is_named(bad, message):
    """Against the sentences that say what is allowed."""
    with pytest.raises(InputError, match=message):
        bad()


def test_a_net_without_vectors_can_only_be_asked(few):
    """Against a net that has no embedding: the gradient attack says what it needs, the others run."""

    class Black(nn.Module):
        def forward(self, numbers):
            return few[0](numbers)

    sentences, labels = few[1].sentences[:4], few[1].labels[:4]
    with pytest.raises(
        InputError, match="model: has no `embedding` and `from_vectors`.*TextFooler needs neither"
    ):
        text.HotFlip(text.synonyms())(Black(), sentences, labels)
    same = ATTACKS["textfooler"](few[0], sentences, labels)
    assert ATTACKS["textfooler"](Black(), sentences, labels) == same


@pytest.mark.gpu
@each_attack
def test_a_gpu_swaps_as_the_cpu(attack, few):
    """Against the CPU: as many sentences are fooled, but for two that rounding may tip; labels and logits are on the GPU."""
    from copy import deepcopy

    net, chosen = few
    here = attack.run(net, chosen.sentences, chosen.labels)
    there = attack.run(deepcopy(net).to("cuda"), chosen.sentences, chosen.labels)
    assert there.logits.is_cuda and there.numbers.is_cuda and there.labels.is_cuda
    assert abs(int(there.success.sum()) - int(here.success.sum())) <= 2
