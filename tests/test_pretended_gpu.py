"""The pretended GPU against torch: what it refuses, what it allows. On a machine with a GPU the same tests run on that."""

import copy
import gc
import io

import numpy as np
import pytest
import torch
from pretended_gpu import OnGPU, pretended_gpu
from torch import nn
from torch.nn import functional as F

CPU = torch.arange(6.0).view(2, 3)


def on_gpu():
    return CPU.cuda()


def net():
    """A convolution and a batch norm with weights that are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))


def left_behind():
    """A model of which one buffer stayed."""
    model = net().cuda().eval()
    model[1].running_mean = model[1].running_mean.cpu()
    return model(torch.rand(2, 1, 4, 4).cuda())


def backward(gradient):
    x = on_gpu().requires_grad_()
    x.square().backward(gradient)


def masked(x, values):
    x[x > 2] = values


REFUSED = {
    "adding": lambda: on_gpu() + CPU,
    "adding in place": lambda: CPU.clone().add_(on_gpu()),
    "a number on the CPU written over": lambda: torch.tensor(1.0).add_(on_gpu().sum()),
    "comparing": lambda: torch.equal(on_gpu(), CPU),
    "choosing": lambda: torch.where(on_gpu() > 2, CPU, 0.0),
    "multiplying matrices": lambda: on_gpu() @ CPU.T,
    "joining": lambda: torch.cat([on_gpu(), CPU]),
    "stacking numbers": lambda: torch.stack([on_gpu()[0, 0], torch.tensor(1.0)]),
    "assigning to places": lambda: masked(on_gpu(), torch.ones(3)),
    "places on the GPU": lambda: CPU[torch.tensor([0]).cuda()],
    "a mask on the GPU": lambda: CPU[on_gpu() > 2],
    "gathering": lambda: on_gpu().gather(1, torch.zeros(2, 1, dtype=torch.long)),
    "selecting": lambda: on_gpu().index_select(0, torch.tensor([0])),
    "a loss of labels elsewhere": lambda: F.cross_entropy(on_gpu(), torch.tensor([0, 1])),
    "a model elsewhere": lambda: nn.Linear(3, 2)(on_gpu()),
    "images elsewhere": lambda: nn.Linear(3, 2).cuda()(CPU),
    "a buffer left behind": left_behind,
    "a gradient from elsewhere": lambda: backward(torch.ones(2, 3)),
    "a new tensor": lambda: on_gpu() + torch.zeros(3),
    "a new tensor of numbers from there": lambda: on_gpu() + torch.tensor(on_gpu().tolist()),
    "numpy": lambda: on_gpu().numpy(),
    "numpy asking": lambda: np.asarray(on_gpu()),
    "the CPU's generator": lambda: torch.rand(3, device="cuda", generator=torch.Generator()),
    "the CPU's generator in place": lambda: on_gpu().normal_(generator=torch.Generator()),
    "the GPU's generator": lambda: torch.rand(3, generator=torch.Generator("cuda")),
    "a shuffle by the GPU's generator": lambda: torch.randperm(3, generator=torch.Generator("cuda")),
    "a GPU that is not there": lambda: torch.zeros(3, device="cuda:99"),
}


@pytest.mark.gpu
@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_an_error(fault):
    """Checks one fault at a time against the type of the error that torch raises with a GPU."""
    with pytest.raises(TypeError if "numpy" in fault else RuntimeError):
        REFUSED[fault]()


def with_number(x):
    x = torch.where(x > 1, x, torch.tensor(9.0)).masked_fill(x > 4, torch.tensor(7.0))
    x[0, 0], x[x == 7] = torch.tensor(5.0), torch.tensor(6.0)
    return x * torch.tensor(2.0) + 1


def with_places(x):
    x[torch.tensor([0])] += 1
    x[[1], 1:] = 8.0
    return x[torch.tensor([1, 0])] + x[[0]] + x[:, [True, False, True]].sum()


def with_views(x):
    row, turned = x[0], x.T
    row += 1
    turned.mul_(2)
    x.view(-1)[2:4].zero_()
    x[1:] = torch.ones(1, 3)  # from the CPU: this is a copy
    return torch.cat([x, row[None], *x.chunk(2)])


def twice_differentiated(x):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    slope.square().sum().backward()
    return x.grad


def differentiated(x):
    model = net().to(x.device).train()
    model(x.view(1, 1, 2, 3).repeat(3, 1, 2, 2)[..., :4]).square().sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()] + [model[1].running_mean])


def trained(x):
    model = nn.Linear(3, 1, bias=False).to(x.device)
    nn.init.ones_(model.weight)
    for kind in (torch.optim.Adam, torch.optim.SGD):
        optimizer = kind(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return model.weight.detach()


def saved(x):
    model, file = nn.Linear(3, 2).to(x.device), io.BytesIO()
    nn.init.ones_(model.weight)
    torch.save({"model": model.state_dict(), "x": x}, file)
    file.seek(0)
    found = torch.load(file, map_location="cpu", weights_only=True)
    assert found["x"].device.type == "cpu"
    model.load_state_dict(found["model"])
    return model.weight.detach() + found["x"].to(x)


def copied(x):
    model = nn.Linear(3, 2).to(x.device)
    nn.init.ones_(model.weight)
    other, z = copy.deepcopy(model), copy.deepcopy(x)
    nn.init.zeros_(model.weight)
    x.zero_()
    assert isinstance(other.weight, nn.Parameter) and other.weight.requires_grad
    return other.weight.detach() + z


def given_other_data(x):
    model = nn.Linear(3, 2).to(x.device)
    model.weight.data = x + 1
    model.weight.data[0] -= 2
    model.bias.data.zero_()
    return model(x).detach()


def made(x):
    new = x.new_zeros(2, 3), torch.ones_like(x), x.new_tensor([1.0, 2, 3]), torch.arange(3, device=x.device)
    return x + sum(new) + torch.as_tensor([1, 2, 3], device=x.device) + torch.tensor(2.0, device=x.device)


def without_graph(x):
    with torch.inference_mode():
        y = net().to(x.device).eval()(x.repeat(2, 2)[None, None, :, :4])
        return (y.to("cpu").to(x) + F.dropout(x, 0.5, training=False)).clone()


ALLOWED = {
    "a number": with_number,
    "numbers of Python": lambda x: (1 - x) / 3 + x.sum().item() + float(x[0, 1]) + len(x) + bool(x[1, 1]),
    "places": with_places,
    "views": with_views,
    "classes": lambda x: F.one_hot(x.long(), 7).double().cumsum(-1),
    "differentiating twice": twice_differentiated,
    "a net": differentiated,
    "many at once": lambda x: torch.func.vmap(torch.func.grad(lambda row: row.square().sum()))(x),
    "training": trained,
    "saving": saved,
    "copying": copied,
    "other data": given_other_data,
    "what is made there": made,
    "no graph": without_graph,
    "numpy": lambda x: torch.from_numpy(x.cpu().numpy() + np.asarray(x.tolist())),
    "sorting": lambda x: x.flatten().topk(3).values + x.argsort(descending=True) + x.median(),
    "frequencies": lambda x: torch.fft.fft2(x).abs(),
}


@pytest.mark.gpu
@pytest.mark.parametrize("work", ALLOWED)
def test_what_torch_allows_gives_the_cpus_numbers(work):
    """Checks the numbers against the same work on the CPU."""
    expected, found = ALLOWED[work](CPU.clone()), ALLOWED[work](on_gpu())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)  # a GPU's float32 may be short
    assert found.is_cuda == (work != "numpy")


@pytest.mark.gpu
def test_where_things_are():
    """Checks the answers that torch's documentation gives for tensors on the first GPU, and that a move to there is none."""
    x = on_gpu()
    assert x.device == torch.device("cuda:0") == x.sum().device and x.is_cuda and x.get_device() == 0
    assert x.to("cuda") is x and x.cuda() is x and x.to(x.device) is x and torch.as_tensor(x) is x
    assert torch.tensor(1.0, device="cuda").is_cuda and not torch.zeros(3).is_cuda and not x.cpu().is_cuda
    assert "cuda:0" in repr(x) and x.detach().is_cuda and torch.Generator("cuda").device.type == "cuda"


