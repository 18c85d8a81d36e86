from __future__ import annotations

import pytest

from router.routing.selection import ModelSelection, Prefer

SELECTION = ModelSelection(
    lambda name: f"p/{name}",
    price={"p/dear": 9.0, "p/cheap": 1.0, "p/free": 0.0, "p/same": 1.0}.get,
    latency={"p/dear": 0.2, "p/cheap": 0.9}.get,
)


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("none", ["unknown", "dear", "same", "cheap", "free"]),
        ("cheapest", ["free", "same", "cheap", "dear", "unknown"]),
        ("fastest", ["dear", "cheap", "unknown", "same", "free"]),
    ],
)
def test_what_is_known_decides_and_the_rest_keeps_its_order(prefer: Prefer, expected: list[str]) -> None:
    assert list(SELECTION.order(["unknown", "dear", "same", "cheap", "free"], prefer)) == expected
