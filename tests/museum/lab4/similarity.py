"""Answers to similarity(x, x_adv)."""

import torch
from torch.nn.functional import avg_pool2d, conv2d, unfold

from museum import Room

room = Room("similarity")


@room.right
def with_avg_pool2d(x, x_adv):
    return attempt(x, x_adv)


@room.right
def with_unfold(x, x_adv):
    n, channels, height, width = x.shape
    a, b = (unfold(t.reshape(-1, 1, height, width), 7).transpose(1, 2) for t in (x, x_adv))  # (N C, L, 49)
    m_a, m_b = a.mean(2), b.mean(2)
    cov = ((a - m_a[..., None]) * (b - m_b[..., None])).mean(2)
    brightness = (2 * m_a * m_b + 1e-4) / (m_a.square() + m_b.square() + 1e-4)
    structure = (2 * cov + 9e-4) / (a.var(2, correction=0) + b.var(2, correction=0) + 9e-4)
    return (brightness * structure).reshape(n, -1).mean(1)


@room.right
def with_convolution(x, x_adv):
    n, channels = x.shape[:2]
    kernel = torch.ones(channels, 1, 7, 7).to(x) / 49

    def mean(image):
        return conv2d(image, kernel, groups=channels)

    mu, nu = mean(x), mean(x_adv)
    s, t, c = mean(x**2) - mu**2, mean(x_adv**2) - nu**2, mean(x * x_adv) - mu * nu
    top = (2 * mu * nu + 0.01**2) * (2 * c + 0.03**2)
    return (top / ((mu**2 + nu**2 + 0.01**2) * (s + t + 0.03**2))).flatten(1).mean(1)


def attempt(x, x_adv, **slip):
    """A right answer with a slip in it, by the name of what it changes."""
    size = slip.get("size", 7)

    def mean(image):
        return avg_pool2d(image, size, stride=slip.get("stride", 1), padding=slip.get("padding", 0))

    m_x, m_y = mean(x), mean(x_adv)
    more, minus = slip.get("more", 1), slip.get("minus", 1)
    var_x, var_y = more * (mean(x * x) - minus * m_x * m_x), more * (mean(x_adv * x_adv) - minus * m_y * m_y)
    cov = more * (mean(x * x_adv) - minus * m_x * m_y)
    c1, c2 = slip.get("constants", (0.01**2, 0.03**2))
    brightness = (2 * m_x * m_y + c1) / (m_x**2 + m_y**2 + c1)
    structure = (2 * slip.get("cov", lambda cov, s, t: cov)(cov, var_x, var_y) + c2) / (var_x + var_y + c2)
    product = slip.get("of", lambda b, s: b * s)(brightness, structure)
    return product.mean(dim=(1, 2, 3))


@room.wrong("a distance")
def dissimilarity(x, x_adv):
    return 1 - attempt(x, x_adv)


@room.wrong("windows side by side")
def stride_left_to_avg_pool2d(x, x_adv):
    return attempt(x, x_adv, stride=None)


@room.wrong("padded")
def same_size_as_the_image(x, x_adv):
    return attempt(x, x_adv, padding=3)


@room.wrong("one window")
def moments_of_the_whole_image(x, x_adv):
    a, b = x.flatten(2), x_adv.flatten(2)
    m_a, m_b = a.mean(2), b.mean(2)
    cov = ((a - m_a[..., None]) * (b - m_b[..., None])).sum(2) / (a.shape[2] - 1)
    top = (2 * m_a * m_b + 0.01**2) * (2 * cov + 0.03**2)
    return (top / ((m_a**2 + m_b**2 + 0.01**2) * (a.var(2) + b.var(2) + 0.03**2))).mean(1)


@room.wrong("range of 255")
def constants_of_bytes(x, x_adv):
    return attempt(x, x_adv, constants=((0.01 * 255) ** 2, (0.03 * 255) ** 2))


@room.wrong("range of 2")
def constants_of_floats_from_minus_1(x, x_adv):
    return attempt(x, x_adv, constants=(0.02**2, 0.06**2))


@room.wrong("constants not squared")
def constants_as_they_are(x, x_adv):
    return attempt(x, x_adv, constants=(0.01, 0.03))


@room.wrong("not a number")
def no_constants(x, x_adv):
    return attempt(x, x_adv, constants=(0, 0))


