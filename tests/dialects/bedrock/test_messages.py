"""The conversation of a request."""

from __future__ import annotations

import hashlib

import pytest

from router.dialects.canonical import JsonObject
from tests.dialects.bedrock.wire import CALL, CALLED, NOVA, RESULT, TEXT, TOOL, USER, converse, refused

TEXT_PART: JsonObject = {"type": "text", "text": "Hi"}
IMAGE: JsonObject = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAEC", "detail": "high"}}
AUDIO: JsonObject = {"type": "input_audio", "input_audio": {"data": "AAEC", "format": "wav"}}
PDF = "data:application/pdf;base64,AAEC"


def document(filename: str | None, data: str = PDF) -> JsonObject:
    return {"type": "file", "file": {"file_data": data, **({"filename": filename} if filename else {})}}


def image(url: str) -> JsonObject:
    return {"type": "image_url", "image_url": {"url": url}}


def calls(*tool_calls: JsonObject) -> JsonObject:
    return {"role": "assistant", "content": None, "tool_calls": list(tool_calls)}


def test_system_messages_stand_apart_wherever_they_were() -> None:
    body = converse(
        {"role": "system", "content": "a"}, USER, {"role": "developer", "content": [{"type": "text", "text": "b"}]}
    )
    assert body["system"] == [{"text": "a"}, {"text": "b"}]
    assert body["messages"] == [{"role": "user", "content": [TEXT]}]


