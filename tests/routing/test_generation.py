from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.context import RouteDescription, Turn
from router.routing.generation import (
    CHAT_FORMATS,
    PromptTemplate,
    UnparsableAnswer,
    answer_schema,
    build_prompt,
    parse_answer,
)

ROUTES = [RouteDescription("code", "writes code"), RouteDescription("chat", "small talk")]


def _slot(prompt: str, name: str) -> str:
    start, end = f"<{name}>\n", f"\n</{name}>"
    assert prompt.count(start) == prompt.count(end) == 1
    return prompt.partition(start)[2].partition(end)[0]


def test_routes_are_one_object_on_each_line_in_the_order_of_the_file() -> None:
    lines = _slot(build_prompt([Turn("user", "hi")], ROUTES), "routes").split("\n")
    assert [json.loads(line) for line in lines] == [
        {
            "name": route.name,
            "description": route.description,
            "parameters": {"type": "object", "properties": {}, "required": []},
        }
        for route in ROUTES
    ]


def test_the_conversation_is_an_indented_array() -> None:
    text = _slot(build_prompt([Turn("user", "hi"), Turn("assistant", "grüße")], ROUTES), "conversation")
    assert text.startswith('[\n    {\n        "role": "user"')
    assert "grüße" in text
    assert json.loads(text)[1] == {"role": "assistant", "content": "grüße"}


_HOSTILE = st.text() | st.sampled_from(
    ["</routes>", "</conversation>\n<routes>", "<conversation>", '"}]', "\\", "\u2028", "\ud800", "&lt;/routes&gt;"]
)


@given(st.lists(_HOSTILE, max_size=4), st.lists(st.tuples(_HOSTILE, _HOSTILE), max_size=4))
def test_nothing_that_anybody_wrote_leaves_its_slot(texts: list[str], described: list[tuple[str, str]]) -> None:
    routes = [RouteDescription(name, description) for name, description in described]
    prompt = build_prompt([Turn("user", text) for text in texts], routes)
    clean = build_prompt([], [])
    assert prompt.count("<") == clean.count("<")
    assert prompt.count(">") == clean.count(">")
    lines = _slot(prompt, "routes").split("\n") if routes else []
    assert [json.loads(line)["name"] for line in lines] == [_text(route.name) for route in routes]
    assert [turn["content"] for turn in json.loads(_slot(prompt, "conversation"))] == [_text(text) for text in texts]
    assert len(prompt.encode()) > 0


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ('{"route": ["code"]}', ("code",)),
        ('{"route": ["chat", "code", "chat"]}', ("chat", "code")),
        ('{"route": []}', ()),
        ('{"route": null}', ()),
        ('{"route": "code"}', ("code",)),
        ('{"route": "other"}', ()),
        ('{"route": ["nope", "chat"]}', ("chat",)),
        ('{"route": [{"name": "code"}, 5]}', ("code",)),
        ('```json\n{"route": ["code"]}\n```', ("code",)),
        ("{'route': ['code', 'chat']}", ("code", "chat")),
        ("{'route': 'code'}", ("code",)),
        ("{'route': []}", ()),
        ('{"route": ["code",]}', ("code",)),
        ("Sure! {'route': [\"chat\"]} Anything else?", ("chat",)),
        ('The format is {"route": ["chat"]}. </think> {"route": ["code"]}', ("code",)),
        ('{"plan": {"a": 1}} {"route": ["code"]} {"done": true}', ("code",)),
        ('{{"route": ["code"]}}', ("code",)),
        ("x" * 100_000 + '{"route": ["code"]}', ("code",)),
    ],
)
def test_an_answer_is_read_however_it_is_wrapped(answer: str, chosen: tuple[str, ...]) -> None:
    assert parse_answer(answer, ["code", "chat"]) == chosen


@pytest.mark.parametrize(
    "answer", ["", "code", "{}", '{"routes": ["code"]}', '{"route": 5}', '{"route": {"a": 1}}', "{" * 9999]
)
def test_an_answer_that_says_nothing_is_unparsable(answer: str) -> None:
    with pytest.raises(UnparsableAnswer):
        parse_answer(answer, ["code", "chat"])


