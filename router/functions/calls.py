"""Making the calls of a plan, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from router.context import RequestContext
from router.errors import GatewayError, UpstreamStatus
from router.functions.http_call import ApiAnswer, ApiCall
from router.functions.planning import Plan, PlannedCall
from router.functions.rendering import content_of, explanation_of, rendered
from router.functions.targets import JsonValue, Target
from router.telemetry import semconv
from router.telemetry.tracing import AttributeValue, Span

logger = logging.getLogger(__name__)

# What these say may quote the credentials of the gateway.
_ABOUT_CREDENTIALS = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}
)
_SHORTEST_CREDENTIAL = 8
_ERROR_TARGET = "error_target"


@dataclass(frozen=True, slots=True)
class CallResult:
    """What became of a call: a value, or the error that clients may read.

    ``failed`` holds of every error, and of a value that the endpoint for errors has answered with.
    """

    call: PlannedCall
    value: JsonValue = None
    error: GatewayError | None = None
    failed: bool = False

    @property
    def text(self) -> str:
        """The result as a person reads it."""
        return rendered(self.value) if self.error is None else self.error.message


class FunctionCalls:
    """The APIs of the targets, by the name of the target. ``on_failure`` is told about calls that fail."""

    def __init__(self, apis: Mapping[str, ApiCall], on_failure: ApiCall | None = None) -> None:
        self._apis = apis
        self._on_failure = on_failure

    async def run(self, plan: Plan, context: RequestContext) -> Sequence[CallResult]:
        """The results, in the order of the calls: at the same time where that is safe, else one after the other.

        In a row, no call is made after one that failed. Raises the first error when nothing succeeded.
        """
        if plan.parallel and len(plan.calls) > 1:
            results = await self._at_once(plan.calls, context)
        else:
            results = []
            for call in plan.calls:
                results.append(await self.make(call, context))
                if results[-1].failed:
                    break
        failed = [result.error for result in results if result.error is not None]
        if failed and len(failed) == len(results):
            raise failed[0]
        return results

    async def make(self, call: PlannedCall, context: RequestContext) -> CallResult:
        """One call; never raises ``GatewayError``. Where it fails, the endpoint for errors may have the answer."""
        api = self._apis.get(call.target.name)
        if api is None:
            return CallResult(call)
        try:
            with _span(call.target.name, context) as span:
                answer = await api.call(call.arguments, _within(span, context))
                span.set(semconv.HTTP_STATUS, answer.status)
                if not answer.ok:
                    raise _failure(call.target, answer)
                return CallResult(call, content_of(answer, call.target.name))
        except GatewayError as exc:
            logger.warning(
                "prompt target failed",
                extra={"request_id": context.request_id, "target": call.target.name, "code": exc.code},
            )
            return await self._excused(call, exc, context)

    async def _excused(self, call: PlannedCall, error: GatewayError, context: RequestContext) -> CallResult:
        if self._on_failure is None:
            return CallResult(call, error=error, failed=True)
        report = {
            "target": call.target.name,
            "arguments": dict(call.arguments),
            "error": {"status": error.status, "code": error.code, "message": error.message},
        }
        try:
            with _span(_ERROR_TARGET, context) as span:
                answer = await self._on_failure.call(report, _within(span, context))
                span.set(semconv.HTTP_STATUS, answer.status)
                excuse = content_of(answer, _ERROR_TARGET) if answer.ok else None
        except GatewayError:
            excuse = None  # the first error is the one that matters
        if excuse in (None, "", {}):
            return CallResult(call, error=error, failed=True)
        return CallResult(call, excuse, failed=True)

    async def _at_once(self, calls: Sequence[PlannedCall], context: RequestContext) -> list[CallResult]:
        tasks = [asyncio.ensure_future(self.make(call, context)) for call in calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()


def _span(name: str, context: RequestContext) -> Span:
    """A new span for the call of ``name``; it is ended by leaving its block."""
    attributes: dict[str, AttributeValue] = {semconv.OPERATION: semconv.EXECUTE_TOOL, semconv.TOOL_NAME: name}
    return context.span.child(f"{semconv.EXECUTE_TOOL} {name}", "internal", attributes)


def _within(span: Span, context: RequestContext) -> RequestContext:
    """``context`` for what happens in ``span``; calls may be made at once."""
    own = copy.copy(context)
    own.span = span
    return own


def _failure(target: Target, answer: ApiAnswer) -> UpstreamStatus:
    said = None if answer.status in _ABOUT_CREDENTIALS else explanation_of(answer)
    if said is not None and _repeats_credentials(said, target):
        said = None
    message = f"The API of '{target.name}' answered with status {answer.status}"
    status = answer.status if HTTPStatus.BAD_REQUEST <= answer.status <= 599 else int(HTTPStatus.BAD_GATEWAY)
    return UpstreamStatus(
        f"{message}: {said}" if said else f"{message}.",
        status=status,
        code="api_error",
        type_="invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "upstream_error",
    )


def _repeats_credentials(said: str, target: Target) -> bool:
    """Whether a part of the headers that the operator has set for the endpoint stands in what its API says."""
    headers = {} if target.endpoint is None else target.endpoint.headers
    return any(
        len(part) >= _SHORTEST_CREDENTIAL and part in said for value in headers.values() for part in value.split()
    )
