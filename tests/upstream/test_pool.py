from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from yarl import URL

from router.errors import UpstreamTimeout, UpstreamUnreachable
from router.upstream.answer import BrokenOff
from router.upstream.connection import Connection
from router.upstream.http import Endpoint, HttpClient
from router.upstream.pool import CannotConnect, ConnectionPool, Origin
from tests.fakes.agents import DEFAULT_TEXT, FakeAgent
from tests.fakes.http_exchange import Connection as AgentConnection


@asynccontextmanager
async def _pool(**options: float) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(connect_timeout_s=5, **options)  # type: ignore[arg-type]
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def _client(*, connect_timeout_s: float = 5, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpClient]:
    client = HttpClient(connect_timeout_s=connect_timeout_s, tls=tls)
    try:
        yield client
    finally:
        await client.close()


def _origin(agent: FakeAgent, host: str = "127.0.0.1") -> Origin:
    return Origin("http", host, agent.port)


async def _used(pool: ConnectionPool, origin: Origin, count: int) -> Sequence[Connection]:
    """So many connections, each with an answer that is read to its end, given back in order."""
    connections = [await pool.connect(origin) for _ in range(count)]
    for connection in connections:
        connection.send(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n", b"{}", 5)
        await connection.head()
        while await connection.read():
            pass
    for connection in connections:
        pool.give_back(origin, connection)
    return connections


async def test_the_connection_used_last_is_taken_first() -> None:
    async with FakeAgent() as agent, _pool() as pool:
        connections = await _used(pool, _origin(agent), 3)
        taken = [pool.take(_origin(agent)) for _ in range(4)]
        assert taken == [*reversed(connections), None]


async def test_only_so_many_are_kept() -> None:
    async with FakeAgent() as agent, _pool(max_idle=2) as pool:
        await _used(pool, _origin(agent), 5)
        await agent.wait_connections(2)
        assert (agent.connections_made, agent.connections_open) == (5, 2)


async def test_kept_connections_are_closed_after_their_time() -> None:
    async with FakeAgent() as agent, _pool(idle_s=0.1) as pool:
        await _used(pool, _origin(agent), 2)
        await agent.wait_connections(0)
        assert pool.take(_origin(agent)) is None


async def test_a_connection_belongs_to_its_origin() -> None:
    async with FakeAgent() as one, FakeAgent() as other, _pool() as pool:
        (kept,) = await _used(pool, _origin(one), 1)
        assert pool.take(_origin(other)) is None
        assert pool.take(_origin(one, "localhost")) is None
        assert pool.take(_origin(one)) is kept


async def test_every_address_of_a_name_is_tried() -> None:
    async with FakeAgent() as agent, _pool() as pool:
        await _used(pool, _origin(agent, "localhost"), 1)  # ::1 comes first on many machines; nobody listens there
        assert agent.connections_made == 1


async def test_closing_cuts_off_whoever_waits_and_opens_nothing_more() -> None:
    async with FakeAgent(behaviour=lambda exchange: exchange.wait_closed()) as agent:
        pool = ConnectionPool(connect_timeout_s=5)
        connection = await pool.connect(_origin(agent))
        connection.send(b"POST / HTTP/1.1\r\n\r\n", b"", 5)
        waiting = asyncio.ensure_future(connection.head())
        await agent.wait_requests()
        await pool.close()
        with pytest.raises(BrokenOff):
            await waiting
        with pytest.raises(CannotConnect):
            await pool.connect(_origin(agent))
        await agent.wait_connections(0)


async def test_a_name_that_cannot_have_an_address_is_unreachable() -> None:
    async with _pool() as pool:
        with pytest.raises(CannotConnect):
            await pool.connect(Origin("http", "a" * 70 + ".example", 80))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, so there is no certificate to test with")
    folder = tmp_path_factory.mktemp("tls")
    command = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key -out cert"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost"], cwd=folder, check=True, capture_output=True
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


class SecureConnection(AgentConnection):
    """Knows what was agreed upon in the TLS handshake."""

    protocol: str | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.protocol = transport.get_extra_info("ssl_object").selected_alpn_protocol()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.close(reset=False)  # Python 3.10 warns about a TLS transport that only its peer has closed


