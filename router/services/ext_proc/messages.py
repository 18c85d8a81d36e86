"""The messages between Envoy and the processor, built and taken apart (no I/O)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

from router.protos.envoy.v3 import ext_proc_pb2 as wire
from router.services.ext_proc.phases import Message

METADATA_NAMESPACE = "trident"
PIECE_BYTES = 60 * 1024  # Envoy wants pieces of no more than 64 KiB

# Numbers of Envoy's ``ProcessingMode``.
NONE, STREAMED, BUFFERED, FULL_DUPLEX_STREAMED = 0, 1, 2, 4
_SEND, _SKIP = 1, 2
_OVERWRITE_IF_EXISTS_OR_ADD = 2
_CONTINUE_AND_REPLACE = 1

# Nothing more of an exchange is sent; for bodies that is 0.
UNSEEN = wire.ProcessingMode(response_header_mode=_SKIP, request_trailer_mode=_SKIP, response_trailer_mode=_SKIP)
# What Envoy itself decides about; it refuses to change them, or they say how the message is framed.
_ENVOYS_OWN = ("x-envoy-", "x-forwarded-", ":")
_KEPT = frozenset({"content-length", "host", "te", "transfer-encoding", "via", "x-request-id"})


def fields(headers: wire.HeaderMap) -> dict[str, str]:
    """The fields of a head by name in lower case; the values of a repeated one are joined by commas."""
    found: dict[str, str] = {}
    for field in headers.headers:
        value = field.raw_value.decode("utf-8", "surrogateescape") if field.raw_value else field.value
        name = field.key.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def answer_fields(headers: wire.HeaderMap) -> dict[bytes, bytes]:
    """The fields of an upstream's head as the client of upstreams knows them."""
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in fields(headers).items()
    }


def override(*, reads_body: bool, reads_answer: bool) -> wire.ProcessingMode:
    """How the rest of an exchange is sent whose head said that it is ours."""
    mode = wire.ProcessingMode(response_header_mode=_SEND, request_trailer_mode=_SKIP, response_trailer_mode=_SKIP)
    mode.request_body_mode = BUFFERED if reads_body else NONE
    if reads_answer:
        mode.response_body_mode = FULL_DUPLEX_STREAMED
        mode.response_trailer_mode = _SEND  # Envoy insists on it in this mode
    return mode


def mutation(set_: Mapping[str, str], remove: Iterable[str] = ()) -> wire.HeaderMutation:
    """``set_`` take the place of what is there; what is in ``remove``, and not in them, goes."""
    kept = {name.lower() for name in set_}
    return wire.HeaderMutation(
        set_headers=[
            wire.HeaderValueOption(
                header=wire.HeaderValue(key=name.lower(), raw_value=value.encode("utf-8", "surrogateescape")),
                append_action=_OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for name, value in set_.items()
        ],
        remove_headers=[name for name in remove if name not in kept],
    )


def removable(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that may be removed from a head: not what is Envoy's to decide."""
    return [name for name in names if name not in _KEPT and not name.startswith(_ENVOYS_OWN)]


def headers_response(
    message: Message, common: wire.CommonResponse, mode: wire.ProcessingMode | None = None
) -> wire.ProcessingResponse:
    """The answer to ``message``, a head."""
    answer = wire.HeadersResponse(response=common)
    if message == "request_headers":
        return wire.ProcessingResponse(request_headers=answer, mode_override=mode)
    return wire.ProcessingResponse(response_headers=answer, mode_override=mode)


def body_response(message: Message, common: wire.CommonResponse) -> wire.ProcessingResponse:
    """The answer to ``message``, a body or a piece of one."""
    answer = wire.BodyResponse(response=common)
    if message == "request_body":
        return wire.ProcessingResponse(request_body=answer)
    return wire.ProcessingResponse(response_body=answer)


def trailers_response(message: Message) -> wire.ProcessingResponse:
    """The answer to ``message``, trailers: they stay as they are."""
    answer = wire.TrailersResponse()
    if message == "request_trailers":
        return wire.ProcessingResponse(request_trailers=answer)
    return wire.ProcessingResponse(response_trailers=answer)


def replaced(header_mutation: wire.HeaderMutation, body: bytes) -> wire.CommonResponse:
    """What gives a message without a body this one."""
    return wire.CommonResponse(
        status=_CONTINUE_AND_REPLACE,
        header_mutation=header_mutation,
        body_mutation=wire.BodyMutation(body=body),
        clear_route_cache=True,
    )


def pieces(message: Message, body: bytes, *, last: bool) -> Iterator[wire.ProcessingResponse]:
    """``body`` in pieces that go on; ``last``: nothing follows."""
    for start in range(0, max(1, len(body)), PIECE_BYTES):
        end = last and start + PIECE_BYTES >= len(body)
        piece = wire.StreamedBody(body=body[start : start + PIECE_BYTES], end_of_stream=end)
        yield body_response(message, wire.CommonResponse(body_mutation=wire.BodyMutation(streamed_response=piece)))


def immediate(status: int, headers: Mapping[str, str], body: bytes) -> wire.ProcessingResponse:
    """An answer to the client instead of everything else."""
    answer = wire.ImmediateResponse(
        status=wire.HttpStatus(code=status), headers=mutation(headers), body=body, details=METADATA_NAMESPACE
    )
    return wire.ProcessingResponse(immediate_response=answer)


def unchanged(message: Message, request: wire.ProcessingRequest, *, duplex: bool) -> wire.ProcessingResponse:
    """The answer that lets ``request`` through as it is; ``duplex``: bodies have to be given back."""
    if message in ("request_trailers", "response_trailers"):
        return trailers_response(message)
    if message in ("request_headers", "response_headers"):
        return headers_response(message, wire.CommonResponse())
    if not duplex:
        return body_response(message, wire.CommonResponse())
    part: wire.HttpBody = getattr(request, message)
    piece = wire.StreamedBody(body=part.body, end_of_stream=part.end_of_stream)
    return body_response(message, wire.CommonResponse(body_mutation=wire.BodyMutation(streamed_response=piece)))


def with_metadata(response: wire.ProcessingResponse, facts: Mapping[str, Any]) -> wire.ProcessingResponse:
    """``response`` with ``facts`` for access logs."""
    metadata = struct_pb2.Struct()
    metadata.update({METADATA_NAMESPACE: dict(facts)})
    response.dynamic_metadata.CopyFrom(metadata)
    return response
