"""Watches one run of the embedded server: gone, hung, or missing one of its model processes."""

from __future__ import annotations

from dataclasses import dataclass

from router.aio import timeout
from router.triton.client import TritonClient
from router.triton.process import TritonProcess


@dataclass(frozen=True, slots=True)
class HealthChecks:
    """How often the server is asked, and how patiently: it is hung after ``failures`` checks without an answer."""

    interval_s: float = 1.0
    timeout_s: float = 2.0
    failures: int = 5


class HealthWatch:
    """The health of one process, from the moment at which it serves all its models."""

    def __init__(self, process: TritonProcess, client: TritonClient, checks: HealthChecks) -> None:
        self._process = process
        self._client = client
        self._checks = checks
        self._silent = 0
        self._dead_stubs: frozenset[int] = frozenset()

    async def check(self) -> str | None:
        """Wait one interval or for the end of the process; what is wrong with it, or ``None``."""
        try:
            async with timeout(self._checks.interval_s):
                status = await self._process.wait()
        except TimeoutError:
            pass
        else:
            return f"exited with status {status}"
        if not await self._client.server_live(self._checks.timeout_s):
            self._silent += 1
            return "health checks got no answer" if self._silent >= self._checks.failures else None
        self._silent = 0
        return "a model process died" if self._a_stub_died() else None

    def _a_stub_died(self) -> bool:
        """Whether a model process was dead at two checks in a row, and so not because its model is being unloaded.

        Triton 2.51 does not notice: it goes on saying that the model is ready, and every request to it fails after a
        second.
        """
        before, self._dead_stubs = self._dead_stubs, self._process.dead_stubs()
        return not before.isdisjoint(self._dead_stubs)
