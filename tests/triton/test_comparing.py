"""Whether two versions decide the same."""

from __future__ import annotations

import pytest

from router.triton.comparing import Judge, agree
from router.triton.metadata import ModelConfig
from router.triton.tensors import ContractViolation, InferResult, Tensor


def judge(**parameters: str) -> Judge:
    return Judge.of(ModelConfig("model", "python", 8, (), (), parameters))


def scores(*values: float, rows: int = 1, order: bool = False) -> InferResult:
    outputs = {"SCORES": Tensor.from_floats("SCORES", values, (rows, len(values) // rows))}
    if order:
        outputs["ORDER"] = Tensor.from_ints("ORDER", range(len(values)), (1, len(values)))
    return InferResult("model", "1", outputs)


def test_orchestrators_agree_on_the_routes_that_each_needs_by_its_own_threshold() -> None:
    old, new = judge(threshold="0.5"), judge(threshold="0.02")
    assert agree(old, scores(0.9, 0.1, order=True), new, scores(0.05, 0.01, order=True)) is True
    assert agree(old, scores(0.9, 0.1, order=True), new, scores(0.05, 0.03, order=True)) is False


def test_classifiers_agree_on_labels_by_name_whatever_their_order_and_for_every_text() -> None:
    old, new = judge(labels="benign,attack"), judge(labels="attack,benign")
    assert agree(old, scores(0.9, 0.1, 0.2, 0.8, rows=2), new, scores(0.3, 0.7, 0.6, 0.4, rows=2)) is True
    assert agree(old, scores(0.9, 0.1, 0.2, 0.8, rows=2), new, scores(0.3, 0.7, 0.4, 0.6, rows=2)) is False


def test_each_label_has_its_own_threshold() -> None:
    ours = judge(labels="hate,illicit", thresholds="0.2,0.8")
    assert agree(ours, scores(0.3, 0.7), judge(labels="hate,illicit"), scores(0.6, 0.1)) is True


def test_token_classifiers_agree_on_what_they_find_where() -> None:
    def spans(*values: int) -> InferResult:
        found = Tensor.from_ints("SPANS", values, (1, len(values) // 3, 3))
        return InferResult("model", "1", {**scores(0.9).outputs, "SPANS": found})

    plain = judge(labels="person")
    assert agree(plain, spans(0, 4, 0), plain, spans(0, 4, 0)) is True
    assert agree(plain, spans(0, 4, 0), plain, spans(0, 5, 0)) is False


def test_answers_that_decide_nothing_are_not_compared() -> None:
    vector = InferResult("model", "1", {"EMBEDDING": Tensor.from_floats("EMBEDDING", [1.0], (1, 1))})
    assert agree(judge(), vector, judge(), vector) is None


def test_an_answer_that_does_not_fit_its_labels_breaks_the_contract() -> None:
    ours = judge(labels="benign,attack")
    with pytest.raises(ContractViolation):
        agree(ours, scores(0.9, 0.1), ours, scores(0.9, 0.1, 0.5))
