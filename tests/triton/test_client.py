"""The client against a scripted Triton: what it sends, and what every failure becomes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import grpc
import pytest

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import IndexEntry, TensorMetadata
from router.triton.rpc import MAX_MESSAGE_BYTES
from router.triton.tensors import Tensor
from tests.fakes.triton import FakeTriton

LABELS = ["benign", "jailbreak"]
TEXT = [Tensor.from_bytes("TEXT", [b"hello"], (1, 1))]


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        fake.classifier("guard", LABELS, lambda text: [0.25, 0.75])
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


async def infer(client: TritonClient, *, timeout_s: float = 5.0, model: str = "guard"):
    return await client.infer(model, TEXT, ["SCORES"], timeout_s=timeout_s)


async def test_an_answer_names_the_model_and_version_that_gave_it(client, triton):
    result = await infer(client)
    assert (result.model, result.version) == ("guard", "1")
    assert result.tensor("SCORES").floats() == (0.25, 0.75)


async def test_a_request_carries_tensors_outputs_version_and_deadline(client, triton):
    await client.infer("guard", TEXT, ["SCORES"], timeout_s=5.0, version="3")
    (request,) = triton.requests
    assert (request.model, request.version, request.outputs) == ("guard", "3", ["SCORES"])
    assert request.inputs == {"TEXT": (b"hello",)}
    assert request.shapes == {"TEXT": (1, 1)}
    assert 0 < request.timeout_s < 6.0  # gRPC rounds the deadline up on its way


async def test_the_url_may_carry_a_scheme(triton):
    client = TritonClient(f"grpc://{triton.address}")
    assert await client.server_ready(5.0)
    await client.close()


async def test_tls_is_spoken_where_the_url_asks_for_it(triton):
    client = TritonClient(f"grpcs://{triton.address}")
    assert not await client.server_ready(5.0)  # the fake speaks plain text
    await client.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (grpc.StatusCode.UNAVAILABLE, "The model 'guard' cannot be reached."),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "The model 'guard' did not answer in time."),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "The model 'guard' is overloaded, or the request is too large for it."),
        (grpc.StatusCode.NOT_FOUND, "The model 'guard' is not being served."),
        (grpc.StatusCode.INVALID_ARGUMENT, "The model 'guard' failed."),
        (grpc.StatusCode.INTERNAL, "The model 'guard' failed."),
        (grpc.StatusCode.CANCELLED, "The model 'guard' cannot be reached."),
    ],
)
async def test_a_status_becomes_model_unavailable_without_internals(client, triton, code, message):
    triton.models["guard"].error = code
    with pytest.raises(ModelUnavailable) as caught:
        await infer(client)
    assert str(caught.value) == message
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
    assert "internals" in caught.value.__cause__.details()


async def test_an_unknown_model_is_not_being_served(client):
    with pytest.raises(ModelUnavailable, match="'nosuch' is not being served"):
        await infer(client, model="nosuch")


async def test_a_hung_model_costs_no_more_than_the_deadline(client, triton):
    triton.models["guard"].hang = True
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="in time"):
        await infer(client, timeout_s=0.2)
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_without_time_left_nothing_is_sent(client, triton, timeout_s):
    with pytest.raises(ModelUnavailable, match="no time was left"):
        await infer(client, timeout_s=timeout_s)
    assert triton.requests == []


async def test_a_server_that_is_away_fails_at_once(triton):
    await triton.kill()
    client = TritonClient(triton.address)
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await infer(client, timeout_s=30.0)
    assert time.monotonic() - started < 5.0
    await client.close()


async def test_a_connection_that_breaks_fails_the_calls_on_it(client, triton):
    triton.models["guard"].hang = True
    call = asyncio.create_task(infer(client, timeout_s=30.0))
    await until(lambda: triton.requests)
    await triton.kill()
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await call


async def test_the_same_client_reaches_a_server_that_came_back_within_two_seconds(client, triton):
    await infer(client)
    await triton.kill()
    for _ in range(20):
        with pytest.raises(ModelUnavailable):
            await infer(client)
    await triton.revive()
    revived = time.monotonic()
    while not await client.model_ready("guard", 1.0):
        await asyncio.sleep(0.01)
    assert time.monotonic() - revived < 2.0
    assert (await infer(client)).version == "1"


async def test_cancelling_the_caller_cancels_the_call_and_is_not_swallowed(client, triton):
    triton.models["guard"].hang = True
    call = asyncio.create_task(infer(client, timeout_s=30.0))
    await until(lambda: triton.requests)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: triton.cancelled == 1)


async def test_closing_the_client_fails_its_calls(client, triton):
    triton.models["guard"].hang = True
    call = asyncio.create_task(infer(client, timeout_s=30.0))
    await until(lambda: triton.requests)
    await client.close()
    # Python 3.10 cannot tell a closed channel from a cancelled caller.
    with pytest.raises((ModelUnavailable, asyncio.CancelledError)) as caught:
        await call
    assert isinstance(caught.value, ModelUnavailable) or not hasattr(call, "cancelling")


async def test_a_closed_client_says_so_as_model_unavailable(client):
    await client.close()
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await infer(client)


async def test_a_message_over_the_bound_is_not_sent(client, triton):
    huge = [Tensor.from_bytes("TEXT", [b"x" * (MAX_MESSAGE_BYTES + 1)], (1, 1))]
    with pytest.raises(ModelUnavailable, match="too large"):
        await client.infer("guard", huge, ["SCORES"], timeout_s=5.0)
    assert triton.requests == []


async def test_many_calls_share_the_channel(client, triton):
    results = await asyncio.gather(*(infer(client) for _ in range(64)))
    assert {result.tensor("SCORES").floats() for result in results} == {(0.25, 0.75)}
    assert len(triton.requests) == 64


async def test_readiness_follows_the_server_and_the_model(client, triton):
    assert await client.server_live(5.0)
    assert await client.server_ready(5.0)
    assert await client.model_ready("guard", 5.0)
    assert not await client.model_ready("nosuch", 5.0)
    triton.models["guard"].ready = False
    assert not await client.server_ready(5.0)
    assert not await client.model_ready("guard", 5.0)


async def test_readiness_is_false_when_nobody_answers(client, triton):
    triton.hang = True
    assert not await client.server_live(0.1)
    assert not await client.server_ready(0.1)
    assert not await client.model_ready("guard", 0.1)


async def test_metadata_and_configuration_are_values(client):
    assert (await client.server_metadata(5.0)).version == "2.51.0"
    metadata = await client.model_metadata("guard", 5.0)
    assert metadata.versions == ("1",)
    assert metadata.inputs == (TensorMetadata("TEXT", "BYTES", (-1, 1)),)
    config = await client.model_config("guard", 5.0)
    assert (config.name, config.backend, config.max_batch_size) == ("guard", "python", 8)
    assert config.labels == ("benign", "jailbreak")
    assert config.inputs == (TensorMetadata("TEXT", "BYTES", (1,)),)
    assert config.outputs == (TensorMetadata("SCORES", "FP32", (2,)),)


async def test_models_are_unloaded_and_loaded(client, triton):
    await client.unload("guard")
    assert await client.index() == (IndexEntry("guard", "1", "UNAVAILABLE", "unloaded"),)
    assert await client.index(ready_only=True) == ()
    await client.load("guard")
    (entry,) = await client.index()
    assert entry.ready
    assert triton.models["guard"].loads == 1


async def test_a_load_that_fails_says_why_in_the_cause_only(client, triton):
    triton.models["guard"].load_error = "weights are missing in /srv"
    with pytest.raises(ModelUnavailable) as caught:
        await client.load("guard")
    assert "/srv" not in str(caught.value)
    assert "/srv" in caught.value.__cause__.details()


async def test_a_client_that_was_closed_before_its_first_call_asks_nobody(triton):
    client = TritonClient(triton.address)
    await client.close()
    with pytest.raises(ModelUnavailable):
        await infer(client)
    assert not await client.server_ready(5.0)


def test_a_gateway_that_asks_no_model_loads_no_grpc():
    program = "import sys, router.cli.up, router.cli.worker; print(*sorted({'grpc', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


async def until(condition, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.005)
