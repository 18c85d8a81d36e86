from __future__ import annotations

from pathlib import Path

import pytest

from router.config import Problem, load_config

HEAD = "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1200}]\n"


def provider(line: str) -> str:
    return f"{HEAD}model_providers:\n  - model: openai/gpt-4o\n    {line}\n"


@pytest.mark.parametrize("written", ["$KEY", "${KEY}", '"$KEY"', "'${KEY}'"])
def test_a_variable_is_replaced(load, written: str) -> None:
    config = load(provider(f"access_key: {written}"), {"KEY": "sk-1"}).config
    key = config.model_providers[0].access_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


def test_variables_are_replaced_inside_text_and_at_any_depth(load) -> None:
    config = load(
        provider('headers: {authorization: "Bearer ${TOKEN}-$REGION"}\n    base_url: http://$HOST:8080/v1'),
        {"TOKEN": "t", "REGION": "eu", "HOST": "models"},
    ).config
    assert config.model_providers[0].headers == {"authorization": "Bearer t-eu"}
    assert config.model_providers[0].base_url == "http://models:8080/v1"


def test_a_variable_may_be_a_number_a_truth_value_or_a_duration(load) -> None:
    config = load(
        "version: v0.4.0\nlisteners: [{type: model, name: m, port: $PORT, timeout: $TIME}]\n"
        "model_providers: [{model: openai/gpt-4o, default: $DEFAULT}]\n",
        {"PORT": "12000", "TIME": "2m", "DEFAULT": "true"},
    ).config
    assert (config.listeners[0].port, config.listeners[0].timeout) == (12000, 120.0)
    assert config.model_providers[0].default is True


def test_what_a_variable_holds_is_not_replaced_again(load) -> None:
    config = load(f"{HEAD}system_prompt: $A\n", {"A": "$B ${C} $$", "B": "b"}).config
    assert config.system_prompt == "$B ${C} $$"


@pytest.mark.parametrize(
    ("written", "text"),
    [("costs $$5", "costs $5"), ("costs $5", "costs $5"), ("$$HOME", "$HOME"), ("100 $", "100 $"), ("$-x", "$-x")],
)
def test_a_dollar_sign_that_names_nothing_stays(load, written: str, text: str) -> None:
    assert load(f"{HEAD}system_prompt: {written}\n").config.system_prompt == text


def test_a_missing_variable_is_an_error_with_its_place(problems) -> None:
    assert problems(f"{HEAD}system_prompt: see $MANUAL and ${{HANDBOOK}}\n", {"MANUALS": "x"}) == (
        Problem(
            "error",
            "system_prompt",
            "The environment variable MANUAL is not set.",
            "Did you mean `MANUALS`? Else set it, or put it into a file `.env` beside the configuration. "
            "For a dollar sign write `$$`.",
            3,
            16,
        ),
        Problem(
            "error",
            "system_prompt",
            "The environment variable HANDBOOK is not set.",
            "Set it, or put it into a file `.env` beside the configuration. For a dollar sign write `$$`.",
            3,
            16,
        ),
    )


@pytest.mark.parametrize("written", ["${}", "${A:-b}", "${A B}", "${A"])
def test_a_malformed_reference_is_an_error(problems, written: str) -> None:
    (problem,) = problems(f"{HEAD}system_prompt: '{written}'\n", {"A": "a"})
    assert problem.path == "system_prompt"
    assert problem.suggestion == "Write `${NAME}`, or `$$` for a dollar sign."


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}, {"KEY": " "}])
@pytest.mark.parametrize("section", ["model_providers", "llm_providers"])
def test_a_missing_access_key_makes_the_provider_unavailable(load, environ: dict[str, str], section: str) -> None:
    loaded = load(provider("access_key: $KEY").replace("model_providers", section), environ)
    (provider_,) = loaded.config.model_providers
    assert not provider_.available
    assert provider_.unavailable_reason == "the environment variable KEY is not set"
    assert provider_.access_key is None
    warning = loaded.warnings[-1]
    assert (warning.path, warning.line) == (f"{section}[0].access_key", 5)
    assert warning.message == "The environment variable KEY is not set, so this provider is unavailable."


def test_a_provider_that_forwards_the_clients_key_needs_none(load) -> None:
    loaded = load(provider("access_key: $KEY\n    passthrough_auth: true"))
    assert loaded.config.model_providers[0].available
    assert loaded.config.model_providers[0].unavailable_reason is None


def test_a_missing_key_anywhere_else_is_an_error(problems) -> None:
    (problem,) = problems(f"{HEAD}tracing: {{exporters: [{{type: posthog, url: 'http://p', api_key: $KEY}}]}}\n")
    assert (problem.severity, problem.path) == ("error", "tracing.exporters[0].api_key")


