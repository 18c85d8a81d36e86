"""The images as far as they can be judged without building them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.dockerfile import DOCKERFILE, ROOT, Stage, stages

STAGES = stages()
OURS = {"gateway", "router", "guardrail", "agents", "triton-cpu", "triton-gpu", "otel-collector", "jaeger"}
RUN_BY_US = OURS - {"otel-collector", "jaeger"}
SCRIPTS = [ROOT / "docker" / "triton" / "launch"]
LOCKED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def run(program: str, *arguments: str) -> None:
    """A program of the development group, which has to have nothing to say."""
    path = shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert path is not None, f"{program} is not installed; it is in the development group"
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_has_no_objection() -> None:
    run("hadolint", str(DOCKERFILE))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_shellcheck_has_no_objection(script: Path) -> None:
    run("shellcheck", str(script))
    assert os.access(script, os.X_OK)


def test_images_from_elsewhere_are_pinned_to_a_version() -> None:
    foreign = {stage.base for stage in STAGES.values() if stage.base not in STAGES}
    assert all(re.search(r":v?\d+\.\d+", image) for image in foreign), foreign


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_image_runs_without_rights_and_says_how_it_is(name: str) -> None:
    stage = STAGES[name]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", stage.user)
    assert stage.health
    assert "org.opencontainers.image.title" in stage.labels


@pytest.mark.parametrize("name", sorted(RUN_BY_US))
def test_what_an_image_is_made_of_is_there(name: str) -> None:
    for stage in _with_origins(STAGES[name]):
        for origin, source, _ in stage.copies:
            assert origin is not None or (ROOT / source).exists(), source
            assert origin is None or origin in STAGES, origin


def _with_origins(stage: Stage) -> list[Stage]:
    """A stage, and all that it copies from or is made from."""
    names = {origin for origin, _, _ in stage.copies if origin in STAGES} | ({stage.base} & set(STAGES))
    return [stage, *(each for name in names for each in _with_origins(STAGES[name]))]


def test_every_package_that_an_image_installs_by_name_is_locked() -> None:
    locked = set(LOCKED.findall((ROOT / "requirements.lock").read_text()))
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    for install in re.findall(r"uv pip install ([^&\n]+)", text):
        assert "requirements.lock" in install
        words = install.split()
        options = {index + 1 for index, word in enumerate(words) if word.startswith("--") and word != "--no-deps"}
        names = [word for index, word in enumerate(words) if index not in options and not word.startswith("--")]
        assert set(names) - {"."} <= locked, names


def test_every_locked_package_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    assert [entry.splitlines()[0] for entry in entries if LOCKED.match(entry) and "--hash=sha256:" not in entry] == []


def test_secrets_and_history_do_not_reach_the_builder() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*"  # nothing that is not named
    allowed = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    copied = {source for stage in STAGES.values() for origin, source, _ in stage.copies if origin is None}
    assert all(any(source == each or source.startswith(f"{each}/") for each in allowed) for source in copied)
    assert {"**/.env", "**/__pycache__"} <= set(patterns)
    assert not allowed & {".git", ".env", "tests", ".venv"}


def test_the_gpu_image_and_ours_have_the_same_python() -> None:
    minor = re.search(r"python:(3\.\d+)\.", STAGES["build-gpu"].base)
    assert minor is not None
    assert minor[1] == "3.12"  # that of NVIDIA's image, which is built on Ubuntu 24.04
    assert {each.base for each in STAGES.values() if each.base.startswith("python:")} == {STAGES["build-gpu"].base}
    assert f"python{minor[1]}/" in STAGES["triton-cpu"].environment["TRITON_SERVER"]
