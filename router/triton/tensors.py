"""Tensors as they travel: values to raw little-endian bytes and back, without NumPy.

The layouts are those of the KServe v2 protocol's binary tensor data:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LENGTH = struct.Struct("<I")


class ContractViolation(Exception):
    """A model's answer is not what its tensor contract says; the text is for logs, not for clients."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor: datatype and shape as Triton names them, and the elements as raw bytes in C order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, name: str, values: Sequence[bytes], shape: tuple[int, ...]) -> Tensor:
        """A BYTES tensor; every element is preceded by its length in four bytes."""
        return cls(
            name, "BYTES", shape, b"".join([part for value in values for part in (_LENGTH.pack(len(value)), value)])
        )

    @classmethod
    def from_floats(cls, name: str, values: Sequence[float], shape: tuple[int, ...]) -> Tensor:
        """An FP32 tensor."""
        return cls(name, "FP32", shape, struct.pack(f"<{len(values)}f", *values))

    @classmethod
    def from_ints(cls, name: str, values: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        """An INT32 tensor."""
        return cls(name, "INT32", shape, struct.pack(f"<{len(values)}i", *values))

    def byte_strings(self) -> tuple[bytes, ...]:
        """The elements of a BYTES tensor; ``ContractViolation`` when lengths and shape do not agree."""
        self._expect("BYTES")
        values: list[bytes] = []
        offset, end = 0, len(self.raw)
        while offset < end:
            start = offset + _LENGTH.size
            if start > end:
                raise ContractViolation(f"{self.name}: the length of element {len(values)} is cut off")
            offset = start + _LENGTH.unpack_from(self.raw, start - _LENGTH.size)[0]
            if offset > end:
                raise ContractViolation(f"{self.name}: element {len(values)} is cut off")
            values.append(self.raw[start:offset])
        if len(values) != self._count():
            raise ContractViolation(f"{self.name}: {len(values)} elements for shape {self.shape}")
        return tuple(values)

    def floats(self) -> tuple[float, ...]:
        """The elements of an FP32 tensor; ``ContractViolation`` when bytes and shape do not agree."""
        return self._unpack("FP32", "f")

    def ints(self) -> tuple[int, ...]:
        """The elements of an INT32 tensor; ``ContractViolation`` when bytes and shape do not agree."""
        return self._unpack("INT32", "i")

    def _unpack(self, datatype: str, code: str) -> tuple[int, ...]:
        self._expect(datatype)
        count = self._count()
        if len(self.raw) != 4 * count:
            raise ContractViolation(f"{self.name}: {len(self.raw)} bytes for shape {self.shape} of {datatype}")
        return struct.unpack(f"<{count}{code}", self.raw)

    def _expect(self, datatype: str) -> None:
        if self.datatype != datatype:
            raise ContractViolation(f"{self.name}: datatype {self.datatype}, not {datatype}")

    def _count(self) -> int:
        if any(size < 0 for size in self.shape):
            raise ContractViolation(f"{self.name}: shape {self.shape}")
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class InferResult:
    """A model's answer: which model and version gave it, and its output tensors by name."""

    model: str
    version: str
    outputs: Mapping[str, Tensor]

    def tensor(self, name: str) -> Tensor:
        """The output ``name``; ``ContractViolation`` when the model did not send it."""
        try:
            return self.outputs[name]
        except KeyError:
            raise ContractViolation(f"{name}: missing from the answer") from None
