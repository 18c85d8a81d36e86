"""The services as gRPC's server wants them: each method runs under ``Calls``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, Protocol

import grpc.aio
from grpc_reflection.v1alpha import reflection_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

from router.context import RequestContext
from router.protos.v1 import (
    guardrail_pb2,
    guardrail_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    router_pb2,
    router_pb2_grpc,
)
from router.services import guardrail_service, model_service, router_service
from router.services.calls import Calls, ServicerContext
from router.services.guardrail_service import GuardrailService
from router.services.model_service import ModelService
from router.services.router_service import RouterService


class _Router(router_pb2_grpc.RouterServiceServicer):
    def __init__(self, service: RouterService, calls: Calls) -> None:
        self._service = service
        self._calls = calls

    async def Route(  # noqa: N802
        self, request: router_pb2.RouteRequest, context: ServicerContext
    ) -> router_pb2.RouteResponse:
        path = f"/{router_service.NAME}/Route"
        return await self._calls.unary(path, self._service.route, request, context, listener=request.listener)

    async def RouteStream(  # noqa: N802
        self, request_iterator: AsyncIterator[router_pb2.RouteStreamRequest], context: ServicerContext
    ) -> AsyncGenerator[router_pb2.RouteStreamResponse, None]:
        path = f"/{router_service.NAME}/RouteStream"
        async with aclosing(self._calls.stream(path, self._service.route_stream, request_iterator, context)) as answers:
            async for answer in answers:
                yield answer


class _Guardrail(guardrail_pb2_grpc.GuardrailServiceServicer):
    def __init__(self, service: GuardrailService, calls: Calls) -> None:
        self._service = service
        self._calls = calls

    async def Check(  # noqa: N802
        self, request: guardrail_pb2.CheckRequest, context: ServicerContext
    ) -> guardrail_pb2.CheckResponse:
        return await self._calls.unary(f"/{guardrail_service.NAME}/Check", self._service.check, request, context)

    async def CheckStream(  # noqa: N802
        self, request_iterator: AsyncIterator[guardrail_pb2.CheckStreamRequest], context: ServicerContext
    ) -> AsyncGenerator[guardrail_pb2.CheckStreamResponse, None]:
        path = f"/{guardrail_service.NAME}/CheckStream"
        async with aclosing(self._calls.stream(path, self._service.check_stream, request_iterator, context)) as events:
            async for event in events:
                yield event


class _Model(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: ModelService, calls: Calls) -> None:
        self._service = service
        self._calls = calls

    async def ListModels(  # noqa: N802
        self, request: model_pb2.ListModelsRequest, context: ServicerContext
    ) -> model_pb2.ListModelsResponse:
        path = f"/{model_service.NAME}/ListModels"
        return await self._calls.unary(path, self._service.list_models, request, context)

    async def ModelStatus(  # noqa: N802
        self, request: model_pb2.ModelStatusRequest, context: ServicerContext
    ) -> model_pb2.ModelStatusResponse:
        path = f"/{model_service.NAME}/ModelStatus"
        return await self._calls.unary(path, self._service.model_status, request, context)


class _Reflection(reflection_aio.ReflectionServicer):  # type: ignore[misc]
    """Server reflection for whoever may call the services."""

    def __init__(self, services: Iterable[str], calls: Calls) -> None:
        super().__init__(service_names=services)
        self._calls = calls

    async def ServerReflectionInfo(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: ServicerContext
    ) -> AsyncGenerator[Any, None]:
        answer_all = super().ServerReflectionInfo

        async def answers(requests: AsyncIterator[Any], call: RequestContext) -> AsyncGenerator[Any, None]:
            async for answer in answer_all(requests, context):
                yield answer

        path = f"/{REFLECTION}/ServerReflectionInfo"
        async with aclosing(self._calls.stream(path, answers, request_iterator, context)) as described:
            async for each in described:
                yield each


class Offered(Protocol):
    """A service whose protos are not ours; reflection does not describe it."""

    @property
    def name(self) -> str:
        """Its full name."""

    def register(self, server: grpc.aio.Server, calls: Calls) -> None:
        """Add it to ``server``."""

    async def close(self) -> None:
        """Let go of what was made for it; calls are over."""


class ServiceSet:
    """The services of one server, those that it has. ``close`` it when all calls are over."""

    def __init__(
        self,
        *,
        router: RouterService | None = None,
        guardrail: GuardrailService | None = None,
        model: ModelService | None = None,
        processor: Offered | None = None,
    ) -> None:
        self._router = router
        self._guardrail = guardrail
        self._model = model
        self._processor = processor

    @property
    def names(self) -> tuple[str, ...]:
        """The full names of the services."""
        offered = (
            (self._router, router_service.NAME),
            (self._guardrail, guardrail_service.NAME),
            (self._model, model_service.NAME),
        )
        own = tuple(name for service, name in offered if service is not None)
        return own if self._processor is None else (*own, self._processor.name)

    async def close(self) -> None:
        """Let go of what services hold."""
        if self._processor is not None:
            await self._processor.close()

    def register(self, server: grpc.aio.Server, calls: Calls) -> None:
        """Add the services, and reflection of them, to ``server``."""
        if self._router is not None:
            router_pb2_grpc.add_RouterServiceServicer_to_server(_Router(self._router, calls), server)
        if self._guardrail is not None:
            guardrail_pb2_grpc.add_GuardrailServiceServicer_to_server(_Guardrail(self._guardrail, calls), server)
        if self._model is not None:
            model_pb2_grpc.add_ModelServiceServicer_to_server(_Model(self._model, calls), server)
        described = [name for name in self.names if self._processor is None or name != self._processor.name]
        if self._processor is not None:
            self._processor.register(server, calls)
        listed = (*described, "grpc.health.v1.Health", REFLECTION)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(_Reflection(listed, calls), server)
