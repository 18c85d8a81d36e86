"""Which instances of ``trident up`` run: one JSON file each, in the state folder, gone when the instance is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instance:
    """One running ``trident up``. ``started`` tells its process from a later one with the same id.

    ``admin`` is the address of its port for metrics and health.
    """

    pid: int
    started: int | None
    config: str
    workers: int
    stop_within_s: float
    listeners: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    triton: str | None = None
    admin: str | None = None
    logs: dict[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether its process still runs."""
        return process_runs(self.pid, self.started)


def instance_folder(config: Path, state_dir: Path) -> Path:
    """What an instance of ``config`` keeps for itself: one folder per configuration, the same after a restart."""
    path = config.resolve()
    return state_dir / f"{path.stem}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"


class InstanceDirectory:
    """The instances noted down in one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "instances"

    def record(self, instance: Instance) -> None:
        """Write or replace the note of an instance, readable by this user only."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self._file(instance.pid)
        draft = target.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(asdict(instance), stream, indent=2)
        draft.replace(target)

    def forget(self, pid: int) -> None:
        """Remove the note of an instance; nothing happens when there is none."""
        with contextlib.suppress(OSError):
            self._file(pid).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the notes that killed instances left behind."""
        self.running()

    def running(self) -> list[Instance]:
        """Every instance that runs, by process id; removes notes of processes that are gone and unreadable ones."""
        found = []
        for file in sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []:
            instance = _read(file)
            if instance is not None and instance.alive:
                found.append(instance)
            else:
                with contextlib.suppress(OSError):
                    file.unlink(missing_ok=True)
        return sorted(found, key=lambda instance: instance.pid)

    def with_config(self, config: Path) -> list[Instance]:
        """The running instances that were started with this file."""
        wanted = str(config.resolve())
        return [instance for instance in self.running() if instance.config == wanted]

    def _file(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"


def process_start(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; ``None`` where there is no /proc, or no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 22 of proc(5); the command in field 2 may hold spaces and brackets, so count from its closing bracket.
    return int(stat.rpartition(b")")[2].split()[19])


def process_runs(pid: int, started: int | None) -> bool:
    """Whether the process that began at ``started`` runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    if started is None:
        return True
    return process_start(pid) == started and not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat.rpartition(b")")[2].split()[0] == b"Z"


def _read(file: Path) -> Instance | None:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Instance(**{**fields, "ports": tuple(fields["ports"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
