"""The real tritonserver from the wheel ``nvidia-pytriton``: where it is, and what it needs to run.

Only the server binary and the Python backend are used; ``pytriton`` itself is never imported.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from router.errors import OperatorError

_ELSEWHERE = "set `triton.url` in the configuration to a Triton that runs elsewhere, or use `docker compose up`"
_OLDEST_GLIBC = (2, 35)
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_STUB = "triton_python_backend_stub"
_UTILITIES = "triton_python_backend_utils.py"
_BRIDGE = Path(__file__).with_name("numpy_bridge.py")

# How the loader says that something is missing, with and without a library that is there but too old.
_MISSING = re.compile(r"^\s*(?P<library>\S+) => not found|: version [`'](?P<version>\S+)' not found", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TritonWheel:
    """The installed wheel: the folder with the server in it, and the folder of the libraries that it brings."""

    root: Path
    libraries: Path

    @property
    def server(self) -> Path:
        """The server binary."""
        return self.root / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """The process that runs Python models, for the Python that runs now."""
        return self.root / "python_backend_stubs" / _PYTHON / _STUB

    def make_backend_folder(self, folder: Path) -> None:
        """Make ``folder`` for ``--backend-directory``: the Python backend with the stub for this Python.

        All links but one: the backend's utilities are copied, with a line added that loads our bridge to NumPy 2.
        """
        wheel, python = self.root / "backends" / "python", folder / "python"
        python.mkdir(parents=True)
        for target in (wheel / "libtriton_python.so", self.stub, _BRIDGE):
            (python / target.name).symlink_to(target)
        utilities = (wheel / _UTILITIES).read_text(encoding="utf-8")
        (python / _UTILITIES).write_text(f"{utilities}\nimport {_BRIDGE.stem}\n", encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """The whole environment of the server and of the models.

        Nothing is inherited: models need no keys, and a proxy, an LD_PRELOAD or a PYTHONPATH of the gateway is not
        meant for them. The Python that runs now comes first on PATH, which is how models find their packages.
        """
        return {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "LD_LIBRARY_PATH": os.pathsep.join(str(path) for path in (self.libraries, *_libpython_folders())),
            "LANG": "C.UTF-8",
            # Bytecode next to the models would dirty the repository.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }


def find_wheel(search: Sequence[str] | None = None) -> TritonWheel:
    """The wheel on the import path (or ``search``), checked to run here; else ``OperatorError`` says what to do.

    Starts the dynamic loader twice, some ten milliseconds each: call it in a thread.
    """
    require_platform(platform.system(), platform.machine(), platform.libc_ver())
    spec = PathFinder.find_spec("pytriton", search)
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent
    if folder is None or not (folder / "tritonserver" / "bin" / "tritonserver").is_file():
        raise OperatorError(
            "The embedded Triton is not installed.",
            fix=f"Install it with `pip install 'trident-router[embedded]'`; or {_ELSEWHERE}.",
        )
    wheel = TritonWheel(folder / "tritonserver", folder.parent / "nvidia_pytriton.libs")
    if not wheel.stub.is_file():
        raise OperatorError(
            f"The embedded Triton has no Python backend for Python {_PYTHON}.",
            fix=f"Use Python 3.10 to 3.13; or {_ELSEWHERE}.",
        )
    for binary in (wheel.server, wheel.stub):
        require_libraries(binary, wheel.environment())
    return wheel


def require_platform(system: str, machine: str, libc: tuple[str, str]) -> None:
    """``OperatorError`` unless the wheel's binaries are made for this system: Linux x86-64, glibc 2.35 or later."""
    if (system, machine) != ("Linux", "x86_64"):
        raise OperatorError(
            f"The embedded Triton runs on Linux x86-64 only, and this is {system} {machine}.",
            fix=f"Please {_ELSEWHERE}.",
        )
    name, version = libc
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name != "glibc" or number < _OLDEST_GLIBC:
        raise OperatorError(
            f"The embedded Triton needs glibc 2.35 or later; this system has {name or 'another C library'} {version}.",
            fix=f"Use a newer distribution (Debian 12, Ubuntu 22.04, RHEL 10 or later); or {_ELSEWHERE}.",
        )


def require_libraries(binary: Path, environment: Mapping[str, str]) -> None:
    """``OperatorError`` naming the shared libraries that the dynamic loader does not find for ``binary``."""
    listing = subprocess.run(  # noqa: S603 - the system's loader, and a binary of the wheel
        [str(_LOADER), "--list", str(binary)],
        env=dict(environment),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        check=False,
    )
    found = _MISSING.finditer(listing.stdout + listing.stderr)
    missing = sorted({match["library"] or match["version"] for match in found})
    if not missing and listing.returncode == 0:
        return
    python = next((name for name in missing if name.startswith("libpython")), None)
    if python is not None:
        raise OperatorError(
            f"The embedded Triton needs {python}, and this Python comes without it.",
            fix=f"Install the package libpython{_PYTHON} (Debian, Ubuntu), or use a Python built with --enable-shared; "
            f"or {_ELSEWHERE}.",
        )
    raise OperatorError(
        f"The embedded Triton cannot run here: {', '.join(missing) or listing.stderr.strip()} not found.",
        fix=f"Install the missing system libraries; or {_ELSEWHERE}.",
    )


def _libpython_folders() -> list[Path]:
    """Where this Python keeps its shared library, when that is not where the loader looks anyway."""
    folders = [Path(sys.base_prefix) / "lib"]
    libdir, multiarch = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("MULTIARCH")
    if libdir:
        folders.insert(0, Path(libdir))
        if multiarch:
            folders.append(Path(libdir) / str(multiarch))
    return [folder for folder in dict.fromkeys(folders) if (folder / f"libpython{_PYTHON}.so.1.0").is_file()]
