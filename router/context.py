"""What travels with one request: its identity and deadline, what was decided about it, what went wrong."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from router.dialects.canonical import DialectName, JsonObject, Usage
from router.telemetry.metrics import GuardOutcome
from router.telemetry.tracing import NOT_TRACED, Span

RouteReason = Literal["only_route", "orchestrator", "no_match", "degraded", "guard"]


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """One choice that the orchestrator has: an agent, a model preference or a prompt target."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as the orchestrator and the guards see it: plain text, no parts."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Who answers, in which order, and why.

    ``stages`` is in running order; routes within one stage do not depend on each other. ``scores`` maps every route to
    the probability that it is needed (empty when the orchestrator was not asked). ``model`` and ``model_version`` name
    what decided, ``None`` when no model did.
    """

    stages: tuple[tuple[str, ...], ...]
    reason: RouteReason
    scores: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    model_version: str | None = None
    latency_s: float = 0.0

    @property
    def routes(self) -> tuple[str, ...]:
        """All chosen routes in running order."""
        return tuple(name for stage in self.stages for name in stage)


@dataclass(frozen=True, slots=True)
class LocalReply:
    """An answer of the gateway's own, instead of an upstream's: a guard's refusal. Not an error."""

    message: str
    guard: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guard said about a request or its answer.

    ``label`` and ``score`` belong to the worst text, where one was judged. ``unseen`` names the kinds of content that
    the guard could not read.
    """

    guard: str
    direction: Literal["input", "output"]
    outcome: GuardOutcome
    label: str | None = None
    score: float = 0.0
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose request it is: the name of the API key that it came with."""

    name: str


@dataclass(slots=True)
class Attempt:
    """One try at one upstream, times on the monotonic clock.

    ``outcome`` is ``None`` while it runs, ``"ok"``, ``"cancelled"`` (nobody waited any longer) or the code of its
    error; ``status`` the upstream's own, where it answered. ``first_byte_s`` and ``duration_s`` count from ``started``.
    ``provider`` is the provider's part of ``provider/model``, ``None`` where the upstream is no model provider.
    """

    upstream: str
    model: str
    started: float
    outcome: str | None = None
    status: int | None = None
    first_byte_s: float | None = None
    duration_s: float | None = None
    provider: str | None = None

    @property
    def full_model(self) -> str:
        """``provider/model``: the name under which prices are known."""
        return self.model if self.provider is None else f"{self.provider}/{self.model}"


# What may look at an answer and change it on its way: batches of canonical chunks in, batches out.
AnswerTransform: TypeAlias = Callable[[AsyncGenerator[list[JsonObject], None]], AsyncGenerator[list[JsonObject], None]]


@dataclass(slots=True)
class RequestContext:
    """One request from acceptance to the last byte.

    ``deadline`` is on the monotonic clock. ``dialect`` is that of the path, in which errors are told too. ``degraded``
    names the parts that were gone while it was served; the listener shows them in ``x-trident-degraded``. ``attempts``
    has every try at an upstream, the newest last. ``usage`` is what the answer counted, once it is there;
    ``counts_usage`` says that somebody relies on it, ``hides_usage`` that the client has not asked to see it in its
    stream. ``streamed_events`` is how many events of it went to the client.
    ``credential_header`` names the header with the key that ``identity`` came from, which is for the gateway alone.
    ``answer_transform`` sees the answer before the client does. ``filter_state`` is what filters keep between a request
    and its answer, under keys that begin with their own name. ``upstream_headers`` go to whoever answers beside those
    of the client that are forwarded; ``None`` keeps one from being forwarded. ``verdicts`` are those of guards, in the
    order in which they were given; a guard on a streamed answer has one for the whole of it. ``response_headers`` are
    sent with whatever the answer is, errors included. ``on_finished`` is called once each, in order, when the last byte
    is out or the request was given up. ``path_parameters`` are the parts of the path that the path's template names,
    ``query`` what stood behind it. ``span`` is the one under which whatever is done next happens: the request's own, or
    that of the upstream that is being asked. ``conversation`` has the canonical messages as the client sent them,
    ``error_code`` what the client was told went wrong. ``may_be_kept`` is whether the client lets what it says be kept,
    where that is no longer in the body because the gateway has seen to it. ``is_told_of``: the telemetry process is
    told of it. ``admit_stand_in`` is asked before a model is tried that the request was not admitted for, under
    all of its full names; it raises what admitting raises.
    """

    request_id: str
    listener: str
    path: str
    headers: Mapping[str, str]
    deadline: float
    dialect: DialectName = "openai_chat"
    identity: Identity | None = None
    credential_header: str | None = None
    response_headers: dict[str, str] = field(default_factory=dict)
    decision: RouteDecision | None = None
    degraded: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    usage: Usage | None = None
    counts_usage: bool = False
    hides_usage: bool = False
    streamed_events: int = 0
    answer_transform: AnswerTransform | None = None
    filter_state: dict[Hashable, Any] = field(default_factory=dict)
    upstream_headers: dict[str, str | None] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    on_finished: list[Callable[[RequestContext], None]] = field(default_factory=list)
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    span: Span = NOT_TRACED
    conversation: Sequence[Mapping[str, Any]] = ()
    may_be_kept: bool | None = None
    error_code: str | None = None
    is_told_of: bool = True
    admit_stand_in: Callable[[Sequence[str]], Awaitable[None]] | None = None

    def remaining_s(self) -> float:
        """Seconds left until the deadline, never negative."""
        return max(0.0, self.deadline - time.monotonic())