@dataclass
class TlsAgent:
    """An agent behind TLS that would rather speak HTTP/2, and what its clients asked for."""

    url: URL
    agent: FakeAgent = field(default_factory=FakeAgent)
    server_names: list[str | None] = field(default_factory=list)
    connections: list[SecureConnection] = field(default_factory=list)

    def accept(self) -> SecureConnection:
        self.connections.append(SecureConnection(self.agent))
        return self.connections[-1]


@asynccontextmanager
async def _tls_agent(certificate: Path) -> AsyncIterator[TlsAgent]:
    secure = TlsAgent(URL("https://localhost/v1/chat/completions"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: secure.server_names.append(name)
    server = await asyncio.get_running_loop().create_server(secure.accept, "127.0.0.1", 0, ssl=context)
    secure.url = secure.url.with_port(server.sockets[0].getsockname()[1])
    try:
        yield secure
    finally:
        server.close()
        await secure.agent.wait_connections(0)


async def test_tls_is_verified_named_and_kept(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with _tls_agent(certificate) as secure, _client() as client:
        for _ in range(3):
            async with client.post(Endpoint("secure", secure.url, 5), b"{}", {}) as response:
                assert DEFAULT_TEXT in (await response.read(10_000)).decode()
        assert secure.server_names == ["localhost"]
        assert [connection.protocol for connection in secure.connections] == ["http/1.1"]


async def test_a_client_can_be_told_whom_to_trust(certificate: Path) -> None:
    tls = ssl.create_default_context(cafile=str(certificate))
    async with _tls_agent(certificate) as secure, _client(tls=tls) as client:
        async with client.post(Endpoint("secure", secure.url, 5), b"{}", {}) as response:
            assert DEFAULT_TEXT in (await response.read(10_000)).decode()
        assert [connection.protocol for connection in secure.connections] == ["http/1.1"]


async def test_a_certificate_that_nobody_vouches_for_is_unreachable(certificate: Path) -> None:
    async with _tls_agent(certificate) as secure, _client() as client:
        with pytest.raises(UpstreamUnreachable, match="'secure' cannot be reached") as caught:
            async with client.post(Endpoint("secure", secure.url, 5), b"{}", {}):
                pass
        assert "localhost" not in str(caught.value)
        assert secure.agent.requests == []


async def test_a_connection_that_is_never_ready_is_given_up() -> None:
    gone = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = URL(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with _client(connect_timeout_s=0.2) as client:
        with pytest.raises(UpstreamTimeout, match="'secure' did not answer in time"):
            async with client.post(Endpoint("secure", url, 60), b"{}", {}):
                pass
        await asyncio.wait_for(gone.wait(), 5)
    server.close()


async def test_an_address_that_was_looked_up_already_is_connected_to_under_the_name() -> None:
    async with FakeAgent() as agent, _client() as client:
        url = URL(f"http://forecast.invalid:{agent.port}/v1")
        async with client.post(Endpoint("weather", url, 5, address="127.0.0.1"), b"{}", {}) as response:
            await response.read(10_000)
        assert agent.requests[0].headers["host"] == f"forecast.invalid:{agent.port}"


async def test_a_client_that_keeps_nothing_alive_opens_a_connection_for_every_request() -> None:
    async with FakeAgent() as agent:
        client = HttpClient(connect_timeout_s=5, keep_alive=False)
        try:
            for _ in range(2):
                async with client.post(Endpoint("weather", URL(agent.url), 5), b"{}", {}) as response:
                    await response.read(10_000)
        finally:
            await client.close()
        assert agent.connections_made == 2


async def test_origins_without_a_connection_are_forgotten() -> None:
    async with FakeAgent() as agent, _pool() as pool:
        used = await pool.connect(_origin(agent))
        for number in range(1100):
            with pytest.raises(CannotConnect):
                await pool.connect(Origin("http", f"h{number}", 1, "127.0.0.1"))
        assert len(pool._origins) < 1100
        assert _origin(agent) in pool._origins
        used.abort()