def test_messages_of_one_role_are_one_turn() -> None:
    body = converse(
        USER,
        {"role": "user", "content": "there"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
    )
    assert body["messages"] == [
        {"role": "user", "content": [TEXT, {"text": "there"}]},
        {"role": "assistant", "content": [{"text": "a"}, {"text": "b"}]},
    ]  # fmt: skip


def test_the_results_of_a_turn_are_in_one_message_before_what_the_user_says() -> None:
    other = {**CALL, "id": "call_2"}
    body = converse(
        USER,
        {"role": "assistant", "content": "Both.", "tool_calls": [CALL, other]},
        RESULT,
        USER,
        {"role": "tool", "tool_call_id": "call_2", "content": "gone", "is_error": True},
        tools=[TOOL],
    )
    called = {"toolUseId": "call_1", "name": "weather", "input": {"city": "Zürich"}}
    assert body["messages"][1]["content"] == [
        {"text": "Both."},
        {"toolUse": called},
        {"toolUse": {**called, "toolUseId": "call_2"}},
    ]
    assert body["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "21 °C"}]}},
        {"toolResult": {"toolUseId": "call_2", "content": [{"text": "gone"}], "status": "error"}},
        TEXT,
    ]


def test_a_tool_may_give_back_images_and_documents_or_nothing() -> None:
    result = {**RESULT, "content": [{"type": "text", "text": "See:"}, IMAGE, document("a.pdf")]}
    block = converse(*CALLED, result, tools=[TOOL])["messages"][2]["content"][0]["toolResult"]
    assert [next(iter(part)) for part in block["content"]] == ["text", "image", "document"]
    for nothing in ("", None, "  \n"):
        (message,) = converse(*CALLED, {**RESULT, "content": nothing}, tools=[TOOL])["messages"][2:]
        assert message["content"] == [{"toolResult": {"toolUseId": "call_1", "content": []}}]


def test_text_without_a_visible_character_is_left_out() -> None:
    body = converse(
        {"role": "system", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": "\n"}, {"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": ""},
    )
    assert body == {"messages": [{"role": "user", "content": [TEXT]}]}


def test_an_answer_to_be_continued_does_not_end_in_white_space() -> None:
    body = converse(USER, {"role": "assistant", "content": "The answer is \n"})
    assert body["messages"][-1]["content"] == [{"text": "The answer is"}]


def test_a_refusal_of_an_earlier_answer_is_text() -> None:
    parts = [{"type": "refusal", "refusal": "No."}]
    assert converse(USER, {"role": "assistant", "content": parts})["messages"][1]["content"] == [{"text": "No."}]
    message = {"role": "assistant", "content": None, "refusal": "No."}
    assert converse(USER, message)["messages"][1]["content"] == [{"text": "No."}]


def test_images() -> None:
    content = [TEXT_PART, IMAGE, {"type": "image_url", "image_url": "data:image/webp;base64,AAEC"}]
    (message,) = converse({"role": "user", "content": content})["messages"]
    assert message["content"] == [
        TEXT,
        {"image": {"format": "jpeg", "source": {"bytes": "AAEC"}}},
        {"image": {"format": "webp", "source": {"bytes": "AAEC"}}},
    ]


def test_audio() -> None:
    (message,) = converse({"role": "user", "content": [TEXT_PART, AUDIO]})["messages"]
    assert message["content"][1] == {"audio": {"format": "wav", "source": {"bytes": "AAEC"}}}


@pytest.mark.parametrize(
    ("filename", "data", "format_", "name"),
    [
        ("Q3 report.v2_final.pdf", PDF, "pdf", "Q3 report v2 final"),
        (None, PDF, "pdf", "document"),
        ("README", "data:text/markdown;charset=utf-8;base64,AA==", "md", "README"),
        ("table.XLSX", "data:application/octet-stream;base64,AA==", "xlsx", "table"),
        ("plain.txt", "AA==", "txt", "plain"),
        ("Übersicht 你好.csv", "AA==", "csv", "bersicht"),
        ("x" * 300 + ".pdf", PDF, "pdf", "x" * 190),
    ],
)
def test_documents(filename: str | None, data: str, format_: str, name: str) -> None:
    (message,) = converse({"role": "user", "content": [TEXT_PART, document(filename, data)]})["messages"]
    made = message["content"][1]["document"]
    assert (made["format"], made["name"]) == (format_, name)
    assert made["source"]["bytes"] in ("AA==", "AAEC")


def test_every_document_has_its_own_name() -> None:
    files = [document("a.pdf"), document("a.pdf"), document("a_.pdf")]
    (message,) = converse({"role": "user", "content": [TEXT_PART, *files]})["messages"]
    assert [block["document"]["name"] for block in message["content"][1:]] == ["a", "a (2)", "a (3)"]


def test_markers_of_the_prompt_cache() -> None:
    marked = {"cache_control": {"type": "ephemeral"}}
    body = converse(
        {"role": "system", "content": [{**TEXT_PART, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [{**CALL, **marked}]},
        {**RESULT, **marked},
        {"role": "user", "content": [{**TEXT_PART, **marked}]},
        tools=[{**TOOL, **marked}],
    )  # fmt: skip
    point = {"cachePoint": {"type": "default"}}
    assert body["system"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["toolConfig"]["tools"][1] == point
    assert body["messages"][1]["content"][1] == point
    assert body["messages"][2]["content"][1:] == [point, TEXT, point]


def test_a_marker_inside_of_a_result_follows_it() -> None:
    parts = [{**TEXT_PART, "cache_control": {"type": "ephemeral"}}]
    content = converse(*CALLED, {**RESULT, "content": parts}, tools=[TOOL])["messages"][2]["content"]
    assert [next(iter(block)) for block in content] == ["toolResult", "cachePoint"]


@pytest.mark.parametrize(("model", "points"), [(NOVA, 1), ("meta.llama3-3-70b-instruct-v1:0", 0)])
def test_markers_are_for_models_with_a_cache(model: str, points: int) -> None:
    marked = {"cache_control": {"type": "ephemeral"}}
    body = converse({"role": "user", "content": [{**TEXT_PART, **marked}]}, model=model, tools=[{**TOOL, **marked}])
    assert str(body["messages"]).count("cachePoint") == points
    assert len(body["toolConfig"]["tools"]) == 1


@pytest.mark.parametrize("id_", ["x" * 65, "id with spaces", "functions.weather:0", "ü"])
def test_ids_that_bedrock_refuses_are_replaced_in_call_and_result(id_: str) -> None:
    called = [USER, {"role": "assistant", "tool_calls": [{**CALL, "id": id_}]}, {**RESULT, "tool_call_id": id_}]
    messages = converse(*called, tools=[TOOL])["messages"]
    expected = f"call_{hashlib.sha256(id_.encode()).hexdigest()[:32]}"
    assert messages[1]["content"][0]["toolUse"]["toolUseId"] == expected
    assert messages[2]["content"][0]["toolResult"]["toolUseId"] == expected


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (image("https://h/a.png"), "image_url.url"),
        (image("data:image/svg+xml;base64,AA=="), "image_url.url"),
        (image("data:image/png,abc"), "image_url.url"),
        (image("data:image/png;base64,"), "image_url.url"),
        ({"type": "image_url"}, "image_url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
        (document("a.zip", "AA=="), "file.file_data"),
        ({"type": "input_audio", "input_audio": {"data": "A", "format": "x"}}, "input_audio.format"),
        ({"type": "video_url"}, "type"),
        ({"type": "text"}, "text"),
    ],
)
def test_a_part_that_cannot_be_said_is_named(part: JsonObject, field: str) -> None:
    error = refused({"role": "user", "content": [TEXT_PART, part]})
    assert (error.param, error.status) == (f"messages[0].content[1].{field}", 400)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "user", "content": 5}, "content"),
        ({"role": "system", "content": [IMAGE]}, "content[0].type"),
        ({**RESULT, "content": [AUDIO]}, "content[0].type"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        ({"role": "function", "name": "f", "content": "x"}, "role"),
        ({"role": "assistant", "audio": {"id": "a"}}, "audio"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "function_call"),
        (calls({**CALL, "type": "custom"}), "tool_calls[0].type"),
        (calls({**CALL, "id": None}), "tool_calls[0].id"),
        (calls({**CALL, "function": {"name": "a.b"}}), "tool_calls[0].function.name"),
        (calls({**CALL, "function": {"name": "f", "arguments": "{"}}), "tool_calls[0].function.arguments"),
        (calls({**CALL, "function": {"name": "f", "arguments": "[]"}}), "tool_calls[0].function.arguments"),
    ],
)
def test_a_message_that_cannot_be_said_is_named(message: JsonObject, field: str) -> None:
    assert refused(message, tools=[TOOL]).param == f"messages[0].{field}"


@pytest.mark.parametrize("content", ["  ", "", None, []])
def test_there_has_to_be_something_to_answer(content: object) -> None:
    assert refused({"role": "user", "content": content}).param == "messages"


def test_an_image_by_url_is_never_fetched_and_says_what_to_do() -> None:
    message = {"role": "user", "content": [image("http://169.254.169.254/latest")]}
    assert "base64 data URL" in refused(message).message
