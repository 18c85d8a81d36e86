"""The two networks of the orchestrator: texts to vectors and token states, and these to a probability for each agent.

Training and evaluation use this file too, so that what is measured is what is served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import roster_features as features
from numpy.typing import NDArray
from tokenizers import Tokenizer

Half = NDArray[np.float16]


@dataclass(frozen=True)
class TextStates:
    """An encoded text: its unit vector ``[384]``, and a key and a value of each of its tokens ``[t, 96]``."""

    vector: features.Vectors
    keys: Half
    values: Half


@dataclass(frozen=True)
class Agent:
    """An encoded description; keys and values are those of its tokens as a whole."""

    vectors: features.AgentVectors
    keys: Half
    values: Half


class Matching:
    """One instance for one thread."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._encoder, self._scorer = (
            onnxruntime.InferenceSession(str(folder / name), options, ["CPUExecutionProvider"])
            for name in ("model.onnx", "scorer.onnx")
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The newest turn stands at the end of a text in context, so the beginning is what a long text loses.
        self._tokenizer.enable_truncation(features.MAX_TOKENS, direction="left")
        calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
        self._slope, self._offset = float(calibration["slope"]), float(calibration["offset"])

    def encode(self, texts: Sequence[str]) -> list[TextStates]:
        """One text per run: int8 activations are scaled per run, so in a batch a text's vector would depend on its
        neighbours, and a decision on the traffic. On one thread a batch is no faster than its texts one by one.
        """
        states = []
        for encoding in self._tokenizer.encode_batch(list(texts)):
            ids = np.array([encoding.ids], dtype=np.int64)
            found = self._encoder.run(
                ["embedding", "keys", "values"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            )
            vector, keys, values = (array[0] for array in found)
            states.append(TextStates(vector, keys.astype(np.float16), values.astype(np.float16)))
        return states

    def logits(
        self, question: features.Question, encoded: Sequence[TextStates], agents: Sequence[Agent]
    ) -> tuple[features.Vectors, features.Vectors]:
        """One logit for each agent, and how much each clause speaks for each; ``encoded`` are ``question.texts``."""
        vectors = np.stack([one.vector for one in encoded])
        rows, clause = features.agent_features(question, vectors, [agent.vectors for agent in agents])
        asked = encoded[: len(question.token_texts)]
        kind = np.concatenate([np.full(len(one.keys), place + 1, np.int64) for place, one in enumerate(asked)])
        longest = max(len(agent.keys) for agent in agents)
        mask = np.zeros((len(agents), longest), dtype=np.float32)
        keys, values = np.zeros((2, len(agents), longest, agents[0].keys.shape[1]), dtype=np.float32)
        for place, agent in enumerate(agents):
            mask[place, : len(agent.keys)] = 1.0
            keys[place, : len(agent.keys)], values[place, : len(agent.keys)] = agent.keys, agent.values
        inputs = {
            "features": rows[None], "kind": kind[None],
            "keys": np.concatenate([one.keys for one in asked])[None].astype(np.float32),
            "values": np.concatenate([one.values for one in asked])[None].astype(np.float32),
            "agent_keys": keys, "agent_values": values, "agent_mask": mask,
        }  # fmt: skip
        return self._scorer.run(["logits"], inputs)[0][0], clause

    def probabilities(self, logits: features.Vectors) -> features.Vectors:
        return np.asarray(1.0 / (1.0 + np.exp(-(self._slope * logits + self._offset))), dtype=np.float32)


def agent_of(texts: features.AgentTexts, encoded: Sequence[TextStates]) -> Agent:
    """An agent out of its encoded ``texts``."""
    vectors = np.stack([one.vector for one in encoded])
    phrases, exclusions, items = np.split(vectors, np.cumsum([1 + len(texts.phrases), len(texts.exclusions)]))
    parts = np.concatenate([phrases, items])
    return Agent(features.AgentVectors(vectors[0], phrases, exclusions, parts), encoded[0].keys, encoded[0].values)
