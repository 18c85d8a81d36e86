"""How well an encoder finds, among everything that somebody said, the fact that a question is about.

``python retrieval_report.py FOLDER [FOLDER ...]``: folders with ``model.onnx`` (an output ``embedding``) and
``tokenizer.json``, as served. Needs no PyTorch.

``data/memory/retrieval.txt`` has a fact, a question that asks for it, and a question for whose answer it matters, a
line; ``unrelated.txt`` has questions for which none of the facts matters. Hits are counted among all facts, as if one
person had said them all; at each similarity the table says how many questions find their fact among the first three
above it, and into how many unrelated questions something is recalled.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
FACTS = HERE / "data" / "memory" / "retrieval.txt"
UNRELATED = HERE / "data" / "memory" / "unrelated.txt"
MAX_TOKENS = 256
SIMILARITIES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Questions:
    """``direct[i]`` asks for ``facts[i]``, ``implied[i]`` does not say so, ``unrelated`` ask for none of them."""

    facts: Sequence[str]
    direct: Sequence[str]
    implied: Sequence[str]
    unrelated: Sequence[str]


def read_questions(facts: Path = FACTS, unrelated: Path = UNRELATED) -> Questions:
    """The hand-written set. Raises ``ValueError`` for a line that has not three parts."""
    rows = [line.split(" | ") for line in _lines(facts)]
    for row in rows:
        if len(row) != 3:
            raise ValueError(f"a fact and two questions, not {row}")
    said, direct, implied = zip(*rows, strict=True)
    return Questions(said, direct, implied, _lines(unrelated))


class ServedEncoder:
    """An encoder as it is served: one text per run, cut at ``MAX_TOKENS``."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def __call__(self, texts: Sequence[str]) -> Vectors:
        rows = []
        for encoding in self._tokenizer.encode_batch(list(texts)):
            ids = np.array([encoding.ids], dtype=np.int64)
            inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            rows.append(self._session.run(["embedding"], inputs)[0][0])
        return np.array(rows, dtype=np.float32)


def hits(facts: Vectors, asked: Vectors, first: int) -> float:
    """The share of the questions whose fact, that of the same row, is among the ``first`` nearest."""
    similarities = asked @ facts.T
    ranks = (similarities > np.diagonal(similarities)[:, None]).sum(axis=1)
    return float((ranks < first).mean())


def recalled(facts: Vectors, asked: Vectors, similarity: float, first: int = 3) -> float:
    """As ``hits``, for facts at or above ``similarity``."""
    similarities = asked @ facts.T
    own = np.diagonal(similarities)
    ranks = (similarities > own[:, None]).sum(axis=1)
    return float(((ranks < first) & (own >= similarity)).mean())


def falsely_recalled(facts: Vectors, unrelated: Vectors, similarity: float) -> float:
    """The share of the unrelated questions that are near enough to any fact."""
    return float(((unrelated @ facts.T).max(axis=1) >= similarity).mean())


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def report(folder: Path, questions: Questions) -> str:
    """Two tables in Markdown."""
    encode = ServedEncoder(folder)
    facts, direct, implied, unrelated = (
        encode(texts) for texts in (questions.facts, questions.direct, questions.implied, questions.unrelated)
    )
    lines = [
        f"{folder}: {len(facts)} facts",
        "| questions | hits@1 | hits@3 |",
        "|---|---|---|",
        f"| direct | {hits(facts, direct, 1):.3f} | {hits(facts, direct, 3):.3f} |",
        f"| implied | {hits(facts, implied, 1):.3f} | {hits(facts, implied, 3):.3f} |",
        "",
        "| similarity | direct, recalled | implied, recalled | unrelated, something recalled |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {at} | {recalled(facts, direct, at):.3f} | {recalled(facts, implied, at):.3f} | "
        f"{falsely_recalled(facts, unrelated, at):.3f} |"
        for at in SIMILARITIES
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    questions = read_questions()
    for folder in parser.parse_args().folders:
        print(report(folder, questions), end="\n\n")


if __name__ == "__main__":
    main()
