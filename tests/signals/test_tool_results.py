from __future__ import annotations

import pytest

from router.signals.tool_results import read_tool_result


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("failure.invalid_args", '{"error": {"code": "validation_error", "message": "Field \'email\' is required"}}'),
        ("failure.invalid_args", "TypeError: plot() got an unexpected keyword argument 'colour'"),
        ("failure.invalid_args", "HTTP 422 Unprocessable Entity"),
        ("failure.invalid_args", '{"success": false, "errors": {"price": ["must be a number"]}}'),
        ("failure.bad_query", '{"error": "You have an error in your SQL syntax near \'SELEC\'"}'),
        ("failure.bad_query", 'psycopg2.errors.UndefinedColumn: column "shipd" does not exist'),
        ("failure.bad_query", '[{"errorCode": "MALFORMED_QUERY", "message": "unexpected token: SELEKT"}]'),
        ("failure.tool_not_found", '{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}}'),
        ("failure.tool_not_found", '{"exit_code": 127, "stderr": "bash: cloc: command not found"}'),
        ("failure.tool_not_found", "Unknown tool: get_wether"),
        ("failure.auth_misuse", '{"status": 403, "error": "Forbidden"}'),
        ("failure.auth_misuse", "HTTP 401 Unauthorized"),
        ("failure.auth_misuse", '{"exit_code": 1, "stderr": "rm: cannot remove \'x\': Permission denied"}'),
        ("failure.state_error", '{"error": "Order 77 has already been shipped"}'),
        ("failure.state_error", "HTTP 409 Conflict: document was modified"),
        ("failure.state_error", "FileNotFoundError: [Errno 2] No such file or directory: 'sales.csv'"),
        ("exhaustion.api_error", '{"error": {"code": 500, "message": "Internal server error"}}'),
        ("exhaustion.api_error", "<html><head><title>502 Bad Gateway</title></head></html>"),
        ("exhaustion.timeout", '{"exit_code": 124, "stdout": "", "stderr": ""}'),
        ("exhaustion.timeout", "Command timed out after 120 seconds"),
        ("exhaustion.rate_limit", '{"status": 429, "error": "Too Many Requests"}'),
        ("exhaustion.rate_limit", '{"__type": "ThrottlingException", "message": "Rate exceeded"}'),
        ("exhaustion.network", "Error: connect ECONNREFUSED 127.0.0.1:8080"),
        ("exhaustion.network", '{"exit_code": 6, "stderr": "curl: (6) Could not resolve host: x"}'),
        ("exhaustion.malformed_response", '{"users": [{"name": "A"}, {"na'),
        ("exhaustion.malformed_response", "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("exhaustion.context_overflow", '{"error": {"code": "context_length_exceeded"}}'),
        ("exhaustion.context_overflow", "Error: prompt is too long: 201000 tokens > 200000 maximum"),
    ],
)
def test_an_error_has_the_type_of_what_it_says(kind: str, text: str) -> None:
    assert (read_tool_result(text).type or "").partition(".")[2] == kind


@pytest.mark.parametrize(
    "text",
    [
        '{"rows": [["syntax error at or near FROM"], ["no such table: x"]]}',
        '{"title": "HTTP 404", "text": "404 Not Found means that the resource does not exist."}',
        "If you are not authorized to open the file, ask your administrator.",
        '{"timeout": 30, "retries": 3}',
        '["09:00 unauthorized access", "09:05 connection refused"]',
        '{"price": 503, "currency": "EUR"}',
        '{"count": 0, "code": 500}',
        '{"error": null, "data": {"id": 1}}',
        '{"errors": [], "count": 0}',
        '{"exit_code": 0, "stdout": "test_timeout PASSED"}',
        '{"exit_code": 1, "stdout": "", "stderr": ""}',
        "TypeError is the exception for a wrong type.",
        "{name}: hello, {greeting}!",
        "[INFO] started\n[INFO] done",
        '{"a": 1}\n{"a": 2}',
        "500",
        "",
    ],
)
def test_a_result_about_errors_is_none(text: str) -> None:
    assert read_tool_result(text).type is None


def test_mcp_says_that_a_result_is_an_error() -> None:
    text = '{"isError": true, "content": [{"type": "text", "text": "Request timed out"}]}'
    assert read_tool_result(text).type == "environment.exhaustion.timeout"


def test_a_message_says_itself_that_it_is_an_error() -> None:
    said = "The order is locked by somebody."
    assert read_tool_result(said).type is None
    assert read_tool_result(said, is_error=True).type == "execution.failure.state_error"


def test_an_error_that_says_nothing_known_is_a_guess() -> None:
    guessed = read_tool_result('{"success": false, "why": "moon phase"}')
    assert (guessed.type, guessed.confidence) == ("execution.failure.state_error", 0.5)
    assert read_tool_result('{"success": false}', arguments_ok=False).type == "execution.failure.invalid_args"


def test_what_was_asked_of_the_tool_does_not_decide() -> None:
    text = '{"error": "order not found", "query": "rate limit exceeded timeout unauthorized"}'
    assert read_tool_result(text).type == "execution.failure.state_error"


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ("ok", '{"id": 1}'),
        ("empty", '{"results": []}'),
        ("empty", "[]"),
        ("empty", "No results found."),
        ("waiting", '{"status": "in_progress"}'),
        ("waiting", "pending"),
        ("failed", '{"error": "not found"}'),
        ("disturbed", "503 Service Unavailable"),
    ],
)
def test_outcomes(outcome: str, text: str) -> None:
    assert read_tool_result(text).outcome == outcome


def test_deep_and_broken_json_is_no_trouble() -> None:
    for text in (
        "[" * 50_000,
        '{"error":' * 5_000,
        '{"error":' * 900 + "1" + "}" * 900,
        '[{"' * 9_000,
        '{"a": ' + "9" * 9_000,
    ):
        read_tool_result(text)
