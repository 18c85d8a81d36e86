"""From our errors to gRPC's: a status code and the ``google.rpc.Status`` that says more."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from router.errors import GatewayError

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "trident"

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto has the pairs. 413 is not the
# RESOURCE_EXHAUSTED of that table: clients take it for an invitation to try again.
_CODES: Mapping[int, grpc.StatusCode] = MappingProxyType(
    {
        400: grpc.StatusCode.INVALID_ARGUMENT,
        401: grpc.StatusCode.UNAUTHENTICATED,
        403: grpc.StatusCode.PERMISSION_DENIED,
        404: grpc.StatusCode.NOT_FOUND,
        408: grpc.StatusCode.DEADLINE_EXCEEDED,
        413: grpc.StatusCode.INVALID_ARGUMENT,
        429: grpc.StatusCode.RESOURCE_EXHAUSTED,
        500: grpc.StatusCode.INTERNAL,
        502: grpc.StatusCode.UNAVAILABLE,
        503: grpc.StatusCode.UNAVAILABLE,
        504: grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


def code_of(error: GatewayError) -> grpc.StatusCode:
    """The gRPC code for an error's HTTP status."""
    return _CODES.get(error.status, grpc.StatusCode.INTERNAL)


def reason_of(error: GatewayError) -> str:
    """The reason of the ``ErrorInfo``, which is in UPPER_SNAKE_CASE."""
    return error.code.upper()


def details_of(error: GatewayError, request_id: str) -> bytes:
    """The serialized ``google.rpc.Status``: what went wrong, which field is wrong, when to try again."""
    number: int = code_of(error).value[0]
    status = status_pb2.Status(code=number, message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason_of(error), domain=DOMAIN))
    if error.param is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.param, description=error.message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    serialized: bytes = status.SerializeToString()
    return serialized
