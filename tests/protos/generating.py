"""The generated code, made again from ``protos/``, as ``make protos`` makes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "protos"
PACKAGE = Path("router/protos/v1")


def generate(folder: Path) -> None:
    """Write ``router/protos/v1`` below ``folder``."""
    programs = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{name}={programs / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    stubs = [f"--mypy_out=quiet:{folder}", f"--mypy_grpc_out=quiet:{folder}"]
    files = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.glob("**/*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCE}", *plugins, *outputs, *stubs, *files]
    subprocess.run(command, cwd=SOURCE, check=True, capture_output=True, timeout=60)


if __name__ == "__main__":
    generate(ROOT)
