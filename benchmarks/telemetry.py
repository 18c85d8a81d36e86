"""What telemetry costs: the same gateway with everything recorded and exported, and with nothing.

python benchmarks/telemetry.py [--rounds 5] [--seconds 3] [--limit 0.85] [--spread]

Both gateways run all the time on one core, the telemetry process of each included, the load generator, the mock agent
and a collector on the other; with ``--spread`` nothing is pinned. They take turns in every scenario; a ratio is that of
the requests per second of one round. Prints one line of JSON, with the share of spans that reached the collector; exits
with 1 when the median ratio of a scenario is below ``--limit``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from statistics import median
from typing import Any

from benchmarks.measurement import Scenario
from benchmarks.otlp_sink import PORT as SINK_PORT
from benchmarks.targets import DIRECT, FOLDER, STATE, Cores, Target, TargetError, pinned, running

SCENARIOS = (Scenario("json", 16), Scenario("json", 64), Scenario("stream", 16), Scenario("stream", 64))
WARMUP_S = 0.5
SPANS_PER_REQUEST = 2  # the request, and the try at its provider


def _target(name: str, port: int) -> Target:
    command = (sys.executable, "-m", "router", "up", str(FOLDER / "config" / f"{name}.yaml"), "--state-dir", str(STATE))
    return Target(name, name, port, command)


ON, OFF = _target("telemetry-on", 9116), _target("telemetry-off", 9117)


def load(target: Target, scenario: Scenario, seconds: float, core: int | None) -> dict[str, Any]:
    """One run of the generator."""
    command = [
        sys.executable,
        str(FOLDER / "load.py"),
        f"--port={target.port}",
        f"--concurrency={scenario.concurrency}",
        f"--seconds={seconds}",
        f"--warmup={WARMUP_S}",
        "--start=0",
        *(["--stream"] if scenario.kind == "stream" else []),
    ]
    done = subprocess.run(pinned(tuple(command), core), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise TargetError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"]:
        raise TargetError(f"{target.name}: {result['first_error']}")
    return result


def spans_received() -> int:
    """How many spans the collector has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{SINK_PORT}/stats", timeout=60) as response:
        return int(json.loads(response.read())["spans"])


def settled_spans() -> int:
    """The spans of the collector once no more come."""
    before, now = -1, spans_received()
    while now != before:
        time.sleep(3)
        before, now = now, spans_received()
    return now


def measure(*, rounds: int, seconds: float, cores: Cores) -> dict[str, Any]:
    """Start everything, measure, stop everything. Raises ``TargetError``."""
    sink = subprocess.Popen(pinned((sys.executable, str(FOLDER / "otlp_sink.py")), cores.load))
    ratios: dict[str, list[float]] = {scenario.name: [] for scenario in SCENARIOS}
    rates: dict[str, list[tuple[float, float]]] = {scenario.name: [] for scenario in SCENARIOS}
    asked = 0
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(running(DIRECT, cores.load))
            processes = {target: stack.enter_context(running(target, cores.target)) for target in (ON, OFF)}
            for number in range(rounds):
                for scenario in SCENARIOS:
                    done = {}
                    for target in (ON, OFF) if number % 2 else (OFF, ON):
                        done[target] = load(target, scenario, seconds, cores.load)
                    asked += done[ON]["all_requests"]
                    on, off = done[ON]["requests_per_s"], done[OFF]["requests_per_s"]
                    ratios[scenario.name].append(round(on / off, 3))
                    rates[scenario.name].append((round(on), round(off)))
                    print(f"round {number} {scenario.name}: {on:.0f} / {off:.0f} = {on / off:.3f}", file=sys.stderr)
            received = settled_spans()
            memory = {target.name: processes[target].rss_mb() for target in (ON, OFF)}
    finally:
        sink.terminate()
        sink.wait()
    return {
        "pinned": cores.target is not None,
        "ratio": {name: round(median(values), 3) for name, values in ratios.items()},
        "ratios": ratios,
        "rps_on_off": rates,
        "spans_exported": round(received / (asked * SPANS_PER_REQUEST), 3),
        "rss_mb": {name: {part: round(value) for part, value in parts.items()} for name, parts in memory.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--limit", type=float, default=0.85)
    parser.add_argument("--spread", action="store_true", help="pin nothing")
    arguments = parser.parse_args()
    cores = Cores(None, None) if arguments.spread else Cores.available()
    try:
        report = measure(rounds=arguments.rounds, seconds=arguments.seconds, cores=cores)
    except TargetError as exc:
        print(exc, file=sys.stderr)
        return 2
    print(json.dumps(report), flush=True)
    return 0 if min(report["ratio"].values()) >= arguments.limit else 1


if __name__ == "__main__":
    raise SystemExit(main())
