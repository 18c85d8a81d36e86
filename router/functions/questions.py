"""Asking for what is missing, and finding out from a conversation alone that something was asked (pure).

No state is kept between turns: a conversation that goes on brings our question along as its newest assistant message.
The question for a parameter of a target is always the same, so it is recognised by its end; what was wrong with an
earlier value, or the results of other calls, may stand before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.context import Turn
from router.functions.formats import FORMATS
from router.functions.schema import ArgumentProblem
from router.functions.targets import Parameter, Target

_MAX_OPTIONS = 12
_MAX_TIMES_ASKED = 3
_GIVING_UP = frozenset({"never mind", "nevermind", "cancel", "forget it", "stop", "skip it", "no thanks", "abort"})


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What the newest assistant message asks for. ``turns`` is the conversation that led to the question."""

    target: Target
    parameter: Parameter
    turns: tuple[Turn, ...]


def question(target: Target, problem: ArgumentProblem) -> str:
    """The text that asks for the parameter."""
    asking = _question(target, problem.parameter)
    if problem.reason is None:
        return asking
    return f"'{_words(problem.parameter.name)}' {problem.reason}. {asking}"


class Questions:
    """The questions that may be asked about ``targets``."""

    def __init__(self, targets: Sequence[Target]) -> None:
        asked: dict[str, tuple[Target, Parameter]] = {}
        for target in targets:
            for parameter in target.parameters:
                asked.setdefault(_question(target, parameter), (target, parameter))
        self._asked: Mapping[str, tuple[Target, Parameter]] = asked

    def pending(self, conversation: Sequence[Turn]) -> AskedFor | None:
        """What was asked right before the newest user turn; ``None`` where that is no answer to a question of ours."""
        if not conversation or conversation[-1].role != "user":
            return None
        for index in range(len(conversation) - 2, 0, -1):  # other agents may have answered the newest turn already
            if conversation[index].role != "assistant":
                return None
            asked = self._asked_in(conversation[index].content)
            if asked is not None:
                return AskedFor(*asked, tuple(conversation[:index]))
        return None

    def is_given_up(self, asked: AskedFor, newest: Turn) -> bool:
        """Whether the user does not want to go on, or has been asked the same often enough."""
        if " ".join(newest.content.casefold().strip(" .!,").split()) in _GIVING_UP:
            return True
        before: AskedFor | None = asked
        for _ in range(_MAX_TIMES_ASKED):
            if before is None or (before.target, before.parameter) != (asked.target, asked.parameter):
                return False
            before = self.pending(before.turns)
        return True

    def _asked_in(self, text: str) -> tuple[Target, Parameter] | None:
        said = text.rstrip()
        # The longest one: the end of a question may be a question itself.
        found = max((each for each in self._asked if said.endswith(each)), key=len, default=None)
        return None if found is None else self._asked[found]


def _question(target: Target, parameter: Parameter) -> str:
    wanted = " ".join(parameter.description.split()).rstrip(".!?:") or _words(parameter.name)
    hints = []
    if parameter.enum is not None and len(parameter.enum) <= _MAX_OPTIONS:
        hints.append("one of " + ", ".join(str(each) for each in parameter.enum))
    elif parameter.format and parameter.format not in FORMATS:
        hints.append(f"as {parameter.format}")
    hint = f", {'; '.join(hints)}" if hints else ""
    return f"To go on with '{_words(target.name)}', one thing is missing: {wanted}{hint}. What should it be?"


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())
