from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from router.cli.check import check_command, print_problems
from router.config import Problem
from router.config.reference import render_reference

GOOD = """\
version: v0.4.0
agents: [{id: weather, url: 'http://localhost:10510'}, {id: flights, url: 'http://localhost:10520'}]
listeners:
  - type: agent
    name: travel
    port: 8001
    agents: [{id: weather, description: Weather.}, {id: flights, description: Flights., default: true}]
  - {type: model, name: models, port: 12000, address: "::1"}
"""

BAD = """\
version: v0.4.0
agents: [{id: weather, url: 'http://localhost:10510'}]
listeners:
  - {type: agent, name: travel, port: 8001, agents: [{id: wether}]}
"""


def run(arguments: Sequence[str | Path], environ: dict[str, str] | None = None) -> Result:
    """Run ``trident check`` as a shell would, its output not a terminal."""
    return CliRunner().invoke(check_command, [str(argument) for argument in arguments], env=environ)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the test's configuration is written."""
    return tmp_path / "config.yaml"


def test_a_good_file_is_summed_up(file: Path) -> None:
    file.write_text(GOOD)
    result = run([file])
    assert result.exit_code == 0
    assert result.output == (
        f"{file}: ok. Starts the agent listener travel on 127.0.0.1:8001 with 2 agents: weather, flights (default); "
        "the model listener models on ::1:12000. There are no model providers. No guard is on. The gateway's own "
        "models run in a Triton started on this machine.\n"
    )


def test_the_summary_names_guards_providers_and_triton(file: Path) -> None:
    file.write_text(
        f"{GOOD}triton: {{url: 'triton:8001'}}\nprompt_guards: {{input_guards: {{jailbreak: {{}}}}}}\n"
        "model_providers: [{model: openai/gpt-4o, access_key: $TRIDENT_TEST_UNSET}, {model: groq/llama}]\n"
    )
    output = run([file]).output
    assert "It knows 2 model providers; unavailable for want of a key: openai/gpt-4o." in output
    assert "The guard: jailbreak (deny when it cannot be asked)." in output
    assert "The gateway's own models run in Triton at triton:8001." in output


def test_the_summary_names_every_guard(file: Path) -> None:
    file.write_text(
        f"{GOOD}prompt_guards: {{input_guards: {{jailbreak: {{}}}}}}\n"
        "guardrails: [{name: manners, model: moderation, on_error: allow}]\n"
    )
    assert "Guards: jailbreak (deny when it cannot be asked), manners (allow)." in run([file]).output


def test_the_summary_names_listeners_of_every_type(file: Path) -> None:
    file.write_text(f"{GOOD}  - {{type: prompt, name: functions, port: 10000}}\n")
    output = run([file]).output
    assert "do nothing" not in output
    assert "the prompt listener functions on 127.0.0.1:10000" in output


def test_warnings_are_printed_and_do_not_fail(file: Path) -> None:
    file.write_text(f"{GOOD}model_providers: [{{model: openai/gpt-4o, access_key: $TRIDENT_TEST_UNSET}}]\nmode: llm\n")
    result = run([file])
    assert result.exit_code == 0
    message = "The environment variable TRIDENT_TEST_UNSET is not set, so this provider is unavailable."
    assert result.output.splitlines()[:3] == [
        f"{file}:9:42: warning: model_providers[0].access_key: {message}",
        "    Set it, or put it into a file `.env` beside the configuration.",
        f"{file}: warning: These keys load, but do nothing in this version: mode.",
    ]


def test_errors_are_printed_like_a_compilers(file: Path) -> None:
    file.write_text(BAD)
    result = run([file])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{file}:2:11: warning: agents[0].id: No listener offers the agent `weather`.",
        "    List it under `agents` of a listener, or remove it.",
        f"{file}:4:59: error: listeners[0].agents[0].id: There is no agent `wether`.",
        "    Did you mean `weather`?",
        f"{file}: 1 error, 1 warning",
    ]


def test_json_of_errors(file: Path) -> None:
    file.write_text(BAD)
    result = run([file, "--json"])
    report = json.loads(result.output)
    assert result.exit_code == 1
    assert (report["file"], report["ok"]) == (str(file), False)
    assert report["problems"][1] == {
        "severity": "error",
        "path": "listeners[0].agents[0].id",
        "message": "There is no agent `wether`.",
        "suggestion": "Did you mean `weather`?",
        "line": 4,
        "column": 59,
    }


def test_json_of_a_good_file(file: Path) -> None:
    file.write_text(f"{GOOD}mode: llm\n")
    result = run([file, "--json"])
    report = json.loads(result.output)
    assert result.exit_code == 0
    assert (report["ok"], report["problems"], report["inactive_keys"]) == (True, [], ["mode"])
    assert report["summary"].startswith("Starts the agent listener travel")


def test_the_file_is_config_yaml_unless_given(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(GOOD)
    monkeypatch.chdir(file.parent)
    assert run([]).output.startswith("config.yaml: ok.")


@pytest.mark.parametrize("arguments", [["nowhere.yaml"], ["."], ["--nonsense"], ["a", "b"]])
def test_wrong_usage_exits_with_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_a_file_without_yaml_is_an_error_not_a_crash(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    result = run([file])
    assert (result.exit_code, result.output.splitlines()[0]) == (1, f"{file}:1:1: error: The file is not UTF-8 text.")


def test_the_reference_goes_to_standard_output() -> None:
    result = run(["--reference"])
    assert (result.exit_code, result.output) == (0, render_reference())


def test_a_terminal_gets_colours_and_nothing_is_taken_for_markup() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", width=40)
    problem = Problem("error", "agents[0].id", "`[bold]x` is not [red]text[/].", "Put `[x]` in quotes.", 3, 7)
    print_problems([problem], Path("c.yaml"), console)
    plain = Console(file=(text := StringIO()), width=40)
    print_problems([problem], Path("c.yaml"), plain)
    assert "\x1b[1;31m error: " in screen.getvalue()
    assert text.getvalue() == (
        "c.yaml:3:7: error: agents[0].id: `[bold]x` is not [red]text[/].\n    Put `[x]` in quotes.\n"
    )
