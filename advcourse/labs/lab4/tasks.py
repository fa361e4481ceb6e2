"""Lab 4, "Measuring honestly": its tasks, points and hints."""

from advcourse.labs.checks import Lab, Task
from advcourse.labs.lab4 import detector, interval, lasting, median_size, on_common, rate, similarity
from advcourse.labs.properties import (
    answers,
    keeps_what_it_gets,
    leaves_nothing_behind,
    other_device,
    other_shape,
    other_type,
    treats_images_alone,
)

_FIRST = (answers, keeps_what_it_gets)
_LAST = (other_device, leaves_nothing_behind)


SIMILARITY = Task(
    "similarity",
    "Would you see it?",
    4,
    ("x", "x_adv"),
    similarity.pairs,
    (*_FIRST, other_type, *similarity.SIMILARITY, treats_images_alone, other_shape, *_LAST),
    (
        "Every mean over a window is one call: avg_pool2d(image, 7, stride=1). It keeps channels apart. You need five: of x, "
        "of x_adv, of both squares, and of the product.",
        "With m_x and m_y the means: var_x = avg_pool2d(x * x, 7, stride=1) - m_x * m_x, and the covariance likewise from x * "
        "x_adv and m_x * m_y.",
        "ssim = (2 * m_x * m_y + c1) * (2 * cov + c2) / ((m_x**2 + m_y**2 + c1) * (var_x + var_y + c2)), with c1 = 0.01**2 and "
        "c2 = 0.03**2; return ssim.mean(dim=(1, 2, 3)).",
    ),
    shape=lambda case: (len(case["x"]),),
)

DESTRUCTION = Task(
    "destruction",
    "Does it last?",
    3,
    ("clean", "attacked", "clean_after", "attacked_after"),
    lasting.transformed,
    (*_FIRST, *lasting.DESTRUCTION, *_LAST),
    (
        "Both sums run over the same images: those that were right, and that the attack fooled. That is a mask (N,): clean & "
        "~attacked.",
        "attacked_after[:, fooled] keeps these images in all rows. It holds True where the model is right again.",
        "destroyed = attacked_after[:, fooled].double().mean(1); accuracy = clean_after.double().mean(1); return "
        "torch.stack([destroyed, accuracy]).",
    ),
    shape=lambda case: (2, len(case["clean_after"])),
    numbers="nan",
)

WORST_CASE = Task(
    "worst_case",
    "The worst of all attacks",
    4,
    ("clean", "right", "size", "eps"),
    lasting.attacked,
    (*_FIRST, *lasting.WORST_CASE, *_LAST),
    (
        "For one eps: an attack breaks an image where the model is not right and the size is within the budget. An image is "
        "right if it was right, and no attack breaks it. Then the mean.",
        "broken = ~right & (size <= eps + 1e-6) is (A, N) for one eps; broken.any(0) says which images any attack breaks.",
        "For all budgets write a loop, and torch.stack; or at once, with eps[:, None, None]: broken is (E, A, N) then. Return "
        "(clean & ~broken.any(1)).double().mean(1).",
    ),
    shape=lambda case: tuple(case["eps"].shape),
)

WIN_RATE = Task(
    "win_rate",
    "Fooled, and not noticed",
    4,
    ("clean_scores", "scores", "fooled", "fpr"),
    detector.scores,
    (*_FIRST, *detector.WIN_RATE, *_LAST),
    (
        "How many of the n clean images may be flagged? At most fpr * n, so int(fpr * n). If k scores lie above the threshold, "
        "which place has it among the sorted ones?",
        "threshold = clean_scores.sort(descending=True).values[int(fpr * n)]: k scores stand before it, and are flagged.",
        "won = fooled & (scores <= threshold); return won.double().mean(1): for each attack the share of all its images.",
    ),
    shape=lambda case: (len(case["scores"]),),
)

LAB = Lab(
    "lab4",
    (
        rate.rate,
        interval.interval,
        median_size.median_size,
        on_common.on_common,
        SIMILARITY,
        DESTRUCTION,
        WORST_CASE,
        WIN_RATE,
    ),
)
