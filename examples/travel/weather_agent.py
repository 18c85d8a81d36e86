"""Weather agent: forecasts for the cities of the bundled data, as estimates from their climate.

python examples/travel/weather_agent.py [--host 127.0.0.1] [--port 10510]
"""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import chat
from dates import MONTH_NAMES, When, find_dates, spoken
from places import City, Gazetteer, Mention, Text, describe_unknown, words

TOPIC = words(
    """weather forecast forecasts temperature temperatures rain rainy raining snow snowing sun sunny wind windy hot cold
    warm warmer colder cool umbrella jacket coat wear pack climate degrees humid dry wet storm outside like"""
)
MAX_CITIES, MAX_DAYS = 5, 7


@dataclass(frozen=True, slots=True)
class Forecast:
    """One day's estimate: whole degrees Celsius, and how likely it rains (0 to 1)."""

    high_c: int
    low_c: int
    rain_chance: float
    sky: str


class WeatherAgent:
    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer

    def respond(self, conversation: chat.Conversation, today: date | None = None) -> str:
        """The answer to the newest turn; city and date come from earlier turns where it names none."""
        today = today or datetime.now().astimezone().date()
        turns = [Text(turn) for turn in conversation.user_turns]
        newest = turns[-1]
        cities = wanted_cities(newest, self._gazetteer.find(newest))
        unknown = self._gazetteer.unknown(newest)
        when = find_dates(newest.raw, today)
        if not cities and unknown:
            return "\n".join(describe_unknown(self._gazetteer, phrase) for phrase in unknown)
        if not (cities or when or newest.has(TOPIC)):
            return self._introduce(newest)
        for earlier in reversed(turns[:-1]):
            cities = cities or wanted_cities(earlier, self._gazetteer.find(earlier))
            when = when or find_dates(earlier.raw, today)
        if not cities:
            return "For which city would you like the weather? For example: weather in Oslo tomorrow."
        parts = [report(city, when, today) for city in cities[:MAX_CITIES]]
        parts += [describe_unknown(self._gazetteer, phrase) for phrase in unknown]
        return "\n\n".join(parts)

    def _introduce(self, text: Text) -> str:
        if text.has({"thanks", "thank", "bye", "goodbye"}):
            return "You're welcome. Ask me about the weather in another city whenever you like."
        greeting = "Hello! " if text.words[:1] and text.words[0] in {"hello", "hi", "hey", "good"} else ""
        return (
            f"{greeting}I can tell you about the weather in {len(self._gazetteer.cities)} cities around the world, "
            "for a day, a week or a month. Which city, and when?"
        )


def wanted_cities(text: Text, mentions: Sequence[Mention]) -> list[City]:
    """The cities whose weather is asked for: not the one somebody leaves from, unless it is the only one.

    "Flights from Oslo to Rome and the weather there" means Rome, "... and the weather in Milan" means Milan.
    """
    chosen = list(mentions)
    if not text.has({"both"}):
        plain = [mention for mention in mentions if mention.role is None]
        arrivals = [mention for mention in mentions if mention.role != "origin"]
        about_trip = text.has({"there"}) and len(arrivals) > len(plain)
        chosen = (arrivals if about_trip else plain) or arrivals or chosen
    return list(dict.fromkeys(mention.city for mention in chosen))


def report(city: City, when: Sequence[When], today: date) -> str:
    """The weather of one city: for days, for months, or, without a date, for today and the next two days."""
    if not when:
        when = [When(tuple(today + timedelta(days=i) for i in range(3)))]
    days = list(dict.fromkeys(day for period in when for day in period.days))[:MAX_DAYS]
    lines = [typical(city, period.month) for period in when if period.month is not None]
    if days:
        lines.append(f"Weather in {city.full_name} (a climate-based estimate, not a live forecast):")
        lines += [
            f"- {'Today, ' if day == today else ''}{spoken(day)}: {describe(estimate(city, day))}" for day in days
        ]
    return "\n".join(lines)


def typical(city: City, month: int) -> str:
    """The climate of one month in a sentence."""
    high, low, rain = (values[month - 1] for values in (city.high_c, city.low_c, city.rain_days))
    wet = f"rain on about {rain} {'day' if rain == 1 else 'days'}" if rain else "hardly any rain"
    return (
        f"{city.full_name} in {MONTH_NAMES[month - 1]} (a climate-based estimate): highs around {_degrees(high)}, "
        f"lows around {_degrees(low)}, {wet}."
    )


def estimate(city: City, day: date) -> Forecast:
    """The same city and day always give the same estimate: the normals of the season plus some weather of its own."""
    swing, spread, luck = _draws(city.name, day)
    rain_chance = min(max(_seasonal(city.rain_days, day) / 30, 0.0), 0.95)
    wet = luck < rain_chance
    high = _seasonal(city.high_c, day) + 6 * swing - 3 - (2 if wet else 0)
    low = min(_seasonal(city.low_c, day) + 4 * spread - 2, high - 2)
    # A wet day's estimate leans towards rain, a dry one's away from it, around the normal of the season.
    shown = rain_chance + (1 - rain_chance) * 0.5 if wet else rain_chance * 0.6
    return Forecast(round(high), round(low), shown, _sky(wet, luck, rain_chance, (high + low) / 2))


def describe(forecast: Forecast) -> str:
    """One day in words."""
    chance = round(forecast.rain_chance * 20) * 5
    kind = "snow" if "snow" in forecast.sky else "rain"
    return (
        f"{forecast.sky}, high {_degrees(forecast.high_c)}, low {_degrees(forecast.low_c)}, {chance} % chance of {kind}"
    )


def _sky(wet: bool, luck: float, rain_chance: float, mean_c: float) -> str:
    if wet:
        heavy = luck < rain_chance / 3
        if mean_c < 0.5:
            return "snow" if heavy else "light snow"
        return "rain" if heavy else "showers"
    clearness = (luck - rain_chance) / (1 - rain_chance)
    return "cloudy" if clearness < 0.25 else "partly cloudy" if clearness < 0.6 else "sunny"


def _seasonal(normals: Sequence[int], day: date) -> float:
    """A normal between the months: each month's value holds in its middle."""
    position = (day.day - 0.5) / monthrange(day.year, day.month)[1] - 0.5
    neighbour = normals[(day.month - 1 + (1 if position > 0 else -1)) % 12]
    return normals[day.month - 1] * (1 - abs(position)) + neighbour * abs(position)


def _draws(name: str, day: date) -> tuple[float, float, float]:
    """Three numbers from 0 to 1 that depend on the city and the day only."""
    digest = hashlib.blake2b(f"{name} {day.isoformat()}".encode(), digest_size=12).digest()
    first, second, third = (int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in (0, 4, 8))
    return first, second, third


def _degrees(celsius: int) -> str:
    return f"{celsius} °C ({round(celsius * 9 / 5 + 32)} °F)"


if __name__ == "__main__":
    chat.run("weather_agent", WeatherAgent(Gazetteer.load()).respond, default_port=10510)
