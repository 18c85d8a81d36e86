"""From a file to a checked configuration: parse, substitute, migrate, validate, cross-check; every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.config.access_checks import check_access, check_key_file
from router.config.activity import inactive_keys
from router.config.admin_checks import check_admin
from router.config.aws import complete_bedrock
from router.config.document import Document
from router.config.draft import Draft
from router.config.environment import MissingVariable, read_environment
from router.config.grpc_checks import check_grpc
from router.config.guardrail_checks import check_guardrails
from router.config.listening import check_listeners
from router.config.migration import migrate
from router.config.model_checks import check_models
from router.config.otel import complete_otlp
from router.config.problems import ConfigErrors, KeyPath, Problem, in_file_order, render_path
from router.config.reading import read_document
from router.config.references import check_references
from router.config.schema import Config
from router.config.validation import validate


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration that can be used. ``inactive_keys`` are the paths of keys that do nothing in this version."""

    config: Config
    path: Path
    warnings: tuple[Problem, ...] = ()
    inactive_keys: tuple[str, ...] = ()

    @property
    def inactive_notice(self) -> str | None:
        """One sentence about all inactive keys, ``None`` when there are none."""
        if not self.inactive_keys:
            return None
        return f"These keys load, but do nothing in this version: {', '.join(self.inactive_keys)}."


def load_config(path: Path, environ: Mapping[str, str] | None = None) -> LoadedConfig:
    """Read the file at ``path``. Raises ``ConfigErrors`` with every problem found, and nothing else.

    ``environ`` takes the place of the process's environment; a ``.env`` beside the file completes it.
    """
    document, problems = read_document(path)
    environment = read_environment(path, environ)
    environment.substitute(document)
    problems += environment.problems
    problems += _drop_empty(document)
    problems += migrate(document)
    complete_bedrock(document, environment.variables)
    complete_otlp(document, environment.variables)
    config, invalid = validate(document, path.parent.absolute(), Config)
    problems += _beside(problems, invalid)
    draft = Draft(document)
    checks = (check_references, check_models, check_listeners, check_access, check_guardrails, check_grpc, check_admin)
    for check in checks:
        problems += _beside(problems, list(check(draft)))
    problems += _beside(problems, _missing_folder(draft, path.parent))
    problems += check_key_file(draft, config.auth if config is not None else None, path.parent.absolute(), environ)
    problems += _unavailable(document)
    if config is None or any(problem.severity == "error" for problem in problems):
        raise ConfigErrors(path, problems)
    inactive = inactive_keys(document)
    paths = tuple(dict.fromkeys(render_path(document.source(place)) for place in inactive))
    return LoadedConfig(config, path, in_file_order(problems), paths)


def _drop_empty(document: Document) -> list[Problem]:
    """Take keys without a value out of the data; each is an error, because nobody can tell what was meant."""
    problems: list[Problem] = []

    def visit(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            kept = {}
            for key, item in value.items():
                place = (*path, key)
                if item is None and place != ("prompt_guards", "input_guards", "jailbreak"):
                    hint = "Give it a value, or remove the key."
                    problems.append(document.problem(place, f"The key `{key}` has no value.", hint, on_key=True))
                else:
                    kept[key] = visit(item, place)
            return kept
        if isinstance(value, list):
            return [visit(item, (*path, index)) for index, item in enumerate(value)]
        if value is None and path and isinstance(path[-1], int):
            problems.append(document.problem(path, "This entry is empty.", "Give it a value, or remove the dash."))
        return value

    document.data = visit(document.data, ())
    return problems


def _beside(known: list[Problem], found: list[Problem]) -> list[Problem]:
    """``found`` without what only repeats that the value at a path is wrong."""
    broken = {problem.path for problem in known if problem.severity == "error" and problem.path}
    return [problem for problem in found if problem.path not in broken]


def _missing_folder(draft: Draft, directory: Path) -> list[Problem]:
    place: KeyPath = ("triton", "model_repository")
    folder = draft.text(place)
    try:
        if folder is None or (directory / Path(folder).expanduser()).is_dir():
            return []
    except (OSError, RuntimeError, ValueError):
        pass  # a name that no folder can have, or `~` of an unknown user
    hint = "The path is relative to the folder of this file."
    return [draft.document.problem(place, f"There is no folder {draft.show(place)}.", hint)]


def _unavailable(document: Document) -> list[Problem]:
    problems = []
    for path in Draft(document).entries(("model_providers",)):
        place: KeyPath = (*path, "access_key")
        key = Draft(document).get(place)
        if isinstance(key, MissingVariable) and not Draft(document).flag((*path, "passthrough_auth")):
            message = f"The environment variable {key.name} is not set, so this provider is unavailable."
            hint = "Set it, or put it into a file `.env` beside the configuration."
            problems.append(document.warning(place, message, hint))
    return problems
