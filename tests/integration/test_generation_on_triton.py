"""The generation contract on the real tritonserver with a real language model: tokens, constraints, cancellation."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio

from router.aio import timeout
from router.errors import ModelUnavailable
from router.routing.generation import answer_schema, parse_answer
from router.triton.client import TritonClient
from router.triton.generation import generate
from router.triton.server import EmbeddedTriton
from router.triton.tensors import Tensor
from tests.integration.generating_models import make_llama_model, require_weights

pytestmark = [pytest.mark.triton, pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_S = 120.0
# It can never end.
ENDLESS = {"structured_outputs": {"grammar": 'root ::= "a" root'}, "max_tokens": 100_000}
NAMES = [
    'a"b',
    "c\\d",
    "line\nbreak",
    "ünï ✈",
    "<|im_end|>",
    '{"route": ["x"]}',
    "]",
    *(f"n{i}" * 40 for i in range(3)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedTriton]:
    weights = require_weights()
    repository = tmp_path_factory.mktemp("models")
    # One request at a time, and none that waits: whether the model is free shows at once.
    settings = {"threads": "1", "slots": "1", "waiting": "0", "max_tokens": "100000"}
    make_llama_model(repository / "llm", weights, **settings)
    async with EmbeddedTriton([repository], ["llm"], tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(triton: EmbeddedTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.grpc_address)
    yield client
    await client.close()


def inputs(prompt: str, sampling: object, *, stream: bool = True, exclude: bool | None = None) -> list[Tensor]:
    tensors = [
        Tensor.from_bytes("text_input", [prompt.encode()], (1,)),
        Tensor("stream", "BOOL", (1,), bytes([stream])),
        Tensor.from_bytes("sampling_parameters", [json.dumps(sampling).encode()], (1,)),
    ]
    if exclude is not None:
        tensors.append(Tensor("exclude_input_in_output", "BOOL", (1,), bytes([exclude])))
    return tensors


async def write(
    client: TritonClient, prompt: str, timeout_s: float = TIMEOUT_S, stream: bool = True, **sampling: Any
) -> list[str]:
    """The pieces of what the model writes after ``prompt``."""
    return await collect(client, inputs(prompt, {"temperature": 0, **sampling}, stream=stream), timeout_s)


async def collect(client: TritonClient, tensors: list[Tensor], timeout_s: float) -> list[str]:
    pieces = []
    async with aclosing(client.stream_infer("llm", tensors, ["text_output"], timeout_s=timeout_s)) as answers:
        async for answer in answers:
            pieces += [text.decode() for text in answer.tensor("text_output").byte_strings()]
    return pieces


async def until_free(client: TritonClient) -> None:
    """Ask until the model has time; it refuses while it is busy."""
    async with timeout(20):
        while True:
            try:
                await write(client, "Hello", max_tokens=1)
                return
            except ModelUnavailable as exc:
                if "too many requests" not in str(exc.__cause__):
                    raise
                await asyncio.sleep(0.05)


async def test_each_token_is_an_answer_and_together_they_are_the_text(client):
    pieces = await write(client, "Once upon a time", max_tokens=12)
    assert len(pieces) == 12
    prompt, *rest = await write(client, "Once upon a time", max_tokens=12, stream=False)
    assert (prompt, rest) == ("Once upon a time" + "".join(pieces), [])


async def test_only_declared_names_come_out_whatever_their_characters(client):
    config = await client.model_config("llm", TIMEOUT_S)
    for name in NAMES:
        prompt = f"<|im_start|>user\nRepeat: {json.dumps({'route': [name]})}<|im_end|>\n<|im_start|>assistant\n"
        written = await generate(client, config, prompt, answer_schema(NAMES), max_tokens=1000, timeout_s=TIMEOUT_S)
        said = json.loads(written.text)["route"]
        assert set(said) <= set(NAMES)
        assert parse_answer(written.text, NAMES) == tuple(dict.fromkeys(said))
        assert (written.model, written.version) == ("llm", "1")


@pytest.mark.parametrize("key", ["structured_outputs", "guided_decoding"])
@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ({"json": {"enum": ["left", "right"]}}, r'"(left|right)"'),
        ({"json": '{"enum": ["left", "right"]}'}, r'"(left|right)"'),
        ({"regex": "[0-9]{3}/[a-c]+-x"}, r"[0-9]{3}/[a-c]+-x"),
        ({"choice": ['say "left"', "✈ right"]}, r'say "left"|✈ right'),
        ({"grammar": 'root ::= "x" [yz] "x"'}, r"x[yz]x"),
    ],
)
@pytest.mark.parametrize("encode", [json.dumps, lambda value: value])
async def test_constraints_are_those_of_vllm(client, key, constraint, expected, encode):
    text = "".join(await write(client, "Which way?", max_tokens=60, **{key: encode(constraint)}))
    assert re.fullmatch(expected, text)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (inputs("x", {}, stream=True, exclude=False), "exclude_input_in_output"),
        (inputs("x " * 20_000, {}), "context"),
        (inputs("x", {"structured_outputs": {"grammar": "root ::= ("}}), "grammar"),
        ([Tensor.from_bytes(n, [b"{"], (1,)) for n in ("text_input", "sampling_parameters")], "Expecting"),
        ([Tensor.from_bytes("text_input", [b"\xff"], (1,))], "utf-8"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_the_reason_for_logs(client, tensors, reason):
    with pytest.raises(ModelUnavailable, match="The model 'llm' failed") as caught:
        await collect(client, tensors, TIMEOUT_S)
    assert reason in str(caught.value.__cause__)
    await until_free(client)


async def test_it_is_no_model_for_unary_calls(client):
    with pytest.raises(ModelUnavailable):
        await client.infer("llm", inputs("x", {}), ["text_output"], timeout_s=TIMEOUT_S)


async def test_who_stops_listening_frees_the_model(client):
    tensors = inputs("Once", ENDLESS)
    async with aclosing(client.stream_infer("llm", tensors, ["text_output"], timeout_s=TIMEOUT_S)) as answers:
        async for _ in answers:
            with pytest.raises(ModelUnavailable) as caught:
                await write(client, "Hello", max_tokens=1)
            assert "too many requests" in str(caught.value.__cause__)
            break
    await until_free(client)


async def test_cancelling_the_caller_frees_the_model(client):
    begun = asyncio.Event()

    async def ask() -> None:
        tensors = inputs("Once", ENDLESS)
        async with aclosing(client.stream_infer("llm", tensors, ["text_output"], timeout_s=TIMEOUT_S)) as answers:
            async for _ in answers:
                begun.set()

    asking = asyncio.create_task(ask())
    async with timeout(20):
        await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until_free(client)


async def test_a_deadline_frees_the_model(client):
    started = time.monotonic()
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        await write(client, "Once", timeout_s=0.5, stream=False, **ENDLESS)
    assert time.monotonic() - started < 5
    await until_free(client)


async def test_a_prompt_that_nobody_wants_any_more_is_not_read_to_its_end(client):
    long = "".join(f"Station {number} is far away. " for number in range(900))
    with pytest.raises(ModelUnavailable, match="did not answer in time"):
        await write(client, long, timeout_s=0.5, max_tokens=1)
    await until_free(client)


async def test_long_answers_and_short_ones_come_back_whole(client):
    """Strings reach NumPy 2 through ``router.triton.numpy_bridge``: no byte may be lost, and no memory broken."""
    words = ["x" * (number * 7 % 31) + "é✈" for number in range(10)]
    grammar = " ".join(["root ::=", *(f'"{word}"' for word in words)])
    for _ in range(3):
        text = await write(client, "x", max_tokens=400, stream=False, structured_outputs={"grammar": grammar})
        assert text == ["x" + "".join(words)]
    assert "".join(await write(client, "x", max_tokens=400, structured_outputs={"grammar": grammar})) == "".join(words)
