"""``prompt_guards``: classifiers that every prompt has to pass."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from router.config.fields import Score, Section, Text
from router.config.filters import OnError


class GuardRefusal(Section):
    """The answer to a prompt that was blocked."""

    message: Text = Field(default="I can't help with that request.", description="What the client reads.")


class JailbreakGuard(Section):
    """Blocks attempts to talk the models out of their instructions."""

    on_exception: GuardRefusal = Field(default=GuardRefusal(), description="The answer to a blocked prompt.")
    threshold: Score | None = Field(
        default=None, description="Score from which a prompt is blocked. Default: the model's own."
    )
    on_error: OnError = Field(
        default="deny", description="What happens to requests while the classifier cannot be asked."
    )


class InputGuards(Section):
    """Guards on what goes to agents and models."""

    jailbreak: JailbreakGuard | None = Field(default=None, description="Turns the jailbreak guard on.")

    @model_validator(mode="before")
    @classmethod
    def _accept_bare_key(cls, data: Any) -> Any:
        # A guard that somebody wrote down is on, with its defaults, even when the key has no value.
        if isinstance(data, dict) and "jailbreak" in data and data["jailbreak"] is None:
            return {**data, "jailbreak": {}}
        return data


class PromptGuards(Section):
    """Guards by direction."""

    input_guards: InputGuards = Field(default=InputGuards(), description="Guards on what goes to agents and models.")
