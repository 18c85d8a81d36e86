"""Routing tests: a user's own conversations with the agents that should answer them, for ``trident eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from router.config.fields import Score, Section
from router.errors import OperatorError

MAX_BYTES = 10 * 1024 * 1024


class CaseMessage(Section):
    """One message of a conversation."""

    role: Literal["user", "assistant"] = Field(description="Who says it.")
    content: str = Field(min_length=1, description="What is said.")


class RoutingCase(Section):
    """One request and who should answer it: ``text``, or ``messages`` whose last one is the user's."""

    text: str | None = Field(default=None, min_length=1, description="A conversation of one message.")
    messages: tuple[CaseMessage, ...] = Field(default=(), description="A longer conversation, newest message last.")
    agents: tuple[str, ...] = Field(description="The agents expected; an empty list for nobody (the default answers).")
    ordered: bool = Field(default=False, description="Whether they have to run in the order given.")

    @model_validator(mode="after")
    def _one_conversation(self) -> RoutingCase:
        if (self.text is None) == (not self.messages):
            raise ValueError("give either `text` or `messages`")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last message has to be the user's")
        return self

    @property
    def conversation(self) -> tuple[tuple[str, str], ...]:
        """Role and content of every message, oldest first."""
        if self.text is not None:
            return (("user", self.text),)
        return tuple((message.role, message.content) for message in self.messages)


class RoutingTests(Section):
    """A file of routing tests."""

    config: Path = Field(default=Path("config.yaml"), description="The configuration, relative to this file.")
    listener: str | None = Field(default=None, description="The listener, where several route to agents.")
    minimum: Score = Field(default=1.0, description="Share of cases that have to be exactly right.")
    cases: tuple[RoutingCase, ...] = Field(min_length=1, description="The cases.")


def load_routing_tests(path: Path) -> RoutingTests:
    """Read a file of routing tests; ``config`` becomes a path from here. Raises ``OperatorError``, problems listed."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise OperatorError(f"{path} is larger than {MAX_BYTES} bytes.", fix="Split it.")
        tests = RoutingTests.model_validate(yaml.safe_load(raw))
    except OSError as exc:
        raise OperatorError(f"{path} cannot be read: {exc.strerror}.", fix="Check the path.") from exc
    except yaml.YAMLError as exc:
        raise OperatorError(f"{path} is not valid YAML: {exc}", fix="Check quotes and indentation.") from exc
    except ValidationError as exc:
        lines = [f"  {_path(error['loc'])}: {error['msg']}" for error in exc.errors(include_url=False)]
        raise OperatorError(
            "\n".join([f"{path} is not a file of routing tests:", *lines]),
            fix="`trident eval --help` shows an example.",
        ) from exc
    return tests.model_copy(update={"config": path.parent / tests.config})


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.lstrip(".") or "the file"
