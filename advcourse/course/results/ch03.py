"""Chapter 03: how many steps, how many starts, and how well the images made on one network fool another."""

from advcourse.attacks.gradient_sign import BIM, FGSM, ILLC, PGD, UMIFGSM
from advcourse.course.results.measured import Rate
from advcourse.course.results.transfer import Transfer

NETWORKS = ("mnist-cnn", "mnist-wide", "mnist-small", "mnist-mlp")
STARTS = 6


def _bim(eps, steps):
    """BIM that counts successes: its steps together are 2.5 eps long, and a single one is eps, which is FGSM."""
    return BIM(eps, min(eps, 2.5 * eps / steps), steps, keep="first")


def _starts(eps, steps, model):
    """BIM, which starts at the image, and PGD from six random points."""
    yield Rate(name=f"BIM at {eps:g} on {model}", attack=BIM(eps, steps=steps, keep="first"), model=model)
    for seed in range(STARTS):
        attack = PGD(eps, steps=steps, keep="first", seed=seed)
        yield Rate(name=f"PGD at {eps:g} on {model}, start: {seed + 1}", attack=attack, model=model)


def _sent():
    """Six attacks at 0.25 on each of four networks, sent to each of the others; and one on three networks together."""
    kinds = {"FGSM": FGSM(0.25), "BIM, stops early": BIM(0.25, steps=10, keep="first")}
    for reach in (1, 2.5):
        kinds[f"BIM, reach {reach:g}"] = BIM(0.25, reach * 0.025, 10, keep="last")
        kinds[f"MI-FGSM, reach {reach:g}"] = UMIFGSM(0.25, reach * 0.025, 10, keep="last")
    for name, attack in kinds.items():
        for made in NETWORKS:
            for reader in NETWORKS:
                if made != reader:
                    yield _transfer(name, attack, (made,), reader)
    for reader in NETWORKS:
        others = tuple(network for network in NETWORKS if network != reader)
        yield _transfer("three together", kinds["MI-FGSM, reach 1"], others, reader)


def _transfer(name, attack, made_on, reader):
    source = made_on[0] if len(made_on) == 1 else "the others"
    return Transfer(
        name=f"{name}, {source} to {reader}", attack=attack, made_on=made_on, model=reader, read_by=NETWORKS
    )


_SIGNS = {"model": "signs-cnn", "images": "signs"}

MEASURED = (
    *(Rate(name=f"BIM at 0.15, steps: {k}", attack=_bim(0.15, k)) for k in (1, 5, 10, 20, 40)),
    *(
        Rate(name=f"BIM at 0.3 on mnist-eat, steps: {k}", attack=_bim(0.3, k), model="mnist-eat")
        for k in (1, 2, 20)
    ),
    Rate(name="MI-FGSM at 0.15, steps: 20", attack=UMIFGSM(0.15, 2.5 * 0.15 / 20, 20)),
    Rate(name="PGD at 0.3", attack=PGD(0.3, alpha=0.02, steps=40, keep="first")),
    *_starts(0.1, 10, "mnist-cnn"),
    *_starts(0.3, 12, "mnist-pat"),
    *_sent(),
    *(
        Rate(name=f"ILLC at 0.3, reach {reach:g}", attack=ILLC(0.3, reach * 0.03, 10), counted="targets")
        for reach in (1, 2.5)
    ),
    Rate(name="BIM at 8/255 on signs", attack=BIM(8 / 255, steps=10, keep="first"), **_SIGNS),
    *(
        Rate(
            name=f"ILLC at 8/255 on signs, steps: {k}",
            attack=ILLC(8 / 255, steps=k, keep="first"),
            counted="targets",
            **_SIGNS,
        )
        for k in (10, 50)
    ),
)
