"""Whatever a file holds, loading it gives a configuration or ``ConfigErrors``, and nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from router.config import Config, ConfigErrors, LoadedConfig, load_config
from router.config.fields import Section
from router.config.introspection import item_of, sections_in, value_of

DEMO = (Path(__file__).parents[2] / "examples" / "travel" / "config.yaml").read_text(encoding="utf-8")

SECRET = "vErY-sEcReT"


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    """A file to write configurations to; one for all examples of a test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "config.yaml"


def attempt(file: Path, raw: bytes) -> LoadedConfig | None:
    """Load ``raw``; where it is refused, look at every problem."""
    file.write_bytes(raw)
    try:
        return load_config(file, {"SECRET": SECRET, "KEY": SECRET})
    except ConfigErrors as error:
        problems = error.problems
    lines = raw.count(b"\n") + raw.count(b"\r") + 2
    assert any(problem.severity == "error" for problem in problems)
    for problem in problems:
        assert problem.message
        assert problem.line is None or 1 <= problem.line <= lines
        assert SECRET not in f"{problem.message} {problem.suggestion}"
    return None


def keys(section: type[Section]) -> set[str]:
    """Every key of the format."""
    found = set(section.model_fields)
    for field in section.model_fields.values():
        for nested in sections_in(item_of(field.annotation) or value_of(field.annotation) or field.annotation):
            found |= keys(nested)
    return found


KEYS = sorted(keys(Config) | {"llm_providers", "ingress_traffic", "egress_traffic", "filter_chain", "<<"})
WORDS = [
    "agent",
    "model",
    "prompt",
    "a",
    "b",
    "http://h:1",
    "openai/gpt-4o",
    "openai/*",
    "$KEY",
    "${SECRET}",
    "30s",
    "8001",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=8)
    | st.sampled_from([*WORDS, *KEYS])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=2)
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=8))
def test_any_structure_of_known_keys(file: Path, data: dict[str, Any]) -> None:
    text = yaml.safe_dump({"version": "v0.3.0", **data}, allow_unicode=True)
    attempt(file, text.encode("utf-8", "surrogatepass"))


def like(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of roughly the type that a key wants, so that checks behind validation are reached."""
    if (item := item_of(annotation)) is not None:
        return st.lists(like(item), max_size=3)
    if (value := value_of(annotation)) is not None:
        return st.dictionaries(st.sampled_from(["a", "b", "openai/gpt-4o"]), like(value), max_size=3)
    section = next(sections_in(annotation), None)
    if section is None:
        return st.sampled_from([*WORDS, "mcp", "redis", "last", 1, 8001, 0.5, True])
    fields = {key: like(field.annotation) for key, field in section.model_fields.items()}
    required = {key: fields.pop(key) for key, field in section.model_fields.items() if field.is_required()}
    return st.fixed_dictionaries(required, optional=fields)


@given(like(Config))
def test_any_structure_that_looks_right(file: Path, data: dict[str, Any]) -> None:
    attempt(file, yaml.safe_dump({**data, "version": "v0.4.0"}).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"a: &a [*a]")
@example(b"version: !!float .nan\nlisteners: {}")
@example(b"? {a: b}\n: c")
@example(b"%YAML 9.9\n---\na: b")
def test_any_bytes(file: Path, raw: bytes) -> None:
    attempt(file, raw)


@given(st.data())
def test_a_good_file_with_something_changed(file: Path, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(DEMO)))
    end = data.draw(st.integers(start, min(len(DEMO), start + 12)))
    inserted = data.draw(st.text(alphabet=" \n\t:-[]{}&*!|>'\"%#$abc019,", max_size=8))
    attempt(file, f"{DEMO[:start]}{inserted}{DEMO[end:]}".encode())


def test_the_unchanged_file_is_good(file: Path) -> None:
    assert attempt(file, DEMO.encode()) is not None
