"""Model providers as services: where each dialect of a provider is, and what stands in the head of a request.

A model's name, which clients may choose below a wildcard, is one segment of a path at most: it is percent-encoded, and
what would be more than a segment nevertheless (``..``) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cachetools import LRUCache
from yarl import URL

from router.config import ModelProvider
from router.config.known_providers import AZURE, is_azure_v1
from router.context import RequestContext
from router.dialects import aws_eventstream
from router.dialects.base import ProviderDialect
from router.dialects.canonical import ChatRequest, DialectName
from router.dialects.registry import PROVIDER_DIALECTS
from router.errors import InvalidRequest
from router.upstream.credentials import CLIENT_KEY_HEADERS, OwnKey, credentials_of
from router.upstream.http import Endpoint
from router.upstream.service import Call

ANTHROPIC_VERSION = "2023-06-01"

_PATHS: Mapping[DialectName, str] = {
    "openai_chat": "/chat/completions",
    "openai_responses": "/responses",
    "anthropic_messages": "/messages",
}
# What stands in the head of a request in these dialects follows from the configuration alone.
_CONSTANT: tuple[DialectName, ...] = ("openai_chat", "openai_responses")
_MAX_ENDPOINTS = 128  # below a wildcard, of models that stand in the path
_MAX_MODEL_CHARS = 2048  # the longest that Bedrock takes


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint, and what of its head a signature covers."""

    endpoint: Endpoint
    path: str
    signed: Mapping[str, str]


class ProviderService:
    """One entry of ``model_providers``. Raises ``ValueError`` for a key or header that no request could carry.

    The entry has a ``base_url``; its dialects are looked up in ``registry``.
    """

    def __init__(
        self, provider: ModelProvider, *, registry: Mapping[DialectName, ProviderDialect] = PROVIDER_DIALECTS
    ) -> None:
        self._provider = provider
        self._dialects = tuple(registry[name] for name in provider.dialects)
        self._base_url = str(URL(provider.base_url or ""))
        self._credentials = credentials_of(provider)
        own = {name.lower(): value for name, value in provider.headers.items()}
        self._betas = own.pop("anthropic-beta", None)
        if provider.passthrough_auth:
            own = {name: value for name, value in own.items() if name not in CLIENT_KEY_HEADERS}
        if provider.http_host is not None:
            own["host"] = provider.http_host
        self._headers = own
        self._targets: LRUCache[tuple[str, ...], _Target] = LRUCache(_MAX_ENDPOINTS)
        self._constant: dict[DialectName, Call] = {}
        model = "any" if provider.is_wildcard else provider.model_id
        for dialect in self._dialects:
            target = self._target(dialect.NAME, self._path(dialect.NAME, model, stream=False))
            if dialect.NAME in _CONSTANT and isinstance(self._credentials, OwnKey) and not self._names_models_in_paths:
                self._constant[dialect.NAME] = Call(target.endpoint)

    @property
    def name(self) -> str:
        """The entry's name."""
        return self._provider.name

    @property
    def dialects(self) -> tuple[ProviderDialect, ...]:
        """What the provider speaks, best first."""
        return self._dialects

    @property
    def keeps_reasoning(self) -> bool:
        """No: a provider's own API has no field for the reasoning of others."""
        return False

    def call(self, dialect: ProviderDialect, request: ChatRequest, body: bytes, context: RequestContext) -> Call:
        """Where ``body`` goes.

        Raises ``InvalidRequest`` for a model that cannot stand in a path, and ``Unauthorized`` where the client's own
        key is wanted and missing.
        """
        constant = self._constant.get(dialect.NAME)
        if constant is not None:
            return constant
        path = self._path(dialect.NAME, self._model(request.model), stream=request.stream)
        call = self._call(dialect.NAME, path, body, context)
        if dialect.NAME == "anthropic_messages":
            return Call(call.endpoint, {**self._anthropic_headers(context), **call.headers})
        return call

    def json_call(
        self, path: str, model: str, body: bytes, context: RequestContext, *, dialect: DialectName = "openai_chat"
    ) -> Call | None:
        """Where the body of another API goes that providers of ``dialect`` have, such as ``/embeddings``.

        ``None`` for a provider of another dialect. Raises what ``call`` does.
        """
        names = {each.NAME for each in self._dialects}
        if dialect not in names and not (dialect == "openai_chat" and "openai_responses" in names):
            return None
        if self._provider.interface == AZURE:
            path = self._azure_path(path, self._model(model))
        call = self._call(dialect, path, body, context)
        if dialect == "anthropic_messages":
            return Call(call.endpoint, {**self._anthropic_headers(context), **call.headers})
        return call

    def _call(self, dialect: DialectName, path: str, body: bytes, context: RequestContext) -> Call:
        target = self._target(dialect, path)
        headers = self._credentials.request_headers(dialect, target.path, target.signed, body, context)
        return Call(target.endpoint, headers)

    @property
    def _names_models_in_paths(self) -> bool:
        return self._provider.is_wildcard and self._provider.interface == AZURE

    def _model(self, requested: str | None) -> str:
        return (requested or "") if self._provider.is_wildcard else self._provider.model_id

    def _path(self, dialect: DialectName, model: str, *, stream: bool) -> str:
        """What is put behind the base URL."""
        if dialect == "bedrock_converse":
            return f"/model/{_segment(model)}/{'converse-stream' if stream else 'converse'}"
        path = _PATHS[dialect]
        return self._azure_path(path, model) if self._provider.interface == AZURE else path

    def _azure_path(self, path: str, model: str) -> str:
        base = self._base_url
        if is_azure_v1(base) or path == "/messages":
            return path
        version = f"?api-version={self._provider.api_version}"
        if "/openai/deployments/" in base:  # the URL names the deployment already
            return f"{path}{version}"
        root = "" if base.endswith("/openai") else "/openai"
        if path == "/responses":
            return f"{root}{path}{version}"
        return f"{root}/deployments/{_segment(model)}{path}{version}"

    def _target(self, dialect: DialectName, path: str) -> _Target:
        key = (dialect, path)
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = self._build(dialect, path)
        return target

    def _build(self, dialect: DialectName, path: str) -> _Target:
        url = URL(f"{self._base_url}{path}", encoded=True)
        headers = {**self._headers, **self._credentials.constant_headers(dialect)}
        if dialect == "bedrock_converse":
            streamed = path.endswith("-stream")
            headers.setdefault("accept", aws_eventstream.MEDIA_TYPE if streamed else "application/json")
        host = headers.get("host") or url.host_port_subcomponent or ""
        signed = {"host": host, "content-type": headers.get("content-type", "application/json")}
        return _Target(Endpoint(self._provider.name, url, self._provider.timeout, headers), url.raw_path, signed)

    def _anthropic_headers(self, context: RequestContext) -> dict[str, str]:
        """The version of the API and its betas; a client of the same dialect says which ones it means."""
        version, betas = None, self._betas
        if context.dialect == "anthropic_messages":
            version = context.headers.get("anthropic-version")
            betas = ",".join(filter(None, (betas, context.headers.get("anthropic-beta"))))
        headers = {"anthropic-version": version or ANTHROPIC_VERSION}
        if betas:
            headers["anthropic-beta"] = betas
        return headers


def _segment(model: str) -> str:
    """``model`` as one segment of a path."""
    if model in ("", ".", "..") or len(model) > _MAX_MODEL_CHARS:
        raise InvalidRequest("'model' is no name that this provider could have a model of.", param="model")
    try:
        return quote(model, safe="")
    except UnicodeEncodeError as exc:
        raise InvalidRequest("'model' is not valid text.", param="model") from exc
