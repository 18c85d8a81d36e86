"""The encoder contract: what is sent, what is believed, and what is not."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import grpc
import pytest

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.models import Embedding, Encoder
from router.triton.tensors import Tensor
from tests.fakes.encoder import add_encoder
from tests.fakes.triton import FakeModel, FakeTriton

HALF = math.sqrt(0.5)
VECTORS = {"east": (1.0, 0.0), "north": (0.0, 1.0), "between": (HALF, HALF)}


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


@pytest.fixture
def model(triton: FakeTriton) -> FakeModel:
    return add_encoder(triton, VECTORS.__getitem__)


async def test_vectors_come_in_the_order_of_the_texts(client: TritonClient, model: FakeModel) -> None:
    north, east = await Encoder(client).encode(["north", "east"], timeout_s=5.0)
    assert (north.vector, east.vector) == ((0.0, 1.0), (1.0, 0.0))
    assert north.encoder == "encoder/1"


async def test_similarity_is_the_cosine_and_only_within_one_encoder(client: TritonClient, model: FakeModel) -> None:
    encoder = Encoder(client)
    east, between = await encoder.encode(["east", "between"], timeout_s=5.0)
    assert east.similarity(between) == pytest.approx(HALF)
    model.version = "2"
    [newer] = await encoder.encode(["east"], timeout_s=5.0)
    with pytest.raises(ValueError, match="encoder/1"):
        newer.similarity(east)


async def test_more_texts_than_a_batch_are_several_requests(
    client: TritonClient, triton: FakeTriton, model: FakeModel
) -> None:
    model.max_batch_size = 2
    found = await Encoder(client).encode(["east", "north", "east", "north", "east"], timeout_s=5.0)
    assert [each.vector[0] for each in found] == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert [len(request.inputs["TEXT"]) for request in triton.requests] == [2, 2, 1]


async def test_no_texts_ask_nobody(client: TritonClient, triton: FakeTriton) -> None:
    assert await Encoder(client).encode([], timeout_s=5.0) == []
    assert triton.config_reads == 0


@pytest.mark.parametrize(
    "answer",
    [
        Tensor.from_floats("EMBEDDING", [1.0, 0.0], (2, 1)),
        Tensor.from_floats("EMBEDDING", [1.0, 0.0], (2,)),
        Tensor.from_floats("EMBEDDING", [1.0, 1.0], (1, 2)),
        Tensor.from_floats("EMBEDDING", [math.nan, 0.0], (1, 2)),
        Tensor.from_floats("EMBEDDING", [], (1, 0)),
        Tensor.from_ints("EMBEDDING", [1, 0], (1, 2)),
        Tensor.from_floats("SCORES", [1.0, 0.0], (1, 2)),
    ],
)
async def test_an_answer_that_breaks_the_contract_is_none(
    client: TritonClient, model: FakeModel, answer: Tensor
) -> None:
    model.answer = [answer]
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await Encoder(client).encode(["east"], timeout_s=5.0)


async def test_a_model_that_is_gone_is_unavailable(client: TritonClient, model: FakeModel) -> None:
    model.error = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(ModelUnavailable):
        await Encoder(client).encode(["east"], timeout_s=5.0)


def test_a_vector_does_not_show_in_logs() -> None:
    assert "raw" not in repr(Embedding(b"\0\0\x80?", "encoder/1"))
