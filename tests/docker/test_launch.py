"""docker/triton/launch, with a program in Triton's place that only says how it was called."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "docker" / "triton" / "launch"
SERVER = """\
#!/usr/bin/env python3
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "libraries": os.environ.get("LD_LIBRARY_PATH")}))
"""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Repositories as in the images: the orchestrators of both contracts have one name."""
    for model in ("gpu/orchestrator", "cpu/orchestrator", "cpu/encoder", "guardrails/jailbreak"):
        (tmp_path / model).mkdir(parents=True)
        (tmp_path / model / "config.pbtxt").write_text("")
    (tmp_path / "cpu" / "notes").mkdir()
    server = tmp_path / "server"
    server.write_text(SERVER)
    server.chmod(0o755)
    return {name: tmp_path / name for name in ("gpu", "cpu", "guardrails", "server", "work")}


def launch(folders: dict[str, Path], *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LAUNCH), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "TRITON_SERVER": str(folders["server"]),
            "TRITON_WORK": str(folders["work"]),
            "TRIDENT_MODEL_REPOSITORIES": f"{folders['gpu']}:{folders['cpu']}:{folders['guardrails']}",
            "TRIDENT_MODELS": "orchestrator jailbreak",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def called(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    arguments: list[str] = json.loads(done.stdout)["arguments"]
    return arguments


def test_triton_loads_the_named_models_and_nothing_else(folders: dict[str, Path]) -> None:
    arguments = called(launch(folders, "--log-verbose=1"))
    assert [each for each in arguments if each.startswith("--load-model")] == [
        "--load-model=orchestrator",
        "--load-model=jailbreak",
    ]
    assert {"--model-control-mode=explicit", "--strict-readiness=true"} <= set(arguments)
    assert "--http-address=127.0.0.1" in arguments
    assert arguments[-1] == "--log-verbose=1"
    assert not any("trace-config" in each or "backend-directory" in each for each in arguments)


def test_the_first_folder_that_has_a_model_wins(folders: dict[str, Path]) -> None:
    called(launch(folders))
    models = folders["work"] / "models"
    assert {each.name: each.resolve().parent.name for each in models.iterdir()} == {
        "orchestrator": "gpu",
        "encoder": "cpu",
        "jailbreak": "guardrails",
    }
    called(launch(folders, TRIDENT_MODEL_REPOSITORIES=f"{folders['cpu']}:{folders['guardrails']}"))
    assert (models / "orchestrator").resolve().parent.name == "cpu"


def test_models_that_come_later_can_be_loaded_while_it_runs(folders: dict[str, Path]) -> None:
    assert "--load-model=encoder" not in called(launch(folders))
    assert (folders["work"] / "models" / "encoder" / "config.pbtxt").is_file()


def test_triton_s_spans_go_where_the_environment_says(folders: dict[str, Path]) -> None:
    arguments = called(launch(folders, TRIDENT_TRACE_URL="http://collector:4318/v1/traces"))
    assert "--trace-config=opentelemetry,url=http://collector:4318/v1/traces" in arguments
    assert "--trace-config=mode=opentelemetry" in arguments


def test_an_image_s_own_backends_and_libraries_are_used(folders: dict[str, Path]) -> None:
    done = launch(folders, TRITON_BACKENDS="/opt/backends", TRITON_LIBRARIES="/a:/b")
    assert "--backend-directory=/opt/backends" in called(done)
    assert json.loads(done.stdout)["libraries"] == "/a:/b"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TRIDENT_MODELS": "orchestrator moderation"}, "there is no model 'moderation'"),
        ({"TRIDENT_MODELS": "notes"}, "there is no model 'notes'"),
        ({"TRIDENT_MODELS": ""}, "TRIDENT_MODELS names no model"),
        ({"TRIDENT_MODEL_REPOSITORIES": ""}, "TRIDENT_MODEL_REPOSITORIES names no folder"),
    ],
)
def test_what_cannot_work_ends_with_the_reason(
    folders: dict[str, Path], environment: dict[str, str], reason: str
) -> None:
    done = launch(folders, **environment)
    assert (done.returncode, done.stdout) == (78, "")
    assert reason in done.stderr
