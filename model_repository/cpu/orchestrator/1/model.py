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
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import matching  # noqa: E402
import roster_features as features  # noqa: E402


class TritonPythonModel:
    """One instance: its own session, tokenizer and cache; Triton calls it from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self._matching = matching.Matching(HERE, int(parameters["intra_op_threads"]["string_value"]))
        self._agents: OrderedDict[tuple[str, str], matching.Agent] = OrderedDict()
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

    def _encode(self, rows: list[Any]) -> list[list[matching.TextStates]]:
        """The encoded texts of each row's question; descriptions that are not known yet are encoded too."""
        pairs = dict.fromkeys(pair for _, pairs in rows for pair in pairs)
        self._agents.update((pair, self._agents.pop(pair)) for pair in list(pairs) if pair in self._agents)
        fresh = {pair: features.describe(*pair) for pair in pairs if pair not in self._agents}
        groups = [question.texts for question, _ in rows] + [agent.texts for agent in fresh.values()]
        distinct = list(dict.fromkeys(text for group in groups for text in group))
        encoded = dict(zip(distinct, self._matching.encode(distinct), strict=True)) if distinct else {}
        for pair, texts in fresh.items():
            self._agents[pair] = matching.agent_of(texts, [encoded[text] for text in texts.texts])
        return [[encoded[text] for text in question.texts] for question, _ in rows]

    def _score(self, row: Any, encoded: list[matching.TextStates]) -> tuple[Any, Any]:
        question, pairs = row
        logits, clause = self._matching.logits(question, encoded, [self._agents[pair] for pair in pairs])
        scores = self._matching.probabilities(logits)
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
