"""Values of filters that cannot work, and keys that do nothing where they stand."""

from __future__ import annotations

import pytest

from tests.config.conftest import FindProblems, Load

HEAD = "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1200, input_filters: [f]}]\n"


def _regex(pattern: str) -> str:
    return f"{HEAD}filters: [{{id: f, type: regex, patterns: [{{name: p, pattern: '{pattern}'}}]}}]\n"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(", "`a(` cannot be searched for: missing )."),
        ("(?<=a)b", "`(?<=a)b` cannot be searched for: invalid perl operator."),
        (r"(a)\1", r"`(a)\1` cannot be searched for: invalid escape sequence."),
        ("b*", "`b*` matches the empty text, and so every text."),
        (r"\b", r"`\b` matches the empty text, and so every text."),
        (r"a\C", r"`a\C` matches single bytes."),
        (r"a\\\C", r"`a\\\C` matches single bytes."),
    ],
)
def test_a_pattern_that_cannot_be_searched_for(problems: FindProblems, pattern: str, message: str) -> None:
    errors = [problem for problem in problems(_regex(pattern)) if problem.severity == "error"]
    assert [(error.path, error.message) for error in errors] == [("filters[0].patterns[0].pattern", message)]
    assert errors[0].suggestion


def test_a_backslash_before_a_capital_c_is_no_byte(load: Load) -> None:
    assert load(_regex(r"a\\C")).config.filters[0].patterns[0].pattern == r"a\\C"


@pytest.mark.parametrize("name", ["acme glossary", "acme:", ":Glossary", "acme-x:Glossary", "os.system('x')"])
def test_what_is_no_name_of_a_class(problems: FindProblems, name: str) -> None:
    (error,) = problems(f'{HEAD}filters: [{{id: f, type: python, python: "{name}"}}]\n')
    assert error.path == "filters[0].python"
    assert "does not name a filter" in error.message


@pytest.mark.parametrize("name", ["glossary", "acme-glossary", "acme.glossary:Glossary", "acme:Outer.Inner"])
def test_names_of_classes_and_entry_points(load: Load, name: str) -> None:
    assert load(f'{HEAD}filters: [{{id: f, type: python, python: "{name}"}}]\n').config.filters[0].python == name


def test_a_key_that_does_nothing_for_the_type_is_a_warning(load: Load) -> None:
    loaded = load(f"{HEAD}filters: [{{id: f, type: header, set: {{a: b}}, patterns: [], url: 'http://h:1'}}]\n")
    found = {warning.path: warning.message for warning in loaded.warnings}
    assert found["filters[0].patterns"] == "`patterns` does nothing for a filter of type `header`."
    assert found["filters[0].url"] == "`url` does nothing for a filter of type `header`."


def test_a_filter_for_some_agents_that_runs_before_they_are_chosen_is_a_warning(load: Load) -> None:
    loaded = load(
        "version: v0.4.0\nagents: [{id: a, url: 'http://h:1'}]\n"
        "listeners: [{type: agent, name: l, port: 1, agents: [{id: a}], input_filters: [f], output_filters: [f]}]\n"
        "filters: [{id: f, type: http, url: 'http://h:2', when: {agents: [a]}}]\n"
    )
    found = [warning for warning in loaded.warnings if warning.path == "listeners[0].input_filters[0]"]
    assert [warning.message for warning in found] == [
        "`f` runs here before an agent is chosen, and so for every agent."
    ]


def test_credentials_of_services_are_not_shown(load: Load) -> None:
    loaded = load(f"{HEAD}filters: [{{id: f, url: 'http://h:1', headers: {{authorization: Bearer s3cret}}}}]\n")
    assert "s3cret" not in repr(loaded.config)
