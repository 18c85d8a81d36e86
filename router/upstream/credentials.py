"""With which credentials a provider is asked: a key of ours, the client's own, or a signature."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from router.config import ModelProvider
from router.config.known_providers import AZURE
from router.context import RequestContext
from router.dialects.canonical import DialectName
from router.errors import Unauthorized
from router.upstream.sigv4 import AwsCredentials, Signer

# Where clients may put a provider's key, the first one that has one counts.
CLIENT_KEY_HEADERS = ("x-provider-authorization", "authorization", "x-api-key", "api-key")

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_JSON_WEB_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_ANTHROPIC_OAUTH_TOKEN = "sk-ant-oat"  # noqa: S105  # how these tokens begin


class Credentials(Protocol):
    """What one provider's requests are authorised with."""

    def constant_headers(self, dialect: DialectName) -> Mapping[str, str]:
        """The headers that all requests in ``dialect`` have in common."""

    def request_headers(
        self, dialect: DialectName, path: str, signed: Mapping[str, str], body: bytes, context: RequestContext
    ) -> Mapping[str, str]:
        """The headers of one request to ``path``; ``signed`` are those of its head that a signature covers.

        Raises ``Unauthorized`` where the client has to bring a key and did not.
        """


def credentials_of(provider: ModelProvider) -> Credentials:
    """The credentials of ``provider`` as its configuration says; an API key before a signature."""
    scheme = KeyScheme(provider.interface, provider.key_header)
    if provider.passthrough_auth:
        return ClientKey(provider.name, scheme)
    key = provider.access_key.get_secret_value().strip() if provider.access_key is not None else ""
    secret = provider.aws_secret_access_key
    if key or provider.aws_access_key_id is None or secret is None or provider.aws_region is None:
        return OwnKey(key, scheme)
    token = provider.aws_session_token
    account = AwsCredentials(
        provider.aws_access_key_id.strip(),
        secret.get_secret_value().strip(),
        None if token is None else token.get_secret_value().strip(),
    )
    return Signature(Signer(account, provider.aws_region, "bedrock"))


@dataclass(frozen=True, slots=True)
class KeyScheme:
    """In which header a provider wants its key; ``header`` wins over what is known about ``interface``."""

    interface: str
    header: str | None = None

    def headers(self, key: str, dialect: DialectName) -> dict[str, str]:
        """The headers for ``key``."""
        if self.header is not None and self.header != "authorization":
            return {self.header: key}
        bearer = {"authorization": f"Bearer {key}"}
        if self.header is not None:
            return bearer
        if self.interface == AZURE:  # tokens of Entra ID are not API keys
            return bearer if _JSON_WEB_TOKEN.fullmatch(key) else {"api-key": key}
        if dialect != "anthropic_messages" or key.startswith(_ANTHROPIC_OAUTH_TOKEN):
            return bearer
        # Other servers that speak this dialect look for the key where they do for their other APIs.
        return {"x-api-key": key} if self.interface == "anthropic" else {"x-api-key": key, **bearer}


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of the gateway's, the same for every request; empty for none."""

    key: str = field(repr=False)
    scheme: KeyScheme

    def constant_headers(self, dialect: DialectName) -> Mapping[str, str]:
        """The key."""
        return self.scheme.headers(self.key, dialect) if self.key else _NO_HEADERS

    def request_headers(
        self, dialect: DialectName, path: str, signed: Mapping[str, str], body: bytes, context: RequestContext
    ) -> Mapping[str, str]:
        """None: the key is in every head."""
        return _NO_HEADERS


@dataclass(frozen=True, slots=True)
class ClientKey:
    """The key that the client sent for the provider, and never the one that it showed to the gateway."""

    name: str
    scheme: KeyScheme

    def constant_headers(self, dialect: DialectName) -> Mapping[str, str]:
        """None: every client has its own."""
        return _NO_HEADERS

    def request_headers(
        self, dialect: DialectName, path: str, signed: Mapping[str, str], body: bytes, context: RequestContext
    ) -> Mapping[str, str]:
        """The client's key in the header that the provider wants; another scheme than ``Bearer`` as it is."""
        for value in _offered(context):
            scheme, _, rest = value.partition(" ")
            if rest and scheme.lower() != "bearer":
                return {"authorization": value}
            return self.scheme.headers(_bare(value), dialect)
        where = "Authorization or x-api-key" if context.identity is None else "x-provider-authorization"
        raise Unauthorized(f"'{self.name}' is asked with the client's own key, and none was sent in {where}.")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature for AWS over each request."""

    signer: Signer

    def constant_headers(self, dialect: DialectName) -> Mapping[str, str]:
        """None: every request has its own."""
        return _NO_HEADERS

    def request_headers(
        self, dialect: DialectName, path: str, signed: Mapping[str, str], body: bytes, context: RequestContext
    ) -> Mapping[str, str]:
        """The signature and what belongs to it."""
        return self.signer.sign(path, signed, body)


def _offered(context: RequestContext) -> list[str]:
    """What the client sent for a provider: nothing that holds the key which the gateway knows it by."""
    names: tuple[str, ...] = CLIENT_KEY_HEADERS
    spent = None
    if context.credential_header is not None:
        spent = _bare(context.headers.get(context.credential_header.lower(), ""))
    elif context.identity is not None:  # it is not known which of the others is ours
        names = names[:1]
    offered = [context.headers.get(name, "").strip() for name in names]
    return [value for value in offered if _bare(value) and not (spent and spent in value)]


def _bare(value: str) -> str:
    """A key without ``Bearer`` in front."""
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()
