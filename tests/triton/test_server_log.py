"""The embedded server's log: bounded, and read for the reason of a failure."""

from __future__ import annotations

import os
from pathlib import Path

from router.triton.server_log import ServerLog

FAILED_START = r"""2026-01-31T12:00:00Z E 7 server.cc:241] "CudaDriverHelper has not been initialized."
2026-01-31T12:00:00Z I 7 model_lifecycle.cc:472] "loading: guard:1"
2026-01-31T12:00:01Z E 7 backend_model.cc:692] "ERROR: Failed to create instance: ValueError: no weights"
2026-01-31T12:00:01Z E 7 model_lifecycle.cc:642] "failed to load 'guard' version 1: Internal: ValueError: no weights\n\nAt:\n  model.py(3)\n"
2026-01-31T12:00:01Z E 7 model_repository_manager.cc:1415] "failed to poll model 'nosuch': model not found."
+-------+---------+
| Model | Version |
+-------+---------+
error: creating server: Invalid argument
"""  # noqa: E501 - as Triton writes it


def write(log: ServerLog, text: str) -> None:
    descriptor = log.open()
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_the_reasons_why_models_did_not_load_are_found_and_unescaped(tmp_path):
    log = ServerLog(tmp_path / "triton.log", max_bytes=10_000)
    write(log, FAILED_START)
    assert log.errors() == [
        "failed to load 'guard' version 1: Internal: ValueError: no weights\n\nAt:\n  model.py(3)",
        "failed to poll model 'nosuch': model not found.",
    ]


def test_without_such_reasons_all_errors_count(tmp_path):
    log = ServerLog(tmp_path / "triton.log", max_bytes=10_000)
    write(log, FAILED_START.splitlines()[0] + "\n")
    assert log.errors() == ["CudaDriverHelper has not been initialized."]


def test_the_tail_leaves_tables_out(tmp_path):
    log = ServerLog(tmp_path / "triton.log", max_bytes=10_000)
    write(log, FAILED_START)
    assert log.tail().endswith('model not found."\nerror: creating server: Invalid argument')


def test_only_the_lines_of_the_latest_run_are_read(tmp_path):
    log = ServerLog(tmp_path / "triton.log", max_bytes=10_000)
    write(log, FAILED_START)
    write(log, "second run\n")
    assert log.errors() == []
    assert log.tail() == "second run"


def test_the_file_of_an_earlier_gateway_is_put_aside(tmp_path):
    path = tmp_path / "state dir" / "triton.log"
    log = ServerLog(path, max_bytes=10_000)
    log.rotate()
    write(log, "first\n")
    ServerLog(path, max_bytes=10_000).rotate()
    assert path.read_text() == ""
    assert previous(path).read_text() == "first\n"


def test_a_file_over_its_limit_is_cut_under_the_running_server(tmp_path):
    path = tmp_path / "triton.log"
    log = ServerLog(path, max_bytes=100)
    descriptor = log.open()
    os.write(descriptor, b"a" * 100)
    log.bound()
    assert path.stat().st_size == 100
    os.write(descriptor, b"b" * 100)
    log.bound()
    assert previous(path).read_bytes() == b"b" * 100
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert path.read_bytes() == b"after\n"
    assert log.tail() == "after"


def test_a_log_that_somebody_removed_reads_as_empty(tmp_path):
    log = ServerLog(tmp_path / "triton.log", max_bytes=100)
    assert (log.errors(), log.tail()) == ([], "")
    log.bound()


def previous(path: Path) -> Path:
    return path.with_name("triton.log.1")
