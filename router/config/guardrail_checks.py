"""Cross-checks of guards: each asks one thing, does something possible about it, and names what there is."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.draft import Draft
from router.config.problems import KeyPath, Problem, did_you_mean

_CHECKS = ("model", "topic", "max")
_SHORT_FORM: KeyPath = ("prompt_guards", "input_guards")


def check_guardrails(draft: Draft) -> Iterator[Problem]:
    """Guards that cannot work as they are written."""
    names = [
        ((*path, "name"), name) for path in draft.entries(("guardrails",)) if (name := draft.text((*path, "name")))
    ]
    yield from draft.duplicates(names, "name", "Give each its own name.")
    short_form = draft.get(_SHORT_FORM)
    for path, name in names:
        if name == "jailbreak" and isinstance(short_form, dict) and "jailbreak" in short_form:
            message = "The name `jailbreak` is taken by `prompt_guards.input_guards.jailbreak`."
            yield draft.document.problem(path, message, "Give the guard another name, or remove the short form.")
    for path in draft.entries(("guardrails",)):
        yield from _kind(draft, path)
        yield from _action(draft, path)
        yield from _listeners(draft, path)


def _kind(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    kinds = [kind for kind in _CHECKS if draft.get((*path, kind)) is not None]
    if len(kinds) != 1:
        message = "A guard needs one of `model`, `topic` and `max`, and only one."
        yield draft.document.problem(path, message, "Make a guard of its own for each.")
        return
    (kind,) = kinds
    if kind != "model":
        for key in ("labels", "threshold"):
            if draft.get((*path, key)) is not None:
                message = f"`{key}` belongs to guards with a `model`."
                yield draft.document.problem((*path, key), message, "Remove it.", on_key=True)
        if draft.text((*path, "direction")) in ("output", "both"):
            message = f"A `{kind}` guard judges requests only."
            yield draft.document.problem((*path, "direction"), message, "Write `direction: input`.")
    sizes = draft.get((*path, "max"))
    if isinstance(sizes, dict) and sizes.keys().isdisjoint({"chars", "messages"}):
        message = "The guard says neither how many `chars` nor how many `messages`."
        yield draft.document.problem((*path, "max"), message, "Add one of them, or both.", on_key=True)


def _action(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    action = draft.text((*path, "action")) or "block"
    place: KeyPath = (*path, "action")
    if action == "redact" and draft.get((*path, "model")) is None:
        yield draft.document.problem(place, "Only guards with a `model` can redact.", "Use `block` or `annotate`.")
    if action == "route" and draft.text((*path, "direction")) in ("output", "both"):
        yield draft.document.problem(place, "An answer cannot be sent elsewhere.", "Write `direction: input`.")
    if action == "route" and draft.get((*path, "route")) is None:
        yield draft.document.problem(place, "The action `route` needs `route`.", "Name an agent or a model there.")
    if action != "route" and draft.get((*path, "route")) is not None:
        message = "`route` is only used with the action `route`."
        yield draft.document.problem((*path, "route"), message, "Write `action: route`, or remove it.", on_key=True)


def _listeners(draft: Draft, path: KeyPath) -> Iterator[Problem]:
    known = draft.names(("listeners",), "name")
    guarded = draft.texts((*path, "listeners"))
    for place, name in guarded:
        if name not in known:
            yield draft.unknown(place, known, what="listener", plural="listeners")
    if draft.text((*path, "action")) != "route" or draft.text((*path, "route")) is None:
        return
    for listener in draft.entries(("listeners",)):
        if not guarded or draft.text((*listener, "name")) in [name for _, name in guarded]:
            yield from _target(draft, (*path, "route"), listener)


def _target(draft: Draft, place: KeyPath, listener: KeyPath) -> Iterator[Problem]:
    target, kind = draft.text(place) or "", draft.text((*listener, "type"))
    if kind == "agent":
        known = draft.names((*listener, "agents"), "id")
    elif kind == "model":
        known = _models(draft)
    else:
        return
    if target not in known and not (kind == "model" and f"{target.partition('/')[0]}/*" in known):
        message = f"The listener {draft.show((*listener, 'name'))} has no {kind} {draft.show(place)} for requests."
        yield draft.document.problem(place, message, did_you_mean(target, draft.spelled(known), plural=f"{kind}s"))


def _models(draft: Draft) -> dict[str, KeyPath]:
    """Every name under which a model can be asked for, with the place that it is from."""
    providers = ("model_providers",)
    names = {**draft.names(providers, "name"), **draft.names(providers, "model")}
    bare = {name.partition("/")[2]: path for name, path in names.items()}
    return {**bare, **names, **{str(path[-1]): path for path in draft.entries(("model_aliases",))}}
