from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from router.cli.down import choose, down_command
from router.cli.instances import Instance, InstanceDirectory, process_start
from router.errors import OperatorError

WAITS_FOR_SIGTERM = "import signal; print(1, flush=True); signal.sigwait([signal.SIGTERM])"
IGNORES_SIGTERM = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


def instance(pid: int = 1, config: Path = Path("/etc/a.yaml")) -> Instance:
    return Instance(pid=pid, started=None, config=str(config), workers=1, stop_within_s=5.0)


def test_the_only_instance_needs_no_name() -> None:
    assert choose([instance()], file=None, every=False) == [instance()]


def test_several_instances_need_a_name() -> None:
    running = [instance(1), instance(2, Path("/etc/b.yaml"))]
    with pytest.raises(OperatorError, match=r"(?s)Several instances run:.*/etc/a\.yaml.*/etc/b\.yaml"):
        choose(running, file=None, every=False)
    assert choose(running, file=Path("/etc/b.yaml"), every=False) == running[1:]
    assert choose(running, file=None, every=True) == running


def test_a_file_that_no_instance_uses_is_an_error_while_others_run() -> None:
    with pytest.raises(OperatorError, match=r"(?s)No instance runs with /etc/c\.yaml.*/etc/a\.yaml"):
        choose([instance()], file=Path("/etc/c.yaml"), every=False)
    assert choose([], file=Path("/etc/c.yaml"), every=False) == []


def test_a_file_and_all_contradict_each_other() -> None:
    with pytest.raises(click.UsageError):
        choose([instance()], file=Path("/etc/a.yaml"), every=True)


def test_nothing_running_is_no_failure(tmp_path: Path) -> None:
    result = CliRunner().invoke(down_command, ["--state-dir", str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "Nothing is running.\n")


@pytest.fixture
def spawned() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def spawn(script: str, spawned: list[subprocess.Popen[bytes]]) -> int:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    spawned.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    return process.pid


def note(state_dir: Path, pid: int, config: Path) -> InstanceDirectory:
    directory = InstanceDirectory(state_dir)
    directory.record(replace(instance(pid, config), started=process_start(pid)))
    return directory


def test_down_stops_the_instance_and_forgets_it(tmp_path: Path, spawned: list[subprocess.Popen[bytes]]) -> None:
    config = tmp_path / "config.yaml"
    directory = note(tmp_path, spawn(WAITS_FOR_SIGTERM, spawned), config)
    result = CliRunner().invoke(down_command, ["--state-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, f"Stopped {config}.\n")
    assert directory.running() == []


def test_an_instance_that_does_not_stop_in_time_is_reported(
    tmp_path: Path, spawned: list[subprocess.Popen[bytes]]
) -> None:
    pid = spawn(IGNORES_SIGTERM, spawned)
    directory = note(tmp_path, pid, tmp_path / "config.yaml")
    result = CliRunner().invoke(down_command, ["--state-dir", str(tmp_path), "--timeout", "0"])
    assert isinstance(result.exception, OperatorError)
    assert f"process {pid}) still runs after 0 s" in result.exception.message
    assert [found.pid for found in directory.running()] == [pid]


def test_now_also_interrupts(tmp_path: Path, spawned: list[subprocess.Popen[bytes]]) -> None:
    note(tmp_path, spawn(IGNORES_SIGTERM, spawned), tmp_path / "config.yaml")
    result = CliRunner().invoke(down_command, ["--state-dir", str(tmp_path), "--now", "--timeout", "20"])
    assert result.exit_code == 0
    assert spawned[0].wait(timeout=10) == -signal.SIGINT
