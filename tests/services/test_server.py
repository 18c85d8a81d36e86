"""The gRPC server: who may call, how much, how long; health, reflection, TLS and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from router.config.access import ApiKey
from router.errors import OperatorError
from router.protos.v1 import guardrail_pb2, model_pb2, router_pb2
from router.services.calls import CallLimits
from router.services.server import ServerTls
from router.telemetry import semconv
from tests.fakes.triton import FakeTriton
from tests.services.certificates import Certificates
from tests.services.serving import Served, connected, details, reason, serving, until

SECRET = "a-key-that-is-long-enough"
EVERYTHING = ApiKey(name="everything", key=SECRET)
STATUS = health_pb2.HealthCheckResponse
RAIN = router_pb2.RouteRequest(
    conversation=[router_pb2.Message(role="user", content="Rain in Oslo?")], listener="travel"
)
HELLO = guardrail_pb2.CheckRequest(texts=[guardrail_pb2.Text(content="Hello.")], guards=["jailbreak"])


def bearer(key: str = SECRET) -> Sequence[tuple[str, str]]:
    return (("authorization", f"Bearer {key}"),)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error: grpc.aio.AioRpcError = raised.value
    return error


@pytest.mark.parametrize("metadata", [bearer(), (("x-api-key", SECRET),), (("api-key", SECRET),)])
async def test_a_known_key_is_served_from_wherever_http_takes_it(metadata: Sequence[tuple[str, str]]) -> None:
    async with serving(keys=[EVERYTHING]) as served, connected(served.address) as clients:
        await clients.router.Route(RAIN, metadata=metadata)
        assert served.lines.entries[0]["key"] == "everything"


@pytest.mark.parametrize("metadata", [(), bearer("not-" + SECRET), (("authorization", SECRET),)])
async def test_without_a_known_key_no_method_answers(metadata: Sequence[tuple[str, str]]) -> None:
    async with serving(keys=[EVERYTHING]) as served, connected(served.address) as clients:
        calls = [
            clients.router.Route(RAIN, metadata=metadata),
            clients.guardrail.Check(HELLO, metadata=metadata),
            clients.model.ListModels(model_pb2.ListModelsRequest(), metadata=metadata),
            clients.router.RouteStream(metadata=metadata).read(),
            clients.guardrail.CheckStream(metadata=metadata).read(),
            reflection_pb2_grpc.ServerReflectionStub(clients.channel).ServerReflectionInfo(metadata=metadata).read(),
        ]
        for call in calls:
            error = await failure(call)
            assert (error.code(), reason(error)) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")
        assert served.orchestrator.asked == []
        assert SECRET not in repr(served.lines.entries)


async def test_a_key_for_one_listener_gets_its_decisions_and_nothing_else() -> None:
    key = ApiKey(name="travel", key=SECRET, listeners=("travel",))
    async with serving(keys=[key]) as served, connected(served.address) as clients:
        await clients.router.Route(RAIN, metadata=bearer())
        error = await failure(clients.guardrail.Check(HELLO, metadata=bearer()))
        assert (error.code(), reason(error)) == (grpc.StatusCode.PERMISSION_DENIED, "LISTENER_NOT_ALLOWED")


async def test_the_rate_limit_of_a_key_holds_here_too() -> None:
    key = ApiKey(name="limited", key=SECRET, rate_limit={"requests": 1, "unit": "hour"})
    async with serving(keys=[key]) as served, connected(served.address) as clients:
        call = clients.router.Route(RAIN, metadata=bearer())
        await call
        assert ("x-ratelimit-remaining-requests", "0") in list(await call.trailing_metadata())
        error = await failure(clients.guardrail.Check(HELLO, metadata=bearer()))
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT_EXCEEDED")
        [retry] = [each for each in details(error) if isinstance(each, error_details_pb2.RetryInfo)]
        assert 0 < retry.retry_delay.seconds <= 3600


async def test_a_deadline_of_the_client_ends_the_work(served_slowly: Served) -> None:
    async with connected(served_slowly.address) as clients:
        error = await failure(clients.router.Route(RAIN, timeout=0.2))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: served_slowly.lines.entries)
        assert served_slowly.lines.entries[0]["status"] in (499, 504)


async def test_a_call_without_a_deadline_gets_the_server_s() -> None:
    async with serving(limits=CallLimits(timeout_s=0.1)) as served, connected(served.address) as clients:
        served.classifier.hold = asyncio.Event()
        error = await failure(clients.guardrail.Check(HELLO))
        assert (error.code(), reason(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT")
        await until(lambda: served.lines.entries)
        assert served.lines.entries[0]["status"] == 504


async def test_a_stream_is_bounded_in_time() -> None:
    async with serving(limits=CallLimits(stream_timeout_s=0.1)) as served, connected(served.address) as clients:
        error = await failure(clients.router.RouteStream().read())
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_cancels_ends_the_work(served_slowly: Served) -> None:
    async with connected(served_slowly.address) as clients:
        waiting = asyncio.ensure_future(_answer(clients.router.Route(RAIN)))
        await until(lambda: served_slowly.orchestrator.asked)
        waiting.cancel()
        await until(lambda: served_slowly.lines.entries)
        assert served_slowly.lines.entries[0]["status"] == 499


async def test_no_more_calls_are_served_than_allowed() -> None:
    async with serving(limits=CallLimits(max_concurrent=1)) as served, connected(served.address) as clients:
        hold = served.orchestrator.hold = asyncio.Event()
        first = asyncio.ensure_future(_answer(clients.router.Route(RAIN)))
        await until(lambda: served.orchestrator.asked)
        error = await failure(clients.router.Route(RAIN))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        hold.set()
        assert (await first).reason == router_pb2.ROUTE_REASON_ORCHESTRATOR
        await clients.router.Route(RAIN)


async def test_a_message_that_is_too_large_is_refused() -> None:
    async with serving(max_message_bytes=1000) as served, connected(served.address) as clients:
        large = guardrail_pb2.CheckRequest(texts=[guardrail_pb2.Text(content="a" * 2000)], guards=["jailbreak"])
        assert (await failure(clients.guardrail.Check(large))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert served.classifier.asked == []


@pytest.mark.parametrize(("given", "kept"), [("order-17/a", True), ("a b", False), ("x" * 129, False)])
async def test_every_call_has_an_id_a_line_and_a_count(given: str, kept: bool) -> None:
    async with serving() as served, connected(served.address) as clients:
        call = clients.router.Route(RAIN, metadata=(("x-request-id", given),))
        await call
        await until(lambda: served.lines.entries)
        [entry] = served.lines.entries
        assert (entry["request_id"] == given) is kept
        assert ("x-request-id", entry["request_id"]) in list(await call.trailing_metadata())
        assert (entry["listener"], entry["path"], entry["status"]) == ("grpc", "/router.v1.RouterService/Route", 200)
        assert (entry["route"], entry["reason"]) == (("weather",), "orchestrator")
        assert served.recorded.count(semconv.REQUESTS, "grpc", "2xx") == 1


async def test_an_error_of_ours_tells_the_client_nothing_but_that(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, connected(served.address) as clients:
        served.orchestrator.scores = None  # type: ignore[assignment]  # a defect, as far as the server can tell
        error = await failure(clients.router.Route(RAIN))
        assert (error.code(), reason(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
        assert "NoneType" not in (error.details() or "")
        assert "call failed" in caplog.messages


async def test_health_follows_the_models_and_needs_no_key() -> None:
    async with serving(keys=[EVERYTHING]) as served, connected(served.address) as clients:
        health: Any = health_pb2_grpc.HealthStub(clients.channel)
        for name in ("", "router.v1.RouterService", "router.v1.GuardrailService", "router.v1.ModelService"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == STATUS.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(service="router.v1.RouterService"))
        assert (await watch.read()).status == STATUS.SERVING
        served.missing.append("orchestrator")
        assert (await watch.read()).status == STATUS.NOT_SERVING
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == STATUS.SERVING
        error = await failure(health.Check(health_pb2.HealthCheckRequest(service="unknown")))
        assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_of_one_service_do_not_need_each_other() -> None:
    async with serving() as served, connected(served.address) as clients:
        health: Any = health_pb2_grpc.HealthStub(clients.channel)
        request = health_pb2.HealthCheckRequest(service="router.v1.RouterService")
        leaving, staying = health.Watch(request), health.Watch(request)
        for watch in (leaving, staying):
            assert (await watch.read()).status == STATUS.SERVING
        leaving.cancel()
        served.missing.append("orchestrator")
        assert (await staying.read()).status == STATUS.NOT_SERVING
        unknown = health.Watch(health_pb2.HealthCheckRequest(service="unknown"))
        assert (await unknown.read()).status == STATUS.SERVICE_UNKNOWN


async def test_servers_that_share_a_port_share_the_calls() -> None:
    async with serving(reuse_port=True) as first, serving(reuse_port=True, port=first.server.port) as second:
        assert first.server.port == second.server.port
        for _ in range(100):
            async with connected(first.address) as clients:
                await clients.router.Route(RAIN)
            if first.lines.entries and second.lines.entries:
                return
    pytest.fail("one of them got every call")


async def test_reflection_lists_what_is_served() -> None:
    async with serving() as served, connected(served.address) as clients:
        call = reflection_pb2_grpc.ServerReflectionStub(clients.channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        names = {service.name for service in (await call.read()).list_services_response.service}
        assert names == {
            "router.v1.RouterService",
            "router.v1.GuardrailService",
            "router.v1.ModelService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


async def test_a_server_with_a_certificate_speaks_tls_only(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = ServerTls(certificates.server.cert, certificates.server.key)
    async with serving(tls=tls) as served:
        async with connected(f"localhost:{served.server.port}", certificates.credentials()) as clients:
            assert (await clients.router.Route(RAIN)).reason == router_pb2.ROUTE_REASON_ORCHESTRATOR
        async with connected(served.address) as clients:
            assert (await failure(clients.router.Route(RAIN))).code() is grpc.StatusCode.UNAVAILABLE


async def test_where_clients_need_certificates_others_do_not_get_in(tmp_path: Path) -> None:
    certificates, strangers = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs")
    tls = ServerTls(certificates.server.cert, certificates.server.key, certificates.ca)
    async with serving(tls=tls) as served:
        address = f"localhost:{served.server.port}"
        async with connected(address, certificates.credentials(client=True)) as clients:
            await clients.router.Route(RAIN)
        own = (strangers.client.key.read_bytes(), strangers.client.cert.read_bytes())
        for credentials in (
            certificates.credentials(),
            grpc.ssl_channel_credentials(certificates.ca.read_bytes(), *own),
        ):
            async with connected(address, credentials) as clients:
                assert (await failure(clients.router.Route(RAIN))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_cannot_be_read_is_for_the_operator(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        async with serving(tls=ServerTls(tmp_path / "none.pem", tmp_path / "none.key")):
            pytest.fail("it has started")


async def test_a_port_that_is_taken_is_for_the_operator() -> None:
    async with serving() as served:
        with pytest.raises(OperatorError, match="cannot bind"):
            async with serving(port=served.server.port):
                pytest.fail("it has started")


async def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    async with serving() as served, connected(served.address) as clients:
        hold = served.orchestrator.hold = asyncio.Event()
        health: Any = health_pb2_grpc.HealthStub(clients.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == STATUS.SERVING
        running = asyncio.ensure_future(_answer(clients.router.Route(RAIN)))
        await until(lambda: served.orchestrator.asked)
        draining = asyncio.ensure_future(served.server.drain())
        assert (await watch.read()).status == STATUS.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF  # nobody who only watches holds up the end
        hold.set()
        assert (await running).reason == router_pb2.ROUTE_REASON_ORCHESTRATOR
        await draining
        async with connected(served.address) as others:
            assert (await failure(others.router.Route(RAIN))).code() is grpc.StatusCode.UNAVAILABLE


async def test_what_does_not_finish_in_time_is_cut_off() -> None:
    async with serving(drain_timeout_s=0.1) as served, connected(served.address) as clients:
        served.orchestrator.hold = asyncio.Event()
        running = asyncio.ensure_future(_answer(clients.router.Route(RAIN)))
        await until(lambda: served.orchestrator.asked)
        await served.server.drain()
        with pytest.raises(grpc.aio.AioRpcError):
            await running


async def test_models_are_listed_with_what_triton_says() -> None:
    async with FakeTriton() as triton:
        triton.orchestrator(lambda conversation, routes: [0.5] * len(routes))
        triton.classifier("jailbreak", ["benign", "jailbreak"], lambda text: [1.0, 0.0]).ready = False
        async with serving(triton_url=triton.address) as served, connected(served.address) as clients:
            listed = (await clients.model.ListModels(model_pb2.ListModelsRequest())).models
            assert [(model.name, model.state, model.required) for model in listed] == [
                ("jailbreak", model_pb2.MODEL_STATE_UNAVAILABLE, False),
                ("orchestrator", model_pb2.MODEL_STATE_READY, True),
            ]
            assert listed[0].detail == "unloaded"
            ready = (await clients.model.ListModels(model_pb2.ListModelsRequest(ready_only=True))).models
            assert [model.name for model in ready] == ["orchestrator"]
            status = await clients.model.ModelStatus(model_pb2.ModelStatusRequest(name="orchestrator"))
            assert (status.ready, [tensor.name for tensor in status.outputs]) == (True, ["SCORES", "ORDER"])
            assert not (await clients.model.ModelStatus(model_pb2.ModelStatusRequest(name="jailbreak"))).ready
            error = await failure(clients.model.ModelStatus(model_pb2.ModelStatusRequest(name="other")))
            assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
            await triton.kill()
            error = await failure(clients.model.ListModels(model_pb2.ListModelsRequest()))
            assert (error.code(), reason(error)) == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")


@pytest_asyncio.fixture
async def served_slowly() -> AsyncIterator[Served]:
    async with serving() as served:
        served.orchestrator.hold = asyncio.Event()
        yield served


async def _answer(call: Any) -> Any:
    return await call
