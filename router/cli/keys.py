"""``trident keys``: makes API keys. Keys are not kept anywhere: the configuration has their hashes."""

from __future__ import annotations

import json
import secrets

import click

from router.config.access import key_hash

_PREFIX = "trident_"  # so that secret scanners, and people, know one when they see it
_RANDOM_BYTES = 32


@click.group("keys")
def keys_command() -> None:
    """Make API keys for `auth` in the configuration."""


@keys_command.command("new")
@click.option("--name", default="NAME", show_default=True, help="Whose key it is.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")
def new_command(name: str, as_json: bool) -> None:
    """Print a new random key, once, and the entry with its hash for `auth.keys` or the key file.

    \b
    Examples:
      trident keys new --name research
      trident keys new --name research --json | jq -r .key
    """
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    if as_json:
        click.echo(json.dumps({"name": name, "key": key, "hash": key_hash(key)}))
        return
    click.echo(f"Key, which is shown only now:\n\n  {key}\n")
    click.echo("Entry for `auth.keys` of the configuration, or for the file that `auth.file` names:\n")
    click.echo(f"  - name: {json.dumps(name, ensure_ascii=False)}\n    hash: {key_hash(key)}")
