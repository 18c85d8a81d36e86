"""The seam between a conversation and the arguments of a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from router.context import Turn
from router.functions.targets import Arguments, Target


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A call that waits for ``parameter``: the newest user turn is, as a rule, the answer to the question for it.

    ``arguments`` are those that are known so far, in the types of their parameters.
    """

    target: str
    arguments: Arguments
    parameter: str


@dataclass(frozen=True, slots=True)
class ExtractedCall:
    """One call that the newest user turn asks for.

    ``arguments`` are what was found, defaults left out; what was not found has no key. They need not be valid: whoever
    calls checks them. ``uncertain`` names those that may be wrong or that may have been overlooked; ``confident`` is
    false when the call as a whole is a guess.
    """

    target: str
    arguments: Arguments
    confident: bool = True
    uncertain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found, calls in the order in which they are to be made. None: the turn asks for none of the targets."""

    calls: tuple[ExtractedCall, ...] = ()


class Extractor(Protocol):
    """Finds out with which arguments targets are to be called."""

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """The calls for the newest user turn of ``conversation`` (newest last), among the chosen ``targets``.

        Earlier turns say what the newest one leaves out. ``pending`` is a call that the newest turn may complete; its
        target is among ``targets``. Raises ``GatewayError`` when it cannot be found out within ``timeout_s``.
        """


class NoExtractor:
    """For where there are no targets: it finds nothing."""

    async def extract(
        self, targets: Sequence[Target], conversation: Sequence[Turn], pending: PendingCall | None, *, timeout_s: float
    ) -> Extraction:
        """Nothing."""
        return Extraction()
