"""What `show` shows for each task: a function of `ask` that gives sentences, a figure, and what kind of figure it is.

`ask(shape, victim, **arguments)` calls the student's function and gives numbers (float64) of that shape.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from advcourse import attacks, data, plots
from advcourse.cases import phone
from advcourse.cases.printer import CORNERS, palette
from advcourse.core.inputs import predict
from advcourse.core.rounding import number, percent
from advcourse.labs.exercises import Draw
from advcourse.labs.lab5.cameras import Net, Photographed
from advcourse.labs.lab5.eot_gradient import eot_gradient
from advcourse.labs.lab5.eot_pgd import pgd
from advcourse.labs.lab5.homography import SIDE, corners, seen, tilted
from advcourse.labs.lab5.photographs import SIGNS, misread, readable
from advcourse.labs.lab5.road import bins, pasted, photographs, print_of, read_as_target
from advcourse.labs.lab5.sticker import sticker, stop_sign

NET = Net(SIGNS)


def listed(row: Mapping[str, float | Tensor], words: Callable = percent) -> str:
    """A dictionary in words: "name value, name value"."""
    return ", ".join(f"{name} {words(value)}" for name, value in row.items())


def _destruction(ask):
    model, eps = Net("signs-cnn").build(), 16 / 255  # which was trained without photographs
    x, y = data.load("signs", "test").pick(100)
    made = {
        "FGSM": attacks.FGSM(eps),
        "BIM": attacks.BIM(eps, steps=10),
        "ILLC": attacks.ILLC(eps, steps=10),
    }
    images = torch.stack([attack(model, x, y) for attack in made.values()])

    def read(pictures):
        return predict(model, pictures).argmax(1)

    on_paper = phone.HELD_OUT
    clean = torch.stack([read(x), read(on_paper(x))])
    attacked, after = (torch.stack([read(f(part)) for part in images]) for f in (lambda part: part, on_paper))
    yours = ask((3,), clean=clean, attacked=attacked, after=after, y=y)
    fooled = (clean[0] == y) & (attacked != y)
    papers = (fooled & (after == y)).sum(1) / fooled.sum(1)
    rows = {
        name: {"yours": rate, "clean photographs not asked for": other}
        for name, rate, other in zip(made, yours, papers)
    }
    sentences = [f"{name}: destroyed {listed(row)}." for name, row in rows.items()]
    sentences.append(
        f"Of the clean signs {percent((clean[1] != y).double().mean())} are misread in the photograph."
    )
    return sentences, plots.bars(rows, "destroyed by the photograph", percentages=True), "Bars."


def _homography(ask):
    draw, points, wide = Draw(8), 160, 480
    matrix, src = tilted(draw), corners(draw)
    found = ask((3, 3), src=src, dst=seen(matrix, src))
    sheet, _ = data.examples("signs", of="stop")
    photo = _sampled(sheet[:1], torch.linalg.inv(matrix), wide, SIDE, points)
    flat = _sampled(photo, found, SIDE, wide, points)
    far = torch.tensor([[3.0, 3.0], [55.0, 3.0], [55.0, 55.0], [3.0, 55.0]]).double()
    off = (seen(found, far) - seen(matrix, far)).norm(dim=1).max()
    away = "less than 0.0001 pixels" if off < 1e-4 else f"up to {number(off)} pixels"
    sentences = [f"By your matrix, four other points of the sheet are {away} off."]
    pictures = torch.cat([photo, flat])
    return (
        sentences,
        plots.grid(pictures, ["photograph", "flat again"]),
        "A tilted road sign, and the sign made flat.",
    )


def _sampled(x, matrix, side, source, points):
    """A picture of `points` x `points` over `side`, each looked up in x, which is `source` wide, where the matrix sends it."""
    along = (torch.arange(points).double() + 0.5) / points * side
    places = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1).reshape(-1, 2)
    grid = (2 * seen(matrix, places) / source - 1).reshape(1, points, points, 2)
    return F.grid_sample(x.double(), grid, align_corners=False).float().clamp(0, 1)


def _printed(ask):
    corners_of_cube = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    grey = torch.full((1, 3), 0.5)
    colours = torch.cat([corners_of_cube, grey])[:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    signs, _ = data.examples("signs", 4)
    inks = CORNERS.float()
    rows = {}
    for name, images in (("colours", colours), ("signs", signs)):
        rows[name] = images, ask(images.shape, x=images, corners=inks).float().clamp(0, 1)
    (before, after), shown = rows["signs"], rows["colours"]
    spread = [float(part.flatten(2).std(2).mean()) for part in (before, after)]
    half = [number(value) for value in shown[1][8, :, 0, 0].tolist()]
    sentences = [
        f"An even grey, (0.5, 0.5, 0.5), is printed as ({', '.join(half)}).",
        f"The contrast of the signs falls to {percent(spread[1] / spread[0])} of what it was.",
    ]
    flat = [F.interpolate(part, (32, 32)) for part in shown]
    pictures = torch.cat([flat[0], flat[1], F.pad(before, (0,) * 4), after])
    names = ["black", "blue", "green", "cyan", "red", "magenta", "yellow", "white", "grey"]
    titles = [*(f"{name}\nscreen" for name in names), *(f"{name}\npaper" for name in names)]
    titles += ["screen"] * 4 + ["paper"] * 4
    return (
        sentences,
        plots.grid(pictures, titles, columns=9),
        "Nine colours and four signs, on the screen and on paper.",
    )


def _nps(ask):
    inks = palette().float()
    mask = torch.ones(8, 8, dtype=torch.bool)
    g = torch.Generator().manual_seed(0)
    random = torch.rand(3, 8, 8, generator=g)
    chosen = inks[torch.randint(len(inks), (64,), generator=g)].T.reshape(3, 8, 8)
    patterns = {
        "screen blue": torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 8, 8).contiguous(),
        "random colours": random,
        "half way to ink": (random + chosen) / 2,
        "printable": chosen,
        "one cell is not": torch.where(
            torch.arange(64).view(8, 8) == 27, torch.eye(3)[2, :, None, None], chosen
        ),
    }
    found = {name: ask((), x=x, palette=inks, mask=mask) for name, x in patterns.items()}
    sentences = [f"The logarithm of the score for {len(inks)} inks: {listed(found, number)}."]
    pictures = F.interpolate(torch.stack(list(patterns.values())), (32, 32))
    titles = [f"{name}\n{number(value)}" for name, value in found.items()]
    return sentences, plots.grid(pictures, titles), "Five patterns of coloured cells."


def _eot_gradient(ask):
    draw, numbers = Draw(3), (1, 2, 4, 8, 16)
    x, y = (part[:6] for part in readable())
    many = [view for view in bins(draw, 4)]
    order = draw.uniform((len(many),)).argsort().tolist()
    mine, others = [many[i] for i in order[:16]], [many[i] for i in order[16:]]
    expected = eot_gradient(NET.build(), x, y, [view.build() for view in others]).flatten(1).double()

    def cosine(found):
        return F.cosine_similarity(found.flatten(1).double(), expected).mean()

    along = [cosine(ask(x.shape, NET, x=x, y=y, views=tuple(mine[:n]))) for n in numbers]
    named = dict(zip(("1 view", *(f"{n} views" for n in numbers[1:])), along))
    sentences = [f"Cosine of your gradient with that of {len(others)} other views: {listed(named, number)}."]
    figure = plots.lines(
        {"your gradient": (numbers, along)}, "views", "cosine with the gradient of other views"
    )
    (axis,) = figure.axes
    axis.set(xscale="log")
    axis.set_xticks(numbers, [str(n) for n in numbers])
    axis.minorticks_off()
    return sentences, figure, "A curve that rises with the number of views."


def _eot_pgd(ask):
    victim, eps, steps, draws = Photographed(SIGNS), 10 / 255, 15, 4
    x, y = (part[:30] for part in readable())
    model = victim.build()
    yours = ask(x.shape, victim, x=x, y=y, eps=eps, steps=steps, draws=draws).float()
    yours = yours.clamp(x - eps, x + eps).clamp(0, 1)
    made = {"clean": x, "PGD": pgd(model[-1], x, y, eps, steps), "yours": yours}
    seeds = list(range(10_000, 10_010))
    rows = {
        name: {
            "on the screen": (predict(model[-1], images).argmax(1) != y).double().mean(),
            "in new photographs": misread(victim, images, y, seeds).mean(),
        }
        for name, images in made.items()
    }
    sentences = [f"{name}: misread {listed(row)}." for name, row in rows.items()]
    return sentences, plots.bars(rows, f"misread, of {len(x)} signs", percentages=True), "Bars."


def _sticker(ask):
    case = stop_sign(sticker, Draw(2), target=2, corners=CORNERS.float())
    found = ask(case["plate"].shape, case.victim, **case.arguments).float().clamp(0, 1)
    plate, mask = case["plate"], case["mask"]
    g = torch.Generator().manual_seed(0)
    papers = {
        "your sticker": found[:3],
        "random": torch.rand(plate[:3].shape, generator=g),
        "black": torch.zeros_like(plate[:3]),
        "white": torch.ones_like(plate[:3]),
    }
    made = {name: pasted(plate, mask, print_of(colours, case["corners"])) for name, colours in papers.items()}
    new = bins(Draw(77), 4)
    share = {name: read_as_target(case, surface, new).double().mean() for name, surface in made.items()}
    places = new[0], new[20], new[-1]
    pictures = [surface[:3] for surface in made.values()]
    pictures += list(photographs(made["your sticker"], [view.build() for view in places]))
    titles = [f"{name}\n{percent(rate)}" for name, rate in share.items()]
    titles += [f"{view.distance:g} m\n{abs(view.angle):g} degrees" for view in places]
    sentences = [f"Read as no entry, in {len(new)} new photographs: {listed(share)}."]
    return (
        sentences,
        plots.grid(torch.stack(pictures), titles),
        "A stop sign with four papers, and from three places.",
    )


VIEWS = {
    "destruction": _destruction,
    "homography": _homography,
    "printed": _printed,
    "nps": _nps,
    "eot_gradient": _eot_gradient,
    "eot_pgd": _eot_pgd,
    "sticker": _sticker,
}
