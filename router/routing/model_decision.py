"""Which models serve one request, and in which order: header, session, preferences, requested model, default.

A guard that sends a request elsewhere decides alone, and so does the provider hint. A session that holds its model
decides next; else the preferences are asked, and where none of them fits, or the client's key is for none of their
models, it is the requested model or the default. What was decided is settled with the session, which may refuse to pay
for another model than its own, and is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from router.context import Identity, RequestContext
from router.dialects.canonical import ChatRequest
from router.routing import prompt
from router.routing.affinity import SessionAffinity
from router.routing.models import HINT_HEADER, ModelChoice, ModelRouter
from router.routing.preferences import Preference, PreferenceDecision, PreferenceRouter, take_inline
from router.routing.sessions import SettledSession

DecidedBy: TypeAlias = Literal["guard", "hint", "session", "preference", "request"]


@dataclass(frozen=True, slots=True)
class ModelDecision:
    """``request`` is what goes out, without preferences; ``choices`` are tried in this order, at least one.

    ``preference`` is what the orchestrator said, ``None`` when it was not asked; ``session`` what became of the
    session, ``None`` when there is none.
    """

    request: ChatRequest
    choices: tuple[ModelChoice, ...]
    by: DecidedBy
    preference: PreferenceDecision | None = None
    session: SettledSession | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the choices, best first."""
        return tuple(dict.fromkeys(choice.name for choice in self.choices))

    @property
    def route(self) -> str | None:
        """The preference that was chosen, whether or not the session, or the client's key, went along."""
        return None if self.preference is None else self.preference.route


class ModelDecider:
    """Decides for one model listener. ``affinity`` may be ``None``: no session is ever remembered then.

    ``permits`` says whether a key is for one choice: no preference leads to what the client may not use.
    """

    def __init__(
        self,
        router: ModelRouter,
        preferences: PreferenceRouter,
        affinity: SessionAffinity | None,
        *,
        permits: Callable[[ModelChoice, Identity | None], bool] = lambda choice, identity: True,
    ) -> None:
        self._router = router
        self._preferences = preferences
        self._affinity = affinity
        self._permits = permits

    async def decide(self, request: ChatRequest, context: RequestContext, *, only: str | None = None) -> ModelDecision:
        """What serves ``request``, as the client sent it; the model ``only``, where a guard sends it there.

        Raises ``InvalidRequest`` for malformed preferences or headers, ``ModelNotFound``, ``ProviderUnavailable``.
        """
        request, inline = take_inline(request, self._router.knows)
        if only is not None:
            return ModelDecision(request, self._router.choices(only), "guard")
        hint = context.headers.get(HINT_HEADER)
        if hint:
            return ModelDecision(request, self._router.choices(request.model, hint), "hint")
        session = None if self._affinity is None else await self._affinity.find(request, context)
        preference: PreferenceDecision | None = None
        by: DecidedBy = "session"
        if session is not None and session.model is not None:
            choices = self._usable((session.model, *session.fallbacks))
        else:
            preference = await self._ask(request, context, inline)
            by, choices = self._decided(request, preference, context.identity)
        if session is None or self._affinity is None:
            return ModelDecision(request, choices, by, preference)
        candidate, *others = [choice.name for choice in choices]
        settled = await self._affinity.settle(session, candidate, request, context, fallbacks=others)
        if settled.model != candidate:
            by, choices = "session", _distinct([*self._router.choices(settled.model), *choices])
        return ModelDecision(request, choices, by, preference, settled)

    async def _ask(
        self, request: ChatRequest, context: RequestContext, inline: Sequence[Preference] | None
    ) -> PreferenceDecision | None:
        if not self._preferences.applies(inline):
            return None
        return await self._preferences.decide(prompt.turns(request.messages), context, inline=inline)

    def _decided(
        self, request: ChatRequest, preference: PreferenceDecision | None, identity: Identity | None
    ) -> tuple[DecidedBy, tuple[ModelChoice, ...]]:
        preferred = () if preference is None else self._usable(preference.models)
        permitted = tuple([choice for choice in preferred if self._permits(choice, identity)])
        return ("preference", permitted) if permitted else ("request", self._router.choices(request.model))

    def _usable(self, names: Iterable[str]) -> tuple[ModelChoice, ...]:
        """The choices for all of ``names`` that can be asked."""
        return _distinct(choice for name in names if self._router.usable(name) for choice in self._router.choices(name))


def _distinct(choices: Iterable[ModelChoice]) -> tuple[ModelChoice, ...]:
    """``choices`` without entries that have been named for the same model before."""
    seen: set[tuple[str, str]] = set()
    distinct = []
    for choice in choices:
        fresh = tuple(entry for entry in choice.entries if (entry.id, choice.model) not in seen)
        seen.update((entry.id, choice.model) for entry in fresh)
        if fresh:
            distinct.append(choice if len(fresh) == len(choice.entries) else ModelChoice(choice.model, fresh))
    return tuple(distinct)
