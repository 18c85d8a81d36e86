"""A server of the KServe protocol without Triton's extensions: of its models, only signatures are known."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from router.errors import ModelUnavailable
from router.triton.client import TritonClient


class PlainServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """One model, and no configuration of it to be had."""

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name != "orchestrator":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=["7"], platform="custom")
        answer.inputs.add(name="CONVERSATION", datatype="BYTES", shape=[-1, 1])
        return answer


async def test_a_configuration_that_nobody_tells_has_the_signature_and_defaults() -> None:
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(PlainServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = TritonClient(f"127.0.0.1:{port}")
    try:
        config = await client.model_config("orchestrator", 5.0)
        assert [tensor.name for tensor in config.inputs] == ["CONVERSATION"]
        assert (config.labels, config.threshold, config.max_batch_size) == ((), 0.5, 0)
        with pytest.raises(ModelUnavailable, match="is not being served"):
            await client.model_config("other", 5.0)
    finally:
        await client.close()
        await server.stop(None)
