"""Metrics in the text formats that Prometheus scrapes: 0.0.4 and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/,
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md. Names are OpenTelemetry's, as its
own mapping has them (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/): dots become
underscores, units and ``_total`` are appended, annotations in braces are not, nor is the unit 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from router.observer.metrics import Family, HistogramValue
from router.telemetry.instruments import Definition

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]+")
_ANNOTATION = re.compile(r"\{[^}]*\}")
_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "1": ""}
_TYPES = {"counter": "counter", "up_down_counter": "gauge", "gauge": "gauge", "histogram": "histogram"}
_Q = re.compile(r"q=(\d(?:\.\d{1,3})?)")


def content_type(accept: str) -> str:
    """Which of the two types a client wants that sends this ``Accept``: OpenMetrics where it says so."""
    openmetrics = text = 0.0
    for entry in accept.split(","):
        media_type, _, parameters = entry.strip().lower().partition(";")
        weighted = _Q.search(parameters.replace(" ", ""))
        weight = float(weighted[1]) if weighted else 1.0
        if media_type.strip() == "application/openmetrics-text":
            openmetrics = max(openmetrics, weight)
        elif media_type.strip() == "text/plain":
            text = max(text, weight)
    return OPENMETRICS_TYPE if openmetrics and openmetrics >= text else TEXT_TYPE


def family_name(definition: Definition) -> str:
    """The name of a metric in Prometheus, with its unit, without ``_total`` or ``_bucket``."""
    name = _NOT_IN_NAMES.sub("_", definition.name)
    unit = _unit(definition)
    return f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name


def label_name(name: str) -> str:
    """The name of a label in Prometheus."""
    return _NOT_IN_NAMES.sub("_", name)


def sample_names(definition: Definition) -> tuple[str, ...]:
    """The names of all series that a metric becomes."""
    name = family_name(definition)
    match definition.kind:
        case "histogram":
            return f"{name}_bucket", f"{name}_sum", f"{name}_count"
        case "counter":
            return (f"{name}_total",)
        case _:
            return (name,)


def encode(families: Iterable[Family], media_type: str) -> bytes:
    """``families`` as one of the two types."""
    openmetrics = media_type == OPENMETRICS_TYPE
    lines = [line for family in families for line in _family(family, openmetrics=openmetrics)]
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode("utf-8", "replace")


def _family(family: Family, *, openmetrics: bool) -> Iterator[str]:
    definition = family.definition
    name = family_name(definition)
    # In the older format the family of a counter is called like its samples.
    shown = sample_names(definition)[0] if definition.kind == "counter" and not openmetrics else name
    yield f"# HELP {shown} {_escaped(definition.description, quotes=openmetrics)}\n"
    yield f"# TYPE {shown} {_TYPES[definition.kind]}\n"
    unit = _unit(definition)
    if openmetrics and unit:
        yield f"# UNIT {shown} {unit}\n"
    labels = [label_name(label) for label in definition.labels]
    for values, value in family.series:
        pairs = [f'{label}="{_escaped(text, quotes=True)}"' for label, text in zip(labels, values, strict=True)]
        if isinstance(value, HistogramValue):
            yield from _histogram(name, pairs, definition.bounds, value)
        else:
            yield f"{sample_names(definition)[0]}{_braces(pairs)} {_number(value)}\n"


def _histogram(name: str, pairs: list[str], bounds: Sequence[float], value: HistogramValue) -> Iterator[str]:
    ends = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    for end, count in zip(ends, accumulate(value.counts), strict=True):
        bucket = _braces([*pairs, f'le="{end}"'])
        yield f"{name}_bucket{bucket} {count}\n"
    yield f"{name}_sum{_braces(pairs)} {_number(value.sum)}\n"
    yield f"{name}_count{_braces(pairs)} {value.count}\n"


def _unit(definition: Definition) -> str:
    bare = _ANNOTATION.sub("", definition.unit)
    return _UNITS.get(bare, _NOT_IN_NAMES.sub("_", bare).strip("_"))


def _braces(pairs: Sequence[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _escaped(text: str, *, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
