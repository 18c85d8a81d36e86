"""What a filter is: the contract, and the values that it may answer with.

A request meets the input filters in the order of the configuration, its answer the output filters in reverse. Filters
see the canonical form (``router.dialects.canonical``), whatever the client and the upstream speak. A filter is shared
by all requests; what it has to remember between a request and its answer belongs into ``context.filter_state``, under
a key that begins with its name. Time limits, ``on_error``, ``when`` and ``sample`` are not its business (``policy``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from router.context import RequestContext
from router.dialects.canonical import ChatRequest, JsonObject, completion


@dataclass(frozen=True, slots=True)
class Rejection:
    """The request goes nowhere; the client gets ``status`` (4xx) and reads ``message``."""

    message: str
    status: int = 400

    def __post_init__(self) -> None:
        if not 400 <= self.status < 500:
            raise ValueError(f"A rejection has a status from 400 to 499, not {self.status}.")


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """The filter answers itself, with a whole canonical completion; nobody else is asked."""

    completion: JsonObject

    @classmethod
    def saying(cls, text: str, request: ChatRequest) -> LocalAnswer:
        """An ordinary answer to ``request`` with this text."""
        return cls(completion({"content": text}, model=request.model or ""))


@dataclass(frozen=True, slots=True)
class Blocked:
    """The answer ends here: the client reads ``message``, and the finish reason is ``content_filter``."""

    message: str


RequestOutcome: TypeAlias = ChatRequest | Rejection | LocalAnswer
AnswerOutcome: TypeAlias = list[JsonObject] | Blocked


class AnswerFilter(Protocol):
    """Looks at one answer, chunk by chunk; made anew for every try at an upstream."""

    async def feed(self, chunks: list[JsonObject]) -> AnswerOutcome:
        """What may be passed on now: these chunks or others, some held back, or none at all.

        ``chunks`` belong to the filter, which may change them. A whole answer comes in one call. After ``Blocked``
        neither this nor ``finish`` is called again.
        """

    async def finish(self) -> AnswerOutcome:
        """The end of the answer: what was held back. Who may still block here holds the ``finish_reason`` back."""

    def held(self) -> list[JsonObject]:
        """Everything that was fed and not passed on, unchanged.

        Asked for after ``feed`` or ``finish`` failed or took too long, where the filter's ``on_error`` is ``allow``.
        """


class Filter(Protocol):
    """One filter, for all requests of the chains that name it."""

    @property
    def name(self) -> str:
        """Its ``id`` in the configuration."""

    async def on_request(self, request: ChatRequest, context: RequestContext) -> RequestOutcome:
        """The request as it may go on (``request`` itself where nothing changes), or why it may not.

        Whatever is raised is a failure of the filter.
        """

    def answer_filter(self, request: ChatRequest, context: RequestContext) -> AnswerFilter | None:
        """Who looks at one answer to ``request``; ``None`` where this filter does not."""


class Closable(Protocol):
    """A filter that has something to let go of when the gateway stops."""

    async def close(self) -> None: ...
