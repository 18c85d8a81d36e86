"""Filters as an HTTP service: one that refuses harmful questions, and one that watches answers.

    pip install -r requirements.txt
    uvicorn http_filter:app --port 10501

The gateway posts to ``/guard`` or ``/audit`` plus the path that the client called, so that the service knows which API
the body belongs to.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

logger = logging.getLogger(__name__)

app = FastAPI(title="Example filters")

HARMFUL = re.compile(r"\b(break|hack|get) in(to)?\b.{0,40}\b(system|account|network|computer)", re.IGNORECASE)


@app.post("/guard/{path:path}")
async def guard(path: str, request: Request) -> dict[str, Any]:
    """An input filter: the body as it came, or 400 with the reason."""
    body: dict[str, Any] = await request.json()
    if any(HARMFUL.search(text) for text in _texts(body.get("messages", body.get("input")))):
        raise HTTPException(400, "I can't help with breaking into systems.")
    return body


@app.post("/audit/{path:path}")
async def audit(path: str, request: Request) -> Response:
    """An output filter that changes nothing: it gets whole answers as JSON, and streams in pieces of whole events."""
    size = len(await request.body())
    logger.info("answer", extra={"request_id": request.headers["x-request-id"], "path": path, "bytes": size})
    return Response(status_code=204)


def _texts(value: Any) -> list[str]:
    """Every text of a conversation, whichever API it belongs to."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [value[key] for key in ("content", "text", "output") if key in value]
    return [text for item in value or () for text in _texts(item)] if isinstance(value, list) else []
