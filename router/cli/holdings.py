"""What an instance holds for its workers while they come and go: ports, Triton with its models, the telemetry process.

Every change of the configuration first gets what the new one needs beside what is there (`extend`, which is all that
can fail), and lets go of what nothing needs any more (`reduce`) once the old one serves no more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from router.cli.admin_port import admin_port
from router.cli.instances import Instance, InstanceDirectory, instance_folder, process_start
from router.cli.observer_keeper import STOP_WITHIN_S, ObserverKeeper, observer_arguments
from router.cli.options import LogOptions
from router.cli.pool import EXIT_GRACE_S
from router.cli.ports import Binding, PortTakenError, claim_ports, release_ports
from router.cli.report import admin_url, listener_url
from router.cli.triton import RunningTriton, triton_for, triton_trace_url
from router.config import LoadedConfig
from router.config.admin import Admin
from router.errors import OperatorError
from router.runtime import models_in_use


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line decides, the configuration aside."""

    workers: int
    state_dir: Path
    logs: LogOptions
    watch: bool = False


class HeldPorts:
    """The ports of the listeners, kept from other instances."""

    def __init__(self, directory: InstanceDirectory) -> None:
        self._directory = directory
        self._held: dict[tuple[str, int], list[socket.socket]] = {}

    def extend(self, bindings: Sequence[Binding]) -> None:
        """Claim those that are not held yet. Raises ``OperatorError``, with nothing changed, when one is taken."""
        ours = {port for _, port in self._held}
        claimed: dict[tuple[str, int], list[socket.socket]] = {}
        try:
            for binding in bindings:
                place = binding.address, binding.port
                if place not in self._held and place not in claimed:
                    claimed[place] = claim_ports([binding], ours=ours)
        except BaseException as exc:
            for sockets in claimed.values():
                release_ports(sockets)
            if isinstance(exc, PortTakenError):
                raise name_holder(exc, self._directory) from exc
            raise
        self._held |= claimed

    def reduce(self, bindings: Sequence[Binding]) -> None:
        """Release all others."""
        wanted = {(binding.address, binding.port) for binding in bindings}
        for place in [place for place in self._held if place not in wanted]:
            release_ports(self._held.pop(place))


class HeldTriton:
    """The Triton that workers ask, and for a while the one that earlier ones do."""

    def __init__(self, state_dir: Path, console: Console) -> None:
        self._state_dir = state_dir
        self._console = console
        self._running: list[tuple[object, RunningTriton, AsyncExitStack]] = []

    async def extend(self, loaded: LoadedConfig) -> RunningTriton:
        """The Triton for ``loaded``, with its models: the one that runs, where that will do, else another one.

        Raises ``OperatorError`` when there cannot be such a one.
        """
        wanted = _kind(loaded)
        for kind, running, _ in self._running:
            if kind == wanted:
                if running.server is not None:
                    for model in models_in_use(loaded.config):
                        if model not in running.server.models:
                            await running.server.load(model)
                return running
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(triton_for(loaded, self._state_dir, self._console))
            self._running.append((wanted, running, stack.pop_all()))
        return running

    async def reduce(self, loaded: LoadedConfig) -> None:
        """Let go of what ``loaded`` does not need: models, and other servers."""
        wanted, models = _kind(loaded), models_in_use(loaded.config)
        for entry in list(self._running):
            kind, running, stack = entry
            if kind != wanted:
                self._running.remove(entry)
                await stack.aclose()
            elif running.server is not None:
                for model in [model for model in running.server.models if model not in models]:
                    await running.server.unload(model)

    async def close(self) -> None:
        """Let go of everything."""
        while self._running:
            _, _, stack = self._running.pop()
            await stack.aclose()


def _kind(loaded: LoadedConfig) -> object:
    """What tells one Triton from another: where it is, or what it is started with."""
    triton = loaded.config.triton
    if triton.url is not None:
        return triton.url
    if not models_in_use(loaded.config):
        return None
    return triton.model_repository, triton_trace_url(loaded.config.tracing)


