"""Every section of the format, as configurations of existing gateways use it: it loads and means what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from router.config import Agent, Config
from router.config.admin import Admin
from router.config.introspection import item_of, sections_in, value_of

FULL = """\
    version: v0.4.0
    agents:
      - id: concierge
        url: http://concierge.internal:10510/v1/chat/completions
        timeout: 90s
        headers: {x-team: travel}
        dialect: openai_chat
      - id: bookings
        url: https://bookings.internal
    filters:
      - id: query_rewriter
        url: http://localhost:10500/mcp
        type: mcp
        transport: streamable-http
        tool: rewrite
      - id: redact
        url: http://localhost:10501
        type: http
        timeout: 750ms
        on_error: allow
        forward_credentials: true
      - id: toxicity
        type: guardrail
        model: toxicity
        threshold: 0.8
        message: Let us keep it friendly.
        when: {roles: [user, tool], models: [openai/*], agents: [concierge], paths: [/v1/messages]}
        sample: 0.5
      - id: scanner
        url: http://localhost:10502
        type: http
        headers: {x-scanner-key: the-key-of-the-scanner}
        forward_headers: [x-tenant]
        max_response: 1 MiB
      - id: secrets
        type: regex
        max_match_bytes: 4096
        patterns:
          - name: api_key
            pattern: sk-[A-Za-z0-9]{20,}
            replacement: "***"
            direction: output
          - name: codename
            pattern: (?i)project[ -]falcon
            action: block
            message: That project is confidential.
      - id: tenants
        type: header
        set: {x-gateway: trident}
        forward: [x-tenant]
        remove: [baggage]
        require: [x-tenant]
        metadata: {tenant: x-tenant}
      - id: privacy
        type: pii
        pii:
          action: annotate
          direction: both
          entities: [PERSON, IBAN]
          model: names
          min_score: 0.7
          allow: ["*@example.com"]
          phone_regions: [DE, FR]
          attachments: allow
          message: Keep that to yourself.
      - id: recollection
        type: memory
        memory:
          key: header
          header: x-user-id
          model: encoder
          max_recalled: 3
          min_similarity: 0.4
          same_similarity: 0.95
          ttl: 30d
          max_facts: 50
          max_fact_chars: 200
          max_keys: 500
      - id: glossary
        type: python
        python: acme.glossary:Glossary
        options: {language: de}
    model_providers:
      - model: openai/gpt-4o
        access_key: $OPENAI_API_KEY
        default: true
      - model: openai/gpt-4o
        name: gpt-4o-second-account
        access_key: $SECOND_OPENAI_API_KEY
      - model: anthropic/*
        access_key: $ANTHROPIC_API_KEY
      - model: lab/llama-3.3-70b
        base_url: https://llm.lab.example:8443/serving/v2/
        http_host: llm.internal
        provider_interface: openai
        passthrough_auth: true
        headers: {x-org-id: travel}
      - model: ollama/llama3
        base_url: http://localhost:11434
        dialects: [openai_chat, openai_responses, anthropic_messages]
        timeout: 60s
        weight: 3
        context_window: 8192
      - model: amazon_bedrock/amazon.nova-pro-v1:0
        region: eu-west-1
        aws_access_key_id: AKIDEXAMPLE
        aws_secret_access_key: $AWS_SECRET
        aws_session_token: $AWS_TOKEN
        price: {input: 0.8, output: 3.2, cached_input: 0.2, cache_write: 1}
      - model: azure_openai/gpt-4o-prod
        base_url: https://travel.openai.azure.com
        api_version: 2024-10-21
        access_key: $AZURE_TOKEN
        key_header: authorization
    model_aliases:
      fast: {target: cheap}
      cheap: {target: llama3}
      smart: {target: anthropic/claude-opus}
    listeners:
      - type: agent
        name: travel
        port: 8001
        address: 0.0.0.0
        unauthenticated: true
        timeout: 2m
        router: mine
        answer: combined
        parallel: true
        agents:
          - id: concierge
            description: Ideas and recommendations.
            default: true
            input_filters: [query_rewriter]
            output_filters: [toxicity]
          - {id: bookings, description: Books and cancels.}
        input_filters: [redact]
        output_filters: [redact]
      - type: model
        name: models
        port: 12000
        max_retries: 3
        moderations: true
      - type: prompt
        name: functions
        port: 10000
        prompt_targets: [get_weather]
    orchestrators:
      - name: mine
        model: orchestrator_large
        threshold: 0.4
        timeout: 1500ms
        prompt_template: prompt.txt
        strategy: cascade
        second: orchestrator_4b
        confidence: 0.9
    triton:
      url: grpc://triton.internal:8001
      timeout: 1s
    limits:
      max_body_bytes: 4 MiB
      max_guard_chars: 100000
      max_response_bytes: 1048576
      body_timeout: 20s
      connect_timeout: 1s
      drain_timeout: 1m30s
    grpc:
      address: 0.0.0.0
      port: 9000
      unauthenticated: true
      tls: {cert: tls/server.pem, key: tls/server.key, client_ca: tls/clients.pem}
      limits:
        max_message_bytes: 8 MiB
        max_concurrent: 200
        max_streams_per_connection: 50
        timeout: 5s
        stream_timeout: 10m
        keepalive: 30s
        max_connection_age: 5m
      ext_proc: {listener: travel, route_header: x-cluster, answers: all, credentials: true}
    services:
      router:
        url: [router-1.internal:50051, grpc://router-2.internal:50051]
        timeout: 800ms
        tls: {ca: tls/ca.pem, cert: tls/gateway.pem, key: tls/gateway.key, server_name: router.internal}
        api_key: $ROUTER_KEY
      guardrails:
        url: localhost:50052
        timeout: 3s
        tls: {ca: tls/ca.pem, cert: tls/gateway.pem, key: tls/gateway.key, server_name: guards.internal}
        api_key: $ROUTER_KEY
    prompt_guards:
      input_guards:
        jailbreak:
          on_exception: {message: No.}
          threshold: 0.7
          on_error: allow
    guardrails:
      - name: moderation
        model: moderation
        labels: {violence: 0.6, hate: 0.5}
        threshold: 0.7
        listeners: [travel, models]
        direction: both
        scope: newest_user
        action: redact
        placeholder: "[gone]"
        message: Let us talk about something else.
        on_block: error
        reveal_score: true
        shadow: true
        on_error: allow
        unseen: deny
        timeout: 2s
        stream: {window: chars, window_chars: 100, max_wait: 2s}
      - name: topics
        topic: {allow: [{name: travel, description: Trips and bookings.}], threshold: 0.3, model: small}
      - {name: size, max: {chars: 10000, messages: 100}, action: route, route: concierge, listeners: [travel]}
    routing_preferences:
      - name: code generation
        description: writing new code
        models: [anthropic/claude-sonnet, openai/gpt-4o, smart]
        selection_policy: {prefer: cheapest}
    model_metrics_sources:
      - {type: cost, provider: models.dev, refresh_interval: 86400}
      - type: cost
        provider: digitalocean
        model_aliases: {openai/gpt-oss-120b: openai/gpt-4o}
      - {type: latency, provider: prometheus, url: 'http://prometheus:9090', query: 'up', refresh_interval: 60}
    routing:
      session_ttl_seconds: 900
      session_max_entries: 5000
      session_cache: {type: redis, url: 'rediss://cache:6379', tenant_header: x-org-id}
      routing_budget: {max_switch_spend_pct: 20, seed_usd: 0.5, record_counterfactual: true}
      route_on_user_only: true
    prompt_caching:
      enabled: true
      session_affinity: false
      inject_cache_control: false
      min_prefix_tokens: 2048
      session_ttl_seconds: 300
    resilience:
      max_retries: 4
      first_byte_timeout: 8s
      retry_budget_pct: 10
      backoff: {base: 50ms, max: 2s}
      circuit_breaker: {consecutive_failures: 3, failure_ratio: 0.3, window: 1m, min_requests: 50, open_for: 10s}
      hedging: {enabled: true, min_delay: 200ms}
    auth:
      header: x-team-key
      keys:
        - name: research
          key: $RESEARCH_KEY
          listeners: [models]
          models: [openai/*, llama3, smart]
          rate_limit: {requests: 100, tokens: 200000, unit: minute, on_error: allow}
          budget: {tokens: 5000000, usd: 12.5, period: day, unpriced_usd_per_million: 0.5, on_error: allow}
        - name: sales
          hash: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    ratelimits:
      - model: openai/gpt-4o
        selector: {key: x-user-id, value: "*", absent: count}
        limit: {tokens: 100000, requests: 100, unit: hour}
        on_error: allow
    endpoints:
      weather_api:
        endpoint: api.weather.example:443
        connect_timeout: 0.005s
        protocol: https
        http_host: weather.example
        timeout: 5s
        max_retries: 1
        max_response_bytes: 64 KiB
        allow_private: true
    system_prompt: Answer briefly.
    prompt_targets:
      - name: get_weather
        description: Weather at a place.
        parameters:
          - {name: location, description: where, type: str, required: true, format: 'City, State', in_path: true}
          - {name: days, description: how many days, type: int, default: 7}
          - {name: units, description: scale, type: string, enum: [celsius, fahrenheit], default: celsius}
        endpoint:
          name: weather_api
          path: /weather/{location}
          http_method: POST
          http_headers: {authorization: $WEATHER_TOKEN}
        system_prompt: You are a weather expert.
        auto_llm_dispatch_on_response: false
      - {name: anything, description: the rest, default: true, endpoint: {name: concierge, path: /}}
    error_target:
      endpoint: {name: weather_api, path: /error, http_method: PUT, http_headers: {x-source: gateway}}
    state_storage:
      type: postgres
      connection_string: postgresql://gateway:$DB_PASSWORD@db:5432/state
      store_responses: on_request
      ttl: 7d
      max_entries: 5000
      max_bytes: 64 MiB
      max_response_bytes: 4 MiB
      max_conversation_items: 500
      max_conversation_bytes: 16 MiB
    tracing:
      random_sampling: 25
      opentracing_grpc_endpoint: http://collector:4317
      trace_arch_internal: true
      capture_content: true
      stream_usage: false
      span_attributes:
        header_prefixes: [x-user-, x-org-]
        static: {environment: production}
      exporters:
        - type: posthog
          url: https://eu.posthog.example
          api_key: $POSTHOG_KEY
          distinct_id_header: x-user-id
          enabled: false
          capture_messages: true
      otlp:
        - endpoint: http://collector:4317
          protocol: grpc
          metrics: false
        - endpoint: https://collector.example:4318
          headers: {authorization: $COLLECTOR_TOKEN}
          compression: none
          timeout: 3s
          traces: false
          traces_path: /otlp/v1/traces
          metrics_path: /otlp/v1/metrics
          metrics_interval: 15s
          ca_file: ca.pem
          client_certificate: client.pem
          client_key: client.key
      service_name: front-door
      resource: {deployment.environment.name: production}
      collector: {address: "::1", grpc_port: 4317, http_port: 4318}
    signals: {encoder: encoder}
    admin: {enabled: true, address: "::1", port: 9902}
    overrides:
      prompt_target_intent_matching_threshold: 0.6
      optimize_context_window: true
      use_agent_orchestrator: true
      disable_signals: true
      upstream_connect_timeout: 10s
      upstream_tls_ca_path: /etc/ssl/certs/ca-certificates.crt
      llm_routing_model: Plano-Orchestrator
      agent_orchestration_model: openai/gpt-4o
      function_model: embedded
      orchestrator_model_context_length: 16384
    mode: prompt
    """

ENVIRON = {
    name: f"value of {name}"
    for name in (
        *("OPENAI_API_KEY", "SECOND_OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
        *("AWS_SECRET", "AWS_TOKEN", "AZURE_TOKEN"),
        *("WEATHER_TOKEN", "DB_PASSWORD", "POSTHOG_KEY", "ROUTER_KEY", "COLLECTOR_TOKEN"),
    )
} | {"RESEARCH_KEY": "the-key-of-research-in-a-variable"}


@pytest.fixture
def full(load, tmp_path: Path) -> Config:
    """The configuration above, loaded."""
    (tmp_path / "prompt.txt").write_text("{routes} {conversation}", encoding="utf-8")
    return load(FULL, ENVIRON).config


def test_agents(full: Config) -> None:
    concierge, bookings = full.agents
    assert concierge.url == "http://concierge.internal:10510/v1/chat/completions"
    assert (concierge.timeout, concierge.headers, concierge.dialect) == (90.0, {"x-team": "travel"}, "openai_chat")
    assert (bookings.timeout, bookings.headers, bookings.dialect) == (120.0, {}, "openai_chat")


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("http://h:1", "openai_chat"),
        ("http://h:1/x/v1/messages", "anthropic_messages"),
        ("http://h:1/v1/messages/", "anthropic_messages"),
        ("http://h:1/v1/responses", "openai_responses"),
    ],
)
def test_the_url_of_an_agent_says_what_it_speaks(url: str, dialect: str) -> None:
    assert Agent(id="a", url=url).dialect == dialect
    assert Agent(id="a", url=url, dialect="openai_chat").dialect == "openai_chat"


def test_filters(full: Config) -> None:
    rewriter, redact, toxicity, scanner, secrets, tenants, privacy, recollection, glossary = full.filters
    assert (privacy.type, privacy.pii.entities, privacy.pii.phone_regions) == ("pii", ("PERSON", "IBAN"), ("DE", "FR"))
    assert (rewriter.type, rewriter.tool, rewriter.on_error, rewriter.timeout) == ("mcp", "rewrite", "deny", 5.0)
    assert (redact.type, redact.on_error, redact.timeout, redact.forward_credentials) == ("http", "allow", 0.75, True)
    assert (toxicity.type, toxicity.model, toxicity.threshold) == ("guardrail", "toxicity", 0.8)
    assert toxicity.when is not None
    assert (toxicity.when.roles, toxicity.when.models, toxicity.sample) == (("user", "tool"), ("openai/*",), 0.5)
    assert (toxicity.when.agents, toxicity.when.paths) == (("concierge",), ("/v1/messages",))
    assert (scanner.forward_headers, scanner.max_response) == (("x-tenant",), 2**20)
    key, codename = secrets.patterns
    assert (key.action, key.replacement, key.direction) == ("redact", "***", "output")
    assert (codename.action, codename.message, codename.direction) == ("block", "That project is confidential.", "both")
    assert secrets.max_match_bytes == 4096
    assert (tenants.set, tenants.forward, tenants.remove) == ({"x-gateway": "trident"}, ("x-tenant",), ("baggage",))
    assert (tenants.require, tenants.metadata) == (("x-tenant",), {"tenant": "x-tenant"})
    memory = recollection.memory
    assert (memory.key, memory.header, memory.ttl, memory.max_facts) == ("header", "x-user-id", 30 * 86400.0, 50)
    assert (glossary.python, glossary.options) == ("acme.glossary:Glossary", {"language": "de"})


def test_listeners(full: Config) -> None:
    travel, models, functions = full.listeners
    assert (travel.address, travel.timeout, travel.router) == ("0.0.0.0", 120.0, "mine")
    assert (travel.answer, travel.parallel) == ("combined", True)
    assert (travel.input_filters, travel.output_filters) == (("redact",), ("redact",))
    concierge, bookings = travel.agents
    assert (concierge.default, concierge.input_filters, concierge.output_filters) == (
        True,
        ("query_rewriter",),
        ("toxicity",),
    )
    assert (bookings.description, bookings.default) == ("Books and cancels.", False)
    assert (models.type, models.max_retries, functions.type) == ("model", 3, "prompt")


def test_model_providers(full: Config) -> None:
    first, second, claude, lab, ollama, bedrock, azure = full.model_providers
    assert [provider.name for provider in (first, second, claude)] == [
        "openai/gpt-4o",
        "gpt-4o-second-account",
        "anthropic/*",
    ]
    assert (first.default, second.default) == (True, False)
    assert (claude.is_wildcard, claude.dialect, claude.model_id) == (True, "anthropic_messages", "*")
    assert (lab.provider, lab.model_id, lab.dialect) == ("lab", "llama-3.3-70b", "openai_chat")
    assert lab.base_url == "https://llm.lab.example:8443/serving/v2"
    assert (lab.http_host, lab.passthrough_auth, lab.headers) == ("llm.internal", True, {"x-org-id": "travel"})
    assert ollama.base_url == "http://localhost:11434/v1"
    assert ollama.dialects == ("openai_chat", "openai_responses", "anthropic_messages")
    assert (ollama.timeout, ollama.weight, ollama.context_window) == (60.0, 3, 8192)
    assert (first.timeout, first.weight, first.context_window) == (300.0, 1, None)
    assert (bedrock.dialect, bedrock.aws_region) == ("bedrock_converse", "eu-west-1")
    assert (azure.interface, azure.api_version, azure.key_header) == ("azure_openai", "2024-10-21", "authorization")
    assert {name: alias.target for name, alias in full.model_aliases.items()} == {
        "fast": "cheap",
        "cheap": "llama3",
        "smart": "anthropic/claude-opus",
    }


def test_grpc_services_here_and_elsewhere(full: Config, tmp_path: Path) -> None:
    assert full.grpc is not None
    assert full.grpc.tls is not None
    assert (full.grpc.address, full.grpc.port, full.grpc.unauthenticated) == ("0.0.0.0", 9000, True)
    assert full.grpc.tls.client_ca == tmp_path / "tls/clients.pem"
    limits = full.grpc.limits
    assert (limits.max_message_bytes, limits.max_concurrent, limits.max_streams_per_connection) == (2**23, 200, 50)
    assert (limits.timeout, limits.stream_timeout, limits.keepalive, limits.max_connection_age) == (5, 600, 30, 300)
    carried = full.grpc.ext_proc
    assert carried is not None
    assert (carried.listener, carried.route_header, carried.answers) == ("travel", "x-cluster", "all")
    assert carried.credentials
    router = full.services.router
    assert router is not None
    assert router.tls is not None
    assert router.api_key is not None
    assert (router.url, router.timeout) == (("router-1.internal:50051", "router-2.internal:50051"), 0.8)
    assert (router.tls.ca, router.tls.server_name) == (tmp_path / "tls/ca.pem", "router.internal")
    assert router.api_key.get_secret_value() == "value of ROUTER_KEY"


def test_what_the_gateway_itself_needs(full: Config, tmp_path: Path) -> None:
    (orchestrator,) = full.orchestrators
    assert (orchestrator.name, orchestrator.model, orchestrator.threshold, orchestrator.timeout) == (
        "mine",
        "orchestrator_large",
        0.4,
        1.5,
    )
    assert orchestrator.prompt_template == tmp_path / "prompt.txt"
    assert (orchestrator.strategy, orchestrator.second, orchestrator.confidence) == ("cascade", "orchestrator_4b", 0.9)
    assert (full.triton.url, full.triton.timeout) == ("triton.internal:8001", 1.0)
    limits = full.limits
    assert (limits.max_body_bytes, limits.max_response_bytes) == (4 * 1024 * 1024, 1024 * 1024)
    assert (limits.body_timeout, limits.connect_timeout, limits.drain_timeout) == (20.0, 1.0, 90.0)
    jailbreak = full.prompt_guards.input_guards.jailbreak
    assert jailbreak is not None
    assert (jailbreak.on_exception.message, jailbreak.threshold, jailbreak.on_error) == ("No.", 0.7, "allow")


def test_routing_of_models(full: Config) -> None:
    (preference,) = full.routing_preferences
    assert preference.models == ("anthropic/claude-sonnet", "openai/gpt-4o", "smart")
    assert preference.selection_policy.prefer == "cheapest"
    cost, catalogue, latency = full.model_metrics_sources
    assert (cost.provider, cost.refresh_interval) == ("models.dev", 86400.0)
    assert catalogue.model_aliases == {"openai/gpt-oss-120b": "openai/gpt-4o"}
    assert (latency.url, latency.query) == ("http://prometheus:9090", "up")
    routing = full.routing
    assert (routing.session_ttl_seconds, routing.session_max_entries) == (900, 5000)
    assert (routing.session_cache.type, routing.session_cache.tenant_header) == ("redis", "x-org-id")
    assert routing.route_on_user_only
    assert routing.routing_budget is not None
    assert (routing.routing_budget.max_switch_spend_pct, routing.routing_budget.seed_usd) == (20, 0.5)
    caching = full.prompt_caching
    assert (caching.enabled, caching.session_affinity, caching.inject_cache_control) == (True, False, False)
    (limit,) = full.ratelimits
    assert (limit.selector.key, limit.selector.value) == ("x-user-id", "*")
    assert (limit.limit.tokens, limit.limit.requests, limit.limit.unit) == (100_000, 100, "hour")
    assert (limit.selector.absent, limit.on_error) == ("count", "allow")


def test_access(full: Config) -> None:
    assert full.auth is not None
    assert full.auth.header == "x-team-key"
    research, sales = full.auth.keys
    assert research.digest == hashlib.sha256(b"the-key-of-research-in-a-variable").digest()
    assert sales.digest == bytes.fromhex("0123456789abcdef" * 4)
    assert (research.listeners, research.models) == (("models",), ("openai/*", "llama3", "smart"))
    rate, budget = research.rate_limit, research.budget
    assert rate is not None
    assert budget is not None
    assert (rate.requests, rate.tokens, rate.unit, rate.on_error) == (100, 200_000, "minute", "allow")
    assert (budget.tokens, budget.usd, budget.period, budget.unpriced_usd_per_million) == (5_000_000, 12.5, "day", 0.5)
    assert (sales.listeners, sales.models, sales.rate_limit, sales.budget) == ((), (), None, None)
    assert [listener.unauthenticated for listener in full.listeners] == [True, False, False]


def test_prompt_targets(full: Config) -> None:
    weather, anything = full.prompt_targets
    location, days, units = weather.parameters
    assert (location.required, location.in_path, location.format) == (True, True, "City, State")
    assert (days.type, days.default, days.required) == ("int", 7, False)
    assert (units.enum, units.default) == (("celsius", "fahrenheit"), "celsius")
    assert weather.endpoint is not None
    assert (weather.endpoint.path, weather.endpoint.http_method) == ("/weather/{location}", "POST")
    assert weather.endpoint.http_headers == {"authorization": "value of WEATHER_TOKEN"}
    assert not weather.auto_llm_dispatch_on_response
    assert anything.default
    endpoint = full.endpoints["weather_api"]
    assert (endpoint.endpoint, endpoint.protocol) == ("api.weather.example:443", "https")
    assert endpoint.connect_timeout == pytest.approx(0.005)
    assert (endpoint.timeout, endpoint.max_retries, endpoint.max_response_bytes) == (5.0, 1, 64 * 1024)
    assert endpoint.allow_private
    assert full.overrides.function_model == "embedded"
    assert full.listeners[2].prompt_targets == ("get_weather",)
    assert full.error_target is not None
    assert (full.system_prompt, full.mode) == ("Answer briefly.", "prompt")


def test_operations(full: Config) -> None:
    storage = full.state_storage
    assert storage is not None
    assert storage.connection_string is not None
    assert storage.connection_string.get_secret_value() == ("postgresql://gateway:value of DB_PASSWORD@db:5432/state")
    assert (storage.store_responses, storage.ttl, storage.max_entries) == ("on_request", 7 * 86400, 5000)
    assert (storage.max_bytes, storage.max_response_bytes) == (64 * 2**20, 4 * 2**20)
    assert (storage.max_conversation_items, storage.max_conversation_bytes) == (500, 16 * 2**20)
    tracing = full.tracing
    assert (tracing.random_sampling, tracing.opentracing_grpc_endpoint) == (25.0, "http://collector:4317")
    assert tracing.span_attributes.static == {"environment": "production"}
    assert (tracing.exporters[0].enabled, tracing.exporters[0].capture_messages) == (False, True)
    assert (tracing.capture_content, tracing.stream_usage) == (True, False)
    plain, remote = tracing.otlp
    assert (plain.protocol, plain.traces, plain.metrics) == ("grpc", True, False)
    assert (remote.protocol, remote.timeout, remote.metrics_interval) == ("http/protobuf", 3.0, 15.0)
    assert remote.headers == {"authorization": "value of COLLECTOR_TOKEN"}
    assert (tracing.service_name, tracing.resource) == ("front-door", {"deployment.environment.name": "production"})
    assert tracing.collector is not None
    assert (tracing.collector.address, tracing.collector.grpc_port, tracing.collector.http_port) == ("::1", 4317, 4318)
    assert (full.admin.enabled, full.admin.address, full.admin.port) == (True, "::1", 9902)
    assert full.admin.port_is_chosen
    assert full.signals.encoder == "encoder"
    assert not Admin().port_is_chosen
    overrides = full.overrides
    assert overrides.prompt_target_intent_matching_threshold == 0.6
    assert overrides.upstream_connect_timeout == 10.0
    assert overrides.orchestrator_model_context_length == 16384


def test_the_example_above_uses_every_key_that_there_is(load, full: Config) -> None:
    # Keys that exclude others, that only older files have, or that say what is the case anyway.
    elsewhere = {"model_repository", "llm_provider", "model", "replenish_on_rebind", "credit_negative"}
    elsewhere |= {"cache_read_discount", "default", "file"}

    def unused(value: object, annotation: object, path: str) -> set[str]:
        items, inner = [value], annotation
        if isinstance(value, tuple):
            items, inner = list(value), item_of(annotation)
        elif isinstance(value, dict):
            items, inner = list(value.values()), value_of(annotation)
        if inner is not annotation:
            return set.intersection(*(unused(item, inner, path) for item in items)) if items else set()
        section = next(sections_in(annotation), None)
        if section is None or value is None:
            return set()
        missing = {f"{path}{key}" for key in section.model_fields if key not in value.model_fields_set}  # type: ignore[attr-defined]
        for key, field in section.model_fields.items():
            missing |= unused(getattr(value, key), field.annotation, f"{path}{key}.")
        return missing

    assert {key for key in unused(full, Config, "") if key.rpartition(".")[2] not in elsewhere} == set()


def test_a_bare_guard_is_on(load) -> None:
    text = "version: v0.4.0\nlisteners: [{type: model, name: m, port: 1}]\n"
    jailbreak = load(
        f"{text}prompt_guards:\n  input_guards:\n    jailbreak:\n"
    ).config.prompt_guards.input_guards.jailbreak
    assert jailbreak is not None
    assert (jailbreak.on_exception.message, jailbreak.on_error) == ("I can't help with that request.", "deny")


@pytest.mark.parametrize("text", ["prompt_guards:\n", "prompt_guards:\n  input_guards:\n"])
def test_a_guard_section_without_a_guard_is_an_error(problems, text: str) -> None:
    found = problems(f"version: v0.4.0\nlisteners: [{{type: model, name: m, port: 1}}]\n{text}")
    assert [problem.message.endswith("has no value.") for problem in found] == [True]
