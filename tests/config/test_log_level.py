"""``LOG_LEVEL`` while the gateway runs: the file first, since only it can have changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config.log_level import reread_log_level


@pytest.mark.parametrize(
    ("dotenv", "environ", "level"),
    [
        (None, {}, None),
        (None, {"LOG_LEVEL": "Debug"}, "debug"),
        ("LOG_LEVEL=warning\n", {"LOG_LEVEL": "debug"}, "warning"),
        ("LOG_LEVEL=\n", {"LOG_LEVEL": "error"}, "error"),
        ("OTHER=1\n", {}, None),
        ("LOG_LEVEL=loud\n", {}, None),
        (b"\xff\xfe", {"LOG_LEVEL": "info"}, "info"),
    ],
)
def test_the_file_comes_before_the_environment(
    tmp_path: Path, dotenv: str | bytes | None, environ: dict[str, str], level: str | None
) -> None:
    if isinstance(dotenv, str):
        (tmp_path / ".env").write_text(dotenv)
    elif dotenv is not None:
        (tmp_path / ".env").write_bytes(dotenv)
    assert reread_log_level(tmp_path / "config.yaml", environ) == level
