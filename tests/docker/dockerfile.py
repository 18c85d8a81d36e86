"""What docker/Dockerfile says about each target, with what a stage takes over from the one it is made from."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"


@dataclass
class Stage:
    """One stage; ``copies`` are (from stage or ``None``, source, target)."""

    name: str
    base: str
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    copies: list[tuple[str | None, str, str]] = field(default_factory=list)


def stages() -> dict[str, Stage]:
    """All stages by name, inherited settings included."""
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for word, rest in _instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            parent = found.get(base)
            current = Stage(name or base, base)
            if parent is not None:
                current.user, current.entrypoint = parent.user, list(parent.entrypoint)
                current.environment, current.labels = dict(parent.environment), set(parent.labels)
                current.copies = list(parent.copies)
            found[current.name] = current
        else:
            assert current is not None
            _apply(current, word, rest)
    return found


def _apply(stage: Stage, word: str, rest: str) -> None:
    match word:
        case "USER":
            stage.user = rest
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        case "CMD":
            stage.command = json.loads(rest)
        case "HEALTHCHECK":
            stage.health = json.loads(rest.partition("CMD ")[2])
        case "ENV":
            stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "LABEL":
            stage.labels |= {pair.split("=", 1)[0] for pair in shlex.split(rest)}
        case "COPY":
            words = shlex.split(rest)
            origin = next((each.removeprefix("--from=") for each in words if each.startswith("--from=")), None)
            *sources, target = [each for each in words if not each.startswith("--")]
            stage.copies += [(origin, source, target) for source in sources]


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in split]
