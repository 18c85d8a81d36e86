"""Spellings of Plano's command line: accepted where they mean the same, else answered with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def plano_up_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``planoai up`` that ``trident up`` needs none of; none of them reaches the command."""
    options = [
        _accepted("--foreground"),
        _accepted("--with-tracing", "Traces are kept in any case: `trident trace` shows them."),
        _accepted("--verbose", "Say how much is logged with `--log-level debug`."),
        _refused("--docker", "`docker compose up` starts the containers.", is_flag=True),
        _refused("--path", "Name the file: `trident up DIR/config.yaml`."),
        _refused("--tracing-port", "`trident trace listen --grpc-port PORT` collects the spans of other programs."),
    ]
    for option in options:
        command = option(command)
    return command


def _accepted(name: str, notice: str | None = None) -> Callable[..., Any]:
    def tell(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and notice is not None:
            click.echo(f"{name} is not needed. {notice}", err=True)

    return click.option(name, is_flag=True, hidden=True, expose_value=False, callback=tell)


def _refused(name: str, hint: str, *, is_flag: bool = False) -> Callable[..., Any]:
    def refuse(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        if value:
            raise click.UsageError(f"There is no {name}. {hint}", ctx)

    return click.option(name, is_flag=is_flag, hidden=True, expose_value=False, callback=refuse)


def _instead(name: str, hint: str) -> click.Command:
    """A command that says what takes its place, and fails: a script that relied on it should notice."""

    @click.command(
        name, hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, help=hint
    )
    @click.pass_context
    def command(ctx: click.Context) -> None:
        ctx.fail(hint)

    return command


build_command = _instead(
    "build", "There is nothing to build. For container images: `docker build -f docker/Dockerfile .` in the repository."
)
generate_prompt_targets_command = _instead(
    "generate-prompt-targets",
    "Prompt targets are written by hand: `trident init --template prompt-targets` is a file to begin with.",
)
chatgpt_command = _instead(
    "chatgpt",
    "Subscriptions of ChatGPT are not used. Set OPENAI_API_KEY, or let clients bring their key (`passthrough_auth`).",
)
