"""How a tritonserver is started: its command line, its folder of links, and what its log says when that fails."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from router.triton import shared_memory
from router.triton.process import TritonProcess
from router.triton.server_log import ServerLog
from router.triton.wheel import TritonWheel

LOOPBACK = "127.0.0.1"


def reserve_port() -> socket.socket:
    """A free loopback port, kept as long as the socket is open, for a server that sets SO_REUSEADDR, as Triton does.

    Linux lets such a server bind beside a socket that does not listen, and gives the port to nobody else meanwhile.
    While no server is there, connecting to it is refused at once.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.bind((LOOPBACK, 0))
    # Only after binding: before, the kernel could choose a port that somebody else keeps in the same way.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reserved


@dataclass(frozen=True, slots=True)
class Launcher:
    """Everything that stays the same over the restarts of one embedded server."""

    wheel: TritonWheel
    repositories: tuple[Path, ...]
    models: tuple[str, ...]
    prefix: str
    grpc_port: int
    metrics_port: int
    log: ServerLog
    exit_timeout_s: float
    trace_url: str | None = None

    def spawn(self) -> TritonProcess:
        """Start a server; whatever an earlier one left in shared memory is removed, so it has to be gone."""
        links = self._make_links()
        output = self.log.open()
        try:
            return TritonProcess.spawn(self.command(links), environment=self.wheel.environment(), output=output)
        finally:
            os.close(output)

    def command(self, links: Path) -> list[str]:
        """Triton's command line. Completing configurations is disabled: it would cost a second per model."""
        return [
            str(self.wheel.server),
            *(f"--model-repository={links / str(number)}" for number in range(len(self.repositories))),
            f"--backend-directory={links / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={self.prefix}",
            "--model-control-mode=explicit",
            *(f"--load-model={model}" for model in self.models),
            "--disable-auto-complete-config",
            "--strict-readiness=true",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={self.grpc_port}",
            "--allow-http=false",
            f"--http-address={LOOPBACK}",
            f"--metrics-address={LOOPBACK}",
            f"--metrics-port={self.metrics_port}",
            "--allow-gpu-metrics=false",
            "--pinned-memory-pool-byte-size=0",
            f"--exit-timeout-secs={max(1, round(self.exit_timeout_s))}",
            "--log-verbose=0",
            "--log-format=ISO8601",
            *self._tracing(),
        ]

    def _tracing(self) -> list[str]:
        """Triton goes on with the traces of whoever asks it, and sends its spans over OTLP/HTTP."""
        if self.trace_url is None:
            return []
        return [
            "--trace-config=mode=opentelemetry",
            "--trace-config=level=TIMESTAMPS",
            "--trace-config=rate=1",
            f"--trace-config=opentelemetry,url={self.trace_url}",
            "--trace-config=opentelemetry,resource=service.name=triton",
            "--trace-config=opentelemetry,bsp_schedule_delay=1000",
        ]

    def explain(self) -> str:
        """What the log says about a failed start, with the repositories' real paths."""
        errors = self.log.errors()
        text = "\n".join(errors) if errors else self.log.tail()
        links = shared_memory.links_folder(self.prefix)
        for number, repository in enumerate(self.repositories):
            text = text.replace(f"{links / str(number)}/", f"{repository}/")
        return text

    def _make_links(self) -> Path:
        shared_memory.remove(self.prefix)
        links = shared_memory.links_folder(self.prefix)
        links.mkdir(mode=0o700)
        self.wheel.make_backend_folder(links / "backends")
        for number, repository in enumerate(self.repositories):
            (links / str(number)).symlink_to(repository)
        return links
