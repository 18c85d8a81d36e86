"""``trident models pull``: brings a model folder to where Triton can load it."""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import stat
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO

import click
from rich.console import Console

from router.cli.instances import instance_folder
from router.cli.loading import load_or_exit
from router.cli.options import state_dir_option
from router.cli.triton import model_store
from router.errors import OperatorError
from router.triton.repository import embedded_repositories
from router.triton.store import CONFIG_FILE, version_of

MAX_ARCHIVE_BYTES = 32 * 1024**3
MAX_FILES = 10_000
_CHUNK_BYTES = 1024 * 1024
_CONNECT_WITHIN_S = 30.0


@click.command("pull")
@click.argument("source")
@click.option("--sha256", help="Digest of the archive; needed for a URL.")
@click.option("--name", help="Name of the model. Default: that of its folder.")
@click.option("--version", help="Which version. Default: the newest one in the folder.")
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("config.yaml"),
    show_default=True,
    help="The instance that is to have it: the one of this configuration.",
)
@state_dir_option
def pull_command(
    source: str, sha256: str | None, name: str | None, version: str | None, config: Path, state_dir: Path
) -> None:
    """Fetch a version of a model from SOURCE, so that `trident models promote` finds it. Nothing is served yet.

    SOURCE is a model folder (config.pbtxt, a folder for each version), a .tar, .tar.gz or .tar.xz of one, or the
    https:// address of such an archive, whose --sha256 has to be given. It is there whole, or not at all. Registries
    (Hugging Face, NGC, S3) are out of scope: fetch with their own clients, and pull the folder.

    \b
    Examples:
      trident models pull ./orchestrator
      trident models pull https://models.example.com/orchestrator-2.tar.gz --sha256 4f0a...
    """
    store = model_store(instance_folder(config, state_dir))
    # Beside the store, so that everything is on one file system; gone in the end, whatever happens.
    store.repository.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=store.repository.parent) as scratch:
        err = Console(stderr=True)
        with err.status(f"Fetching {source}"):
            folder = fetch(source, sha256, Path(scratch))
        model = name or folder.name
        chosen = version or version_of(folder)
        if not any(store.repository.glob("*")):  # the instance has never run
            store.refresh(embedded_repositories(load_or_exit(config, err).config.triton.model_repository))
        brought = store.bring_in(model, chosen, folder)
    click.echo(f"Version {chosen} of {model} is in {brought}.")
    click.echo(f"Serve it with `trident models promote {model} {chosen}`.")


def fetch(source: str, sha256: str | None, scratch: Path) -> Path:
    """The model folder that ``source`` names, unpacked below ``scratch`` where it is an archive.

    Raises ``OperatorError`` when it is none, when its digest is another one, and when it is not safe to unpack.
    """
    if "://" in source:
        if urllib.parse.urlsplit(source).scheme != "https":
            raise OperatorError(
                "Models are fetched over https:// only.", fix="Or fetch it yourself, and pull the file."
            )
        if sha256 is None:
            raise OperatorError("A model from elsewhere needs its digest.", fix="Say which with --sha256.")
        archive = scratch / "archive"
        download(source, archive)
    else:
        archive = Path(source)
        if archive.is_dir():
            return archive.resolve()
        if not archive.is_file():
            raise OperatorError(f"There is no {source}.")
    if sha256 is not None and digest(archive) != sha256.lower():
        raise OperatorError(f"{source} is not what was asked for: its SHA-256 is {digest(archive)}.")
    return unpack(archive, scratch / "unpacked")


def download(url: str, target: Path, *, tls: ssl.SSLContext | None = None) -> None:
    """Fetch ``url`` into ``target``. Raises ``OperatorError``. Addresses that lead elsewhere have to be https, too."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=tls or ssl.create_default_context()), _HttpsOnly()
    )
    place = urllib.parse.urlsplit(url).hostname
    try:
        with opener.open(url, timeout=_CONNECT_WITHIN_S) as answer, target.open("wb") as file:
            left = MAX_ARCHIVE_BYTES
            while chunk := answer.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise OperatorError(f"The archive is larger than {MAX_ARCHIVE_BYTES} bytes.")
                file.write(chunk)
    except (urllib.error.URLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise OperatorError(f"The archive cannot be fetched from {place}: {reason}.") from exc


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("it leads to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    hashed = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()


def unpack(archive: Path, target: Path) -> Path:
    """The model folder in ``archive``, below ``target``.

    Plain files and folders with relative names are unpacked, and nothing else: raises ``OperatorError`` for links,
    devices, names that lead out, and for more than a model can be.
    """
    target.mkdir()
    left = MAX_ARCHIVE_BYTES
    try:
        with tarfile.open(archive) as tar:
            for count, member in enumerate(tar, 1):
                left -= member.size
                if count > MAX_FILES or left < 0:
                    raise OperatorError("The archive holds more than a model can be.")
                _unpack_one(tar, member, target)
    except (tarfile.TarError, EOFError, OSError) as exc:
        raise OperatorError(f"{archive.name} cannot be unpacked: {exc}", fix="A .tar, .tar.gz or .tar.xz is.") from exc
    found = [config.parent for config in (*target.glob(CONFIG_FILE), *target.glob(f"*/{CONFIG_FILE}"))]
    if len(found) != 1:
        raise OperatorError(f"The archive has to hold one model folder, with its {CONFIG_FILE}; it holds {len(found)}.")
    if found[0] == target:
        raise OperatorError(f"{CONFIG_FILE} has to be in a folder with the name of the model.")
    return found[0]


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isreg() or member.isdir()):
        raise OperatorError(f"The archive holds {member.name!r}, which is no plain file or leads out of it.")
    place = target / name
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    if content is None:
        raise OperatorError(f"{member.name!r} cannot be read.")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with content, os.fdopen(os.open(place, flags, stat.S_IRUSR | stat.S_IWUSR), "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK_BYTES)
