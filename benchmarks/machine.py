"""What the machine of a measurement is, without saying which one it is."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

# The levels of the x86-64 ABI by a flag that each one adds.
LEVELS = (("avx512bw", "x86-64-v4"), ("avx2", "x86-64-v3"), ("sse4_2", "x86-64-v2"))
EXTRAS = (("amx_int8", "AMX int8"), ("avx512_vnni", "AVX-512 VNNI"), ("avx_vnni", "AVX VNNI"))


def describe() -> dict[str, object]:
    """Cores, CPU level, memory, and the versions of what matters for speed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "cpu": cpu_level(_flags()),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("trident-router", "aiohttp", "uvloop", "grpcio")},
    }


def cpu_level(flags: frozenset[str]) -> str:
    """The architecture level and, if there are any, the instructions that quantised models use."""
    level = next((name for flag, name in LEVELS if flag in flags), platform.machine())
    extras = [name for flag, name in EXTRAS if flag in flags]
    return f"{level} with {', '.join(extras)}" if extras else level


def _flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), frozenset())
