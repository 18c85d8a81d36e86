"""The timetable: direct flights, and connections with one or two changes where there are none."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from places import DATA, rows

DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY = 24 * 60
MIN_CHANGE, MAX_CHANGE = 60, 14 * 60  # minutes
MAX_CHANGES = 2


@dataclass(frozen=True, slots=True)
class Flight:
    """One line of the timetable; minutes count from midnight, local time, and go past 24 h on the next day."""

    carrier: str
    number: str
    origin: str
    destination: str
    weekdays: frozenset[int]
    """ISO weekdays of departure, Monday = 1."""
    departs: int
    arrives: int
    minutes: int
    price_usd: int


@dataclass(frozen=True, slots=True)
class Itinerary:
    """Flights that connect; ``weekdays`` are those on which the first one leaves and every other one can be met."""

    flights: tuple[Flight, ...]
    weekdays: frozenset[int]
    minutes: int
    """From the first departure to the last arrival."""

    @property
    def price_usd(self) -> int:
        return sum(flight.price_usd for flight in self.flights)

    def then(self, flight: Flight) -> Itinerary | None:
        """This one with a further flight, if that can be met after a reasonable wait."""
        last = self.flights[-1]
        wait = (flight.departs - last.arrives) % DAY
        wait += DAY if wait < MIN_CHANGE else 0
        if wait > MAX_CHANGE:
            return None
        elapsed = sum(f.arrives - f.departs for f in self.flights) + self._waits() + wait
        later = (self.flights[0].departs + elapsed) // DAY  # days between the two departures, on the local calendars
        weekdays = frozenset(day for day in self.weekdays if (day - 1 + later) % 7 + 1 in flight.weekdays)
        if not weekdays:
            return None
        return Itinerary((*self.flights, flight), weekdays, self.minutes + wait + flight.minutes)

    def _waits(self) -> int:
        return self.minutes - sum(flight.minutes for flight in self.flights)


class Timetable:
    def __init__(self, flights: Iterable[Flight]) -> None:
        self._from: defaultdict[str, list[Flight]] = defaultdict(list)
        for flight in flights:
            self._from[flight.origin].append(flight)

    @classmethod
    def load(cls, path: Path = DATA / "flights.csv") -> Timetable:
        return cls(_flight(row) for row in rows(path))

    def search(self, origins: Collection[str], destinations: Collection[str]) -> list[Itinerary]:
        """The ways between two sets of airports with the fewest changes, two at most.

        Direct flights by time of departure; connections the quickest first, one for each first flight, no wide detours.
        """
        begun = [
            Itinerary((flight,), flight.weekdays, flight.minutes) for origin in origins for flight in self._from[origin]
        ]
        for changes in range(MAX_CHANGES + 1):
            arrived = [itinerary for itinerary in begun if itinerary.flights[-1].destination in destinations]
            if arrived:
                return sorted(arrived, key=lambda i: i.flights[0].departs) if changes == 0 else _best(arrived)
            begun = list(self._extended(begun, avoid=origins))
        return []

    def _extended(self, itineraries: Iterable[Itinerary], *, avoid: Collection[str]) -> Iterator[Itinerary]:
        for itinerary in itineraries:
            visited = {*avoid, *(flight.origin for flight in itinerary.flights)}
            for flight in self._from[itinerary.flights[-1].destination]:
                if flight.destination not in visited and (longer := itinerary.then(flight)) is not None:
                    yield longer


def clock(minutes: int) -> str:
    """``18:30``, or ``08:05 (+1 day)``."""
    days, time = divmod(minutes, DAY)
    text = f"{time // 60:02d}:{time % 60:02d}"
    return text if days == 0 else f"{text} ({days:+d} {'day' if abs(days) == 1 else 'days'})"


def duration(minutes: int) -> str:
    """``7 h 35 min``."""
    return f"{minutes // 60} h {minutes % 60:02d} min"


def day_names(weekdays: Collection[int]) -> str:
    return "daily" if len(weekdays) == 7 else ", ".join(DAY_NAMES[day - 1] for day in sorted(weekdays))


def _best(itineraries: Iterable[Itinerary]) -> list[Itinerary]:
    by_time = sorted(itineraries, key=lambda itinerary: itinerary.minutes)
    quickest: dict[str, Itinerary] = {}
    for itinerary in by_time:
        if itinerary.minutes <= 1.6 * by_time[0].minutes:
            quickest.setdefault(itinerary.flights[0].number, itinerary)
    return list(quickest.values())


def _flight(row: dict[str, str]) -> Flight:
    return Flight(
        carrier=row["carrier"],
        number=row["flight"],
        origin=row["from"],
        destination=row["to"],
        weekdays=frozenset(map(int, row["days"])),
        departs=_minutes(row["departs"]),
        arrives=_minutes(row["arrives"]),
        minutes=int(row["minutes"]),
        price_usd=int(row["price_usd"]),
    )


def _minutes(time: str) -> int:
    match = re.fullmatch(r"(\d\d):(\d\d)([+-]\d)?", time)
    if match is None:
        raise ValueError(f"not a time: {time}")
    return int(match[3] or 0) * DAY + int(match[1]) * 60 + int(match[2])
