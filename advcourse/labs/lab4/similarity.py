"""Lab 4: the structural similarity of two images, window by window."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, unfold

from advcourse.labs.comparing import gives, numbers
from advcourse.labs.exercises import Case, Draw, Task, exercise
from advcourse.labs.lab4.questions import FIRST, LAST
from advcourse.labs.properties import other_shape, other_type, treats_images_alone

WITHIN_A_MILLIONTH = numbers(1e-6)


def noisy_copies(draw: Draw, x: Tensor) -> dict[str, Tensor]:
    """Noisy copies of the images, the noise being of another strength in each; the left third has none."""
    strength = 0.02 + 0.2 * draw.uniform((len(x), 1, 1, 1))
    noise = strength * draw.normal(x.shape)
    noise[..., : x.shape[3] // 3] = 0
    return {"x_adv": (x + noise).clamp(0, 1)}


def in_windows(images, size=7, stride=1, padding=0):
    return avg_pool2d(images, size, stride, padding)


def moments(x, x_adv, mean=in_windows, **how):
    """Both means, both variances and the covariance in each window."""
    m_x, m_y, xx, yy, xy = (mean(v, **how) for v in (x, x_adv, x * x, x_adv * x_adv, x * x_adv))
    return m_x, m_y, xx - m_x * m_x, yy - m_y * m_y, xy - m_x * m_y


def brightness(m_x, m_y, c1=0.01**2):
    return (2 * m_x * m_y + c1) / (m_x**2 + m_y**2 + c1)


def structure(var_x, var_y, cov, c2=0.03**2):
    return (2 * cov + c2) / (var_x + var_y + c2)


def ssim(m_x, m_y, var_x, var_y, cov, c1=0.01**2, c2=0.03**2):
    return (brightness(m_x, m_y, c1) * structure(var_x, var_y, cov, c2)).mean(dim=(1, 2, 3))


@exercise(
    "Would you see it?",
    4,
    noisy_copies,
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
def similarity(x, x_adv):
    return ssim(*moments(x, x_adv))


@similarity.slip(
    "a distance", "This is 1 - SSIM. SSIM is a similarity: 1 for equal images. Return it as it is."
)
def dissimilarity(x, x_adv):
    return 1 - similarity(x, x_adv)


@similarity.slip(
    "windows side by side",
    "Your windows do not overlap: avg_pool2d moves by the size of its window, unless told otherwise. Every position counts: "
    "stride=1.",
)
def stride_left_to_avg_pool2d(x, x_adv):
    return ssim(*moments(x, x_adv, stride=None))


@similarity.slip(
    "padded",
    "Your windows reach beyond the image, where there are zeros. Only windows count that lie within it: no padding.",
)
def same_size_as_the_image(x, x_adv):
    return ssim(*moments(x, x_adv, padding=3))


def over_the_image(images):
    return images.mean(dim=(2, 3), keepdim=True)


@similarity.slip(
    "one window",
    "The means and variances are those of the whole image. Take them in each window of 7 x 7 pixels, and average at the end.",
)
def means_of_the_whole_image(x, x_adv):
    return ssim(*moments(x, x_adv, over_the_image))


@similarity.slip("one window")
def moments_of_the_whole_image(x, x_adv):
    a, b = x.flatten(2), x_adv.flatten(2)
    m_a, m_b = a.mean(2), b.mean(2)
    cov = ((a - m_a[..., None]) * (b - m_b[..., None])).sum(2) / (a.shape[2] - 1)
    return (brightness(m_a, m_b) * structure(a.var(2), b.var(2), cov)).mean(1)


def constants(high):
    """C1 and C2 for pixels with a range of `high`."""
    return (0.01 * high) ** 2, (0.03 * high) ** 2


@similarity.slip(
    "range of 255",
    "The constants are those of pixels with a range of 255. Here they range from 0 to 1, so that C1 = 0.01² and C2 = 0.03². "
    "With a wrong range all similarities are wrong, and nothing tells.",
)
def constants_of_bytes(x, x_adv):
    return ssim(*moments(x, x_adv), *constants(255))


@similarity.slip(
    "range of 2",
    "The constants are those of pixels with a range of 2. Here they range from 0 to 1, so that C1 = 0.01² and C2 = 0.03². With "
    "a wrong range all similarities are wrong, and nothing tells.",
)
def constants_of_floats_from_minus_1(x, x_adv):
    return ssim(*moments(x, x_adv), *constants(2))


@similarity.slip(
    "range of the images",
    "The constants follow the darkest and the brightest pixel that happen to be there. R is what pixels may be, 1, whatever "
    "these are; else the same change gets another value in another company.",
)
def range_as_it_is_found(x, x_adv):
    return ssim(*moments(x, x_adv), *constants(x.max() - x.min()))


@similarity.slip("range of the images")
def range_of_both_images(x, x_adv):
    both = torch.cat([x, x_adv])
    return ssim(*moments(x, x_adv), *constants(both.max() - both.min()))


@similarity.slip("constants not squared", "C1 is 0.01 and C2 is 0.03. They are squares: 0.01² and 0.03².")
def constants_as_they_are(x, x_adv):
    return ssim(*moments(x, x_adv), 0.01, 0.03)


@similarity.slip(
    "constants swapped",
    "C1 and C2 are swapped. C1 = 0.01² stands with the means, C2 = 0.03² with the variances.",
)
def each_constant_in_the_others_place(x, x_adv):
    return ssim(*moments(x, x_adv), 0.03**2, 0.01**2)


@similarity.slip(
    "deviations",
    "Where the covariance belongs stands the product of the standard deviations. That is the same for an image and its negative: "
    "which pixels go together is lost.",
)
def contrast_for_structure(x, x_adv):
    m_x, m_y, var_x, var_y, _ = moments(x, x_adv)
    return ssim(m_x, m_y, var_x, var_y, (var_x * var_y).clamp_min(0).sqrt())


@similarity.slip(
    "opposites alike",
    "Windows that are each other's negative count as alike: the sign of the covariance is lost. It is negative where one image "
    "is bright and the other dark.",
)
def absolute_covariance(x, x_adv):
    *others, cov = moments(x, x_adv)
    return ssim(*others, cov.abs())


@similarity.slip("opposites alike")
def covariance_cut_off_at_0(x, x_adv):
    *others, cov = moments(x, x_adv)
    return ssim(*others, cov.clamp_min(0))


@similarity.slip(
    "raw moments",
    "The squares of the means are not subtracted: the variance is the mean of the squares minus the square of the mean.",
)
def means_not_subtracted(x, x_adv):
    return ssim(*(in_windows(v) for v in (x, x_adv, x * x, x_adv * x_adv, x * x_adv)))


@similarity.slip("brightness alone", "Only the first factor is there, that of the means.")
def first_factor(x, x_adv):
    return brightness(*moments(x, x_adv)[:2]).mean(dim=(1, 2, 3))


@similarity.slip("structure alone", "Only the second factor is there. The first compares the means.")
def second_factor(x, x_adv):
    return structure(*moments(x, x_adv)[2:]).mean(dim=(1, 2, 3))


@similarity.slip(
    "48, not 49",
    "Variances and covariances are divided by 48, as scikit-image does. Here, as in the paper, it is 49, the pixels of a window.",
)
def as_scikit_image(x, x_adv):
    m_x, m_y, *products = moments(x, x_adv)
    return ssim(m_x, m_y, *(49 / 48 * product for product in products))


def under_a_bell(images):
    along = torch.exp(-((torch.arange(11).to(images) - 5) ** 2) / (2 * 1.5**2))
    bell = (along[:, None] * along / along.sum() ** 2).expand(images.shape[1], 1, -1, -1)
    return conv2d(images, bell, groups=images.shape[1])


@similarity.slip(
    "bell-shaped window",
    "The pixels of a window have weights like a bell, as in the paper. Here the window has 7 x 7 pixels, all of one weight.",
)
def gaussian_window(x, x_adv):
    return ssim(*moments(x, x_adv, under_a_bell))


@similarity.slip("window of 8", "Your windows have 8 x 8 pixels. Take 7 x 7.")
def even_window(x, x_adv):
    return ssim(*moments(x, x_adv, size=8))


@similarity.slip("window of 11", "Your windows have 11 x 11 pixels. Take 7 x 7.")
def larger_window(x, x_adv):
    return ssim(*moments(x, x_adv, size=11))


@similarity.slip("window of 5", "Your windows have 5 x 5 pixels. Take 7 x 7.")
def smaller_window(x, x_adv):
    return ssim(*moments(x, x_adv, size=5))


@similarity.slip("window of 3", "Your windows have 3 x 3 pixels. Take 7 x 7.")
def smallest_window(x, x_adv):
    return ssim(*moments(x, x_adv, size=3))


@similarity.slip(
    "grey first",
    "The channels are averaged before they are compared: then a red that becomes a green of the same light has not changed. Take "
    "SSIM of each channel, and average at the end.",
)
def channels_averaged(x, x_adv):
    return similarity(x.mean(1, keepdim=True), x_adv.mean(1, keepdim=True))


@similarity.slip(
    "first channel", "Only the first channel is compared. Take SSIM of each channel, and average at the end."
)
def red_alone(x, x_adv):
    return similarity(x[:, :1], x_adv[:, :1])


@similarity.right
def with_unfold(x, x_adv):
    n, channels, height, width = x.shape
    a, b = (unfold(t.reshape(-1, 1, height, width), 7).transpose(1, 2) for t in (x, x_adv))  # (N C, L, 49)
    m_a, m_b = a.mean(2), b.mean(2)
    cov = ((a - m_a[..., None]) * (b - m_b[..., None])).mean(2)
    bright = (2 * m_a * m_b + 1e-4) / (m_a.square() + m_b.square() + 1e-4)
    alike = (2 * cov + 9e-4) / (a.var(2, correction=0) + b.var(2, correction=0) + 9e-4)
    return (bright * alike).reshape(n, -1).mean(1)


@similarity.right
def with_convolution(x, x_adv):
    n, channels = x.shape[:2]
    kernel = torch.ones(channels, 1, 7, 7).to(x) / 49

    def mean(image):
        return conv2d(image, kernel, groups=channels)

    mu, nu = mean(x), mean(x_adv)
    s, t, c = mean(x**2) - mu**2, mean(x_adv**2) - nu**2, mean(x * x_adv) - mu * nu
    top = (2 * mu * nu + 0.01**2) * (2 * c + 0.03**2)
    return (top / ((mu**2 + nu**2 + 0.01**2) * (s + t + 0.03**2))).flatten(1).mean(1)


@similarity.wrong("not a number")
def no_constants(x, x_adv):
    return ssim(*moments(x, x_adv), 0, 0)


@similarity.wrong("formula")
def sum_of_the_factors(x, x_adv):
    return (first_factor(x, x_adv) + second_factor(x, x_adv)) / 2


@similarity.wrong("shape")
def mean_of_the_batch(x, x_adv):
    return similarity(x, x_adv).mean()


@similarity.wrong("other type")
def always_float32(x, x_adv):
    return similarity(x.float(), x_adv.float())


@similarity.wrong("input")
def centred_in_place(x, x_adv):
    return similarity(x, x_adv.clamp_(0.001, 1))


@similarity.wrong("crash")
def kernel_for_grey_images(x, x_adv):
    kernel = torch.ones(1, 1, 7, 7).to(x) / 49
    return ssim(*moments(x, x_adv, lambda images: conv2d(images, kernel)))


def digits_and_faint_ones(task: Task, draw: Draw) -> list[Case]:
    """Digits; images of little contrast, where the constants and the 49 count; and digits beside their negatives.

    All are float64: the small difference of two large numbers, as which a variance is reckoned, would lose digits in float32.
    """
    faint = task.case(draw, grey=True)
    x, x_adv = (0.5 + 0.2 * (faint[name] - 0.5) for name in ("x", "x_adv"))
    digits = task.case(draw)
    negatives = digits.but(x_adv=1 - digits["x_adv"])
    return [case.to(torch.float64) for case in (digits, faint.but(x=x, x_adv=x_adv), negatives)]


def in_colour(task: Task, draw: Draw) -> list[Case]:
    return [task.case(draw, shape=(3, 20, 24)).to(torch.float64) for _ in range(2)]


similarity.checks(
    *FIRST,
    other_type,
    gives(similarity, WITHIN_A_MILLIONTH, make=digits_and_faint_ones),
    gives(similarity, WITHIN_A_MILLIONTH, ("grey first", "first channel"), make=in_colour),
    treats_images_alone,
    other_shape,
    *LAST,
)
