"""Routing preferences: kinds of requests and the models for them, decided by the orchestrator for each request.

They are what the configuration says, or what the request brings along in ``routing_preferences`` for itself alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from router.context import RequestContext, RouteDescription, RouteReason, Turn
from router.dialects.canonical import ChatRequest
from router.errors import GatewayError, InvalidRequest
from router.routing import prompt
from router.routing.router import Orchestrator, decision_attributes
from router.routing.selection import ModelSelection, Prefer
from router.telemetry import semconv
from router.telemetry.metrics import Metrics
from router.triton.models import RouteScores

logger = logging.getLogger(__name__)

FIELD = "routing_preferences"

# Older ways to bring preferences along, which are not read any more and mean nothing to a provider.
_STALE_METADATA = frozenset({"archgw_preference_config", "plano_preference_config"})
_STRIPPED = frozenset({FIELD, *(f"metadata.{name}" for name in _STALE_METADATA)})

_INLINE = "inline"
_MAX_INLINE = 64
_MAX_MODELS = 32
_MAX_NAME_CHARS = 128
_MAX_DESCRIPTION_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Preference:
    """A kind of request in plain language, and names of models for it, the best first unless ``prefer`` is set."""

    name: str
    description: str
    models: tuple[str, ...]
    prefer: Prefer = "none"


@dataclass(frozen=True, slots=True)
class PreferenceDecision:
    """What the orchestrator made of one request.

    ``route`` is the preference that fits best and ``models`` are its models, best first; ``None`` and empty where none
    fits (``no_match``) or nobody could say (``degraded``): the requested model is used then. ``scores`` has every
    preference; ``model`` and ``model_version`` name what decided.
    """

    route: str | None
    models: tuple[str, ...]
    reason: RouteReason
    scores: Mapping[str, float] = field(default_factory=dict)
    model: str | None = None
    model_version: str | None = None
    latency_s: float = 0.0


class PreferenceRouter:
    """Decides for one model listener. Never fails: without a usable answer the requested model is used, and it shows.

    A preference fits from ``threshold`` on; ``None`` leaves it to the model.
    """

    def __init__(
        self,
        listener: str,
        preferences: Sequence[Preference],
        *,
        orchestrator: Orchestrator,
        threshold: float | None,
        timeout_s: float,
        selection: ModelSelection,
        metrics: Metrics,
    ) -> None:
        self._listener = listener
        self._preferences = tuple(preferences)
        self._orchestrator = orchestrator
        self._threshold = threshold
        self._timeout_s = timeout_s
        self._selection = selection
        self._metrics = metrics

    def applies(self, inline: Sequence[Preference] | None) -> bool:
        """Whether there is anything to decide: there are preferences, of the file or of the request."""
        return bool(self._preferences if inline is None else inline)

    async def decide(
        self, conversation: Sequence[Turn], context: RequestContext, *, inline: Sequence[Preference] | None = None
    ) -> PreferenceDecision:
        """The preference for the newest turn of ``conversation``. ``inline`` ones take the place of the file's."""
        preferences = self._preferences if inline is None else tuple(inline)
        with context.span.child(semconv.ROUTE_SPAN) as span:
            decision = await self._decide(conversation, preferences, context)
            if span.recording:
                chosen = () if decision.route is None else (decision.route,)
                span.attributes.update(decision_attributes(decision, chosen))
        self._metrics.route_decided(self._listener, decision.reason)
        context.span.set(semconv.PREFERENCE, decision.route)
        if decision.route is not None:
            # The names of a request's own preferences are an open set.
            route = decision.route if inline is None else _INLINE
            self._metrics.route_selected(self._listener, route, decision.scores.get(decision.route))
        return decision

    async def _decide(
        self, conversation: Sequence[Turn], preferences: Sequence[Preference], context: RequestContext
    ) -> PreferenceDecision:
        routes = [RouteDescription(preference.name, preference.description) for preference in preferences]
        seen = prompt.fit(conversation, routes)
        if not seen or not routes:
            return PreferenceDecision(None, (), "no_match")
        started = time.perf_counter()
        try:
            scores = await self._orchestrator.score(seen, routes, timeout_s=min(context.remaining_s(), self._timeout_s))
        except GatewayError as exc:
            self._metrics.degraded("orchestrator")
            context.degraded.append("orchestrator")
            logger.warning(
                "orchestrator unavailable, using the requested model",
                extra={"listener": self._listener, "cause": repr(exc.__cause__ or exc)},
            )
            return PreferenceDecision(None, (), "degraded", latency_s=time.perf_counter() - started)
        best = self._best(scores)
        chosen = None if best is None else preferences[best]
        return PreferenceDecision(
            None if chosen is None else chosen.name,
            () if chosen is None else self._selection.order(chosen.models, chosen.prefer),
            "no_match" if chosen is None else "orchestrator",
            scores={route.name: score for route, score in zip(routes, scores.scores, strict=True)},
            model=scores.model,
            model_version=scores.version,
            latency_s=time.perf_counter() - started,
        )

    def _best(self, scores: RouteScores) -> int | None:
        """The place of the best-scored preference that fits; of equals the one to run first, then the first one."""
        threshold = scores.threshold if self._threshold is None else self._threshold
        fitting = [place for place, score in enumerate(scores.scores) if score >= threshold]
        return max(fitting, key=lambda place: (scores.scores[place], -scores.order[place]), default=None)


