"""``admin``: its port beside the others of the file."""

from __future__ import annotations

import pytest

BASIC = "version: v0.4.0\nlisteners: [{type: model, name: web, port: 8001}]\n"


@pytest.mark.parametrize(
    "section",
    [
        "",
        "admin: {port: 8002}",
        "admin: {port: 8001, address: 10.0.0.7}",
        "admin: {port: 8001, enabled: false}",
        "admin: {port: 50051}",
    ],
)
def test_a_port_of_its_own_is_accepted(load, section: str) -> None:
    load(BASIC + section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("admin: {port: 8001}", "Port `8001` is already used by `web`"),
        ("admin: {port: 8001, address: 0.0.0.0}", "Port `8001` is already used by `web`"),
        ("grpc: {port: 8005}\nadmin: {port: 8005}", "Port `8005` is already used by `grpc`"),
    ],
)
def test_a_port_that_something_else_has_is_an_error(problems, section: str, message: str) -> None:
    assert any(message in problem.message for problem in problems(BASIC + section))
