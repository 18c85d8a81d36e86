"""Which version of each model an embedded server serves: links to folders that never change.

``folder`` is the instance's own::

    repository/MODEL            a link to what is served, which is what Triton reads
    repository/MODEL.vVERSION   the same for a version that is tried out beside it, under a name of its own
    versions/MODEL/VERSION/     a model folder as it was brought in: ``config.pbtxt``, ``VERSION/`` and the rest
    faces/MODEL/ID/             a new face for such a folder: its configuration, written anew, and links to the rest
    previous/MODEL              a link to what was served before

A model that was never replaced is a link into the repository that came with Trident, or that the configuration names.
Links are replaced by renaming, folders appear whole: whenever the process ends, what is there can be served.

Faces are there because Triton does not load again what is not newer than what it has loaded, and what is gone back to
is older.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from router.errors import OperatorError
from router.triton.repository import renamed_config

CONFIG_FILE = "config.pbtxt"
_BEHIND = ".folder"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_TRIAL = re.compile(r".+\.v[1-9][0-9]{0,17}")


def check_model(model: str) -> str:
    """``model`` where it can be the name of one. Raises ``OperatorError``."""
    if not _NAME.fullmatch(model) or _TRIAL.fullmatch(model):
        raise OperatorError(f"{model!r} cannot be the name of a model.", fix="Use letters, digits, _, - and dots.")
    return model


def check_version(version: str) -> str:
    """``version`` where it can be one. Raises ``OperatorError``."""
    if not _VERSION.fullmatch(version):
        raise OperatorError(f"{version!r} is no version of a model.", fix="Triton counts them: 1, 2, 3.")
    return version


def trial_name(model: str, version: str) -> str:
    """What a version is called while it is tried out beside the one that serves."""
    return f"{model}.v{version}"


class ModelStore:
    """The links and folders of one instance. Only its supervisor changes them."""

    def __init__(self, folder: Path) -> None:
        self.repository = folder / "repository"
        self._versions = folder / "versions"
        self._faces = folder / "faces"
        self._previous = folder / "previous"

    def refresh(self, sources: Sequence[Path]) -> Path:
        """Link every model of ``sources`` that was not replaced by another version, and nothing else; the repository.

        Raises ``OperatorError`` for a name that occurs twice: Triton would serve neither.
        """
        self.repository.mkdir(parents=True, exist_ok=True, mode=0o700)
        models: dict[str, Path] = {}
        for source in sources:
            for config in sorted(source.resolve().glob(f"*/{CONFIG_FILE}")):
                name = config.parent.name
                if name in models:
                    raise OperatorError(
                        f"Two models are named {name!r}: {models[name]} and {config.parent}.",
                        fix="Rename one of the two folders, or leave one of the repositories out.",
                    )
                models[name] = config.parent
        for link in self.repository.iterdir():
            if _TRIAL.fullmatch(link.name) or not (link.name in models or self._is_own(link)):
                _remove(link)
        for name, folder in models.items():
            if not self._is_own(self.repository / name):
                _link(self.repository / name, folder)
        for face in self._faces.glob("*/*"):
            if (self.repository / face.parent.name).resolve() != face.resolve():
                shutil.rmtree(face)
        return self.repository

    def served(self, model: str) -> Path:
        """The folder of what is served. Raises ``OperatorError`` when there is no such model."""
        link = self.repository / check_model(model)
        if not link.is_symlink():
            known = ", ".join(sorted(each.name for each in self.repository.glob("*") if each.is_symlink()))
            raise OperatorError(f"There is no model {model!r} here.", fix=f"There are {known or 'none'}.")
        return _behind(link)

    def previous(self, model: str) -> Path | None:
        """The folder of what was served before, ``None`` when there is none any more."""
        link = self._previous / check_model(model)
        return link.resolve() if link.is_symlink() and (link.resolve() / CONFIG_FILE).is_file() else None

    def bring_in(self, model: str, version: str, source: Path) -> Path:
        """Copy one version out of the model folder ``source``; the folder here, which holds nothing but that version.

        It appears whole, or not at all. What is here already under this version stays, unless it is not served: then
        it is replaced. Raises ``OperatorError`` when ``source`` has no such version.
        """
        check_version(version)
        if not (source / CONFIG_FILE).is_file() or not (source / version).is_dir():
            raise OperatorError(
                f"{source} has no version {version}.",
                fix=f"A model folder has {CONFIG_FILE}, and a folder for each version, such as {version}/.",
            )
        target = self._versions / check_model(model) / version
        if target in {self.served(model), self.previous(model)}:
            raise OperatorError(
                f"Version {version} of {model} is in use here.", fix="Give what is new a version of its own."
            )
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = target.parent / f".{version}.{uuid.uuid4().hex}"
        try:
            others = {folder.name for folder in source.iterdir() if _VERSION.fullmatch(folder.name)} - {version}
            shutil.copytree(source, draft, ignore=shutil.ignore_patterns(*others, "__pycache__"))
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        except (OSError, shutil.Error) as exc:
            shutil.rmtree(draft, ignore_errors=True)
            raise OperatorError(f"{source} cannot be copied to {target}: {exc}") from exc
        return target

    def find(self, model: str, version: str, sources: Sequence[Path]) -> Path:
        """Where this version was brought in, or which of ``sources`` has it. Raises ``OperatorError``."""
        check_version(version)
        own = self._versions / check_model(model) / version
        for folder in (own, *(source / model for source in sources)):
            if (folder / version).is_dir():
                return folder
        raise OperatorError(
            f"There is no version {version} of {model}.",
            fix="Name its folder with --from, or `trident models pull` it.",
        )

    def is_here(self, folder: Path) -> bool:
        """Whether ``folder`` was brought in."""
        return folder.resolve().is_relative_to(self._versions.resolve())

    def begin_trial(self, model: str, version: str, folder: Path) -> str:
        """Offer ``folder`` beside what is served, under the name that is returned."""
        name = trial_name(model, version)
        self.end_trial(model, version)
        _make_face(self.repository / name, folder, name)
        return name

    def end_trial(self, model: str, version: str) -> None:
        """Offer it no longer; nothing happens when it is not."""
        _remove(self.repository / trial_name(model, version))

    def serve(self, model: str, folder: Path) -> None:
        """From the next load on, ``folder`` is what is served; what was is the previous one."""
        before = self.served(model)
        self._previous.mkdir(parents=True, exist_ok=True, mode=0o700)
        _link(self._previous / model, before)
        self._face(model, folder)

    def restore(self, model: str, served: Path, previous: Path | None) -> None:
        """Undo `serve`: both are what they were, from the next load on."""
        self._face(check_model(model), served)
        if previous is None:
            (self._previous / model).unlink(missing_ok=True)
        else:
            _link(self._previous / model, previous)

    def _face(self, model: str, folder: Path) -> None:
        faces = self._faces / model
        faces.mkdir(parents=True, exist_ok=True, mode=0o700)
        face = faces / uuid.uuid4().hex
        _make_face(face, folder, model)
        before = (self.repository / model).resolve()
        _link(self.repository / model, face)
        for other in faces.iterdir():
            if other not in {face, before}:
                shutil.rmtree(other)

    def _is_own(self, link: Path) -> bool:
        return link.is_symlink() and self.is_here(_behind(link)) and (link / CONFIG_FILE).is_file()


def _make_face(face: Path, folder: Path, name: str) -> None:
    face.mkdir()
    for part in folder.iterdir():
        if part.name != CONFIG_FILE:
            (face / part.name).symlink_to(part.resolve())
    (face / _BEHIND).symlink_to(folder.resolve())
    # Triton wants the name of the folder that it finds.
    (face / CONFIG_FILE).write_text(renamed_config(folder / CONFIG_FILE, name), encoding="utf-8")


def _behind(link: Path) -> Path:
    """The model folder that a link leads to, if need be by a face of it."""
    behind = link / _BEHIND
    return behind.resolve() if behind.is_symlink() else link.resolve()


def version_of(folder: Path) -> str:
    """The newest version in a model folder, which is the one that Triton serves; ``-`` where there is none."""
    versions = [int(part.name) for part in folder.iterdir() if _VERSION.fullmatch(part.name)]
    return str(max(versions)) if versions else "-"


def _link(link: Path, target: Path) -> None:
    draft = link.with_name(f".{link.name}.{uuid.uuid4().hex}")
    draft.symlink_to(target.resolve())
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)
    draft.replace(link)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
