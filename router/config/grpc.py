"""``grpc`` and ``services``: the gRPC services that are offered here, and those elsewhere that are asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from router.config.fields import (
    Duration,
    FilePath,
    GrpcAddress,
    HeaderName,
    Kind,
    Name,
    Port,
    Section,
    Size,
    Whole,
    refuse,
)

_MIB = 1024 * 1024


class GrpcTls(Section):
    """Certificates of the server, as PEM files relative to this file."""

    cert: FilePath = Field(description="The server's certificate, followed by those of its issuers.")
    key: FilePath = Field(description="The certificate's private key.")
    client_ca: FilePath | None = Field(
        default=None,
        description="Certificates of whoever issues clients' certificates, which clients then need (mTLS).",
    )


class GrpcLimits(Section):
    """Bounds on calls and connections."""

    max_message_bytes: Size = Field(default=4 * _MIB, description="Largest message, in either direction.")
    max_concurrent: Whole = Field(default=1000, ge=1, le=100_000, description="Most calls at the same time.")
    max_streams_per_connection: Whole = Field(
        default=1000, ge=1, le=100_000, description="Most calls at the same time on one connection."
    )
    timeout: Duration = Field(default=30.0, description="Longest time for a call, unless its deadline is sooner.")
    stream_timeout: Duration = Field(default=3600.0, description="Longest time for a stream of either service.")
    keepalive: Duration = Field(
        default=60.0, description="How long a connection may be silent before the client is asked whether it is there."
    )
    max_connection_age: Duration = Field(
        default=1800.0, description="When clients are told to connect again, so that they find servers that came later."
    )


class ExtProc(Section):
    """Envoy's external processor: Envoy carries the traffic of a listener, and asks here what becomes of it."""

    listener: Name = Field(
        description="The `agent` or `model` listener whose keys, filters, guards, routes and models apply."
    )
    route_header: HeaderName = Field(
        default="x-trident-upstream",
        description="Header of the request that names the agent, or the entry of `model_providers`, for Envoy's routes "
        "(`cluster_header`, or a match).",
    )
    answers: Literal["needed", "all"] = Field(
        default="needed",
        description="Which answers come here: those that guards, filters, keys, limits or a translation need, or "
        "`all`, so that tokens are counted.",
    )
    credentials: bool = Field(
        default=False,
        description="Whether requests get the keys of providers and agents in this file here. Otherwise Envoy adds "
        "them.",
    )


class Grpc(Section):
    """Our own gRPC services: routing and guarding for other languages. Off without this section."""

    address: Name = Field(
        default="127.0.0.1", description="Address to listen on; `0.0.0.0` or `::` makes it reachable from elsewhere."
    )
    port: Port = Field(default=50051, description="TCP port.")
    unauthenticated: bool = Field(
        default=False,
        description="States that calls are served without an API key on purpose, also where `auth` is configured.",
    )
    tls: GrpcTls | None = Field(default=None, description="Turns TLS on.")
    limits: GrpcLimits = Field(default=GrpcLimits(), description="Bounds on calls and connections.")
    ext_proc: ExtProc | None = Field(default=None, description="Serves Envoy as its external processor.")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[
    tuple[GrpcAddress, ...], BeforeValidator(_listed), Field(min_length=1), Kind("host:port, or a list of them")
]


class RemoteTls(Section):
    """How a service's certificate is checked; `tls: {}` checks it against the system's roots."""

    ca: FilePath | None = Field(default=None, description="Certificates to trust instead of the system's.")
    cert: FilePath | None = Field(default=None, description="Certificate to show to the service (mTLS).")
    key: FilePath | None = Field(default=None, description="The private key of `cert`.")
    server_name: Name | None = Field(
        default=None, description="Name that the service's certificate has to be for. Default: the host of `url`."
    )

    @model_validator(mode="after")
    def _check_pair(self) -> RemoteTls:
        if (self.cert is None) != (self.key is None):
            refuse("A client certificate needs both `cert` and `key`.", "Add the other one, or remove both.")
        return self


class RemoteService(Section):
    """A service of ours elsewhere, asked instead of the models on Triton."""

    url: Addresses = Field(
        description="gRPC address of the service. Of several, each call goes to the one with the least to do."
    )
    timeout: Duration = Field(
        default=10.0, description="Longest wait for an answer; whoever asks may have less patience."
    )
    tls: RemoteTls | None = Field(default=None, description="Turns TLS on.")
    api_key: SecretStr | None = Field(default=None, description="Key to show to the service, as `$VAR`.")


class Services(Section):
    """Services elsewhere that this gateway asks (`trident serve router`, `trident serve guardrail`)."""

    router: RemoteService | None = Field(default=None, description="Who scores routes, instead of the orchestrator.")
    guardrails: RemoteService | None = Field(
        default=None, description="Who scores texts and topics, instead of the guards' models."
    )