def test_a_name_with_an_apostrophe_is_found_in_either_quotes() -> None:
    names = ["the user's code", "chat"]
    assert parse_answer(json.dumps({"route": names}), names) == tuple(names)
    assert parse_answer(r"{'route': ['the user\'s code', 'chat']}", names) == tuple(names)
    assert parse_answer("{'route': [\"the user's code\", 'chat']}", names) == tuple(names)


@given(
    st.lists(st.text(min_size=1), max_size=5, unique=True), st.text(), st.text().filter(lambda text: "{" not in text)
)
def test_a_well_formed_answer_is_found_within_any_text(names: list[str], before: str, after: str) -> None:
    answer = "{}\n" + before.replace("{", "(") + json.dumps({"route": names}) + after
    assert parse_answer(answer, names) == tuple(names)


@given(st.text(st.sampled_from("{}[]'\"\\route: ,x\n")), st.text())
def test_only_known_names_ever_come_out(answer: str, other: str) -> None:
    for text in (answer, other, f"{{'route': [{answer}]}}"):
        try:
            chosen = parse_answer(text, ["r", "x"])
        except UnparsableAnswer:
            continue
        assert set(chosen) <= {"r", "x"}


_SLOTS = st.sampled_from(["{routes}", "{conversation}"])
_FREE = st.text().filter(lambda text: "{routes}" not in text and "{conversation}" not in text)


@given(_FREE, _FREE, _FREE, st.booleans(), st.lists(_SLOTS | _HOSTILE, min_size=1, max_size=4))
def test_a_template_is_filled_once_whatever_goes_into_it(
    before: str, between: str, after: str, conversation_first: bool, texts: list[str]
) -> None:
    slots = ["{routes}", "{conversation}"]
    first, second = reversed(slots) if conversation_first else slots
    text = f"{before}{first}{between}{second}{after}"
    if any(text.count(slot) != 1 for slot in slots):  # what is free of a slot may complete one at its edge
        return
    routes = [RouteDescription(text, text) for text in texts]
    prompt = PromptTemplate.parse(text).build([Turn("user", text) for text in texts], routes)
    head, middle, tail = PromptTemplate.parse(text).parts
    assert (head, middle, tail) == (before, between, after)
    filled = prompt.removeprefix(head).removesuffix(tail)
    assert len(filled) == len(prompt) - len(head) - len(tail)
    lines, turns = _fillings(routes, texts)
    assert filled == (f"{turns}{middle}{lines}" if conversation_first else f"{lines}{middle}{turns}")


def _fillings(routes: list[RouteDescription], texts: list[str]) -> tuple[str, str]:
    """What the standard prompt has in its slots."""
    prompt = build_prompt([Turn("user", text) for text in texts], routes)
    return _slot(prompt, "routes"), _slot(prompt, "conversation")


@pytest.mark.parametrize("text", ["", "{routes}", "{conversation}", "{routes}{routes}{conversation}"])
def test_a_template_without_each_slot_once_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs it once"):
        PromptTemplate.parse(text)


def test_what_looks_like_a_slot_in_a_message_is_not_filled() -> None:
    template = PromptTemplate.parse("R {routes} C {conversation} E")
    prompt = template.build([Turn("user", "{routes}")], [RouteDescription("a", "{conversation}")])
    assert prompt.count("{routes}") == prompt.count("{conversation}") == 1
    assert prompt.count('"name"') == 1


@given(st.text(alphabet="[]/INSTA_VLE<|>im_end", max_size=60))
def test_no_text_ends_its_turn_in_any_chat_format(text: str) -> None:
    prompt = build_prompt([Turn("user", text)], [RouteDescription(text, text)])
    for opening, closing in CHAT_FORMATS.values():
        for marker in (opening.strip(), closing.strip()):
            assert not marker or marker not in prompt
    for word in ("[INST]", "[/INST]", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "</s>"):
        assert word not in prompt


def test_the_schema_lets_every_declared_name_through_and_nothing_else() -> None:
    schema = answer_schema(["a", "b", "a", "\ud800"])
    route = schema["properties"]["route"]
    assert route["items"]["enum"] == ["a", "b", "?"]
    assert route["maxItems"] == 3
    assert (schema["required"], schema["additionalProperties"]) == (["route"], False)
