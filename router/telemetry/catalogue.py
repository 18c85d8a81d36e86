"""Every metric that Trident exports: what it is, its unit, its labels, its buckets.

Label values come from closed sets: names of the configuration, words of the code. What clients invent is never one.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.telemetry import semconv
from router.telemetry.instruments import Definition

# Buckets of OpenTelemetry's GenAI conventions, in seconds and tokens.
_DURATIONS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_REQUESTS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

_GEN_AI = (semconv.OPERATION, semconv.PROVIDER, semconv.REQUEST_MODEL)

REQUESTS = Definition(
    semconv.REQUESTS, "counter", "Requests answered.", "{request}", (semconv.LISTENER, semconv.STATUS_CLASS)
)
ACTIVE_REQUESTS = Definition(
    semconv.SERVER_ACTIVE_REQUESTS, "up_down_counter", "Requests in flight.", "{request}", (semconv.LISTENER,)
)
REQUEST_DURATION = Definition(
    semconv.SERVER_REQUEST_DURATION,
    "histogram",
    "Time from the head of a request to the last byte of its answer.",
    "s",
    (semconv.LISTENER, semconv.HTTP_ROUTE, semconv.STATUS_CLASS),
    _REQUESTS_S,
)
GEN_AI_REQUEST_DURATION = Definition(
    semconv.GEN_AI_SERVER_REQUEST_DURATION,
    "histogram",
    "Time of a conversation's turn, as its client saw it.",
    "s",
    (semconv.OPERATION, semconv.LISTENER),
    _DURATIONS_S,
)
TIME_TO_FIRST_TOKEN = Definition(
    semconv.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
    "histogram",
    "Time to the first byte of a streamed answer, as its client saw it.",
    "s",
    (semconv.OPERATION, semconv.LISTENER),
    _FIRST_TOKEN_S,
)
OPERATION_DURATION = Definition(
    semconv.GEN_AI_CLIENT_OPERATION_DURATION,
    "histogram",
    "Time of one call of a provider or agent; its error, where it failed.",
    "s",
    (*_GEN_AI, semconv.UPSTREAM, semconv.ERROR_TYPE),
    _DURATIONS_S,
)
TIME_TO_FIRST_CHUNK = Definition(
    semconv.GEN_AI_CLIENT_TIME_TO_FIRST_CHUNK,
    "histogram",
    "Time to the first event of a provider's or agent's stream.",
    "s",
    (*_GEN_AI, semconv.UPSTREAM),
    _FIRST_TOKEN_S,
)
TOKEN_USAGE = Definition(
    semconv.GEN_AI_CLIENT_TOKEN_USAGE,
    "histogram",
    "Tokens of one answer.",
    "{token}",
    (*_GEN_AI, semconv.UPSTREAM, semconv.TOKEN_TYPE),
    _TOKENS,
)
TOKENS = Definition(
    semconv.TOKENS,
    "counter",
    "Tokens used.",
    "{token}",
    (semconv.LISTENER, semconv.API_KEY, semconv.REQUEST_MODEL, semconv.TOKEN_TYPE),
)
COST = Definition(
    semconv.COST,
    "counter",
    "What answers cost, where the price of their model is known.",
    "USD",
    (semconv.LISTENER, semconv.API_KEY, semconv.REQUEST_MODEL),
)
ROUTE_DECISIONS = Definition(
    semconv.ROUTE_DECISIONS,
    "counter",
    "Routing decisions by reason.",
    "{decision}",
    (semconv.LISTENER, semconv.ROUTE_REASON),
)
ROUTES_SELECTED = Definition(
    semconv.ROUTES_SELECTED,
    "counter",
    "Routes that were chosen, by how sure the orchestrator was.",
    "{route}",
    (semconv.LISTENER, semconv.ROUTE, semconv.CONFIDENCE),
)
CASCADE_DECISIONS = Definition(
    semconv.CASCADE_DECISIONS,
    "counter",
    "Decisions of cascades by who made them, and whether the two agreed where both were asked.",
    "{decision}",
    (semconv.CASCADE_OUTCOME,),
)
GUARD_VERDICTS = Definition(
    semconv.GUARD_VERDICTS, "counter", "Guard verdicts by outcome.", "{verdict}", (semconv.GUARD, semconv.OUTCOME)
)
DEGRADED = Definition(semconv.DEGRADED, "counter", "Requests served without a part.", "{request}", (semconv.PART,))
ACCESS_REFUSALS = Definition(
    semconv.ACCESS_REFUSALS, "counter", "Requests refused by reason.", "{request}", (semconv.REFUSAL_REASON,)
)
UPSTREAM_ATTEMPTS = Definition(
    semconv.UPSTREAM_ATTEMPTS,
    "counter",
    "Tries at providers by outcome.",
    "{attempt}",
    (semconv.UPSTREAM, semconv.ATTEMPT_OUTCOME),
)
BREAKER_CHANGES = Definition(
    semconv.BREAKER_CHANGES,
    "counter",
    "Changes of circuit breakers by their new state.",
    "{change}",
    (semconv.UPSTREAM, semconv.BREAKER),
)
BREAKER_STATE = Definition(
    semconv.BREAKER_STATE,
    "up_down_counter",
    "Workers whose circuit breaker for an upstream is in a state other than closed.",
    "{worker}",
    (semconv.UPSTREAM, semconv.BREAKER),
)
TELEMETRY_DROPPED = Definition(
    semconv.TELEMETRY_DROPPED,
    "counter",
    "What was not exported: queues were full, or a collector was gone.",
    "{item}",
    (semconv.DROPPED,),
)
SIGNALS = Definition(semconv.SIGNALS, "counter", "Agentic signals by type.", "{signal}", (semconv.SIGNAL_TYPE,))
CONVERSATION_QUALITY = Definition(
    semconv.CONVERSATION_QUALITY,
    "counter",
    "Turns by the quality of their conversation so far.",
    "{turn}",
    (semconv.LISTENER, semconv.QUALITY),
)
BUILD_INFO = Definition(semconv.BUILD_INFO, "gauge", "Always 1; what serves.", "1", (semconv.VERSION, semconv.PYTHON))
CONFIG_INFO = Definition(
    semconv.CONFIG_INFO, "gauge", "Always 1; which configuration is served.", "1", (semconv.CONFIG_HASH,)
)
MODEL_INFO = Definition(
    semconv.MODEL_INFO,
    "gauge",
    "Always 1; which versions of models answer.",
    "1",
    (semconv.MODEL, semconv.MODEL_VERSION),
)
WORKERS = Definition(semconv.WORKERS, "gauge", "Workers that report.", "{worker}")
TRITON_UP = Definition(semconv.TRITON_UP, "gauge", "Whether Triton answers.")
TRITON_REQUESTS = Definition(
    semconv.TRITON_REQUESTS,
    "counter",
    "Inferences by outcome, as Triton counts them.",
    "{request}",
    (semconv.MODEL, semconv.MODEL_VERSION, "outcome"),
)
TRITON_QUEUE_TIME = Definition(
    semconv.TRITON_QUEUE_TIME,
    "counter",
    "Time that inferences waited in Triton.",
    "s",
    (semconv.MODEL, semconv.MODEL_VERSION),
)
TRITON_COMPUTE_TIME = Definition(
    semconv.TRITON_COMPUTE_TIME,
    "counter",
    "Time that inferences took in Triton, without waiting.",
    "s",
    (semconv.MODEL, semconv.MODEL_VERSION),
)

METRICS: Mapping[str, Definition] = {
    definition.name: definition for definition in list(vars().values()) if isinstance(definition, Definition)
}
