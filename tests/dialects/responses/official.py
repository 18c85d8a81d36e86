"""The official SDK's types as a judge of what the dialect writes: nothing missing, nothing wrong, nothing unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams
from pydantic import BaseModel, TypeAdapter

from router.dialects.sse import event_data
from tests.fakes.providers.strict import StrictType

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_REQUEST = StrictType(ResponseCreateParams)
# Fields that other versions of the SDK or the API have: a name that version 2 requires, and our request id.
_TOLERATED = {("ResponseFunctionCallArgumentsDoneEvent", "name"), ("ResponseErrorEvent", "request_id")}


def check_request(body: bytes) -> dict[str, Any]:
    """The request in ``body``, which the SDK could have sent."""
    payload: dict[str, Any] = orjson.loads(body)
    assert _REQUEST.problem(payload) is None
    return payload


def check_response(body: bytes) -> Response:
    """The response in ``body``, as the SDK reads it."""
    response = Response.model_validate(orjson.loads(body), strict=True)
    assert unknown_fields(response) == []
    return response


def check_events(stream: bytes) -> list[Any]:
    """The events of a stream as the SDK reads them, numbered in order."""
    events = []
    for number, block in enumerate(stream.split(b"\n\n")[:-1]):
        name, data = block.split(b"\n")
        payload = orjson.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + payload["type"].encode()
        assert payload["sequence_number"] == number
        event = _EVENT.validate_python(payload, strict=True)
        assert unknown_fields(event) == []
        events.append(event)
    return events


def accumulated(events: Iterable[Any]) -> Response | None:
    """What the SDK's own accumulator makes of a stream; ``None`` where the response did not complete."""
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(event)
    return state._completed_response


def resent(response: Response) -> list[dict[str, Any]]:
    """The output as the SDK writes it into the input of the next request."""
    output: Any = response.output
    return [
        item.model_dump(mode="json", exclude_unset=True, exclude=getattr(item, "__api_exclude__", None))
        for item in output
    ]


def payloads(stream: bytes) -> list[dict[str, Any]]:
    """The data of each event."""
    return [orjson.loads(data) for data in event_data(stream)]


def unknown_fields(value: object) -> list[tuple[str, str]]:
    """Fields anywhere in a model that its type does not have."""
    if isinstance(value, BaseModel):
        own = [(type(value).__name__, name) for name in value.model_extra or ()]
        inner = [getattr(value, name) for name in type(value).model_fields]
        return [each for each in own if each not in _TOLERATED] + unknown_fields(inner)
    if isinstance(value, dict):
        return unknown_fields(list(value.values()))
    if isinstance(value, list):
        return [found for each in value for found in unknown_fields(each)]
    return []
