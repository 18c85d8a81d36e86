"""The generation contract as its tensors: what each kind of backend is asked, and what its answer is taken for."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.generation import GeneratedText, generate
from router.triton.tensors import Tensor
from tests.fakes.triton import TENSORRT_LLM_INPUTS, FakeModel, FakeTriton

SCHEMA = {"type": "object", "properties": {"route": {"enum": ["a", "b"]}}}
LLM_API_INPUTS = (
    ("text_input", "BYTES", [1]),
    ("streaming", "BOOL", [1]),
    ("sampling_param_max_tokens", "INT32", [1]),
    ("sampling_param_top_k", "INT32", [1]),
    ("sampling_param_exclude_input_from_output", "BOOL", [1]),
    ("sampling_param_seed", "UINT64", [1]),
)


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with FakeTriton() as fake:
        yield fake


@pytest.fixture
async def client(triton: FakeTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.address)
    yield client
    await client.close()


async def ask(client: TritonClient, prompt: str = "Who?") -> GeneratedText:
    config = await client.model_config("orchestrator", 5.0)
    return await generate(client, config, prompt, SCHEMA, max_tokens=64, timeout_s=5.0)


def serve(triton: FakeTriton, inputs: Sequence[Any], **kwargs: Any) -> FakeModel:
    return triton.generator(lambda prompt, parameters: ['{"route"', ': ["a"]}'], inputs=inputs, **kwargs)


async def test_vllm_gets_its_sampling_parameters_as_json(client, triton):
    asked: list[Any] = []

    def write(prompt: str, parameters: dict[str, Any]) -> list[str]:
        asked.append((prompt, parameters))
        return ['{"route"', ': ["a"]}']

    triton.generator(write, version="7")
    answer = await ask(client)
    assert (answer.text, answer.model, answer.version) == ('{"route": ["a"]}', "orchestrator", "7")
    ((prompt, parameters),) = asked
    assert prompt == "Who?"
    assert orjson.loads(parameters.pop("structured_outputs")) == {"json": SCHEMA}
    assert parameters == {"temperature": 0, "max_tokens": 64}
    (request,) = triton.requests
    assert set(request.inputs) == {"text_input", "stream", "sampling_parameters", "exclude_input_in_output"}
    assert (request.inputs["stream"], request.inputs["exclude_input_in_output"]) == ((b"\x00",), (b"\x01",))
    assert set(request.shapes.values()) == {(1,)}


@pytest.mark.parametrize(("key", "sent"), [("guided_decoding", {"guided_decoding"}), ("", set())])
async def test_what_a_backend_calls_a_constraint_is_in_its_configuration(client, triton, key: str, sent: set[str]):
    seen: list[set[str]] = []
    model = triton.generator(lambda prompt, parameters: seen.append(set(parameters)) or "{}")
    model.parameters["constraint_key"] = key
    await ask(client)
    assert seen == [{"temperature", "max_tokens"} | sent]


async def test_tensorrt_llm_gets_tensors_with_the_dimension_of_the_batch(client, triton):
    serve(triton, TENSORRT_LLM_INPUTS, max_batch_size=8)
    assert (await ask(client)).text == '{"route": ["a"]}'
    (request,) = triton.requests
    assert set(request.shapes.values()) == {(1, 1)}
    assert request.inputs["max_tokens"] == (struct.pack("<i", 64),)
    assert request.inputs["top_k"] == (struct.pack("<i", 1),)
    assert request.inputs["guided_decoding_guide_type"] == (b"json_schema",)
    assert request.json("guided_decoding_guide") == SCHEMA
    assert "temperature" not in request.inputs


async def test_the_llm_api_of_tensorrt_llm_gets_its_own_names(client, triton):
    serve(triton, LLM_API_INPUTS)
    assert (await ask(client)).text == '{"route": ["a"]}'
    (request,) = triton.requests
    assert request.inputs == {
        "text_input": (b"Who?",),
        "streaming": (b"\x00",),
        "sampling_param_max_tokens": (struct.pack("<i", 64),),
        "sampling_param_top_k": (struct.pack("<i", 1),),
        "sampling_param_exclude_input_from_output": (b"\x01",),
    }


async def test_a_prompt_that_comes_back_is_no_answer(client, triton):
    triton.generator(lambda prompt, parameters: prompt + '{"route": ["b"]}')
    assert (await ask(client)).text == '{"route": ["b"]}'


async def test_only_the_first_of_several_beams_counts(client, triton):
    model = triton.generator(lambda prompt, parameters: "")
    model.stream = lambda inputs: [[Tensor.from_bytes("text_output", [b"one", b"two"], (2,))]]
    assert (await ask(client)).text == "one"


async def test_characters_that_are_torn_between_answers_are_whole_in_the_end(client, triton):
    model = triton.generator(lambda prompt, parameters: "")
    raw = "Zürich ✈".encode()
    pieces = [[Tensor.from_bytes("text_output", [raw[n : n + 1]], (1,))] for n in range(len(raw))]
    model.stream = lambda inputs: pieces
    assert (await ask(client)).text == "Zürich ✈"


@pytest.mark.parametrize(
    "answer",
    [
        [Tensor("text_output", "BYTES", (1,), b"\x09\x00\x00\x00x")],
        [Tensor.from_floats("text_output", [1.0], (1,))],
        [Tensor.from_bytes("other", [b"x"], (1,))],
    ],
)
async def test_an_answer_that_breaks_the_contract_is_none(client, triton, answer: list[Tensor]):
    model = triton.generator(lambda prompt, parameters: "")
    model.stream = lambda inputs: [answer]
    with pytest.raises(ModelUnavailable, match="breaks its contract"):
        await ask(client)


async def test_a_model_that_declares_other_types_is_not_asked(client, triton):
    serve(triton, [("text_input", "BYTES", [1]), ("max_tokens", "BYTES", [1])])
    with pytest.raises(ModelUnavailable, match="takes other inputs"):
        await ask(client)
    assert triton.requests == []


async def test_an_endless_answer_is_cut_off(client, triton):
    triton.generator(lambda prompt, parameters: ["x" * 65_000] * 8)
    with pytest.raises(ModelUnavailable, match="too long"):
        await ask(client)
