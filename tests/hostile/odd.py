"""They return what is odd: no numbers, other shapes and types, views, subclasses that lie, and things that are no tensors."""

from textwrap import indent

from hostile import body, cheat


def _images(name, lines, **fields):
    """As an answer to project(x_adv, x, eps), which returns images."""
    cheat(f"returns_{name}", body(lines), **{"lab": "lab1", "task": "project", "told": False, **fields})


_RIGHT = "right = x_adv.clamp(x - eps, x + eps).clamp(0, 1)\n"

_images("nan", "return torch.full_like(x, torch.nan)", keys=("not a number",))
_images("infinity", "return torch.full_like(x, torch.inf)", keys=("not a number",))
_images("another_shape", _RIGHT + "return right[:, :, :14]", keys=("shape",))
_images("a_broadcast_shape", _RIGHT + "return right[:1]", keys=("shape",))
_images("no_images", _RIGHT + "return right[:0]", keys=("shape",))
_images("integers", _RIGHT + "return (255 * right).long()", keys=("type",))
_images("bools", _RIGHT + "return right > 0.5", keys=("type",))
_images("complex_numbers", _RIGHT + "return right + 0j", keys=("type",))
_images("a_sparse_tensor", _RIGHT + "return right.to_sparse()", keys=("type",))
_images("a_meta_tensor", _RIGHT + 'return right.to("meta")', keys=("type", "crash"))
_images(
    "a_quantised_tensor",
    _RIGHT + "return torch.quantize_per_tensor(right, 1 / 255, 0, torch.quint8)",
    keys=("type", "crash"),
)
_images(
    "a_nested_tensor",
    _RIGHT + "return torch.nested.nested_tensor(list(right))",
    keys=("type", "crash", "died"),
)
_images("a_tensor_of_eight_bits", _RIGHT + "return right.to(torch.float8_e4m3fn)", keys=("type", "crash"))
_images(
    "a_tensor_of_bits",
    "return torch.zeros(x.shape, dtype=torch.uint8).view(torch.bits8)",
    keys=("type", "crash"),
)
_images("a_number_as_large_as_the_memory", "return torch.zeros(1).expand(10**9)")
_images("a_view_of_one_number", "return x.new_zeros(1).expand(2**13, 1, 28, 2**13)")
_images("numbers_as_large_as_can_be", "return torch.full_like(x, torch.finfo(x.dtype).max)")
_images("a_numpy_array", _RIGHT + "return right.numpy()", keys=("type",))
_images("a_list", _RIGHT + "return right.tolist()", keys=("type",))
_images("a_generator", _RIGHT + "return (image for image in right)", keys=("type",))
_images("a_str", 'return "tensor"', keys=("type",))
_images("a_class", "return torch.Tensor", keys=("type",))
_images("nothing_implemented", "return NotImplemented", keys=("nothing returned",))
_images("a_graph", _RIGHT + "return right.clone().requires_grad_()", keys=("attached",))
_images(
    "the_input_itself_changed",
    "return x_adv.copy_(x_adv.clamp(x - eps, x + eps).clamp(0, 1))",
    keys=("input",),
)
_images(
    "a_negated_view",
    _RIGHT + "return torch.complex(torch.zeros_like(right), -right).conj().imag",
    deserves="all",
    succeeds="points",
)
_images(
    "a_strange_layout",
    _RIGHT
    + "return right.to(memory_format=torch.channels_last)[:].flip(3).flip(3).transpose(0, 1).contiguous().transpose(0, 1)",
    deserves="all",
    succeeds="points",
)


def _class(name, lines, value, **fields):
    """As an answer that returns an object of a class of its own."""
    source = (
        "import torch\n\n\n"
        + lines.strip("\n")
        + f"\n\n\ndef project(x_adv, x, eps):\n{indent(_RIGHT, '    ')}    return {value}\n"
    )
    cheat(f"returns_{name}", source, **{"lab": "lab1", "task": "project", "told": False, **fields})


