"""The GatewayError tree: what the client is told when something broke, and whether another try could help."""

from __future__ import annotations

from typing import Literal


class GatewayError(Exception):
    """A failure with a public message.

    ``str(error)`` is what the client reads: no internals, no credentials. The cause (``raise ... from exc``) is for
    logs. ``status``, ``type`` and ``code`` are facts of the class; a dialect turns them into its own error shape.
    ``retryable`` says whether the same request could succeed at another endpoint or a moment later.
    """

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    retryable: bool = False

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(GatewayError):
    """The request is wrong as it stands; ``param`` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class Unauthorized(GatewayError):
    """The request came without an API key, or with one that is not known."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class PermissionDenied(GatewayError):
    """The API key is known, but not for this; ``code`` says for what: a model, a listener, a price."""

    status = 403
    type = "permission_error"

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.code = code


class NotFound(GatewayError):
    """No such path, model or agent."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """The requested model is not configured. ``known`` are the names that are; not every client may know them."""

    code = "model_not_found"

    def __init__(self, message: str, *, known: str = "", param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.known = known


class MethodNotAllowed(GatewayError):
    """The path exists, but not for this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(GatewayError):
    """The client did not send its whole request in time."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class PayloadTooLarge(GatewayError):
    """The body, or the text in it that has to be judged, is over a limit."""

    status = 413
    type = "invalid_request_error"
    code = "payload_too_large"


class RateLimited(GatewayError):
    """More was asked for than is allowed in this time. ``resource`` is what there was too little of.

    ``retry_after_s`` is ``None`` when waiting does not help: the request alone is over the limit.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, resource: Literal["requests", "tokens"], retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.type = resource
        self.retryable = retry_after_s is not None


class InsufficientQuota(GatewayError):
    """The budget of the API key is used up."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class UpstreamError(GatewayError):
    """An agent or provider failed before its answer began."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    retryable = True


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or it broke before the answer began."""

    code = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer within its deadline."""

    status = 504
    code = "upstream_timeout"


class UpstreamProtocolError(UpstreamError):
    """The upstream answered with something that is not an answer."""

    code = "upstream_protocol_error"


class UpstreamStatus(UpstreamError):
    """The upstream answered with an error status, which is passed on."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        type_: str,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.status = status
        self.code = code
        self.type = type_
        self.retryable = status in {408, 424, 429} or status >= 500  # 424: Bedrock's word for a model that failed


class ModelUnavailable(GatewayError):
    """A model on Triton (orchestrator, classifier) cannot be asked right now."""

    status = 503
    code = "model_unavailable"
    retryable = True


class GuardrailUnavailable(GatewayError):
    """A guard could not give its verdict and is fail-closed."""

    status = 503
    code = "guardrail_unavailable"
    retryable = True


class FilterRejected(GatewayError):
    """A filter refused the request; status and message are the filter's."""

    type = "invalid_request_error"
    code = "filter_rejected"

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class FilterUnavailable(GatewayError):
    """A filter failed or was too slow and is fail-closed."""

    status = 503
    code = "filter_unavailable"
    retryable = True


class ContentBlocked(GatewayError):
    """A guard that answers with errors has refused a request or an answer."""

    status = 400
    type = "invalid_request_error"
    code = "content_filter"


class ProviderUnavailable(GatewayError):
    """A model provider is configured but cannot be used, for example because its key is missing."""

    status = 503
    code = "provider_unavailable"


class StateUnavailable(GatewayError):
    """The store that state is kept in did not answer in time."""

    status = 503
    code = "state_unavailable"
    retryable = True

    def __init__(self, message: str = "The gateway's state store is not available.") -> None:
        super().__init__(message)


class OperatorError(Exception):
    """Something the operator has to put right (not a request): what is wrong, and how to fix it.

    Commands print ``message`` and ``fix`` without a traceback and exit with ``exit_code``.
    """

    exit_code = 1

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
