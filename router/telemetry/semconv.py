"""Every metric, span and attribute name that Trident emits.

``trident.*`` are our own, everything else is OpenTelemetry's semantic conventions (a test pins them to the published
ones).
"""

from __future__ import annotations

# Metrics.
REQUESTS = "trident.requests"
ROUTE_DECISIONS = "trident.route.decisions"
ROUTES_SELECTED = "trident.route.selected"
CASCADE_DECISIONS = "trident.cascade.decisions"
GUARD_VERDICTS = "trident.guard.verdicts"
DEGRADED = "trident.degraded"
ACCESS_REFUSALS = "trident.access.refusals"
UPSTREAM_ATTEMPTS = "trident.upstream.attempts"
BREAKER_CHANGES = "trident.upstream.breaker.changes"
BREAKER_STATE = "trident.upstream.breaker.state"
TOKENS = "trident.tokens"
COST = "trident.cost"
TELEMETRY_DROPPED = "trident.telemetry.dropped"
SIGNALS = "trident.signals"
CONVERSATION_QUALITY = "trident.conversation.quality"
BUILD_INFO = "trident.build.info"
CONFIG_INFO = "trident.config.info"
MODEL_INFO = "trident.model.info"
WORKERS = "trident.workers"
TRITON_REQUESTS = "trident.triton.requests"
TRITON_QUEUE_TIME = "trident.triton.queue.time"
TRITON_COMPUTE_TIME = "trident.triton.compute.time"
TRITON_UP = "trident.triton.up"
SERVER_REQUEST_DURATION = "http.server.request.duration"
SERVER_ACTIVE_REQUESTS = "http.server.active_requests"
GEN_AI_SERVER_REQUEST_DURATION = "gen_ai.server.request.duration"
GEN_AI_SERVER_TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 - a name, not a secret
GEN_AI_CLIENT_OPERATION_DURATION = "gen_ai.client.operation.duration"
GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
GEN_AI_CLIENT_TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105

# Attributes of metrics and spans.
LISTENER = "trident.listener"
STATUS_CLASS = "trident.status_class"
ROUTE_REASON = "trident.route.reason"
ROUTE = "trident.route"
CONFIDENCE = "trident.route.confidence"
GUARD = "trident.guard"
OUTCOME = "trident.guard.outcome"
PART = "trident.part"
REFUSAL_REASON = "trident.access.reason"
UPSTREAM = "trident.upstream"
ATTEMPT_OUTCOME = "trident.upstream.outcome"
BREAKER = "trident.upstream.breaker.state"
API_KEY = "trident.api_key.name"
MODEL = "trident.model"
MODEL_VERSION = "trident.model.version"
SIGNAL_TYPE = "trident.signal.type"
QUALITY = "trident.conversation.quality"
VERSION = "service.version"
PYTHON = "process.runtime.version"
CONFIG_HASH = "trident.config.hash"
DROPPED = "trident.telemetry.what"

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
REQUEST_HEADER = "http.request.header"  # followed by a dot and the header's name
URL_PATH = "url.path"
RPC_SYSTEM = "rpc.system.name"
RPC_METHOD = "rpc.method"  # in full, with its service

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a name, not a secret
CONVERSATION_ID = "gen_ai.conversation.id"
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT = "gen_ai.tool.call.result"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"

REQUEST_ID = "trident.request_id"
ROUTES = "trident.routes"
SCORES = "trident.route.scores"
CASCADE_OUTCOME = "trident.cascade.outcome"
CASCADE_CONFIDENCE = "trident.cascade.confidence"
CASCADE_FIRST_ROUTES = "trident.cascade.first.routes"
CASCADE_SECOND_ROUTES = "trident.cascade.second.routes"
DEGRADED_PARTS = "trident.degraded"
ATTEMPT = "trident.attempt"
ATTEMPTS = "trident.attempts"
COST_USD = "trident.cost.usd"
FILTER = "trident.filter"
FILTER_OUTCOME = "trident.filter.outcome"
GUARD_LABEL = "trident.guard.label"
GUARD_SCORE = "trident.guard.score"
DIRECTION = "trident.guard.direction"
PREFERENCE = "trident.preference"
SPANS_DROPPED = "trident.spans_dropped"
CONVERSATION_START = "trident.conversation.start"
CONVERSATION_SCORE = "trident.conversation.score"
SIGNAL_PREFIX = "trident.signal"
SIGNAL_COUNT = "trident.signal.count"
SIGNAL_SEVERITY = "trident.signal.severity"
SIGNAL_MESSAGE_INDEX = "trident.signal.message_index"
SIGNAL_CONFIDENCE = "trident.signal.confidence"
SIGNAL_SNIPPET = "trident.signal.snippet"

# Span names; those with a subject are followed by a space and it.
CHAT = "chat"
EMBEDDINGS = "embeddings"
MODERATIONS = "moderations"
COUNT_TOKENS = "count_tokens"
INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"
FILTER_SPAN = "filter"
GUARDRAILS_SPAN = "guardrails"
GUARDRAIL_SPAN = "guardrail"
ROUTE_SPAN = "route"
TRITON_SERVICE = "inference.GRPCInferenceService"

# Providers under the names of the conventions; all others keep their own.
PROVIDER_NAMES = {
    "azure_openai": "azure.ai.openai",
    "amazon_bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}

# Events of spans.
TOOL_RESULT_EVENT = "tool_result"
SIGNAL_EVENT = "signal"

# What a path asks of a provider; everything else is a conversation.
OPERATIONS = {
    "/v1/embeddings": EMBEDDINGS,
    "/v1/moderations": MODERATIONS,
    "/v1/messages/count_tokens": COUNT_TOKENS,
}
