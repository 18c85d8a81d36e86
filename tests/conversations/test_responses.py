from __future__ import annotations

import asyncio

import pytest

from router.conversations.archive import NAMESPACE, Bounds
from router.conversations.records import ConversationRecord, ResponseRecord, Turn
from router.conversations.responses import ResponseNotFound
from router.errors import InvalidRequest, NotFound, PayloadTooLarge
from tests.conversations.archives import BOUNDS, SCOPE, TTL_S, Kept, assistant, text, user


async def test_what_came_before_is_given_back_in_order() -> None:
    kept = Kept()
    first = await kept.turn("1", "2")
    second = await kept.turn("3", "4", after=first)
    assert await kept.said(await kept.turn("5", "6", after=second)) == ["1", "2", "3", "4", "5", "6"]
    assert await kept.said(await kept.turn("7", "8", after=first)) == ["1", "2", "7", "8"]


async def test_items_come_back_as_they_were() -> None:
    kept = Kept()
    items = [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}],
        },
        {"type": "function_call_output", "call_id": "call_1", "output": '{"a": "\\u0000"}'},
        {"type": "computer_call_output", "unknown": [1, 2.5, None, {"nested": "ü"}]},
    ]
    output = [
        {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA=="},
        {"id": "fc_1", "type": "function_call", "call_id": "call_2", "name": "f", "arguments": '{"x":1}'},
    ]
    response_id = await kept.exchange(items, output)
    assert (await kept.responses.past(SCOPE, response_id)).items == [*items, *output]
    record = await kept.responses.get(SCOPE, response_id)
    assert (record.input.items, record.response["output"]) == (items, output)


async def test_a_deleted_response_takes_the_past_of_others_with_it() -> None:
    kept = Kept()
    first = await kept.turn("1", "2")
    second = await kept.turn("3", "4", after=first)
    await kept.responses.delete(SCOPE, first)
    assert (await kept.responses.get(SCOPE, second)).response["id"] == second
    with pytest.raises(ResponseNotFound, match="deleted or has expired") as caught:
        await kept.responses.past(SCOPE, second)
    assert (caught.value.status, caught.value.param) == (404, "previous_response_id")
    with pytest.raises(ResponseNotFound):
        await kept.responses.delete(SCOPE, first)


@pytest.mark.parametrize("response_id", ["", "resp_1", "../c/conv_1", "resp_" + "A" * 48, "r" * 2000])
async def test_an_id_that_is_none_is_not_found(response_id: str) -> None:
    kept = Kept()
    for asked in (kept.responses.get, kept.responses.delete, kept.responses.past):
        with pytest.raises(NotFound):
            await asked(SCOPE, response_id)
    with pytest.raises(NotFound):
        await kept.conversations.get(SCOPE, response_id)


async def test_another_scope_sees_nothing() -> None:
    kept = Kept()
    response_id = await kept.turn("1", "2")
    for asked in (kept.responses.get, kept.responses.delete, kept.responses.past):
        with pytest.raises(NotFound):
            await asked("b" * 32, response_id)
    assert await kept.said(response_id) == ["1", "2"]


async def test_what_is_used_lives_on_with_all_of_its_past() -> None:
    kept = Kept()
    first = last = await kept.turn("0", "a")
    unused = await kept.turn("x", "y", after=first)
    for number in range(1, 6):
        kept.clock.now += TTL_S * 0.8
        last = await kept.turn(str(number), "a", after=last)
    assert [said for said in await kept.said(last) if said != "a"] == ["0", "1", "2", "3", "4", "5"]
    with pytest.raises(ResponseNotFound):
        await kept.responses.get(SCOPE, unused)
    kept.clock.now += TTL_S * 1.01
    with pytest.raises(ResponseNotFound):
        await kept.responses.get(SCOPE, last)


async def test_a_conversation_that_is_used_often_lives_on_too() -> None:
    kept = Kept()
    last = await kept.turn("0", "a")
    for number in range(1, 25):  # each time too soon to renew what came before
        kept.clock.now += TTL_S * 0.09
        last = await kept.turn(str(number), "a", after=last)
    assert len(await kept.said(last)) == 50


async def test_a_response_that_is_too_large_is_not_kept() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [])
    with pytest.raises(PayloadTooLarge):
        await kept.turn("x" * 25_000, "a", conversation=conversation.id)
    assert (await kept.conversations.get(SCOPE, conversation.id)).turns == ()


async def test_a_conversation_does_not_grow_without_bounds() -> None:
    kept = Kept(bounds=Bounds(TTL_S, 20_000, max_items=4, max_bytes=100_000))
    second = await kept.turn("3", "4", after=await kept.turn("1", "2"))
    third = await kept.turn("5", "6", after=second)
    with pytest.raises(InvalidRequest, match="the most are 4"):
        await kept.responses.past(SCOPE, third)
    heavy = Kept(bounds=Bounds(TTL_S, 20_000, max_items=100, max_bytes=30_000))
    second = await heavy.turn("x" * 15_000, "4", after=await heavy.turn("x" * 15_000, "2"))
    with pytest.raises(PayloadTooLarge):
        await heavy.responses.past(SCOPE, second)


