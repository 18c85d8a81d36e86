"""Where the model repository is, and what its ``config.pbtxt`` files say, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from router.errors import OperatorError
from router.triton.metadata import ModelConfig, from_model_config

# The folders of the model repository that the embedded shape serves. Triton gets each as a repository of its own.
EMBEDDED_FOLDERS = ("guardrails", "cpu")

_PACKAGE = Path(__file__).resolve().parents[1]


def find_model_repository(package: Path = _PACKAGE) -> Path:
    """The repository of the source checkout that ``package`` is part of, else the one inside the installed package."""
    for candidate in (package.parent / "model_repository", package / "_model_repository"):
        if candidate.is_dir():
            return candidate
    raise OperatorError(
        "The model repository is missing from this installation.",
        fix="Reinstall trident-router, or name a repository with `triton.model_repository` in the configuration.",
    )


def embedded_repositories(root: Path | None = None) -> tuple[Path, ...]:
    """The folders under ``root`` (default: ``find_model_repository()``) that the embedded server serves."""
    root = find_model_repository() if root is None else root
    folders = tuple(root / name for name in EMBEDDED_FOLDERS if (root / name).is_dir())
    if not folders:
        raise OperatorError(
            f"No models for the embedded server in {root}.",
            fix=f"Give `triton.model_repository` a folder with {' or '.join(f'{name}/' for name in EMBEDDED_FOLDERS)}.",
        )
    return folders


def list_models(repositories: Sequence[Path]) -> tuple[ModelConfig, ...]:
    """Every model of ``repositories``, by name. A name that occurs twice is an error: Triton would serve neither."""
    found: dict[str, Path] = {}
    models: list[ModelConfig] = []
    for path in sorted(path for repository in repositories for path in repository.glob("*/config.pbtxt")):
        model = read_model_config(path)
        if model.name in found:
            raise OperatorError(
                f"Two models are named {model.name!r}: {found[model.name].parent} and {path.parent}.",
                fix="Rename one of the two folders, or leave one of the repositories out.",
            )
        found[model.name] = path
        models.append(model)
    return tuple(sorted(models, key=lambda model: model.name))


def read_model_config(path: Path) -> ModelConfig:
    """Parse one ``config.pbtxt``. A model without a name of its own has its folder's."""
    message = _parse(path)
    if not message.name:
        message.name = path.parent.name
    if message.name != path.parent.name:
        raise OperatorError(
            f"{path} names its model {message.name!r}.",
            fix=f"Name it {path.parent.name!r} like its folder, or leave the name out.",
        )
    return from_model_config(message)


def renamed_config(path: Path, name: str) -> str:
    """The ``config.pbtxt`` at ``path`` for the same model under another name."""
    from google.protobuf import text_format

    message = _parse(path)
    message.name = name
    return str(text_format.MessageToString(message, as_utf8=True))


def _parse(path: Path) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2  # brings gRPC and NumPy along, as ``rpc`` does

    message = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as exc:
        raise OperatorError(f"{path} cannot be read: {exc}", fix="Correct the model's configuration.") from exc
    return message
