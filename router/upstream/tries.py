"""One try at one member, and everything that learns from it: the request's attempts, the breaker, latency, metrics."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Callable
from http import HTTPStatus

from router.context import Attempt, RequestContext
from router.errors import GatewayError, UpstreamError, UpstreamStatus, UpstreamTimeout, UpstreamUnreachable
from router.telemetry import semconv
from router.telemetry.metrics import AttemptOutcome, Metrics
from router.telemetry.tracing import AttributeValue
from router.upstream.retry import Remedy, diagnose
from router.upstream.search import Choice
from router.upstream.span_attributes import usage_attributes

logger = logging.getLogger(__name__)

_MAX_CODE_CHARS = 64  # the code of an error may be a provider's own
_TELLING_WAIT_S = 1.0  # what is cut short by the request's deadline sooner says nothing about the member


class Try:
    """Begins when it is made, and ends with exactly one of ``succeeded``, ``failed`` and ``given_up``.

    A stream calls ``began`` at its first event. ``context`` is the request's, or its stand-in for this try; its span is
    that of the try until the end.
    """

    __slots__ = (
        "_attempt",
        "_clock",
        "_member",
        "_metrics",
        "_operation",
        "_parent",
        "_provider",
        "_ticket",
        "context",
    )

    def __init__(
        self,
        choice: Choice,
        context: RequestContext,
        clock: Callable[[], float],
        metrics: Metrics,
        *,
        stream: bool = False,
    ) -> None:
        now = clock()
        self._clock = clock
        self._metrics = metrics
        self._member = choice.member
        self._member.outstanding += 1
        self._ticket = self._member.breaker.enter(now)
        self._attempt = Attempt(self._member.name, choice.candidate.model, now, provider=self._member.provider)
        self.context = context
        context.attempts.append(self._attempt)
        self._provider = semconv.PROVIDER_NAMES.get(self._member.provider or "", self._member.provider or "")
        self._operation = semconv.OPERATIONS.get(context.path, semconv.CHAT)
        self._parent = context.span
        if self._parent.recording:
            attributes: dict[str, AttributeValue] = {
                semconv.OPERATION: self._operation,
                semconv.PROVIDER: self._provider,
                semconv.REQUEST_MODEL: choice.candidate.model,
                semconv.UPSTREAM: self._member.name,
                semconv.ATTEMPT: len(context.attempts),
            }
            if stream:
                attributes[semconv.REQUEST_STREAM] = True
            context.span = self._parent.child(f"{self._operation} {choice.candidate.model}", "client", attributes)

    def began(self) -> None:
        """The first event of a stream is here: the member works."""
        attempt, now = self._attempt, self._clock()
        attempt.status = 200
        attempt.first_byte_s = now - attempt.started
        self._member.breaker.succeeded(self._ticket, now)
        self._member.latency.stream_began(attempt.model, attempt.first_byte_s, now)

    def is_heard(self) -> None:
        """Of several tries at the same time, this is the one that the client hears: it counts as the newest."""
        attempts = self.context.attempts
        if attempts[-1] is self._attempt:
            return
        attempts.remove(self._attempt)
        attempts.append(self._attempt)

    def succeeded(self) -> None:
        """The answer is complete."""
        attempt, member = self._attempt, self._member
        attempt.status = 200
        now = self._end("ok", "ok")
        took_s = now - attempt.started
        if attempt.first_byte_s is None:
            member.breaker.succeeded(self._ticket, now)
            member.latency.answered_whole(attempt.model, took_s, now)
        if self.context.usage is not None:
            tokens = {"input": self.context.usage.input, "output": self.context.usage.output}
            self._metrics.tokens_counted(
                self._operation, member.name, provider=self._provider, model=attempt.model, tokens=tokens
            )
            generating_s = took_s - (attempt.first_byte_s or 0.0)
            member.latency.generated(attempt.model, self.context.usage.output, generating_s, now)

    def failed(self, error: GatewayError) -> Remedy:
        """It ended with ``error``; what may help, as long as nothing has gone out."""
        attempt, member = self._attempt, self._member
        if isinstance(error, UpstreamStatus):
            attempt.status = error.status
            if error.status == HTTPStatus.UNAUTHORIZED and member.own_credentials:
                logger.warning("provider refuses the credentials of the gateway", extra={"upstream": member.name})
        now = self._end(error.code[:_MAX_CODE_CHARS], _kind_of(error))
        diagnosis = diagnose(error, own_credentials=member.own_credentials)
        if diagnosis.aside_s is not None:
            member.set_aside(attempt.model, diagnosis.aside_s, now)
        if diagnosis.breaks:
            member.breaker.failed(self._ticket, now)
        elif attempt.first_byte_s is None:
            self._not_broken(error, now)
        return diagnosis.remedy

    def given_up(self, cause: BaseException) -> None:
        """It was cut short by ``cause``: the client or the deadline, a quicker try, or a defect of ours."""
        if not isinstance(cause, (CancelledError, GeneratorExit)):
            self._end("internal_error", "internal_error")
        elif self._outlasted():
            self._member.breaker.failed(self._ticket, self._end(UpstreamTimeout.code, "timeout"))
            return
        else:
            self._end("cancelled", "cancelled")
        if self._attempt.first_byte_s is None:
            self._member.breaker.abandoned(self._ticket)

    def overtaken(self, cause: BaseException) -> None:
        """A stream was ``given_up`` before its first event, perhaps for a quicker one."""
        self.given_up(cause)
        attempt = self._attempt
        waited_s = attempt.duration_s or 0.0
        self._member.latency.stream_given_up(attempt.model, waited_s, attempt.started + waited_s)

    def _not_broken(self, error: GatewayError, now: float) -> None:
        if isinstance(error, UpstreamStatus):
            self._member.breaker.succeeded(self._ticket, now)  # it works, and says what is wrong with the request
        else:
            self._member.breaker.abandoned(self._ticket)

    def _outlasted(self) -> bool:
        """Whether it was the request's own time that ran out while the member kept it waiting."""
        if self._attempt.first_byte_s is not None:
            return False
        now = self._clock()
        return now >= self.context.deadline and now - self._attempt.started >= _TELLING_WAIT_S

    def _end(self, outcome: str, kind: AttemptOutcome) -> float:
        now = self._clock()
        attempt = self._attempt
        attempt.outcome = outcome
        attempt.duration_s = now - attempt.started
        self._member.outstanding -= 1
        self._metrics.attempt_finished(self._member.name, kind)
        self._metrics.operation_finished(
            self._operation,
            self._member.name,
            provider=self._provider,
            model=attempt.model,
            error="" if kind == "ok" else kind,
            duration_s=attempt.duration_s,
            first_byte_s=attempt.first_byte_s,
        )
        if self._parent.recording:
            self._end_span(kind)
        return now

    def _end_span(self, kind: AttemptOutcome) -> None:
        attempt, span = self._attempt, self.context.span
        span.set(semconv.HTTP_STATUS, attempt.status)
        span.set(semconv.TIME_TO_FIRST_CHUNK, attempt.first_byte_s)
        if kind == "ok":
            if self.context.usage is not None:
                span.attributes.update(usage_attributes(self.context.usage))
        else:
            span.fail(kind)
            span.set(semconv.ATTEMPT_OUTCOME, attempt.outcome)
        span.end()
        self.context.span = self._parent


def _kind_of(error: GatewayError) -> AttemptOutcome:
    if not isinstance(error, UpstreamError):
        return "not_sent"
    if isinstance(error, UpstreamUnreachable):
        return "unreachable"
    if isinstance(error, UpstreamTimeout) or error.status == HTTPStatus.REQUEST_TIMEOUT:
        return "timeout"
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limited"
    if not isinstance(error, UpstreamStatus):
        return "protocol_error"
    return "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "client_error"
