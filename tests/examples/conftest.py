from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import pytest

# The examples import each other as a user's copy of the folder does.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "travel"))

from flight_agent import FlightAgent
from places import Gazetteer
from timetable import Timetable
from weather_agent import WeatherAgent


@pytest.fixture(scope="session")
def gazetteer() -> Gazetteer:
    return Gazetteer.load()


@pytest.fixture(scope="session")
def timetable() -> Timetable:
    return Timetable.load()


@pytest.fixture(scope="session")
def weather(gazetteer: Gazetteer) -> WeatherAgent:
    return WeatherAgent(gazetteer)


@pytest.fixture(scope="session")
def flights(gazetteer: Gazetteer, timetable: Timetable) -> FlightAgent:
    return FlightAgent(gazetteer, timetable)


@pytest.fixture(scope="session")
def wednesday() -> date:
    return date(2026, 6, 17)
