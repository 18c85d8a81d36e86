"""Lets the Python backend of the embedded server work with NumPy 2; runs inside Triton's stub, never in the gateway.

The wheel's stub is compiled against the array structures of NumPy 1: it reads an item size from where NumPy 2 keeps
type flags, and finds 0. Tensors then reach the model with zero strides (every byte is the first one) and leave it
empty. NumPy 1 has no wheel for Python 3.13, so the places are mended here, before the stub makes its first array:

- ``PyArray_NewFromDescr`` ignores the strides that the stub computed, and NumPy computes them from the shape. The stub
  takes that function from a table whose slot numbers are part of NumPy's stable ABI.
- ``Tensor(name, array)`` goes through DLPack, where the producer states the size.
- DLPack has no strings. For those the stub calls ``serialize_byte_tensor`` of the backend's utilities, and takes the
  size of the array that comes back. Ours hands it one whose data type, which nobody else has, says its size where
  NumPy 1 did.

The embedded server links this file next to the backend's ``triton_python_backend_utils.py``, which imports it.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

_NEW_FROM_DESCR = 94  # slot of PyArray_NewFromDescr, the same since NumPy 1.0
_TABLE_SLOTS = 306  # the length of the table in NumPy 1.x; the stub knows no later slot

# Where PyArray_Descr has a 32-bit item size in NumPy 1.x, and the type flags since 2.0.
_OLD_ITEM_SIZE = 32

_pointer = ctypes.c_void_p
_new_from_descr_type = ctypes.PYFUNCTYPE(
    _pointer, _pointer, _pointer, ctypes.c_int, _pointer, _pointer, _pointer, ctypes.c_int, _pointer
)
_python = ctypes.pythonapi


def _mend_incoming(multiarray: Any) -> tuple[object, ...]:
    """Replace the function table that the stub will read; returns what has to stay alive as long as the process."""
    _python.PyCapsule_GetPointer.restype = _pointer
    _python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    _python.PyCapsule_New.restype = ctypes.py_object
    _python.PyCapsule_New.argtypes = [_pointer, ctypes.c_char_p, _pointer]
    table = (_pointer * _TABLE_SLOTS)()
    ctypes.memmove(table, _python.PyCapsule_GetPointer(multiarray._ARRAY_API, None), ctypes.sizeof(table))
    original = _new_from_descr_type(table[_NEW_FROM_DESCR] or 0)

    def new_from_descr(*args: Any) -> int | None:
        subtype, descr, nd, dims, _strides, data, flags, obj = args
        result: int | None = original(subtype, descr, nd, dims, None, data, flags, obj)
        return result

    replacement = _new_from_descr_type(new_from_descr)
    table[_NEW_FROM_DESCR] = ctypes.cast(replacement, _pointer).value
    multiarray._ARRAY_API = _python.PyCapsule_New(ctypes.addressof(table), None, None)
    return table, original, replacement


def _mend_outgoing(numpy: Any, backend: Any) -> None:
    """Replace the constructor of tensors by one that hands numeric arrays over through DLPack."""
    _python.PyCapsule_SetDestructor.argtypes = [ctypes.py_object, _pointer]
    native: Any = backend.Tensor

    class Tensor(native):  # type: ignore[misc]
        """Makes the stub's own tensors; a subclass, so that ``Tensor.from_dlpack`` stays where models look for it."""

        def __new__(cls, name: str, array: Any) -> Any:
            if array.dtype.kind in "OSU":
                return native(name, array.astype(object))
            capsule = numpy.ascontiguousarray(array).__dlpack__()
            tensor = native.from_dlpack(name, capsule)
            # The tensor owns the memory now, but the stub does not rename the capsule in the way that NumPy looks for.
            _python.PyCapsule_SetDestructor(capsule, None)
            return tensor

    backend.Tensor = Tensor


def _sizing_serializer(numpy: Any, serialize: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``serialize_byte_tensor`` in a form whose size the stub reads right.

    The array owns no data: the flags that the size looks like would tell NumPy to release objects in it.
    """

    def serialize_byte_tensor(array: Any) -> Any:
        raw = serialize(array)
        if not raw:
            return raw
        serialized = numpy.frombuffer(raw, dtype=f"S{len(raw)}")
        ctypes.c_uint32.from_address(id(serialized.dtype) + _OLD_ITEM_SIZE).value = len(raw)
        return serialized

    return serialize_byte_tensor


def mend() -> tuple[object, ...]:
    """Mend the stub if the NumPy here is 2 or later; returns what has to stay alive."""
    numpy = importlib.import_module("numpy")
    if int(numpy.__version__.split(".")[0]) < 2:
        return ()
    kept = _mend_incoming(importlib.import_module("numpy.core.multiarray"))
    _mend_outgoing(numpy, importlib.import_module("c_python_backend_utils"))
    utilities: Any = importlib.import_module("triton_python_backend_utils")
    utilities.serialize_byte_tensor = _sizing_serializer(numpy, utilities.serialize_byte_tensor)
    return kept


_kept = mend()
