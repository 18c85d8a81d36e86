"""A collector of OTLP: takes the spans of agents, of Triton and of whoever else takes part in a request.

gRPC and HTTP, protobuf and JSON, as https://opentelemetry.io/docs/specs/otlp/ has it. Metrics and logs are taken and
thrown away, since exporters complain about collectors that refuse them. Senders are not authenticated: bodies, spans
and what is kept of them are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from router.errors import InvalidRequest, OperatorError
from router.listeners.body import decoded
from router.listeners.connection import ConnectionOptions
from router.listeners.exchange import BodyTooLarge, Exchange
from router.listeners.request_parser import MalformedRequest
from router.listeners.server import Server
from router.observer.otlp_decoding import Delivery, NotOtlp, decode_json, decode_protobuf
from router.observer.spans import SpanTaker

if TYPE_CHECKING:
    import grpc.aio

GRPC_PORT = 4317
HTTP_PORT = 4318

_MAX_BODY_BYTES = 4 * 1024 * 1024  # what the specification recommends, before and
_MAX_UNPACKED_BYTES = 16 * 1024 * 1024  # behind the compression of HTTP
_KEEPALIVE_S = 75.0
_BODY_TIMEOUT_S = 10.0
_CLOSE_WITHIN_S = 1.0

_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"
_IGNORED = frozenset({"/v1/metrics", "/v1/logs"})
_INVALID_ARGUMENT = 3  # google.rpc.Code


class Collector:
    """Hands what arrives to ``takers``. ``open`` it, ``close`` it."""

    def __init__(self, takers: Sequence[SpanTaker]) -> None:
        self._takers = tuple(takers)
        self._http: Server | None = None
        self._grpc: grpc.aio.Server | None = None
        self.grpc_port: int | None = None
        self.http_port: int | None = None

    async def open(self, address: str, *, grpc_port: int | None, http_port: int | None) -> None:
        """Listen on the ports that are given; 0 is any. Raises ``OperatorError`` where one is taken."""
        if http_port is not None:
            server = Server(self._answer, ConnectionOptions(_MAX_BODY_BYTES, _KEEPALIVE_S, _BODY_TIMEOUT_S))
            try:
                await server.listen(address, http_port, reuse_port=False)
            except OSError as exc:
                raise _taken(address, http_port) from exc
            self._http = server
            self.http_port = server.port
        if grpc_port is not None:
            # Megabytes that a gateway without a collector does without.
            from router.observer.collector_grpc import open_server

            try:
                self._grpc, self.grpc_port = await open_server(
                    self.export, f"[{address}]" if ":" in address else address, grpc_port, _MAX_BODY_BYTES
                )
            except OSError as exc:
                await self.close()
                raise _taken(address, grpc_port) from exc

    async def close(self) -> None:
        """Stop listening; deliveries that are under way get a moment."""
        if self._grpc is not None:
            await self._grpc.stop(_CLOSE_WITHIN_S)
        if self._http is not None:
            await self._http.drain(_CLOSE_WITHIN_S)

    def export(self, body: bytes) -> bytes:
        """Take an ``ExportTraceServiceRequest``, give the response. Raises ``NotOtlp``."""
        return _response(self._take(decode_protobuf(body))).SerializeToString()

    def _take(self, delivery: Delivery) -> Delivery:
        if delivery.spans:
            for taker in self._takers:
                taker.take(delivery.spans)
        return delivery

    async def _answer(self, exchange: Exchange) -> None:
        form = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
        path = exchange.path.partition("?")[0]
        if exchange.method != "POST" and path in {"/v1/traces", *_IGNORED}:
            _refuse(exchange, HTTPStatus.METHOD_NOT_ALLOWED, "Deliveries are posted.", form)
        elif path in _IGNORED and form in {_PROTOBUF, _JSON}:
            exchange.send(HTTPStatus.OK, {"Content-Type": form}, b"{}" if form == _JSON else b"")
        elif path != "/v1/traces":
            _refuse(exchange, HTTPStatus.NOT_FOUND, "Spans are posted to /v1/traces.", form)
        elif form not in {_PROTOBUF, _JSON}:
            _refuse(exchange, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send {_PROTOBUF} or {_JSON}.", _JSON)
        else:
            await self._take_posted(exchange, form)

    async def _take_posted(self, exchange: Exchange, form: str) -> None:
        try:
            body = await exchange.read(_BODY_TIMEOUT_S)
            body = await decoded(body, exchange.headers.get("content-encoding", ""), max_bytes=_MAX_UNPACKED_BYTES)
            response = _response(self._take(decode_json(body) if form == _JSON else decode_protobuf(body)))
        except BodyTooLarge:
            _refuse(exchange, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.", form)
        except (asyncio.TimeoutError, TimeoutError):
            _refuse(exchange, HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.", form)
        except (NotOtlp, InvalidRequest, MalformedRequest) as exc:
            _refuse(exchange, HTTPStatus.BAD_REQUEST, str(exc), form)
        else:
            encoded = _json_response(response) if form == _JSON else response.SerializeToString()
            exchange.send(HTTPStatus.OK, {"Content-Type": form}, encoded)


def _response(delivery: Delivery) -> ExportTraceServiceResponse:
    response = ExportTraceServiceResponse()
    if delivery.rejected:
        response.partial_success.rejected_spans = delivery.rejected
        response.partial_success.error_message = "Spans without valid ids, or too many of them."
    return response


def _json_response(response: ExportTraceServiceResponse) -> bytes:
    if not response.HasField("partial_success"):
        return b"{}"
    refused = response.partial_success
    return orjson.dumps(
        {"partialSuccess": {"rejectedSpans": str(refused.rejected_spans), "errorMessage": refused.error_message}}
    )


def _refuse(exchange: Exchange, status: HTTPStatus, message: str, form: str) -> None:
    """A ``google.rpc.Status`` in the form of the request."""
    if form == _PROTOBUF:
        text = message.encode()[:127]  # its length is one byte then
        body = bytes((0x08, _INVALID_ARGUMENT, 0x12, len(text))) + text
    else:
        form, body = _JSON, orjson.dumps({"code": _INVALID_ARGUMENT, "message": message})
    exchange.send(status, {"Content-Type": form}, body)


def _taken(address: str, port: int) -> OperatorError:
    return OperatorError(
        f"The collector cannot listen on {address}:{port}.",
        fix="Stop what listens there, or choose other ports: `tracing.collector`, or the options of `trident trace`.",
    )