@pytest.mark.gpu
def test_a_module_moves_and_its_parameters_stay_the_objects_that_they_are():
    """Checks identities and places, as torch documents `Module.to`: there, to another type, and back."""
    model = net()
    before = list(model.parameters())
    for move in (model.cuda, model.double, model.cpu):
        move()
        assert all(a is b for a, b in zip(before, model.parameters()))
        assert len({t.device for t in model.state_dict().values()}) == 1
    assert not before[0].is_cuda and before[0].dtype == torch.float64 and before[0].requires_grad


@pytest.mark.gpu
def test_random_numbers_of_the_gpu_are_its_own():
    """Checks states and draws: each device has a state, a seed sets both, and a generator repeats what it drew."""
    torch.manual_seed(1)
    states = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = torch.rand(3, device="cuda")
    assert torch.equal(torch.get_rng_state(), states[0])
    assert not torch.equal(torch.cuda.get_rng_state(), states[1])
    after = torch.cuda.get_rng_state()
    torch.rand(3)
    assert torch.equal(torch.cuda.get_rng_state(), after)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3, device="cuda"), first)
    draws = [torch.randn(3, device="cuda", generator=torch.Generator("cuda").manual_seed(4)) for _ in "ab"]
    assert torch.equal(*draws) and draws[0].is_cuda


@pytest.mark.gpu
def test_memory_is_freed():
    """Checks torch's own count of bytes: what a loop of work with graphs and views took is given back."""
    gc.collect()
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        x = torch.ones(1000, device="cuda", requires_grad=True)
        y = x.view(10, 100)[2:].square()
        y.sum().backward()
        assert torch.cuda.memory_allocated() - before >= 4000 + 4000 + 3200
    del x, y
    gc.collect()
    assert torch.cuda.memory_allocated() == before and torch.cuda.max_memory_allocated() > before


def test_outside_nothing_is_pretended():
    """Checks torch's attributes after an error inside, and that a tensor that is left can be looked at."""

    def names():
        return (
            torch.Generator,
            torch.load,
            torch.cuda.is_available,
            torch.cuda.get_rng_state,
            nn.Module._apply,
        )

    before = names()
    with pytest.raises(ZeroDivisionError), pretended_gpu():
        left = on_gpu()
        assert isinstance(left, OnGPU) and torch.cuda.is_available() and names() != before
        raise ZeroDivisionError
    assert names() == before and type(torch.zeros(3)) is torch.Tensor
    assert "on cuda:0" in repr(left) and left.sum().item() == 15
