from __future__ import annotations

import datetime

import pytest

from router.context import Turn
from router.functions.extraction.embedded import EmbeddedExtractor
from router.functions.extractor import Extractor, PendingCall
from tests.functions.extraction.readings import EXTRACTOR, NOW, WEATHER, arguments, calls, parameter, target

ASKED = "how is the weather in Seattle for the next 10 days"
MEETING = target(
    parameter("title", "Title of the meeting", required=True),
    parameter("start", "When it starts", format="date-time", required=True),
    name="schedule_meeting",
    description="Put a meeting into the calendar",
)
TRANSFER = target(
    parameter("recipient", "Person who gets the money", required=True),
    parameter("amount", "Amount of money", type="number", required=True),
    name="transfer_money",
    description="Send money",
)


def test_a_follow_up_keeps_what_it_does_not_change() -> None:
    assert arguments(WEATHER, ASKED, "Cloudy.", "and in Oslo?") == {"location": "Oslo", "days": 10}


def test_follow_ups_add_up() -> None:
    texts = (ASKED, "Cloudy.", "and in Oslo?", "Rain.", "what about 3 days?")
    assert arguments(WEATHER, *texts) == {"location": "Oslo", "days": 3}


def test_a_new_request_keeps_nothing() -> None:
    assert arguments(WEATHER, ASKED, "Cloudy.", "What's the weather like in Accra?") == {"location": "Accra"}


@pytest.mark.parametrize(
    "text", ["no, I meant Berlin", "sorry, Berlin", "I meant Berlin, not Bern", "not Bern, Berlin"]
)
def test_a_correction_replaces_a_value(text: str) -> None:
    found = arguments(WEATHER, "weather in Bern for 3 days", "Sunny in Bern.", text)
    assert found == {"location": "Berlin", "days": 3}


@pytest.mark.parametrize("text", ["Seattle", "in Seattle", "Seattle, please", "it's Seattle", "seattle"])
def test_an_answer_fills_the_parameter_that_was_asked_for(text: str) -> None:
    pending = PendingCall("get_weather", {"days": 4}, "location")
    found = arguments(WEATHER, "a forecast for 4 days", "Which city?", text, pending=pending)
    assert found == {"location": "seattle" if text == "seattle" else "Seattle", "days": 4}


def test_an_answer_can_be_a_bare_number() -> None:
    pending = PendingCall("get_weather", {"location": "Cairo"}, "days")
    found = arguments(WEATHER, "weather for Cairo", "For how many days?", "ten", pending=pending)
    assert found == {"location": "Cairo", "days": 10}


@pytest.mark.parametrize("text", ["I don't know", "no", "never mind", "what?", "..."])
def test_what_answers_nothing_fills_nothing(text: str) -> None:
    pending = PendingCall("get_weather", {}, "location")
    assert "location" not in arguments(WEATHER, "how's the weather", "Which city?", text, pending=pending)


def test_known_arguments_stay_where_the_conversation_is_cut_off() -> None:
    pending = PendingCall("schedule_meeting", {"title": "Retro"}, "start")
    found = arguments(MEETING, "Friday at 10:30", pending=pending)
    assert found == {"title": "Retro", "start": "2025-06-13T10:30:00+00:00"}


def test_half_of_a_date_with_a_time_waits_for_the_other() -> None:
    assert arguments(MEETING, "schedule 'Planning' on Thursday") == {"title": "Planning"}
    pending = PendingCall("schedule_meeting", {"title": "Planning"}, "start")
    found = arguments(MEETING, "schedule 'Planning' on Thursday", "At what time?", "11 am", pending=pending)
    assert found["start"] == "2025-06-12T11:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "start"),
    [("make it 4pm instead", "2025-06-12T16:00:00+00:00"), ("sorry, Monday", "2025-06-16T15:00:00+00:00")],
)
def test_half_of_a_date_with_a_time_can_be_changed(text: str, start: str) -> None:
    assert arguments(MEETING, "Schedule 'Budget' tomorrow at 3pm", "Confirm?", text)["start"] == start


def test_names_side_by_side_are_calls_of_their_own() -> None:
    found = [call.arguments for call in calls(WEATHER, "weather in Kigali, Nairobi and Kampala for 3 days")]
    assert found == [{"location": name, "days": 3} for name in ("Kigali", "Nairobi", "Kampala")]


def test_clauses_with_values_of_their_own_are_calls_of_their_own() -> None:
    found = [call.arguments for call in calls(TRANSFER, "send 50 euros to Anna and 30 to Ben")]
    assert found == [{"recipient": "Anna", "amount": 50}, {"recipient": "Ben", "amount": 30}]


def test_calls_in_a_row_are_bounded() -> None:
    text = "weather in " + ", ".join(f"Town{chr(65 + index)}" for index in range(15)) + " and Oslo"
    assert len(calls(WEATHER, text)) == 8


def test_times_are_in_the_zone_of_the_clock() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    extractor = EmbeddedExtractor(lambda: NOW.astimezone(zone))
    [call] = extractor.extract_now([MEETING], [Turn("user", "schedule 'Retro' tomorrow at 9")]).calls
    assert call.arguments["start"] == "2025-06-12T09:00:00+02:00"


async def test_every_target_gets_a_call() -> None:
    extractor: Extractor = EXTRACTOR
    found = await extractor.extract([WEATHER, MEETING], [Turn("user", "weather in Oslo")], None, timeout_s=1.0)
    assert [call.target for call in found.calls] == ["get_weather", "schedule_meeting"]


async def test_a_conversation_without_a_user_has_calls_without_arguments() -> None:
    found = await EXTRACTOR.extract([WEATHER], [Turn("assistant", "Hello!")], None, timeout_s=1.0)
    assert [dict(call.arguments) for call in found.calls] == [{}]
