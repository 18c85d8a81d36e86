"""What every call gets, whatever its method: an id, a deadline, a known caller, a proper status, one access line."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, cast

import grpc.aio

from router.aio import timeout
from router.context import RequestContext
from router.errors import GatewayError, RateLimited, UpstreamTimeout
from router.services.statuses import DETAILS_KEY, code_of, details_of
from router.telemetry.access_log import AccessLog
from router.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

# The name under which calls are counted and logged, as those of a listener are under the listener's.
LISTENER = "grpc"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_CLIENT_CLOSED_REQUEST = 499

Request = TypeVar("Request")
Response = TypeVar("Response")
# Raises Unauthorized or PermissionDenied, or says in the context whose request it is.
Authenticate: TypeAlias = Callable[[RequestContext], None]
ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class Metadata(Mapping[str, str]):
    """The text metadata of a call, found by name in any case, as headers are."""

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._values = pairs

    @classmethod
    def of(cls, context: ServicerContext) -> Metadata:
        """What came with a call; of a name that came twice, the first value."""
        values: dict[str, str] = {}
        for name, value in context.invocation_metadata() or ():
            if isinstance(value, str):
                values.setdefault(name, value)
        return cls(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long calls may take, unless the client's deadline is sooner, and how many there may be at a time.

    ``timeout_s`` is for calls with one answer, ``stream_timeout_s`` for streams; ``max_concurrent`` counts both.
    """

    timeout_s: float = 30.0
    stream_timeout_s: float = 3600.0
    max_concurrent: int = 1000


class Calls:
    """Runs the methods of services. Without ``authenticate``, everybody is served."""

    def __init__(
        self,
        limits: CallLimits,
        metrics: Metrics,
        access_log: AccessLog,
        authenticate: Authenticate | None = None,
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._access_log = access_log
        self._authenticate = authenticate
        self._running = 0

    async def unary(
        self,
        path: str,
        method: Callable[[Request, RequestContext], Awaitable[Response]],
        request: Request,
        context: ServicerContext,
        *,
        listener: str = "",
    ) -> Response:
        """The answer of ``method``, or its failure as a status. ``listener`` is the one that is asked about, if any."""
        async with (
            self._serving(path, context, self._limits.timeout_s, listener or LISTENER) as call,
            timeout(call.remaining_s()),
        ):
            return await method(request, call)
        raise AssertionError("a call that failed has been aborted")

    async def stream(
        self,
        path: str,
        method: Callable[[AsyncIterator[Request], RequestContext], AsyncGenerator[Response, None]],
        requests: AsyncIterator[Request],
        context: ServicerContext,
    ) -> AsyncGenerator[Response, None]:
        """The answers of ``method``, which is closed when the client goes away."""
        async with (
            self._serving(path, context, self._limits.stream_timeout_s, LISTENER) as call,
            aclosing(method(requests, call)) as answers,
        ):
            while True:
                # Not around the loop: what is between two answers may run in another task.
                async with timeout(call.remaining_s()):
                    answer = await anext(answers, None)
                if answer is None:
                    return
                yield answer

    @asynccontextmanager
    async def _serving(
        self, path: str, context: ServicerContext, timeout_s: float, listener: str
    ) -> AsyncIterator[RequestContext]:
        started = time.monotonic()
        headers = Metadata.of(context)
        remaining = cast("float | None", context.time_remaining())  # the stubs do not know of calls without a deadline
        allowed_s = timeout_s if remaining is None else min(timeout_s, max(0.0, remaining))
        call = RequestContext(_request_id(headers), listener, path, headers, started + allowed_s)
        self._running += 1
        self._metrics.request_started(LISTENER)
        status = _CLIENT_CLOSED_REQUEST
        error: GatewayError | None = None
        try:
            try:
                self._admit(call)
                yield call
            except GatewayError as exc:
                error = exc
            except (asyncio.TimeoutError, TimeoutError):
                error = UpstreamTimeout("The call took longer than its deadline.")
            except Exception:
                logger.exception("call failed", extra={"request_id": call.request_id, "path": path})
                error = GatewayError("Something went wrong in the gateway; its log has the details.")
            status = 200 if error is None else error.status
            if error is None:
                context.set_trailing_metadata(_trailing(call))
            else:
                await _abort(context, call, error)
        finally:
            self._running -= 1
            finish(call)
            duration_s = time.monotonic() - started
            self._metrics.request_finished(LISTENER, status, path, duration_s)
            self._access_log.write(_access_entry(call, status, duration_s))

    def _admit(self, call: RequestContext) -> None:
        if self._running > self._limits.max_concurrent:
            raise RateLimited("Too many calls at the same time.", resource="requests", retry_after_s=1.0)
        if self._authenticate is not None:
            self._authenticate(call)


def finish(call: RequestContext) -> None:
    """Call everybody who wants to know that a request is over; one that fails keeps no other from being told."""
    for finished in call.on_finished:
        try:
            finished(call)
        except Exception:
            logger.exception("call not settled", extra={"request_id": call.request_id, "path": call.path})


async def _abort(context: ServicerContext, call: RequestContext, error: GatewayError) -> None:
    if error.status >= 500:
        cause = repr(error.__cause__ or error)
        logger.warning("call refused", extra={"request_id": call.request_id, "code": error.code, "cause": cause})
    details: tuple[str, str | bytes] = (DETAILS_KEY, details_of(error, call.request_id))
    await context.abort(code_of(error), error.message, (*_trailing(call), details))


def _request_id(headers: Mapping[str, str]) -> str:
    """The client's ``x-request-id`` where it is one that may stand in logs, else a new one."""
    given = headers.get("x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def _trailing(call: RequestContext) -> tuple[tuple[str, str], ...]:
    pairs = {name.lower(): value for name, value in call.response_headers.items()}
    if call.degraded:
        pairs["x-trident-degraded"] = ", ".join(call.degraded)
    return (("x-request-id", call.request_id), *pairs.items())


def _access_entry(call: RequestContext, status: int, duration_s: float) -> dict[str, object]:
    entry: dict[str, object] = {
        "request_id": call.request_id,
        "listener": LISTENER,
        "path": call.path,
        "status": status,
        "duration_ms": round(duration_s * 1000, 2),
    }
    if call.decision is not None:
        entry["route"] = call.decision.routes
        entry["reason"] = call.decision.reason
    if call.degraded:
        entry["degraded"] = call.degraded
    if call.identity is not None:
        entry["key"] = call.identity.name
    return entry
