"""Streamed calls against a scripted Triton: what they yield, what ends them, what every failure becomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import grpc
import pytest

from router.errors import ModelUnavailable
from router.telemetry import semconv
from router.telemetry.tracing import Sampler
from router.triton.client import TritonClient
from router.triton.tensors import Tensor
from tests.fakes.triton import FakeModel, FakeTriton

PROMPT = [Tensor.from_bytes("text_input", [b"hello"], (1,)), Tensor.from_bytes("sampling_parameters", [b"{}"], (1,))]


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        fake.generator(lambda prompt, parameters: ["a", "b", "c"], name="llm")
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


@pytest.fixture
def model(triton: FakeTriton) -> FakeModel:
    return triton.models["llm"]


async def texts(client: TritonClient, *, timeout_s: float = 5.0, name: str = "llm", max_bytes: int = 1000) -> list[str]:
    found = []
    async with aclosing(
        client.stream_infer(name, PROMPT, ["text_output"], timeout_s=timeout_s, max_bytes=max_bytes)
    ) as answers:
        async for answer in answers:
            assert (answer.model, answer.version) == (name, "1")
            found += [text.decode() for text in answer.tensor("text_output").byte_strings()]
    return found


def piece(text: str) -> list[Tensor]:
    return [Tensor.from_bytes("text_output", [text.encode()], (1,))]


async def test_answers_come_in_order_until_the_one_that_is_marked_as_the_last(client, triton, model):
    assert await texts(client) == ["a", "b", "c"]
    (request,) = triton.requests
    assert request.inputs == {"text_input": (b"hello",), "sampling_parameters": (b"{}",)}
    assert (request.model, request.outputs) == ("llm", ["text_output"])
    assert 0 < request.timeout_s < 6.0


async def test_where_nothing_is_marked_the_end_of_the_stream_ends_the_answer(client, model):
    model.final_flag = False
    assert await texts(client) == ["a", "b", "c"]


async def test_a_model_that_is_not_decoupled_answers_once(client, triton):
    triton.classifier("guard", ["x"], lambda text: [0.5])
    stream = client.stream_infer("guard", [Tensor.from_bytes("TEXT", [b"x"], (1, 1))], ["SCORES"], timeout_s=5.0)
    async with aclosing(stream) as answers:
        assert [answer.tensor("SCORES").floats() async for answer in answers] == [(0.5,)]


async def test_an_error_within_the_stream_fails_it_without_internals(client, model):
    model.stream = lambda inputs: [piece("a"), "CUDA error at /srv/models/llm"]
    with pytest.raises(ModelUnavailable) as caught:
        await texts(client)
    assert str(caught.value) == "The model 'llm' failed."
    assert "CUDA error" in str(caught.value.__cause__)


async def test_the_text_of_an_error_is_bounded(client, model):
    model.stream = lambda inputs: ["x" * 10_000]
    with pytest.raises(ModelUnavailable) as caught:
        await texts(client)
    assert len(str(caught.value.__cause__)) == 500


async def test_an_unknown_model_fails(client):
    with pytest.raises(ModelUnavailable, match="The model 'nobody' failed"):
        await texts(client, name="nobody")


async def test_a_status_fails_it_without_internals(client, model):
    model.error = grpc.StatusCode.INTERNAL
    with pytest.raises(ModelUnavailable) as caught:
        await texts(client)
    assert str(caught.value) == "The model 'llm' failed."


async def test_a_model_that_stops_speaking_costs_no_more_than_the_deadline(client, triton, model):
    model.hang = True
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        await texts(client, timeout_s=0.3)
    assert time.monotonic() - started < 3.0
    await until(lambda: triton.cancelled == 1)


async def test_without_time_left_nothing_is_sent(client, triton):
    with pytest.raises(ModelUnavailable, match="no time was left"):
        await texts(client, timeout_s=0.0)
    assert triton.requests == []


async def test_who_stops_early_cancels_the_request(client, triton, model):
    model.hang = True
    async with aclosing(client.stream_infer("llm", PROMPT, ["text_output"], timeout_s=5.0)) as answers:
        async for _ in answers:
            break
    await until(lambda: triton.cancelled == 1)


async def test_cancelling_the_caller_cancels_the_request_and_is_not_swallowed(client, triton, model):
    model.hang = True
    asking = asyncio.create_task(texts(client))
    await until(lambda: triton.requests)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: triton.cancelled == 1)


async def test_a_model_that_says_too_much_is_cut_off(client, triton, model):
    model.stream = lambda inputs: [piece("x" * 96)] * 20
    with pytest.raises(ModelUnavailable, match="too long"):
        await texts(client, max_bytes=1000)


async def test_a_server_that_dies_in_the_middle_is_not_the_end_of_the_answer(client, triton, model):
    model.hang = True
    asking = asyncio.create_task(texts(client))
    await until(lambda: triton.requests)
    await triton.kill()
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await asking


async def test_closing_the_client_fails_its_streams(client, triton, model):
    model.hang = True
    asking = asyncio.create_task(texts(client))
    await until(lambda: triton.requests)
    await client.close()
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await asking


async def test_a_stream_is_part_of_the_trace_of_who_asks(client, model):
    with Sampler(1.0).begin("asking", {}) as root:
        await texts(client)
        model.stream = lambda inputs: ["no"]
        with pytest.raises(ModelUnavailable):
            await texts(client)
    good, bad = root.trace.spans[1:]
    assert good.name == "inference.GRPCInferenceService/ModelStreamInfer"
    assert (good.parent_id, good.kind, good.error) == (root.span_id, "client", None)
    assert (good.attributes[semconv.MODEL], good.attributes[semconv.MODEL_VERSION]) == ("llm", "1")
    assert good.ended_ns
    assert bad.ended_ns
    assert bad.error == ModelUnavailable("x").code


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.01)
