"""The PII section of the quality report: patterns, the token classifier, and both, on hand-written texts.

``python pii_report.py`` prints it; ``pii_section`` is for ``evaluate.py``. What is measured is the gateway's own code
(``router.pii``) with the ``model.py`` that Triton serves.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from quality_table import Line, section
from serving import REPOSITORY, read_parameter

from router.pii.findings import Finding
from router.pii.redactor import DetectionPolicy, Redactor

ENTITIES_MODEL = REPOSITORY / "guardrails" / "pii_entities" / "1"
DATA = Path(__file__).resolve().parent / "data" / "pii"
GOLDEN = REPOSITORY.parent / "tests" / "model_repository" / "golden" / "pii_entities.json"
SURE = 0.65
PHONE_REGIONS = ("US", "GB")
TIMEOUT_S = 600.0
FEWEST = 3

# An address may be named by its place alone, and the other way round: what hides one hides the other.
_SAME = {"LOCATION": "ADDRESS"}
_PARAMETERS = ("labels", "threshold", "intra_op_threads", "window_tokens", "stride_tokens", "max_windows")


@dataclass(frozen=True)
class PiiText:
    """``spans`` are (start, end, entity), in characters; ``kind`` names the part of the set."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    kind: str


@dataclass(frozen=True)
class Labelled:
    """A span as the model gives it."""

    label: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class _Answer:
    output_tensors: Sequence[Any] = ()
    error: Exception | None = None


@dataclass(frozen=True)
class _Tensor:
    name: str
    values: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.values


class ServedEntities:
    """The token classifier outside Triton: its ``model.py``, one text per request."""

    def __init__(self, folder: Path = ENTITIES_MODEL) -> None:
        given = {name: {"string_value": read_parameter(folder, name)} for name in _PARAMETERS}
        self.labels = tuple(given["labels"]["string_value"].split(","))
        self.threshold = float(given["threshold"]["string_value"])
        self._model = _load(folder / "model.py").TritonPythonModel()
        self._model.initialize({"model_config": json.dumps({"parameters": given})})

    async def find(self, texts: Sequence[str], *, timeout_s: float) -> list[list[Labelled]]:
        """For each text its labelled spans that reach the threshold."""
        return [[span for span in self.judge(text) if span.score >= self.threshold] for text in texts]

    def judge(self, text: str) -> list[Labelled]:
        """All labelled spans of a text."""
        raw = np.array([[text.encode()]], dtype=object)
        [answer] = self._model.execute([{"TEXT": _Tensor("TEXT", raw)}])
        if answer.error is not None:
            raise answer.error
        spans, scores = (tensor.values[0] for tensor in answer.output_tensors)
        return [
            Labelled(self.labels[label], int(start), int(end), float(score))
            for (start, end, label), score in zip(spans, scores, strict=True)
            if label >= 0
        ]


class _NoPatterns(Redactor):
    """Only what the model says."""

    def find(self, text: str) -> list[Finding]:
        return []


