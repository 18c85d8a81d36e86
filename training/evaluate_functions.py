"""The parameter extraction section of the quality report: the embedded extractor on hand-written utterances.

``python evaluate_functions.py`` prints it; ``functions_section`` is for ``evaluate.py``. What is measured is the
gateway's own code (``router.functions.extraction``); no model and no network is asked.
"""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from decisions import interval
from quality_table import Line, section

from router.context import Turn
from router.functions.extraction.embedded import EmbeddedExtractor
from router.functions.extractor import ExtractedCall, PendingCall
from router.functions.targets import Arguments, Parameter, Target, parameter_type

DATA = Path(__file__).resolve().parent / "data" / "functions"
GOAL = "0.85"
FEWEST = 5
ROUNDING = 1e-3


@dataclass(frozen=True)
class Case:
    """``turns`` alternate, the user's first; ``asked`` is the parameter that the newest one was asked for."""

    target: Target
    kind: str
    turns: tuple[str, ...]
    wanted: tuple[Mapping[str, Any], ...]
    asked: str | None


@dataclass(frozen=True)
class Judged:
    case: Case
    calls: tuple[ExtractedCall, ...]

    @property
    def exact(self) -> bool:
        """Whether there are as many calls as wanted, each with the wanted arguments and no others."""
        pairs = zip(self.case.wanted, self.calls, strict=False)
        same = all(self._same(wanted, call.arguments) for wanted, call in pairs)
        return len(self.case.wanted) == len(self.calls) and same

    def _same(self, wanted: Mapping[str, Any], found: Arguments) -> bool:
        return all(agrees(each, wanted.get(each.name), found.get(each.name)) for each in self.case.target.parameters)

    def outcomes(self) -> Iterator[tuple[Parameter, bool, bool, bool]]:
        """For each call and parameter: whether a value was wanted, whether one was found, whether that is right."""
        for index, wanted in enumerate(self.case.wanted):
            found = self.calls[index].arguments if index < len(self.calls) else {}
            for each in self.case.target.parameters:
                value = found.get(each.name)
                right = agrees(each, wanted.get(each.name), value)
                needed = not agrees(each, wanted.get(each.name), None)
                yield each, needed, value is not None and not (right and not needed), right

    def missing(self) -> Iterator[tuple[bool, bool]]:
        """For each required parameter of the first call: whether it was not said, whether none was found."""
        found = self.calls[0].arguments if self.calls else {}
        for each in self.case.target.parameters:
            if each.required:
                wanted = self.case.wanted[0].get(each.name)
                if not (isinstance(wanted, Mapping) and None in wanted["any_of"]):
                    yield wanted is None, found.get(each.name) is None

    @property
    def doubtful(self) -> bool:
        return any(call.uncertain for call in self.calls)


def agrees(parameter: Parameter, wanted: Any, found: Any) -> bool:
    """Whether a value is as wanted: texts but for case and the marks at the end, numbers up to rounding."""
    if isinstance(wanted, Mapping):
        return any(agrees(parameter, each, found) for each in wanted["any_of"])
    if parameter.default is not None:
        wanted = parameter.default if wanted is None else wanted
        found = parameter.default if found is None else found
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(_equal, sorted(wanted), sorted(found)))
    return _equal(wanted, found)


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool) or wanted is None or found is None:
        return wanted is found
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return math.isclose(wanted, found, rel_tol=ROUNDING)
    return _plain(wanted) == _plain(found)


def _plain(value: Any) -> str:
    return " ".join(str(value).casefold().split()).rstrip(".!?")


def load_cases(part: str) -> tuple[list[Case], datetime.datetime]:
    """The cases of ``dev`` or ``heldout``, and the time at which they are said."""
    raw = yaml.safe_load((DATA / f"{part}.yaml").read_text(encoding="utf-8"))
    cases = [_case(_target(each), case) for each in raw["targets"] for case in each["cases"]]
    return cases, datetime.datetime.fromisoformat(raw["clock"])


def _target(raw: Mapping[str, Any]) -> Target:
    parameters = tuple(
        Parameter(
            name=each["name"],
            description=each["description"],
            type=parameter_type(each["type"]),
            required=each.get("required", False),
            default=each.get("default"),
            enum=tuple(each["enum"]) if "enum" in each else None,
            in_path=each.get("in_path", False),
            format=each.get("format"),
        )
        for each in raw["parameters"]
    )
    return Target(raw["name"], raw["description"], parameters)


def _case(target: Target, raw: Mapping[str, Any]) -> Case:
    turns = tuple(raw["turns"]) if "turns" in raw else (raw["say"],)
    calls = tuple(raw["calls"]) if "calls" in raw else (raw["want"],)
    return Case(target, raw["kind"], turns, calls, next(iter(raw.get("asked", [])), None))


