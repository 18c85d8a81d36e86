"""What the embedded server needs of a machine, and how it says what is missing."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from router.errors import OperatorError
from router.triton.wheel import TritonWheel, find_wheel, require_libraries, require_platform

HERE = Path(sys.executable)


def on_linux() -> None:
    try:
        require_platform(platform.system(), platform.machine(), platform.libc_ver())
    except OperatorError as exc:
        pytest.skip(exc.message)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "problem"),
    [
        ("Darwin", "arm64", ("", ""), "Linux x86-64 only, and this is Darwin arm64"),
        ("Linux", "aarch64", ("glibc", "2.39"), "this is Linux aarch64"),
        ("Linux", "x86_64", ("glibc", "2.31"), "glibc 2.35 or later; this system has glibc 2.31"),
        ("Linux", "x86_64", ("", ""), "another C library"),
    ],
)
def test_an_unsupported_platform_is_told_what_to_do_instead(system, machine, libc, problem):
    with pytest.raises(OperatorError, match=problem) as caught:
        require_platform(system, machine, libc)
    assert "triton.url" in caught.value.fix
    assert "docker compose" in caught.value.fix


@pytest.mark.parametrize("version", ["2.35", "2.36", "2.100", "3.0"])
def test_glibc_2_35_and_later_are_supported(version):
    require_platform("Linux", "x86_64", ("glibc", version))


def test_without_the_wheel_the_extra_to_install_is_named(tmp_path):
    on_linux()
    with pytest.raises(OperatorError, match="not installed") as caught:
        find_wheel([str(tmp_path)])
    assert "trident-router[embedded]" in caught.value.fix


def test_a_wheel_without_a_backend_for_this_python_says_so(tmp_path):
    on_linux()
    server = tmp_path / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    server.parent.mkdir(parents=True)
    server.touch()
    (tmp_path / "pytriton" / "__init__.py").touch()
    with pytest.raises(OperatorError, match=r"no Python backend for Python 3\.") as caught:
        find_wheel([str(tmp_path)])
    assert "triton.url" in caught.value.fix


def test_a_binary_whose_libraries_are_all_there_may_run():
    on_linux()
    require_libraries(Path("/bin/sh"), {})


def test_a_binary_that_cannot_be_loaded_at_all_is_refused(tmp_path):
    on_linux()
    binary = tmp_path / "tritonserver"
    binary.write_bytes(b"not a program")
    with pytest.raises(OperatorError, match="cannot run here") as caught:
        require_libraries(binary, {})
    assert "triton.url" in caught.value.fix


def test_the_servers_environment_has_this_python_first_and_nothing_of_the_gateways(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    environment = TritonWheel(tmp_path, tmp_path / "libs").environment()
    assert environment["PATH"].split(":")[0] == str(HERE.parent)
    assert environment["LD_LIBRARY_PATH"].split(":")[0] == str(tmp_path / "libs")
    assert "sk-secret" not in environment.values()
    assert set(environment) == {"PATH", "LD_LIBRARY_PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
