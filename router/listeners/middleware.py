"""What every request gets, whatever its path: an id, a deadline, an answer in the right shape, one access line."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, TypeAlias

from router.aio import timeout
from router.context import RequestContext
from router.dialects.canonical import DialectName
from router.dialects.registry import CLIENT_DIALECTS
from router.errors import GatewayError, ModelNotFound, UpstreamTimeout
from router.handlers.reply import JSON, Reply
from router.listeners.recording import Outcome

logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[RequestContext, bytes], Awaitable[Reply]]


class Resource(NamedTuple):
    """What one path offers: a handler per method, and the dialect that its errors are told in."""

    methods: Mapping[str, Handler]
    dialect: DialectName = "openai_chat"


_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_MAX_ERROR_CHARS = 64  # an upstream's own code may be anything
CLIENT_CLOSED_REQUEST = 499  # nginx's number for it: no response was possible


def request_id(headers: Mapping[str, str]) -> str:
    """The client's ``x-request-id`` where it is one that may stand in logs and headers, else a new one."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return os.urandom(16).hex()


async def answer(handler: Handler, context: RequestContext, body: bytes) -> Reply:
    """Run ``handler`` until its answer begins; whatever it raises becomes a reply, and so does the end of its time.

    Unknown exceptions end here, and in ``finish``.
    """
    try:
        async with timeout(context.remaining_s()):
            return await handler(context, body)
    except GatewayError as exc:
        return error_reply(exc, context)
    except (asyncio.TimeoutError, TimeoutError):
        return error_reply(UpstreamTimeout("No answer began within the listener's timeout."), context)
    except Exception:
        logger.exception("request failed", extra={"request_id": context.request_id, "path": context.path})
        return error_reply(GatewayError("Something went wrong in the gateway; its log has the details."), context)


def error_reply(error: GatewayError, context: RequestContext) -> Reply:
    """``error`` in the dialect of the client."""
    if error.status >= 500:
        logger.warning(
            "request refused",
            extra={"request_id": context.request_id, "code": error.code, "cause": repr(error.__cause__ or error)},
        )
    context.error_code = error.code
    # With API keys, the list of models shows each of them no more than it is for.
    if isinstance(error, ModelNotFound) and error.known and context.identity is None:
        error = ModelNotFound(f"{error.message} Known: {error.known}.", param=error.param)
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if context.decision is not None:
        headers["x-trident-route"] = ", ".join(context.decision.routes)
    client = CLIENT_DIALECTS[context.dialect]
    return Reply(error.status, JSON, client.encode_error(error, context.request_id), headers)


def finish(context: RequestContext) -> None:
    """Call everybody who wants to know that the request is over; one that fails keeps no other from being told."""
    for finished in context.on_finished:
        try:
            finished(context)
        except Exception:
            logger.exception("request not settled", extra={"request_id": context.request_id, "path": context.path})


def access_entry(context: RequestContext, outcome: Outcome, cost_usd: float | None) -> dict[str, object]:
    """The fields of a request's access line; the status may be ``CLIENT_CLOSED_REQUEST``."""
    entry: dict[str, object] = {
        "request_id": context.request_id,
        "listener": context.listener,
        "path": context.path,
        "status": outcome.status,
        "duration_ms": round(outcome.duration_s * 1000, 2),
    }
    if context.error_code is not None:
        entry["error"] = context.error_code[:_MAX_ERROR_CHARS]
    if context.span.traceparent is not None:
        entry["trace_id"] = context.span.trace_id  # also of a trace that is not sampled here
    if context.decision is not None:
        entry["route"] = context.decision.routes
        entry["reason"] = context.decision.reason
    if context.degraded:
        entry["degraded"] = context.degraded
    if context.identity is not None:
        entry["key"] = context.identity.name
    if context.attempts:
        entry["upstream"] = context.attempts[-1].upstream
        entry["model"] = context.attempts[-1].model
        if len(context.attempts) > 1:
            entry["attempts"] = [f"{attempt.upstream}: {attempt.outcome}" for attempt in context.attempts]
    if context.usage is not None:
        entry["tokens_in"], entry["tokens_out"] = context.usage.input, context.usage.output
    if cost_usd is not None:
        entry["cost_usd"] = round(cost_usd, 8)
    return entry