def test_access_key_as_the_name_of_a_header_is_nothing_special(problems) -> None:
    (problem,) = problems(provider("headers: {access_key: $KEY}"))
    assert (problem.severity, problem.path) == ("error", "model_providers[0].headers.access_key")


def test_the_dotenv_file_completes_the_environment(load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# keys\nexport A=from-file\nB='quoted value'\nC=from-file\nD\n", encoding="utf-8")
    loaded = load(f"{HEAD}system_prompt: $A / $B / $C\n", {"C": "from-environment"})
    assert loaded.config.system_prompt == "from-file / quoted value / from-environment"


def test_a_dotenv_line_without_a_value_sets_nothing(problems, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("D\n", encoding="utf-8")
    (problem,) = problems(f"{HEAD}system_prompt: $D\n")
    assert problem.message == "The environment variable D is not set."


def test_a_dotenv_file_that_is_no_text_is_a_problem(problems, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    (problem,) = problems(HEAD)
    assert ".env cannot be read" in problem.message


SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}mode: $S\n",
        f"{HEAD}triton: {{url: 'http://$S', timeout: $S, model_repository: $S}}\n",
        f"{HEAD}limits: {{max_body_bytes: $S, max_guard_chars: $S}}\n",
        f"{HEAD}agents: [{{id: $S, url: $S}}, {{id: $S, url: 'http://u:$S@h'}}]\n",
        (
            f"{HEAD}model_providers: [{{model: $S}}, {{model: $S/x}}, {{model: openai/$S}}]\n"
            "model_aliases: {a: {target: $S}, b: {target: x}, c: {target: d}, d: {target: c}}\n"
        ),
        f"{HEAD}filters: [{{id: f, type: $S}}]\nendpoints: {{e: {{endpoint: 'http://$S'}}}}\n",
        (
            "version: $S\nlisteners:\n  - {type: $S, name: $S, port: $S, address: 'x/$S', router: $S}\n"
            "  - {type: agent, name: $S, port: 1, agents: [{id: $S}, {id: $S}]}\n"
        ),
        (
            f"{HEAD}routing: {{session_cache: {{type: redis, tenant_header: '$S x'}}}}\n"
            "ratelimits: [{model: $S, selector: {key: a b, value: $S}, limit: {tokens: $S, unit: $S}}]\n"
        ),
        (
            f"{HEAD}prompt_targets:\n  - {{name: $S, description: d, endpoint: {{name: $S, path: '/$S'}},\n"
            "     parameters: [{name: $S, description: d, type: $S, in_path: true}]}\n"
        ),
        f"{HEAD}model_metrics_sources: [{{type: latency, provider: $S}}]\nunknown: $S\n",
    ],
)
def test_values_from_the_environment_never_reach_a_message(problems, text: str) -> None:
    found = problems(text, {"S": SECRET})
    assert SECRET not in repr(found)


def test_placeholders_of_a_path_do_not_leak_what_the_environment_put_there(problems) -> None:
    found = problems(
        f"{HEAD}endpoints: {{e: {{endpoint: h}}}}\n"
        "prompt_targets: [{name: t, description: d, endpoint: {name: e, path: '/{$S}'}}]\n",
        {"S": SECRET},
    )
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "model_providers: [{model: openai/x, access_key: 47114711}]\n",
        "agents: [{id: a, url: 'http://h', headers: {x-key: 47114711}}]\n",
        "state_storage: {type: sqlite, connection_string: 47114711}\n",
    ],
)
def test_credentials_written_into_the_file_are_not_repeated(problems, text: str) -> None:
    found = problems(HEAD + text)
    assert "The value is not text." in [problem.message for problem in found]
    assert "47114711" not in repr(found)


def test_secrets_show_up_neither_in_repr_nor_in_a_dump(load) -> None:
    loaded = load(
        provider("access_key: $S\n    headers: {x-key: $S}")
        + "agents: [{id: a, url: 'http://h', headers: {x-key: $S}}]\n"
        "state_storage: {type: postgres, connection_string: 'postgres://u:$S@h/db'}\n"
        "routing: {session_cache: {type: redis, url: 'redis://:$S@h'}}\n"
        "tracing: {exporters: [{type: posthog, url: 'http://p', api_key: $S}]}\n",
        {"S": SECRET},
    )
    assert SECRET not in repr(loaded)
    storage = loaded.config.state_storage
    assert storage is not None
    assert SECRET not in f"{storage.model_dump()} {loaded.config.model_providers[0].access_key}"


def test_without_an_environ_argument_the_dotenv_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRIDENT_TEST_DOTENV=hello\n", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(f"{HEAD}system_prompt: $TRIDENT_TEST_DOTENV\n", encoding="utf-8")
    assert load_config(path).config.system_prompt == "hello"
