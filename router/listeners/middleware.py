"""What every request gets, whatever its path: an id, a deadline, an answer in the right shape, one access line."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from router.context import RequestContext
from router.dialects import openai_chat
from router.errors import GatewayError
from router.handlers.reply import JSON, Reply
from router.telemetry.metrics import Metrics

access = logging.getLogger("router.access")
logger = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[RequestContext, bytes], Awaitable[Reply]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CLIENT_CLOSED_REQUEST = 499  # nginx's number for it: no response was possible


def request_id(headers: Mapping[str, str]) -> str:
    """The client's ``x-request-id`` where it is one that may stand in logs and headers, else a new one."""
    given = headers.get("x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


async def answer(handler: Handler, context: RequestContext, body: bytes) -> Reply:
    """Run ``handler``; whatever it raises becomes a reply. The one place where unknown exceptions end."""
    try:
        return await handler(context, body)
    except GatewayError as exc:
        return error_reply(exc, context)
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
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if context.decision is not None:
        headers["x-trident-route"] = ", ".join(context.decision.routes)
    return Reply(error.status, JSON, openai_chat.encode_error(error, context.request_id), headers)


def log_access(context: RequestContext, status: int, started: float, metrics: Metrics) -> None:
    """The one access line and the request counter; ``status`` may be ``CLIENT_CLOSED_REQUEST``."""
    metrics.request_finished(context.listener, status)
    if access.isEnabledFor(logging.INFO):
        decision = context.decision
        access.info(
            "request",
            extra={
                "request_id": context.request_id,
                "listener": context.listener,
                "path": context.path,
                "status": status,
                "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                "route": list(decision.routes) if decision else None,
                "reason": decision.reason if decision else None,
                "degraded": context.degraded or None,
            },
        )
