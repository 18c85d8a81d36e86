"""Typed call of the generation contract: a prompt in, the text that a language model writes out.

Which tensors a model takes is read from its configuration, so that the vLLM backend and the variants of TensorRT-LLM's
are asked in the same way:
https://github.com/triton-inference-server/vllm_backend/blob/main/docs/additional_outputs.md,
https://github.com/triton-inference-server/tensorrtllm_backend/blob/main/docs/model_config.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import ModelConfig, TensorMetadata
from router.triton.tensors import ContractViolation, Tensor

# Parameter of the model's configuration: what its ``sampling_parameters`` call a constraint. Backends for vLLM up to
# 0.10 say ``guided_decoding``.
_CONSTRAINT_KEY = "constraint_key"
_DEFAULT_CONSTRAINT_KEY = "structured_outputs"

_OUTPUT = "text_output"
# Far more than a list of names needs.
_MAX_BYTES = 256 * 1024

_FORMATS = {"BOOL": "<?", "INT32": "<i", "UINT32": "<I", "INT64": "<q", "UINT64": "<Q", "FP32": "<f"}


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """What a model wrote, and which version of it."""

    text: str = field(repr=False)
    model: str
    version: str


async def generate(
    client: TritonClient,
    config: ModelConfig,
    prompt: str,
    schema: Mapping[str, Any],
    *,
    max_tokens: int,
    timeout_s: float,
) -> GeneratedText:
    """What the model of ``config`` writes after ``prompt``: its likeliest text, at most ``max_tokens``.

    JSON by ``schema`` where the model lets itself be constrained. Raises ``ModelUnavailable``; cancelling the caller
    cancels the request, which frees the model.
    """
    values = _values(config, prompt, orjson.dumps(schema), max_tokens)
    inputs = [_tensor(declared, values[declared.name], config) for declared in config.inputs if declared.name in values]
    pieces: list[bytes] = []
    version = ""
    answers = client.stream_infer(config.name, inputs, (_OUTPUT,), timeout_s=timeout_s, max_bytes=_MAX_BYTES)
    try:
        async with aclosing(answers):
            async for answer in answers:
                version = answer.version
                pieces += answer.tensor(_OUTPUT).byte_strings()[:1]  # the others are other beams
    except ContractViolation as exc:
        raise ModelUnavailable(f"The model {config.name!r} gave an answer that breaks its contract.") from exc
    # Some versions of TensorRT-LLM's backend repeat the prompt whatever they are told.
    text = b"".join(pieces).decode("utf-8", "replace").removeprefix(prompt)
    return GeneratedText(text, config.name, version)


def _values(config: ModelConfig, prompt: str, schema: bytes, max_tokens: int) -> dict[str, Any]:
    """What the inputs of all backends are to say; a model is sent those that it declares."""
    key = config.parameters.get(_CONSTRAINT_KEY, _DEFAULT_CONSTRAINT_KEY)
    sampling: dict[str, Any] = {"temperature": 0, "max_tokens": max_tokens}
    if key:
        sampling[key] = orjson.dumps({"json": orjson.Fragment(schema)}).decode()
    return {
        "text_input": prompt.encode("utf-8", "replace"),
        "exclude_input_in_output": True,
        "stream": False,
        # vLLM
        "sampling_parameters": orjson.dumps(sampling),
        # TensorRT-LLM, as an ensemble of models; the likeliest token is one of one
        "max_tokens": max_tokens,
        "top_k": 1,
        "guided_decoding_guide_type": b"json_schema",
        "guided_decoding_guide": schema,
        # TensorRT-LLM's LLM API
        "streaming": False,
        "sampling_param_max_tokens": max_tokens,
        "sampling_param_top_k": 1,
        "sampling_param_exclude_input_from_output": True,
    }


def _tensor(declared: TensorMetadata, value: Any, config: ModelConfig) -> Tensor:
    """One element, in as many dimensions as the model wants, the one of the batch included."""
    shape = (1,) * (len(declared.shape) + (config.max_batch_size > 0))
    if declared.datatype == "BYTES" and isinstance(value, bytes):
        return Tensor.from_bytes(declared.name, [value], shape)
    code = _FORMATS.get(declared.datatype)
    if code is None or isinstance(value, bytes):
        reason = ContractViolation(f"{declared.name}: declared as {declared.datatype}")
        raise ModelUnavailable(f"The model {config.name!r} takes other inputs than generation needs.") from reason
    return Tensor(declared.name, declared.datatype, shape, struct.pack(code, value))
