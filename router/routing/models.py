"""Which provider serves a model name: aliases, ``provider/model``, bare model ids, wildcards, the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.errors import ModelNotFound, ProviderUnavailable


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """One configured entry: the two halves of ``provider/model``; the model ``*`` stands for every model.

    ``id`` tells entries for the same model apart.

    ``unavailable`` says why it cannot be asked, for the client to read; ``None`` when it can.
    """

    id: str
    provider: str
    model: str
    default: bool = False
    unavailable: str | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a model name came down to: the entry that serves it and the model id to ask its provider for."""

    entry: ProviderModel
    model: str


class ModelRouter:
    """Resolves model names against the configured entries. Aliases are known to be free of cycles."""

    def __init__(self, entries: Sequence[ProviderModel], aliases: Mapping[str, str]) -> None:
        self._entries = tuple(entries)
        self._aliases = aliases

    def choose(self, requested: str | None) -> ModelChoice:
        """The entry for ``requested``; the default when nothing is requested.

        Raises ``ModelNotFound`` with the names that are known, or ``ProviderUnavailable`` with the reason.
        """
        choice = self._default() if requested is None else self._find(self._resolve_alias(requested))
        if choice is None:
            known = ", ".join([*self._aliases, *(entry.name for entry in self._entries)]) or "none"
            what = "No model was named and none is the default" if requested is None else f"Unknown model '{requested}'"
            raise ModelNotFound(f"{what}. Known: {known}.", param="model")
        if choice.entry.unavailable is not None:
            raise ProviderUnavailable(choice.entry.unavailable)
        return choice

    def _resolve_alias(self, name: str) -> str:
        while name in self._aliases:
            name = self._aliases[name]
        return name

    def _default(self) -> ModelChoice | None:
        return next((ModelChoice(entry, entry.model) for entry in self._entries if entry.default), None)

    def _find(self, name: str) -> ModelChoice | None:
        exact = [entry for entry in self._entries if entry.model != "*" and name in {entry.name, entry.model}]
        if exact:  # several may serve it: one that can be asked goes first
            entry = next((entry for entry in exact if entry.unavailable is None), exact[0])
            return ModelChoice(entry, entry.model)
        wildcards = [entry for entry in self._entries if entry.model == "*"]
        provider, slash, model = name.partition("/")
        for entry in wildcards:
            if slash and provider == entry.provider:
                return ModelChoice(entry, model)
        if not slash and len(wildcards) == 1:  # a bare name can only mean a model of this provider
            return ModelChoice(wildcards[0], name)
        return None
