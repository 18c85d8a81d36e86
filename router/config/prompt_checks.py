"""Cross-checks of prompt targets: endpoints and parameters that there are, and who offers them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from router.config.draft import Draft
from router.config.problems import KeyPath, Problem, did_you_mean


def check_prompt_targets(draft: Draft) -> Iterator[Problem]:
    """Targets that could not be called, and listeners that offer none."""
    # Agents and filters count as endpoints in existing configurations.
    known = [str(path[-1]) for path in draft.entries(("endpoints",))]
    endpoints = [*known, *draft.names(("agents",), "id"), *draft.names(("filters",), "id")]
    calls: list[KeyPath] = [(*target, "endpoint") for target in draft.entries(("prompt_targets",))]
    for call in [*calls, ("error_target", "endpoint")]:
        place: KeyPath = (*call, "name")
        endpoint = draft.text(place)
        if endpoint is not None and endpoint not in endpoints:
            hint = did_you_mean(endpoint, known, plural="endpoints")
            yield draft.document.problem(place, f"There is no endpoint {draft.show(place)}.", hint)
    defaults = [path for path in draft.entries(("prompt_targets",)) if draft.flag((*path, "default"))]
    for path in defaults[1:]:
        message = "More than one prompt target is the default."
        yield draft.document.problem((*path, "default"), message, "Leave `default: true` at one of them.")
    for target in draft.entries(("prompt_targets",)):
        yield from _path_parameters(draft, target)
        yield from _host_parameters(draft, target)
    yield from _offers(draft)


def _path_parameters(draft: Draft, target: KeyPath) -> Iterator[Problem]:
    place: KeyPath = (*target, "endpoint", "path")
    placeholders = re.findall(r"\{([^{}]*)\}", draft.text(place) or "")
    parameters = draft.names((*target, "parameters"), "name")
    for name in placeholders:
        if name not in parameters:
            yield draft.unknown_in(place, name, parameters)
    for name, path in parameters.items():
        if draft.flag((*path[:-1], "in_path")) and name not in placeholders:
            message = f"The parameter {draft.show(path)} is `in_path`, but the path does not name it."
            yield draft.document.problem(path, message, "Put it into the endpoint's `path`, in braces.")


def _host_parameters(draft: Draft, target: KeyPath) -> Iterator[Problem]:
    place: KeyPath = (*target, "endpoint", "name")
    host = draft.text(("endpoints", draft.text(place) or "", "endpoint"))
    parameters = draft.names((*target, "parameters"), "name")
    for name in re.findall(r"\{([^{}]*)\}", host or ""):
        if name not in parameters:
            message = f"The host of {draft.show(place)} needs a parameter `{name}`, which this target does not have."
            yield draft.document.problem(place, message, "Add it to `parameters`, or use another endpoint.")


def _offers(draft: Draft) -> Iterator[Problem]:
    targets = draft.names(("prompt_targets",), "name")
    for listener in draft.entries(("listeners",)):
        kind = draft.text((*listener, "type"))
        place: KeyPath = (*listener, "prompt_targets")
        for path, name in draft.texts(place):
            if name not in targets:
                yield draft.unknown(path, targets, what="prompt target", plural="prompt targets")
        if kind == "model" and draft.get(place):
            message = "A `model` listener has no prompt targets."
            hint = "Make it `type: prompt` or `type: agent`, or remove them."
            yield draft.document.problem(place, message, hint, on_key=True)
        agents = draft.names((*listener, "agents"), "id")
        for path, name in draft.texts(place):
            if name in agents:
                message = f"{draft.show(path)} is the name of an agent of this listener, too."
                yield draft.document.problem(
                    path, message, "Give the target another name: one of them is chosen by it."
                )
