"""They reach for the judge and for what talks to him: modules, frames, traces, hooks, the runner, what is in memory."""

from hostile import body, cheat

cheat(
    "replaces_the_judge",
    """
    import torch
    import advcourse.labs.checks as checks

    checks.judge = lambda task, runner, seed: checks.Verdict(task.name, "right", "All holds.", 2, 2, seed)


    def rate(clean_logits, logits, y, target):
        return torch.tensor(0.5)
    """,
    succeeds="points",
)

cheat(
    "replaces_the_runner",
    """
    import torch
    from advcourse.labs import running

    running.LocalRunner.__call__ = lambda self, call: running.Reply("right", torch.tensor(1.0), "right", "cpu")


    def rate(clean_logits, logits, y, target):
        return torch.tensor(0.5)
    """,
)

cheat(
    "hides_what_it_changed",
    """
    from advcourse.labs import running

    running._marks = lambda *rest: {}


    def quantise(x, bits):
        return x.mul_(2**bits - 1).round_().div_(2**bits - 1)
    """,
    lab="lab8",
    task="quantise",
    deserves="either",
    succeeds="points",
)

for _kind, _slope in {"a_gradient": "zeros(8000)", "a_gradient_of_nan": "full((8000,), torch.nan)"}.items():
    cheat(
        f"forges_{_kind}",
        f"""
        import torch
        from torch.nn.functional import cross_entropy
        from advcourse.labs import running

        running._slope = lambda value, weights, summed: torch.{_slope}[: sum(w.numel() for w in weights)].double()


        def mixed_loss(model, x, x_adv, y, weight):
            k = len(x_adv)
            losses = cross_entropy(model(torch.cat([x_adv, x[k:]])), y, reduction="none")
            weights = torch.ones_like(losses)
            weights[:k] = weight
            return ((weights * losses).sum() / weights.sum()).detach().requires_grad_()
        """,
        lab="lab7",
        task="mixed_loss",
        keys=("gradient",),
    )

cheat(
    "puts_modules_in_the_place_of_others",
    body(
        """
        class Nothing(types.ModuleType):
            def __getattr__(self, name):
                return lambda *rest, **named: True

        for name in list(sys.modules):
            if name.split(".")[0] in ("torch", "numpy", "json", "struct", "advcourse", "traceback"):
                sys.modules[name] = Nothing(name)
        return 0.5
        """,
        "import sys, types",
    ),
)

cheat(
    "patches_the_wire",
    body(
        """
        for name, module in list(sys.modules.items()):
            if name.startswith("advcourse") or name in ("json", "struct"):
                for part in list(vars(module).values()):
                    for method in ("send", "dumps", "pack", "_answer"):
                        if hasattr(part, method):
                            try:
                                setattr(part, method, lambda *rest, **named: b"right")
                            except (AttributeError, TypeError):
                                pass
        return torch.tensor(0.5)
        """,
        "import sys\nimport torch",
    ),
)

cheat(
    "hooks_imports",
    """
    import importlib.machinery
    import sys

    import torch


    class Finder:
        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self)

        def create_module(self, spec):
            return None

        def exec_module(self, module):
            module.judge = module.send = module.check = lambda *rest, **named: True


    sys.meta_path.insert(0, Finder())
    for name in [name for name in sys.modules if name.startswith("advcourse")]:
        del sys.modules[name]


    def rate(clean_logits, logits, y, target):
        import advcourse.labs.checks

        return torch.tensor(0.5)
    """,
)

cheat(
    "writes_at_exit",
    body(
        """
        def last():
            for number in range(3, 64):
                try:
                    os.write(number, b'{"kind": "right", "points": 2}')
                except OSError:
                    pass

        atexit.register(last)
        os.register_at_fork(before=last, after_in_child=last)
        return torch.tensor(0.5)
        """,
        "import atexit, os\nimport torch",
    ),
)

cheat(
    "traces_the_runner",
    """
    import sys

    import torch


    def spy(frame, event, argument):
        for name in ("reply", "value", "found", "told", "left"):
            if name in frame.f_locals:
                frame.f_locals[name] = torch.tensor(1.0)
        return spy


    def rate(clean_logits, logits, y, target):
        sys.settrace(spy)
        sys.setprofile(spy)
        frame = sys._getframe()
        while frame:
            frame.f_trace = spy
            frame = frame.f_back
        return torch.tensor(0.5)
    """,
)

cheat(
    "asks_the_callers_frames",
    """
    import sys

    import torch


    def rate(clean_logits, logits, y, target):
        frame, task = sys._getframe(), None
        while frame:
            found = frame.f_locals.get("task")
            task = found if hasattr(found, "solution") else task
            frame = frame.f_back
        return task.solution(clean_logits, logits, y, target) if task else torch.tensor(0.5)
    """,
    succeeds="points",
)

cheat(
    "asks_the_garbage_collector",
    """
    import gc

    import torch


    def rate(clean_logits, logits, y, target):
        for found in gc.get_objects():
            if type(found) is type(rate) and found.__name__ == "rate" and "lab4" in found.__module__:
                return found(clean_logits, logits, y, target)
        return torch.tensor(0.5)
    """,
    succeeds="points",
)

cheat(
    "asks_the_loaded_modules",
    """
    import sys

    import torch


    def rate(clean_logits, logits, y, target):
        for name in sys.modules:
            if name.endswith("lab4.rate"):
                return sys.modules[name].rate(clean_logits, logits, y, target)
        return torch.tensor(0.5)
    """,
    succeeds="points",
)
