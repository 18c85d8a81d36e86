"""``listeners``: the ports that clients talk to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from router.config.fields import Duration, Name, Port, Section, Whole

ListenerType = Literal["agent", "model", "prompt"]

# The name under which existing configurations ask for the built-in orchestrator.
DEFAULT_ORCHESTRATOR = "plano_orchestrator_v1"


class ListenerAgent(Section):
    """An agent as one listener offers it."""

    id: Name = Field(description="The agent's `id` in `agents`.")
    description: str = Field(
        default="",
        description="What the agent is for, in plain language: the orchestrator decides by it. Needed as soon as the "
        "listener has a second agent.",
    )
    default: bool = Field(
        default=False, description="Whether this agent answers when none fits. Default: the first one does."
    )
    input_filters: tuple[Name, ...] = Field(
        default=(), description="Filters on what goes to this agent, in order, after those of the listener."
    )
    output_filters: tuple[Name, ...] = Field(
        default=(), description="Filters on what this agent answers, run in reverse order."
    )


class Listener(Section):
    """One port and what it offers: agents, models or prompt targets."""

    type: ListenerType = Field(
        description="`agent`: requests are routed to agents; `model`: a gateway to model providers; `prompt`: natural "
        "language to API calls."
    )
    name: Name = Field(description="Name of the listener in logs and metrics.")
    port: Port = Field(description="TCP port.")
    address: Name = Field(
        default="127.0.0.1", description="Address to listen on; `0.0.0.0` or `::` makes it reachable from elsewhere."
    )
    unauthenticated: bool = Field(
        default=False,
        description="States that this listener serves requests without an API key on purpose, also where `auth` is "
        "configured. Other addresses than loopback are warned about without it.",
    )
    timeout: Duration = Field(default=300.0, description="Longest time for a whole request, streaming included.")
    router: Name = Field(
        default=DEFAULT_ORCHESTRATOR,
        description=f"Which orchestrator chooses the agents: an entry of `orchestrators`, or `{DEFAULT_ORCHESTRATOR}`, "
        "the built-in one.",
    )
    agents: tuple[ListenerAgent, ...] = Field(
        default=(), description="The agents of an `agent` listener, in the order in which the orchestrator sees them."
    )
    prompt_targets: tuple[Name, ...] | None = Field(
        default=None,
        description="The prompt targets that it offers; on an `agent` listener beside its agents. Default: all of them "
        "on a `prompt` listener, none on others.",
    )
    answer: Literal["last", "combined"] = Field(
        default="last",
        description="With several agents chosen: the client gets the `last` one's answer, or all of them `combined`, "
        "each under its agent's name.",
    )
    parallel: bool = Field(
        default=False, description="Whether agents that do not depend on each other run at the same time."
    )
    moderations: bool = Field(
        default=False,
        description="Whether `/v1/moderations` is answered by the embedded classifier, which Triton then loads. A "
        "request whose `model` is `provider/model` goes to that provider in any case. On `model` listeners.",
    )
    max_retries: Whole | None = Field(default=None, ge=0, le=10, description="Further tries after an upstream failure.")
    input_filters: tuple[Name, ...] = Field(default=(), description="Filters on every request, in order.")
    output_filters: tuple[Name, ...] = Field(default=(), description="Filters on every answer, run in reverse order.")
