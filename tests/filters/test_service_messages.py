from __future__ import annotations

import pytest

from router.filters.service_messages import message_of


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "Not allowed."}', "Not allowed."),
        (b'{"detail": {"error": "content_blocked", "message": "Blocked."}}', "Blocked."),
        (b'{"detail": [{"loc": ["body"], "msg": "x", "message": "Field required"}]}', "Field required"),
        (b'{"error": {"message": "No.", "type": "t"}}', "No."),
        (b'{"error": "No."}', "No."),
        (b'{"message": "  No.\\n"}', "No."),
        ("Straße gesperrt".encode(), "Straße gesperrt"),
        (b'"No."', "No."),
        (b"<html><body>400</body></html>", ""),
        (b'{"code": 7}', ""),
        (b"", ""),
        (b"[]", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_message_of_an_error(body: bytes, message: str) -> None:
    assert message_of(body) == message


def test_a_message_is_bounded() -> None:
    assert len(message_of(b"x" * 60_000)) == 2000