async def test_a_response_that_is_not_kept_leaves_no_trace() -> None:
    kept = Kept()
    response_id = await kept.turn("1", "2", stored=False)
    with pytest.raises(ResponseNotFound):
        await kept.responses.get(SCOPE, response_id)


@pytest.mark.parametrize("decode", [Turn.decode, ResponseRecord.decode, ConversationRecord.decode])
def test_what_another_version_has_written_is_not_there(decode: object) -> None:
    assert callable(decode)
    for value in (b"", b"[]", b"{}", b'{"format": 99, "items": []}', b"\x80"):
        assert decode(value) is None


async def test_items_of_servers_that_reuse_ids_can_be_told_apart() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [])
    for number in range(3):
        await kept.exchange([user(str(number))], [assistant("a", "msg_0")], conversation=conversation.id)
    turn = await kept.conversations.items(SCOPE, conversation.id)
    assert len(set(turn.ids)) == 6
    assert turn.ids.count("msg_0") == 1
    assert [item.get("id") for item in turn.items] == [None, "msg_0"] * 3


async def test_responses_at_the_same_time_are_all_in_their_conversation() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [])
    ids = await asyncio.gather(*(kept.turn(str(n), "a", conversation=conversation.id) for n in range(20)))
    turn = await kept.conversations.items(SCOPE, conversation.id)
    assert sorted(text(item) for item in turn.items if text(item) != "a") == sorted(str(n) for n in range(20))
    assert len(set(ids)) == 20


async def test_a_conversation_that_is_gone_keeps_no_response() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [user("0")])
    past = await kept.conversations.past(SCOPE, conversation.id, param="conversation")
    await kept.conversations.delete(SCOPE, conversation.id)
    answered = {"id": "resp_" + "0" * 48, "output": [assistant("a")]}
    with pytest.raises(NotFound):
        await kept.responses.keep(SCOPE, answered, [user("1")], past, stored=True)
    with pytest.raises(NotFound):
        await kept.responses.get(SCOPE, answered["id"])  # type: ignore[arg-type]


async def test_a_conversation_lives_on_while_it_is_used() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [user("0")])
    for number in range(1, 5):
        kept.clock.now += TTL_S * 0.8
        await kept.turn(str(number), "a", conversation=conversation.id)
    assert len((await kept.conversations.items(SCOPE, conversation.id)).items) == 9
    kept.clock.now += TTL_S * 1.01
    with pytest.raises(NotFound):
        await kept.conversations.get(SCOPE, conversation.id)


async def test_a_conversation_that_has_lost_a_part_says_so() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [user("0")])
    await kept.turn("1", "a", conversation=conversation.id)
    record = await kept.conversations.get(SCOPE, conversation.id)
    await kept.store.delete(NAMESPACE, f"{SCOPE}/t/{conversation.id}/{record.turns[0].id}")
    with pytest.raises(NotFound, match="have expired"):
        await kept.conversations.items(SCOPE, conversation.id)


async def test_deleting_items_at_the_same_time_deletes_them_all() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {}, [user(str(n)) for n in range(10)])
    await kept.conversations.add(SCOPE, conversation.id, [user("last")])
    ids = (await kept.conversations.items(SCOPE, conversation.id)).ids
    gone = [ids[n] for n in (0, 3, 5, 10)]
    await asyncio.gather(*(kept.conversations.delete_item(SCOPE, conversation.id, id_) for id_ in gone))
    left = await kept.conversations.items(SCOPE, conversation.id)
    assert [text(item) for item in left.items] == ["1", "2", "4", "6", "7", "8", "9"]
    with pytest.raises(NotFound, match="Item with id"):
        await kept.conversations.delete_item(SCOPE, conversation.id, gone[0])


async def test_a_deleted_conversation_leaves_nothing_behind() -> None:
    kept = Kept()
    conversation = await kept.conversations.create(SCOPE, {"a": "b"}, [user("0")])
    await kept.conversations.add(SCOPE, conversation.id, [user("1")])
    record = await kept.conversations.get(SCOPE, conversation.id)
    await kept.conversations.delete(SCOPE, conversation.id)
    keys = [f"{SCOPE}/t/{conversation.id}/{turn.id}" for turn in record.turns]
    assert await kept.store.get_many(NAMESPACE, keys) == [None, None]


async def test_items_that_are_too_large_for_a_conversation_are_refused() -> None:
    kept = Kept()
    with pytest.raises(PayloadTooLarge):
        await kept.conversations.create(SCOPE, {}, [user("x" * BOUNDS.max_response_bytes)])
