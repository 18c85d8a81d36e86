"""Names are OpenTelemetry's where it has one: checked against the published package, which is generated from them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics, http_metrics

from router.config.known_providers import KNOWN_PROVIDERS as PROVIDERS
from router.telemetry import catalogue, semconv
from router.telemetry.instruments import Definition

DOCUMENTS = Path(__file__).parents[2] / "docs"
OURS = "trident."

# Constants of ours that are no names of attributes or metrics.
SPAN_NAMES = frozenset(
    {"CHAT", "EMBEDDINGS", "MODERATIONS", "COUNT_TOKENS", "INVOKE_AGENT", "EXECUTE_TOOL", "FILTER_SPAN"}
    | {"GUARDRAILS_SPAN", "GUARDRAIL_SPAN", "ROUTE_SPAN", "TRITON_SERVICE", "TOOL_RESULT_EVENT", "SIGNAL_EVENT"}
)


def _modules() -> Iterator[ModuleType]:
    for package in ("opentelemetry.semconv", "opentelemetry.semconv._incubating"):
        for kind in ("attributes", "metrics"):
            parent = importlib.import_module(f"{package}.{kind}")
            for found in pkgutil.iter_modules(parent.__path__, f"{parent.__name__}."):
                yield importlib.import_module(found.name)


@functools.cache
def _published() -> dict[str, str]:
    """Every published name, with what is said of it."""
    said: dict[str, str] = {}
    for module in _modules():
        source = Path(str(module.__file__)).read_text()
        for name, text in re.findall(
            r'^[A-Z0-9_]+: Final = "([^"]+)"\n"""\n(.*?)"""', source, re.DOTALL | re.MULTILINE
        ):
            said.setdefault(name, text)
        said |= {
            value: said.get(value, "")
            for key, value in vars(module).items()
            if key.isupper() and isinstance(value, str)
        }
    return said


NAMES = {
    key: value
    for key, value in vars(semconv).items()
    if key.isupper() and isinstance(value, str) and key not in SPAN_NAMES
}
FOREIGN = {key: value for key, value in NAMES.items() if not value.startswith(OURS)}


@pytest.mark.parametrize("name", sorted(FOREIGN.values()))
def test_what_is_not_ours_is_published(name: str) -> None:
    published = _published()
    assert name in published
    # That the conventions for generative AI have a repository of their own is no other name.
    said = published[name]
    assert not said.startswith("Deprecated") or "Moved to the [OpenTelemetry GenAI" in said


def test_the_package_is_what_it_is_taken_for() -> None:
    published = _published()
    assert published["rpc.system"].startswith("Deprecated")
    assert {"http.route", "gen_ai.request.model", "gen_ai.client.token.usage"} <= published.keys()
    assert len(FOREIGN) > 35


def _values(enumeration: type[Enum]) -> set[str]:
    return {str(member.value) for member in enumeration}


def test_operations_of_the_conventions_have_their_names_there() -> None:
    operations = _values(gen_ai_attributes.GenAiOperationNameValues)
    assert {semconv.CHAT, semconv.EMBEDDINGS, semconv.INVOKE_AGENT, semconv.EXECUTE_TOOL} <= operations
    # No words for these there.
    assert operations.isdisjoint({semconv.MODERATIONS, semconv.COUNT_TOKENS})


def test_providers_have_the_names_of_the_conventions() -> None:
    known = _values(gen_ai_attributes.GenAiProviderNameValues)
    assert set(semconv.PROVIDER_NAMES.values()) <= known
    assert semconv.PROVIDER_NAMES.keys() <= set(PROVIDERS)
    told = {semconv.PROVIDER_NAMES.get(name, name) for name in PROVIDERS}
    assert {"openai", "anthropic", "aws.bedrock", "azure.ai.openai", "gcp.gemini", "mistral_ai", "x_ai"} <= told


def test_kinds_of_tokens_are_those_of_the_conventions() -> None:
    assert {"input", "output"} == _values(gen_ai_attributes.GenAiTokenTypeValues)


@pytest.mark.parametrize(
    ("definition", "factory"),
    [
        (catalogue.GEN_AI_REQUEST_DURATION, gen_ai_metrics.create_gen_ai_server_request_duration),
        (catalogue.TIME_TO_FIRST_TOKEN, gen_ai_metrics.create_gen_ai_server_time_to_first_token),
        (catalogue.OPERATION_DURATION, gen_ai_metrics.create_gen_ai_client_operation_duration),
        (catalogue.TOKEN_USAGE, gen_ai_metrics.create_gen_ai_client_token_usage),
        (catalogue.ACTIVE_REQUESTS, http_metrics.create_http_server_active_requests),
    ],
)
def test_metrics_have_the_published_name_kind_and_unit(definition: object, factory: object) -> None:
    made: dict[str, object] = {}

    class Meter:
        def create_histogram(self, **fields: object) -> None:
            made.update(fields, kind="histogram")

        def create_up_down_counter(self, **fields: object) -> None:
            made.update(fields, kind="up_down_counter")

    assert isinstance(definition, Definition)
    assert callable(factory)
    factory(Meter())
    assert (definition.name, definition.kind, definition.unit) == (made["name"], made["kind"], made["unit"])


def test_every_name_of_ours_is_documented() -> None:
    text = "".join(file.read_text() for file in sorted(DOCUMENTS.glob("*.md")))
    ours = {value for value in NAMES.values() if value.startswith(OURS)}
    forms = {name: (f"`{name}`", f"`{name}.", f"`{name.replace('.', '_')}`") for name in ours}
    assert {name for name, shown in forms.items() if not any(form in text for form in shown)} == set()


def test_no_constant_is_left_that_nothing_uses() -> None:
    sources = "".join(
        file.read_text() for file in (DOCUMENTS.parent / "router").rglob("*.py") if file.name != "semconv.py"
    )
    own = Path(str(semconv.__file__)).read_text()
    constants = {key for key in vars(semconv) if key.isupper()}
    unused = {key for key in constants if f"semconv.{key}" not in sources and own.count(key) < 2}
    assert unused == set()
