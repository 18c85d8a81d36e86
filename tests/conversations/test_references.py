from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.conversations.references import is_reference
from router.errors import GatewayError, InvalidRequest, NotFound, PayloadTooLarge
from tests.conversations.archives import BOUNDS, SCOPE, TTL_S, Kept, assistant, user


def _named(*ids: str) -> list[Any]:
    return [{"type": "item_reference", "id": id_} for id_ in ids]


@pytest.mark.parametrize(
    ("item", "names"),
    [
        ({"type": "item_reference", "id": "msg_1"}, True),
        ({"type": "item_reference"}, True),
        ({"type": None, "id": "msg_1"}, True),
        ({"id": "msg_1"}, True),
        ({"id": "msg_1", "role": "user", "content": "Hi."}, False),
        ({"type": "message", "id": "msg_1"}, False),
        ({}, False),
    ],
)
def test_what_only_names_an_item(item: Any, names: bool) -> None:
    assert is_reference(item) is names


async def test_items_of_several_responses_are_put_back_in_the_order_of_the_request() -> None:
    kept = Kept()
    await kept.exchange([user("1")], [assistant("one", "msg_1"), assistant("uno", "msg_1b")])
    await kept.exchange([user("2")], [assistant("two", "msg_2")])
    asked = [*_named("msg_2"), user("3"), *_named("msg_1b", "msg_2")]
    found = await kept.references.resolved(SCOPE, asked, ())
    assert found == [assistant("two", "msg_2"), user("3"), assistant("uno", "msg_1b"), assistant("two", "msg_2")]


async def test_of_items_with_the_same_id_the_newest_is_meant() -> None:
    kept = Kept()
    for said in ("old", "new"):
        await kept.exchange([user("1")], [assistant(said, "msg_1")])
    assert await kept.references.resolved(SCOPE, _named("msg_1"), ()) == [assistant("new", "msg_1")]


async def test_items_that_are_named_live_on() -> None:
    kept = Kept()
    await kept.exchange([user("1")], [assistant("one", "msg_1")])
    for _ in range(4):
        kept.clock.now += TTL_S * 0.8
        assert await kept.references.resolved(SCOPE, _named("msg_1"), ()) == [assistant("one", "msg_1")]
    kept.clock.now += TTL_S * 1.1
    with pytest.raises(NotFound):
        await kept.references.resolved(SCOPE, _named("msg_1"), ())


@pytest.mark.parametrize(
    ("bounds", "error"),
    [(replace(BOUNDS, max_items=1), InvalidRequest), (replace(BOUNDS, max_bytes=3000), PayloadTooLarge)],
)
async def test_no_more_is_read_than_a_conversation_may_have(bounds: Any, error: type[GatewayError]) -> None:
    kept = Kept(bounds=bounds)
    for id_ in ("msg_1", "msg_2"):
        await kept.exchange([user("x" * 2000)], [assistant("one", id_)])
    with pytest.raises(error):
        await kept.references.resolved(SCOPE, _named("msg_1", "msg_2"), ())


async def test_a_response_that_is_not_kept_leaves_no_item_behind() -> None:
    kept = Kept()
    await kept.exchange([user("1")], [assistant("one", "msg_1")], stored=False)
    with pytest.raises(NotFound):
        await kept.references.resolved(SCOPE, _named("msg_1"), ())
