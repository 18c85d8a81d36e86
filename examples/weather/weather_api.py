"""A small weather service: forecasts that are estimates from latitude and season, and sign-ups for alerts.

python examples/weather/weather_api.py [--host 127.0.0.1] [--port 10530]

GET /forecast?location=Oslo&days=3&units=celsius
POST /alerts {"email": "...", "location": "Oslo", "event": "storm"}
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web

MAX_DAYS = 14


@dataclass(frozen=True, slots=True)
class City:
    """A place; the latitude says how warm it is, ``sea`` (0 to 1) how little that changes over the year."""

    name: str
    region: str
    latitude: float
    sea: float


CITIES: Mapping[str, City] = {
    city.name.casefold(): city
    for city in (
        City("Amsterdam", "Netherlands", 52.4, 0.7),
        City("Austin", "Texas", 30.3, 0.3),
        City("Berlin", "Germany", 52.5, 0.4),
        City("Boston", "Massachusetts", 42.4, 0.4),
        City("Cairo", "Egypt", 30.0, 0.3),
        City("Cape Town", "South Africa", -33.9, 0.8),
        City("Chicago", "Illinois", 41.9, 0.2),
        City("Denver", "Colorado", 39.7, 0.2),
        City("Dublin", "Ireland", 53.3, 0.9),
        City("Helsinki", "Finland", 60.2, 0.3),
        City("Lisbon", "Portugal", 38.7, 0.8),
        City("London", "England", 51.5, 0.7),
        City("Madrid", "Spain", 40.4, 0.2),
        City("Miami", "Florida", 25.8, 0.8),
        City("Mumbai", "India", 19.1, 0.8),
        City("Munich", "Germany", 48.1, 0.3),
        City("New York", "New York", 40.7, 0.4),
        City("Oslo", "Norway", 59.9, 0.4),
        City("Paris", "France", 48.9, 0.5),
        City("Portland", "Oregon", 45.5, 0.6),
        City("Reykjavik", "Iceland", 64.1, 0.9),
        City("Rome", "Italy", 41.9, 0.6),
        City("San Francisco", "California", 37.8, 0.9),
        City("Seattle", "Washington", 47.6, 0.7),
        City("Singapore", "Singapore", 1.4, 0.9),
        City("Sydney", "Australia", -33.9, 0.7),
        City("Tokyo", "Japan", 35.7, 0.5),
        City("Toronto", "Canada", 43.7, 0.2),
        City("Vienna", "Austria", 48.2, 0.3),
        City("Zurich", "Switzerland", 47.4, 0.3),
    )
}


class Unusable(Exception):
    """A request that cannot be served, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_city(location: str) -> City:
    """The city of "Oslo", "Oslo, Norway" or "seattle, WA"."""
    city = CITIES.get(location.partition(",")[0].strip().casefold())
    if city is None:
        known = ", ".join(each.name for each in CITIES.values())
        raise Unusable(404, f"There is no forecast for {location!r}. Known cities: {known}.")
    return city


def forecast(city: City, days: int, units: str, today: date) -> dict[str, Any]:
    """The next ``days`` days from ``today`` on. The same city and day always have the same weather."""
    return {
        "location": f"{city.name}, {city.region}",
        "units": units,
        "days": [_day(city, today + timedelta(days=ahead), units) for ahead in range(days)],
    }


def _day(city: City, day: date, units: str) -> dict[str, Any]:
    season = math.cos((day.timetuple().tm_yday - 20) / 365 * 2 * math.pi) * (1 if city.latitude > 0 else -1)
    mean = 28 - abs(city.latitude) * 0.36 - season * (1 - city.sea * 0.6) * abs(city.latitude) * 0.3
    digest = hashlib.blake2b(f"{city.name} {day.isoformat()}".encode(), digest_size=3).digest()
    swing, wetness, wind = (value / 255 for value in digest)
    high, low = mean + 3 + 4 * swing, mean - 5 + 3 * swing
    wet = wetness < 0.25 + 0.2 * city.sea
    sky = ("snow" if mean < 0 else "rain") if wet else ("sunny" if wetness > 0.7 else "cloudy")
    return {
        "date": day.isoformat(),
        "sky": sky,
        "high": _degrees(high, units),
        "low": _degrees(low, units),
        "wind_kmh": round(5 + 30 * wind),
    }


def _degrees(celsius: float, units: str) -> int:
    return round(celsius * 9 / 5 + 32 if units == "fahrenheit" else celsius)


async def get_forecast(request: web.Request) -> web.Response:
    """``GET /forecast``."""
    query = request.query
    days, units = query.get("days", "1"), query.get("units", "celsius")
    if not (days.isascii() and days.isdigit() and 1 <= int(days) <= MAX_DAYS):
        raise Unusable(400, f"There are forecasts for 1 to {MAX_DAYS} days.")
    if units not in ("celsius", "fahrenheit"):
        raise Unusable(400, "'units' has to be celsius or fahrenheit.")
    today = datetime.now().astimezone().date()
    return web.json_response(forecast(find_city(query.get("location", "")), int(days), units, today))


async def create_alert(request: web.Request) -> web.Response:
    """``POST /alerts``."""
    wanted = await request.json()
    city = find_city(str(wanted.get("location", "")))
    return web.json_response(
        {"message": f"{wanted.get('email')} will be told about {wanted.get('event')} in {city.name}, {city.region}."},
        status=201,
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """``Unusable`` as ``{"error": {"message"}}``."""
    try:
        response: web.StreamResponse = await handler(request)
    except Unusable as exc:
        return web.json_response({"error": {"message": str(exc)}}, status=exc.status)
    return response


def build_app() -> web.Application:
    """The service."""
    app = web.Application(middlewares=[errors_as_json])
    app.add_routes([web.get("/forecast", get_forecast), web.post("/alerts", create_alert)])
    return app


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A small weather service")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=10530)
    arguments = parser.parse_args()
    print(f"weather service on http://{arguments.host}:{arguments.port}", flush=True)
    web.run_app(build_app(), host=arguments.host, port=arguments.port, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main()
