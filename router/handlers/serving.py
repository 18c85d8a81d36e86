"""From the choices of the router to who is asked: the members of each model that the client's key is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.access.control import AccessControl
from router.context import Identity
from router.errors import PermissionDenied
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

    def candidates(self, choices: Sequence[ModelChoice], identity: Identity | None) -> list[Candidate]:
        """Who may be asked, in order. Raises ``PermissionDenied`` when the key is for none of the models."""
        refused: PermissionDenied | None = None
        candidates = []
        for choice in choices:
            try:
                self._access.check_model(identity, choice.full_name, choice.model)
            except PermissionDenied as exc:
                refused = refused or exc
                continue
            candidates.append(Candidate(tuple([self._members[entry.id] for entry in choice.entries]), choice.model))
        if not candidates and refused is not None:
            raise refused
        return candidates

    def upstream(self, candidates: Sequence[Candidate]) -> Upstream:
        """One request's way to an answer."""
        return self._fallback.to(candidates, max_retries=self._max_retries)
