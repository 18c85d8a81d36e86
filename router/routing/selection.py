"""In which order the models of a preference are tried: as written, the cheapest first, or the fastest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from typing_extensions import assert_never

Prefer: TypeAlias = Literal["cheapest", "fastest", "none"]


class ModelSelection:
    """Orders names of models by what is known of them now.

    ``full_name`` gives ``provider/model`` for a name; ``price`` and ``latency`` give a number for that, smaller is
    better, and ``None`` where nothing is known.
    """

    def __init__(
        self,
        full_name: Callable[[str], str],
        *,
        price: Callable[[str], float | None],
        latency: Callable[[str], float | None],
    ) -> None:
        self._full_name = full_name
        self._price = price
        self._latency = latency

    def order(self, models: Sequence[str], prefer: Prefer) -> tuple[str, ...]:
        """``models``, the best first; those of which nothing is known come last, and equals stay as they were."""
        if prefer == "none":
            return tuple(models)
        if prefer == "cheapest":
            known = self._price
        elif prefer == "fastest":
            known = self._latency
        else:
            assert_never(prefer)
        figures = {model: known(self._full_name(model)) for model in models}
        return tuple(sorted(models, key=lambda model: _or_infinite(figures[model])))


def _or_infinite(figure: float | None) -> float:
    return float("inf") if figure is None else figure
