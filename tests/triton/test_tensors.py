"""Tensors to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.triton.tensors import ContractViolation, InferResult, Tensor


def test_a_bytes_element_is_preceded_by_its_length_in_four_little_endian_bytes():
    assert Tensor.from_bytes("TEXT", [b"hi", b""], (2, 1)).raw == b"\x02\x00\x00\x00hi\x00\x00\x00\x00"


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_byte_strings_come_back_as_they_went(values):
    assert Tensor.from_bytes("TEXT", values, (len(values), 1)).byte_strings() == tuple(values)


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=50))
def test_floats_come_back_as_they_went(values):
    assert Tensor.from_floats("SCORES", values, (1, len(values))).floats() == tuple(values)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50))
def test_ints_come_back_as_they_went(values):
    assert Tensor.from_ints("ORDER", values, (1, len(values))).ints() == tuple(values)


@given(raw=st.binary(max_size=64), shape=st.lists(st.integers(-2, 4), max_size=3).map(tuple))
def test_any_bytes_are_decoded_or_refused_and_nothing_else(raw, shape):
    for datatype, decode in (("BYTES", Tensor.byte_strings), ("FP32", Tensor.floats), ("INT32", Tensor.ints)):
        try:
            values = decode(Tensor("T", datatype, shape, raw))
        except ContractViolation:
            continue
        size = 1
        for dimension in shape:
            size *= dimension
        assert len(values) == size


@pytest.mark.parametrize(
    ("tensor", "decode", "complaint"),
    [
        (Tensor("T", "BYTES", (1,), b"\x02\x00"), Tensor.byte_strings, "length of element 0 is cut off"),
        (Tensor("T", "BYTES", (1,), b"\x02\x00\x00\x00h"), Tensor.byte_strings, "element 0 is cut off"),
        (Tensor("T", "BYTES", (2,), b"\x00\x00\x00\x00"), Tensor.byte_strings, "1 elements for shape"),
        (Tensor("T", "FP32", (2,), b"\x00" * 4), Tensor.floats, "4 bytes for shape"),
        (Tensor("T", "FP64", (1,), b"\x00" * 8), Tensor.floats, "datatype FP64, not FP32"),
        (Tensor("T", "INT32", (-1, -1), b"\x00" * 4), Tensor.ints, "shape"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(tensor, decode, complaint):
    with pytest.raises(ContractViolation, match=complaint):
        decode(tensor)


def test_an_output_that_was_not_sent_is_a_contract_violation():
    with pytest.raises(ContractViolation, match="SCORES: missing"):
        InferResult("m", "1", {}).tensor("SCORES")


def test_contents_stay_out_of_the_representation():
    assert "secret" not in repr(Tensor.from_bytes("TEXT", [b"secret"], (1, 1)))
