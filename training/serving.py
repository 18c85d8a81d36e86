"""The files that are served beside a model and that training must share: imported from the model repository itself."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[1] / "model_repository"
ORCHESTRATOR = REPOSITORY / "cpu" / "orchestrator" / "1"
JAILBREAK = REPOSITORY / "guardrails" / "jailbreak" / "1"
MODERATION = REPOSITORY / "guardrails" / "moderation" / "1"


def load_served(path: Path) -> ModuleType:
    """Import one file of the model repository under its own name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def read_parameter(version: Path, name: str) -> str:
    """A parameter of ``config.pbtxt`` of the model of this version folder."""
    text = (version.parent / "config.pbtxt").read_text(encoding="utf-8")
    match = re.search(rf'key: "{name}" value {{ string_value: "([^"]*)"', text)
    if match is None:
        raise ValueError(f"{version.parent}/config.pbtxt has no {name}")
    return match[1]


def window_size(version: Path) -> tuple[int, int]:
    """The tokens of a window without its two special ones, and those from one window to the next."""
    return int(read_parameter(version, "window_tokens")), int(read_parameter(version, "stride_tokens"))


clauses = load_served(ORCHESTRATOR / "clauses.py")
roster_features = load_served(ORCHESTRATOR / "roster_features.py")
matching = load_served(ORCHESTRATOR / "matching.py")
attack_text = load_served(JAILBREAK / "attack_text.py")
