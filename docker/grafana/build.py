"""Makes the dashboards that Grafana reads from their short descriptions: ``python docker/grafana/build.py``.

``source/NAME.yaml`` says what is shown, ``dashboards/NAME.json`` is the same as Grafana has it. A description has
``title``, ``variables`` (names of VARIABLES) and ``rows``: each with a ``title`` and ``panels``. A panel has ``title``,
``queries`` (legend: PromQL expression), and if it likes ``kind`` (``timeseries``), ``unit`` (Grafana's ids; ``short``),
``width`` (of 24; 8), ``stacked``, ``text`` (what to make of it) and ``limits`` (yellow and red from these values on).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent
SOURCES, DASHBOARDS = FOLDER / "source", FOLDER / "dashboards"

# Names of template variables: what they are called, and where their values come from.
VARIABLES: Mapping[str, tuple[str, str, str]] = {
    "listener": ("Listener", "trident_requests_total", "trident_listener"),
    "model": ("Model", "trident_tokens_total", "gen_ai_request_model"),
    "agent": ("Agent or route", "trident_route_selected_total", "trident_route"),
    "upstream": ("Upstream", "trident_upstream_attempts_total", "trident_upstream"),
    "guard": ("Guard", "trident_guard_verdicts_total", "trident_guard"),
    "api_key": ("API key", "trident_tokens_total", "trident_api_key_name"),
    "triton_model": ("Model on Triton", "trident_triton_requests_total", "trident_model"),
}
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS = {"stat": 4, "row": 1}
_COLUMNS = 24


def dashboard(name: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard ``trident-NAME`` as Grafana has it."""
    return {
        "uid": f"trident-{name}",
        "title": f"Trident: {source['title']}",
        "tags": ["trident"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *(_variable(each) for each in source.get("variables", []))]},
        "links": [
            {"type": "dashboards", "title": "Trident", "tags": ["trident"], "asDropdown": True, "keepTime": True}
        ],
        "panels": list(_panels(source["rows"])),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(name: str) -> dict[str, Any]:
    label, metric, of = VARIABLES[name]
    query = f"label_values({metric}, {of})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows from top to bottom, and in each the panels from left to right, in lines where one is not enough."""
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row["title"],
            "collapsed": False,
            "panels": [],
            **_at(0, top, "row"),
        }
        top += _HEIGHTS["row"]
        left = height = 0
        for panel in row["panels"]:
            number += 1
            kind, width = panel.get("kind", "timeseries"), panel.get("width", 8)
            if left + width > _COLUMNS:
                top, left, height = top + height, 0, 0
            yield {"id": number, **_panel(panel, kind), **_at(left, top, kind, width)}
            left, height = left + width, max(height, _HEIGHTS.get(kind, 8))
        top += height


def _at(left: int, top: int, kind: str, width: int = _COLUMNS) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": _HEIGHTS.get(kind, 8)}}


def _panel(panel: Mapping[str, Any], kind: str) -> dict[str, Any]:
    steps = [
        {"color": color, "value": at} for color, at in zip(("yellow", "red"), panel.get("limits", []), strict=False)
    ]
    custom = {"fillOpacity": 20, "showPoints": "never", "stacking": {"mode": "normal"}} if panel.get("stacked") else {}
    if kind == "timeseries":
        custom = {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never", **custom}
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("text", ""),
        "datasource": _DATASOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": panel.get("unit", "short"),
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": [{"color": "green", "value": None}, *steps]},
            },
            "overrides": [],
        },
        "options": _options(kind),
        "targets": [
            _target(chr(ord("A") + place), legend, expression, kind)
            for place, (legend, expression) in enumerate(panel["queries"].items())
        ],
    }


def _target(ref: str, legend: str, expression: str, kind: str) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": _DATASOURCE,
        "expr": " ".join(expression.split()),
        "legendFormat": legend,
        "instant": kind != "timeseries",
        "range": kind == "timeseries",
        "format": "table" if kind == "table" else "time_series",
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind in ("stat", "bargauge"):
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "colorMode": "value"}
    return {"showHeader": True}


def text_of(source: Path) -> str:
    """What belongs into the JSON file of a description."""
    built = dashboard(source.stem, yaml.safe_load(source.read_text(encoding="utf-8")))
    return json.dumps(built, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in sorted(SOURCES.glob("*.yaml")):
        (DASHBOARDS / f"{each.stem}.json").write_text(text_of(each), encoding="utf-8")
