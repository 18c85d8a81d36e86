"""Units of measure: which words name them, and what a value is in another unit of the same dimension."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

from router.functions.extraction.words import fold, word_set

Dimension: TypeAlias = Literal["time", "mass", "length", "area", "data", "volume", "percent", "money"]


@dataclass(frozen=True, slots=True)
class Unit:
    """``factor`` is what one of it is in the dimension's base unit (second, gram, metre, square metre, byte, litre)."""

    dimension: Dimension
    factor: float

    def per(self, other: Unit) -> float:
        """How many of ``other`` one of these is; twelve months are a year, though 360 days are not."""
        if self.dimension == "time" and {self.factor, other.factor} == {_MONTH, _YEAR}:
            return 12.0 if self.factor == _YEAR else 1 / 12
        return self.factor / other.factor


_SECOND, _DAY = 1.0, 86_400.0
_MONTH, _YEAR = 30 * _DAY, 365 * _DAY
# The lengths of a month and a year are those of a calendar that counts in days: 30 and 365.
_UNITS: tuple[tuple[Dimension, float, str], ...] = (
    ("time", _SECOND, "second seconds sec secs sekunde sekunden seconde secondes segundo segundos"),
    ("time", 60.0, "minute minutes min mins minuten minuto minutos"),
    ("time", 3_600.0, "hour hours hr hrs hourly stunde stunden heure heures hora horas"),
    ("time", _DAY, "day days daily tag tage tagen jour jours día días dia dias"),
    ("time", _DAY, "night nights nightly nacht nächte nächten nuit nuits noche noches"),
    ("time", 7 * _DAY, "week weeks weekly wk wks woche wochen semaine semaines semana semanas"),
    ("time", _MONTH, "month months monthly monat monate monaten mois mes meses"),
    ("time", _YEAR, "year years yearly yr yrs jahr jahre jahren an ans année années año años"),
    ("mass", 0.001, "mg milligram milligrams"),
    ("mass", 1.0, "g gram grams gramm grammes gramme gramos gramo"),
    ("mass", 1_000.0, "kg kgs kilo kilos kilogram kilograms kilogramm kilogramme kilogrammes kilogramo kilogramos"),
    ("mass", 1_000_000.0, "t ton tons tonne tonnes tonnen toneladas"),
    ("mass", 453.592, "lb lbs pound pounds"),
    ("mass", 28.3495, "oz ounce ounces"),
    ("length", 0.001, "mm millimetre millimetres millimeter millimeters"),
    ("length", 0.01, "cm centimetre centimetres centimeter centimeters zentimeter"),
    ("length", 1.0, "m metre metres meter meters mètre mètres metro metros"),
    ("length", 1_000.0, "km kms kilometre kilometres kilometer kilometers kilomètres kilómetros"),
    ("length", 1_609.344, "mi mile miles"),
    ("length", 0.3048, "ft foot feet"),
    ("length", 0.0254, "inch inches"),
    ("area", 1.0, "sqm m² m2 quadratmeter"),
    ("area", 0.09290304, "sqft ft²"),
    ("data", 1e6, "mb megabyte megabytes megs"),
    ("data", 1e9, "gb gig gigs gigabyte gigabytes"),
    ("data", 1e12, "tb terabyte terabytes"),
    ("volume", 0.001, "ml millilitre millilitres milliliter milliliters"),
    ("volume", 1.0, "l litre litres liter liters"),
    ("volume", 3.785411784, "gallon gallons"),
    ("percent", 1.0, "% percent per-cent pct prozent pourcent pourcents"),
)
UNITS = MappingProxyType(
    {word: Unit(dimension, factor) for dimension, factor, words in _UNITS for word in words.split()}
)
# Two words that are one unit.
PAIRS = MappingProxyType(
    {
        ("square", "metres"): UNITS["sqm"],
        ("square", "meters"): UNITS["sqm"],
        ("square", "metre"): UNITS["sqm"],
        ("square", "meter"): UNITS["sqm"],
        ("square", "feet"): UNITS["sqft"],
        ("metros", "cuadrados"): UNITS["sqm"],
        ("mètres", "carrés"): UNITS["sqm"],
        ("per", "cent"): UNITS["percent"],
        ("pour", "cent"): UNITS["percent"],
        ("por", "ciento"): UNITS["percent"],
    }
)
_MONEY_WORDS = word_set(
    "price prices amount cost costs rent budget value fee fees salary money fare premium deductible",
    "payment sum price_per preis betrag prix montant precio importe",
)
_NOT_OF_MEASURE = frozenset({"t", "l", "m", "an", "mes", "min", "second", "g", "foot"})


def unit_of(words: Iterable[str]) -> Unit | None:
    """The unit that the words of a parameter's name or description ask for. Money has none of its own."""
    given = [fold(each) for each in words]
    if not _MONEY_WORDS.isdisjoint(given):
        return Unit("money", 1.0)
    for pair in pairwise(given):
        if pair in PAIRS:
            return PAIRS[pair]
    for word in given:
        if word in UNITS and word not in _NOT_OF_MEASURE:
            return UNITS[word]
    return None
