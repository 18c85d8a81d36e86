from __future__ import annotations

from typing import Any

import pytest

from router.conversations.items import input_items, item_ids, listed, replayed
from router.errors import InvalidRequest

USER: Any = {"role": "user", "content": "Hi."}
SAID: Any = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
CALL: Any = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c", "output": "x"}
SEALED: Any = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
OPEN: Any = {"id": "rs_2", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
BARE: Any = {"id": "rs_3", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}


def bare(item: Any) -> Any:
    return {name: value for name, value in item.items() if name != "id"}


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        ([], []),
        ([USER, SEALED, CALL, OUTPUT, SAID, USER], [USER, SEALED, CALL, OUTPUT, SAID, USER]),
        ([USER, SEALED, SEALED, OPEN, SAID], [USER, SEALED, SEALED, OPEN, SAID]),
        ([USER, BARE, CALL, SAID, OUTPUT, SAID], [USER, bare(CALL), bare(SAID), OUTPUT, SAID]),
        ([USER, BARE, SEALED, CALL], [USER, SEALED, CALL]),
        ([USER, SEALED, USER], [USER, USER]),
        ([USER, SEALED], [USER]),
        ([{"type": "web_search_call", "id": "ws_1"}, SAID], [{"type": "web_search_call", "id": "ws_1"}, SAID]),
    ],
)
def test_items_go_out_as_they_were_but_for_reasoning_that_is_refused(kept: list[Any], sent: list[Any]) -> None:
    assert replayed(kept) == sent


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (None, []),
        ("", []),
        ("Hi.", [{"type": "message", "role": "user", "content": "Hi."}]),
        ([USER, OUTPUT], [USER, OUTPUT]),
    ],
)
def test_input_is_a_list_of_items(value: object, items: list[Any]) -> None:
    assert input_items(value) == items


@pytest.mark.parametrize(("value", "field"), [(1, "input"), ({}, "input"), ([USER, "Hi."], "input[1]")])
def test_input_that_is_none_is_refused_by_its_name(value: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        input_items(value)
    assert caught.value.param == field


def test_every_item_gets_an_id_of_its_own() -> None:
    ids = item_ids([USER, SAID, SAID, CALL, bare(CALL), OUTPUT, SEALED, {"type": 7}, {"id": 7}], taken=["fc_1"])
    assert len(set(ids)) == len(ids)
    assert ids[1] == "msg_1"
    prefixes = [id_.partition("_")[0] for id_ in ids]
    assert prefixes == ["msg", "msg", "msg", "fc", "fc", "fco", "rs", "item", "msg"]


@pytest.mark.parametrize("id_", ["", "a/b", "..", "msg 1", "msg_1?x", "\u00fc", "a\r\n", "\0", "m" * 300])
def test_an_id_that_no_path_can_name_is_replaced(id_: str) -> None:
    assert item_ids([{**SAID, "id": id_}]) != [id_]


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (
            USER,
            {
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": [{"type": "input_text", "text": "Hi."}],
            },
        ),
        (
            {"role": "assistant", "content": "Hi."},
            {
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}],
            },
        ),
        (OUTPUT, {**OUTPUT, "status": "completed"}),
        ({**SAID, "status": "incomplete"}, {**SAID, "status": "incomplete"}),
        (SEALED, SEALED),
    ],
)
def test_a_list_shows_items_with_their_ids(item: Any, shown: Any) -> None:
    assert listed(item, "x_1") == {**shown, "id": "x_1"}
