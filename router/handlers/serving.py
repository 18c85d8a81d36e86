"""From the choices of the router to who is asked: the members of each model that the client's key is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.access.control import AccessControl
from router.access.keys import Grant
from router.context import Identity, RequestContext
from router.routing.models import ModelChoice
from router.upstream.chat import Upstream
from router.upstream.cluster import Candidate, Member
from router.upstream.fallback import Fallback


class ModelServing:
    """The members of one kind of API, by the id of their entry, and how they stand in for each other."""

    def __init__(
        self, members: Mapping[str, Member], fallback: Fallback, access: AccessControl, *, max_retries: int | None
    ) -> None:
        self._members = members
        self._fallback = fallback
        self._access = access
        self._max_retries = max_retries

    def permitted(self, choices: Sequence[ModelChoice], identity: Identity | None) -> Sequence[ModelChoice]:
        """Those of ``choices``, and of their entries, that the key is for: at least one, in order.

        Raises ``PermissionDenied`` when it is for none of them.
        """
        if identity is None:
            return choices
        grant = self._access.keys.grant(identity)
        permitted = (
            [] if grant is None else [kept for choice in choices if (kept := _of_key(choice, grant)) is not None]
        )
        if not permitted:
            self._access.check_model(identity, choices[0].full_name)
        return permitted

    def permits(self, choice: ModelChoice, identity: Identity | None) -> bool:
        """Whether the key is for an entry of ``choice``."""
        grant = self._access.keys.grant(identity)
        return identity is None or (grant is not None and _of_key(choice, grant) is not None)

    async def check_left(self, context: RequestContext, input_tokens: int) -> None:
        """Refuse early what ``admit`` would refuse for its key; see ``AccessControl.check_left``."""
        await self._access.check_left(context, input_tokens)

    async def admit(
        self, context: RequestContext, choices: Sequence[ModelChoice], input_tokens: int, *, counted: bool = False
    ) -> None:
        """Count a request that goes to the first of ``choices``; see ``AccessControl.admit``."""
        first = choices[0]
        equals = first.full_names[1:] if len(first.entries) > 1 else ()
        await self._access.admit(context, first.full_name, input_tokens, equals=equals, counted=counted)

    def upstream(self, choices: Sequence[ModelChoice]) -> Upstream:
        """One request's way to an answer: ``choices`` are tried in order."""
        candidates = [
            Candidate(tuple([self._members[entry.id] for entry in choice.entries]), choice.model) for choice in choices
        ]
        return self._fallback.to(candidates, max_retries=self._max_retries)


def _of_key(choice: ModelChoice, grant: Grant) -> ModelChoice | None:
    entries = tuple([entry for entry in choice.entries if grant.may_use(f"{entry.provider}/{choice.model}")])
    if len(entries) == len(choice.entries):
        return choice
    return ModelChoice(choice.model, entries) if entries else None
