"""Orchestrator, scoring contract: CONVERSATION and ROUTES in, SCORES and ORDER out.

A decision encodes the texts of the conversation only: descriptions are encoded once and kept. Texts that several
requests of a batch share are encoded once; a malformed request gets its own error and leaves the others alone.
"""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import roster_features as features  # noqa: E402

MAX_TOKENS = 160


class Encoder:
    """Texts to unit vectors ``[n, 384]``.

    One text per run: int8 activations are scaled per run, so in a batch a text's vector would depend on its neighbours,
    and a decision on the traffic. On one thread a batch is no faster than its texts one by one, and padding costs.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The newest turn stands at the end of a text in context, so the beginning is what a long text loses.
        self._tokenizer.enable_truncation(MAX_TOKENS, direction="left")

    def encode(self, texts: list[str]) -> features.Vectors:
        vectors = np.empty((len(texts), 384), dtype=np.float32)
        for row, encoding in enumerate(self._tokenizer.encode_batch(texts)):
            ids = np.array([encoding.ids], dtype=np.int64)
            vectors[row] = self._session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        return vectors


class Head:
    """The small network from similarity features to the probability that an agent is needed."""

    def __init__(self, path: Path) -> None:
        weights = json.loads(path.read_text(encoding="utf-8"))
        if tuple(weights["features"]) != features.FEATURES:
            raise ValueError(f"{path} was trained on other features than roster_features.py computes")
        self._mean, self._std, self._w1, self._b1, self._w2, self._b2 = (
            np.asarray(weights[name], dtype=np.float32)
            for name in ("mean", "std", "0.weight", "0.bias", "3.weight", "3.bias")
        )

    def __call__(self, rows: features.Vectors) -> features.Vectors:
        hidden = np.maximum((rows - self._mean) / self._std @ self._w1.T + self._b1, 0.0)
        return np.asarray(1.0 / (1.0 + np.exp(-(hidden @ self._w2.T + self._b2)[:, 0])), dtype=np.float32)


class TritonPythonModel:
    """One instance: its own session, tokenizer and cache; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self._encoder = Encoder(HERE, int(parameters["intra_op_threads"]["string_value"]))
        self._head = Head(HERE / "head.json")
        self._agents: OrderedDict[tuple[str, str], features.AgentVectors] = OrderedDict()
        self._cached_agents = int(parameters["cached_agents"]["string_value"])

    def execute(self, requests: list[Any]) -> list[Any]:
        parsed = [_parse(request) for request in requests]
        rows = [row for outcome in parsed if not isinstance(outcome, str) for row in outcome]
        encoded = iter(self._encode(rows))
        responses = [
            _failure(outcome)
            if isinstance(outcome, str)
            else _response([self._score(row, next(encoded)) for row in outcome])
            for outcome in parsed
        ]
        while len(self._agents) > self._cached_agents:
            self._agents.popitem(last=False)
        return responses

    def _encode(self, rows: list[Any]) -> list[features.Vectors]:
        """The vectors of each row's question; descriptions that are not known yet are encoded too."""
        pairs = dict.fromkeys(pair for _, pairs in rows for pair in pairs)
        self._agents.update((pair, self._agents.pop(pair)) for pair in list(pairs) if pair in self._agents)
        fresh = {pair: features.describe(*pair) for pair in pairs if pair not in self._agents}
        groups = [question.texts for question, _ in rows] + [agent.texts for agent in fresh.values()]
        distinct = list(dict.fromkeys(text for group in groups for text in group))
        vectors = self._encoder.encode(distinct) if distinct else np.empty((0, 384), dtype=np.float32)
        at = {text: index for index, text in enumerate(distinct)}
        found = [vectors[[at[text] for text in group]] for group in groups]
        for (pair, agent), block in zip(fresh.items(), found[len(rows) :], strict=True):
            split = 1 + len(agent.phrases)
            self._agents[pair] = features.AgentVectors(block[0], block[:split], block[split:])
        return found[: len(rows)]

    def _score(self, row: Any, vectors: features.Vectors) -> tuple[Any, Any]:
        question, pairs = row
        agents = [self._agents[pair] for pair in pairs]
        rows, clause = features.agent_features(question, vectors, agents)
        scores = self._head(rows)
        return scores, features.running_order(question, clause, scores)

    def finalize(self) -> None:
        self._agents.clear()


def _parse(request: Any) -> Any:
    """The rows of a request as ``(question, agents)``, or the text of what is wrong with it."""
    try:
        inputs = [
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
            for name in ("CONVERSATION", "ROUTES")
        ]
        rows = [
            (features.parse_conversation(json.loads(turns)), features.parse_routes(json.loads(routes)))
            for turns, routes in zip(*inputs, strict=True)
        ]
    except (ValueError, RecursionError) as exc:
        return f"malformed request: {exc}"
    if len({len(pairs) for _, pairs in rows}) != 1:
        return "malformed request: the rows of a batch must have the same number of agents"
    return rows


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse(
        output_tensors=[], error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
    )


def _response(rows: list[tuple[Any, Any]]) -> Any:
    scores, order = (np.stack(column) for column in zip(*rows, strict=True))
    return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores), pb_utils.Tensor("ORDER", order)])
