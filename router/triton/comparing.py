"""Whether two versions of a model say the same about one input (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from router.triton.metadata import ModelConfig
from router.triton.tensors import ContractViolation, InferResult


@dataclass(frozen=True, slots=True)
class Judge:
    """What the configuration of a version says about its scores: from where they count as a yes."""

    threshold: float
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, config: ModelConfig) -> Judge:
        """From the configuration of a version."""
        return cls(config.threshold, config.labels, tuple(config.thresholds.values()))

    def decisions(self, result: InferResult) -> object:
        """What an answer decides, in a form that can be compared with another version's; ``None`` where it does not.

        Orchestrators: which routes are needed. Classifiers: which labels each text carries, by name. Token
        classifiers: what was found where. Raises ``ContractViolation`` for an answer that breaks its contract.
        """
        if "SCORES" not in result.outputs:
            return None
        if "SPANS" in result.outputs:
            return result.tensor("SPANS").ints()
        scores = result.tensor("SCORES").floats()
        if "ORDER" in result.outputs or not self.labels:
            return tuple(score >= self.threshold for score in scores)
        width = len(self.labels)
        if len(scores) % width:
            raise ContractViolation(f"SCORES: {len(scores)} numbers for {width} labels")
        rows = [scores[start : start + width] for start in range(0, len(scores), width)]
        return [
            {label for label, limit, score in zip(self.labels, self.thresholds, row, strict=True) if score >= limit}
            for row in rows
        ]


def agree(ours: Judge, our_answer: InferResult, theirs: Judge, their_answer: InferResult) -> bool | None:
    """Whether both decide the same; ``None`` where answers of this kind decide nothing.

    Raises ``ContractViolation`` when the second one breaks its contract.
    """
    decided = ours.decisions(our_answer)
    if decided is None:
        return None
    return decided == theirs.decisions(their_answer)
