"""The file that ``auth.file`` names: more API keys, which may change while the gateway runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from router.config.access import ApiKey, KeyFile
from router.config.environment import read_environment
from router.config.problems import ConfigErrors
from router.config.reading import read_document
from router.config.validation import validate


def load_key_file(path: Path, environ: Mapping[str, str] | None = None) -> tuple[ApiKey, ...]:
    """The keys in the YAML or JSON file at ``path``. Raises ``ConfigErrors`` with every problem found.

    ``environ`` takes the place of the process's environment; a ``.env`` beside the file completes it.
    """
    document, problems = read_document(path)
    environment = read_environment(path, environ)
    environment.substitute(document)
    problems += environment.problems
    file, invalid = validate(document, path.parent.absolute(), KeyFile)
    problems += invalid
    if file is None or any(problem.severity == "error" for problem in problems):
        raise ConfigErrors(path, problems)
    return file.keys
