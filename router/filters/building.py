"""From the configuration to filters and chains: each filter once, whichever lists name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, cast

from yarl import URL

from router.config.filters import Filter as FilterConfig
from router.config.filters import FilterPattern, FilterType
from router.config.listeners import ListenerType
from router.errors import OperatorError
from router.filters.base import Closable, Filter
from router.filters.bodies import BodyView, MessagesBody, WholeBody
from router.filters.chain import FilterChain
from router.filters.forwarding import HeaderForwarding
from router.filters.header import HeaderFilter, HeaderRules
from router.filters.http_callout import HttpFilter
from router.filters.plugins import load_filter
from router.filters.policy import Condition, FilterPolicy, PolicedFilter
from router.filters.regex import RegexFilter
from router.filters.text_patterns import TextPattern
from router.memories.base import MemoryStore
from router.telemetry.metrics import Metrics
from router.triton.client import TritonClient
from router.triton.entities import EntityRecogniser
from router.upstream.http import Endpoint, HttpClient


@dataclass(frozen=True, slots=True)
class FilterParts:
    """What filters are made with; ``view`` is how services see requests on the listener that a filter is for.

    ``triton`` serves the models of those filters that have one, ``guard`` makes those that are guards, ``memories`` is
    where those that remember keep what they do.
    """

    client: HttpClient
    metrics: Metrics
    view: BodyView
    triton: TritonClient | None = None
    guard: Callable[[FilterConfig], Filter] | None = None
    memories: MemoryStore | None = None


FilterBuilder: TypeAlias = Callable[[FilterConfig, FilterParts], Filter]


def _http(config: FilterConfig, parts: FilterParts) -> Filter:
    service = Endpoint(config.id, URL(config.url or ""), config.timeout, config.headers)
    forwarding = HeaderForwarding(config.forward_headers, credentials=config.forward_credentials)
    return HttpFilter(service, parts.view, parts.client, forwarding, max_response_bytes=config.max_response)


def _mcp(config: FilterConfig, parts: FilterParts) -> Filter:
    # Only here: the SDK brings a web server along, which is a lot to load for those who have no such filter.
    from router.filters.mcp_callout import McpFilter
    from router.filters.mcp_session import McpSession

    session = McpSession(
        config.id,
        config.url or "",
        headers=config.headers,
        timeout_s=config.timeout,
        max_response_bytes=config.max_response,
    )
    forwarding = HeaderForwarding(config.forward_headers, credentials=config.forward_credentials)
    return McpFilter(config.id, config.tool or config.id, session, parts.view, forwarding)


def _regex(config: FilterConfig, parts: FilterParts) -> Filter:
    inputs = [_pattern(pattern) for pattern in config.patterns if pattern.direction != "output"]
    outputs = [_pattern(pattern) for pattern in config.patterns if pattern.direction != "input"]
    return RegexFilter(config.id, inputs, outputs, max_match_bytes=config.max_match_bytes)


def _pattern(pattern: FilterPattern) -> TextPattern:
    return TextPattern(
        pattern.name,
        pattern.pattern,
        pattern.action,
        replacement=f"[{pattern.name}]" if pattern.replacement is None else pattern.replacement,
        message=pattern.message or f"This contains something that is not allowed here ({pattern.name}).",
    )


def _header(config: FilterConfig, parts: FilterParts) -> Filter:
    rules = HeaderRules(config.set, config.forward, config.remove, config.require, config.metadata)
    return HeaderFilter(config.id, rules)


def _pii(config: FilterConfig, parts: FilterParts) -> Filter:
    # Only here: formats and numbering plans of the whole world are a lot to load for those who have no such filter.
    from router.filters.pii import pii_filter

    model = config.pii.model
    if model is None:
        return pii_filter(config.id, config.pii, None)
    if parts.triton is None:
        raise ValueError(f"its model '{model}' needs Triton")
    return pii_filter(config.id, config.pii, EntityRecogniser(parts.triton, model))


def _memory(config: FilterConfig, parts: FilterParts) -> Filter:
    # Only here: it brings NumPy along, and what knows credentials and numbers of accounts.
    from router.filters.memory_building import memory_filter

    if parts.triton is None or parts.memories is None:
        raise ValueError("memories need Triton and a store")
    return memory_filter(config, parts.triton, parts.memories, parts.metrics)


def _guardrail(config: FilterConfig, parts: FilterParts) -> Filter:
    if parts.guard is None:
        raise ValueError("there is nobody who makes guards")
    return parts.guard(config)


def _python(config: FilterConfig, parts: FilterParts) -> Filter:
    factory = load_filter(config.python or "")
    try:
        return factory(config.id, MappingProxyType(config.options))
    except Exception as exc:  # whatever foreign code raises while it is made
        raise OperatorError(
            f"The filter '{config.id}' cannot be made: {type(exc).__name__}: {exc}.",
            fix="Correct its `options`; what they mean says whoever wrote the filter.",
        ) from exc


# A new type of filter is a file, its keys in `router/config/filters.py`, and a line here.
FILTER_TYPES: Mapping[FilterType, FilterBuilder] = MappingProxyType(
    {
        "http": _http,
        "mcp": _mcp,
        "regex": _regex,
        "header": _header,
        "pii": _pii,
        "memory": _memory,
        "guardrail": _guardrail,
        "python": _python,
    }
)


class Filters:
    """The filters of one configuration, made when a chain first needs them. Close it with ``close``."""

    def __init__(
        self,
        configs: Iterable[FilterConfig],
        client: HttpClient,
        metrics: Metrics,
        *,
        triton: TritonClient | None = None,
        guard: Callable[[FilterConfig], Filter] | None = None,
        memories: MemoryStore | None = None,
    ) -> None:
        self._configs = {config.id: config for config in configs}
        self._parts = {
            whole: FilterParts(client, metrics, WholeBody() if whole else MessagesBody(), triton, guard, memories)
            for whole in (True, False)
        }
        self._made: dict[tuple[str, bool], tuple[Filter, PolicedFilter]] = {}

    def chain(
        self,
        inputs: Iterable[str],
        outputs: Iterable[str],
        *,
        listener: ListenerType,
        agent: str | None = None,
    ) -> FilterChain:
        """The chain of a listener of this type, or of one ``agent`` on it: the ids in its two lists.

        A ``pii`` filter puts back what it took out even where it is not listed for answers: behind those that are, so
        that none of them reads it. Raises ``OperatorError`` for a filter that cannot be made.
        """
        whole = listener == "model"
        asked, answering = list(inputs), list(outputs)
        restoring = [id_ for id_ in asked if self._configs[id_].type == "pii" and id_ not in answering]
        return FilterChain(
            [self._filter(id_, whole) for id_ in asked],
            [self._filter(id_, whole) for id_ in [*restoring, *answering]],
            agent=agent,
        )

    async def close(self) -> None:
        """Let go of everything that filters hold on to."""
        for filter_, _ in self._made.values():
            if hasattr(filter_, "close"):
                await cast("Closable", filter_).close()

    def _filter(self, id_: str, whole: bool) -> PolicedFilter:
        made = self._made.get((id_, whole))
        if made is None:
            config = self._configs[id_]
            parts = self._parts[whole]
            filter_ = _build(config, parts)
            made = self._made[id_, whole] = (filter_, PolicedFilter(filter_, _policy(config), parts.metrics))
        return made[1]


def _build(config: FilterConfig, parts: FilterParts) -> Filter:
    builder = FILTER_TYPES.get(config.type)
    if builder is None:
        known = ", ".join(FILTER_TYPES)
        raise OperatorError(
            f"The filter '{config.id}' is of type '{config.type}', which this version does not have.",
            fix=f"Use one of: {known}.",
        )
    try:
        return builder(config, parts)
    except ValueError as exc:
        raise OperatorError(
            f"The filter '{config.id}' cannot be made: {exc}", fix="Correct the configuration."
        ) from exc


def _policy(config: FilterConfig) -> FilterPolicy:
    when = config.when
    condition = None
    if when is not None:
        condition = Condition(roles=when.roles, models=when.models, agents=when.agents, paths=when.paths)
    return FilterPolicy(config.timeout, config.on_error, condition, config.sample)
