"""``trident models promote`` and ``rollback``: another version of a model, while requests go on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from router.cli.control import tell
from router.cli.observing import folder_of, instance_option, running_instance
from router.config.fields import Duration

_FACTS = ("compared", "agreed", "asked", "right", "cases", "accuracy", "p95_ms", "old_p95_ms", "reason", "cause")


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    if value.rstrip("smh") == "0":
        return 0.0
    try:
        return float(TypeAdapter(Duration).validate_python(value))
    except ValidationError as exc:
        raise click.BadParameter(f"{value!r} is no duration, such as 500ms, 60s or 2m.") from exc


def _share(ctx: click.Context, param: click.Parameter, value: str) -> float:
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise click.BadParameter(f"{value!r} is no percentage, such as 10%.")
    return share


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)


@click.command("promote")
@click.argument("model")
@click.argument("version")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="The model folder with the version. Default: what was pulled, else the repository.",
)
@click.option("--eval", "routing_tests", type=_FILE, help="Routing tests of `trident eval` that it has to pass.")
@click.option("--golden", type=_FILE, help="Decisions that it has to make. Default: golden.json of the model folder.")
@click.option(
    "--shadow",
    callback=_seconds,
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long it is asked beside; 0.",
)
@click.option(
    "--agreement",
    callback=_share,
    metavar="PERCENT",
    default="90%",
    show_default=True,
    help="With the old one, at least.",
)
@click.option(
    "--canary",
    callback=_share,
    metavar="PERCENT",
    default="10%",
    show_default=True,
    help="Share of requests in a canary.",
)
@click.option(
    "--canary-for",
    callback=_seconds,
    metavar="DURATION",
    default="60s",
    show_default=True,
    help="How long; 0 for none.",
)
@instance_option
def promote_command(config: Path | None, state_dir: Path, **options: Any) -> None:
    """Put VERSION of MODEL into service in a running instance, while requests go on.

    It is copied in, loaded beside the version that serves, compared with it (tensors, labels), warmed up, tried with
    decisions that are known and with your routing tests, asked what users ask without anybody waiting for it (shadow),
    then for a share of the requests (canary), and then for all. The old version stays until its requests are done. A
    step that fails goes back by itself, and the exit status is 1. Every step is a line in models.audit.jsonl in the
    instance's folder.

    \b
    Examples:
      trident models promote orchestrator 2 --from ./orchestrator --eval routes.yaml
      trident models promote jailbreak 3 --shadow 10m --canary 5% --canary-for 10m
      trident models promote encoder 2 --shadow 0 --canary 0%      At once.
    """
    folder = folder_of(running_instance(config, state_dir), state_dir)
    fields = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    fields["shadow_s"], fields["canary_s"] = fields.pop("shadow"), fields.pop("canary_for")
    asyncio.run(_follow(folder, "promote", fields))
    click.echo(f"Version {options['version']} of {options['model']} is served.")


@click.command("rollback")
@click.argument("model")
@instance_option
def rollback_command(model: str, config: Path | None, state_dir: Path) -> None:
    """Serve again what was served before the last `trident models promote MODEL`, at once."""
    folder = folder_of(running_instance(config, state_dir), state_dir)
    end = asyncio.run(_follow(folder, "rollback", {"model": model}))
    click.echo(f"Version {end['version']} of {model} is served again.")


async def _follow(folder: Path, command: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Print the steps as they are done; the last one."""
    last: Mapping[str, Any] = {}
    async with aclosing(tell(folder, command, **fields)) as steps:
        async for step in steps:
            last = step
            if "step" in step:
                facts = ", ".join(f"{name} {step[name]}" for name in _FACTS if name in step)
                click.echo("  ".join(part for part in (f"{step['step']:<9}", f"{step['outcome']:<7}", facts) if part))
    return last
