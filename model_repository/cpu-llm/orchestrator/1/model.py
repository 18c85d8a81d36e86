"""A language model on llama.cpp behind the tensors of the vLLM backend: ``text_input`` in, ``text_output`` out.

Each request runs in a thread of its own and is looked at again after every token, and after every few of the prompt:
one that was cancelled, or whose deadline has passed, stops there and frees its slot.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
import xllamacpp

HERE = Path(__file__).resolve().parent
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

# Tokens of a prompt that are read between two looks at whether anybody still wants the answer.
PROMPT_STEP = 128
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed", "stop")


class TritonPythonModel:
    """One model; its context is shared by its slots. Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        setting = {key: value["string_value"] for key, value in parameters.items()}
        slots = int(setting["slots"])
        self._max_tokens = int(setting["max_tokens"])
        # llama.cpp's server listens whether or not anybody asks it: on a socket that nobody else can reach.
        self._folder = tempfile.TemporaryDirectory(prefix="llama-")
        options = xllamacpp.CommonParams()
        options.model.path = str(weights(setting["gguf"]))
        options.hostnames = [str(Path(self._folder.name) / "llama.sock")]
        options.api_keys = [secrets.token_hex()]
        options.n_ctx, options.n_parallel = int(setting["context"]) * slots, slots
        options.n_batch = options.n_ubatch = PROMPT_STEP
        options.n_gpu_layers = int(setting["gpu_layers"])
        options.cpuparams.n_threads = int(setting["threads"]) or os.cpu_count() or 1
        options.cpuparams_batch.n_threads = options.cpuparams.n_threads
        options.verbosity = 0
        self._server = xllamacpp.Server(options)
        self._closing = False
        self._room = BoundedSemaphore(slots + int(setting["waiting"]))
        self._threads = ThreadPoolExecutor(slots)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            if self._room.acquire(blocking=False):
                self._threads.submit(self._serve, request, sender)
            else:
                fail(sender, "too many requests", pb_utils.TritonError.UNAVAILABLE)

    def finalize(self) -> None:
        self._closing = True
        self._threads.shutdown()
        del self._server
        self._folder.cleanup()

    def _serve(self, request: Any, sender: Any) -> None:
        refused: tuple[str, int] | None = None
        try:
            self._generate(request, sender, lambda: self._closing or sender.is_cancelled())
        except Exception as exc:
            theirs = isinstance(exc, ValueError)  # of JSON, too: what the request says cannot be done
            refused = str(exc), getattr(pb_utils.TritonError, "INVALID_ARG" if theirs else "INTERNAL")
        self._room.release()  # before the end of the answer, upon which the next request may come
        if refused is None:
            sender.send(flags=FINAL)
        else:
            fail(sender, *refused)

    def _generate(self, request: Any, sender: Any, unwanted: Callable[[], bool]) -> None:
        prompt, stream = text(request, "text_input"), flag(request, "stream", False)
        excluded = flag(request, "exclude_input_in_output", stream)
        if stream and not excluded:
            raise ValueError("exclude_input_in_output cannot be false where the answer is streamed")
        pieces = [] if excluded else [prompt]
        errors: list[str] = []

        def take(chunk: dict[str, Any]) -> bool:
            errors.extend([chunk["error"]["message"]] if "error" in chunk else [])
            for piece in [choice["text"] for choice in chunk.get("choices", []) if choice["text"]]:
                send(sender, piece) if stream else pieces.append(piece)
            return unwanted()

        sampling = json.loads(text(request, "sampling_parameters") or "{}")
        question = {key: sampling[key] for key in SAMPLING if sampling.get(key) is not None}
        question["max_tokens"] = min(sampling.get("max_tokens") or self._max_tokens, self._max_tokens)
        question |= constraint(sampling.get("structured_outputs") or sampling.get("guided_decoding") or {})
        if not unwanted():
            ask = {"prompt": prompt, "stream": True, "return_progress": True, "cache_prompt": True, **question}
            self._server.handle_completions(ask, take)
        if errors:
            raise ValueError(errors[0])
        if not stream and not unwanted():
            send(sender, "".join(pieces))


def weights(configured: str) -> Path:
    """The GGUF file."""
    named = configured or os.environ.get("TRIDENT_GGUF")
    found = [HERE / named] if named else sorted(HERE.glob("*.gguf"))
    if len(found) != 1 or not found[0].is_file():
        raise ValueError(f"no GGUF file: {found or HERE}; put one into the version folder, or name it by gguf")
    return found[0]


def constraint(said: str | dict[str, Any]) -> dict[str, Any]:
    """What vLLM calls structured outputs, for llama.cpp."""
    wanted: dict[str, Any] = json.loads(said) if isinstance(said, str) else said
    if "json" in wanted:
        schema = json.loads(wanted["json"]) if isinstance(wanted["json"], str) else wanted["json"]
        return {"json_schema": {**schema, "x-guidance": {"whitespace_flexible": False}}}
    if "regex" in wanted:
        return {"grammar": "%llguidance {}\nstart: /" + wanted["regex"].replace("/", "\\/") + "/"}
    if "choice" in wanted:
        return {"grammar": "root ::= " + " | ".join(json.dumps(each, ensure_ascii=False) for each in wanted["choice"])}
    return {"grammar": wanted["grammar"]} if "grammar" in wanted else {}


def text(request: Any, name: str) -> str:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return "" if tensor is None else bytes(tensor.as_numpy().reshape(-1)[0]).decode("utf-8")


def flag(request: Any, name: str, default: bool) -> bool:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else bool(tensor.as_numpy().reshape(-1)[0])


def send(sender: Any, piece: str) -> None:
    output = pb_utils.Tensor("text_output", np.array([piece.encode()], dtype=np.object_))
    sender.send(pb_utils.InferenceResponse([output]))


def fail(sender: Any, message: str, code: int) -> None:
    sender.send(pb_utils.InferenceResponse([], error=pb_utils.TritonError(message, code)), flags=FINAL)
