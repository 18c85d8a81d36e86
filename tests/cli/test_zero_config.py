from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.main import cli
from router.cli.zero_config import (
    ZeroConfig,
    ZeroOptions,
    example_call,
    make_zero_config,
    write_zero_config,
    zero_sections,
)
from router.config import load_config
from router.config.key_variables import KEY_VARIABLES
from tests.cli.json_server import JsonServer

SECRET = "sk-do-not-print-me-0123456789"
NOTHING = ZeroOptions(port=None, ollama=None, vllm=None, passthrough=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without keys."""
    beside = ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "AZURE_OPENAI_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION")
    for name in (*beside, *(name for names in KEY_VARIABLES.values() for name in names)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["up", *arguments], env=environ)


def made(folder: Path, options: ZeroOptions = NOTHING) -> ZeroConfig:
    return make_zero_config(options, folder)


def test_every_key_becomes_a_provider_with_all_its_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for names in KEY_VARIABLES.values():
        monkeypatch.setenv(names[0], SECRET)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    zero = made(folder)
    path = write_zero_config(zero, folder / "state")
    loaded = load_config(path, zero.variables)
    assert (loaded.warnings, loaded.inactive_keys) == ((), ())
    assert [entry.model for entry in loaded.config.model_providers] == [
        f"{provider}/*" for provider in KEY_VARIABLES if provider != "qwen"
    ]
    assert all(entry.access_key is not None and entry.available for entry in loaded.config.model_providers)
    (listener,) = loaded.config.listeners
    assert (listener.type, listener.address, listener.port) == ("model", "127.0.0.1", 12000)


def test_the_file_has_no_secrets_and_is_for_this_user_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    zero = made(folder)
    path = write_zero_config(zero, folder / "state")
    assert "access_key: $OPENAI_API_KEY" in path.read_text()
    assert SECRET not in path.read_text() + repr(zero.keys) + repr(zero_sections(zero))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["12000.yaml"]


def test_keys_of_a_dotenv_file_count(folder: Path) -> None:
    (folder / ".env").write_text(f"GROQ_API_KEY={SECRET}\n")
    zero = made(folder)
    assert [key.provider for key in zero.keys.found] == ["groq"]
    (provider,) = load_config(write_zero_config(zero, folder / "state"), zero.variables).config.model_providers
    assert provider.access_key is not None
    assert provider.access_key.get_secret_value() == SECRET


def test_addresses_of_the_environment_are_quoted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://proxy.example/a$HOME/: #v1")
    zero = made(folder)
    assert 'base_url: "http://proxy.example/a$$HOME/: #v1"' in zero.text


def test_the_block_says_what_was_found_what_was_not_and_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", SECRET)
    zero = made(folder, ZeroOptions(12001, None, None, passthrough=False))
    found, unusable, absent, usage = zero_sections(zero)
    assert example_call(zero).startswith("curl http://localhost:12001/v1/chat/completions ")
    assert '"model":"anthropic/' in example_call(zero)
    assert [(row.name, row.facts[0]) for row in found.rows] == [("anthropic/*", "ANTHROPIC_API_KEY")]
    assert [(row.name, row.state) for row in unusable.rows] == [("amazon_bedrock", "set AWS_REGION, too")]
    assert "OPENAI_API_KEY" in absent.rows[0].facts[0]
    assert "ANTHROPIC_API_KEY" not in absent.rows[0].facts[0]
    shown = {row.name: row.facts[0] for row in usage.rows}
    assert shown["OpenAI SDKs"] == "OPENAI_BASE_URL=http://localhost:12001/v1"
    assert shown["Anthropic SDKs"] == "ANTHROPIC_BASE_URL=http://localhost:12001"
    assert shown["coding agents"] == "trident run claude"


@pytest.mark.parametrize(
    ("variable", "command"),
    [
        ("OPENAI_API_KEY", "trident run codex"),
        ("DEEPSEEK_API_KEY", "trident run --model deepseek/deepseek-chat claude"),
        ("GROQ_API_KEY", "trident run --model groq/MODEL claude"),
    ],
)
def test_the_block_shows_a_coding_agent_that_can_be_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, command: str
) -> None:
    monkeypatch.setenv(variable, SECRET)
    usage = zero_sections(made(folder))[-1]
    assert command in [row.facts[0] for row in usage.rows if row.name == "coding agents"]


def test_with_passthrough_the_other_providers_get_the_clients_own_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    zero = made(folder, ZeroOptions(None, None, None, passthrough=True))
    loaded = load_config(write_zero_config(zero, folder / "state"), zero.variables)
    passed = {entry.provider: entry.passthrough_auth for entry in loaded.config.model_providers}
    assert passed["openai"] is False
    assert passed["anthropic"] is True
    assert not passed.keys() & {"azure_openai", "amazon_bedrock", "qwen"}
    assert loaded.warnings == ()


def test_without_any_key_the_error_says_what_to_do() -> None:
    result = run()
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "There is no configuration here, and no key of a provider in the environment." in result.stderr
    assert "export OPENAI_API_KEY=" in result.stderr
    assert "ANTHROPIC_API_KEY" in result.stderr
    assert "trident init" in result.stderr


def test_a_key_that_is_not_enough_is_named_in_the_error() -> None:
    assert "DASHSCOPE_API_KEY alone is not enough" in run(DASHSCOPE_API_KEY=SECRET).stderr


def test_print_config_starts_nothing(folder: Path) -> None:
    result = run("--print-config", "--port", "12002", OPENAI_API_KEY=SECRET)
    assert result.exit_code == 0
    (folder / "printed.yaml").write_text(result.stdout)
    loaded = load_config(folder / "printed.yaml", {"OPENAI_API_KEY": SECRET})
    assert loaded.config.listeners[0].port == 12002
    assert [file.name for file in folder.iterdir()] == ["printed.yaml"]


def test_a_file_that_is_named_has_to_be_there() -> None:
    result = run("config.yaml", OPENAI_API_KEY=SECRET)
    assert result.exit_code == 1
    assert "There is no such file." in result.stderr


@pytest.mark.parametrize("name", ["config.yaml", "plano_config.yaml"])
def test_a_configuration_of_the_folder_is_used_before_any_key(folder: Path, name: str) -> None:
    (folder / name).write_text("nonsense: 1\n")
    result = run(OPENAI_API_KEY=SECRET)
    assert result.exit_code == 1
    assert f"{name}:1:1: error: nonsense" in result.stderr


@pytest.mark.parametrize("options", [("--port", "1"), ("--passthrough",), ("--ollama",)])
def test_options_for_no_file_are_refused_beside_one(folder: Path, options: tuple[str, ...]) -> None:
    (folder / "config.yaml").write_text("nonsense: 1\n")
    result = run(*options)
    assert result.exit_code == 2
    assert f"{options[0]} would do nothing: config.yaml of this folder is used." in result.stderr
    assert "config.yaml is used." in run("config.yaml", *options).stderr
    assert "leave one of them out" in run("config.yaml", "--print-config").stderr


@pytest.fixture
def ollama() -> Iterator[JsonServer]:
    with JsonServer({"object": "list", "data": [{"id": "llama3.2:latest"}, {"id": "qwen3:8b"}]}) as server:
        yield server


def test_a_local_server_is_asked_for_its_models(folder: Path, ollama: JsonServer) -> None:
    zero = made(folder, ZeroOptions(None, ollama.url, None, passthrough=False))
    (provider,) = load_config(write_zero_config(zero, folder / "state"), {}).config.model_providers
    assert (provider.model, provider.base_url, provider.available) == ("ollama/*", f"{ollama.url}/v1", True)
    found, *_ = zero_sections(zero)
    assert found.rows[0].facts == (ollama.url, "llama3.2:latest, qwen3:8b")
    assert '"model":"ollama/llama3.2:latest"' in example_call(zero)


@pytest.mark.parametrize("data", [None, []])
def test_a_local_server_may_have_no_models_yet(folder: Path, data: object) -> None:
    with JsonServer({"object": "list", "data": data}) as server:
        zero = made(folder, ZeroOptions(None, None, server.url, passthrough=False))
    assert zero_sections(zero)[0].rows[0].facts[1] == "no models yet"


@pytest.mark.parametrize(("payload", "status"), [([], 200), ({"data": [1]}, 200), ({"data": []}, 500)])
def test_something_else_on_the_port_is_an_error(payload: object, status: int) -> None:
    with JsonServer(payload, status=status) as server:
        result = run("--ollama", server.url)
    assert result.exit_code == 1
    assert server.url in result.stderr


def test_a_local_server_that_is_not_there_is_an_error() -> None:
    result = run("--vllm", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "There is no vllm at http://127.0.0.1:1: 'vllm' cannot be reached." in result.stderr
    assert "`vllm serve MODEL`" in result.stderr


@pytest.mark.parametrize("url", ["http://models.example:11434", "https://127.0.0.1", "11434", "http://u:p@127.0.0.1"])
def test_only_addresses_of_this_machine_are_asked(url: str) -> None:
    result = run("--ollama", url)
    assert result.exit_code == 2
    assert "--ollama" in result.stderr


def test_options_of_plano_are_accepted_or_answered(folder: Path) -> None:
    assert run("--foreground", "--print-config", OPENAI_API_KEY=SECRET).exit_code == 0
    noticed = run("--with-tracing", "--print-config", OPENAI_API_KEY=SECRET)
    assert noticed.exit_code == 0
    assert "`trident trace`" in noticed.stderr
    refused = run("--docker")
    assert (refused.exit_code, "docker compose up" in refused.stderr) == (2, True)
    assert "--docker" not in run("--help").output
