from __future__ import annotations

import pytest
from places import DATA, Gazetteer, Text, fold, rows


def _cities(gazetteer: Gazetteer, text: str) -> list[str]:
    return [mention.city.name for mention in gazetteer.find(Text(text))]


@pytest.mark.parametrize(
    ("text", "cities"),
    [
        ("What's the weather in Oslo?", ["Oslo"]),
        ("reykjavik, REYKJAVÍK and Reykjavi\u0301k's pools", ["Reykjavík"] * 3),
        ("zürich Zuerich ZURICH", ["Zürich"] * 3),
        ("NYC or the big apple or New York City", ["New York"] * 3),
        ("from LHR to jfk", ["London", "New York"]),
        ("from Heathrow to charles de gaulle", ["London", "Paris"]),
        ("Saigon, Bombay, Cracow, München", ["Ho Chi Minh City", "Mumbai", "Kraków", "Munich"]),
        ("Mexico City, not Panama City", ["Mexico City", "Panama City"]),
        ("Tromsø tromso", ["Tromsø", "Tromsø"]),
        ("San José and San Juan and San Diego", ["San José", "San Juan", "San Diego"]),
        ("Osloer Straße, Parisian", []),
        ("", []),
    ],
)
def test_finds_cities_by_any_name(gazetteer: Gazetteer, text: str, cities: list[str]) -> None:
    assert _cities(gazetteer, text) == cities


@pytest.mark.parametrize(
    ("text", "cities"),
    [
        ("Nice weather in Oslo", ["Oslo"]),
        ("is it nice?", []),
        ("weather in nice", ["Nice"]),
        ("Oslo or Nice?", ["Oslo", "Nice"]),
        ("can I add a man to San Diego", ["San Diego"]),
        ("flights CAN to MAN", ["Guangzhou", "Manchester"]),
        ("CAN I FLY TO PARIS", ["Paris"]),
        ("fly to la", ["Los Angeles"]),
    ],
)
def test_everyday_words_are_places_only_where_they_are_meant(
    gazetteer: Gazetteer, text: str, cities: list[str]
) -> None:
    assert _cities(gazetteer, text) == cities


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("from Oslo to Rome", ["origin", "destination"]),
        ("to Rome from Oslo", ["destination", "origin"]),
        ("Oslo to Rome", ["origin", "destination"]),
        ("OSL-FCO", ["origin", "destination"]),
        ("Oslo → Rome", ["origin", "destination"]),
        ("Oslo \u2013 Rome", ["origin", "destination"]),
        ("between Oslo and Rome", ["origin", "destination"]),
        ("out of Oslo into Rome", ["origin", "destination"]),
        ("Oslo and Rome", [None, None]),
        ("Oslo, Rome", [None, None]),
        ("weather in Oslo", [None]),
    ],
)
def test_reads_where_from_and_where_to(gazetteer: Gazetteer, text: str, roles: list[str | None]) -> None:
    assert [mention.role for mention in gazetteer.find(Text(text))] == roles


def test_tells_an_airport_from_its_city(gazetteer: Gazetteer) -> None:
    assert [mention.airport for mention in gazetteer.find(Text("JFK, Gatwick, London"))] == ["JFK", "LGW", None]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("weather in Atlantis", ["Atlantis"]),
        ("weather in atlantis tomorrow", ["atlantis"]),
        ("from Minas Tirith to Oslo", ["Minas Tirith"]),
        ("flights from oslo to mordor", ["mordor"]),
        ("Oslo and Atlantis", ["Atlantis"]),
        ("in Oslo on Friday in July for me", []),
        ("in the morning, in general, in 3 days", []),
        ("I want to swim", []),
        ("weather for hiking", []),
    ],
)
def test_notices_places_that_it_does_not_know(gazetteer: Gazetteer, text: str, unknown: list[str]) -> None:
    assert gazetteer.unknown(Text(text)) == unknown


def test_folding_keeps_letters_without_accents() -> None:
    assert [fold(word) for word in ("Łódź", "İzmir", "Ærø", "STRASSE", "straße")] == [
        "lodz",
        "izmir",
        "aero",
        "strasse",
        "strasse",
    ]


def test_climate_normals_are_plausible(gazetteer: Gazetteer) -> None:
    assert len(gazetteer.cities) >= 120
    for city in gazetteer.cities.values():
        assert len(city.high_c) == len(city.low_c) == len(city.rain_days) == 12, city.name
        assert all(-40 < low < high < 50 for low, high in zip(city.low_c, city.high_c, strict=True)), city.name
        assert all(0 <= days <= 28 for days in city.rain_days), city.name


def test_every_city_is_found_by_its_own_names(gazetteer: Gazetteer) -> None:
    for row in rows(DATA / "cities.csv"):
        for name in [row["city"], *filter(None, row["aliases"].split("|"))]:
            assert _cities(gazetteer, f"weather in {name}") == [row["city"]], name


def test_every_airport_is_found_by_its_code(gazetteer: Gazetteer) -> None:
    for iata, city in gazetteer.airports.items():
        (mention,) = gazetteer.find(Text(f"a flight from {iata}"))
        assert (mention.city.name, mention.airport) == (city, iata)
