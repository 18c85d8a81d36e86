"""What embedded servers leave under /dev/shm, and who removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.triton import shared_memory

pytestmark = pytest.mark.skipif(not shared_memory.SHARED_MEMORY.is_dir(), reason="needs the /dev/shm of Linux")


def make(prefix: str) -> list[Path]:
    links = shared_memory.links_folder(prefix)
    (links / "backends").mkdir(parents=True)
    (links / "0").symlink_to("/")
    segment = shared_memory.SHARED_MEMORY / f"{prefix}segment"
    segment.touch()
    return [links, segment]


def test_removing_a_prefix_removes_segments_and_links_but_nothing_behind_them(tmp_path):
    prefix = shared_memory.new_prefix()
    paths = make(prefix)
    kept = tmp_path / "kept"
    kept.touch()
    (paths[0] / "1").symlink_to(tmp_path)
    shared_memory.remove(prefix)
    assert not any(path.exists() for path in paths)
    assert kept.exists()


def test_the_prefix_of_each_server_is_its_own():
    assert shared_memory.new_prefix() != shared_memory.new_prefix()


def test_a_sweep_spares_the_living_and_removes_what_the_dead_left():
    living = make(shared_memory.new_prefix())
    script = "from router.triton import shared_memory; print(shared_memory.new_prefix())"
    dead_prefix = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    dead = make(dead_prefix)
    foreign_prefix = dead_prefix.replace(str(Path("/proc/self/ns/pid").stat().st_ino), "1")
    foreign = make(foreign_prefix)
    try:
        shared_memory.sweep()
        assert all(path.exists() for path in living)
        assert all(path.exists() for path in foreign)
        assert not any(path.exists() for path in dead)
    finally:
        for path in (*living, *foreign):
            shared_memory.remove(path.name.removesuffix("links").removesuffix("segment"))


def test_the_prefix_says_whose_it_is():
    assert f"-{os.getpid()}-" in shared_memory.new_prefix()