class HeldTelemetry:
    """The telemetry process, and the operator's port that it listens on."""

    def __init__(
        self, directory: InstanceDirectory, folder: Path, workers: int, logs: Callable[[], LogOptions]
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._workers = workers
        self._logs = logs
        self._admin: tuple[Admin, int | None, ExitStack] | None = None
        self._keeper: ObserverKeeper | None = None
        self._kind: object = None

    @property
    def port(self) -> int | None:
        """The operator's port, ``None`` where there is none."""
        return None if self._admin is None else self._admin[1]

    def claim_port(self, admin: Admin) -> None:
        """Hold the port of ``admin``, and release the one held before. Raises ``OperatorError`` when it is taken."""
        before = self._admin
        if before is not None and before[0] == admin:
            return
        same = before is not None and before[1] == admin.port
        if before is not None and same:
            before[2].close()  # at another address: it would be in its own way
        with ExitStack() as stack:
            try:
                port = stack.enter_context(admin_port(admin))
            except PortTakenError as exc:
                if before is not None and same:
                    self._admin = None
                    self.claim_port(before[0])
                raise name_holder(exc, self._directory) from exc
            self._admin = admin, port, stack.pop_all()
        if before is not None and not same:
            before[2].close()

    async def run(self, loaded: LoadedConfig, triton_url: str) -> None:
        """Have the process run as ``loaded`` says: start it, or replace it where it would do anything else."""
        config = loaded.config
        models = models_in_use(config)
        kind = (config.tracing, config.admin, config.signals, config.overrides.disable_signals, models, triton_url)
        if self._keeper is not None and kind == self._kind:
            return
        arguments = observer_arguments(triton_url, models, self._folder, self._workers, self.port)
        await self.close()
        self._kind = kind
        self._keeper = ObserverKeeper(loaded, lambda: (*arguments, *self._logs().as_arguments()))
        await self._keeper.__aenter__()

    def kill(self) -> None:
        """End the process at once."""
        if self._keeper is not None:
            self._keeper.kill()

    async def close(self) -> None:
        """Let the process hand on what it has, and end."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.__aexit__(None, None, None)

    def release_port(self) -> None:
        """Release the operator's port."""
        if self._admin is not None:
            self._admin[2].close()
            self._admin = None


class Holdings:
    """All of it, for one instance, and the note in the state folder that says so. ``close`` it in the end."""

    def __init__(self, config: Path, options: UpOptions, logs: Callable[[], LogOptions], console: Console) -> None:
        self.folder = instance_folder(config, options.state_dir)
        self._config = str(config.resolve())
        self._options = options
        self._directory = directory = InstanceDirectory(options.state_dir)
        self._ports = HeldPorts(directory)
        self._triton = HeldTriton(options.state_dir, console)
        self._telemetry = HeldTelemetry(directory, self.folder, options.workers, logs)
        self.note: Instance | None = None
        self.triton: RunningTriton | None = None

    async def open(self, loaded: LoadedConfig) -> RunningTriton:
        """Get what ``loaded`` needs, the telemetry process aside. Raises ``OperatorError``."""
        self._ports.extend(bindings(loaded))
        self._telemetry.claim_port(loaded.config.admin)
        self._directory.sweep()
        self._record(loaded, None)
        triton = await self._triton.extend(loaded)
        self._record(loaded, triton)
        return triton

    async def extend(self, loaded: LoadedConfig) -> RunningTriton:
        """Get what ``loaded`` needs beside what is there. Raises ``OperatorError`` when it cannot be had.

        The operator's port alone is not held twice: where nothing comes of it, `go_back` fetches the one before.
        """
        self._ports.extend(bindings(loaded))
        self._telemetry.claim_port(loaded.config.admin)
        return await self._triton.extend(loaded)

    async def go_back(self, loaded: LoadedConfig) -> None:
        """Hold what ``loaded`` needs, as before, and nothing else."""
        self._telemetry.claim_port(loaded.config.admin)
        await self.reduce(loaded)

    async def present(self, loaded: LoadedConfig, triton: RunningTriton) -> None:
        """Note down what is served now, and see to the telemetry process."""
        self.triton = triton
        self._record(loaded, triton)
        await self._telemetry.run(loaded, triton.url)

    async def reduce(self, loaded: LoadedConfig) -> None:
        """Let go of what ``loaded`` does not need."""
        self._ports.reduce(bindings(loaded))
        await self._triton.reduce(loaded)

    def kill(self) -> None:
        """End at once what would hand on what it has."""
        self._telemetry.kill()

    async def close(self) -> None:
        """Let go of everything: first of those who ask others."""
        try:
            await self._telemetry.close()
        finally:
            try:
                await self._triton.close()
            finally:
                if self.note is not None:
                    self._directory.forget(self.note.pid)
                self._telemetry.release_port()
                self._ports.reduce(())

    def _record(self, loaded: LoadedConfig, triton: RunningTriton | None) -> None:
        config, port = loaded.config, self._telemetry.port
        note = Instance(
            pid=os.getpid(),
            started=process_start(os.getpid()),
            config=self._config,
            workers=self._options.workers,
            stop_within_s=config.limits.drain_timeout + EXIT_GRACE_S + STOP_WITHIN_S,
            listeners={listener.name: listener_url(listener) for listener in config.listeners},
            ports=(*(binding.port for binding in bindings(loaded)), *([] if port is None else [port])),
            admin=None if port is None else admin_url(config.admin.address, port),
        )
        if triton is not None:
            note = replace(note, triton=triton.url, logs=dict(triton.logs))
        self.note = note
        self._directory.record(note)


def bindings(loaded: LoadedConfig) -> list[Binding]:
    """Where a configuration listens, the operator's port aside."""
    config = loaded.config
    listening = [Binding(listener.name, listener.address, listener.port) for listener in config.listeners]
    return listening + ([] if config.grpc is None else [Binding("grpc", config.grpc.address, config.grpc.port)])


def name_holder(refusal: PortTakenError, directory: InstanceDirectory) -> OperatorError:
    """The refusal again, with the instance that has the port where it is one of ours."""
    for instance in directory.running():
        if refusal.binding.port in instance.ports and instance.pid != os.getpid():
            return OperatorError(
                f"{refusal.message} trident runs there with {instance.config} (process {instance.pid}).",
                fix=f"Stop it with `trident down {instance.config}`, or give the listener another port.",
            )
    return refusal
