"""``make bench``: what Trident costs, measured in one run against the agent behind it and against the floor.

python benchmarks/run.py [--quick] [--only direct,floor,single,models,orchestrated] [--rounds 3]

Targets run all the time on one core, the load generator and the mock agent on another. Each round measures every target
in every scenario; the order of the targets changes from round to round, and the results are medians over the rounds. A
complete run writes ``results.json`` and the results of README.md; --quick and --only print only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from benchmarks import machine, report
from benchmarks.load import PREPARED
from benchmarks.measurement import Measurement, Scenario, summary
from benchmarks.prompts import Dialect
from benchmarks.targets import (
    DIRECT,
    FOLDER,
    MODELS,
    ORCHESTRATED,
    TARGETS,
    Cores,
    Process,
    Target,
    TargetError,
    mock_answered,
    pinned,
    running,
    triton_address,
)

SCENARIOS = tuple(Scenario(kind, concurrency) for kind in ("json", "stream") for concurrency in (1, 16, 64))
QUICK_SCENARIOS = (Scenario("json", 1), Scenario("json", 16), Scenario("stream", 1))
WARMUP_S = 0.5
GENERATOR_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how often, and for how long each time."""

    targets: tuple[Target, ...]
    scenarios: tuple[Scenario, ...]
    rounds: int
    seconds: float

    @property
    def complete(self) -> bool:
        return self.targets == TARGETS and self.scenarios == SCENARIOS


class Bench:
    """One run over running targets."""

    def __init__(self, plan: Plan, processes: dict[str, Process], cores: Cores) -> None:
        self._plan = plan
        self._processes = processes
        self._cores = cores
        self._next_prompt = 0

    def measure(self) -> Iterator[Measurement]:
        """Every measurement of every round, as it is made."""
        for number in range(self._plan.rounds):
            shift = number % len(self._plan.targets)
            order = self._plan.targets[shift:] + self._plan.targets[:shift]
            for scenario in self._plan.scenarios:
                for target in order:
                    yield self._load(target, scenario, number)
                    if target is MODELS:
                        yield self._load(target, scenario, number, dialect="messages")
                if ORCHESTRATED in order and scenario.kind == "json":
                    yield self._models_alone(scenario, number)
                    yield self._load(ORCHESTRATED, scenario, number, same=True)

    def _load(
        self, target: Target, scenario: Scenario, number: int, *, same: bool = False, dialect: Dialect = "chat"
    ) -> Measurement:
        start = self._fresh_prompts() if target is ORCHESTRATED and not same else 0
        arguments = [f"--port={target.port}", f"--dialect={dialect}", *self._common(scenario, start)]
        arguments += [] if target.key is None else [f"--key={target.key}"]
        arguments += ["--stream"] if scenario.kind == "stream" else []
        arguments += ["--same"] if same else []
        process = self._processes[target.name]
        cpu_before, asked_before = process.cpu_s(), mock_answered()
        result = _generate("load.py", arguments, self._cores.load)
        cpu_after, asked = process.cpu_s(), mock_answered() - asked_before
        count = max(result["all_requests"], 1)
        variant = "-same" if same else "" if dialect == "chat" else f"-{dialect}"
        return Measurement(
            target=target.name + variant,
            scenario=scenario,
            round=number,
            result=result,
            cpu_ms={part: round((cpu_after[part] - cpu_before[part]) * 1000 / count, 3) for part in cpu_after},
            rss_mb={part: round(value, 1) for part, value in process.rss_mb().items()},
            agent_calls=round(asked / count, 3),
        )

    def _models_alone(self, scenario: Scenario, number: int) -> Measurement:
        """Triton asked from the core of the gateway, as the gateway asks it."""
        arguments = [f"--url={triton_address()}", *self._common(scenario, self._fresh_prompts())]
        result = _generate("triton_alone.py", arguments, self._cores.target)
        return Measurement(target="triton", scenario=scenario, round=number, result=result)

    def _fresh_prompts(self) -> int:
        """The first of the prompts that no measurement has used yet."""
        start = self._next_prompt
        self._next_prompt += PREPARED
        return start

    def _common(self, scenario: Scenario, start: int) -> list[str]:
        return [
            f"--concurrency={scenario.concurrency}",
            f"--seconds={self._plan.seconds}",
            f"--warmup={WARMUP_S}",
            f"--start={start}",
        ]


def _generate(script: str, arguments: Sequence[str], core: int | None) -> dict[str, Any]:
    """Run a generator and read its line."""
    command = pinned((sys.executable, str(FOLDER / script), *arguments), core)
    done = subprocess.run(command, capture_output=True, text=True, timeout=GENERATOR_LIMIT_S, check=False)
    if done.returncode != 0:
        raise TargetError(f"{script} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def run(plan: Plan) -> int:
    """Start the targets, measure, print; the exit status: 1 when an answer was wrong or missing."""
    cores = Cores.available()
    if cores.target is None:
        print("Fewer than two cores, or no taskset: nothing is pinned, compare ratios with care.\n")
    with contextlib.ExitStack() as stack:
        processes = {DIRECT.name: stack.enter_context(running(DIRECT, cores.load))}
        for target in plan.targets:
            if target is not DIRECT:
                print(f"starting {target.name} ({target.title})", flush=True)
                processes[target.name] = stack.enter_context(running(target, cores.target))
        measurements = []
        for measurement in Bench(plan, processes, cores).measure():
            measurements.append(measurement)
            print(report.progress(measurement), flush=True)
    results = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine.describe(),
        "pinned": cores.target is not None,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "summary": summary(measurements),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    text = report.markdown(results, measurements)
    print(f"\n{text}")
    failed = [measurement for measurement in measurements if measurement.result["errors"]]
    for measurement in failed:
        print(f"errors: {report.progress(measurement)}: {measurement.result['first_error']}", file=sys.stderr)
    if plan.complete and not failed:
        (FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        report.update_readme(FOLDER / "README.md", text)
        print("written to benchmarks/results.json and benchmarks/README.md")
    return 1 if failed else 0


def read_arguments(arguments: Sequence[str]) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of three scenarios")
    parser.add_argument("--only", help="targets, separated by commas")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args(arguments)
    wanted = given.only.split(",") if given.only else [target.name for target in TARGETS]
    unknown = set(wanted) - {target.name for target in TARGETS}
    if unknown:
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}")
    return Plan(
        targets=tuple(target for target in TARGETS if target.name in wanted),
        scenarios=QUICK_SCENARIOS if given.quick else SCENARIOS,
        rounds=given.rounds or (1 if given.quick else 3),
        seconds=given.seconds or (1.0 if given.quick else 2.5),
    )


if __name__ == "__main__":
    try:
        sys.exit(run(read_arguments(sys.argv[1:])))
    except TargetError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
