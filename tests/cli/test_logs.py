"""`trident logs`: files of a running instance, and its log level."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.cli.instances import Instance, InstanceDirectory, process_start
from router.cli.logs import Tail, log_files
from tests.cli.observed_instance import observed_instance, running
from tests.observer.waiting import until


@contextmanager
def instance_that_logs(folder: Path, to: Path | None) -> Iterator[Instance]:
    """A process whose standard error goes to a file, noted down as an instance; Triton's log is beside it."""
    triton = folder / "triton.log"
    triton.write_text("".join(f"triton {number}\n" for number in range(5)))
    with (to or Path(os.devnull)).open("ab") as stream:
        command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=stream)
    note = Instance(
        process.pid,
        process_start(process.pid),
        str(folder / "config.yaml"),
        workers=1,
        stop_within_s=1,
        logs={"Triton": str(triton), "gone": str(folder / "gone.log")},
    )
    InstanceDirectory(folder).record(note)
    try:
        yield note
    finally:
        process.communicate()


def test_files_are_found_as_far_as_they_exist(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.log"
    with instance_that_logs(tmp_path, gateway) as instance:
        assert log_files(instance) == {"gateway": gateway, "triton": tmp_path / "triton.log"}
    with instance_that_logs(tmp_path, None) as instance:
        assert log_files(instance) == {"triton": tmp_path / "triton.log"}


async def test_the_last_lines_of_each_are_shown(tmp_path: Path) -> None:
    gateway = tmp_path / "gateway.log"
    gateway.write_text('{"message": "one"}\n{"message": "two"}\nunfinished')
    with instance_that_logs(tmp_path, gateway):
        async with running("logs", "-n", "2", f"--state-dir={tmp_path}") as command:
            assert await command.ended() == 0
        assert command.text.splitlines() == [
            'gateway {"message": "one"}',
            'gateway {"message": "two"}',
            "triton triton 3",
            "triton triton 4",
        ]
        async with running("logs", "--name", "triton", "-n", "1", f"--state-dir={tmp_path}") as command:
            assert await command.ended() == 0
        assert command.text == "triton 4\n"
        async with running("logs", "--name", "mysql", f"--state-dir={tmp_path}") as command:
            assert await command.ended() == 1
        assert command.text == "Error: There is no log mysql.\n  Fix: There are: gateway, triton.\n"


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_is_written_is_followed(tmp_path: Path, terminal: bool) -> None:
    gateway = tmp_path / "gateway.log"
    gateway.write_text("old\n")
    with instance_that_logs(tmp_path, gateway):
        arguments = ("logs", "--follow", "--name", "gateway", f"--state-dir={tmp_path}")
        async with running(*arguments, terminal=terminal) as command:
            await command.until("old\n")
            with gateway.open("a") as stream:
                stream.write("new\n")
            await command.until("new\n")
            assert await command.interrupt() == 0
        assert "Traceback" not in command.text


async def test_an_instance_that_logs_to_its_terminal_says_how_to_have_a_file(tmp_path: Path) -> None:
    with instance_that_logs(tmp_path, None):
        (tmp_path / "triton.log").unlink()
        async with running("logs", f"--state-dir={tmp_path}") as command:
            assert await command.ended() == 1
        assert command.text.startswith("Error: This instance logs to its terminal only.")


async def test_the_level_of_the_running_instance_changes_at_once(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        text = await instance.run("logs", "--level", "debug")
        assert text == "1 worker and the telemetry process log at debug.\n"
        await until(lambda: instance.log_levels[-1:] == ["debug"])
        assert "Invalid value" in await instance.run("logs", "--level", "loud", status=2)


def test_a_file_that_is_replaced_or_cut_is_begun_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("one\ntwo\n")
    tail = Tail(file)
    assert tail.last(1) == ["two"]
    assert tail.new() == []
    file.write_text("x\n")
    assert tail.new() == ["x"]
    other = tmp_path / "other"
    other.write_text("rotated\nand more\n")
    other.replace(file)
    assert tail.new() == ["rotated", "and more"]
    file.unlink()
    assert tail.new() == []


def test_lines_that_are_not_finished_wait_for_their_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"half")
    tail = Tail(file)
    assert tail.last(10) == []
    with file.open("ab") as stream:
        stream.write(b" and half\n\xff\n")
    assert tail.new() == ["half and half", "\ufffd"]


def test_of_a_huge_file_only_the_end_is_read(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as stream:
        stream.seek(200 * 1024 * 1024)
        stream.write(b"\nlast\n")
    assert Tail(file).last(1) == ["last"]
