from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from yarl import URL

from router.config import load_config
from router.errors import OperatorError, UpstreamUnreachable
from router.runtime.models import build_client
from router.upstream.http import Endpoint, HttpClient

CONFIG = """
version: v0.4.0
model_providers: [{model: openai/gpt-4o, access_key: k}]
listeners: [{type: model, name: models, port: 8001}]
"""


def _client(folder: Path, authorities: Path | None) -> HttpClient:
    overrides = "" if authorities is None else f"overrides: {{upstream_tls_ca_path: '{authorities}'}}\n"
    file = folder / "config.yaml"
    file.write_text(CONFIG + overrides)
    return build_client(load_config(file, {}).config)


@asynccontextmanager
async def _secure(authority: trustme.CA) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def _asked(client: HttpClient, port: int) -> bytes:
    endpoint = Endpoint("secure", URL(f"https://localhost:{port}/"), 5)
    try:
        async with client.post(endpoint, b"{}", {}) as response:
            return await response.read(100)
    finally:
        await client.close()


async def test_upstreams_are_checked_against_the_certificates_of_the_configuration(tmp_path: Path) -> None:
    ours, another = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ours.pem")
    another.cert_pem.write_to_path(tmp_path / "another.pem")
    async with _secure(ours) as port:
        assert await _asked(_client(tmp_path, tmp_path / "ours.pem"), port) == b"ok"
        for authorities in (tmp_path / "another.pem", None):
            with pytest.raises(UpstreamUnreachable):
                await _asked(_client(tmp_path, authorities), port)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_said_at_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OperatorError, match=r"ca\.pem cannot be used"):
        _client(tmp_path, file)
