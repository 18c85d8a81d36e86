"""``triton`` and ``orchestrators``: where the gateway's own models run and how they are asked."""

from __future__ import annotations

from pydantic import Field

from router.config.fields import Duration, FilePath, GrpcAddress, Name, Score, Section


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
    model: Name = Field(default="orchestrator", description="The model's name in the model repository.")
    threshold: Score | None = Field(
        default=None, description="Score from which an agent is needed. Default: the model's own."
    )
    timeout: Duration = Field(
        default=2.0, description="Longest wait for a decision; after it, the default agent answers."
    )
