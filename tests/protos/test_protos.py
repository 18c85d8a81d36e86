"""The protos: generated code is what they say, they are clean, and nothing that was released breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.protos.generating import PACKAGE, ROOT, SOURCE, generate

BUF = Path(sys.executable).parent / "buf"
RELEASED = SOURCE / "released.binpb"
ROUTER = "router/protos/v1/router.proto"


def buf(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(cache), "PATH": ""}  # nothing of this machine's settings, and no network
    return subprocess.run([BUF, *arguments], capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_the_generated_code_is_what_the_protos_say(tmp_path: Path) -> None:
    generate(tmp_path)
    made = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / PACKAGE).iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / PACKAGE).glob("*_pb2*")}
    assert made == kept, "run `make protos`"


def test_the_protos_are_clean(tmp_path: Path) -> None:
    found = buf("lint", SOURCE, cache=tmp_path)
    assert (found.returncode, found.stdout) == (0, "")


def test_nothing_that_was_released_breaks(tmp_path: Path) -> None:
    found = buf("breaking", SOURCE, "--against", RELEASED, cache=tmp_path)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string listener = 2;", "string listener = 9;"),
        ("double score = 2;", "float score = 2;"),
        ("rpc Route(", "rpc Decide("),
        ("  // Name of the route.\n  string route = 1;\n", ""),
    ],
)
def test_a_breaking_change_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    source = (SOURCE / ROUTER).read_text(encoding="utf-8")
    assert source.count(old) == 1
    changed = tmp_path / "protos"
    for path in SOURCE.glob("**/*.*"):
        target = changed / path.relative_to(SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (changed / ROUTER).write_text(source.replace(old, new), encoding="utf-8")
    assert buf("breaking", changed, "--against", RELEASED, cache=tmp_path).returncode != 0
