from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.conversations.archive import Past
from router.conversations.requests import Stateful, is_stateless
from router.errors import InvalidRequest

ENCRYPTED = "reasoning.encrypted_content"
USER: Any = {"role": "user", "content": "Hi."}


@pytest.mark.parametrize(
    ("body", "stateless"),
    [
        (b'{"input":"Hi.","store":false}', True),
        (b'{ "store" : false , "input": "Hi."}', True),
        (b'{"input":"Hi.","store":false,"tools":[{"a":{}}]}', True),
        (b'{"store":true,"input":"Hi.","store":false}', True),
        (b'{"input":"\\"store\\":false","store":false}', True),
        (b'{"input":"Hi."}', False),
        (b'{"input":"Hi.","store":true}', False),
        (b'{"input":"Hi.","store":null}', False),
        (b'{"input":"Hi.","store":false,"store":true}', False),
        (b'{"input":"Hi.","store":false,"\\u0073tore":true}', False),
        (b'{"input":"Hi.","metadata":{"store":false}}', False),
        (b'{"input":"}","metadata":{"store":false}}', False),
        (b'{"input":[{"store":false}]}', False),
        (b'{"input":"\\"store\\":false"}', False),
        (b'{"input":"a,\\"store\\":false,\\"b"}', False),
        (b'{"input":"Hi.","store":false,"previous_response_id":"resp_1"}', False),
        (b'{"input":"Hi.","store":false,"conversation":"conv_1"}', False),
        (b'{"input":"Hi.","\\u0070revious_response_id":"resp_1","store":false}', False),
        (b'{"input":"Hi.","conversatio\\u006E":"conv_1","store":false}', False),
        (b'{"input":"Gr\\u00fc\\u00dfe \\u003cb\\u003e","store":false}', True),
        (b'{"input":"Hi.","store":false', False),
        (b'"store":false', False),
        (b"", False),
    ],
)
def test_a_request_without_state_is_told_by_a_look(body: bytes, stateless: bool) -> None:
    assert is_stateless(body) is stateless


JSON = st.recursive(
    st.none() | st.booleans() | st.text(alphabet='"\\{}[],:storefalse ', max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["store", "input", "a", '"store":false', "{", "tools"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["store", "input", "metadata", '"store":false', "tools"]), JSON, max_size=5))
def test_the_look_never_takes_a_request_for_what_it_is_not(payload: dict[str, Any]) -> None:
    body = orjson.dumps(payload)
    if is_stateless(body):
        assert payload["store"] is False


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_what_is_no_business_of_ours_is_left_alone(body: bytes) -> None:
    assert Stateful.of(body) is None


def test_nobody_could_ask_later_for_what_is_done_in_the_background() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Stateful.of(b'{"input":"x","background":true}')
    assert caught.value.param == "background"
    assert Stateful.of(b'{"input":"x","background":false}') is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, (None, None, None)),
        ({"previous_response_id": None, "conversation": None, "store": None}, (None, None, None)),
        ({"previous_response_id": "resp_1", "store": True}, ("resp_1", None, True)),
        ({"conversation": "conv_1", "store": False}, (None, "conv_1", False)),
        ({"conversation": {"id": "conv_1"}}, (None, "conv_1", None)),
    ],
)
def test_what_a_request_says_about_state(fields: dict[str, Any], said: tuple[object, ...]) -> None:
    asked = Stateful.of(orjson.dumps({"input": "x", **fields}))
    assert asked is not None
    assert (asked.previous_response_id, asked.conversation_id, asked.store) == said


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": 1}, "previous_response_id"),
        ({"conversation": 1}, "conversation"),
        ({"conversation": {}}, "conversation.id"),
        ({"conversation": {"id": None}}, "conversation.id"),
        ({"store": "yes"}, "store"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Stateful.of(orjson.dumps({"input": "x", **fields}))
    assert caught.value.param == param


def sent(payload: dict[str, Any], past: Past) -> Any:
    asked = Stateful.of(orjson.dumps(payload))
    assert asked is not None
    return orjson.loads(asked.body(past, [USER]))


def test_the_past_goes_before_the_input_and_nothing_refers_to_it() -> None:
    payload = {"model": "m", "input": "Hi.", "store": True, "previous_response_id": "resp_1", "conversation": None}
    assert sent(payload, Past([{"role": "user", "content": "Before."}])) == {
        "model": "m",
        "input": [{"role": "user", "content": "Before."}, USER],
        "store": False,
    }
    assert sent({"model": "m", "input": "Hi."}, Past()) == {"model": "m", "input": "Hi.", "store": False}


@pytest.mark.parametrize(
    ("fields", "past", "include"),
    [
        ({}, [], None),
        ({"reasoning": {"effort": "low"}}, [], [ENCRYPTED]),
        ({"reasoning": {"effort": "low"}, "include": ["x"]}, [], ["x", ENCRYPTED]),
        ({"reasoning": {"effort": "low"}, "include": [ENCRYPTED]}, [], [ENCRYPTED]),
        ({"reasoning": {"effort": "low"}, "include": "x"}, [], "x"),
        ({"reasoning": {"effort": "none"}}, [], None),
        ({}, [{"type": "reasoning", "id": "rs_1", "summary": []}], [ENCRYPTED]),
        ({}, [{"type": "reasoning", "id": "rs_1", "encrypted_content": "trident.text.v1:"}], None),
    ],
)
def test_reasoning_is_asked_for_in_a_form_that_can_come_back(
    fields: dict[str, Any], past: list[Any], include: object
) -> None:
    assert sent({"input": "Hi.", **fields}, Past(past)).get("include") == include
