"""They look like something else: names that look alike, decorated stubs, defaults and properties that act, odd signatures."""

from hostile import body, cheat

_WRONG = "return torch.tensor(0.5)"
_RIGHT = """
    success = logits.argmax(1) != y if target is None else logits.argmax(1) == target
    return success[clean_logits.argmax(1) == y].double().mean()
"""


def _looks(name, source, **fields):
    cheat(name, source, **{"told": False, **fields})


_looks(
    "is_spelled_in_letters_that_are_the_same",
    f"import torch\n\n\ndef ｒate(clean_logits, logits, y, ｔarget=None):{_RIGHT}",
    deserves="all",
    succeeds="",
)
_looks(
    "has_a_name_that_only_looks_the_same",
    f"import torch\n\n\ndef rаte(clean_logits, logits, y, target=None):{_RIGHT}",
    keys=("missing",),
)
_looks(
    "hides_its_text_by_the_direction_of_writing",
    body(
        'if target is None:  # \u202e return success.mean() \u2066 "\u2069 \u202c\n    '
        + _WRONG
        + "\n"
        + _WRONG
    ),
)
_looks(
    "is_a_stub_that_its_decorator_fills_wrongly",
    """
    import torch


    def solved(stub):
        return lambda clean_logits, logits, y, target=None: torch.tensor(0.5)


    @solved
    def rate(clean_logits, logits, y, target=None):
        raise NotImplementedError()
    """,
)
_looks(
    "is_a_stub_that_its_decorator_fills",
    """
import torch


def solved(stub):
    def rate(clean_logits, logits, y, target=None):
        success = logits.argmax(1) != y if target is None else logits.argmax(1) == target
        return success[clean_logits.argmax(1) == y].double().mean()

    return rate


@solved
def rate(clean_logits, logits, y, target=None):
    raise NotImplementedError()
""",
    deserves="all",
    succeeds="points",
)
_looks(
    "is_a_stub_whose_code_is_replaced",
    "def rate(clean_logits, logits, y, target=None):\n    raise NotImplementedError()",
    after=(
        f"import torch\n\n\ndef other(clean_logits, logits, y, target=None):{_RIGHT}",
        "rate.__code__ = other.__code__",
    ),
    deserves="all",
)
_looks(
    "acts_in_its_defaults",
    """
    import torch


    def rate(clean_logits, logits, y, target=None, done=globals().update(check=lambda *rest: "right")):
        return torch.tensor(0.5)
    """,
    told=True,
)
_looks(
    "acts_when_its_signature_is_asked_for",
    """
    import torch


    class Rate:
        @property
        def __signature__(self):
            raise SystemExit("rate: right (2 of 2 points)")

        def __call__(self, clean_logits, logits, y, target=None):
            return torch.tensor(0.5)


    rate = Rate()
    """,
)
_looks(
    "tells_of_a_hundred_thousand_parameters",
    """
    import inspect

    import torch


    def rate(*rest, **named):
        return torch.tensor(0.5)


    rate.__signature__ = inspect.Signature(
        [inspect.Parameter("right" * 100 + str(i), inspect.Parameter.KEYWORD_ONLY) for i in range(100_000)]
    )
    """,
    told=True,
)
_looks(
    "becomes_another_function_when_it_is_called",
    """
    import torch


    def rate(clean_logits, logits, y, target=None):
        rate.__code__ = (lambda clean_logits, logits, y, target=None: torch.tensor(1.0)).__code__
        return torch.tensor(0.0)
    """,
)
_looks(
    "hides_the_answer_in_a_property",
    """
    import torch


    class Box:
        @property
        def text(self):
            return "def rate(clean_logits, logits, y, target=None):\\n    return torch.tensor(0.5)"


    class Space(dict):
        def __missing__(self, name):
            return True


    def rate(clean_logits, logits, y, target=None):
        own = Space(torch=torch)
        exec(Box().text, own)
        return own["rate"](clean_logits, logits, y, target)
    """,
    told=True,
)
_looks(
    "is_made_by_a_magic_of_its_own",
    """
    %%points rate
    def rate(clean_logits, logits, y, target=None):
        return torch.tensor(0.5)
    """,
    before=(
        """
        import torch
        from IPython.core.magic import register_cell_magic


        @register_cell_magic
        def points(line, cell):
            get_ipython().user_ns["check"] = lambda *rest: "right (2 of 2 points)"
            exec(cell, get_ipython().user_ns)
        """,
    ),
    told=True,
)
_looks(
    "counts_the_questions_that_it_has_seen",
    """
    import torch

    SEEN = []


    def rate(clean_logits, logits, y, target=None, seen=SEEN):
        seen.append(torch.float64)
        return torch.tensor(len(seen) / 10, dtype=seen[-1])
    """,
)
_looks(
    "is_an_integer_of_a_million_digits",
    "def rate(clean_logits, logits, y, target=None):\n    return 1 << 4_000_000",
    keys=("type", "shape"),
)
_looks(
    "is_nested_a_hundred_thousand_times",
    """
    def rate(clean_logits, logits, y, target=None):
        value = 0.5
        for _ in range(100_000):
            value = [value]
        return value
    """,
    keys=("type",),
)
