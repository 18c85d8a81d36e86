"""Model folders from a folder, an archive, and an https server: whole, or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from router.cli.instances import instance_folder
from router.cli.models_pull import digest, download, fetch, pull_command, unpack
from router.cli.triton import model_store
from router.errors import OperatorError
from tests.integration.small_models import ECHO, write_model

CONFIG = """\
version: v0.4.0
agents: [{{id: one, url: http://localhost:1}}]
listeners: [{{type: agent, name: front, port: 8000, agents: [{{id: one, description: One.}}]}}]
triton: {{model_repository: {repository}}}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "new", "guard", ECHO, version=2)


@pytest.fixture
def archive(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "guard.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(model, "guard")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_model(tmp_path / "repository" / "guardrails", "guard", ECHO)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(repository=tmp_path / "repository"))
    return path


def pull(config: Path, *arguments: object) -> str:
    state = str(config.parent / "state")
    command = [*map(str, arguments), "--config", str(config), "--state-dir", state]
    return CliRunner().invoke(pull_command, command, catch_exceptions=False).output


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_version_is_where_promote_finds_it(config: Path, model: Path, archive: Path, kind: str) -> None:
    said = pull(config, model if kind == "folder" else archive)
    assert "trident models promote guard 2" in said
    store = model_store(instance_folder(config, config.parent / "state"))
    found = store.find("guard", "2", [])
    assert (found / "2" / "model.py").read_text() == ECHO
    assert store.served("guard") == config.parent / "repository" / "guardrails" / "guard"
    assert [path.name for path in store.repository.parent.iterdir() if path.name.startswith(".")] == []


def test_another_digest_is_refused(config: Path, archive: Path) -> None:
    with pytest.raises(OperatorError, match="its SHA-256 is"):
        pull(config, archive, "--sha256", "0" * 64)
    assert "promote" in pull(config, archive, "--sha256", digest(archive).upper())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("http://models.example.com/guard.tar.gz", "over https"),
        ("ftp://models.example.com/guard.tar.gz", "over https"),
        ("https://models.example.com/guard.tar.gz", "needs its digest"),
        ("nowhere", "There is no nowhere"),
    ],
)
def test_sources_that_cannot_be_trusted_or_found_are_refused(source: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=reason):
        fetch(source, None, tmp_path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        member("../outside"),
        member("/etc/outside"),
        member("guard/../../outside"),
        member("guard/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("guard/link", tarfile.LNKTYPE, "/etc/passwd"),
        member("guard/device", tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}-{info.type.decode()}",
)
def test_archives_that_lead_out_are_refused(hostile: tarfile.TarInfo, tmp_path: Path) -> None:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(hostile, io.BytesIO())
    with pytest.raises(OperatorError, match="no plain file or leads out"):
        unpack(path, tmp_path / "unpacked")
    assert not (tmp_path / "outside").exists()


def test_what_is_no_archive_and_what_holds_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(OperatorError, match="cannot be unpacked"):
        unpack(tmp_path / "text", tmp_path / "one")
    with tarfile.open(tmp_path / "empty.tar", "w") as tar:
        tar.addfile(member("readme"), io.BytesIO())
    with pytest.raises(OperatorError, match="it holds 0"):
        unpack(tmp_path / "empty.tar", tmp_path / "two")


@contextmanager
def https(folder: Path, authority: trustme.CA) -> Iterator[str]:
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/guard.tar.gz")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


def test_an_archive_is_fetched_over_https_and_nothing_else(archive: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with https(archive.parent, authority) as url:
        download(f"{url}/guard.tar.gz", tmp_path / "fetched", tls=trusting)
        assert hashlib.sha256((tmp_path / "fetched").read_bytes()).hexdigest() == digest(archive)
        with pytest.raises(OperatorError, match="certificate"):
            download(f"{url}/guard.tar.gz", tmp_path / "fetched")
        with pytest.raises(OperatorError, match="not https"):
            download(f"{url}/elsewhere", tmp_path / "fetched", tls=trusting)
        with pytest.raises(OperatorError, match="not found"):
            download(f"{url}/gone", tmp_path / "fetched", tls=trusting)
