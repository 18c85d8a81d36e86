from __future__ import annotations

import json
from pathlib import Path

import yaml
from click.testing import CliRunner

from router.cli.main import cli
from router.config.access import key_digest
from router.config.key_file import load_key_file


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["keys", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_new_key_comes_with_an_entry_that_the_key_file_takes(tmp_path: Path) -> None:
    head, _, entry = _run("new", "--name", "team: a").partition("Entry for")
    (key,) = [line.strip() for line in head.splitlines() if line.startswith("  ")]
    path = tmp_path / "keys.yaml"
    path.write_text("keys:\n" + entry.partition("\n\n")[2])
    (loaded,) = load_key_file(path, {})
    assert (loaded.name, loaded.digest) == ("team: a", key_digest(key))
    assert key not in path.read_text()


def test_json_for_machines() -> None:
    made = json.loads(_run("new", "--name", "ci", "--json"))
    assert made["name"] == "ci"
    assert yaml.safe_load(made["hash"]) == f"sha256:{key_digest(made['key']).hex()}"


def test_no_two_keys_are_the_same() -> None:
    keys = {json.loads(_run("new", "--json"))["key"] for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) >= 50 for key in keys)
