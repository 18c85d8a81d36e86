from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from router.config import load_config

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "weather"))

from weather_api import Unusable, build_app, find_city, forecast

CONFIG = Path(__file__).parents[2] / "examples" / "weather" / "config.yaml"


@asynccontextmanager
async def _served() -> AsyncIterator[str]:
    runner = web.AppRunner(build_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("location", ["oslo", "Oslo", "Oslo, Norway", " OSLO , NO"])
def test_a_city_is_found_however_it_is_written(location: str) -> None:
    assert find_city(location).region == "Norway"
    with pytest.raises(Unusable, match="no forecast for 'Atlantis'"):
        find_city("Atlantis")


def test_a_forecast_has_the_days_asked_for_and_follows_the_season() -> None:
    winter = forecast(find_city("Oslo"), 10, "celsius", date(2026, 1, 10))["days"]
    summer = forecast(find_city("Oslo"), 10, "celsius", date(2026, 7, 10))["days"]
    assert [day["date"] for day in winter] == [f"2026-01-{number}" for number in range(10, 20)]
    assert max(day["high"] for day in winter) < min(day["high"] for day in summer)
    assert all(day["low"] < day["high"] for day in [*winter, *summer])
    southern = forecast(find_city("Sydney"), 10, "celsius", date(2026, 7, 10))["days"]
    assert sum(day["high"] for day in southern) < sum(day["high"] for day in summer)
    fahrenheit = forecast(find_city("Oslo"), 1, "fahrenheit", date(2026, 7, 10))["days"]
    assert fahrenheit[0]["high"] > summer[0]["high"] + 32


async def test_the_service_answers_and_says_why_it_does_not() -> None:
    async with _served() as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/forecast", params={"location": "Rome", "days": "3"}) as response:
            assert len((await response.json())["days"]) == 3
        for params, status in (({"location": "Atlantis"}, 404), ({"location": "Rome", "days": "99"}, 400)):
            async with session.get(f"{url}/forecast", params=params) as response:
                assert response.status == status
                assert (await response.json())["error"]["message"]
        alert = {"email": "bob@example.com", "location": "Rome", "event": "heat"}
        async with session.post(f"{url}/alerts", json=alert) as response:
            assert (response.status, (await response.json())["message"]) == (
                201,
                "bob@example.com will be told about heat in Rome, Italy.",
            )


def test_the_configuration_loads() -> None:
    config = load_config(CONFIG, {}).config
    assert [target.name for target in config.prompt_targets] == ["get_weather", "create_alert"]
