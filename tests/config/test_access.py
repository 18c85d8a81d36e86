"""``auth``: keys, the file with more of them, and listeners without any."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest

from router.config import ConfigErrors, LoadedConfig
from router.config.key_file import load_key_file

KEY = "a-long-and-random-key-0123"
HASH = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"
OTHER_HASH = f"sha256:{'0' * 64}"


def guarded(auth: str, listener: str = "{type: model, name: m, port: 1200}") -> str:
    """A file with one listener; ``auth`` is in flow style and in line 4."""
    return f"version: v0.4.0\nlisteners:\n  - {listener}\nauth: {auth}\n"


def keys_of(loaded: LoadedConfig) -> list[tuple[str, bytes]]:
    assert loaded.config.auth is not None
    return [(key.name, key.digest) for key in loaded.config.auth.keys]


def test_a_key_is_kept_as_its_hash_only(load) -> None:
    loaded = load(guarded("{keys: [{name: team, key: $KEY}]}"), {"KEY": f"{KEY}\n"})
    assert keys_of(loaded) == [("team", hashlib.sha256(KEY.encode()).digest())]
    assert KEY.encode() not in pickle.dumps(loaded)
    assert KEY not in repr(loaded)
    assert loaded.warnings == ()


def test_a_hash_takes_the_place_of_a_key(load) -> None:
    loaded = load(guarded(f"{{keys: [{{name: team, hash: '{HASH}'}}]}}"))
    assert keys_of(loaded) == [("team", hashlib.sha256(KEY.encode()).digest())]


@pytest.mark.parametrize(
    ("auth", "path", "message"),
    [
        ("{}", "auth", "There are neither `keys` nor a `file`"),
        ("{keys: []}", "auth", "There are neither `keys` nor a `file`"),
        ("{keys: [{name: a}]}", "auth.keys[0]", "needs either `key` or `hash`"),
        (f"{{keys: [{{name: a, key: $KEY, hash: '{HASH}'}}]}}", "auth.keys[0]", "needs either `key` or `hash`"),
        ("{keys: [{name: a, key: $SHORT}]}", "auth.keys[0].key", "no usable key"),
        ("{keys: [{name: a, key: $EMPTY}]}", "auth.keys[0].key", "no usable key"),
        ("{keys: [{name: a, key: $UNSET}]}", "auth.keys[0].key", "UNSET is not set"),
        ("{keys: [{name: a, hash: 'md5:00'}]}", "auth.keys[0].hash", "no hash of a key"),
        (f"{{keys: [{{name: a, hash: '{HASH.upper()}'}}]}}", "auth.keys[0].hash", "no hash of a key"),
        (f"{{keys: [{{name: a, key: $KEY}}, {{name: b, hash: '{HASH}'}}]}}", "auth.keys[1]", "the same key as that of"),
        (f"{{keys: [{{name: a, key: $KEY}}, {{name: a, hash: '{OTHER_HASH}'}}]}}", "auth.keys[1].name", "is taken by"),
        ("{keys: [{name: a, key: $KEY, listeners: [n]}]}", "auth.keys[0].listeners[0]", "There is no listener `n`"),
        ("{keys: [{name: a, key: $KEY, models: ['a b']}]}", "auth.keys[0].models[0]", "starts or ends with a space"),
        ("{keys: [{name: a, key: $KEY, budget: {period: day}}]}", "auth.keys[0].budget", "The budget says neither"),
        ("{keys: [{name: a, key: $KEY, budget: {usd: 0}}]}", "auth.keys[0].budget.usd", "greater than 0"),
        (
            "{keys: [{name: a, key: $KEY, rate_limit: {unit: day}}]}",
            "auth.keys[0].rate_limit",
            "The limit says neither",
        ),
        ("{keys: [{name: a, key: $KEY}], header: 'a b'}", "auth.header", "is not the name of a header"),
    ],
)
def test_what_cannot_work_is_refused(problems, auth: str, path: str, message: str) -> None:
    environ = {"KEY": KEY, "SHORT": "sk-1234", "EMPTY": ""}
    (problem,) = problems(guarded(auth), environ)
    assert (problem.severity, problem.path) == ("error", path)
    assert message in problem.message
    told = f"{problem.message} {problem.suggestion}"
    assert not any(secret in told for secret in (KEY, "sk-1234", HASH))


def test_a_key_in_the_file_itself_is_warned_about(load) -> None:
    (warning,) = load(guarded(f"{{keys: [{{name: team, key: {KEY}}}]}}")).warnings
    assert (warning.path, warning.message) == ("auth.keys[0].key", "The key stands in the file as it is.")
    assert KEY not in str(warning)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.7", "gateway.internal"])
def test_a_listener_that_is_open_to_everybody_is_warned_about(load, address: str) -> None:
    listener = f"{{type: model, name: m, port: 1200, address: '{address}'}}"
    text = f"version: v0.4.0\nlisteners:\n  - {listener}\n"
    (warning,) = load(text).warnings
    assert (warning.path, warning.severity) == ("listeners[0].address", "warning")
    assert "open to everybody" in warning.message
    assert "`unauthenticated: true`" in (warning.suggestion or "")
    assert load(text.replace("port: 1200", "port: 1200, unauthenticated: true")).warnings == ()
    assert load(guarded("{keys: [{name: a, key: $KEY}]}", listener), {"KEY": KEY}).warnings == ()


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(load, address: str) -> None:
    listener = f"{{type: model, name: m, port: 1200, address: '{address}'}}"
    assert load(f"version: v0.4.0\nlisteners:\n  - {listener}\n").warnings == ()


@pytest.mark.parametrize("name", ["keys.yaml", "keys.json"])
def test_keys_come_from_a_file_too(load, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f'{{"keys": [{{"name": "more", "hash": "{HASH}", "models": ["openai/*"]}}]}}')
    loaded = load(guarded(f"{{file: {name}}}"))
    assert loaded.config.auth is not None
    assert loaded.config.auth.file == tmp_path / name
    (key,) = load_key_file(tmp_path / name)
    assert (key.name, key.models) == ("more", ("openai/*",))


def test_a_variable_in_the_key_file_comes_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("keys:\n  - {name: more, key: $MORE}\n")
    (key,) = load_key_file(path, {"MORE": KEY})
    assert key.digest == hashlib.sha256(KEY.encode()).digest()
    with pytest.raises(ConfigErrors, match="MORE is not set"):
        load_key_file(path, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keys:\n  - {name: a, hsh: b}\n", "line 2: keys[0].hsh: The key `hsh` is not known."),
        ("- a\n", "line 1: The file is not a mapping"),
        ("", "The file is empty."),
        ("{}\n", "keys: The key `keys` is missing."),
        (f"keys: [{{name: team, hash: '{OTHER_HASH}'}}]\n", "There are two keys with the name `team`."),
        (f"keys: [{{name: b, hash: '{HASH}'}}]\n", "`b` and `team` have the same key."),
        (
            f"keys: [{{name: b, hash: '{OTHER_HASH}', listeners: [x]}}]\n",
            "`b` is for a listener `x`, which there is not",
        ),
    ],
)
def test_what_is_wrong_with_the_key_file_is_told(problems, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    found = problems(guarded("{file: keys.yaml, keys: [{name: team, key: $KEY}]}"), {"KEY": KEY})
    assert {problem.path for problem in found} == {"auth.file"}
    assert any(message in problem.message for problem in found), found


def test_a_key_file_that_is_not_there_is_an_error(problems) -> None:
    (problem,) = problems(guarded("{file: keys.yaml}"))
    assert (problem.path, problem.line) == ("auth.file", 4)
    assert "There is no such file" in problem.message
