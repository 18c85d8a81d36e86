from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.cli.init import TEMPLATES, summary, template_text
from router.cli.main import cli
from router.config import load_config
from router.config.key_variables import KEY_VARIABLES

VARIABLES = {
    "OPENAI_API_KEY": "sk-not-a-key",
    "ANTHROPIC_API_KEY": "sk-not-a-key",
    "SECOND_OPENAI_API_KEY": "sk-not-a-key",
    "RESEARCH_KEY": "trident_0123456789abcdefghij",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without keys."""
    for name in ("OPENAI_BASE_URL", *(name for names in KEY_VARIABLES.values() for name in names)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["init", *arguments], env=environ)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_passes_the_check_as_it_is(folder: Path, name: str) -> None:
    assert run("--template", name).exit_code == 0
    loaded = load_config(folder / "config.yaml", VARIABLES)
    assert (loaded.warnings, loaded.inactive_keys) == ((), ())
    assert CliRunner().invoke(cli, ["check"], env=VARIABLES).output.startswith("config.yaml: ok. Starts the ")


def test_everything_that_the_full_template_has_switched_off_can_be_switched_on(folder: Path) -> None:
    head, version, body = template_text("full").partition("version:")
    switched_on = re.sub(r"^#(?!#)", "", body, flags=re.MULTILINE)
    assert switched_on.count("\n#") == body.count("\n##")
    (folder / "config.yaml").write_text(version + switched_on)
    loaded = load_config(folder / "config.yaml", VARIABLES)
    assert (loaded.warnings, loaded.inactive_keys) == ((), ())
    assert {listener.type for listener in loaded.config.listeners} == {"model", "agent", "prompt"}
    sections = set(loaded.config.model_fields_set)
    assert {"guardrails", "filters", "auth", "state_storage", "prompt_targets", "routing_preferences"} <= sections
    assert all(line.startswith("#") for line in head.splitlines())


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "full"])
def test_templates_are_short_and_begin_with_what_they_are(name: str) -> None:
    lines = template_text(name).splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120
    assert lines[0].startswith("# ")
    assert len(summary(name)) > 20


def test_the_list_has_every_template(folder: Path) -> None:
    for option in ("--list", "--list-templates"):
        result = run(option)
        assert result.exit_code == 0
        assert [line.split()[0] for line in result.output.splitlines()] == list(TEMPLATES)
        assert all(summary(name) in result.output for name in TEMPLATES)
    assert list(folder.iterdir()) == []


def test_it_says_what_is_next(folder: Path) -> None:
    output = run("--template", "models", "--output", "gateway.yaml").output
    assert output.splitlines() == [
        "Wrote gateway.yaml. What is next:",
        "  set OPENAI_API_KEY, ANTHROPIC_API_KEY, in the environment or in a file .env beside it",
        "  trident check gateway.yaml",
        "  trident up gateway.yaml",
    ]
    assert "set " not in run("--template", "agents").output


@pytest.mark.parametrize("is_link", [False, True])
def test_nothing_is_overwritten_without_force(folder: Path, is_link: bool) -> None:
    mine = folder / "config.yaml"
    if is_link:
        mine.symlink_to(folder / "nowhere.yaml")
    else:
        mine.write_text("mine")
    result = run("--template", "agents")
    assert result.exit_code == 1
    assert "config.yaml is there already." in result.stderr
    assert "--force" in result.stderr
    assert is_link != (mine.is_file() and mine.read_text() == "mine")
    assert run("--template", "agents", "--force").exit_code == 0
    assert mine.read_text() == template_text("agents")


def test_a_dash_prints_it(folder: Path) -> None:
    (folder / "config.yaml").write_text("mine")
    result = run("--template", "guardrails", "--output", "-")
    assert (result.exit_code, result.output) == (0, template_text("guardrails"))


def test_a_place_that_cannot_be_written_is_an_error() -> None:
    result = run("--template", "agents", "--output", "nowhere/config.yaml")
    assert result.exit_code == 1
    assert "nowhere/config.yaml cannot be written: No such file or directory." in result.stderr


def test_from_the_environment(folder: Path) -> None:
    result = run("--from-env", "--port", "12003", GROQ_API_KEY="gsk-not-a-key")
    assert result.exit_code == 0
    assert "set GROQ_API_KEY" in result.output
    config = load_config(folder / "config.yaml", {"GROQ_API_KEY": "x"}).config
    assert [entry.model for entry in config.model_providers] == ["groq/*"]
    assert config.listeners[0].port == 12003
    assert "gsk-not-a-key" not in (folder / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Say which template: --template with one of agents, "),
        (("--template", "agents", "--from-env"), "not both"),
        (("--template", "agents", "--port", "1"), "--port would do nothing: it belongs to --from-env."),
        (("--template", "agent"), "'agent' is not one of 'agents'"),
    ],
)
def test_wrong_usage_is_refused(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(folder.iterdir()) == []


def test_names_of_planos_templates_mean_ours(folder: Path) -> None:
    assert run("--template", "preference_aware_routing").exit_code == 0
    assert (folder / "config.yaml").read_text() == template_text("models")


def test_on_a_terminal_it_asks(folder: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen([sys.executable, "-m", "router", "init"], stdin=theirs, stdout=theirs, stderr=theirs)
        os.write(ours, b"2\n")
        assert process.wait(30) == 0
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert "from-env" in shown
    assert "Wrote config.yaml" in shown
    assert (folder / "config.yaml").read_text() == template_text("models")


def test_completion_knows_the_templates() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "router"],
        env={"_TRIDENT_COMPLETE": "bash_complete", "COMP_WORDS": "trident init --template ", "COMP_CWORD": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.splitlines() == [f"plain,{name}" for name in TEMPLATES]
