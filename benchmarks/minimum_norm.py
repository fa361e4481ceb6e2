"""DeepFool, C&W, EAD, JSMA, UAP, OptMargin and stAdv beside torchattacks, foolbox, ART, cleverhans and adv-lib, in one run.

    python benchmarks/minimum_norm.py [--images 100] [--slow-images 20] [--runs 3] [--device cpu]

Success and size stand beside each time, and the bare passes of the model are measured in the same run. A library that is not
installed is named and left out. What takes seconds an image is run once, on fewer images: the column `n` tells.
"""

import argparse
import os
import warnings
from functools import partial

import numpy as np
import torch
from measuring import alternating, bare, digits, optional, write

from advcourse import attacks, metrics
from advcourse.attacks.noise import Noise
from advcourse.core.inputs import predict

SIZES = {"L0": metrics.l0, "L1": metrics.l1, "L2": metrics.l2, "Linf": metrics.linf}
HEAD = [
    "attack",
    "who",
    "n",
    "ms an image",
    "bare passes",
    "of the fastest right peer's time",
    "success",
    "size: median, mean",
]
RIGHT = 0.75  # of the best success among the rows of an attack: a peer that fails more often is no yardstick for time


class Bench:
    """The rows of each attack: {who: (call on (model, x, y, target), slow)}."""

    def __init__(self, model, options):
        self.model, self.options = model, options
        self.torchattacks, self.foolbox = optional("torchattacks"), optional("foolbox")
        self.adv, self.art = optional("adv_lib.attacks"), optional("art.attacks.evasion")
        self.cleverhans = optional("cleverhans.torch.attacks.carlini_wagner_l2")
        self.wrapped = self.foolbox and self.foolbox.PyTorchModel(model, bounds=(0, 1))

    def ours(self, attack):
        return lambda x, y, t: attack(self.model, x, y, t if attack.targeted else None)

    def ta(self, name, targeted=False, **settings):
        if not self.torchattacks:
            return None
        peer = getattr(self.torchattacks, name)(self.model, **settings)
        if targeted:
            peer.set_mode_targeted_by_label(quiet=True)
        return lambda x, y, t: peer(x, t if targeted else y)

    def fb(self, name, **settings):
        if not self.foolbox:
            return None
        peer = getattr(self.foolbox.attacks, name)(**settings)
        return lambda x, y, t: peer.run(self.wrapped, x, y)

    def al(self, name, **settings):
        return self.adv and (lambda x, y, t: getattr(self.adv, name)(self.model, x, y, **settings))

    def arts(self, name, targeted=False, **settings):
        if not self.art:
            return None
        shape = (1, 28, 28)
        wrapped = optional("art.estimators.classification").PyTorchClassifier(
            self.model, torch.nn.CrossEntropyLoss(), shape, 10, clip_values=(0, 1), device_type="cpu"
        )
        peer = getattr(self.art, name)(wrapped, verbose=False, **settings)

        def call(x, y, t):
            labels = np.eye(10)[(t if targeted else y).cpu().numpy()]
            return torch.from_numpy(peer.generate(x.cpu().numpy(), labels)).to(x)

        return call

    def ch(self, **settings):
        attack = self.cleverhans and self.cleverhans.carlini_wagner_l2
        return attack and (lambda x, y, t: attack(self.model, x, 10, **settings))