_class(
    "a_subclass_that_is_right",
    """
class Mine(torch.Tensor):
    pass
""",
    "right.as_subclass(Mine)",
    deserves="all",
    succeeds="points",
)
_class(
    "a_subclass_that_lies",
    """
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), named=None):
        if getattr(function, "__name__", "") in ("all", "equal", "allclose", "__le__", "__bool__", "mean", "min"):
            return True
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **(named or {}))

    dtype, shape, layout = torch.float32, torch.Size([4, 1, 28, 28]), torch.strided
    __eq__ = __le__ = __ge__ = __lt__ = lambda self, other: True
""",
    "torch.zeros_like(x).as_subclass(Yes)",
)
_class(
    "a_subclass_that_changes",
    """
class Late(torch.Tensor):
    def detach(self):
        return self + 1

    def to(self, *rest, **named):
        return self.clamp(0, 1) * torch.rand(())

    clone = cpu = contiguous = double = to
""",
    "(right * 0).as_subclass(Late)",
)
_class(
    "a_wrapper_without_numbers",
    """
class Empty(torch.Tensor):
    @staticmethod
    def __new__(cls, like):
        return torch.Tensor._make_wrapper_subclass(cls, like.shape, dtype=like.dtype, device="cpu")

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        return arguments[0]
""",
    "Empty(right)",
)
_class(
    "an_object_whose_class_lies",
    """
class Liar:
    __class__ = property(lambda self: torch.Tensor)
    layout, device, requires_grad, dtype, shape = torch.strided, "cpu", False, torch.float32, torch.Size([4, 1, 28, 28])

    def __getattr__(self, name):
        return lambda *rest, **named: self
""",
    "Liar()",
)
_class(
    "an_object_that_equals_all",
    """
class Equal:
    __eq__ = __le__ = __ge__ = __bool__ = lambda self, *other: True
    __hash__ = lambda self: 0
""",
    "Equal()",
    keys=("type",),
)
_class(
    "an_object_that_says_it_is_none",
    """
class Odd:
    __class__ = property(lambda self: [][0])

    def __repr__(self):
        raise KeyboardInterrupt

    __str__ = __len__ = __bool__ = __float__ = __array__ = __repr__
""",
    "Odd()",
)


def _number(name, value, lines="", **fields):
    """As an answer to rate(...), which returns one number."""
    source = (
        f"import torch\n\n\n{lines}\n\n\ndef rate(clean_logits, logits, y, target):\n    return {value}\n"
    )
    cheat(f"returns_{name}", source, **{"told": False, **fields})


_number("an_integer_beyond_a_float", "2**60", keys=("type", "shape"))
_number("an_integer_beyond_all_floats", "10**400", keys=("type", "shape"))
_number("an_integer_tensor_beyond_a_float", "torch.tensor(2**62 + 1)")
_number("true", "True", keys=("type",))
_number("a_complex_number", "0.5 + 0j", keys=("type",))
_number(
    "a_float_that_lies",
    "Lie(0.5)",
    "class Lie(float):\n    __eq__ = __le__ = __ge__ = lambda self, other: True\n    __float__ = lambda self: 0.25\n",
)
_number(
    "an_int_that_lies",
    "Lie(1)",
    "class Lie(int):\n    __abs__ = lambda self: [][0]\n    __float__ = lambda self: 'right'\n",
)
_number("nan_for_all", "torch.tensor(float('nan'))")

cheat(
    "returns_a_view_that_changes_later",
    """
    import threading

    import torch

    SHARED = torch.zeros(())


    def turn():
        while True:
            SHARED.copy_(torch.rand(()))


    threading.Thread(target=turn, daemon=True).start()


    def rate(clean_logits, logits, y, target):
        return SHARED.view(())
    """,
    told=False,
)
cheat(
    "returns_a_buffer_that_it_uses_again",
    """
    import torch

    SHARED = torch.zeros((), dtype=torch.float64)


    def rate(clean_logits, logits, y, target):
        success = logits.argmax(1) != y if target is None else logits.argmax(1) == target
        SHARED.copy_(success[clean_logits.argmax(1) == y].double().mean())
        return SHARED
    """,
    deserves="all",
    told=False,
    succeeds="points",
)
