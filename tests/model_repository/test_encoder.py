"""The encoder's contract, held by the real ``model.py`` with the real weights, and what it is good for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from triton_backend import REPOSITORY, load_model, model_config, request

FOLDER = REPOSITORY / "cpu" / "encoder"


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(FOLDER)


def encoded(model: Any, *texts: str) -> np.ndarray:
    [response] = model.execute([request(TEXT=[text.encode() for text in texts])])
    assert response.error is None, str(response.error)
    return response.array("EMBEDDING")


def test_configuration_states_the_encoder_contract() -> None:
    config = model_config(FOLDER)
    assert (config.name, config.backend) == ("encoder", "python")
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("TEXT", [1])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("EMBEDDING", [384])]
    assert config.HasField("dynamic_batching")


def test_warm_up_input_is_a_valid_request(model: Any) -> None:
    [(name, spec)] = model_config(FOLDER).model_warmup[0].inputs.items()
    sample = (FOLDER / "warmup" / spec.input_data_file).read_bytes()
    # Triton's serialised strings: four bytes of length, little-endian, then the text.
    assert int.from_bytes(sample[:4], "little") == len(sample) - 4
    assert model.execute([request(**{name: sample[4:]})])[0].error is None


def test_vectors_have_unit_length(model: Any) -> None:
    vectors = encoded(model, "I am allergic to peanuts.", "", "?", "Zürich ✈", "word " * 5000)
    assert (vectors.shape, vectors.dtype) == ((5, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)


def test_a_question_is_nearest_to_the_fact_that_it_is_about(model: Any) -> None:
    facts = encoded(model, "I am allergic to peanuts.", "My dog is called Moss.", "I work night shifts as a nurse.")
    asked = encoded(model, "Which food should I avoid?", "What is my pet's name?", "What do I do for a living?")
    assert (asked @ facts.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_vector_does_not_depend_on_what_else_is_asked(model: Any) -> None:
    alone = encoded(model, "I live in Bergen.")
    crowd = encoded(model, "a", "I live in Bergen.", "Ships leave the harbour at noon. " * 40)
    np.testing.assert_allclose(crowd[1], alone[0], atol=1e-6)


def test_a_long_text_counts_by_its_beginning(model: Any) -> None:
    long = "I live in Bergen. " * 200
    one, other = encoded(model, long, long + "My dog is called Moss.")
    np.testing.assert_array_equal(one, other)


def test_a_text_that_is_not_utf_8_fails_alone(model: Any) -> None:
    good, bad = model.execute([request(TEXT=b"hello"), request(TEXT=b"\xff\xfe")])
    assert good.error is None
    assert bad.error is not None
    assert "UTF-8" in str(bad.error)