def tables(b):
    """{attack: (targeted, size's norm, {who: call}, {who: call on few images})}."""
    own = b.ours
    search = {"binary_search_steps": 5}
    return {
        "DeepFool L2, 50 steps": (
            False,
            "L2",
            {
                "advcourse": own(attacks.DeepFool()),
                "adv-lib": b.al("df", steps=50),
                "foolbox": b.fb("L2DeepFoolAttack", steps=50),
                "torchattacks": b.ta("DeepFool", steps=50),
            },
            {"ART": b.arts("DeepFool", max_iter=50, batch_size=100)},
        ),
        "DeepFool L∞, 50 steps": (
            False,
            "Linf",
            {
                "advcourse": own(attacks.DeepFool(norm="Linf")),
                "adv-lib": b.al("df", steps=50, norm=float("inf")),
                "foolbox": b.fb("LinfDeepFoolAttack", steps=50),
            },
            {},
        ),
        "C&W L2 (peers 5 x 200)": (
            False,
            "L2",
            {
                "advcourse": own(attacks.CWL2()),
                "advcourse, 3 steps, 12 slides": own(attacks.CWL2(steps=3, slides=12)),
            },
            {
                "adv-lib": b.al("carlini_wagner_l2", max_iterations=200, **search),
                "adv-lib, lr 0.05": b.al(
                    "carlini_wagner_l2", max_iterations=200, learning_rate=0.05, **search
                ),
                "foolbox": b.fb("L2CarliniWagnerAttack", steps=200, **search),
                "cleverhans": b.ch(max_iterations=200, lr=0.01, **search),
                "torchattacks, 1000 steps": b.ta("CW", steps=1000),
                "ART": b.arts("CarliniL2Method", max_iter=200, batch_size=16, **search),
            },
        ),
        "L2, about 50 passes": (
            False,
            "L2",
            {
                "advcourse C&W": own(attacks.CWL2()),
                "adv-lib DDN": b.al("ddn", steps=50),
                "adv-lib FMN": b.al("fmn", norm=2, steps=50),
                "adv-lib ALMA": b.al("alma", distance="l2", num_steps=50),
            },
            {},
        ),
        "L2, about 100 passes": (
            False,
            "L2",
            {
                "advcourse C&W": own(attacks.CWL2(slides=75)),
                "adv-lib DDN": b.al("ddn", steps=100),
                "adv-lib FMN": b.al("fmn", norm=2, steps=100),
                "adv-lib ALMA": b.al("alma", distance="l2", num_steps=100),
            },
            {},
        ),
        "EAD, EN rule (peers 5 x 200)": (
            False,
            "L1",
            {
                "advcourse": own(attacks.EAD()),
                "torchattacks": b.ta("EADEN", lr=0.01, max_iterations=200, beta=1e-3, **search),
                "foolbox": b.fb("EADAttack", steps=200, regularization=1e-3, **search),
            },
            {"ART": b.arts("ElasticNet", max_iter=200, batch_size=16, **search)},
        ),
        "EAD, L1 rule (peers 5 x 200)": (
            False,
            "L1",
            {
                "advcourse": own(attacks.EAD(rule="L1")),
                "torchattacks": b.ta("EADL1", lr=0.01, max_iterations=200, beta=1e-3, **search),
                "foolbox": b.fb("EADAttack", steps=200, regularization=1e-3, decision_rule="L1", **search),
            },
            {},
        ),
        "JSMA, gamma 0.1, random targets": (
            True,
            "L0",
            {
                "advcourse": own(attacks.JSMA(gamma=0.1)),
                "advcourse, the paper's rule": own(attacks.JSMA(gamma=0.1, others="sum")),
            },
            {
                "torchattacks": b.ta("JSMA", targeted=True, gamma=0.1),
                "ART": b.arts("SaliencyMapMethod", targeted=True, theta=1.0, gamma=0.1, batch_size=16),
            },
        ),
        "C&W L∞": (
            False,
            "Linf",
            {"advcourse": own(attacks.CWLinf())},
            {
                "adv-lib": b.al("carlini_wagner_linf"),
                "ART": b.arts("CarliniLInfMethod", max_iter=100, batch_size=16),
            },
        ),
        "C&W L0": (
            False,
            "L0",
            {"advcourse": own(attacks.CWL0())},
            {"ART": b.arts("CarliniL0Method", max_iter=20, binary_search_steps=3, batch_size=16)},
        ),
        "C&W L0, random targets": (True, "L0", {"advcourse": own(attacks.CWL0(targeted=True))}, {}),
        "OptMargin, 20 copies": (False, "L2", {"advcourse": own(attacks.OptMargin())}, {}),
        "stAdv": (False, "L2", {"advcourse": own(attacks.StAdv())}, {}),
        "stAdv, random targets": (True, "L2", {"advcourse": own(attacks.StAdv(targeted=True))}, {}),
    }


