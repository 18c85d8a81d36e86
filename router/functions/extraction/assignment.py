"""Which candidate each parameter gets, so that no part of a turn is used twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.functions.extraction.candidates import Candidate

_MOST_CANDIDATES = 6  # of a parameter that are considered
_MOST_STEPS = 4000
_CLOSE = 0.06


@dataclass(frozen=True, slots=True)
class Assigned:
    """A candidate and whether another one was about as good."""

    candidate: Candidate
    clear: bool = True


def assign(candidates: Mapping[str, Sequence[Candidate]], least: float) -> dict[str, Assigned]:
    """The candidates of at least ``least`` with the highest sum of scores that do not overlap.

    Searched depth first with a bound on the number of steps; then the best that was found counts, which is never worse
    than taking the best candidates one after the other.
    """
    names = sorted(candidates, key=lambda name: -max((each.score for each in candidates[name]), default=0.0))
    options = [_best(candidates[name], least) for name in names]
    search = _Search(options)
    search.visit(0, (), 0.0)
    chosen = dict(zip(names, search.best, strict=True)) if search.best else {}
    return {
        name: Assigned(each, _is_clear(each, candidates[name])) for name, each in chosen.items() if each is not None
    }


def _best(candidates: Sequence[Candidate], least: float) -> list[Candidate]:
    fit = [each for each in candidates if each.score >= least]
    return sorted(fit, key=lambda each: (-each.score, each.first - each.last, each.first))[:_MOST_CANDIDATES]


def _is_clear(chosen: Candidate, candidates: Sequence[Candidate]) -> bool:
    rivals = [each for each in candidates if each.value != chosen.value and not each.overlaps(chosen)]
    return all(each.score < chosen.score - _CLOSE for each in rivals)


class _Search:
    def __init__(self, options: Sequence[Sequence[Candidate]]) -> None:
        self._options = options
        rest = 0.0
        self._bounds = [0.0] * (len(options) + 1)
        for index in range(len(options) - 1, -1, -1):
            rest += options[index][0].score if options[index] else 0.0
            self._bounds[index] = rest
        self.best: tuple[Candidate | None, ...] = ()
        self._best_sum = -1.0
        self._steps = 0

    def visit(self, index: int, taken: tuple[Candidate | None, ...], total: float) -> None:
        self._steps += 1
        if total + self._bounds[index] <= self._best_sum or self._steps > _MOST_STEPS:
            return
        if index == len(self._options):
            self.best, self._best_sum = taken, total
            return
        for each in self._options[index]:
            if not any(other is not None and each.overlaps(other) for other in taken):
                self.visit(index + 1, (*taken, each), total + each.score)
        self.visit(index + 1, (*taken, None), total)
