"""docker-compose.yaml: what it starts, in which order, and what it lets nobody do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from tests.docker.dockerfile import stages

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ALWAYS = {"gateway", "otel-collector", "jaeger", "prometheus", "grafana"}
PROFILES = {
    "gpu": {"triton"},
    "cpu": {"triton-cpu"},
    "demo": {"weather-agent", "flight-agent"},
    "microservices": {"router", "guardrail"},
}
VARIABLE = re.compile(r"\$\{(\w+)(:[-?][^}]*)?\}")
KEY = "a-key-of-more-than-twenty-characters"
by_service = pytest.mark.parametrize("name", sorted(SERVICES))


def resolved(text: str) -> str:
    """``text`` with the value of every variable where nothing is set but what has to be."""
    return VARIABLE.sub(lambda match: KEY if match[2].startswith(":?") else (match[2] or ":-")[2:], text)


def test_the_file_is_one_by_the_compose_specification() -> None:
    compose = PyCompose.from_json(json.dumps(yaml.safe_load(resolved(FILE.read_text()))))
    compose.validate()  # networks, volumes and secrets that services refer to
    assert len(compose) == len(SERVICES)


def test_profiles_say_what_runs_beside_the_gateway() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" not in service} == ALWAYS
    for profile, names in PROFILES.items():
        assert {name for name, service in SERVICES.items() if profile in service.get("profiles", [])} == names


@by_service
def test_a_service_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"} & set(service)
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    mounted = [str(volume) for volume in service.get("volumes", [])]
    assert not any("docker.sock" in volume or volume.startswith("/") for volume in mounted)


@by_service
def test_a_service_runs_without_rights(name: str) -> None:
    service = SERVICES[name]
    user = service["user"] if "build" not in service else stages()[service["build"]["target"]].user
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)


@by_service
def test_a_service_has_a_pinned_image_and_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert service["healthcheck"]["test"][0] == "CMD"
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        stage = stages()[service["build"]["target"]]
        assert service["image"].startswith(f"trident/{stage.name}:")
        # Compose may know of more that has to be ready: the listeners of its configuration.
        assert service["healthcheck"]["test"][1 : 1 + len(stage.health)] == stage.health


def test_the_order_of_the_start_is_by_health() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy", name
            assert "healthcheck" in SERVICES[other], name
            # Only those that are always there may be required.
            assert how.get("required", True) == (other in ALWAYS), (name, other)


def test_ports_are_published_on_loopback_only_unless_somebody_says_otherwise() -> None:
    ports = {port for service in SERVICES.values() for port in service.get("ports", [])}
    assert len(ports) == 5
    for port in ports:
        assert re.fullmatch(r"\$\{TRIDENT_BIND:-127\.0\.0\.1\}:\d+:\d+", port), port


def test_the_inner_network_has_no_way_out_and_publishes_nothing() -> None:
    assert COMPOSE["networks"]["backend"]["internal"] is True
    outside = {name for name, service in SERVICES.items() if "edge" in service["networks"]}
    assert outside == {"gateway", "triton", "jaeger", "prometheus", "grafana"}
    assert {name for name, service in SERVICES.items() if service.get("ports")} == outside - {"triton"}


def test_volumes_are_declared_and_used() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    named = {volume.split(":")[0] for volume in mounts if isinstance(volume, str) and not volume.startswith("./")}
    assert named == set(COMPOSE["volumes"])
    for source in (volume.split(":")[0] for volume in mounts if isinstance(volume, str) and volume.startswith("./")):
        assert (ROOT / source).exists(), source


def test_settings_are_the_environment_s_and_secrets_have_no_value_here() -> None:
    used = dict(VARIABLE.findall(FILE.read_text()))
    example = (ROOT / "docker" / "env.example").read_text()
    offered = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    # The rest has a default that nobody needs to know of.
    assert set(used) - offered == {"LOG_LEVEL", "HF_HUB_OFFLINE", "TRIDENT_MODELS"}
    assert used.pop("TRIDENT_API_KEY").startswith(":?")
    assert all(default.startswith(":-") for default in used.values())
    for name in ("TRIDENT_API_KEY", "HF_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        assert re.search(rf"^{name}=$", example, re.MULTILINE), name
        assert used.get(name, ":-") == ":-"


def test_the_linter_of_compose_files_finds_nothing_serious() -> None:
    """OWASP's and CIS' rules; digests of images are left to whoever runs them (docs/deployment.md)."""
    linter = shutil.which("compose-lint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert linter is not None, "compose-lint is not installed; it is in the development group"
    done = subprocess.run(
        [linter, "check", "--format", "json", str(FILE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert set(re.findall(r"CL-\d{4}", done.stdout)) <= {"CL-0019"}, done.stdout + done.stderr


def compose_v2() -> list[str]:
    """How Docker Compose 2 is called here. Without it the test is skipped, also in CI: no package registry has it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode == 0 and done.stdout.lstrip("v").startswith(("2.", "5.")):
            return command
    pytest.skip("Docker Compose 2 is not installed")


@pytest.mark.parametrize(
    "profiles", [["gpu"], ["cpu"], ["gpu", "demo"], ["cpu", "demo", "microservices"]], ids="-".join
)
def test_compose_itself_starts_what_the_profiles_say(profiles: list[str], tmp_path: Path) -> None:
    command = compose_v2()
    (tmp_path / "env").write_text(f"COMPOSE_PROFILES=gpu\nTRIDENT_API_KEY={KEY}\n")
    chosen = [argument for profile in profiles for argument in ("--profile", profile)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRIDENT", "COMPOSE"))}
    done = subprocess.run(
        [*command, "--env-file", str(tmp_path / "env"), *chosen, "config", "--format", "json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    project = json.loads(done.stdout)
    assert set(project["services"]) == ALWAYS | {name for profile in profiles for name in PROFILES[profile]}
    for service in project["services"].values():
        assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