def universal(b, device):
    """UAP: made from one half of 400 digits, judged on the other, beside random signs of the same size."""
    _, x, y, _ = digits(device, 400)
    half = len(x) // 2
    made, held = x[:half], x[half:]
    said = predict(b.model, held).argmax(1)
    calls = {
        "advcourse": lambda: attacks.UAP(0.3).perturbation(b.model, made),
        "advcourse, mini-batch": lambda: attacks.UAP(0.3, method="minibatch").perturbation(b.model, made),
        "random signs": lambda: 0.3 * Noise(0).normal(made[:1])[0].sign(),
    }
    if art := b.arts(
        "UniversalPerturbation",
        attacker="deepfool",
        attacker_params={"max_iter": 10},
        delta=0.2,
        max_iter=2,
        eps=0.3,
    ):
        calls["ART"] = lambda: (art(made[:50], y[:50], None) - made[:50])[0]
    times, perturbations = alternating(calls, x, b.options.runs if not art else 1)
    for who, v in perturbations.items():
        fooled = (predict(b.model, (held + v).clamp(0, 1)).argmax(1) != said).double().mean().item()
        n = 50 if who == "ART" else half
        yield [
            "UAP, L∞ 0.3, held-out images",
            who,
            str(n),
            f"{1000 * times[who] / n:.2f}",
            "",
            "",
            f"{fooled:.3f}",
            "0.3",
        ]


def measure(b, name, targeted, norm, quick, slow):
    """The lines of one attack: times, how many bare passes that is, success, median and mean size."""
    lines = []
    for calls, images, runs in ((quick, b.options.images, b.options.runs), (slow, b.options.slow_images, 0)):
        if calls := {who: call for who, call in calls.items() if call}:
            lines += timed(b, calls, targeted, norm, images, runs)
    best = max(line[4] for line in lines)
    peers = [line[3] for line in lines if not line[0].startswith("advcourse") and line[4] >= RIGHT * best]
    for who, n, took, passes, rate, size in lines:
        share = f"{passes / min(peers):.2f}" if peers else ""
        yield [
            name,
            who,
            str(n),
            f"{1000 * took:.2f}",
            f"{passes:.0f}",
            share,
            f"{rate:.2f}",
            f"{size[0]:.3f}, {size[1]:.3f} ({norm})",
        ]


def timed(b, calls, targeted, norm, images, runs):
    """(who, n, seconds an image, bare passes, success, (median size, mean size)) of each of {who: call}."""
    _, x, y, t = digits(b.options.device, images)
    ready = {who: partial(call, x, y, t) for who, call in calls.items()}
    ready["bare"] = partial(bare, b.model, x, y, 20)
    times, found = alternating(ready, x, runs)
    for who in calls:
        adversarial = found[who].clamp(0, 1)
        success = metrics.succeeded(predict(b.model, adversarial), y, t if targeted else None)
        size = SIZES[norm](x, adversarial)
        size[~success] = torch.inf
        passes = 20 * times[who] / times["bare"]
        yield (
            who,
            len(x),
            times[who] / len(x),
            passes,
            success.double().mean().item(),
            (size.median(), size.mean()),
        )


def main():
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--slow-images", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="attacks whose name starts so")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ["TQDM_DISABLE"] = "1"  # the peers' progress bars
    model, x, _, _ = digits(options.device, options.images)
    b, lines = Bench(model, options), [HEAD]
    for name, row in tables(b).items():
        if name.startswith(options.only):
            new = list(measure(b, name, *row))
            lines += new
            print("\n".join(" | ".join(line) for line in new), flush=True)
    if "UAP".startswith(options.only):
        lines += (new := list(universal(b, options.device)))
        print("\n".join(" | ".join(line) for line in new), flush=True)
    if options.only:
        return
    text = f"""# The minimum-norm, saliency, spatial and universal attacks beside their peers

Model `mnist-cnn`, the first n held-out digits of `mnist-5k` that it classifies correctly. Times are medians of
{options.runs} runs after a warm-up, the libraries by turns; where n is {options.slow_images} it is one run. Made by
`python benchmarks/minimum_norm.py` in one process; times move with the machine, their ratios less. "bare passes" is the time in
units of one forward and backward pass of the model. The peer of the next column is the fastest of those that succeed at
least three quarters as often as the best; the shares are those of the bare passes. Sizes are taken over all n images, a failure
counting as infinite; images of peers are clipped to [0, 1] first.
"""
    packages = ("torchattacks", "foolbox", "adversarial-robustness-toolbox", "cleverhans", "adv-lib")
    write("minimum_norm", text, lines, x, packages)


if __name__ == "__main__":
    main()
