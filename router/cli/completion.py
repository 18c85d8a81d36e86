"""``trident completion``: the script that makes a shell complete trident's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a shell completion script.

    \b
    Load it in the start file of your shell:
      bash (4.4 or newer)  eval "$(trident completion bash)"     in ~/.bashrc
      zsh                  eval "$(trident completion zsh)"      in ~/.zshrc
      fish                 trident completion fish | source      in ~/.config/fish/config.fish
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"This click has no completion for {shell}.")
    # click answers a shell's question when it finds this variable, named after the program, in the environment.
    click.echo(completion(ctx.find_root().command, {}, "trident", "_TRIDENT_COMPLETE").source())
