"""The dashboards: made from their descriptions, and every query of them answered by a real Prometheus."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from router.aio import timeout
from tests.docker.prometheus_server import PrometheusServer, prometheus_server
from tests.docker.samples import Samples, served

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "docker" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
NAMES = [path.stem for path in DASHBOARDS]
# Units that Grafana knows by these ids, of those that the dashboards use.
UNITS = {"short", "s", "reqps", "ops", "cps", "percentunit", "currencyUSD"}
# What an expression has so that a panel shows 0 where nothing has happened yet; here there always is something.
OR_ZERO = re.compile(r"\s+or vector\(0\)")


def build_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", GRAFANA / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loaded(path: Path) -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads(path.read_text())
    return dashboard


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: dict[str, Any]) -> dict[str, str]:
    listed = dashboard["templating"]["list"]
    return {each["name"]: each["definition"] for each in listed if each["type"] == "query"}


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where each expression is, and the expression as Grafana would send it."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            text = OR_ZERO.sub("", target["expr"])
            text = text.replace("$__rate_interval", "5s").replace("$__range", "1m")
            for name in variables(dashboard):
                text = re.sub(rf"\${name}\b", ".*", text)
            yield f"{dashboard['title']} / {panel['title']} / {target['refId']}", text


def test_every_dashboard_of_the_plan_is_there() -> None:
    assert NAMES == ["cost", "guards", "models", "routing", "signals", "traffic", "triton"]
    assert {path.stem for path in (GRAFANA / "source").iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_grafana_reads_is_what_the_description_says(name: str) -> None:
    source = GRAFANA / "source" / f"{name}.yaml"
    written = (GRAFANA / "dashboards" / f"{name}.json").read_text()
    assert written == build_module().text_of(source), "run: python docker/grafana/build.py"


@pytest.mark.parametrize("path", DASHBOARDS, ids=NAMES)
def test_panels_can_be_read(path: Path) -> None:
    dashboard = loaded(path)
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len(panel["targets"]) >= 1
        for target in panel["targets"]:
            assert target["legendFormat"] or panel["type"] == "table"
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert all(label in target["expr"] for label in labels), f"{panel['title']}: {labels}"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", DASHBOARDS, ids=NAMES)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in loaded(path)["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_dashboards_have_ids_and_variables_of_their_own() -> None:
    dashboards = [loaded(path) for path in DASHBOARDS]
    assert len({dashboard["uid"] for dashboard in dashboards}) == len(dashboards)
    assert {"listener", "model", "agent"} <= {name for dashboard in dashboards for name in variables(dashboard)}
    for dashboard in dashboards:
        text = json.dumps(dashboard["panels"])
        used = set(re.findall(r"\$(\w+)", text)) - {"__rate_interval", "__range"}
        assert used == set(variables(dashboard)), dashboard["title"]


async def test_every_query_has_an_answer_from_what_the_gateway_exports(tmp_path: Path) -> None:
    dashboards = [loaded(path) for path in DASHBOARDS]
    wanted = dict(entry for dashboard in dashboards for entry in expressions(dashboard))
    labels = {query for dashboard in dashboards for query in variables(dashboard).values()}
    assert len(wanted) > 80
    async with (
        served(Samples(is_broken=True)) as listener,
        prometheus_server(tmp_path, [f"127.0.0.1:{listener.port}"]) as prometheus,
    ):
        try:
            async with timeout(60):
                while wanted:
                    await asyncio.sleep(0.2)
                    wanted = {at: text for at, text in wanted.items() if not await _has_answer(prometheus, text)}
        except (TimeoutError, asyncio.TimeoutError):
            pytest.fail("no answer: " + "\n".join(f"{at}: {text}" for at, text in wanted.items()))
        for query in labels:
            parts = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
            assert parts is not None, query
            assert await prometheus.ask(f"label/{parts[2]}/values", **{"match[]": parts[1]}), query


async def _has_answer(prometheus: PrometheusServer, expression: str) -> bool:
    values = await prometheus.values(expression)
    return bool(values) and all(math.isfinite(value) for value in values)


def test_grafana_finds_the_dashboards_and_where_their_data_is() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"] if "./" in volume)
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/dashboards.yaml").read_text())["providers"]
    assert mounts["./docker/grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./docker/grafana/provisioning"] == "/etc/grafana/provisioning"
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/datasources.yaml").read_text())["datasources"]
    ports = {"prometheus": 9090, "jaeger": 16686}
    assert {each["type"]: each["url"] for each in sources} == {
        name: f"http://{name}:{port}" for name, port in ports.items()
    }
    assert set(ports) <= set(compose["services"])
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).stem in NAMES
