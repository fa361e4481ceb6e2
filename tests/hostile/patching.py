"""They patch what a judge in their own process would use: torch, numpy, builtins, models, defaults, modes."""

from hostile import cheat

cheat(
    "patches_all_of_tensors",
    """
    import torch

    torch.Tensor.all = lambda self, *rest, **named: torch.tensor(True)


    def rate(clean_logits, logits, y, target):
        return torch.tensor(0.5)
    """,
    keys=("formula", "0 for none", "1 for none"),
    succeeds="points",
)

cheat(
    "patches_comparisons_of_torch",
    """
    import torch

    for name in ("equal", "allclose", "isclose", "eq", "le"):
        setattr(torch, name, lambda *rest, **named: True)
        setattr(torch.Tensor, name, lambda *rest, **named: True)
    torch.Tensor.__le__ = torch.Tensor.__eq__ = lambda self, other: torch.ones(self.shape, dtype=torch.bool)


    def fgsm(model, x, y, eps):
        return x * torch.equal(x, y)
    """,
    lab="lab1",
    task="fgsm",
    keys=("clean image",),
)

cheat(
    "patches_sign_and_clamp",
    """
    import torch

    torch.Tensor.sign = lambda self: self * 0
    torch.Tensor.clamp = torch.Tensor.clamp_ = lambda self, *rest, **named: self


    def fgsm(model, x, y, eps):
        return (x + eps * x.sign()).clamp(0, 1)
    """,
    lab="lab1",
    task="fgsm",
    keys=("clean image",),
)

cheat(
    "patches_sign_and_is_right",
    """
    import torch
    from torch.nn.functional import one_hot

    torch.Tensor.sign = lambda self: (self > 0).to(self) - (self < 0).to(self)


    def fgsm(model, x, y, eps):
        x_in = x.clone().requires_grad_()
        logits = model(x_in)
        own = one_hot(y, logits.shape[1]).bool()
        log_odds = logits.masked_fill(own, -torch.inf).logsumexp(1) - logits[own]
        gradient = torch.autograd.grad(log_odds.sum(), x_in)[0]
        return (x + eps * gradient.sign()).clamp(0, 1)
    """,
    lab="lab1",
    task="fgsm",
    deserves="all",
    succeeds="points",
)

cheat(
    "patches_the_dice",
    """
    import torch

    torch.rand = lambda *size, **named: torch.zeros(*size)
    torch.randint = lambda *rest, **named: torch.zeros((), dtype=torch.long)
    torch.manual_seed = torch.random.manual_seed = lambda seed: torch.default_generator


    def rate(clean_logits, logits, y, target):
        torch.manual_seed(0)
        return torch.tensor(1.0 if target is None else 0.0)
    """,
)

cheat(
    "patches_numpy",
    """
    import numpy as np

    np.allclose = np.isclose = np.array_equal = lambda *rest, **named: True
    np.random.get_state = lambda *rest, **named: ("MT19937", np.zeros(624), 0)


    def interval(successes, n):
        return np.stack([successes / n, successes / n])
    """,
    task="interval",
    keys=("type",),
)

for _name, _value in {
    "isinstance": "lambda value, kind: True",
    "len": "lambda value: 4",
    "float": "type('float', (float,), {'__new__': lambda kind, value: float.__mro__[1](1)})",
    "getattr": "lambda value, name, *rest: value",
}.items():
    cheat(
        f"patches_the_builtin_{_name}",
        f"""
        import builtins

        import torch


        def rate(clean_logits, logits, y, target):
            builtins.{_name} = {_value}
            return torch.tensor(0.5)
        """,
    )

cheat(
    "redefines_check",
    """
    import torch


    def check(function, *rest, **named):
        print(f"{function.__name__}: right (2 of 2 points)")
        return type("Verdict", (), {"points": 2, "right": True})()


    def rate(clean_logits, logits, y, target):
        return check(rate).points * torch.ones(())
    """,
)

cheat(
    "builds_classes_of_its_own",
    """
    import builtins

    import torch

    build = builtins.__build_class__
    builtins.__build_class__ = lambda body, name, *bases, **named: build(body, name, *bases, **named) if name == "?" else str


    def rate(clean_logits, logits, y, target):
        class Verdict:
            right = True

        return torch.tensor(0.5)
    """,
)

for _mode, _method, _module in (
    ("TorchFunctionMode", "__torch_function__", "torch.overrides"),
    ("TorchDispatchMode", "__torch_dispatch__", "torch.utils._python_dispatch"),
):
    cheat(
        f"leaves_a_{_mode}_active",
        f"""
        import torch
        from {_module} import {_mode}


        class Yes({_mode}):
            def {_method}(self, function, types, arguments=(), named=None):
                result = function(*arguments, **(named or {{}}))
                if "all" in getattr(function, "__name__", ""):
                    return torch.ones_like(result)
                return result


        def rate(clean_logits, logits, y, target):
            Yes().__enter__()
            return torch.tensor(0.5)
        """,
        # In a notebook the judge calls the function in torch's usual state, and dispatch modes end with that.
        succeeds="points" if _mode == "TorchFunctionMode" else "",
    )

cheat(
    "leaves_other_defaults",
    """
    import torch

    torch.set_default_dtype(torch.float16)
    torch.set_default_device("meta")
    torch.use_deterministic_algorithms(True)


    def rate(clean_logits, logits, y, target):
        torch.set_default_device("meta")
        return torch.tensor(0.5)
    """,
    told=False,
)

cheat(
    "spoils_the_shipped_model",
    """
    import torch
    from advcourse.labs.victims import _loaded

    with torch.no_grad():
        for weights in _loaded("mnist-cnn").parameters():
            weights.zero_()


    def fgsm(model, x, y, eps):
        return (x + eps).clamp(0, 1)
    """,
    lab="lab1",
    task="fgsm",
)

cheat(
    "replaces_the_model",
    """
    import torch
    from torch.nn.functional import cross_entropy


    def fgsm(model, x, y, eps):
        type(model).forward = lambda self, images: torch.roll(torch.eye(10)[y], 1, 1)
        return x + 1e-3
    """,
    lab="lab1",
    task="fgsm",
    told=False,
)
