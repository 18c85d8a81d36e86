"""The model repository as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.errors import OperatorError
from router.triton.metadata import TensorMetadata
from router.triton.repository import embedded_repositories, find_model_repository, list_models, read_model_config

CONFIG = """
backend: "python"
max_batch_size: 32
input [{ name: "TEXT" data_type: TYPE_STRING dims: [1] }]
output [{ name: "SCORES" data_type: TYPE_FP32 dims: [2] }]
parameters { key: "labels" value { string_value: "benign, jailbreak" } }
"""


def write_model(repository: Path, name: str, config: str = CONFIG) -> Path:
    path = repository / name / "config.pbtxt"
    path.parent.mkdir(parents=True)
    path.write_text(config)
    return path


def test_a_configuration_is_summarised(tmp_path):
    config = read_model_config(write_model(tmp_path, "guard"))
    assert (config.name, config.backend, config.max_batch_size) == ("guard", "python", 32)
    assert config.labels == ("benign", "jailbreak")
    assert config.inputs == (TensorMetadata("TEXT", "BYTES", (1,)),)
    assert config.outputs == (TensorMetadata("SCORES", "FP32", (2,)),)


def test_a_model_without_labels_has_none(tmp_path):
    assert read_model_config(write_model(tmp_path, "m", 'backend: "python"')).labels == ()


def test_a_configuration_that_cannot_be_parsed_is_named_with_its_line(tmp_path):
    path = write_model(tmp_path, "guard", 'backend: "python"\nmax_batch_sizes: 3\n')
    with pytest.raises(OperatorError, match=r"guard/config\.pbtxt cannot be read: 2:1"):
        read_model_config(path)


def test_a_configuration_that_names_another_model_is_refused(tmp_path):
    with pytest.raises(OperatorError, match="names its model 'other'"):
        read_model_config(write_model(tmp_path, "guard", 'name: "other"'))


def test_models_of_several_repositories_are_listed_by_name(tmp_path):
    write_model(tmp_path / "cpu", "orchestrator")
    write_model(tmp_path / "guardrails", "jailbreak")
    (tmp_path / "cpu" / "notes").mkdir()
    models = list_models([tmp_path / "guardrails", tmp_path / "cpu"])
    assert [model.name for model in models] == ["jailbreak", "orchestrator"]


def test_a_model_name_in_two_repositories_is_refused(tmp_path):
    write_model(tmp_path / "a", "guard")
    write_model(tmp_path / "b", "guard")
    with pytest.raises(OperatorError, match="Two models are named 'guard'"):
        list_models([tmp_path / "a", tmp_path / "b"])


def test_the_repository_of_a_checkout_comes_before_the_packages_own(tmp_path):
    package = tmp_path / "router"
    (package / "_model_repository").mkdir(parents=True)
    assert find_model_repository(package) == package / "_model_repository"
    (tmp_path / "model_repository").mkdir()
    assert find_model_repository(package) == tmp_path / "model_repository"


def test_a_missing_repository_is_the_operators_to_put_right(tmp_path):
    with pytest.raises(OperatorError, match="missing") as caught:
        find_model_repository(tmp_path / "router")
    assert "triton.model_repository" in caught.value.fix


def test_the_embedded_shape_serves_guardrails_and_cpu_models(tmp_path):
    for name in ("cpu", "gpu", "guardrails"):
        (tmp_path / name).mkdir()
    assert embedded_repositories(tmp_path) == (tmp_path / "guardrails", tmp_path / "cpu")


def test_a_repository_without_embedded_models_is_refused(tmp_path):
    with pytest.raises(OperatorError, match="No models for the embedded server"):
        embedded_repositories(tmp_path)
