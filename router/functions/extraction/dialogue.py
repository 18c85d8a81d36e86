"""What the newest turn of a conversation asks for, with what the turns before it said."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from router.context import Turn
from router.functions.extraction.answers import answer, refuses
from router.functions.extraction.assignment import Assigned
from router.functions.extraction.candidates import Candidate
from router.functions.extraction.clauses import clauses
from router.functions.extraction.profiles import Profile, TargetProfile
from router.functions.extraction.reading import Reading
from router.functions.extraction.turns import LEAST, LEAST_OF_FOLLOW_UP, TurnValues, values_of
from router.functions.extraction.vocabulary import BACK_REFERENCES, CONTINUATIONS
from router.functions.extraction.words import stem, word_set
from router.functions.extractor import ExtractedCall, PendingCall
from router.functions.targets import Arguments, JsonValue

_MOST_TURNS = 12  # of the user that are read, the newest ones
_MOST_CALLS = 8
_CLAUSE_TOKENS = 120  # of a turn that is looked through for clauses
_SHORT_WORDS, _BRIEF_WORDS, _ANSWER_WORDS = 4, 8, 12
_UNSURE = 0.62
_STRONG, _CLEAR = 0.7, 0.9  # of what is said beside the answer to a question
_POINTING_VERBS = word_set("turn set make change keep move do get have switch put cancel")

ReadTurn = Callable[[str], Reading]


@dataclass(frozen=True, slots=True)
class Value:
    """A value that was said. ``value`` is ``None`` while of a date with a time only ``day`` or ``clock`` is known."""

    value: JsonValue
    sure: bool = True
    day: datetime.date | None = None
    clock: datetime.time | None = None


_State = Mapping[str, Value]


def calls_of(
    target: TargetProfile,
    conversation: Sequence[Turn],
    pending: PendingCall | None,
    read: ReadTurn,
    zone: datetime.tzinfo | None,
) -> list[ExtractedCall]:
    """The calls of ``target`` that the newest turn asks for: one, or one for each of several values in a row."""
    known = _known(target, pending)
    steps = _chain(target, conversation, pending, read)
    state: _State = known
    for step in steps[:-1]:
        state = {**known, **_applied(target, state, step, zone)[0]}
    states = _applied(target, state, steps[-1], zone) if steps else [state]
    if pending is None and steps and len(steps) == 1 and len(states) == 1:
        states = _by_clause(target, steps[-1].reading, read, zone) or states
    return [_call(target, each) for each in states[:_MOST_CALLS]]


@dataclass(frozen=True, slots=True)
class _Step:
    """One user turn; ``continues`` what was said before, as an answer to the question for ``asked``, if any."""

    reading: Reading
    continues: bool
    asked: Profile | None = None


def _known(target: TargetProfile, pending: PendingCall | None) -> dict[str, Value]:
    if pending is None or pending.target != target.name:
        return {}
    return {name: _said_before(value) for name, value in pending.arguments.items() if name != pending.parameter}


def _said_before(value: JsonValue) -> Value:
    """A value with its day and time of day, where it is an ISO 8601 date."""
    try:
        moment = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        return Value(value)
    return Value(value, day=moment.date(), clock=moment.time() if isinstance(value, str) and "T" in value else None)


def _chain(
    target: TargetProfile, conversation: Sequence[Turn], pending: PendingCall | None, read: ReadTurn
) -> list[_Step]:
    """The newest user turn, and those before it up to the one that what it says began with."""
    places = [index for index, turn in enumerate(conversation) if turn.role == "user"][-_MOST_TURNS:]
    steps: list[_Step] = []
    for order, place in reversed(list(enumerate(places))):
        reading = read(conversation[place].content)
        question = conversation[place - 1].content if place and conversation[place - 1].role == "assistant" else ""
        newest = not steps
        answers = newest and pending is not None and pending.target == target.name
        continues = order > 0 and (answers or _continues(target, reading, question))
        asked = target.parameter(pending.parameter) if answers and pending is not None else None
        if asked is None and (continues and _asks(question)):
            asked = _asked_by(target, question)
        steps.append(_Step(reading, continues or answers, asked))
        if not continues:
            break
    return steps[::-1]


def _continues(target: TargetProfile, reading: Reading, before: str) -> bool:
    """Whether a turn goes on with the one before rather than asking for something new."""
    words = [each.folded for each in reading.tokens if each.is_word or each.is_digits]
    if any(tuple(words[: len(opening)]) == opening for opening in CONTINUATIONS):
        return True
    if not BACK_REFERENCES.isdisjoint(words) and _points_back(words):
        return True
    new = any(stem(each) in target.domain for each in words)
    if new:
        return False
    return len(words) <= (_ANSWER_WORDS if _asks(before) else _BRIEF_WORDS)


def _points_back(words: Sequence[str]) -> bool:
    """ "It" in "will it rain" points nowhere."""
    clear = BACK_REFERENCES - {"it", "that", "there", "too"}
    return not clear.isdisjoint(words) or any(
        one in _POINTING_VERBS and other in {"it", "that"} for one, other in pairwise(words)
    )


def _asks(text: str) -> bool:
    return text.rstrip().endswith("?")


def _asked_by(target: TargetProfile, question: str) -> Profile | None:
    """The parameter that a question names, if it names one only."""
    words = {stem(each) for each in question.casefold().replace("?", " ").split()}
    named = [each for each in target.parameters if words & each.label - target.domain]
    return named[0] if len(named) == 1 else None


def _applied(target: TargetProfile, state: _State, step: _Step, zone: datetime.tzinfo | None) -> list[_State]:
    """What is known after a turn; several where it asks for several calls."""
    if not step.continues:
        values = values_of(target, step.reading)
        return _merged(target, {}, values, step, zone)
    if step.asked is not None and step.asked.kind != "boolean" and refuses(step.reading):
        return [state]
    answered = answer(step.asked, step.reading) if step.asked is not None else None
    if step.asked is not None and answered is not None:
        return [{**state, step.asked.name: Value(answered)}]
    values = values_of(
        target, step.reading, least=LEAST_OF_FOLLOW_UP, asked=step.asked or _denied(target, state, step.reading)
    )
    return _merged(target, state, _for_known(target, state, values, step), step, zone)


def _denied(target: TargetProfile, state: _State, reading: Reading) -> Profile | None:
    """The parameter whose value the turn takes back: "not Milan"."""
    said = " ".join(reading.folded)
    for profile in target.parameters:
        value = state.get(profile.name)
        if value is not None and isinstance(value.value, str):
            told = value.value.casefold()
            if any(
                f"{no} {told}" in said
                for no in ("not", "not to", "not in", "not from", "instead of", "not at", "nicht", "pas")
            ):
                return profile
    return None


def _for_known(target: TargetProfile, state: _State, values: TurnValues, step: _Step) -> TurnValues:
    """``values`` of a turn that goes on: a name that could be of several parameters is of one that has a value."""
    kept = {}
    for name, assigned in values.single.items():
        if step.asked is not None and name != step.asked.name:
            if assigned.candidate.score >= (_CLEAR if name in state else _STRONG):
                kept[name] = assigned
            continue
        weak = assigned.candidate.score < LEAST
        if weak and name not in state and not _is_missing(target, name, state):
            continue
        kept[name] = assigned
    return replace(values, single=kept)


def _is_missing(target: TargetProfile, name: str, state: _State) -> bool:
    profile = target.parameter(name)
    return profile is not None and profile.required and name not in state


def _merged(
    target: TargetProfile, state: _State, values: TurnValues, step: _Step, zone: datetime.tzinfo | None
) -> list[_State]:
    merged = dict(state)
    for name, assigned in values.single.items():
        profile = target.parameter(name)
        if profile is not None and (value := _value(profile, assigned, merged, step, zone)) != Value(None):
            merged[name] = value
    for name, ones in values.lists.items():
        merged[name] = Value([each.value for each in ones])
    name, row = values.row or ("", ())
    profile = target.parameter(name)
    if profile is None:
        return [merged]
    return [{**merged, name: _value(profile, Assigned(each), merged, step, zone)} for each in row]


def _value(profile: Profile, assigned: Assigned, state: _State, step: _Step, zone: datetime.tzinfo | None) -> Value:
    candidate = assigned.candidate
    sure = candidate.sure and (
        step.asked is profile or (assigned.clear and candidate.score >= _UNSURE) or step.continues
    )
    day = _day(candidate, state, profile)
    if profile.kind == "date":
        return Value(day.isoformat() if day is not None else None, sure, day=day)
    if profile.kind != "date-time":
        return Value(candidate.value, sure)
    before = state.get(profile.name)
    clock = candidate.clock if candidate.clock is not None else (before.clock if before else None)
    day = day if day is not None else (before.day if before else None)
    whole = None if day is None or clock is None else datetime.datetime.combine(day, clock, zone).isoformat()
    return Value(whole, sure, day, clock)


def _day(candidate: Candidate, state: _State, profile: Profile) -> datetime.date | None:
    """The day of a candidate; one that is "a week later" is so behind the newest day that was named."""
    if candidate.later_days is None:
        return candidate.day
    days = [each.day for name, each in state.items() if each.day is not None and name != profile.name]
    try:
        return max(days) + datetime.timedelta(candidate.later_days) if days else None
    except OverflowError:
        return None


def _by_clause(
    target: TargetProfile, reading: Reading, read: ReadTurn, zone: datetime.tzinfo | None
) -> list[_State] | None:
    """The calls of a turn whose clauses each have values of their own: 10 dollars to Ann and 20 to Bo."""
    if len(reading.tokens) > _CLAUSE_TOKENS:
        return None
    for left, right in clauses(reading):
        one, other = read(left), read(right)
        first, second = values_of(target, one), values_of(target, other)
        if not _alike(target, first, second):
            continue
        [state] = _merged(target, {}, first, _Step(one, continues=False), zone)[:1]
        rest = _by_clause(target, other, read, zone)
        if rest is not None:
            return [state, *({**state, **each} for each in rest)]
        [following] = _merged(target, state, second, _Step(other, continues=False), zone)[:1]
        return [state, following]
    return None


def _alike(target: TargetProfile, first: TurnValues, second: TurnValues) -> bool:
    """Whether two clauses say different values of the same parameters: of two at least, a name among them."""
    shared = [name for name in second.single if name in first.single]
    differing = [name for name in shared if first.single[name].candidate.value != second.single[name].candidate.value]
    said = [each.name for each in target.parameters if each.kind not in {"date", "time", "boolean"}]
    return len(differing) > 1 and len(shared) == len(second.single) and not set(shared).isdisjoint(said)


def _call(target: TargetProfile, state: _State) -> ExtractedCall:
    arguments: Arguments = {name: each.value for name, each in state.items() if each.value is not None}
    uncertain = tuple(name for name, each in state.items() if not each.sure and each.value is not None)
    return ExtractedCall(target.name, arguments, uncertain=uncertain)
