"""A client that knows nothing but the server's address: it learns the services by reflection, then calls them."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.services.serving import ATTACK, connected, serving


class ReflectedClient:
    """Methods of a server, found out by asking it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()

    async def learn(self) -> list[str]:
        """The names of the services, with all their types known from now on."""
        call = reflection_pb2_grpc.ServerReflectionStub(self._channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        names = [service.name for service in (await call.read()).list_services_response.service]
        files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        for name in names:
            await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name))
            for serialized in (await call.read()).file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
                files[file.name] = file
        await call.done_writing()
        for name in list(files):
            self._add(name, files)
        return names

    def _add(self, name: str, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
        file = files.pop(name, None)
        if file is not None:
            for dependency in file.dependency:
                self._add(dependency, files)
            self._pool.Add(file)

    async def call(self, service: str, method: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """The answers to ``requests``, as JSON objects on both sides."""
        found = self._pool.FindServiceByName(service).methods_by_name[method]
        request_type = message_factory.GetMessageClass(found.input_type)
        response_type = message_factory.GetMessageClass(found.output_type)
        path = f"/{service}/{method}"
        sent = [json_format.ParseDict(request, request_type()) for request in requests]
        if not found.client_streaming:
            unary = self._channel.unary_unary(path, request_type.SerializeToString, response_type.FromString)
            return [json_format.MessageToDict(await unary(sent[0]))]
        stream = self._channel.stream_stream(path, request_type.SerializeToString, response_type.FromString)
        return [json_format.MessageToDict(answer) async for answer in stream(iter(sent))]


async def test_a_client_built_from_reflection_alone_calls_every_service() -> None:
    async with serving() as served, connected(served.address) as clients:
        client = ReflectedClient(clients.channel)
        assert {"router.v1.RouterService", "router.v1.GuardrailService"} <= set(await client.learn())
        said = {"conversation": [{"role": "user", "content": "Rain in Oslo?"}], "listener": "travel"}
        [decision] = await client.call("router.v1.RouterService", "Route", said)
        assert (decision["stages"], decision["reason"]) == ([{"routes": ["weather"]}], "ROUTE_REASON_ORCHESTRATOR")
        answers = await client.call(
            "router.v1.RouterService", "RouteStream", *({"id": i, "request": said} for i in "ab")
        )
        assert sorted(answer["id"] for answer in answers) == ["a", "b"]
        check = {"texts": [{"content": ATTACK}], "guards": ["jailbreak"]}
        [verdict] = await client.call("router.v1.GuardrailService", "Check", check)
        assert verdict["outcome"] == "OUTCOME_BLOCK"
        opening = {"open": {"guards": ["jailbreak"]}}
        events = await client.call("router.v1.GuardrailService", "CheckStream", opening, {"delta": "All is well."})
        assert [next(iter(event)) for event in events] == ["released", "finished"]
        [health] = await client.call("grpc.health.v1.Health", "Check", {"service": "router.v1.RouterService"})
        assert health == {"status": "SERVING"}
