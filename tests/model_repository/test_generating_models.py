"""The folders of generating models as Triton and vLLM will read them, without a server."""

from __future__ import annotations

import json

import pytest
from google.protobuf import text_format
from triton_backend import REPOSITORY
from tritonclient.grpc import model_config_pb2

from router.routing.generation import CHAT_FORMATS
from router.triton.metadata import ModelMetadata
from router.triton.models import orchestrator_contract
from router.triton.repository import read_model_config

GPU = REPOSITORY / "gpu" / "orchestrator"
CPU_LLM = REPOSITORY / "cpu-llm" / "orchestrator"


@pytest.mark.parametrize("folder", [GPU, CPU_LLM])
def test_a_generating_model_may_be_linked_under_any_name(folder, tmp_path) -> None:
    link = tmp_path / "orchestrator-llm"
    link.symlink_to(folder)
    assert read_model_config(link / "config.pbtxt").name == "orchestrator-llm"


@pytest.mark.parametrize("folder", [GPU, CPU_LLM])
def test_its_chat_format_is_one_that_the_gateway_knows(folder) -> None:
    assert read_model_config(folder / "config.pbtxt").parameters["chat_format"] in CHAT_FORMATS


def test_the_gpu_orchestrator_runs_on_vllm() -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((GPU / "config.pbtxt").read_text(encoding="utf-8"), config)
    assert (config.backend, config.max_batch_size) == ("vllm", 0)
    (group,) = config.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_MODEL
    assert config.parameters["constraint_key"].string_value == "structured_outputs"


def test_the_engine_has_room_for_what_the_gateway_sends_and_remembers_prompts() -> None:
    engine = json.loads((GPU / "1" / "model.json").read_text(encoding="utf-8"))
    assert engine["model"] == "katanemo/Plano-Orchestrator-4B"
    assert engine["revision"] == engine["tokenizer_revision"]
    assert engine["enable_prefix_caching"] is True
    assert engine["max_model_len"] >= 8192 + 256
    assert 0 < engine["gpu_memory_utilization"] < 1
    assert "trust_remote_code" not in engine


def test_the_llama_model_declares_the_tensors_of_the_vllm_backend() -> None:
    config = read_model_config(CPU_LLM / "config.pbtxt")
    inputs = {tensor.name: (tensor.datatype, tensor.shape) for tensor in config.inputs}
    assert inputs == {
        "text_input": ("BYTES", (1,)),
        "stream": ("BOOL", (1,)),
        "sampling_parameters": ("BYTES", (1,)),
        "exclude_input_in_output": ("BOOL", (1,)),
    }
    signature = ModelMetadata(config.name, (), config.backend, config.inputs, config.outputs)
    assert orchestrator_contract(signature) == "generation"