def load_pii_texts(part: str) -> list[PiiText]:
    """The texts of ``development`` or ``heldout``."""
    rows = [json.loads(line) for line in (DATA / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [PiiText(row["text"], tuple((s, e, name) for s, e, name in row["spans"]), row["kind"]) for row in rows]


def find_all(redactor: Redactor, texts: Sequence[PiiText]) -> list[list[Finding]]:
    return asyncio.run(redactor.find_all([one.text for one in texts], timeout_s=TIMEOUT_S))


def pii_lines(texts: Sequence[PiiText], model: ServedEntities) -> list[Line]:
    """Recall, precision and false alarms of patterns, model and both; recall of both by entity."""
    policy = DetectionPolicy(phone_regions=PHONE_REGIONS)
    kinds = {
        "patterns alone": find_all(Redactor(policy), texts),
        "model alone": find_all(_NoPatterns(policy, model), texts),
        "both": find_all(Redactor(policy, model), texts),
    }
    lines = [line for name, found in kinds.items() for line in _overall(name, texts, found)]
    return [*lines, *_by_entity(texts, kinds["both"]), *_alarms(texts, kinds["both"])]


def pii_section(folder: Path = ENTITIES_MODEL) -> str:
    """The section of ``benchmarks/quality.md``."""
    model = ServedEntities(folder)
    heldout, development = load_pii_texts("heldout"), load_pii_texts("development")
    about = (
        f"{_described(heldout)} that patterns, context words and rules were not chosen with. Hidden: every letter and "
        "digit is covered by a finding of any kind. Recall: by one of the right kind. A finding is right when it "
        f'touches personal data. Lines that begin with "development" are {_described(development)} that they were '
        "chosen with."
    )
    chosen_with = [replace(line, measure=f"development, {line.measure}") for line in pii_lines(development, model)]
    return section("Personal data", about, [*pii_lines(heldout, model), *chosen_with])


def _described(texts: Sequence[PiiText]) -> str:
    return (
        f"{len(texts)} hand-written texts with {sum(len(one.spans) for one in texts)} pieces of invented personal data"
    )


def misses(texts: Sequence[PiiText], found: Sequence[Sequence[Finding]]) -> Iterator[str]:
    """What was not hidden, and what was found for nothing, in words."""
    for one, findings in zip(texts, found, strict=True):
        wrong = [finding for finding in findings if not _touches(finding, one)]
        missed = [span for span in one.spans if not _covered(span, findings, one.text)]
        if wrong or missed:
            named = [(one.text[start:end], entity) for start, end, entity in missed]
            yield f"{one.text!r}\n    missed {named}, wrong {[(each.text, each.entity, each.score) for each in wrong]}"


def write_golden(model: ServedEntities) -> None:
    """Write what is found into the golden file; cases with a word that is near to undecided are named and left out."""
    data = json.loads(GOLDEN.read_text(encoding="utf-8"))
    kept = []
    for one in data["cases"]:
        found = model.judge(one["text"])
        if any(span.score < SURE for span in found):
            print(f"left out: {one['text']!r}")
            continue
        one["found"] = [[span.label, one["text"][span.start : span.end]] for span in found]
        one["scores"] = [round(span.score, 3) for span in found]
        kept.append(one)
    GOLDEN.write_text(json.dumps({"cases": kept}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _overall(name: str, texts: Sequence[PiiText], found: Sequence[Sequence[Finding]]) -> Iterator[Line]:
    hidden, named = _recalls(texts, found)
    right = [_touches(finding, one) for one, findings in zip(texts, found, strict=True) for finding in findings]
    yield _line(f"{name}: hidden", hidden)
    yield _line(f"{name}: recall", named)
    yield _line(f"{name}: precision", right)


def _by_entity(texts: Sequence[PiiText], found: Sequence[Sequence[Finding]]) -> Iterator[Line]:
    entities = sorted({entity for one in texts for _, _, entity in one.spans})
    for entity in entities:
        hidden, _ = _recalls(texts, found, entity)
        if len(hidden) >= FEWEST:
            yield _line(f"both, hidden: {entity}", hidden)


def _alarms(texts: Sequence[PiiText], found: Sequence[Sequence[Finding]]) -> Iterator[Line]:
    kinds = dict.fromkeys(one.kind for one in texts if not one.spans)
    for kind in kinds:
        alarmed = [bool(findings) for one, findings in zip(texts, found, strict=True) if one.kind == kind]
        yield _line(f"both, false alarms: {kind.removeprefix('negatives: ')}", alarmed)


def _recalls(
    texts: Sequence[PiiText], found: Sequence[Sequence[Finding]], entity: str | None = None
) -> tuple[list[bool], list[bool]]:
    """For each piece of personal data, whether it is hidden, and whether it is hidden by its own kind."""
    hidden, named = [], []
    for one, findings in zip(texts, found, strict=True):
        for span in one.spans:
            if entity in (None, span[2]):
                same = [each for each in findings if _SAME.get(each.entity, each.entity) == _SAME.get(span[2], span[2])]
                hidden.append(_covered(span, findings, one.text))
                named.append(_covered(span, same, one.text))
    return hidden, named


def _covered(span: tuple[int, int, str], findings: Iterable[Finding], text: str) -> bool:
    """Whether every letter and digit of ``span`` is in a finding, but for a title such as Mrs."""
    covered = {place for finding in findings for place in range(finding.start, finding.end)}
    title = re.match(r"(?:Mr|Mrs|Ms|Dr|Frau|Herr)\b\.?(?: and Mrs\.)? ?|P\.O\. ", text[span[0] : span[1]])
    start = span[0] + (title.end() if title else 0)
    return all(place in covered for place in range(start, span[1]) if text[place].isalnum())


def _touches(finding: Finding, one: PiiText) -> bool:
    return any(start < finding.end and finding.start < end for start, end, _ in one.spans)


def _line(name: str, outcomes: Sequence[bool]) -> Line:
    values = np.asarray(outcomes, dtype=float)
    means = np.random.default_rng(0).choice(values, (1000, len(values))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Line(name, len(values), float(values.mean()), float(low), float(high), "")


def _load(path: Path) -> ModuleType:
    """A ``model.py`` beside a stand-in for the module that Triton gives to it."""
    backend = ModuleType("triton_python_backend_utils")
    members: Mapping[str, Any] = {
        "Tensor": _Tensor,
        "InferenceResponse": _Answer,
        "TritonError": type("TritonError", (Exception,), {"INVALID_ARG": 3}),
        "get_input_tensor_by_name": lambda request, name: request[name],
    }
    backend.__dict__.update(members)
    spec = importlib.util.spec_from_file_location("served_pii_entities", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["triton_python_backend_utils"] = backend
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["triton_python_backend_utils"]
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ENTITIES_MODEL, help="folder with model.py and model.onnx")
    parser.add_argument("--misses", action="store_true", help="also print what was not hidden and what was wrong")
    parser.add_argument("--golden", action="store_true", help="write what the model finds now into the golden file")
    options = parser.parse_args()
    if options.golden:
        write_golden(ServedEntities(options.model))
        return
    print(pii_section(options.model))
    if options.misses:
        texts = [*load_pii_texts("development"), *load_pii_texts("heldout")]
        redactor = Redactor(DetectionPolicy(phone_regions=PHONE_REGIONS), ServedEntities(options.model))
        print("\n".join(misses(texts, find_all(redactor, texts))))


if __name__ == "__main__":
    main()
