"""The token classifier's contract, held by the real ``model.py`` with the real weights, and on the real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from triton_backend import REPOSITORY, load_model, model_config, request

from router.errors import ModelUnavailable
from router.pii.redactor import DetectionPolicy, Redactor
from router.triton.client import TritonClient
from router.triton.entities import EntityRecogniser
from router.triton.metadata import from_model_config
from router.triton.server import EmbeddedTriton
from router.triton.tensors import Tensor

FOLDER = REPOSITORY / "guardrails" / "pii_entities"
LABELS = from_model_config(model_config(FOLDER)).labels
GOLDEN = json.loads((Path(__file__).parent / "golden" / "pii_entities.json").read_text(encoding="utf-8"))
# Processors round int8 products differently.
ROUNDING = 0.05
TIMEOUT_S = 30.0
LETTER = "My name is Anna Berg, I live at 12 Elm Street, Springfield, IL 62704."
HARMLESS = "The parcel arrived on Tuesday and the colour of the lamp is lovely. "


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(FOLDER)


def found(model: Any, text: str) -> list[tuple[str, str]]:
    [response] = model.execute([request(TEXT=text.encode())])
    assert response.error is None, str(response.error)
    return [(LABELS[label], text[start:end]) for start, end, label in response.array("SPANS")[0] if label >= 0]


def test_configuration_states_the_token_classifier_contract() -> None:
    config = model_config(FOLDER)
    assert (config.name, config.backend) == ("pii_entities", "python")
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("TEXT", [1])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("SPANS", [-1, 3]), ("SCORES", [-1])]
    assert config.HasField("dynamic_batching")
    assert len(LABELS) == 17
    assert 0.0 < from_model_config(config).threshold < 1.0


def test_the_licence_is_stated_and_there() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "National Design Studio" in card
    assert "https://creativecommons.org/licenses/by/4.0/" in card
    assert "Attribution 4.0 International" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


def test_warm_up_input_is_a_valid_request(model: Any) -> None:
    [(name, spec)] = model_config(FOLDER).model_warmup[0].inputs.items()
    sample = (FOLDER / "warmup" / spec.input_data_file).read_bytes()
    # Triton's serialised strings: four bytes of length, little-endian, then the text.
    assert int.from_bytes(sample[:4], "little") == len(sample) - 4
    assert model.execute([request(**{name: sample[4:]})])[0].error is None


def test_names_and_addresses_are_found(model: Any) -> None:
    assert found(model, LETTER) == [
        ("GIVEN_NAME", "Anna"),
        ("SURNAME", "Berg"),
        ("BUILDING_NUMBER", "12"),
        ("STREET_NAME", "Elm Street"),
        ("CITY", "Springfield"),
        ("STATE", "IL"),
        ("ZIP_CODE", "62704"),
    ]


@pytest.mark.parametrize("text", ["", " \n", "?", "The weather in Paris is nice.", "def parse(self, token): return 1"])
def test_nothing_is_found_in_ordinary_texts(model: Any, text: str) -> None:
    assert found(model, text) == []


def test_offsets_count_characters(model: Any) -> None:
    assert ("GIVEN_NAME", "Jürgen") in found(model, "🙂 한글 Ich heiße Jürgen Müller 🙂")


def test_special_tokens_in_a_text_are_text(model: Any) -> None:
    assert found(model, f"[PAD] [SEP] {LETTER}")[0] == ("GIVEN_NAME", "Anna")


def test_shorter_answers_of_a_batch_are_padded(model: Any) -> None:
    [response] = model.execute([request(TEXT=[LETTER.encode(), b"hello"])])
    spans, scores = response.array("SPANS"), response.array("SCORES")
    assert (spans.shape, spans.dtype) == ((2, 7, 3), np.int32)
    assert (scores.shape, scores.dtype) == ((2, 7), np.float32)
    assert (spans[1] == -1).all()
    assert (scores[1] == 0).all()
    assert ((scores[0] > 0.5) & (scores[0] <= 1.0)).all()


def test_an_answer_does_not_depend_on_what_else_is_asked(model: Any) -> None:
    [alone] = model.execute([request(TEXT=LETTER.encode())])
    [_, among] = model.execute([request(TEXT=[b"hello", (HARMLESS * 40).encode()]), request(TEXT=LETTER.encode())])
    np.testing.assert_array_equal(alone.array("SCORES"), among.array("SCORES"))


@pytest.mark.parametrize("where", range(14))
def test_a_name_is_found_wherever_it_stands_in_a_long_text(model: Any, where: int) -> None:
    sentences = [HARMLESS] * 40
    sentences.insert(10, HARMLESS[: where * 5] + ". Regards, Priya Raghunathan. ")
    names = [text for label, text in found(model, "".join(sentences)) if label in ("GIVEN_NAME", "SURNAME")]
    assert "".join(names) == "PriyaRaghunathan"


def test_a_text_beyond_the_bound_gets_an_error_and_no_spans() -> None:
    small = load_model(FOLDER, max_windows="3")
    within, beyond = small.execute([request(TEXT=(HARMLESS * 10).encode()), request(TEXT=(HARMLESS * 80).encode())])
    assert within.error is None
    assert "too long" in str(beyond.error)


def test_a_text_that_is_no_text_gets_an_error(model: Any) -> None:
    broken, whole = model.execute([request(TEXT=b"\xff\xfe"), request(TEXT=b"hello")])
    assert "not UTF-8" in str(broken.error)
    assert whole.error is None


@given(st.text(max_size=60) | st.text("Anna Bergİßﬁ½한글्้12,.@ \n", max_size=60))
@settings(max_examples=60)
def test_whatever_the_text_spans_are_in_it_in_order_and_apart(model: Any, text: str) -> None:
    [response] = model.execute([request(TEXT=text.encode("utf-8", "replace"))])
    before = 0
    for start, end, label in response.array("SPANS")[0]:
        if label >= 0:
            assert before <= start < end <= len(text)
            assert label < len(LABELS)
            before = end


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["text"][:40])
def test_the_model_finds_what_it_found_when_it_was_released(model: Any, case: dict[str, Any]) -> None:
    assert found(model, case["text"]) == [tuple(part) for part in case["found"]]
    [response] = model.execute([request(TEXT=case["text"].encode())])
    scores = response.array("SCORES")[0][: len(case["scores"])]
    np.testing.assert_allclose(scores, case["scores"], atol=ROUNDING)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedTriton]:
    state = tmp_path_factory.mktemp("state")
    async with EmbeddedTriton([REPOSITORY / "guardrails"], ["pii_entities"], state) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(triton: EmbeddedTriton) -> AsyncIterator[TritonClient]:
    client = TritonClient(triton.grpc_address)
    yield client
    await client.close()


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_the_server_finds_what_the_file_does(client: TritonClient, model: Any) -> None:
    texts = [LETTER, "hello", "Ich heiße Jürgen Müller \ud800"]
    answers = await EntityRecogniser(client).find(texts, timeout_s=TIMEOUT_S)
    assert [(one.label, LETTER[one.start : one.end]) for one in answers[0]] == found(model, LETTER)
    assert answers[1] == []
    assert [texts[2][one.start : one.end] for one in answers[2]] == ["Jürgen", "Müller"]


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_texts_that_cannot_be_judged_fail_alone(client: TritonClient) -> None:
    recogniser = EntityRecogniser(client)

    async def ask(number: int) -> int:
        if number % 3:
            [found] = await recogniser.find([LETTER], timeout_s=TIMEOUT_S)
            return len(found)
        broken = Tensor.from_bytes("TEXT", [b"\xff\xfe"], (1, 1))
        with pytest.raises(ModelUnavailable):
            await client.infer("pii_entities", [broken], ["SPANS", "SCORES"], timeout_s=TIMEOUT_S)
        return 0

    assert await asyncio.gather(*map(ask, range(18))) == [7 if number % 3 else 0 for number in range(18)]


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_more_texts_than_a_batch_holds_come_back_in_their_order(client: TritonClient) -> None:
    texts = [f"Ticket {number} was opened by Anna Berg." if number % 2 else "hello" for number in range(70)]
    answers = await EntityRecogniser(client).find(texts, timeout_s=TIMEOUT_S)
    assert [bool(answer) for answer in answers] == [bool(number % 2) for number in range(70)]


@pytest.mark.triton
@pytest.mark.asyncio(loop_scope="module")
async def test_a_long_text_is_redacted_to_its_end(client: TritonClient) -> None:
    redactor = Redactor(DetectionPolicy(), EntityRecogniser(client))
    text = f"{HARMLESS * 150}{LETTER} {HARMLESS}"
    [redacted] = await redactor.redact_all([text], timeout_s=TIMEOUT_S)
    assert f"My name is <PERSON>, I live at <ADDRESS>. {HARMLESS}" in redacted
