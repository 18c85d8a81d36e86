"""What the status block says: listeners, agents, providers and models of one configuration, as rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from router.cli.status import Row, Section
from router.config import Config, Listener
from router.config.admin import Admin
from router.errors import ModelUnavailable
from router.triton.client import TritonClient
from router.triton.metadata import ModelConfig, ModelMetadata
from router.triton.models import orchestrator_contract

# Long enough for a busy server; the status block waits for it.
ASK_WITHIN_S = 5.0

_WILDCARDS = {"0.0.0.0", "::"}

# The path that a client of this type of listener starts with.
_FIRST_PATH = "/v1/chat/completions"


def listener_url(listener: Listener) -> str:
    """Where a client on this machine reaches a listener."""
    return f"http://{_host(listener.address)}:{listener.port}{_FIRST_PATH}"


def admin_url(address: str, port: int) -> str:
    """Where an operator on this machine finds metrics and health."""
    return f"http://{_host(address)}:{port}"


def admin_section(admin: Admin, url: str | None) -> Section:
    """The operator's port; nothing where there is none."""
    if url is None:
        return Section("Admin", ())
    reach = "reachable from other machines" if admin.address in _WILDCARDS else ""
    return Section(
        "Admin", (Row("metrics", (f"{url}/metrics",), reach, well=not reach), Row("ready", (f"{url}/readyz",)))
    )


def _host(address: str) -> str:
    if address in _WILDCARDS or address in {"127.0.0.1", "::1"}:
        return "localhost"
    return f"[{address}]" if ":" in address else address


def config_sections(config: Config) -> tuple[Section, ...]:
    """Listeners, agents and providers."""
    return (
        Section("Listeners", (*map(_listener, config.listeners), *_services(config))),
        Section("Agents", tuple(_agents(config))),
        Section("Providers", tuple(_providers(config))),
    )


def log_section(logs: Mapping[str, str]) -> Section:
    """Where logs are written; the gateway's own go to standard error."""
    return Section("Logs", tuple(Row(name, (path,)) for name, path in logs.items()))


def _listener(listener: Listener) -> Row:
    reach = "reachable from other machines" if listener.address in _WILDCARDS else ""
    return Row(listener.name, (listener.type, listener_url(listener)), reach, well=not reach)


def _services(config: Config) -> Iterator[Row]:
    if config.grpc is not None:
        reach = "reachable from other machines" if config.grpc.address in _WILDCARDS else ""
        host = "localhost" if reach else config.grpc.address
        yield Row("grpc", ("services", f"{host}:{config.grpc.port}"), reach, well=not reach)


def _agents(config: Config) -> Iterator[Row]:
    for agent in config.agents:
        places = [
            f"{listener.name} (default)" if agent.id == _default_agent(listener) else listener.name
            for listener in config.listeners
            if any(offered.id == agent.id for offered in listener.agents)
        ]
        place = "on " + ", ".join(places) if places else ""
        yield Row(agent.id, (agent.url, place), "" if places else "unused", well=bool(places))


def _default_agent(listener: Listener) -> str | None:
    marked = [agent.id for agent in listener.agents if agent.default]
    return marked[0] if marked else next((agent.id for agent in listener.agents), None)


def _providers(config: Config) -> Iterator[Row]:
    for provider in config.model_providers:
        name = provider.name if provider.name == provider.model else f"{provider.name} ({provider.model})"
        note = "default" if provider.default else ""
        reason = provider.unavailable_reason
        if reason is None:
            yield Row(name, (note,), "available")
        else:
            yield Row(name, (note,), f"unavailable: {reason}", well=False)


async def model_section(names: Sequence[str], triton_url: str, server: str) -> Section:
    """The models in use, as Triton describes them now; ``server`` goes into the title."""
    client = TritonClient(triton_url)
    try:
        rows = await asyncio.gather(*(_model(client, name) for name in names))
    finally:
        await client.close()
    return Section(f"Models ({server})", tuple(rows))


async def _model(client: TritonClient, name: str) -> Row:
    try:
        metadata = await client.model_metadata(name, ASK_WITHIN_S)
        config = await client.model_config(name, ASK_WITHIN_S)
    except ModelUnavailable as exc:
        return Row(name, state=f"not served: {exc.message}", well=False)
    versions = ", ".join(metadata.versions)
    facts = (f"version{'s' if len(metadata.versions) > 1 else ''} {versions}", _contract(metadata, config))
    return Row(name, facts, "ready")


def _contract(metadata: ModelMetadata, config: ModelConfig) -> str:
    if config.labels:
        return f"classifier ({', '.join(config.labels)})"
    try:
        return f"orchestrator, {orchestrator_contract(metadata)} contract"
    except ModelUnavailable:
        return "unknown contract"
