"""Flight agent: finds flights between cities or airports in the bundled timetable.

python examples/travel/flight_agent.py [--host 127.0.0.1] [--port 10520]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import chat
from dates import MONTH_NAMES, When, find_dates, spoken
from places import City, Gazetteer, Mention, Text, describe_unknown, listed, words
from timetable import Flight, Itinerary, Timetable, clock, day_names, duration

TOPIC = words(
    """flight flights fly flying plane planes airport airports airline airlines ticket tickets depart departure
    departures arrive arrival arrivals cheap cheapest fastest timetable schedule schedules trip travel connection
    connections"""
)
RETURN = re.compile(r"\b(?:return\w*|round[ -]?trip|back)\b", re.IGNORECASE)
CHEAP = words("cheap cheaper cheapest affordable price prices")
MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a trip: a city, or one of its airports."""

    city: City
    airport: str | None

    @property
    def name(self) -> str:
        return f"{self.city.name} ({self.airport})" if self.airport else self.city.name


@dataclass
class Trip:
    """What is known so far about the trip; later turns overrule earlier ones."""

    origin: Endpoint | None = None
    destination: Endpoint | None = None
    dates: list[When] = field(default_factory=list)
    round_trip: bool = False

    def hear(self, text: Text, mentions: Sequence[Mention], today: date) -> None:
        """Take in one user turn."""
        self.dates = find_dates(text.raw, today) or self.dates
        self.round_trip = RETURN.search(text.raw) is not None
        if mentions:
            self._hear_places(mentions)
        elif self.round_trip and self.origin and self.destination:  # "and back on Sunday?" is about the way back only
            self.origin, self.destination = self.destination, self.origin
            self.round_trip = False

    def _hear_places(self, mentions: Sequence[Mention]) -> None:
        origin = next((_endpoint(m) for m in mentions if m.role == "origin"), None)
        destination = next((_endpoint(m) for m in mentions if m.role == "destination"), None)
        taken = {end.city for end in (origin, destination) if end}
        plain = [_endpoint(m) for m in mentions if m.role is None and m.city not in taken]
        if not taken and len(plain) > 1:
            origin, destination = plain[0], plain[1]
        elif plain and origin is None and self.origin is None and (destination or self.destination):
            origin = plain[0]  # the answer to "where from?"
        elif plain and destination is None:
            destination = plain[0]
        if origin is not None and destination is None and self.destination and self.destination.city == origin.city:
            self.destination = None
        if destination is not None and origin is None and self.origin and self.origin.city == destination.city:
            self.origin = None
        self.origin, self.destination = origin or self.origin, destination or self.destination


class FlightAgent:
    def __init__(self, gazetteer: Gazetteer, timetable: Timetable) -> None:
        self._gazetteer = gazetteer
        self._timetable = timetable

    def respond(self, conversation: chat.Conversation, today: date | None = None) -> str:
        """The answer to the newest turn; what it leaves open comes from earlier turns."""
        today = today or datetime.now().astimezone().date()
        newest = Text(conversation.newest)
        mentions = self._gazetteer.find(newest)
        unknown = self._unknown_ends(newest, mentions)
        if unknown:
            return "\n".join(describe_unknown(self._gazetteer, phrase) for phrase in unknown)
        about_us = newest.has(TOPIC) or RETURN.search(newest.raw) or find_dates(newest.raw, today)
        if not mentions and not about_us:
            return self._introduce(newest)
        trip = Trip()
        for turn in map(Text, conversation.user_turns):
            trip.hear(turn, self._gazetteer.find(turn), today)
        return self._answer(trip, cheapest_first=newest.has(CHEAP))

    def _unknown_ends(self, text: Text, mentions: Sequence[Mention]) -> list[str]:
        """Unknown places, unless both ends are known: then the unknown name is about something else."""
        has_both = {"origin", "destination"} <= {mention.role for mention in mentions}
        return [] if has_both else self._gazetteer.unknown(text)

    def _introduce(self, text: Text) -> str:
        if text.has({"thanks", "thank", "bye", "goodbye"}):
            return "You're welcome. Have a good trip!"
        greeting = "Hello! " if text.has({"hello", "hi", "hey"}) else ""
        return f"{greeting}I search flights in a sample timetable. From where to where would you like to fly, and when?"

    def _answer(self, trip: Trip, *, cheapest_first: bool) -> str:
        if trip.origin is None and trip.destination is None:
            return "From where to where would you like to fly? For example: flights from NYC to Paris on Friday."
        if trip.origin is None:
            assert trip.destination is not None
            return f"From which city or airport would you like to fly to {trip.destination.name}?"
        if trip.destination is None:
            return f"Where would you like to fly from {trip.origin.name}?"
        if trip.origin.city == trip.destination.city:
            return f"{trip.origin.name} and {trip.destination.name} are the same city: there is no flight to take."
        outbound = trip.dates[0] if trip.dates else None
        parts = [self._leg(trip.origin, trip.destination, outbound, cheapest_first=cheapest_first)]
        if trip.round_trip:
            back = trip.dates[1] if len(trip.dates) > 1 else None
            parts.append(self._leg(trip.destination, trip.origin, back, cheapest_first=cheapest_first))
        return "\n\n".join(parts)

    def _leg(self, origin: Endpoint, destination: Endpoint, when: When | None, *, cheapest_first: bool) -> str:
        route = f"from {origin.name} to {destination.name}"
        ends = self._airports(origin), self._airports(destination)
        weekdays = {day.isoweekday() for day in when.days} if when and when.days else set(range(1, 8))
        found = self._timetable.search(*ends)
        running = [option for option in found if option.weekdays & weekdays]
        day = _spoken(when)
        if not found:
            return f"There are no flights {route} in the sample timetable, not even with two changes."
        if not running:
            others = day_names(frozenset().union(*(option.weekdays for option in found)))
            return f"There are no flights {route}{day} in the sample timetable. They run on: {others}."
        if cheapest_first:
            running.sort(key=lambda option: option.price_usd)
        kind = "Flights" if len(running[0].flights) == 1 else "No direct flights, but connections"
        lines = [f"{kind} {route}{day} (sample timetable, local times):"]
        lines += [f"{number}. {_describe(option)}" for number, option in enumerate(running[:MAX_SHOWN], 1)]
        if len(running) > MAX_SHOWN:
            lines.append(f"There are {len(running) - MAX_SHOWN} more.")
        return "\n".join(lines)

    def _airports(self, end: Endpoint) -> list[str]:
        if end.airport:
            return [end.airport]
        return [iata for iata, city in self._gazetteer.airports.items() if city == end.city.name]


def _endpoint(mention: Mention) -> Endpoint:
    return Endpoint(mention.city, mention.airport)


def _spoken(when: When | None) -> str:
    if when is None:
        return ""
    if when.month is not None:
        return f" in {MONTH_NAMES[when.month - 1]}"
    if len(when.days) > 2:
        return f" from {spoken(when.days[0])} to {spoken(when.days[-1])}"
    return f" on {listed([spoken(day) for day in when.days])}"


def _describe(option: Itinerary) -> str:
    flights = ", then ".join(map(_describe_flight, option.flights))
    return f"{flights}, {duration(option.minutes)}, {day_names(option.weekdays)}, from ${option.price_usd}"


def _describe_flight(flight: Flight) -> str:
    times = f"{flight.origin} {clock(flight.departs)} → {flight.destination} {clock(flight.arrives)}"
    return f"{flight.carrier} {flight.number}, {times}"


if __name__ == "__main__":
    chat.run("flight_agent", FlightAgent(Gazetteer.load(), Timetable.load()).respond, default_port=10520)
