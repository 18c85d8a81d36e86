"""``auth``: the API keys that clients need, and what each of them may do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator

from router.config.fields import FilePath, HeaderName, Kind, Name, Number, Section, Whole, refuse
from router.config.filters import OnError
from router.config.ratelimits import MAX_COUNT, RateUnit

MIN_KEY_CHARS = 20
MAX_KEY_CHARS = 512
_HASH_PREFIX = "sha256:"
_KEY = re.compile(rf"[\x21-\x7e]{{{MIN_KEY_CHARS},{MAX_KEY_CHARS}}}")
_HASH = re.compile(rf"{_HASH_PREFIX}[0-9a-f]{{64}}")


def key_digest(key: str) -> bytes:
    """What is kept of a key. Keys are long and random, so that a plain SHA-256 is enough."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def key_hash(key: str) -> str:
    """The `hash` of a key, as the file has it."""
    return _HASH_PREFIX + key_digest(key).hex()


def _keep_hash(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not _KEY.fullmatch(key):
        refuse(
            f"This is no usable key: it needs {MIN_KEY_CHARS} to {MAX_KEY_CHARS} printable characters without spaces.",
            "`trident keys new` makes one.",
        )
    return SecretStr(key_hash(key))


def _check_hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        refuse("This is no hash of a key.", "Write `sha256:` and 64 hexadecimal digits, as `trident keys new` does.")
    return value


ModelPattern = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^\S+$"), Kind("name pattern")]


class KeyRateLimit(Section):
    """How much one key may ask for in a time, whatever the model."""

    requests: Whole | None = Field(default=None, ge=1, le=MAX_COUNT, description="Requests per `unit`.")
    tokens: Whole | None = Field(default=None, ge=1, le=MAX_COUNT, description="Input and output tokens per `unit`.")
    unit: RateUnit = Field(description="The time that the numbers are for.")
    on_error: OnError = Field(
        default="deny", description="What happens to requests while the store of the counters cannot be asked."
    )

    @model_validator(mode="after")
    def _check_numbers(self) -> KeyRateLimit:
        if self.requests is None and self.tokens is None:
            refuse("The limit says neither how many `requests` nor how many `tokens`.", "Add one of them, or both.")
        return self


class Budget(Section):
    """What one key may use up in a day or month of the calendar (UTC)."""

    tokens: Whole | None = Field(default=None, ge=1, le=MAX_COUNT, description="Input and output tokens.")
    usd: Number | None = Field(default=None, gt=0, le=1_000_000, description="US dollars, by the prices of the models.")
    period: Literal["day", "month"] = Field(default="month", description="When it starts anew.")
    unpriced_usd_per_million: Number | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="For a budget in dollars: what a million tokens of a model without a known price count as. "
        "Default: such models are refused.",
    )
    on_error: OnError = Field(
        default="deny", description="What happens to requests while the store of the counters cannot be asked."
    )

    @model_validator(mode="after")
    def _check_numbers(self) -> Budget:
        if self.tokens is None and self.usd is None:
            refuse("The budget says neither how many `tokens` nor how many `usd`.", "Add one of them, or both.")
        return self


class ApiKey(Section):
    """One key. What it may do is everything, unless it says otherwise."""

    name: Name = Field(description="Whose key it is: in logs, metrics and counters.")
    key: Annotated[SecretStr, AfterValidator(_keep_hash)] | None = Field(
        default=None, description="The key itself, as `$VAR`. Only its hash is kept."
    )
    hash: Annotated[str, AfterValidator(_check_hash)] | None = Field(
        default=None, repr=False, description="The key's hash instead, as `trident keys new` prints it."
    )
    listeners: tuple[Name, ...] = Field(default=(), description="The listeners that it is for. Default: all.")
    models: tuple[ModelPattern, ...] = Field(
        default=(),
        description="The models that it is for: `provider/model`, the model's name alone or an alias, with `*` for "
        "any text. Default: all.",
    )
    rate_limit: KeyRateLimit | None = Field(default=None, description="How much it may ask for in a time.")
    budget: Budget | None = Field(default=None, description="How much it may use up in a day or month.")

    @model_validator(mode="after")
    def _check_one_secret(self) -> ApiKey:
        if (self.key is None) == (self.hash is None):
            refuse("An API key needs either `key` or `hash`.", "`trident keys new` makes a key and prints its hash.")
        return self

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the key."""
        text = self.key.get_secret_value() if self.key is not None else self.hash or ""
        return bytes.fromhex(text.removeprefix(_HASH_PREFIX))


class Auth(Section):
    """Who may use the gateway. With this section, every listener asks for a key."""

    keys: tuple[ApiKey, ...] = Field(default=(), description="The keys.")
    file: FilePath | None = Field(
        default=None, description="A file with more `keys:`, read again whenever it changes; relative to this one."
    )
    header: HeaderName | None = Field(
        default=None,
        description="A header of your own that carries the key, besides `Authorization: Bearer`, `x-api-key` and "
        "`api-key`.",
    )


class KeyFile(Section):
    """The file that `auth.file` names."""

    keys: tuple[ApiKey, ...] = Field(description="The keys.")


def contradictions(keys: Iterable[ApiKey], listeners: Container[str]) -> list[str]:
    """Why keys cannot be used beside each other on these listeners, a sentence each."""
    found = []
    names: set[str] = set()
    owners: dict[bytes, str] = {}
    for key in keys:
        if key.name in names:
            found.append(f"There are two keys with the name `{key.name}`.")
        elif key.digest in owners:
            found.append(f"`{key.name}` and `{owners[key.digest]}` have the same key.")
        names.add(key.name)
        owners.setdefault(key.digest, key.name)
        found += [
            f"`{key.name}` is for a listener `{name}`, which there is not."
            for name in key.listeners
            if name not in listeners
        ]
    return found