@room.wrong("deviations")
def contrast_for_structure(x, x_adv):
    return attempt(x, x_adv, cov=lambda cov, s, t: (s * t).clamp_min(0).sqrt())


@room.wrong("raw moments")
def means_not_subtracted(x, x_adv):
    return attempt(x, x_adv, minus=0)


@room.wrong("brightness alone")
def first_factor(x, x_adv):
    return attempt(x, x_adv, of=lambda b, s: b)


@room.wrong("structure alone")
def second_factor(x, x_adv):
    return attempt(x, x_adv, of=lambda b, s: s)


@room.wrong("48, not 49")
def as_scikit_image(x, x_adv):
    return attempt(x, x_adv, more=49 / 48)


@room.wrong("bell-shaped window")
def gaussian_window(x, x_adv):
    along = torch.exp(-((torch.arange(11).to(x) - 5) ** 2) / (2 * 1.5**2))
    bell = (along[:, None] * along / along.sum() ** 2).expand(x.shape[1], 1, -1, -1)

    def mean(image):
        return conv2d(image, bell, groups=x.shape[1])

    m, k = mean(x), mean(x_adv)
    s, t, c = mean(x * x) - m * m, mean(x_adv * x_adv) - k * k, mean(x * x_adv) - m * k
    ssim = (2 * m * k + 1e-4) * (2 * c + 9e-4) / ((m * m + k * k + 1e-4) * (s + t + 9e-4))
    return ssim.mean(dim=(1, 2, 3))


@room.wrong("window of 8")
def even_window(x, x_adv):
    return attempt(x, x_adv, size=8)


@room.wrong("window of 11")
def larger_window(x, x_adv):
    return attempt(x, x_adv, size=11)


@room.wrong("grey first")
def channels_averaged(x, x_adv):
    return attempt(x.mean(1, keepdim=True), x_adv.mean(1, keepdim=True))


@room.wrong("first channel")
def red_alone(x, x_adv):
    return attempt(x[:, :1], x_adv[:, :1])


@room.wrong("formula")
def sum_of_the_factors(x, x_adv):
    return attempt(x, x_adv, of=lambda b, s: (b + s) / 2)


@room.wrong("range of the images")
def range_as_it_is_found(x, x_adv):
    found = x.max() - x.min()
    return attempt(x, x_adv, constants=((0.01 * found) ** 2, (0.03 * found) ** 2))


@room.wrong("shape")
def mean_of_the_batch(x, x_adv):
    return attempt(x, x_adv).mean()


@room.wrong("other type")
def always_float32(x, x_adv):
    return attempt(x.float(), x_adv.float())


@room.wrong("input")
def centred_in_place(x, x_adv):
    x_adv.clamp_(0.001, 1)
    return attempt(x, x_adv)


@room.wrong("crash")
def kernel_for_grey_images(x, x_adv):
    kernel = torch.ones(1, 1, 7, 7).to(x) / 49

    def mean(image):
        return conv2d(image, kernel)

    m, k = mean(x), mean(x_adv)
    s, t, c = mean(x * x) - m * m, mean(x_adv * x_adv) - k * k, mean(x * x_adv) - m * k
    ssim = (2 * m * k + 1e-4) * (2 * c + 9e-4) / ((m * m + k * k + 1e-4) * (s + t + 9e-4))
    return ssim.mean(dim=(1, 2, 3))


@room.wrong("constants swapped")
def each_constant_in_the_others_place(x, x_adv):
    c1, c2 = 0.03**2, 0.01**2
    m_x, m_y, xx, yy, xy = (avg_pool2d(v, 7, stride=1) for v in (x, x_adv, x * x, x_adv * x_adv, x * x_adv))
    top = (2 * m_x * m_y + c1) * (2 * (xy - m_x * m_y) + c2)
    return (top / ((m_x**2 + m_y**2 + c1) * (xx - m_x**2 + yy - m_y**2 + c2))).mean(dim=(1, 2, 3))


@room.wrong("opposites alike")
def absolute_covariance(x, x_adv):
    return attempt(x, x_adv, cov=lambda cov, s, t: cov.abs())


@room.wrong("opposites alike")
def covariance_cut_off_at_0(x, x_adv):
    return attempt(x, x_adv, cov=lambda cov, s, t: cov.clamp_min(0))
