"""Values without parts to walk through: how each is encoded, and the bytes of tensors."""

import hashlib
import logging
import types
from collections.abc import Iterable
from dataclasses import Field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

# How a plain value is encoded. Exactly these types, because a subclass may behave differently.
PLAIN = {
    type(None): lambda _: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: hex(value).encode(),
    float: lambda value: value.hex().encode(),
    complex: lambda value: f"{value.real.hex()} {value.imag.hex()}".encode(),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: value,
    type(...): lambda _: b"",
    type(NotImplemented): lambda _: b"",
    torch.device: lambda _: b"",
    **dict.fromkeys((logging.Logger, type(logging.root)), lambda value: value.name.encode()),
    **dict.fromkeys((torch.dtype, torch.layout, torch.memory_format), lambda value: repr(value).encode()),
}
# numpy scalar types with the precision of Python's own numbers.
PYTHONS_PRECISION = {np.bool_, np.int64, np.int_, np.float64, np.complex128}
# Classes whose objects hold more than attributes.
CONTENT = (list, dict, tuple, str, bytes, bytearray, int, float, complex, np.ndarray)
# Code written in C, which counts by its name and what it belongs to.
BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
# Which attributes count for objects that wrap functions, and for dataclass fields.
WRAPPERS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    cached_property: ("func", "attrname"),
    Field: ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only"),
}


class Unknown(Exception):
    """Raised for something whose content cannot be read; the argument says what it is."""


def digest(tensors: Iterable[Tensor]) -> str:
    """Return the SHA-256 (hex) of the tensors' shapes, dtypes and values: the same in every version of this library."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        total.update(tensor_bytes(tensor))
    return total.hexdigest()


def tensor_bytes(tensor: Tensor) -> np.ndarray:
    """Return the values of a strided tensor as bytes, row after row: a uint8 array, shape (bytes,)."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


def tensor_parts(tensor: Tensor) -> list:
    """Return what a tensor consists of besides dtype and shape: strided tensors, and settings that give the values meaning."""
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            settings = [tensor.q_scale(), tensor.q_zero_point()]
        else:
            settings = [
                tensor.q_per_channel_scales(),
                tensor.q_per_channel_zero_points(),
                tensor.q_per_channel_axis(),
            ]
        return [str(tensor.qscheme()), *settings, tensor.int_repr()]
    if tensor.layout == torch.strided:
        return [tensor.as_subclass(Tensor)]
    sparse = tensor.detach().to_sparse_coo().coalesce()
    return [sparse.indices(), sparse.values()]
