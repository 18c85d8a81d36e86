"""A real PostgreSQL of its own, for tests: a cluster in a temporary folder, run by an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "s3cret-of-the-gateway"
_STARTS_WITHIN_S = 30.0
_DEBIAN_PROGRAMS = Path("/usr/lib/postgresql")


@dataclass
class PostgresServer:
    """A running server; ``url`` is its loopback address, with user and password."""

    program: Path
    data: Path
    port: int
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://gateway:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self, **settings: str) -> None:
        """Run it, and wait until it takes connections."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",  # processes are killed here, not machines
            "autovacuum": "off",
            **settings,
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [self.program, "-D", self.data, *arguments],
            user=self.user,
            cwd=self.data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def run(self, statement: str) -> str:
        """What ``psql`` prints for a statement."""
        psql = [self.program.with_name("psql"), "-q", "-t", "-A", "-d", self.url, "-c", statement]
        return subprocess.run(psql, check=True, capture_output=True, text=True).stdout.strip()

    def stop(self) -> None:
        """Stop it at once; connections are cut."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)
            self.process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While it does not run."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def _wait(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        ready = self.program.with_name("pg_isready")
        while subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            assert self.process is not None
            assert self.process.poll() is None, "postgres has ended"
            assert time.monotonic() < deadline, "postgres did not start"
            time.sleep(0.02)


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    """A server below ``directory``. Where it is not installed the test is skipped, but never in CI."""
    program = _program()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("postgresql is not installed")
        pytest.skip("postgresql is not installed (Debian package postgresql)")
    user = _user()
    directory.chmod(0o755)
    home = directory / "cluster"
    home.mkdir()
    if user is not None:
        shutil.chown(home, user)
    password = home / "password"
    password.write_text(PASSWORD)
    if user is not None:
        shutil.chown(password, user)
    data = home / "data"
    made = subprocess.run(
        [program.with_name("initdb"), "-D", data, "-U", "gateway", f"--pwfile={password}", "-A", "scram-sha-256", "-N"],
        user=user,
        cwd=home,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()
    server = PostgresServer(program, data, _free_port(), user)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _program() -> Path | None:
    """The server itself; Debian keeps it out of the path, and its wrappers cannot run a cluster anywhere."""
    versions = sorted(_DEBIAN_PROGRAMS.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("postgres")
    return versions[-1] if versions else Path(found) if found else None


def _user() -> str | None:
    """Who runs it: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.skip("postgres does not run as root, and there is no other user")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
