from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.signals.tracker import MAX_BRANCHES, ConversationTracker, TrackerBounds
from tests.signals.conversations import assistant, exchange, exchanges, fed, places, user

GREETING = user("Hi")
MESSAGES = [
    GREETING,
    assistant("Hello, how can I help?"),
    user("Where is my parcel with the lamp?"),
    assistant("It is in Bergen."),
    user("That's wrong."),
    assistant("It is in Oslo."),
    user("Thanks!"),
]
KEY = "a conversation"


def test_exchanges_of_a_conversation_go_on_with_each_other() -> None:
    tracker = ConversationTracker()
    found = [place for one in exchanges(MESSAGES) for place in places(tracker.observe(KEY, one, 0.0).signals)]
    assert found == fed(MESSAGES)[0]
    assert len(tracker) == 1


def test_messages_that_are_sent_again_are_not_counted_again() -> None:
    tracker = ConversationTracker()
    tracker.observe(KEY, exchange(MESSAGES[:5]), 0.0)
    report = tracker.observe(KEY, exchange(MESSAGES[3:], start=3), 0.0)
    assert (places(report.signals), report.earlier) == ([(6, "interaction.satisfaction.gratitude")], ())
    assert report.groups["interaction.misalignment"].count == 1


def test_behind_a_gap_a_conversation_begins_anew() -> None:
    tracker = ConversationTracker()
    tracker.observe(KEY, exchange(MESSAGES[:3]), 0.0)
    report = tracker.observe(KEY, exchange(MESSAGES[6:], start=6), 0.0)
    assert report.turns == 1


def test_conversations_that_begin_alike_are_told_apart() -> None:
    tracker = ConversationTracker()
    mine = [GREETING, assistant("Hello."), user("Where is my red lamp?"), assistant("In Rome."), user("Thanks!")]
    yours = [GREETING, assistant("Hello."), user("Where is my blue hat?"), assistant("In Bonn."), user("That's wrong.")]
    tracker.observe(KEY, exchange(mine[:3]), 0.0)
    tracker.observe(KEY, exchange(yours[:3]), 0.0)
    assert tracker.observe(KEY, exchange(mine), 0.0).turns == 3
    report = tracker.observe(KEY, exchange(yours), 0.0)
    assert report.turns == 3
    assert report.groups["interaction.satisfaction"].count == 0


def test_what_is_not_used_is_forgotten() -> None:
    tracker = ConversationTracker(TrackerBounds(ttl_s=60.0))
    tracker.observe(KEY, exchange(MESSAGES[:5]), 0.0)
    assert tracker.state_of(KEY, exchange(MESSAGES), 59.0) is not None
    assert tracker.state_of(KEY, exchange(MESSAGES), 60.0) is None
    tracker.observe("another", exchange(MESSAGES[:1]), 100.0)
    assert len(tracker) == 1


def test_what_was_not_used_longest_makes_room() -> None:
    tracker = ConversationTracker(TrackerBounds(conversations=2))
    for now, key in enumerate(["a", "b", "a", "c"]):
        tracker.observe(key, exchange(MESSAGES[:1]), float(now))
    one = exchange(MESSAGES[:3])
    assert [tracker.state_of(key, one, 4.0) is not None for key in ("a", "b", "c")] == [True, False, True]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 5)), max_size=60))
def test_there_are_never_more_states_than_allowed(steps: list[tuple[int, int, int]]) -> None:
    tracker, now = ConversationTracker(TrackerBounds(conversations=10, ttl_s=50.0)), 0.0
    for key, text, waited in steps:
        now += waited
        tracker.observe(str(key), exchange([user(f"Message number {text}")]), now)
        assert len(tracker) <= 10


def test_of_conversations_that_begin_alike_so_many_are_kept() -> None:
    for bounds, kept in ((TrackerBounds(), MAX_BRANCHES), (TrackerBounds(conversations=2), 2)):
        tracker = ConversationTracker(bounds)
        for number in range(30):
            messages = [GREETING, assistant("Hello."), user(f"Where is part {number}?")]
            tracker.observe(KEY, exchange(messages), 0.0)
        assert len(tracker) == kept
        assert tracker.state_of(KEY, exchange(messages), 0.0) is not None
