"""Calls of models on their way to PostHog: ``$ai_generation`` events of its capture API.

https://posthog.com/docs/llm-analytics/manual-capture has the properties, https://posthog.com/docs/api/capture the
batches, and which answers mean that an event may be sent again.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import orjson
from yarl import URL

from router import __version__
from router.aio import timeout
from router.config.tracing import TraceExporter
from router.errors import UpstreamError
from router.observer.export_queue import ExportQueue, FailedForNow, Refused
from router.observer.otlp_export import retry_delay_of
from router.observer.spans import FinishedSpan
from router.telemetry import semconv
from router.upstream.http import Endpoint, HttpClient

MAX_MESSAGE_CHARS = 2000
MAX_MESSAGES = 20

_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_DISTINCT_ID_CHARS = 200  # longer ones are refused
_EVENTS = {semconv.CHAT: "$ai_generation", semconv.EMBEDDINGS: "$ai_embedding"}
_SUCCESS = range(200, 300)

_PROPERTIES = {
    "$ai_model": (semconv.RESPONSE_MODEL, semconv.REQUEST_MODEL),
    "$ai_provider": (semconv.PROVIDER,),
    "$ai_input_tokens": (semconv.INPUT_TOKENS,),
    "$ai_output_tokens": (semconv.OUTPUT_TOKENS,),
    "$ai_cache_read_input_tokens": (semconv.CACHE_READ_TOKENS,),
    "$ai_cache_creation_input_tokens": (semconv.CACHE_WRITE_TOKENS,),
    "$ai_reasoning_tokens": (semconv.REASONING_TOKENS,),
    "$ai_time_to_first_token": (semconv.TIME_TO_FIRST_CHUNK,),
    "$ai_http_status": (semconv.HTTP_STATUS,),
    "$ai_session_id": (semconv.CONVERSATION_ID,),
    "$ai_stream": (semconv.REQUEST_STREAM,),
}


class PosthogSpans:
    """A ``SpanTaker`` that makes an event of every call of a model. ``distinct_id_header`` names the user."""

    def __init__(self, exporter: TraceExporter, queue: ExportQueue) -> None:
        self._queue = queue
        header = exporter.distinct_id_header
        self._distinct_id = None if header is None else f"{semconv.REQUEST_HEADER}.{header.lower()}"
        self._capture_messages = exporter.capture_messages

    def take(self, spans: Sequence[FinishedSpan]) -> None:
        """See ``SpanTaker``."""
        events = [self._event(span, spans[0]) for span in spans if _is_call(span)]
        if events:
            self._queue.put([orjson.dumps(event, default=str) for event in events])

    def _event(self, span: FinishedSpan, root: FinishedSpan) -> dict[str, Any]:
        attributes = span.attributes
        properties: dict[str, Any] = {
            "$ai_trace_id": span.trace_id,
            "$ai_span_id": span.span_id,
            "$ai_span_name": span.name,
            "$ai_parent_id": span.parent_id,
            "$ai_latency": round((span.ended_ns - span.started_ns) / 1e9, 6),
            "$ai_is_error": span.error is not None,
            "$lib": "trident",
            "$lib_version": __version__,
        }
        for name, sources in _PROPERTIES.items():
            value = next((attributes[source] for source in sources if source in attributes), None)
            if value is not None:
                properties[name] = value
        if span.error is not None:
            properties["$ai_error"] = span.error
        elif semconv.COST_USD in root.attributes:
            properties["$ai_total_cost_usd"] = root.attributes[semconv.COST_USD]
        for name in (semconv.LISTENER, semconv.API_KEY, semconv.PREFERENCE):
            if name in root.attributes:
                properties[name] = root.attributes[name]
        if self._capture_messages and (messages := _messages(attributes.get(semconv.INPUT_MESSAGES))):
            properties["$ai_input"] = messages
        distinct_id = self._user(root)
        if distinct_id is None:
            distinct_id = span.trace_id
            properties["$process_person_profile"] = False
        return {
            "event": _EVENTS[attributes[semconv.OPERATION]],
            "distinct_id": distinct_id,
            "timestamp": datetime.fromtimestamp(span.started_ns / 1e9, timezone.utc).isoformat(),
            "properties": properties,
        }

    def _user(self, root: FinishedSpan) -> str | None:
        """The header as the convention has it, a list of its values."""
        value = None if self._distinct_id is None else root.attributes.get(self._distinct_id)
        if isinstance(value, list):
            value = value[0] if value else None
        return str(value)[:_MAX_DISTINCT_ID_CHARS] if value else None


class PosthogDestination:
    """The capture API of one project."""

    def __init__(self, exporter: TraceExporter, client: HttpClient | None = None) -> None:
        url = URL(exporter.url)
        self.name = f"events to {url.host}"
        self._key = exporter.api_key.get_secret_value()
        path = url.path.rstrip("/")
        url = url.with_path(f"{path}/" if path.endswith("/batch") else f"{path}/batch/")
        self._endpoint = Endpoint("posthog", url, _TIMEOUT_S, {"content-encoding": "gzip"})
        self._client = client or HttpClient(connect_timeout_s=_TIMEOUT_S)

    def assemble(self, events: Sequence[bytes]) -> bytes:
        """The body for these events."""
        return b'{"api_key":%b,"batch":[%b]}' % (orjson.dumps(self._key), b",".join(events))

    async def send(self, body: bytes) -> int:
        """See ``Destination``."""
        packed = await asyncio.to_thread(gzip.compress, body, 1)
        try:
            async with timeout(_TIMEOUT_S), self._client.post(self._endpoint, packed, {}) as response:
                if response.status not in _SUCCESS:
                    if response.status == 429 or response.status >= 500:
                        raise FailedForNow(f"status {response.status}", retry_delay_of(response))
                    raise Refused(f"status {response.status}")
                await response.read(_MAX_ANSWER_BYTES)
        except (asyncio.TimeoutError, TimeoutError) as exc:
            raise FailedForNow("no answer in time") from exc
        except UpstreamError as exc:
            raise FailedForNow(exc.code) from exc
        return 0

    async def close(self) -> None:
        """See ``Destination``."""
        await self._client.close()


def _is_call(span: FinishedSpan) -> bool:
    return span.kind == "client" and span.attributes.get(semconv.OPERATION) in _EVENTS


def _messages(said: object) -> list[dict[str, Any]]:
    """``gen_ai.input.messages`` in the shape that PostHog shows, the newest ones, shortened."""
    try:
        messages = orjson.loads(said) if isinstance(said, str) else None
    except orjson.JSONDecodeError:
        return []
    newest = messages[-MAX_MESSAGES:] if isinstance(messages, list) else []
    return [_message(message) for message in newest if isinstance(message, dict)]


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    parts = message.get("parts")
    for part in parts if isinstance(parts, list) else ():
        match part:
            case {"type": "text", "content": str(text)}:
                content.append({"type": "text", "text": text[:MAX_MESSAGE_CHARS]})
            case {"type": "tool_call", "name": str(name)}:
                arguments = str(part.get("arguments") or "")[:MAX_MESSAGE_CHARS]
                content.append({"type": "function", "function": {"name": name, "arguments": arguments}})
            case {"type": "tool_call_response", "response": str(text)}:
                content.append({"type": "text", "text": text[:MAX_MESSAGE_CHARS]})
            case _:
                pass
    return {"role": str(message.get("role")), "content": content}
