from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from router.cli.instances import Instance, InstanceDirectory, process_start
from router.cli.main import COMMANDS, cli
from router.config.client_environment import API_KEY_VARIABLE
from tests.cli.json_server import JsonServer

KEY = "trident_do-not-print-me-0123456789"
THEIRS = "sk-ant-of-the-user"
LISTED = {
    "data": [
        {"id": "openai/gpt-4o-mini", "available": True},
        {"id": "ollama/llama3.2", "available": True},
        {"id": "groq/llama", "available": False},
    ]
}


def decide(body: Any) -> tuple[int, object]:
    """A listener that knows every model."""
    return 200, {"models": [body["model"]]}


def decide_below_providers(body: Any) -> tuple[int, object]:
    """A listener that knows models only with their provider."""
    return decide(body) if "/" in body["model"] else refuse(body)


def refuse(body: Any) -> tuple[int, object]:
    """A listener that knows none."""
    return 404, {"error": {"message": "Unknown model", "code": "model_not_found"}}


RECORDER = """\
#!{python}
import json, os, sys
json.dump({{"argv": sys.argv, "environ": dict(os.environ)}}, open({out!r}, "w"))
sys.exit(7)
"""


@dataclass
class Desk:
    """A user's machine: fake coding agents on the PATH that write down how they were started, and a state folder."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def install(self, *names: str) -> None:
        for name in names:
            file = self.folder / "bin" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(RECORDER.format(python=sys.executable, out=str(self.folder / f"{name}.json")))
            file.chmod(0o755)

    def started(self, name: str) -> tuple[list[str], dict[str, str]]:
        """Arguments and environment of an agent that was started."""
        record: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text())
        return record["argv"][1:], record["environ"]

    def run(
        self, *arguments: str, command: Sequence[str] = ("run",), **environ: str
    ) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            [sys.executable, "-m", "router", *command, "--state-dir", str(self.state), *arguments],
            env={"PATH": path, "HOME": str(self.folder), "PYTHONPATH": os.pathsep.join(sys.path), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def refusal(self, *arguments: str, command: str = "run", **environ: str) -> str:
        """What a command says that starts nothing; in this process, which is faster."""
        variables = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), API_KEY_VARIABLE: None}
        line = [command, "--state-dir", str(self.state), *arguments]
        result = CliRunner().invoke(cli, line, env={**variables, **environ})
        assert result.exit_code in (1, 2), result.output
        assert result.stdout == ""
        return result.stderr

    def note(self, listeners: Mapping[str, tuple[str, str]], name: str = "config.yaml") -> None:
        """Note down an instance (this process) with listeners: by name, type and URL."""
        file = self.folder / name
        entries = [{"type": kind, "name": name, "port": 1} for name, (kind, _) in listeners.items()]
        file.write_text(json.dumps({"version": "v0.4.0", "listeners": entries}))
        urls = {name: f"{url}/v1/chat/completions" for name, (_, url) in listeners.items()}
        started = process_start(os.getpid())
        InstanceDirectory(self.state).record(Instance(os.getpid(), started, str(file.resolve()), 1, 30.0, urls))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.install("claude", "codex", "opencode", "aider", "goose", "my-agent")
    return desk


@pytest.fixture
def gateway(desk: Desk) -> Iterator[JsonServer]:
    with JsonServer(LISTED, posted=decide) as server:
        desk.note({"models": ("model", server.url), "travel": ("agent", "http://localhost:1")})
        yield server


def test_claude_code_gets_the_listener_and_none_of_the_users_own_keys(desk: Desk, gateway: JsonServer) -> None:
    own = {"ANTHROPIC_API_KEY": THEIRS, "CLAUDE_CODE_USE_BEDROCK": "1", "EDITOR": "vi"}
    result = desk.run("claude", "--", "--continue", "-p", "hello", **own)
    assert (result.returncode, result.stderr) == (7, "")
    arguments, environ = desk.started("claude")
    assert arguments == ["--continue", "-p", "hello"]
    assert environ["ANTHROPIC_BASE_URL"] == gateway.url
    assert environ["ANTHROPIC_AUTH_TOKEN"] == "unused"
    assert environ["EDITOR"] == "vi"
    assert not environ.keys() & {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "ANTHROPIC_MODEL"}
    asked = [(method, path) for method, path, _ in gateway.requests]
    assert asked == [("GET", "/v1/models"), ("POST", "/routing/v1/chat/completions")]
    assert json.loads(gateway.requests[1][2])["model"].startswith("claude-")


def test_arguments_after_the_agent_need_no_dashes_and_keep_those_that_are_its_own(
    desk: Desk, gateway: JsonServer
) -> None:
    desk.run("--model", "openai/gpt-4o-mini", "claude", "--model", "opus", "--", "--help")
    arguments, environ = desk.started("claude")
    assert arguments == ["--model", "opus", "--", "--help"]
    assert environ["ANTHROPIC_MODEL"] == environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "openai/gpt-4o-mini"


def test_the_small_model_of_claude_code_is_the_alias_for_it(desk: Desk) -> None:
    listed = {"data": [*LISTED["data"], {"id": "arch.claude.code.small.fast"}]}
    with JsonServer(listed, posted=decide) as server:
        desk.note({"models": ("model", server.url)})
        desk.run("claude")
        environ = desk.started("claude")[1]
        assert environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "arch.claude.code.small.fast"
        assert "ANTHROPIC_MODEL" not in environ
        desk.run("claude", ANTHROPIC_DEFAULT_HAIKU_MODEL="mine")
        assert desk.started("claude")[1]["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "mine"


def test_codex_gets_a_provider_of_its_own(desk: Desk, gateway: JsonServer) -> None:
    desk.run("--model", "openai/gpt-5", "codex", "exec", "Fix it", TRIDENT_API_KEY=KEY)
    arguments, environ = desk.started("codex")
    settings = dict(part.split("=", 1) for part in arguments[1:10:2])
    assert arguments[0:10:2] == ["-c"] * 5
    assert settings == {
        "model_provider": '"trident"',
        "model_providers.trident.name": '"Trident"',
        "model_providers.trident.base_url": f'"{gateway.url}/v1"',
        "model_providers.trident.env_key": '"TRIDENT_API_KEY"',
        "model_providers.trident.wire_api": '"responses"',
    }
    assert arguments[10:] == ["--model", "openai/gpt-5", "exec", "Fix it"]
    assert environ["TRIDENT_API_KEY"] == KEY


def test_opencode_gets_a_provider_with_the_models_of_the_listener(desk: Desk, gateway: JsonServer) -> None:
    theirs = {"theme": "x", "provider": {"other": {}}, "model": "other/x"}
    result = desk.run("opencode", OPENCODE_CONFIG_CONTENT=json.dumps(theirs), TRIDENT_API_KEY=KEY)
    assert result.stderr == "opencode uses openai/gpt-4o-mini; choose another with --model.\n"
    config = json.loads(desk.started("opencode")[1]["OPENCODE_CONFIG_CONTENT"])
    assert config["theme"] == "x"
    assert config["model"] == "trident/openai/gpt-4o-mini"
    assert set(config["provider"]) == {"other", "trident"}
    ours = config["provider"]["trident"]
    assert ours["npm"] == "@ai-sdk/openai-compatible"
    assert ours["options"] == {"baseURL": f"{gateway.url}/v1", "apiKey": KEY}
    assert list(ours["models"]) == ["openai/gpt-4o-mini", "ollama/llama3.2"]


def test_opencodes_configuration_is_not_thrown_away(desk: Desk, gateway: JsonServer) -> None:
    refusal = desk.refusal("--model", "m", "opencode", OPENCODE_CONFIG_CONTENT="// comment\n{}")
    assert "OPENCODE_CONFIG_CONTENT is set, and not a JSON object" in refusal


def test_aider_and_goose_get_what_they_read(desk: Desk, gateway: JsonServer) -> None:
    desk.run("--model", "ollama/llama3.2", "aider", TRIDENT_API_KEY=KEY)
    environ = desk.started("aider")[1]
    assert environ["OPENAI_API_BASE"] == f"{gateway.url}/v1"
    assert (environ["OPENAI_API_KEY"], environ["AIDER_MODEL"]) == (KEY, "openai/ollama/llama3.2")
    desk.run("--model", "ollama/llama3.2", "goose", "session", OPENAI_BASE_PATH="elsewhere")
    arguments, environ = desk.started("goose")
    assert arguments == ["session"]
    assert (environ["GOOSE_PROVIDER"], environ["OPENAI_HOST"]) == ("openai", gateway.url)
    assert (environ["OPENAI_API_KEY"], environ["GOOSE_MODEL"]) == ("unused", "ollama/llama3.2")
    assert "OPENAI_BASE_PATH" not in environ


def test_any_program_gets_what_sdks_read(desk: Desk, gateway: JsonServer) -> None:
    desk.run("my-agent", "x", TRIDENT_API_KEY=KEY, ANTHROPIC_API_KEY=THEIRS, OPENAI_API_KEY=THEIRS)
    arguments, environ = desk.started("my-agent")
    assert arguments == ["x"]
    assert environ["OPENAI_BASE_URL"] == f"{gateway.url}/v1"
    assert environ["ANTHROPIC_BASE_URL"] == gateway.url
    assert environ["OPENAI_API_KEY"] == environ["ANTHROPIC_AUTH_TOKEN"] == KEY
    assert THEIRS not in environ.values()


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "aider", "goose", "my-agent"])
def test_no_key_is_ever_an_argument(desk: Desk, gateway: JsonServer, agent: str) -> None:
    desk.run(agent, TRIDENT_API_KEY=KEY)
    arguments, environ = desk.started(agent)
    assert not [part for part in arguments if KEY in part]
    assert KEY in "".join(environ.values())


def test_with_its_own_key_the_agent_keeps_its_credentials(desk: Desk, gateway: JsonServer) -> None:
    own = {"ANTHROPIC_API_KEY": THEIRS, "OPENAI_API_KEY": THEIRS, "TRIDENT_API_KEY": KEY}
    desk.run("--own-key", "claude", **own)
    environ = desk.started("claude")[1]
    assert (environ["ANTHROPIC_BASE_URL"], environ["ANTHROPIC_API_KEY"]) == (gateway.url, THEIRS)
    assert "ANTHROPIC_AUTH_TOKEN" not in environ
    desk.run("--own-key", "codex", **own)
    assert 'model_providers.trident.env_key="OPENAI_API_KEY"' in desk.started("codex")[0]
    desk.run("--own-key", "opencode", **own)
    config = json.loads(desk.started("opencode")[1]["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["trident"]["options"]["apiKey"] == THEIRS


def test_requests_to_this_machine_go_past_a_proxy(desk: Desk, gateway: JsonServer) -> None:
    desk.run("claude", HTTP_PROXY="http://proxy.example:3128", no_proxy="intranet.example")
    environ = desk.started("claude")[1]
    assert environ["no_proxy"] == environ["NO_PROXY"] == "intranet.example,127.0.0.1,localhost,::1"
    desk.run("claude")
    assert "NO_PROXY" not in desk.started("claude")[1]


def test_a_gateway_elsewhere_needs_no_instance(desk: Desk) -> None:
    with JsonServer(LISTED, posted=decide, key=KEY) as server:
        desk.run("--url", f"{server.url}/v1/", "claude", TRIDENT_API_KEY=KEY)
        assert desk.started("claude")[1]["ANTHROPIC_BASE_URL"] == server.url


@pytest.mark.parametrize("url", ["nonsense", "http://u:p@gateway:12000", "http://gateway:12000/chat"])
def test_a_url_that_is_no_gateways_is_refused(desk: Desk, url: str) -> None:
    assert desk.refusal("--url", url, "claude").startswith(f"Error: {url} is not ")


def test_without_an_instance_the_error_says_how_to_start_one(desk: Desk) -> None:
    result = desk.refusal("claude")
    assert "No instance runs." in result
    assert "trident up" in result


def test_an_agent_that_is_not_installed_is_said_how_to_install(desk: Desk, gateway: JsonServer) -> None:
    (desk.folder / "bin" / "codex").unlink()
    result = desk.refusal("codex")
    assert "Codex is not installed: there is no `codex` on the PATH." in result
    assert "npm install -g @openai/codex" in result
    assert "Known coding agents: claude, codex" in desk.refusal("cluade")


def test_a_listener_that_wants_a_key_is_explained(desk: Desk) -> None:
    with JsonServer(LISTED, key=KEY) as server:
        desk.note({"models": ("model", server.url)})
        without, wrong = desk.refusal("claude"), desk.refusal("claude", TRIDENT_API_KEY="trident_wrong")
    assert "The listener models wants an API key." in without
    assert "Set TRIDENT_API_KEY" in without
    assert "does not accept the key in TRIDENT_API_KEY" in wrong
    assert "trident_wrong" not in wrong


def test_a_key_that_no_header_can_carry_is_explained(desk: Desk, gateway: JsonServer) -> None:
    refusal = desk.refusal("claude", TRIDENT_API_KEY="trident_\nx-evil: 1")
    assert "TRIDENT_API_KEY has characters that no key has." in refusal
    assert "evil" not in refusal
    assert gateway.requests == []


def test_a_listener_that_does_not_answer_is_explained(desk: Desk) -> None:
    desk.note({"models": ("model", "http://127.0.0.1:1")})
    result = desk.refusal("claude")
    assert "The listener models does not answer at http://127.0.0.1:1: 'models' cannot be reached." in result
    assert "`trident logs`" in result


@pytest.mark.parametrize(("payload", "status"), [([], 200), ({"data": 1}, 200), (LISTED, 500)])
def test_something_else_on_the_port_is_explained(desk: Desk, payload: object, status: int) -> None:
    with JsonServer(payload, status=status) as server:
        desk.note({"models": ("model", server.url)})
        assert f"What answers at {server.url} is not a model listener" in desk.refusal("claude")


def test_an_agent_whose_own_names_say_too_little_is_told_the_provider(desk: Desk) -> None:
    with JsonServer(LISTED, posted=decide_below_providers) as server:
        desk.note({"models": ("model", server.url)})
        result = desk.run("claude")
    assert result.stderr == "Claude Code uses anthropic/claude-sonnet-4-5; choose another with --model.\n"
    environ = desk.started("claude")[1]
    assert environ["ANTHROPIC_MODEL"] == environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "anthropic/claude-sonnet-4-5"


def test_models_that_the_listener_does_not_know_are_found_out_before_the_agent_starts(desk: Desk) -> None:
    with JsonServer(LISTED, posted=refuse) as server:
        desk.note({"models": ("model", server.url)})
        usual, named = desk.refusal("claude"), desk.refusal("--model", "gpt-9", "claude")
    assert "does not have the models that Claude Code asks for, such as claude-sonnet-4-5." in usual
    assert "`trident run --model MODEL claude`. It lists: openai/gpt-4o-mini, ollama/llama3.2." in usual
    assert "The listener models has no model gpt-9." in named
    assert "It lists: openai/gpt-4o-mini, ollama/llama3.2." in named
    assert not (desk.folder / "claude.json").exists()


def test_an_agent_that_has_to_be_told_a_model_is_not_started_without(desk: Desk) -> None:
    with JsonServer({"data": []}, posted=decide) as server:
        desk.note({"models": ("model", server.url)})
        refusal = desk.refusal("opencode")
    assert "opencode has to be told which model to use, and the listener models lists none." in refusal
    assert "`trident run --model openai/gpt-4o opencode`" in refusal


def test_which_listener_is_meant_has_to_be_clear(desk: Desk, gateway: JsonServer) -> None:
    desk.note({"a": ("model", gateway.url), "b": ("model", gateway.url), "travel": ("agent", gateway.url)})
    result = desk.refusal("claude")
    assert "There are several model listeners: a, b." in result
    assert "--listener" in result
    assert desk.run("--listener", "travel", "claude").returncode == 7
    unknown = desk.refusal("--listener", "c", "claude")
    assert "There is no listener c." in unknown
    assert "There are: a, b, travel." in unknown
    desk.note({"travel": ("agent", gateway.url)})
    assert "has no model listener" in desk.refusal("claude")


def test_planos_command_takes_planos_arguments(desk: Desk, gateway: JsonServer) -> None:
    settings = json.dumps({"ANTHROPIC_SMALL_FAST_MODEL": "small", "model": "opus"})
    file = str(desk.folder / "config.yaml")
    result = desk.run("claude", file, "--settings", settings, command=("cli-agent",))
    assert (result.returncode, result.stderr) == (7, "")
    arguments, environ = desk.started("claude")
    assert arguments == ['--settings={"model": "opus"}']
    assert environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == environ["ANTHROPIC_SMALL_FAST_MODEL"] == "small"
    assert desk.run("claude-cli", command=("launch",)).returncode == 7
    assert COMMANDS["cli_agent"] == COMMANDS["cli-agent"] == COMMANDS["launch"]
    assert "not JSON" in desk.refusal("claude", "--settings", "{", command="cli-agent")


@pytest.mark.parametrize("name", ["build", "generate-prompt-targets", "chatgpt"])
def test_commands_of_plano_that_there_are_none_of_say_what_to_do(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--file", "x.py", "login"])
    assert result.exit_code == 2
    assert "docker build" in result.stderr or "trident init" in result.stderr or "OPENAI_API_KEY" in result.stderr
    assert name not in CliRunner().invoke(cli, ["--help"]).output


def completed(desk: Desk, words: str) -> list[str]:
    run = desk.run(command=(), _TRIDENT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    return [line.partition(",")[2] for line in run.stdout.splitlines()]


def test_completion_knows_agents_listeners_and_providers(desk: Desk, gateway: JsonServer) -> None:
    assert completed(desk, "trident run c") == ["claude", "codex"]
    state = f"--state-dir {desk.state}"
    assert completed(desk, f"trident run {state} --listener ") == ["models", "travel"]
    assert completed(desk, "trident run --model open") == ["openai/", "openrouter/"]
