from __future__ import annotations

import orjson

from router.dialects import openai_responses
from router.dialects.base import ClientDialect, ErrorDetails, ProviderDialect
from router.dialects.registry import CLIENT_DIALECTS, PROVIDER_DIALECTS
from router.errors import InvalidRequest

CLIENT: ClientDialect = openai_responses
PROVIDER: ProviderDialect = openai_responses


def test_the_dialect_is_found_by_its_name() -> None:
    assert CLIENT_DIALECTS["openai_responses"] is CLIENT
    assert PROVIDER_DIALECTS["openai_responses"] is PROVIDER
    assert (CLIENT.PATH, PROVIDER.STREAM_TYPE) == ("/v1/responses", "text/event-stream")


def test_errors_have_the_shape_of_openai() -> None:
    body = CLIENT.encode_error(InvalidRequest("'input' is required.", param="input"), "req_1")
    assert orjson.loads(body)["error"] == {
        "message": "'input' is required.",
        "type": "invalid_request_error",
        "param": "input",
        "code": "invalid_request",
        "request_id": "req_1",
    }
    assert PROVIDER.decode_error(body) == ErrorDetails(
        "'input' is required.", type="invalid_request_error", code="invalid_request", param="input"
    )
    assert PROVIDER.decode_error(b"<html>") is None
