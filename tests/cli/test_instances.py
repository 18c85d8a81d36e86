from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from router.cli.instances import Instance, InstanceDirectory, process_runs, process_start


@pytest.fixture
def directory(tmp_path: Path) -> InstanceDirectory:
    return InstanceDirectory(tmp_path / "state")


def own_instance(config: Path) -> Instance:
    return Instance(
        pid=os.getpid(),
        started=process_start(os.getpid()),
        config=str(config.resolve()),
        workers=2,
        stop_within_s=30.0,
        listeners={"travel": "http://localhost:8001"},
        ports=(8001,),
        triton="127.0.0.1:9000",
        logs={"triton": "/tmp/triton.log"},
    )


def test_an_instance_is_read_back_as_it_was_written(directory: InstanceDirectory, tmp_path: Path) -> None:
    instance = own_instance(tmp_path / "config.yaml")
    directory.record(instance)
    assert directory.running() == [instance]
    assert directory.with_config(tmp_path / "config.yaml") == [instance]
    assert directory.with_config(tmp_path / "other.yaml") == []


def test_only_its_user_can_read_it(directory: InstanceDirectory, tmp_path: Path) -> None:
    directory.record(own_instance(tmp_path / "config.yaml"))
    (file,) = tmp_path.rglob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_later_note_replaces_the_earlier_one(directory: InstanceDirectory, tmp_path: Path) -> None:
    first = own_instance(tmp_path / "config.yaml")
    directory.record(first)
    directory.record(replace(first, triton=None))
    assert directory.running() == [replace(first, triton=None)]


def test_a_forgotten_instance_is_gone(directory: InstanceDirectory, tmp_path: Path) -> None:
    directory.record(own_instance(tmp_path / "config.yaml"))
    directory.forget(os.getpid())
    directory.forget(os.getpid())
    assert directory.running() == []


def test_the_note_of_a_process_that_ended_is_removed(directory: InstanceDirectory, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        directory.record(replace(own_instance(tmp_path / "c.yaml"), pid=child.pid, started=process_start(child.pid)))
        assert [instance.pid for instance in directory.running()] == [child.pid]
    assert directory.running() == []
    assert list(tmp_path.rglob("*.json")) == []


def test_a_zombie_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = process_start(child.pid)
    assert process_runs(child.pid, started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process_runs(child.pid, started)
    child.communicate()


def test_another_process_with_the_same_id_is_not_the_instance(directory: InstanceDirectory, tmp_path: Path) -> None:
    mine = own_instance(tmp_path / "config.yaml")
    assert mine.started is not None
    directory.record(replace(mine, started=mine.started - 1))
    assert directory.running() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"unknown": true}', "\x00\xff"])
def test_an_unreadable_note_is_removed(directory: InstanceDirectory, tmp_path: Path, text: str) -> None:
    directory.record(own_instance(tmp_path / "config.yaml"))
    (good,) = tmp_path.rglob("*.json")
    bad = good.with_name("1.json")
    bad.write_text(text, encoding="latin-1")
    assert [instance.pid for instance in directory.running()] == [os.getpid()]
    assert not bad.exists()


def test_a_state_folder_that_does_not_exist_has_no_instances(tmp_path: Path) -> None:
    assert InstanceDirectory(tmp_path / "nowhere").running() == []
