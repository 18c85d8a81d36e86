"""Answers that the gateway writes itself, in whatever dialect and manner the client asked for."""

from __future__ import annotations

from collections.abc import Mapping

from router.dialects.canonical import ChatRequest, FinishReason, JsonObject, chunks_of, completion
from router.dialects.registry import CLIENT_DIALECTS
from router.handlers.reply import EVENT_STREAM, JSON, Reply


def text_reply(
    request: ChatRequest, text: str, headers: Mapping[str, str], *, finish_reason: FinishReason = "stop"
) -> Reply:
    """``text`` as an ordinary answer to ``request``: whole or streamed, with status 200."""
    whole = completion({"content": text}, model=request.model or "", finish_reason=finish_reason)
    return local_reply(request, whole, headers)


def local_reply(request: ChatRequest, whole: JsonObject, headers: Mapping[str, str]) -> Reply:
    """A canonical completion as the answer to ``request``: whole or streamed, with status 200."""
    client = CLIENT_DIALECTS[request.dialect]
    if not request.stream:
        return Reply(200, JSON, client.encode_completion(whole, request), headers)
    encoder = client.stream_encoder(request)
    events = b"".join([encoder.feed(chunk) for chunk in chunks_of(whole)]) + encoder.finish()
    return Reply(200, EVENT_STREAM, events, headers)
