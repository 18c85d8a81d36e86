from __future__ import annotations

from datetime import date

import pytest
from chat import Conversation
from flight_agent import FlightAgent
from places import Gazetteer
from timetable import Flight, Timetable, clock, day_names, duration


def _ask(agent: FlightAgent, today: date, *turns: str) -> str:
    return agent.respond(Conversation(turns, ()), today)


@pytest.mark.parametrize(
    ("turns", "start"),
    [
        (["Find flights from NYC to Paris and check the weather there"], "Flights from New York to Paris ("),
        (["flights to Paris", "from NYC"], "Flights from New York to Paris ("),
        (["flights to Paris", "NYC"], "Flights from New York to Paris ("),
        (["jfk lhr"], "Flights from New York (JFK) to London (LHR) ("),
        (["NYC-LON on 12 July"], "Flights from New York to London on Sunday 12 July 2026 ("),
        (["NYC to Paris on Friday", "and to London?"], "Flights from New York to London on Friday 19 June 2026 ("),
        (["NYC to Paris on Friday", "and on Sunday?"], "Flights from New York to Paris on Sunday 21 June 2026 ("),
        (
            ["NYC to Paris", "the way back on Sunday?"],
            "Flights from Paris to New York on Sunday 21 June 2026 (",
        ),
        (["What's the weather in Oslo?", "and flights there from London?"], "Flights from London to Oslo ("),
        (
            ["flights NYC to Paris", "how about flying this weekend?"],
            "Flights from New York to Paris on Saturday 20 June",
        ),
        (["Paris to NYC in July"], "Flights from Paris to New York in July ("),
        (["between Paris and NYC next week"], "Flights from Paris to New York from Monday 22 June 2026 to Sunday 28"),
    ],
)
def test_knows_which_trip_is_meant(flights: FlightAgent, wednesday: date, turns: list[str], start: str) -> None:
    assert _ask(flights, wednesday, *turns).startswith(start)


def test_a_round_trip_has_both_legs_with_their_dates(flights: FlightAgent, wednesday: date) -> None:
    outbound, back = _ask(flights, wednesday, "Oslo to Rome on Friday, back on Sunday").split("\n\n")
    assert outbound.startswith("Flights from Oslo to Rome on Friday 19 June 2026")
    assert back.startswith("Flights from Rome to Oslo on Sunday 21 June 2026")


@pytest.mark.parametrize(
    ("turns", "part"),
    [
        (["flights"], "From where to where"),
        (["flights to Paris"], "From which city or airport would you like to fly to Paris?"),
        (["flights from Paris"], "Where would you like to fly from Paris?"),
        (["NYC to Paris", "and from Paris?"], "Where would you like to fly from Paris?"),
        (["flights from Springfield to Boston"], "I don't know Springfield."),
        (["flights from Oslo to Italy"], "Which city in Italy do you mean?"),
        (["from JFK to LaGuardia"], "the same city"),
        (["hello"], "Hello! I search flights"),
        (["NYC to Paris", "thank you"], "Have a good trip"),
        (["tell me a joke"], "From where to where"),
    ],
)
def test_asks_or_says_plainly_what_is_missing(
    flights: FlightAgent, wednesday: date, turns: list[str], part: str
) -> None:
    assert part in _ask(flights, wednesday, *turns)


def test_lists_the_cheapest_first_when_asked(flights: FlightAgent, wednesday: date) -> None:
    plain = _ask(flights, wednesday, "JFK to LAX").splitlines()[1:]
    cheapest = _ask(flights, wednesday, "cheapest JFK to LAX").splitlines()[1:]
    prices = [int(line.rsplit("$", 1)[1]) for line in cheapest]
    assert prices == sorted(prices)
    assert len(plain) == len(cheapest) > 1


def test_offers_a_connection_where_nothing_flies_directly(flights: FlightAgent, wednesday: date) -> None:
    answer = _ask(flights, wednesday, "Bergen to Rome")
    assert answer.startswith("No direct flights, but connections from Bergen to Rome")
    assert ", then " in answer


def _flight(number: str, origin: str, destination: str, departs: int, arrives: int, days: str = "1234567") -> Flight:
    weekdays = frozenset(map(int, days))
    return Flight("Test Air", number, origin, destination, weekdays, departs, arrives, arrives - departs, 100)


def _agent(gazetteer: Gazetteer, *lines: Flight) -> FlightAgent:
    return FlightAgent(gazetteer, Timetable(lines))


def test_a_flight_that_does_not_run_that_day_names_the_days_on_which_it_does(
    gazetteer: Gazetteer, wednesday: date
) -> None:
    agent = _agent(gazetteer, _flight("T1", "OSL", "FCO", 600, 780, days="26"))
    answer = _ask(agent, wednesday, "Oslo to Rome on Friday")
    assert answer.startswith("There are no flights from Oslo to Rome on Friday 19 June 2026")
    assert answer.endswith("They run on: Tue, Sat.")
    assert "T1" in _ask(agent, wednesday, "Oslo to Rome on Saturday")


def test_says_when_there_is_no_way(gazetteer: Gazetteer, wednesday: date) -> None:
    agent = _agent(gazetteer, _flight("T1", "OSL", "FCO", 600, 780))
    assert "not even with two changes" in _ask(agent, wednesday, "Rome to Oslo")


def test_a_change_needs_time_but_not_half_a_day() -> None:
    inbound = _flight("T1", "BGO", "OSL", 600, 660)
    soon, good, late = (_flight(f"T{t}", "OSL", "FCO", t, t + 180) for t in (700, 720, 659))
    (itinerary,) = Timetable([inbound, soon, good, late]).search(["BGO"], ["FCO"])
    assert [flight.number for flight in itinerary.flights] == ["T1", "T720"]
    assert itinerary.minutes == 900 - 600
    assert itinerary.price_usd == 200


def test_a_connection_runs_only_on_days_when_both_flights_do() -> None:
    overnight = _flight("T1", "JFK", "CDG", 1380, 1440 + 420, days="15")  # Monday and Friday, arrives the next morning
    onward = _flight("T2", "CDG", "FCO", 540, 660, days="2")  # Tuesday
    (itinerary,) = Timetable([overnight, onward]).search(["JFK"], ["FCO"])
    assert itinerary.weekdays == {1}


def test_the_timetable_fits_the_gazetteer(gazetteer: Gazetteer, timetable: Timetable) -> None:
    assert timetable.search(["JFK"], ["CDG"])
    unreachable = [
        city.name
        for city in gazetteer.cities.values()
        if city.name != "London"
        and not timetable.search([a for a, c in gazetteer.airports.items() if c == city.name], ["LHR", "LGW", "STN"])
    ]
    assert unreachable == []


def test_times_are_written_for_people() -> None:
    assert clock(485) == "08:05"
    assert clock(1440 + 485) == "08:05 (+1 day)"
    assert clock(-10) == "23:50 (-1 day)"
    assert duration(455) == "7 h 35 min"
    assert day_names({1, 3, 5}) == "Mon, Wed, Fri"
    assert day_names(range(1, 8)) == "daily"
