"""``triton`` and ``orchestrators``: where the gateway's own models run and how they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from router.config.fields import Duration, FilePath, GrpcAddress, Name, Score, Section, refuse

# Where a prompt template takes the routes and the conversation.
ROUTES_SLOT = "{routes}"
CONVERSATION_SLOT = "{conversation}"

_MAX_TEMPLATE_BYTES = 64 * 1024


def misplaced_slots(text: str) -> str | None:
    """What is wrong with the slots of a prompt template; ``None`` where it has each of them once."""
    for slot in (ROUTES_SLOT, CONVERSATION_SLOT):
        count = text.count(slot)
        if count != 1:
            return f"has {slot} {count} times; it needs it once"
    return None


def _check_template(path: Path) -> Path:
    # Not which file: its name may be the value of a variable, and what is wrong is said beside its place.
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TEMPLATE_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        refuse("The prompt template cannot be read.", "Name a file with text in UTF-8.")
    wrong = misplaced_slots(text)
    if len(text) > _MAX_TEMPLATE_BYTES:
        wrong = f"is longer than {_MAX_TEMPLATE_BYTES} bytes"
    if wrong is not None:
        refuse(f"The prompt template {wrong}.", f"Write {ROUTES_SLOT} and {CONVERSATION_SLOT} where they go.")
    return path


TemplateFile = Annotated[FilePath, AfterValidator(_check_template)]


class Triton(Section):
    """The inference server."""

    url: GrpcAddress | None = Field(
        default=None, description="gRPC address of a Triton server. Default: one is started on this machine."
    )
    timeout: Duration = Field(default=10.0, description="Longest wait for the verdict of a guard.")
    model_repository: FilePath | None = Field(
        default=None,
        description="Folder of models for the server started here, relative to this file. Default: the bundled ones.",
    )


class Orchestrator(Section):
    """A model on Triton that decides which agents a request needs."""

    name: Name = Field(description="Name that a listener's `router` refers to.")
    model: Name = Field(
        default="orchestrator",
        description="The model's name in the model repository. Whether it scores or generates is read from the model.",
    )
    threshold: Score | None = Field(
        default=None, description="Score from which an agent is needed. Default: the model's own."
    )
    timeout: Duration = Field(
        default=2.0, description="Longest wait for a decision; after it, the default agent answers."
    )
    prompt_template: TemplateFile | None = Field(
        default=None,
        description="For models that generate: a file with the prompt, relative to this one, that has `{routes}` and "
        "`{conversation}` where they go. Default: the built-in prompt.",
    )
    strategy: Literal["single", "cascade"] = Field(
        default="single", description="`cascade`: `model` decides where it is sure, and `second` the rest."
    )
    second: Name = Field(
        default="orchestrator-llm",
        description="For `cascade`: the model on Triton that is asked where `model` is not sure.",
    )
    confidence: Score = Field(
        default=0.8, description="For `cascade`: how probably right a decision of `model` must be to stand."
    )
