"""The token classifier contract: what is sent, what is believed, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import grpc
import pytest

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.entities import Entity, EntityRecogniser
from router.triton.tensors import Tensor
from tests.fakes.triton import FakeModel, FakeTriton

PADDING = (-1, -1, -1)
Row = tuple[int, int, int]


def answer(rows: Sequence[Sequence[Row]], scores: Sequence[Sequence[float]]) -> list[Tensor]:
    """The tensors for these rows of each text, as they are."""
    width = len(rows[0])
    numbers = [number for row in rows for part in row for number in part]
    values = [value for row in scores for value in row]
    return [
        Tensor.from_ints("SPANS", numbers, (len(rows), width, 3)),
        Tensor.from_floats("SCORES", values, (len(rows), width)),
    ]


def names(inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Every text's first four characters are a name, when it begins with "Anna"."""
    texts = [raw.decode() for raw in inputs["TEXT"].byte_strings()]
    rows = [[(0, 4, 1), PADDING] if text.startswith("Anna") else [PADDING, PADDING] for text in texts]
    return answer(rows, [[0.9, 0.0]] * len(texts))


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        yield fake


@pytest.fixture
async def recogniser(triton: FakeTriton) -> AsyncIterator[EntityRecogniser]:
    client = TritonClient(triton.address)
    yield EntityRecogniser(client)
    await client.close()


@pytest.fixture
def model(triton: FakeTriton) -> FakeModel:
    outputs = [("SPANS", "INT32", [-1, 3]), ("SCORES", "FP32", [-1])]
    fake = FakeModel("pii_entities", [("TEXT", "BYTES", [1])], outputs, names)
    fake.parameters.update(labels="CITY,GIVEN_NAME", threshold="0.6")
    return triton.add(fake)


async def test_entities_come_in_the_order_of_the_texts(recogniser, model, triton):
    found = await recogniser.find(["Anna!", "nobody"], timeout_s=5)
    assert found == [[Entity("GIVEN_NAME", 0, 4, pytest.approx(0.9))], []]
    [request] = triton.requests
    assert request.shapes == {"TEXT": (2, 1)}
    assert request.outputs == ["SPANS", "SCORES"]


async def test_no_texts_ask_nobody(recogniser, triton):
    assert await recogniser.find([], timeout_s=5) == []
    assert triton.requests == []


async def test_more_texts_than_a_batch_holds_are_asked_in_several(recogniser, model, triton):
    texts = ["Anna" if number % 3 == 0 else f"text {number}" for number in range(20)]
    found = await recogniser.find(texts, timeout_s=5)
    assert [bool(entities) for entities in found] == [number % 3 == 0 for number in range(20)]
    assert sorted(request.shapes["TEXT"][0] for request in triton.requests) == [4, 8, 8]


async def test_what_is_below_the_models_threshold_is_left_out(recogniser, model):
    model.answer = answer([[(0, 4, 1), (5, 9, 0)]], [[0.59, 0.61]])
    assert [entity.label for entity in (await recogniser.find(["Anna Oslo"], timeout_s=5))[0]] == ["CITY"]


async def test_a_lone_surrogate_keeps_the_offsets(recogniser, model):
    model.answer = answer([[(2, 6, 1)]], [[0.9]])
    [[entity]] = await recogniser.find(["\ud800 Anna"], timeout_s=5)
    assert (entity.start, entity.end) == (2, 6)


async def test_labels_are_read_again_when_an_answer_has_new_ones(recogniser, model, triton):
    await recogniser.find(["Anna"], timeout_s=5)
    model.parameters["labels"] = "CITY,GIVEN_NAME,SURNAME"
    model.answer = answer([[(0, 4, 2)]], [[0.9]])
    [[entity]] = await recogniser.find(["Berg"], timeout_s=5)
    assert entity.label == "SURNAME"
    assert triton.config_reads == 2


@pytest.mark.parametrize(
    ("rows", "scores"),
    [
        ([[(0, 9, 1)]], [[0.9]]),
        ([[(-1, 2, 1)]], [[0.9]]),
        ([[(2, 2, 1)]], [[0.9]]),
        ([[(0, 3, 1), (2, 4, 1)]], [[0.9, 0.9]]),
        ([[(0, 4, 2)]], [[0.9]]),
        ([[(0, 4, -2)]], [[0.9]]),
        ([[(0, 4, 1)]], [[float("nan")]]),
        ([[(0, 4, 1)]], [[1.5]]),
        ([[(0, 4, 1)], [PADDING]], [[0.9], [0.0]]),
    ],
    ids=["beyond the text", "before it", "empty", "overlap", "label", "negative label", "nan", "score", "two texts"],
)
async def test_an_answer_that_breaks_the_contract_is_none(recogniser, model, rows, scores):
    model.answer = answer(rows, scores)
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await recogniser.find(["Anna"], timeout_s=5)


async def test_a_missing_tensor_breaks_the_contract(recogniser, model):
    model.answer = answer([[PADDING]], [[0.0]])[:1]
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await recogniser.find(["Anna"], timeout_s=5)


async def test_a_model_without_labels_cannot_be_asked(recogniser, model):
    del model.parameters["labels"]
    with pytest.raises(ModelUnavailable, match="names no labels"):
        await recogniser.find(["Anna"], timeout_s=5)


async def test_a_model_without_batches_cannot_be_asked(recogniser, model):
    model.max_batch_size = 0
    with pytest.raises(ModelUnavailable, match="takes no batches"):
        await recogniser.find(["Anna"], timeout_s=5)


async def test_one_failed_batch_fails_all(recogniser, model):
    await recogniser.find(["Anna"], timeout_s=5)
    model.error = grpc.StatusCode.INTERNAL
    with pytest.raises(ModelUnavailable, match="failed"):
        await recogniser.find(["Anna"] * 20, timeout_s=5)


async def test_a_model_that_is_gone_is_said_to_be(recogniser, model):
    model.ready = False
    with pytest.raises(ModelUnavailable, match="not being served"):
        await recogniser.find(["Anna"], timeout_s=5)


async def test_a_model_that_hangs_has_until_the_deadline(recogniser, model):
    model.hang = True
    with pytest.raises(ModelUnavailable, match="in time"):
        await recogniser.find(["Anna"], timeout_s=0.2)
