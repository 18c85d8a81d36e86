"""``grpc`` and ``services``: what they mean, and what is wrong or unsafe in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config import Config

BASE = """
version: v0.4.0
agents: [{{id: one, url: "http://localhost:1"}}]
listeners: [{{type: agent, name: agents, port: 8001, agents: [{{id: one}}]}}]
{more}
"""


def test_the_services_are_off_unless_they_are_configured(load) -> None:
    config = load(BASE.format(more="")).config
    assert config.grpc is None
    assert (config.services.router, config.services.guardrails) == (None, None)


def test_services_that_are_on_listen_on_this_machine_only(load) -> None:
    loaded = load(BASE.format(more="grpc: {}"))
    assert (loaded.config.grpc.address, loaded.config.grpc.port, loaded.config.grpc.tls) == ("127.0.0.1", 50051, None)
    assert loaded.warnings == ()


def test_certificates_are_relative_to_the_file(load, tmp_path: Path) -> None:
    config = load(BASE.format(more="grpc: {tls: {cert: a.pem, key: b.pem}}")).config
    assert (config.grpc.tls.cert, config.grpc.tls.key) == (tmp_path / "a.pem", tmp_path / "b.pem")


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("localhost:50051", ("localhost:50051",)),
        ('["grpc://a:1", "[::1]:2"]', ("a:1", "[::1]:2")),
    ],
)
def test_a_remote_service_has_one_address_or_several(load, url: str, addresses: tuple[str, ...]) -> None:
    config: Config = load(BASE.format(more=f"services: {{router: {{url: {url}}}}}")).config
    assert config.services.router is not None
    assert config.services.router.url == addresses


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ("grpc: {port: 8001}", "grpc", "8001, is already used by `agents`"),
        ("services: {router: {url: []}}", "services.router.url", "empty"),
        ("services: {router: {url: http://router:1}}", "services.router.url", "HTTP URL"),
        ("services: {router: {url: router}}", "services.router.url", "not a gRPC address"),
        ("services: {guardrails: {url: 'a:1', tls: {cert: a.pem}}}", "services.guardrails.tls", "both"),
        ("grpc: {limits: {max_concurrent: 0}}", "grpc.limits.max_concurrent", "less than 1"),
    ],
)
def test_what_cannot_work_is_an_error(problems, more: str, path: str, words: str) -> None:
    [problem] = problems(BASE.format(more=more))
    assert problem.severity == "error"
    assert problem.path.startswith(path)
    assert words in problem.message


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ("grpc: {address: 0.0.0.0}", "grpc.address", "open to everybody"),
        (
            "services: {router: {url: 'router.internal:1', api_key: a-key-of-many-characters}}",
            "services.router.api_key",
            "without encryption",
        ),
    ],
)
def test_what_is_unsafe_is_warned_about(load, more: str, path: str, words: str) -> None:
    [warning] = load(BASE.format(more=more)).warnings
    assert (warning.path, warning.severity) == (path, "warning")
    assert words in warning.message


@pytest.mark.parametrize(
    "more",
    [
        "grpc: {address: 0.0.0.0, unauthenticated: true}",
        "grpc: {address: '::', tls: {cert: a, key: b, client_ca: c}}",
        "services: {router: {url: 'localhost:1', api_key: a-key-of-many-characters}}",
        "services: {router: {url: 'router.internal:1', api_key: a-key-of-many-characters, tls: {}}}",
    ],
)
def test_what_is_meant_or_safe_is_not_warned_about(load, more: str) -> None:
    assert load(BASE.format(more=more)).warnings == ()


def test_the_key_of_a_service_is_never_shown(load) -> None:
    config = load(BASE.format(more="services: {router: {url: 'localhost:1', api_key: a-secret-of-ours}}")).config
    assert "a-secret-of-ours" not in repr(config)


def test_the_examples_of_the_documentation_load(load) -> None:
    page = (Path(__file__).parents[2] / "docs" / "grpc.md").read_text(encoding="utf-8")
    examples = [part.partition("```")[0] for part in page.split("```yaml\n")[1:]]
    assert len(examples) == 2
    for example in examples:
        load(BASE.format(more="") + example, {"ROUTER_KEY": "a-key-of-many-characters"})