def take_inline(
    request: ChatRequest, knows: Callable[[str], bool]
) -> tuple[ChatRequest, tuple[Preference, ...] | None]:
    """The preferences that ``request`` brings along, ``None`` where it brings none, and the request without them.

    ``knows`` says whether a name means a model. Raises ``InvalidRequest``, which names the field, for anything else
    than well-formed preferences.
    """
    body = request.payload if request.native is None else request.native
    if FIELD not in body and not _stale_metadata(body):
        return request, None
    inline = None if body.get(FIELD) is None else _preferences(body[FIELD], knows)
    stripped = ChatRequest(
        _without_preferences(request.payload),
        dialect=request.dialect,
        native=None if request.native is None else _without_preferences(request.native),
        untranslated=request.untranslated,
        refused=[name for name in request.refused if name not in _STRIPPED],
        extras=_without_preferences(request.extras),
    )
    return stripped, inline


def _stale_metadata(body: Mapping[str, Any]) -> bool:
    metadata = body.get("metadata")
    return isinstance(metadata, dict) and not _STALE_METADATA.isdisjoint(metadata)


def _without_preferences(body: Mapping[str, Any]) -> dict[str, Any]:
    stripped = {name: value for name, value in body.items() if name != FIELD}
    if _stale_metadata(body):
        kept = {name: value for name, value in body["metadata"].items() if name not in _STALE_METADATA}
        stripped.pop("metadata")
        if kept:
            stripped["metadata"] = kept
    return stripped


def _preferences(value: object, knows: Callable[[str], bool]) -> tuple[Preference, ...]:
    entries = _list(value, FIELD, _MAX_INLINE)
    preferences = tuple(_preference(entry, f"{FIELD}[{place}]", knows) for place, entry in enumerate(entries))
    names = [preference.name for preference in preferences]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise _malformed(f"{FIELD}[{place}].name", "is the name of an earlier one")
    return preferences


def _preference(value: object, place: str, knows: Callable[[str], bool]) -> Preference:
    entry = _object(value, place, {"name", "description", "models", "selection_policy"})
    name = _text(entry.get("name"), f"{place}.name", _MAX_NAME_CHARS)
    description = _text(entry.get("description"), f"{place}.description", _MAX_DESCRIPTION_CHARS)
    models = _list(entry.get("models"), f"{place}.models", _MAX_MODELS)
    for index, model in enumerate(models):
        if not knows(_text(model, f"{place}.models[{index}]", _MAX_NAME_CHARS)):
            raise _malformed(f"{place}.models[{index}]", "is not a model of this gateway")
    policy = entry.get("selection_policy")
    prefer: Prefer = "none" if policy is None else _prefer(policy, f"{place}.selection_policy")
    return Preference(name, description, tuple(models), prefer)


def _prefer(value: object, place: str) -> Prefer:
    prefer = _object(value, place, {"prefer"}).get("prefer", "none")
    for known in get_args(Prefer):
        if prefer == known:
            policy: Prefer = known
            return policy
    raise _malformed(f"{place}.prefer", f"has to be one of {', '.join(get_args(Prefer))}")


def _object(value: object, place: str, keys: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(place, "has to be an object")
    for key in value:
        if key not in keys:
            raise _malformed(f"{place}.{str(key)[:_MAX_NAME_CHARS]}", "is not known")
    return value


def _list(value: object, place: str, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise _malformed(place, f"has to be a list of 1 to {most}")
    return value


def _text(value: object, place: str, most: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise _malformed(place, f"has to be a text of 1 to {most} characters")
    return value


def _malformed(place: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"'{place}' {what}.", param=place)
