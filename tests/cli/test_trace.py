"""`trident trace`: on a terminal, with pipes, and as a collector of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.cells import cell_len
from rich.console import Console

from router.aio import timeout
from router.cli.instances import Instance, InstanceDirectory, process_start
from router.cli.trace import print_list
from router.cli.trace_view import duration, print_trace, tree_lines
from router.observer.otlp_encoding import OtlpEncoder
from router.observer.trace_queries import as_frames, span_fields
from router.observer.trace_store import StoredTrace
from router.telemetry import semconv
from router.telemetry.tracing import Span
from tests.cli.observed_instance import WITHIN_S, ObservedInstance, observed_instance, request_span, running
from tests.observer.spans import START_NS, TRACE, span


def chat(*, status: int = 200, request_id: str = "req-1", model: str = "gpt-4o") -> Span:
    """A finished request with a guard, a route and a call of a model."""
    root = request_span(
        **{
            semconv.LISTENER: "models",
            semconv.REQUEST_ID: request_id,
            semconv.HTTP_STATUS: status,
            semconv.INPUT_TOKENS: 12,
            semconv.OUTPUT_TOKENS: 34,
            semconv.COST_USD: 0.0021,
        }
    )
    guard = root.child("guardrail jailbreak", "internal", {semconv.OUTCOME: "pass", semconv.GUARD_SCORE: 0.0123})
    guard.end()
    call = root.child(f"chat {model}", "client", {semconv.REQUEST_MODEL: model, semconv.OPERATION: "chat"})
    call.event("tool_result", {semconv.TOOL_NAME: "weather"})
    if status >= 500:
        call.fail("timeout")
        root.fail(str(status))
    call.end()
    root.end()
    return root


async def reported(instance: ObservedInstance, *roots: Span) -> None:
    """Wait until the telemetry process knows these requests."""
    for root in roots:
        instance.report(root)
    wanted = {root.trace_id for root in roots}
    for _ in range(100):
        listed = json.loads(await instance.run("trace", "--list", "--json"))
        if wanted <= {trace["trace_id"] for trace in listed["traces"]}:
            return
    raise AssertionError("traces did not arrive")


async def test_without_a_terminal_a_trace_is_plain_lines(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        root = chat()
        await reported(instance, root)
        head, *lines = (await instance.run("trace")).splitlines()
    assert re.fullmatch(
        rf"trace {root.trace_id}  \d\d:\d\d:\d\d  [\d.]+ ms  3 spans  trident  tokens 12/34  \$0.0021", head
    )
    lines = [re.sub(r" {2,}", "  ", re.sub(r"[\d.]+ ms", "T", line)) for line in lines]
    assert lines == [
        "POST /v1/chat/completions  +T  T  status=200 listener=models cost=$0.0021 tokens=12/34",
        "├─ guardrail jailbreak  +T  T  verdict=pass score=0.0123",
        "└─ chat gpt-4o  +T  T",
        "  · tool_result  +T  gen_ai.tool.name=weather",
    ]


async def test_a_terminal_gets_bars_and_colours(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        root = chat(status=504)
        await reported(instance, root)
        async with instance.running("trace", root.trace_id[:8], terminal=True) as command:
            assert await command.ended() == 0
            assert "━" in command.text
            assert "\x1b[1;31m" in command.raw  # what failed is red
            for text in ("POST /v1/chat/completions", "└─ chat gpt-4o", "error: 504", "error=timeout"):
                assert text in command.text


async def test_json_has_the_summary_and_all_spans(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        root = chat()
        await reported(instance, root)
        found = json.loads(await instance.run("trace", "req-1", "--json"))
    assert (found["trace"]["trace_id"], found["trace"]["cost_usd"]) == (root.trace_id, 0.0021)
    assert [each["name"] for each in found["spans"]] == [each.name for each in root.trace.spans]
    assert found["spans"][2]["parent_id"] == root.span_id


async def test_lists_are_filtered_and_limited(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        good, bad = chat(), chat(status=504, request_id="req-2", model="o3")
        await reported(instance, good, bad)
        both = (await instance.run("trace", "--list")).splitlines()
        assert [line.split()[0] for line in both] == [bad.trace_id, good.trace_id]
        assert "  504  " in both[0]
        assert both[1].endswith("3  models  gpt-4o  12/34")

        async def listed(*options: str) -> list[str]:
            found = json.loads(await instance.run("trace", "--list", "--json", *options))
            return [trace["trace_id"] for trace in found["traces"]]

        assert await listed("--limit", "1") == [bad.trace_id]
        assert await listed("--status", "error") == [bad.trace_id]
        assert await listed("--where", "gen_ai.request.model=gpt-4o", "-w", "trident.guard.outcome~PASS") == [
            good.trace_id
        ]
        assert await listed("--since", "1h") == [bad.trace_id, good.trace_id]
        assert await listed("--model", "o3", "--listener", "models", "--slower", "1us") == [bad.trace_id]
        assert await instance.run("trace", "--list", "--agent", "nobody") == "No traces.\n"


async def test_a_list_on_a_terminal_is_a_table(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        root = chat()
        await reported(instance, root)
        text = await instance.run("trace", "--list", terminal=True)
    assert "ANSWERED BY" in text
    assert root.trace_id[:16] in text
    assert root.trace_id not in text


async def test_traces_are_followed_as_they_come(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        async with instance.running("trace", "--follow", "--json", "-w", "trident.request_id~REQ") as command:
            async with timeout(WITHIN_S):
                while not command.output:  # from when on it follows, only it knows
                    instance.report(chat())
                    await asyncio.sleep(0.1)
            await command.until("\n")
            first = json.loads(command.text.splitlines()[0])
            assert first["spans"][0]["name"] == "POST /v1/chat/completions"
            assert len(first["spans"]) == first["trace"]["spans"] == 3
            assert await command.interrupt() == 0
        assert "Traceback" not in command.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trace", "ffffffff"), "No trace begins with ffffffff"),
        (("trace",), "No trace is here that the filters let through."),
        (("trace", "--list", "-w", "nonsense"), "`nonsense` is not a condition."),
    ],
)
async def test_what_cannot_be_shown_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    async with observed_instance(tmp_path) as instance:
        text = await instance.run(*arguments, status=1)
    assert text.startswith(f"Error: {message}")


async def test_wrong_usage_is_told_apart(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        assert "is not a time" in await instance.run("trace", "--since", "soon", status=2)
        assert "Give ID, or --list, or --follow." in await instance.run("trace", "4bf", "--list", status=2)


async def test_without_an_instance_the_way_to_one_is_told(tmp_path: Path) -> None:
    async with running("trace", f"--state-dir={tmp_path}") as command:
        assert await command.ended() == 1
    assert command.text == (
        "Error: No instance runs.\n  Fix: Start one with `trident up`, or name its state folder with --state-dir.\n"
    )


async def test_of_several_instances_one_is_named(tmp_path: Path) -> None:
    async with observed_instance(tmp_path) as instance:
        await reported(instance, chat())
        other = Instance(os.getppid(), process_start(os.getppid()), "/etc/other.yaml", workers=1, stop_within_s=1)
        InstanceDirectory(instance.state_dir).record(other)
        assert "Several instances run" in await instance.run("trace", status=1)
        assert "chat gpt-4o" in await instance.run("trace", "--config", str(instance.config))
        assert "No instance runs with missing.yaml" in await instance.run("trace", "-c", "missing.yaml", status=1)


async def test_an_instance_without_its_telemetry_process_is_reported(tmp_path: Path) -> None:
    alone = Instance(os.getpid(), process_start(os.getpid()), str(tmp_path / "c.yaml"), workers=1, stop_within_s=1)
    InstanceDirectory(tmp_path).record(alone)
    async with running("trace", f"--state-dir={tmp_path}") as command:
        assert await command.ended() == 1
    assert command.text.startswith("Error: The telemetry process of this instance does not answer.")


# The collector in the foreground


async def test_spans_of_any_program_are_printed_as_they_come() -> None:
    encoder = OtlpEncoder({"service.name": "planner"})
    root = span("plan", span_id="a" * 16, attributes={"city": "Oslo"}, error="boom")
    body = encoder.trace_request(
        [encoder.span(root), encoder.span(span("call", parent=root.span_id, start_ms=1, ms=5))]
    )
    async with running("trace", "listen", "--port", "0", "--http-port", "0") as command:
        said = await command.until("Ctrl-C ends it.")
        match = re.search(r"HTTP on (http://127.0.0.1:\d+)", said)
        assert match is not None
        async with (
            aiohttp.ClientSession(headers={"Content-Type": "application/x-protobuf"}) as session,
            session.post(f"{match[1]}/v1/traces", data=body) as response,
        ):
            assert response.status == 200
        text = await command.until("└─ call")
        assert f"trace {TRACE}" in text
        assert "error: boom" in text
        assert "city=Oslo" in text
        assert await command.interrupt() == 0


async def test_a_port_that_is_taken_is_the_operators_to_free() -> None:
    async with running("trace", "listen", "--grpc-port", "0", "--http-port", "0") as first:
        said = await first.until("Ctrl-C ends it.")
        match = re.search(r"HTTP on http://127.0.0.1:(\d+)", said)
        assert match is not None
        async with running("trace", "listen", "--grpc-port", "0", "--http-port", match[1]) as second:
            assert await second.ended() == 1
        assert second.text.startswith(f"Error: The collector cannot listen on 127.0.0.1:{match[1]}.")


# The tree


def lines_of(*spans: Any, verbose: bool = False) -> list[tuple[str, str]]:
    return [(line.prefix, line.name) for line in tree_lines([span_fields(each) for each in spans], verbose=verbose)]


def test_children_stand_below_their_parents_by_start() -> None:
    root = span("root", span_id="1" * 16)
    late = span("late", span_id="2" * 16, parent=root.span_id, start_ms=5)
    early = span("early", span_id="3" * 16, parent=root.span_id, start_ms=1)
    below = span("below", parent=early.span_id, start_ms=2, events=[(START_NS, "event", {})])
    assert lines_of(late, below, early, root) == [
        ("", "root"),
        ("├─ ", "early"),
        ("│  └─ ", "below"),
        ("│       · ", "event"),
        ("└─ ", "late"),
    ]


def test_spans_whose_parents_are_elsewhere_stand_for_themselves() -> None:
    assert lines_of(span("b", parent="f" * 16, start_ms=2), span("a")) == [("", "a"), ("", "b")]


def test_spans_that_are_their_own_ancestors_do_not_go_on_for_ever() -> None:
    itself = span("itself", span_id="1" * 16, parent="1" * 16)
    one, other = span("one", span_id="2" * 16, parent="3" * 16), span("other", span_id="3" * 16, parent="2" * 16)
    assert lines_of(itself, one, other) == [("", "itself"), ("", "one"), ("└─ ", "other")]


def test_a_deep_trace_is_shown() -> None:
    spans = [span("0", span_id=f"{1:016x}")]
    spans += [span(str(n), span_id=f"{n + 1:016x}", parent=f"{n:016x}", start_ms=n) for n in range(1, 1500)]
    assert len(lines_of(*spans)) == 1500


def test_verbose_shows_every_attribute() -> None:
    fields = [span_fields(span("x", attributes={"b": "2", "a": "1", "c": "3", "d": "4", "e": "5"}))]
    (compact,), (whole,) = tree_lines(fields), tree_lines(fields, verbose=True)
    assert [key for key, _ in compact.details] == ["b", "a", "c", "d"]
    assert [key for key, _ in whole.details] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(0.004, "0.00 ms"), (0.42, "0.42 ms"), (12.34, "12.3 ms"), (1520, "1.52 s")]
)
def test_durations_are_read_at_a_glance(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


@pytest.mark.parametrize("width", [40, 60, 79, 100])
def test_on_a_narrow_terminal_names_and_times_have_the_room(width: int) -> None:
    root = span("root")
    trace = StoredTrace(TRACE)
    for each in (root, *(span(f"chat 日本語モデル-{number}", parent=root.span_id) for number in range(300))):
        trace.add(each)
    head, *rest = as_frames(trace)
    shown = io.StringIO()
    console = Console(force_terminal=True, width=width, file=shown, color_system=None)
    print_trace(console, head["trace"], [frame["span"] for frame in rest])
    _, *lines = shown.getvalue().splitlines()
    assert len(lines) == len(trace.spans)
    assert all(cell_len(line) <= width and " ms" in line for line in lines)
    assert all("日本語" in line for line in lines[1:])
    assert ("━" in lines[0]) == (width >= 80)


def test_a_list_has_no_columns_of_single_letters() -> None:
    shown = io.StringIO()
    summary = {
        "trace_id": "a" * 32,
        "started_ns": 1,
        "duration_ms": 3.0,
        "spans": 2,
        "error": None,
        "name": "POST /v1/chat/completions",
        "agents": ["weather"],
        "models": ["gpt-4o"],
        "listener": "models",
        "status": 200,
    }
    print_list(Console(force_terminal=True, width=60, file=shown, color_system=None), [summary])
    [line] = shown.getvalue().splitlines()
    assert "POST /v1/chat/completions  200  3.0 ms  2  models  weather,gpt-4o" in line
