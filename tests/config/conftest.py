"""A way to load configurations written in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from router.config import ConfigErrors, LoadedConfig, Problem, load_config

Load = Callable[..., LoadedConfig]
FindProblems = Callable[..., tuple[Problem, ...]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """``load(text, environ)``: the loaded configuration. The process's environment is never looked at."""

    def load(text: str, environ: Mapping[str, str] | None = None) -> LoadedConfig:
        path = tmp_path / "config.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        return load_config(path, environ or {})

    return load


@pytest.fixture
def problems(load: Load) -> FindProblems:
    """``problems(text, environ)``: everything that is wrong with a configuration that must be refused."""

    def problems(text: str, environ: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
        with pytest.raises(ConfigErrors) as caught:
            load(text, environ)
        return caught.value.problems

    return problems
