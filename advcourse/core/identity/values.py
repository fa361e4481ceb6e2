"""Values that have no parts to walk through: how each is told, and the bytes of tensors."""

import hashlib
import logging
import types
from collections.abc import Iterable
from dataclasses import Field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

# How a plain value is told: exactly these types, for a subclass may behave in another way.
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
# Numbers of numpy that are Python's own.
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
# What counts of objects that wrap functions, and of the fields of dataclasses.
WRAPPERS = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    cached_property: ("func", "attrname"),
    Field: ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only"),
}


class Unknown(Exception):
    """Something whose content cannot be read; the argument says what it is."""


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 (hex) of the tensors' shapes, types and values alone: the same in every version of this library."""
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        total.update(tensor_bytes(tensor))
    return total.hexdigest()


def tensor_bytes(tensor: Tensor) -> np.ndarray:
    """The values (bytes,) uint8 of a strided tensor as bytes, row after row."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


def tensor_parts(tensor: Tensor) -> list:
    """What a tensor consists of beside its type and shape: a strided one that holds its values, and what gives them a meaning."""
    if tensor.is_quantized:
        if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            told = [tensor.q_scale(), tensor.q_zero_point()]
        else:
            told = [
                tensor.q_per_channel_scales(),
                tensor.q_per_channel_zero_points(),
                tensor.q_per_channel_axis(),
            ]
        return [str(tensor.qscheme()), *told, tensor.int_repr()]
    if tensor.layout == torch.strided:
        return [tensor.as_subclass(Tensor)]
    sparse = tensor.detach().to_sparse_coo().coalesce()
    return [sparse.indices(), sparse.values()]
