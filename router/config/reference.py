"""``docs/configuration.md``, written from the models: every key with its type, default and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from router.config.activity import active_kinds, is_active, is_partly_active
from router.config.fields import Kind, Section
from router.config.introspection import item_of, label, sections_in, value_of
from router.config.providers import KNOWN_PROVIDERS
from router.config.schema import VERSIONS, Config

_INTRODUCTION = """\
# Configuration

<!-- Written by `trident check --reference`; edit the descriptions in router/config/ instead. -->

One YAML file describes a gateway. `trident check FILE` reports everything that is wrong with it at once, each finding
with its line and a suggestion; `trident up FILE` starts it.

```yaml
version: v0.4.0
agents:
  - id: weather_agent
    url: http://localhost:10510
  - id: flight_agent
    url: http://localhost:10520
listeners:
  - type: agent
    name: travel_assistant
    port: 8001
    agents:
      - id: weather_agent
        description: Gets the weather and forecasts for any city.
      - id: flight_agent
        description: Searches flights between airports, with schedules.
prompt_guards:
  input_guards:
    jailbreak:
      on_exception:
        message: I can't help with that request.
```

**Values.** Durations are written `30s`, `500ms`, `1m30s`, or as a number of seconds; sizes `16 MiB`, or as a number of
bytes. Anchors, aliases and `<<` work. Unknown keys, keys given twice and keys without a value are errors.

**Environment.** `$VAR` and `${VAR}` in any string value are replaced, from the environment or else from a file `.env`
beside the configuration; `$$` is a dollar sign. A variable that is not set is an error, except in `access_key`: there
it is a warning, and the provider is unavailable until the variable is set.

**Not active yet.** Keys marked so load and are checked, but do nothing in this version; `trident check` and
`trident up` list those that a file uses.

**Older spellings** are rewritten in memory, with a warning: """

_OLDER_SPELLINGS = """\
`llm_providers` (`model_providers`), `listeners` as a mapping of `ingress_traffic` and `egress_traffic`,
`routing_preferences` below a model, `filter_chain` (`input_filters`), `agent_listener`, `model_listener` and
`prompt_listener` as listener types.
"""


_INACTIVE = " *Not active yet.*"


def render_reference() -> str:
    """The reference as Markdown."""
    older = ", ".join(f"`{version}`" for version in VERSIONS[2:])
    parts = [f"{_INTRODUCTION}versions {older},\n{_OLDER_SPELLINGS}", "## The file\n", _table(Config, "", noted=True)]
    for pattern, section, covered in _sections(Config, "", False, {Config}):
        active = covered or is_partly_active(pattern)
        text = " ".join((section.__doc__ or "").split()).replace("``", "`")
        parts.append(f"## `{pattern}`\n")
        parts.append(f"{text}{_types_note(pattern) if active else _INACTIVE}\n")
        parts.append(_table(section, pattern, noted=active and not covered))
    parts.append(_providers())
    return "\n".join(parts)


def _sections(
    parent: type[Section], prefix: str, covered: bool, seen: set[type[Section]]
) -> Iterator[tuple[str, type[Section], bool]]:
    """Every section below ``parent`` once, with its path and whether an active key covers it whole."""
    for key, field in parent.model_fields.items():
        pattern, annotation = _below(f"{prefix}.{key}" if prefix else key, field.annotation)
        for section in sections_in(annotation):
            if section not in seen:
                seen.add(section)
                active = covered or is_active(prefix, key)
                yield pattern, section, active
                yield from _sections(section, pattern, active, seen)


def _below(pattern: str, annotation: Any) -> tuple[str, Any]:
    if (item := item_of(annotation)) is not None:
        return f"{pattern}[]", item
    if (value := value_of(annotation)) is not None:
        return f"{pattern}.NAME", value
    return pattern, annotation


def _table(section: type[Section], pattern: str, *, noted: bool) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        note = _note(pattern, key) if noted else ""
        cells = (f"`{key}`", label(field, _link), _default(field), f"{field.description}{note}")
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _link(section: type[Section]) -> str:
    paths = {found: pattern for pattern, found, _ in _sections(Config, "", False, {Config})}
    pattern = paths[section]
    anchor = re.sub(r"[^\w-]", "", pattern.lower())
    return f"[{pattern}](#{anchor})"


def _note(pattern: str, key: str) -> str:
    kinds = active_kinds(pattern, key)
    if not kinds:
        return "" if is_partly_active(f"{pattern}.{key}".lstrip(".")) else _INACTIVE
    everywhere = "*" in kinds or kinds == active_kinds(pattern)
    return "" if everywhere else f" *Active only for {_list(kinds)}.*"


def _types_note(pattern: str) -> str:
    kinds = active_kinds(pattern)
    return f" *Active only for {_list(kinds)}.*" if kinds and "*" not in kinds else ""


def _list(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value in (None, "", ()) or isinstance(value, Section) or field.default_factory is not None:
        return "-"
    kinds = {detail.label for detail in field.metadata if isinstance(detail, Kind)}
    if "duration" in kinds:
        return f"`{value:g}s`"
    if "size" in kinds:
        return f"`{value // 2**20} MiB`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _providers() -> str:
    lines = [
        "## Known providers\n",
        "`base_url` is where the provider's API is; the path of the dialect (`/chat/completions`, `/messages`) is put",
        "behind it. Any other name needs `base_url` and `provider_interface`.\n",
        "| provider | dialect | base URL |",
        "|---|---|---|",
    ]
    for name, known in KNOWN_PROVIDERS.items():
        lines.append(f"| `{name}` | `{known.dialect}` | {known.base_url or 'needs `base_url`'} |")
    return "\n".join(lines) + "\n"
