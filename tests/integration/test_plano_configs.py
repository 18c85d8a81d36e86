"""Configurations as they are written for Plano: they load, start, and decide as they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.config import Config, LoadedConfig, load_config
from router.runtime import Runtime, Surroundings
from router.telemetry.access_log import LoggedAccess
from tests.fakes.counters import RecordedMetrics
from tests.fakes.triton import FakeTriton
from tests.integration.model_gateway import free_ports

FOLDER = Path(__file__).with_name("plano_configs")
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "DIGITALOCEAN_TOKEN",
    "GROQ_API_KEY",
    "GEMINI_API_KEY",
    "AZURE_API_KEY",
    "MISTRAL_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
)


@dataclass(frozen=True)
class Expected:
    """What a file means: its listeners, and the models that are asked for what is said to a model, in this order."""

    listeners: Mapping[str, str]
    decisions: tuple[tuple[str | None, str, list[str]], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


EXPECTED = {
    "llm_gateway": Expected(
        {"egress": "model"},
        (
            (None, "Nothing special.", ["openai/gpt-4o-mini"]),
            ("gpt-4o-mini", "code generation", ["openai/gpt-4o", "anthropic/claude-sonnet-4-5"]),
            (None, "small talk", ["openai/gpt-4o-mini", "groq/llama-3.1-8b-instant"]),
            ("gemini/gemini-2.5-pro", "Nothing.", ["gemini/gemini-2.5-pro"]),
            ("our-cluster/qwen3-32b", "Nothing.", ["our-cluster/qwen3-32b"]),
        ),
        {"x-plano-cache": "off"},
    ),
    "inline_preferences": Expected(
        {"model_listener": "model"},
        (
            ("gpt-4o-mini", "code understanding", ["openai/gpt-4o"]),
            (None, "code generation", ["openai/gpt-4o", "anthropic/claude-3-5-sonnet-20241022"]),
            ("careful", "Nothing.", ["anthropic/claude-3-5-sonnet-20241022"]),
        ),
    ),
    "aliases": Expected(
        {"egress_traffic": "model"},
        (
            ("acme.summarize.latest", "Hello.", ["openai/gpt-4o-mini"]),
            ("acme.chat", "Hello.", ["mistral/ministral-3b-latest"]),
            ("acme.vision", "Hello.", ["amazon_bedrock/us.amazon.nova-premier-v1:0"]),
        ),
    ),
    "rate_limits": Expected(
        {"egress_traffic": "model"},
        ((None, "Hello.", ["openai/gpt-4o-mini"]), ("large-model", "Hello.", ["openai/gpt-4o"])),
    ),
    "agents": Expected(
        {"front_desk": "agent", "models_for_agents": "model"},  # a filter that is away decides about every request
    ),
    "own_orchestrator": Expected(
        {"studio": "agent", "llm": "model"}, ((None, "Hello.", ["digitalocean/llama3.3-70b-instruct"]),)
    ),
    "prompt_targets": Expected(
        {"egress_traffic": "model", "ingress_traffic": "prompt"}, (("gpt-4o", "Hello.", ["openai/gpt-4o"]),)
    ),
}


def _score(conversation: list[dict[str, str]], routes: list[dict[str, str]]) -> list[float]:
    return [0.9 if route["name"] in conversation[-1]["content"] else 0.1 for route in routes]


def _loaded(name: str) -> LoadedConfig:
    return load_config(FOLDER / f"{name}.yaml", {key: f"key-{key}" for key in KEYS})


@asynccontextmanager
async def _started(config: Config, folder: Path) -> AsyncIterator[tuple[dict[str, str], aiohttp.ClientSession]]:
    """The listeners' URLs; the ports of the file may be taken, so that others are used."""
    ports = free_ports(len(config.listeners))
    listeners = tuple(
        each.model_copy(update={"port": port, "address": "127.0.0.1"})
        for each, port in zip(config.listeners, ports, strict=True)
    )
    async with FakeTriton() as triton, aiohttp.ClientSession() as session:
        triton.orchestrator(_score)
        triton.classifier("jailbreak", ["benign", "jailbreak", "injection"], lambda text: [1.0, 0.0, 0.0])
        metrics = RecordedMetrics().metrics
        moved = config.model_copy(update={"listeners": listeners})
        runtime = Runtime(moved, Surroundings(triton.address, folder), metrics=metrics, access_log=LoggedAccess())
        await runtime.start()
        try:
            yield {each.name: f"http://127.0.0.1:{each.port}" for each in listeners}, session
        finally:
            await runtime.close()


def test_every_file_is_expected() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_file_means_what_it_says(name: str, tmp_path: Path) -> None:
    expected, loaded = EXPECTED[name], _loaded(name)
    assert {each.name: each.type for each in loaded.config.listeners} == expected.listeners
    assert all(problem.severity == "warning" for problem in loaded.warnings)
    async with _started(loaded.config, tmp_path) as (urls, session):
        for listener, kind in expected.listeners.items():
            if kind == "prompt":
                continue
            for path in ("/healthz", "/readyz", "/v1/models"):
                async with session.get(urls[listener] + path) as response:
                    assert response.status == 200, await response.text()
            for model, text, models in expected.decisions if kind == "model" else ():
                body: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
                body.update({} if model is None else {"model": model})
                path = f"{urls[listener]}/routing/v1/chat/completions"
                async with session.post(path, json=body, headers=expected.headers) as response:
                    assert (await response.json())["models"] == models


async def test_a_rate_limit_counts_each_value_of_its_header(tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "word " * 5000}]}  # more than one minute has
    headers = {"x-user": "ada", "x-arch-ratelimit-selector": "x-user"}
    async with _started(_loaded("rate_limits").config, tmp_path) as (urls, session):
        url = urls["egress_traffic"] + "/v1/chat/completions"
        async with session.post(url, json=body, headers=headers) as response:
            assert (response.status, response.headers["x-ratelimit-limit-tokens"]) == (429, "2000")
