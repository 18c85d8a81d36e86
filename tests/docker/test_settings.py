"""The configuration files of the compose shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from router.config import load_config

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
ENVIRONMENT = {
    "TRIDENT_API_KEY": "a-key-of-more-than-twenty-characters",
    "OPENAI_API_KEY": "x",
    "ANTHROPIC_API_KEY": "x",
}
MODELS = sorted((ROOT / "model_repository").glob("*/*/config.pbtxt"))
COLLECTORS = [DOCKER / "otel-collector" / "config.yaml", DOCKER / "jaeger" / "config.yaml"]


def published(service: str) -> set[int]:
    return {int(port.rsplit(":", 1)[1]) for port in SERVICES[service].get("ports", [])}


@pytest.mark.parametrize("name", ["config.yaml", "microservices.yaml"])
def test_the_gateway_s_file_fits_the_services_of_compose(name: str) -> None:
    config = load_config(DOCKER / name, ENVIRONMENT).config
    assert {listener.port for listener in config.listeners} == published("gateway")
    assert {listener.address for listener in config.listeners} == {config.admin.address} == {"0.0.0.0"}
    assert config.auth is not None
    assert config.triton.url == "triton:8001"
    assert "triton" in SERVICES["triton-cpu"]["networks"]["backend"]["aliases"]
    assert {str(agent.url).split("/")[2] for agent in config.agents} == {"weather-agent:8000", "flight-agent:8000"}
    (otlp,) = config.tracing.otlp
    assert str(otlp.endpoint).split("/")[2] == "otel-collector:4317"
    asked = {word for word in SERVICES["gateway"]["healthcheck"]["test"] if word.startswith("http")}
    assert asked == {f"http://127.0.0.1:{port}/readyz" for port in (config.admin.port, config.listeners[0].port)}


def test_only_the_microservices_are_asked_instead_of_triton() -> None:
    assert load_config(DOCKER / "config.yaml", ENVIRONMENT).config.services.router is None
    config = load_config(DOCKER / "microservices.yaml", ENVIRONMENT).config
    assert config.services.router is not None
    assert config.services.guardrails is not None
    urls = {*config.services.router.url, *config.services.guardrails.url}
    assert config.grpc is not None
    assert urls == {f"{name}:{config.grpc.port}" for name in ("router", "guardrail")}
    assert not config.grpc.unauthenticated


def test_the_two_files_differ_in_who_is_asked_only() -> None:
    one, other = (yaml.safe_load((DOCKER / name).read_text()) for name in ("config.yaml", "microservices.yaml"))
    assert {key: value for key, value in other.items() if key not in ("grpc", "services")} == one


@pytest.mark.parametrize("name", ["config.yaml", "microservices.yaml"])
def test_no_secret_stands_in_a_file(name: str) -> None:
    text = (DOCKER / name).read_text()
    secrets = [line.split(":", 1)[1].strip() for line in text.splitlines() if "key:" in line]
    assert secrets
    assert all(secret.startswith("$") for secret in secrets)


@pytest.mark.parametrize("path", COLLECTORS, ids=["otel-collector", "jaeger"])
def test_pipelines_refer_to_what_is_defined_and_use_all_of_it(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in config["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind]), kind
    assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_the_collector_bounds_its_memory_first_and_reaches_what_compose_starts() -> None:
    config = yaml.safe_load(COLLECTORS[0].read_text())
    for pipeline in config["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
    host, port = config["exporters"]["otlp/jaeger"]["endpoint"].split(":")
    assert host in SERVICES
    jaeger = yaml.safe_load(COLLECTORS[1].read_text())
    assert jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(f":{port}")
    assert {int(jaeger["extensions"]["jaeger_query"]["http"]["endpoint"].split(":")[1])} == published("jaeger")
    scraped = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for each in job["static_configs"] for target in each["targets"]}
    assert f"otel-collector:{config['exporters']['prometheus']['endpoint'].split(':')[1]}" in targets


@pytest.mark.parametrize("path", MODELS, ids=[path.parent.name for path in MODELS])
def test_triton_can_read_the_configuration_of_a_model(path: Path) -> None:
    config = text_format.Parse(path.read_text(), ModelConfig())
    assert config.name in ("", path.parent.name)
    assert config.backend or config.platform
