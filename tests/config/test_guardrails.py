"""``guardrails``: what they say, and what cannot be."""

from __future__ import annotations

import pytest

from router.runtime import models_in_use

HEAD = """\
version: v0.4.0
agents: [{id: a, url: 'http://h:1'}, {id: b, url: 'http://h:2'}]
listeners:
  - {type: agent, name: agents, port: 1200, agents: [{id: a, description: d}, {id: b, description: e}]}
  - {type: model, name: models, port: 1201}
model_providers: [{model: openai/gpt-4o}, {model: groq/*}]
model_aliases: {smart: {target: openai/gpt-4o}}
"""
SHORT_FORM = "prompt_guards: {input_guards: {jailbreak: {threshold: 0.7}}}\n"


def guarded(*guards: str, more: str = "") -> str:
    listed = "".join(f"  - {guard}\n" for guard in guards)
    return f"{HEAD}{more}guardrails:\n{listed}"


def test_a_guard_needs_little(load) -> None:
    [guard] = load(guarded("{name: moderation, model: moderation}")).config.guardrails
    assert (guard.direction, guard.scope, guard.action, guard.on_block) == ("input", "conversation", "block", "answer")
    assert (guard.on_error, guard.unseen, guard.shadow, guard.reveal_score) == ("deny", "allow", False, False)
    assert (guard.stream.window, guard.stream.window_chars, guard.labels) == ("sentence", 200, None)


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ("[violence, sexual/minors]", {"violence": None, "sexual/minors": None}),
        ("{violence: 0.4, hate: 1}", {"violence": 0.4, "hate": 1.0}),
    ],
)
def test_labels_have_thresholds_or_are_listed(load, labels: str, read: object) -> None:
    [guard] = load(guarded(f"{{name: g, model: m, labels: {labels}}}")).config.guardrails
    assert guard.labels == read


def test_the_models_that_guards_ask_have_to_be_there(load) -> None:
    topic = "{name: t, topic: {allow: [{name: x, description: y}], model: small}}"
    loaded = load(guarded("{name: g, model: moderation}", topic, "{name: s, max: {chars: 9}}", more=SHORT_FORM))
    assert models_in_use(loaded.config)[-3:] == ("jailbreak", "moderation", "small")


@pytest.mark.parametrize("route", ["a", "b"])
def test_requests_may_be_sent_to_agents_of_the_listener(load, route: str) -> None:
    loaded = load(guarded(f"{{name: g, model: m, action: route, route: {route}, listeners: [agents]}}"))
    assert loaded.config.guardrails[0].route == route


@pytest.mark.parametrize("route", ["openai/gpt-4o", "gpt-4o", "smart", "groq/anything"])
def test_requests_may_be_sent_to_models(load, route: str) -> None:
    loaded = load(guarded(f"{{name: g, model: m, action: route, route: {route}, listeners: [models]}}"))
    assert loaded.config.guardrails[0].route == route


@pytest.mark.parametrize(
    ("guard", "path", "message", "suggestion"),
    [
        ("{name: g}", "guardrails[0]", "needs one of `model`, `topic` and `max`", "its own for each"),
        ("{name: g, model: m, max: {chars: 1}}", "guardrails[0]", "and only one", "its own for each"),
        ("{name: 'a b', model: m}", "guardrails[0].name", "cannot be the name of a guard", "letters, digits"),
        ("{name: g, model: m, labels: {}}", "guardrails[0].labels", "", None),
        ("{name: g, model: m, labels: {x: 2}}", "guardrails[0].labels.x", "more than 1", None),
        ("{name: g, max: {}}", "guardrails[0].max", "neither how many `chars` nor how many `messages`", "Add one"),
        ("{name: g, max: {chars: 0}}", "guardrails[0].max.chars", "less than 1", None),
        (
            "{name: g, max: {chars: 9}, labels: [x]}",
            "guardrails[0].labels",
            "belongs to guards with a `model`",
            "Remove",
        ),
        ("{name: g, max: {chars: 9}, direction: both}", "guardrails[0].direction", "judges requests only", "input"),
        ("{name: g, max: {chars: 9}, action: redact}", "guardrails[0].action", "with a `model` can redact", "`block`"),
        ("{name: g, model: m, action: route}", "guardrails[0].action", "needs `route`", "Name an agent or a model"),
        ("{name: g, model: m, route: a}", "guardrails[0].route", "only used with the action `route`", "action: route"),
        (
            "{name: g, model: m, action: route, route: a, direction: both, listeners: [agents]}",
            *("guardrails[0].action", "cannot be sent elsewhere", "direction: input"),
        ),
        (
            "{name: g, model: m, action: route, route: gpt-4, listeners: [models]}",
            *("guardrails[0].route", "The listener `models` has no model `gpt-4`", "`openai/gpt-4o`"),
        ),
        (
            "{name: g, model: m, action: route, route: c, listeners: [agents]}",
            *("guardrails[0].route", "The listener `agents` has no agent `c`", None),
        ),
        ("{name: g, model: m, listeners: [agent]}", "guardrails[0].listeners[0]", "no listener `agent`", "`agents`"),
        ("{name: jailbreak, model: m}", "guardrails[0].name", "is taken by `prompt_guards", "another name"),
        ("{name: g, model: m, stream: {window_chars: 5}}", "guardrails[0].stream.window_chars", "less than 20", None),
    ],
)
def test_what_cannot_work_is_said(problems, guard: str, path: str, message: str, suggestion: str | None) -> None:
    [found] = problems(guarded(guard, more=SHORT_FORM))
    assert found.path == path
    assert message in found.message
    assert suggestion is None or suggestion in (found.suggestion or "")


def test_names_are_given_once(problems) -> None:
    [found] = problems(guarded("{name: g, model: m}", "{name: g, model: n}"))
    assert (found.path, found.line) == ("guardrails[1].name", 10)


def test_a_guard_on_every_listener_has_a_target_on_each(problems) -> None:
    [found] = problems(guarded("{name: g, model: m, action: route, route: a}"))
    assert found.message == "The listener `models` has no model `a` for requests."
