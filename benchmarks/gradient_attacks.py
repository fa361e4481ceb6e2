"""The gradient-sign family beside torchattacks and foolbox: same model, same images, same settings, in one run.

    python benchmarks/gradient_attacks.py [--images 200] [--runs 5] [--device cpu]

`bare` is the limit: the forward and backward passes that the algorithm needs, and nothing else. `overhead` is time / bare. The
runs of all rows of an attack alternate, and each row shows its median, so that a slow moment of the machine hits all alike. The
table goes to benchmarks/results/gradient_attacks.md. A library that is not installed is named and left out.
"""

import argparse

from measuring import alternating, bare, digits, optional, write

from advcourse import attacks, metrics
from advcourse.attacks.noise import Noise
from advcourse.core.inputs import predict

STEPS, ALPHA, EPS = 40, 0.02, 0.3


def rows(model, x, y, target):
    """(attack, passes, {who: call}) for each attack."""
    ta, fb = optional("torchattacks"), optional("foolbox")
    wrapped = fb and fb.PyTorchModel(model, bounds=(0, 1))
    table = []

    def add(name, steps, ours, torchattack=None, fool=None, targeted=None, mode=None):
        goal = target if targeted else None
        calls = {
            f"advcourse {variant}".strip(): lambda a=a: a(model, x, y, goal) for variant, a in ours.items()
        }
        if ta and torchattack:
            peer = torchattack(ta)
            if mode:
                getattr(peer, mode)(quiet=True)
            calls["torchattacks"] = lambda: peer(x, target if targeted else y)
        if fb and fool:
            criterion = fb.criteria.TargetedMisclassification(target) if targeted else y
            calls["foolbox"] = lambda: fool(fb).run(wrapped, x, criterion, epsilon=EPS)
        table.append((name, steps, goal, calls))

    kept = {"": "last", "(best)": "best", "(first)": "first"}
    add(
        f"FGSM {EPS}",
        1,
        {"": attacks.FGSM(EPS)},
        lambda ta: ta.FGSM(model, EPS),
        lambda fb: fb.attacks.LinfFastGradientAttack(random_start=False),
    )
    add(
        f"BIM, {STEPS} steps",
        STEPS,
        {label: attacks.BIM(EPS, ALPHA, STEPS, keep=keep) for label, keep in kept.items()},
        lambda ta: ta.BIM(model, EPS, ALPHA, STEPS),
        lambda fb: fb.attacks.LinfBasicIterativeAttack(abs_stepsize=ALPHA, steps=STEPS, random_start=False),
    )
    add(
        f"PGD, {STEPS} steps",
        STEPS,
        {label: attacks.PGD(EPS, ALPHA, STEPS, keep=keep) for label, keep in kept.items()},
        lambda ta: ta.PGD(model, EPS, ALPHA, STEPS),
        lambda fb: fb.attacks.LinfPGD(abs_stepsize=ALPHA, steps=STEPS),
    )
    add(
        f"U-MI-FGSM, {STEPS} steps",
        STEPS,
        {label: attacks.UMIFGSM(EPS, ALPHA, STEPS, keep=keep) for label, keep in kept.items()},
        lambda ta: ta.MIFGSM(model, EPS, ALPHA, STEPS),
    )
    add(
        f"T-MI-FGSM, {STEPS} steps",
        STEPS,
        {label: attacks.TMIFGSM(EPS, ALPHA, STEPS, keep=keep) for label, keep in kept.items()},
        lambda ta: ta.MIFGSM(model, EPS, ALPHA, STEPS),
        targeted=True,
        mode="set_mode_targeted_by_label",
    )
    add(
        f"ILLC, {STEPS} steps",
        STEPS,
        {label: attacks.ILLC(EPS, ALPHA, STEPS, keep=keep) for label, keep in kept.items()},
        lambda ta: ta.BIM(model, EPS, ALPHA, STEPS),
        mode="set_mode_targeted_least_likely",
    )
    return table


def measure(model, x, y, name, steps, goal, calls, runs):
    """One line of the table for each who: median milliseconds an image, overhead, success and size."""
    # A pass over a noisy image takes longer than over a clean digit, whose pixels are mostly 0; steps see noisy ones.
    seen = x if steps == 1 else (x + EPS * Noise(0).normal(x).sign()).clamp(0, 1)
    calls = {"bare passes": lambda: bare(model, seen, y, steps), **calls}
    times, images = alternating(calls, x, runs)
    limit = times["bare passes"]
    if name.startswith("ILLC"):
        goal = attacks.choose_target(model, x, y, how="least_likely")
    for who in calls:
        line = [name, who, f"{1000 * times[who] / len(x):.3f}", f"{times[who] / limit:.2f}"]
        if who != "bare passes":
            rate = metrics.misclassification_rate(predict(model, images[who]), y, goal)
            line += [f"{rate:.3f}", f"{metrics.linf(x, images[who]).max().item():.3f}"]
        yield line + [""] * (6 - len(line))


def main():
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model, x, y, target = digits(options.device, options.images)
    head = ["attack", "who", "ms an image", "overhead", "success", "largest L∞"]
    lines = [head]
    for row in rows(model, x, y, target):
        lines += measure(model, x, y, *row, runs=options.runs)
        print("\n".join(" | ".join(line) for line in lines[-len(row[3]) - 1 :]), flush=True)
    text = f"""# The gradient-sign family beside its peers

Model `mnist-cnn`, the first {len(x)} held-out digits of `mnist-5k` that it classifies correctly, eps {EPS}, alpha {ALPHA}.
Medians of {options.runs} runs after a warm-up, all in one process. Made by `python benchmarks/gradient_attacks.py`; times move
with the machine, their ratios less.

"advcourse" returns the last iterate, as the peers do; "(best)" the iterate of lowest margin; "(first)" lets an image leave the
batch at its first success. Success is targeted for the targeted attacks.
"""
    write("gradient_attacks", text, lines, x, ("torchattacks", "foolbox"))


if __name__ == "__main__":
    main()
