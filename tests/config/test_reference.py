from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from router.config.fields import Section
from router.config.introspection import item_of, sections_in, value_of
from router.config.reference import render_reference
from router.config.schema import Config

REFERENCE = Path(__file__).parents[2] / "docs" / "configuration.md"


def sections(root: type[Section], seen: set[type[Section]]) -> Iterator[type[Section]]:
    """``root`` and every section below it."""
    seen.add(root)
    yield root
    for field in root.model_fields.values():
        annotation = item_of(field.annotation) or value_of(field.annotation) or field.annotation
        for section in sections_in(annotation):
            if section not in seen:
                yield from sections(section, seen)


def test_the_committed_reference_is_current() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == render_reference(), (
        "run: trident check --reference > docs/configuration.md"
    )


def test_every_key_is_described() -> None:
    for section in sections(Config, set()):
        assert section.__doc__, section
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            assert field.description.endswith("."), f"{section.__name__}.{name}"


def test_every_link_leads_to_a_heading() -> None:
    text = render_reference()
    headings = {re.sub(r"[^\w-]", "", heading.lower()) for heading in re.findall(r"^## `(.+)`$", text, re.MULTILINE)}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links
    assert links <= headings


def test_its_example_is_a_configuration_without_warnings(load) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", render_reference(), re.DOTALL)
    loaded = load(example)
    assert (loaded.warnings, loaded.inactive_keys) == ((), ())


def test_it_says_what_is_not_active() -> None:
    lines = render_reference().splitlines()
    (mode,) = [line for line in lines if line.startswith("| `mode`")]
    (agents,) = [line for line in lines if line.startswith("| `agents` | list of [agents[]]")]
    (answer,) = [line for line in lines if line.startswith("| `answer`")]
    assert mode.endswith("*Not active yet.* |")
    assert "active" not in agents
    assert answer.endswith("*Active only for `agent`.* |")
