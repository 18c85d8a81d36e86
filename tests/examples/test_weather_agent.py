from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from chat import Conversation
from places import Gazetteer
from weather_agent import WeatherAgent, estimate, typical


def _ask(agent: WeatherAgent, today: date, *turns: str) -> str:
    return agent.respond(Conversation(turns, ()), today)


def test_answers_with_an_estimate_and_calls_it_one(weather: WeatherAgent, wednesday: date) -> None:
    answer = _ask(weather, wednesday, "What's the weather in Oslo?")
    assert answer.startswith("Weather in Oslo, Norway (a climate-based estimate, not a live forecast):")
    assert "Today, Wednesday 17 June 2026:" in answer
    assert re.search(r"high \d+ °C \(\d+ °F\), low -?\d+ °C", answer)


@pytest.mark.parametrize(
    ("turns", "cities", "day"),
    [
        (["weather in Oslo tomorrow"], ["Oslo"], "Thursday 18 June"),
        (["weather in Oslo tomorrow", "and in Paris?"], ["Paris"], "Thursday 18 June"),
        (["weather in Oslo tomorrow", "and in Paris?", "And on Sunday?"], ["Paris"], "Sunday 21 June"),
        (["I'm off to Rome on Friday", "will I need an umbrella there?"], ["Rome"], "Friday 19 June"),
        (["Compare Oslo and Paris tomorrow"], ["Oslo", "Paris"], "Thursday 18 June"),
        (["Find flights from NYC to Paris and check the weather there"], ["Paris"], "Wednesday 17 June"),
        (["Flights from NYC to Paris, and the weather in Milan"], ["Milan"], "Wednesday 17 June"),
        (["NYC to Paris on Friday: weather in both?"], ["New York", "Paris"], "Friday 19 June"),
        (["I leave from Oslo: what's the weather?"], ["Oslo"], "Wednesday 17 June"),
    ],
)
def test_knows_which_city_and_day_are_meant(
    weather: WeatherAgent, wednesday: date, turns: list[str], cities: list[str], day: str
) -> None:
    answer = _ask(weather, wednesday, *turns)
    assert re.findall(r"Weather in ([\w ]+),", answer) == cities
    assert day in answer


def test_a_month_is_answered_with_its_normals(weather: WeatherAgent, wednesday: date) -> None:
    answer = _ask(weather, wednesday, "What is Cairo like in July?")
    assert answer == (
        "Cairo, Egypt in July (a climate-based estimate): highs around 35 °C (95 °F), lows around 22 °C (72 °F), "
        "hardly any rain."
    )


@pytest.mark.parametrize(
    ("turn", "part"),
    [
        ("weather in Atlantis", "I don't know Atlantis."),
        ("weather in Norway", "Which city in Norway do you mean? I know Bergen, Oslo and Tromsø."),
        ("will it rain tomorrow?", "For which city"),
        ("hello there", "Hello! I can tell you about the weather"),
        ("thanks a lot", "You're welcome"),
        ("tell me a joke", "Which city, and when?"),
        ("", "Which city, and when?"),
    ],
)
def test_asks_or_says_plainly_what_is_missing(weather: WeatherAgent, wednesday: date, turn: str, part: str) -> None:
    assert part in _ask(weather, wednesday, turn)


def test_small_talk_after_a_question_does_not_repeat_the_answer(weather: WeatherAgent, wednesday: date) -> None:
    assert "Oslo" not in _ask(weather, wednesday, "weather in Oslo", "tell me a joke")


def test_an_unknown_city_beside_a_known_one_is_still_named(weather: WeatherAgent, wednesday: date) -> None:
    answer = _ask(weather, wednesday, "weather in Oslo and Atlantis tomorrow")
    assert "Weather in Oslo" in answer
    assert "I don't know Atlantis." in answer


def test_the_same_day_has_the_same_weather_whenever_it_is_asked(gazetteer: Gazetteer, wednesday: date) -> None:
    oslo = gazetteer.cities["Oslo"]
    assert estimate(oslo, wednesday) == estimate(oslo, wednesday)
    assert estimate(oslo, wednesday) != estimate(oslo, wednesday + timedelta(days=1))


def test_estimates_average_to_the_climate(gazetteer: Gazetteer) -> None:
    for name in ("Oslo", "Singapore", "Cairo", "Sydney"):
        city = gazetteer.cities[name]
        year = [estimate(city, date(2027, 1, 1) + timedelta(days=i)) for i in range(365)]
        assert sum(day.high_c for day in year) / 365 == pytest.approx(sum(city.high_c) / 12, abs=1.5)
        wet = sum(day.sky in {"rain", "showers", "snow", "light snow"} for day in year)
        assert wet == pytest.approx(sum(city.rain_days), abs=35)
        assert all(day.low_c < day.high_c and 0 <= day.rain_chance <= 1 for day in year)


def test_snow_falls_only_when_it_is_cold(gazetteer: Gazetteer) -> None:
    days = [date(2027, 1, 1) + timedelta(days=i) for i in range(365)]
    snowy = [day for day in days if "snow" in estimate(gazetteer.cities["Tromsø"], day).sky]
    assert snowy
    assert all(day.month not in {6, 7, 8} for day in snowy)
    assert not any("snow" in estimate(gazetteer.cities["Singapore"], day).sky for day in days)


def test_one_rainy_day_is_singular(gazetteer: Gazetteer) -> None:
    assert "about 1 day." in typical(gazetteer.cities["San José"], 1)
