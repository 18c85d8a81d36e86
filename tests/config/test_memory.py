"""Memory filters that would remember nothing, or that no guard could see."""

from __future__ import annotations

import pytest

from tests.config.conftest import FindProblems, Load


def config(memory: str, *, listener: str = "input_filters: [f]", filters: str = "") -> str:
    return (
        f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1200, {listener}}}]\n"
        f"filters: [{{id: f, type: memory, memory: {memory}}}{filters}]\n"
    )


@pytest.mark.parametrize(
    ("memory", "path", "message"),
    [
        ("{key: header}", "filters[0].memory.key", "`key: header` needs `header`."),
        (
            "{key: header, header: Authorization}",
            "filters[0].memory.header",
            "`Authorization` carries credentials of the client, which would be kept.",
        ),
    ],
)
def test_a_header_is_one_that_names_users(problems: FindProblems, memory: str, path: str, message: str) -> None:
    errors = [problem for problem in problems(config(memory)) if problem.severity == "error"]
    assert [(error.path, error.message) for error in errors] == [(path, message)]
    assert errors[0].suggestion


def test_a_header_that_does_nothing_is_a_warning(load: Load) -> None:
    [warning] = load(config("{key: user, header: x-user}")).warnings
    assert warning.message == "`header` does nothing with `key: user`."


def test_api_keys_that_there_are_none_of_are_a_warning(load: Load) -> None:
    [warning] = load(config("{}")).warnings
    assert warning.message.startswith("Nothing is remembered")
    assert load(config("{key: user}")).warnings == ()


@pytest.mark.parametrize(
    "listener",
    [
        "type: model, name: m, port: 1200, output_filters: [f]",
        "type: agent, name: m, port: 1200, agents: [{id: a, input_filters: [f]}]",
        "type: agent, name: m, port: 1200, agents: [{id: a, output_filters: [f]}]",
    ],
)
def test_what_is_recalled_has_to_pass_the_guards(problems: FindProblems, listener: str) -> None:
    text = (
        f"version: v0.4.0\nagents: [{{id: a, url: 'http://h:1'}}]\nlisteners: [{{{listener}}}]\n"
        "filters: [{id: f, type: memory, memory: {key: user}}]\n"
    )
    [error] = [problem for problem in problems(text) if problem.severity == "error"]
    assert error.message == "`f` has to run before the guards: what it recalls would pass none here."
    assert error.suggestion == "List it under the listener's `input_filters`."


def test_a_filter_that_would_miss_what_is_recalled_is_a_warning(load: Load) -> None:
    secrets = ", {id: secrets, type: regex, patterns: [{name: p, pattern: abc}]}"
    before = load(config("{key: user}", listener="input_filters: [secrets, f]", filters=secrets))
    assert [warning.message for warning in before.warnings] == [
        "What `f` recalls is not looked at by `secrets`, which runs before it."
    ]
    assert load(config("{key: user}", listener="input_filters: [f, secrets]", filters=secrets)).warnings == ()
