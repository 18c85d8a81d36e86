"""Whether a failed try calls for another one, after which pause, and how many of them are affordable. Pure.

error of a try                                                          what helps     counts against the member
cannot connect, breaks off, no first byte in time, nonsense, 408, 5xx   ``again``      yes
429                                                                     ``again``      without ``Retry-After``
401                                                                     ``elsewhere``  yes: its key is wrong
402, 403                                                                ``elsewhere``  no: a request can cause them
429, when the credentials were the client's own                         ``elsewhere``  no
401, 402, 403, when the credentials were the client's own               ``nothing``    no
the gateway's own, before anything was sent                             ``elsewhere``  no
the context window is too small                                         ``larger``     no
any other 4xx                                                           ``nothing``    no
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, NamedTuple, TypeAlias

from router.errors import (
    ContentBlocked,
    FilterRejected,
    FilterUnavailable,
    GatewayError,
    GuardrailUnavailable,
    UpstreamError,
    UpstreamStatus,
)
from router.upstream.sliding_sum import SlidingSum

Remedy: TypeAlias = Literal["again", "elsewhere", "larger", "nothing"]

_BUDGET_WINDOW_S = 10.0
_ALWAYS_PER_S = 2.0
_ROUNDING = 1e-6
_MAX_EXPONENT = 30

_REFUSED_ACCOUNT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN})
_OVERFLOW_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# From what OpenAI, vLLM and their like, xAI, Anthropic, Bedrock, Gemini, Mistral, Groq and llama.cpp say with a 400.
_OVERFLOW_WORDINGS = (
    "maximum context length",
    "maximum prompt length",
    "exceeds the context window",
    "prompt is too long",
    "exceed context limit",
    "input is too long",
    "exceeds the maximum number of tokens",
    "reduce the length of the messages",
    "exceeds the available context size",
)


class Diagnosis(NamedTuple):
    """What a failed try means.

    ``remedy``: another try of the same or of another member (``again``), of another member only (``elsewhere``), of
    one with a larger context window (``larger``), or ``nothing``. ``breaks``: it counts against the member.
    ``aside_s``: how long the member asked to be left alone.
    """

    remedy: Remedy
    breaks: bool = False
    aside_s: float | None = None


# What the gateway's own filters and guards say about an answer; another upstream's would have to pass them too.
_SAID_HERE = (FilterUnavailable, FilterRejected, GuardrailUnavailable, ContentBlocked)


def diagnose(error: GatewayError, *, own_credentials: bool = True) -> Diagnosis:
    """What ``error``, of a try at a member, means.

    Without ``own_credentials`` the request carried those of the client: that they are refused is the client's to know
    and not sent around, and that they are rate limited says nothing about requests of others.
    """
    if not isinstance(error, UpstreamError):
        return Diagnosis("nothing" if isinstance(error, _SAID_HERE) else "elsewhere")
    if is_context_overflow(error):
        return Diagnosis("larger")
    if error.status in _REFUSED_ACCOUNT:
        return Diagnosis("elsewhere" if own_credentials else "nothing", breaks=own_credentials and error.status == 401)
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _rate_limited(error, own_credentials)
    if not error.retryable:
        return Diagnosis("nothing")
    return Diagnosis("again", breaks=True, aside_s=error.retry_after_s)


def _rate_limited(error: UpstreamError, own_credentials: bool) -> Diagnosis:
    if not own_credentials:
        return Diagnosis("elsewhere")
    return Diagnosis("again", breaks=error.retry_after_s is None, aside_s=error.retry_after_s)


def is_context_overflow(error: GatewayError) -> bool:
    """Whether a provider says that the conversation is too long for the model."""
    if not isinstance(error, UpstreamStatus):
        return False
    if error.code in _OVERFLOW_CODES or error.type in _OVERFLOW_CODES:
        return True
    if error.status != HTTPStatus.BAD_REQUEST:
        return False
    message = error.message.lower()
    return any(wording in message for wording in _OVERFLOW_WORDINGS)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses with full jitter: evenly between nothing and ``base_s``, doubled with every round up to ``max_s``."""

    base_s: float = 0.1
    max_s: float = 5.0

    def pause_s(self, rounds: int, random: Callable[[], float]) -> float:
        """The pause after ``rounds`` (from 0) earlier ones; ``random`` gives numbers from 0 to 1."""
        return random() * min(self.max_s, self.base_s * 2.0 ** min(rounds, _MAX_EXPONENT))


class RetryBudget:
    """Keeps further tries from multiplying the load on providers that are failing: a bucket of tokens.

    Every request puts ``ratio`` tokens in, every further try takes one; what was put in is gone after 10 seconds.
    Two a second are there in any case.
    """

    __slots__ = ("_balance", "_ratio")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._balance = SlidingSum(_BUDGET_WINDOW_S)

    def deposit(self, now: float) -> None:
        """A request arrived."""
        self._balance.add(self._ratio, now)

    def withdraw(self, now: float) -> bool:
        """Take the token of one further try; ``False`` when there is none."""
        if self._balance.total(now) + _ALWAYS_PER_S * _BUDGET_WINDOW_S < 1.0 - _ROUNDING:
            return False
        self._balance.add(-1.0, now)
        return True