def judge(cases: Sequence[Case], now: datetime.datetime) -> list[Judged]:
    extractor = EmbeddedExtractor(lambda: now)
    return [Judged(each, _extracted(extractor, each)) for each in cases]


def _extracted(extractor: EmbeddedExtractor, case: Case) -> tuple[ExtractedCall, ...]:
    """The calls for the newest turn; what was known before a question is what was found before it."""
    turns = [Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(case.turns)]
    pending = None
    if case.asked is not None:
        before = extractor.extract_now([case.target], turns[:-2])
        pending = PendingCall(case.target.name, before.calls[0].arguments, case.asked)
    return extractor.extract_now([case.target], turns, pending).calls


def function_lines(judged: Sequence[Judged], goal: str = "") -> list[Line]:
    """Exact calls, overall and by kind of case; precision and recall of values; parameters that were not said."""
    lines = [_line("exact calls", [(each.case.target.name, each.exact) for each in judged], goal)]
    for kind in dict.fromkeys(each.case.kind for each in judged):
        ones = [(each.case.target.name, each.exact) for each in judged if each.case.kind == kind]
        lines.append(_line(f"exact calls: {kind}", ones))
    lines += _values("values", judged, lambda parameter: True)
    for kind in dict.fromkeys(_kind(each) for one in judged for each in one.case.target.parameters):
        lines += _values(f"values, {kind}", judged, lambda parameter, kind=kind: _kind(parameter) == kind)
    gaps = [(each.case.target.name, gap, seen) for each in judged for gap, seen in each.missing()]
    lines.append(_line("required and not said: found to be missing", [(name, seen) for name, gap, seen in gaps if gap]))
    lines.append(_line("required and said: not asked for", [(name, not seen) for name, gap, seen in gaps if not gap]))
    wrong = [(each.case.target.name, each.doubtful) for each in judged if not each.exact]
    right = [(each.case.target.name, each.doubtful) for each in judged if each.exact]
    return [*lines, _line("doubt told, of calls that are wrong", wrong), _line("doubt told, of exact calls", right)]


def _values(name: str, judged: Sequence[Judged], fits: Callable[[Parameter], bool]) -> Iterator[Line]:
    rows = [(one.case.target.name, *row) for one in judged for row in one.outcomes() if fits(row[0])]
    found = [(name, right) for name, _, _, given, right in rows if given]
    wanted = [(name, right) for name, _, needed, _, right in rows if needed]
    if len(wanted) >= FEWEST:
        yield _line(f"{name}: precision", found)
        yield _line(f"{name}: recall", wanted)


def _kind(parameter: Parameter) -> str:
    if parameter.enum is not None:
        return "enum"
    if parameter.type == "string":
        return parameter.format if parameter.format in {"date", "date-time", "time", "email", "phone"} else "text"
    return parameter.type


def _line(name: str, outcomes: Sequence[tuple[str, bool]], goal: str = "") -> Line:
    if not outcomes:
        return Line(name, 0, math.nan, None, None, goal)
    targets, hits = zip(*outcomes, strict=True)
    return Line(name, len(hits), sum(hits) / len(hits), *interval(targets, hits), goal)


def functions_section() -> str:
    """The section of ``benchmarks/quality.md``."""
    heldout, development = (judge(*load_cases(part)) for part in ("heldout", "dev"))
    about = (
        f"The extractor that asks no model. {_described(heldout)} that its rules were not chosen with. A call is exact "
        "when it has all arguments that were said, right, and no others. A value is found or wanted only where it is "
        'not the default. Intervals are drawn by target. Lines that begin with "development" are '
        f"{_described(development)} that the rules were chosen with."
    )
    chosen_with = [
        Line(f"development, {line.measure}", line.count, line.value, line.low, line.high, "")
        for line in function_lines(development)
    ]
    return section("Parameter extraction", about, [*function_lines(heldout, GOAL), *chosen_with])


def _described(judged: Sequence[Judged]) -> str:
    targets = len({each.case.target.name for each in judged})
    return f"{len(judged)} hand-written utterances for {targets} targets"


def misses(judged: Sequence[Judged]) -> Iterator[str]:
    for each in judged:
        if not each.exact:
            calls = [(dict(call.arguments), call.uncertain) for call in each.calls]
            yield f"{each.case.target.name}, {each.case.kind}: {each.case.turns}"
            yield f"    wanted {each.case.wanted}\n    found  {calls}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true", help="also print what is wrong of the development part")
    parser.add_argument("--development", action="store_true", help="leave the held-out part alone")
    options = parser.parse_args()
    if options.development:
        judged = judge(*load_cases("dev"))
        for line in function_lines(judged):
            print(" | ".join(line.cells()))
    else:
        print(functions_section())
    if options.misses:
        print("\n".join(misses(judge(*load_cases("dev")))))


if __name__ == "__main__":
    main()
