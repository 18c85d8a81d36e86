from __future__ import annotations

from typing import Any

import pytest

from tests.functions.extraction.readings import WEATHER, arguments, calls, parameter, target


@pytest.mark.parametrize(
    ("described", "text", "value"),
    [
        (parameter("guests", "Number of guests", type="integer"), "a table for four please", 4),
        (parameter("nights", "Number of nights", type="integer"), "from Friday to Monday", 3),
        (parameter("nights", "Number of nights", type="integer"), "for two weeks", 14),
        (parameter("delay_minutes", "Minutes to wait", type="integer"), "in half an hour", 30),
        (parameter("weight_kg", "Weight in kilograms", type="number"), "it weighs 800 grams", 0.8),
        (parameter("memory_gb", "Memory in gigabytes", type="integer"), "with 2 TB of memory", 2000),
        (parameter("percent", "Discount in percent", type="integer"), "twenty percent off", 20),
        (parameter("max_price", "Highest price", type="number"), "under $200 a night", 200),
        (parameter("stars", "Class from 1 to 5", type="integer", required=True), "a 4-star hotel", 4),
        (parameter("length", "Length", format="duration"), "for an hour and 15 minutes", "PT1H15M"),
        (parameter("length", "Length", format="duration"), "for ten days", "P10D"),
        (parameter("day", "Day", format="date"), "on the 3rd of July", "2025-07-03"),
        (parameter("happened", "Day on which it happened", format="date"), "on Monday", "2025-06-09"),
        (parameter("at", "Time", format="time"), "at 7pm", "19:00:00"),
        (parameter("start", "Begin", format="date-time"), "tomorrow at 3pm", "2025-06-12T15:00:00+00:00"),
        (parameter("mail", "Address", format="email"), "write to jo@example.com.", "jo@example.com"),
        (parameter("page", "Web page"), "no format: watch www.example.com", None),
        (parameter("page", "Web page", format="uri"), "watch www.example.com", "https://www.example.com"),
        (parameter("phone", "Number"), "call +1 415 555 2671", "+14155552671"),
        (parameter("order", "Order number like A-12345"), "where is b-90412?", "B-90412"),
        (parameter("device", "Id such as rtr-0042"), "reboot sw-0099 now", "sw-0099"),
        (parameter("country", "Country, ISO 3166-1 alpha-2 code"), "a parcel to Japan", "JP"),
        (parameter("country", "Name of the country"), "a parcel to Japan", "Japan"),
        (parameter("language", "Language, ISO 639-1 code"), "into Polish", "pl"),
        (parameter("currency", "ISO 4217 code"), "20 Swiss francs", "CHF"),
        (parameter("postcode", "Postal code"), "from postcode SW1A 1AA", "SW1A 1AA"),
        (parameter("iban", "Account"), "to CH9300762011623852957", "CH9300762011623852957"),
        (parameter("genre", "Genre", enum=("hip-hop", "jazz")), "play some hip hop", "hip-hop"),
        (parameter("kind", "Kind: annual (vacation, PTO), sick", enum=("annual", "sick")), "two weeks PTO", "annual"),
        (parameter("os", "System", enum=("debian-12", "ubuntu-24.04")), "a Debian machine", "debian-12"),
        (parameter("state", "State", enum=("on", "off")), "switch it on", "on"),
        (parameter("state", "State", enum=("on", "off")), "on Friday", None),
        (parameter("money", "Money", enum=("EUR", "USD")), "it costs €20", "EUR"),
        (parameter("level", "Level", type="integer", enum=(1, 2, 3)), "take level 2", 2),
        (parameter("breakfast", "With breakfast", type="boolean"), "a room without breakfast", False),
        (parameter("public_ip", "Public address", type="boolean"), "and a public IP", True),
        (parameter("public_ip", "Public address", type="boolean"), "and a public key", None),
        (parameter("city", "City"), "somewhere in New Orleans tomorrow", "New Orleans"),
        (parameter("city", "City"), "Portland, Oregon it is: in Portland, Oregon", "Portland, Oregon"),
        (parameter("room", "Room, such as kitchen or living room"), "lights in the living room", "living room"),
        (parameter("patient_name", "Full name of the patient"), "my name is Tom Becker", "Tom Becker"),
        (parameter("artist", "Artist"), "songs by Nina Simone please", "Nina Simone"),
        (parameter("title", "Title"), 'play "Blue in Green"', "Blue in Green"),
        (parameter("name", "Name of the machine"), "a machine called web-01", "web-01"),
        (parameter("query", "Words to search for"), "tickets about printer problems", "printer problems"),
        (parameter("reason", "Reason"), "because my daughter graduates", "my daughter graduates"),
        (parameter("text", "Text", required=True), "saying I will be late", "I will be late"),
        (parameter("to", "Addresses", type="array", format="email"), "a@x.org and b@x.org", ["a@x.org", "b@x.org"]),
        (parameter("tags", "Tags", type="array"), "tags: iot, edge", ["iot", "edge"]),
        (parameter("extras", "Extras", type="array", enum=("gym", "pool")), "a pool and a gym", ["pool", "gym"]),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_parameter_describes_it(described: Any, text: str, value: Any) -> None:
    assert arguments(target(described), text).get(described.name) == value


def test_the_weather_example() -> None:
    text = "how is the weather in Seattle for the next 10 days"
    assert arguments(WEATHER, text) == {"location": "Seattle", "days": 10}


@pytest.mark.parametrize("text", ["how's the weather", "", "???", "what can you do for me", "tell me more, please"])
def test_what_was_not_said_has_no_value(text: str) -> None:
    assert arguments(WEATHER, text) == {}


JOURNEY = target(
    parameter("origin", "City to leave from", required=True),
    parameter("destination", "City to go to", required=True),
    parameter("departure_date", "Day of departure", format="date"),
    parameter("return_date", "Day of the return", format="date"),
    name="search_trains",
    description="Search trains",
)


@pytest.mark.parametrize(
    "text",
    [
        "from Lyon to Basel on July 1 and back on July 5",
        "to Basel from Lyon, leaving July 1, returning July 5",
        "trains Lyon to Basel, July 1 until July 5",
    ],
)
def test_each_part_of_a_turn_has_one_role(text: str) -> None:
    assert arguments(JOURNEY, text) == {
        "origin": "Lyon", "destination": "Basel", "departure_date": "2025-07-01", "return_date": "2025-07-05",
    }  # fmt: skip


def test_a_number_serves_one_parameter_only() -> None:
    room = target(parameter("adults", "Adults", type="integer"), parameter("children", "Children", type="integer"))
    assert arguments(room, "2 adults and 3 children") == {"adults": 2, "children": 3}


def test_two_of_a_kind_leave_a_doubt() -> None:
    [call] = calls(
        target(parameter("mail", "Address", format="email")), "write to a@example.com. Or was it b@example.com"
    )
    assert call.uncertain == ("mail",)


@pytest.mark.parametrize(
    "hostile",
    [
        "weather in Oslo\r\nX-Admin: true",
        "weather in Oslo; DROP TABLE cities",
        "weather in Oslo' OR '1'='1",
        "weather in Oslo$(reboot)",
        "weather in Oslo/../../etc/passwd",
    ],
)
def test_what_surrounds_a_name_is_no_part_of_it(hostile: str) -> None:
    assert arguments(WEATHER, hostile)["location"] == "Oslo"
