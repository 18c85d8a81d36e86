"""Which providers serve a model name: aliases, ``provider/model``, bare model ids, names of entries, wildcards.

name                            serves it
alias                           whatever its target does, chains followed
``provider/model``              the entries for it, as endpoints of one cluster; else the provider's wildcard
``model`` alone                 every entry for that model, as endpoints of one cluster; else the only wildcard
``name`` of an entry            that entry, then others for the same model

After what was asked for come the other providers of the same model, for fail-over. What cannot be asked (no key) is
left out as long as something else is left.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from router.errors import ModelNotFound, ProviderUnavailable

HINT_HEADER = "x-arch-llm-provider-hint"

_WILDCARD = "*"
_MAX_REMEMBERED = 256
_MAX_SHOWN_CHARS = 128  # of a name in an error; names of the configuration are no longer
_MAX_NAME_CHARS = 512  # of a name below a wildcard, which is remembered in many places; ARNs of Bedrock are long


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
    """The model id to ask for, and the entries that serve it: at least one, in file order, endpoints of one cluster."""

    model: str
    entries: tuple[ProviderModel, ...]

    @property
    def entry(self) -> ProviderModel:
        """The first of the entries."""
        return self.entries[0]

    @property
    def name(self) -> str:
        """A name that leads here again: ``provider/model``, or the model alone where several providers serve it."""
        providers = {entry.provider for entry in self.entries}
        return f"{self.entry.provider}/{self.model}" if len(providers) == 1 else self.model

    @property
    def full_name(self) -> str:
        """``provider/model`` of the first entry: the name under which prices and latencies are known."""
        return f"{self.entry.provider}/{self.model}"

    @property
    def full_names(self) -> tuple[str, ...]:
        """``provider/model`` of every entry, each once."""
        return tuple(dict.fromkeys(f"{entry.provider}/{self.model}" for entry in self.entries))


class ModelRouter:
    """Resolves model names against the configured entries. Aliases are known to be free of cycles.

    Every name that the configuration knows is resolved once, here; only names below a wildcard are resolved on request.
    """

    def __init__(self, entries: Sequence[ProviderModel], aliases: Mapping[str, str]) -> None:
        self._exact = tuple(entry for entry in entries if entry.model != _WILDCARD)
        self._wildcards = tuple(entry for entry in entries if entry.model == _WILDCARD)
        self._known = ", ".join(dict.fromkeys([*aliases, *(entry.name for entry in entries)])) or "none"
        # Choices with unavailable entries still in them: the reason is told when nothing else is left.
        resolved = dict(self._resolve_exact())
        for alias in aliases:
            target = _end_of_chain(alias, aliases)
            choices = resolved.get(target) or self._below_wildcard(target)
            if choices:
                resolved[alias] = choices
        default = next((resolved[entry.name] for entry in self._exact if entry.default), ())
        self._resolved = {name: _preferring_available(choices) for name, choices in resolved.items()}
        self._default = _preferring_available(default)
        # Clients name few models; what they make up is short (``_MAX_NAME_CHARS``), and soon forgotten.
        self._found_below_wildcard = functools.lru_cache(maxsize=_MAX_REMEMBERED)(
            lambda name: _preferring_available(self._below_wildcard(name))
        )

    def choices(self, requested: str | None, hint: str | None = None) -> tuple[ModelChoice, ...]:
        """What to try for ``requested``, in this order; the default when nothing is requested. ``hint`` wins over both.

        Raises ``ModelNotFound``, or ``ProviderUnavailable`` with the reason.
        """
        name = hint or requested or None
        choices = self._default if name is None else self._find(name)
        if not choices:
            message = f"{_complaint(name)}. `GET /v1/models` lists the models that can be asked for."
            raise ModelNotFound(message, known=self._known, param=HINT_HEADER if hint else "model")
        if choices[0].entry.unavailable is not None:
            raise ProviderUnavailable(choices[0].entry.unavailable)
        return choices

    def choose(self, requested: str | None) -> ModelChoice:
        """The first of ``choices``."""
        return self.choices(requested)[0]

    def knows(self, name: str) -> bool:
        """Whether ``name`` means something, available or not."""
        return bool(self._find(name))

    def usable(self, name: str) -> bool:
        """Whether ``name`` means something that can be asked."""
        choices = self._find(name)
        return bool(choices) and choices[0].entry.unavailable is None

    def full_name(self, name: str) -> str:
        """``provider/model`` of what ``name`` means first; ``name`` itself where it means nothing."""
        choices = self._find(name)
        return choices[0].full_name if choices else name

    def full_names(self, name: str) -> tuple[str, ...]:
        """Every ``provider/model`` that may serve ``name``, best first."""
        return tuple(dict.fromkeys(full_name for choice in self._find(name) for full_name in choice.full_names))

    def _find(self, name: str) -> tuple[ModelChoice, ...]:
        known = self._resolved.get(name)
        return known if known is not None else self._found_below_wildcard(name)

    def _resolve_exact(self) -> Iterator[tuple[str, tuple[ModelChoice, ...]]]:
        """Names of entries first, so that names of models, which follow, win over them."""
        for entry in self._exact:
            siblings = tuple(other for other in self._exact if other.name == entry.name and other is not entry)
            second = [ModelChoice(entry.model, siblings)] if siblings else []
            yield entry.id, (ModelChoice(entry.model, (entry,)), *second, *self._elsewhere(entry.model, entry.provider))
        for model in dict.fromkeys(entry.model for entry in self._exact):
            yield model, (ModelChoice(model, tuple(entry for entry in self._exact if entry.model == model)),)
        for name in dict.fromkeys(entry.name for entry in self._exact):
            provider, _, model = name.partition("/")
            own = ModelChoice(model, tuple(entry for entry in self._exact if entry.name == name))
            yield name, (own, *self._wildcard_of(provider, model), *self._elsewhere(model, provider))

    def _elsewhere(self, model: str, provider: str) -> list[ModelChoice]:
        """The same model at the other providers, one choice for each."""
        others = [entry for entry in self._exact if entry.model == model and entry.provider != provider]
        return [
            ModelChoice(model, tuple(entry for entry in others if entry.provider == other))
            for other in dict.fromkeys(entry.provider for entry in others)
        ]

    def _wildcard_of(self, provider: str, model: str) -> list[ModelChoice]:
        entries = tuple(entry for entry in self._wildcards if entry.provider == provider)
        return [ModelChoice(model, entries)] if entries else []

    def _below_wildcard(self, name: str) -> tuple[ModelChoice, ...]:
        if len(name) > _MAX_NAME_CHARS:
            return ()
        provider, slash, model = name.partition("/")
        if _WILDCARD in (name, model):
            return ()
        if slash and model:
            own = self._wildcard_of(provider, model)
            if own:
                return (*own, *self._elsewhere(model, provider))
        if name and not slash and len({entry.provider for entry in self._wildcards}) == 1:
            return (ModelChoice(name, self._wildcards),)  # a bare name can only mean a model of this provider
        return ()


def _end_of_chain(alias: str, aliases: Mapping[str, str]) -> str:
    name = alias
    while name in aliases:
        name = aliases[name]
    return name


def _preferring_available(choices: Iterable[ModelChoice]) -> tuple[ModelChoice, ...]:
    """``choices`` without what is unavailable; just the first one, as it is, where nothing else is left."""
    everything = tuple(choices)
    usable = (
        ModelChoice(choice.model, tuple(entry for entry in choice.entries if entry.unavailable is None))
        for choice in everything
    )
    return tuple(choice for choice in usable if choice.entries) or everything[:1]


def _complaint(name: str | None) -> str:
    if name is None:
        return "No model was named and none is the default"
    shown = name if len(name) <= _MAX_SHOWN_CHARS else f"{name[:_MAX_SHOWN_CHARS]}…"
    return f"Unknown model '{shown}'"
