"""A file's bytes to a document, with whatever can go wrong before there is one."""

from __future__ import annotations

from pathlib import Path

from router.config.document import Document
from router.config.problems import ConfigErrors, Problem
from router.config.yaml_reader import MAX_BYTES, YamlError, parse_document


def read_document(path: Path) -> tuple[Document, list[Problem]]:
    """The document in the file at ``path``, with problems that leave one. Raises ``ConfigErrors`` for the others."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise _unreadable(path, "There is no such file.", "Check the path.") from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise _unreadable(path, f"The file cannot be read: {reason}.", "Check the path and its permissions.") from exc
    try:
        return parse_document(raw)
    except YamlError as exc:
        raise ConfigErrors(path, [exc.problem]) from exc


def _unreadable(path: Path, message: str, hint: str) -> ConfigErrors:
    return ConfigErrors(path, [Problem("error", "", message, hint)])
