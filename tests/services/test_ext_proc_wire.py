"""What is said here about Envoy's wire format, held against what Envoy's own descriptors say.

They come from ``xds-protos``, which is no dependency: it brings modules of its own in the place of those of
``googleapis-common-protos`` and ``opentelemetry-proto``. So another interpreter reads it, from a folder of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from router.protos.envoy.v3 import ext_proc_pb2 as wire

pytestmark = pytest.mark.e2e

REQUIREMENT = "xds-protos==1.85.0"
FOLDER = Path(__file__).parents[2] / ".cache" / "xds-protos-1.85.0"
THEIRS = """
import json
from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2
from envoy.type.v3 import http_status_pb2
found = {}
for file in (base_pb2, processing_mode_pb2, external_processor_pb2, http_status_pb2):
    for message in file.DESCRIPTOR.message_types_by_name.values():
        found[message.name] = {
            field.number: [
                field.name,
                "int32" if field.enum_type else field.message_type.name if field.message_type else str(field.type),
                field.is_repeated,
                field.containing_oneof.name if field.containing_oneof else "",
            ]
            for field in message.fields
        }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """Envoy's messages, their fields by number; skips, with the reason, where they cannot be had."""
    done = FOLDER / "installed"
    if not done.is_file():
        install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        try:
            subprocess.run([*install, "--target", FOLDER, REQUIREMENT], check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            shutil.rmtree(FOLDER, ignore_errors=True)
            pytest.skip(f"{REQUIREMENT} cannot be installed here")
        done.touch()
    environment = {"PYTHONPATH": str(FOLDER)}
    read = subprocess.run([sys.executable, "-c", THEIRS], env=environment, capture_output=True, text=True, timeout=60)
    assert read.returncode == 0, read.stderr
    found: dict[str, Any] = json.loads(read.stdout)
    return found


@pytest.mark.parametrize("name", sorted(wire.DESCRIPTOR.message_types_by_name))
def test_a_message_is_what_it_is_in_envoy(theirs: dict[str, Any], name: str) -> None:
    ours: Descriptor = wire.DESCRIPTOR.message_types_by_name[name]
    known = theirs["StreamedBodyResponse" if name == "StreamedBody" else name]
    assert {str(field.number): _told(field) for field in ours.fields}.items() <= known.items()


def _told(field: FieldDescriptor) -> list[object]:
    kind = str(field.type)
    if field.type == FieldDescriptor.TYPE_INT32:
        kind = "int32"  # where Envoy has an enumeration: the same on the wire
    elif field.message_type is not None:
        kind = "StreamedBodyResponse" if field.message_type.name == "StreamedBody" else field.message_type.name
    oneof = field.containing_oneof.name if field.containing_oneof is not None else ""
    return [field.name, kind, field.is_repeated, oneof]
