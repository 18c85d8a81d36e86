"""``trident init``: writes a configuration to begin with, from a template or from the keys in the environment."""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path

import click

from router.cli.zero_config import ZeroOptions, make_zero_config, zero_options
from router.errors import OperatorError

TEMPLATES = ("agents", "models", "coding-agents", "guardrails", "prompt-targets", "full")

# What Plano calls templates of the same purpose.
_PLANO_NAMES = {
    "sub_agent_orchestration": "agents",
    "preference_aware_routing": "models",
    "coding_agent_routing": "coding-agents",
    "filter_chain_guardrails": "guardrails",
}

_FROM_ENV = "from-env"
_VARIABLE = re.compile(r"^[^#\n]*\$([A-Z][A-Z0-9_]*)", re.MULTILINE)


class TemplateName(click.Choice):  # type: ignore[type-arg]  # click 8.1 has no parameter
    """The name of a template; those of Plano mean ours of the same purpose."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name: str = super().convert(_PLANO_NAMES.get(value, value), param, ctx)
        return name


@click.command("init")
@click.option("-t", "--template", type=TemplateName(TEMPLATES), help="Which one; asked for on a terminal if left out.")
@click.option("--from-env", is_flag=True, help="Instead: what `trident up` makes of the provider keys there are.")
@zero_options("With --from-env")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=Path("config.yaml"),
    show_default=True,
    help="Where to write it; - prints it.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option("--list", "--list-templates", "listed", is_flag=True, help="List the templates, and write nothing.")
def init_command(
    template: str | None, from_env: bool, zero: ZeroOptions, output: Path, force: bool, listed: bool
) -> None:
    """Write a configuration to begin with.

    Templates are short, have comments, and pass `trident check` as they are. Nothing that exists is overwritten without
    --force.

    \b
    Examples:
      trident init --list
      trident init --template agents
      trident init --template full --output - | less
      trident init --from-env --ollama            As `trident up --ollama` would use it.
    """
    if listed:
        _print_list()
        return
    if from_env and template is not None:
        raise click.UsageError("Give --template or --from-env, not both.")
    if zero.given and not from_env:
        raise click.UsageError(f"{', '.join(zero.given)} would do nothing: it belongs to --from-env.")
    if str(output) != "-" and not force:
        _refuse_to_overwrite(output)
    chosen = _FROM_ENV if from_env else template or _ask()
    text = make_zero_config(zero, Path.cwd()).text if chosen == _FROM_ENV else template_text(chosen)
    if str(output) == "-":
        click.echo(text, nl=False)
        return
    _write(output, text, force=force)
    _say_what_is_next(output, text)


def template_text(name: str) -> str:
    """The template as it is written to a file."""
    return resources.files("router.cli").joinpath("templates", f"{name}.yaml").read_text("utf-8")


def summary(name: str) -> str:
    """What a template is, in the words of its first line."""
    return template_text(name).splitlines()[0].lstrip("# ").partition(": ")[2]


def _print_list() -> None:
    width = max(map(len, TEMPLATES))
    for name in TEMPLATES:
        click.echo(f"{name:<{width}}  {summary(name)}")


def _ask() -> str:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(f"Say which template: --template with one of {', '.join(TEMPLATES)}; or --from-env.")
    choices = [*TEMPLATES, _FROM_ENV]
    told = [summary(name) for name in TEMPLATES] + ["what `trident up` makes of the provider keys in the environment"]
    for number, (name, text) in enumerate(zip(choices, told, strict=True), 1):
        click.echo(f"  {number}  {click.style(name, bold=True)}: {text}")
    number = click.prompt("Which one", type=click.IntRange(1, len(choices)), default=1)
    return choices[number - 1]


def _refuse_to_overwrite(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise OperatorError(f"{output} is there already.", fix="Write elsewhere with --output, or overwrite: --force.")


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        _refuse_to_overwrite(output)  # somebody else was faster
        raise
    except OSError as exc:
        raise OperatorError(
            f"{output} cannot be written: {exc.strerror}.", fix="Write elsewhere with --output."
        ) from exc


def _say_what_is_next(output: Path, text: str) -> None:
    click.echo(f"Wrote {output}. What is next:")
    variables = list(dict.fromkeys(_VARIABLE.findall(text)))
    if variables:
        click.echo(f"  set {', '.join(variables)}, in the environment or in a file .env beside it")
    place = "" if output == Path("config.yaml") else f" {output}"
    click.echo(f"  trident check{place}")
    click.echo(f"  trident up{place}")
