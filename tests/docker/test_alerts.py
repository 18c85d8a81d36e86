"""Prometheus' own configuration: checked by promtool, and every alert both silent and firing on a real one."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.aio import timeout
from tests.docker.prometheus_server import PrometheusServer, prometheus_server, tool
from tests.docker.samples import Samples, served

PROMETHEUS = Path(__file__).parents[2] / "docker" / "prometheus"
COMPOSE = yaml.safe_load((PROMETHEUS.parents[1] / "docker-compose.yaml").read_text())
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
GONE = "TridentGone"


@pytest.mark.parametrize("what", [("config", "prometheus.yml"), ("rules", "alerts.yml")])
def test_promtool_has_no_objection(what: tuple[str, str]) -> None:
    kind, file = what
    checked = subprocess.run(
        [tool("promtool"), "check", kind, file], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_everything_that_is_scraped_is_a_service_of_compose() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    hosts = {target.split(":")[0] for job in jobs for each in job["static_configs"] for target in each["targets"]}
    assert hosts <= {*COMPOSE["services"], "localhost"}


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}


async def test_alerts_fire_when_something_is_wrong_and_only_then(tmp_path: Path) -> None:
    samples = Samples(is_broken=False)
    silent = {rule["alert"]: rule["expr"] for rule in RULES}
    async with (
        served(samples) as listener,
        prometheus_server(tmp_path, [f"127.0.0.1:{listener.port}"]) as prometheus,
    ):
        await _until_scraped(prometheus)
        assert {name for name, text in silent.items() if await prometheus.values(text)} == set()

        samples.is_broken = True
        await _until_firing(prometheus, {name: text for name, text in silent.items() if name != GONE})
        await listener.close()
        await _until_firing(prometheus, {GONE: silent[GONE]})


async def _until_scraped(prometheus: PrometheusServer) -> None:
    """Until every rate and increase has two samples to be made of."""
    async with timeout(60):
        while not await prometheus.values("sum(rate(trident_requests_total[5m])) > 0"):
            await asyncio.sleep(0.1)


async def _until_firing(prometheus: PrometheusServer, waiting: dict[str, str]) -> None:
    try:
        async with timeout(60):
            while waiting:
                await asyncio.sleep(0.2)
                waiting = {name: text for name, text in waiting.items() if not await prometheus.values(text)}
    except (TimeoutError, asyncio.TimeoutError):
        pytest.fail(f"silent: {', '.join(waiting)}")
