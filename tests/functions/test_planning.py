from __future__ import annotations

from collections.abc import Sequence

import pytest

from router.context import Turn
from router.errors import ModelUnavailable
from router.functions.engine import schemas_of
from router.functions.extractor import ExtractedCall, Extraction, PendingCall
from router.functions.planning import Plan, PlannedCall, Planner
from router.functions.questions import Questions, question
from router.functions.schema import ArgumentProblem
from router.functions.targets import ApiEndpoint, HttpMethod, Parameter, Target
from tests.functions.apis import ScriptedExtractor, turns

CITY = Parameter("location", "The city whose weather is wanted.", required=True, format="City, State")
DAYS = Parameter("days", "How many days ahead", "integer", required=True)
WEATHER = Target("get_weather", "Weather.", (CITY, DAYS), ApiEndpoint("api", "h"))
UNITS = Parameter("units", "The scale", enum=("celsius", "fahrenheit"))
CLIMATE = Target(
    "climate", "Climate.", (Parameter("location", "The place", required=True), UNITS), ApiEndpoint("a", "h")
)


def _booking(method: HttpMethod = "POST") -> Target:
    seats = Parameter("seats", "How many seats", "integer", required=True)
    return Target("book_table", "Books a table.", (seats,), ApiEndpoint("api", "h", method=method))


def _planner(extractor: ScriptedExtractor, *targets: Target, rederives: bool = True) -> Planner:
    offered = targets or (WEATHER, CLIMATE)
    return Planner(offered, schemas_of(offered), extractor, rederives=rederives)


def _weather(text: str, pending: PendingCall | None) -> Sequence[ExtractedCall]:
    """Reads "Oslo" and numbers, and nothing else."""
    found: dict[str, object] = {}
    for word in text.split():
        if word.istitle() and word in {"Oslo", "Seattle"}:
            found["location"] = word
        if word.isdigit():
            found["days"] = word
    return [ExtractedCall("get_weather", found)]


def _asked(parameter: Parameter, target: Target = WEATHER, reason: str | None = None) -> str:
    return question(target, ArgumentProblem(parameter, reason))


async def test_a_complete_call_is_made_with_checked_arguments() -> None:
    planner = _planner(ScriptedExtractor(_weather))
    plan = await planner.plan(["get_weather"], turns("Weather in Oslo for 10 days"), timeout_s=1)
    assert plan == Plan((PlannedCall(WEATHER, {"location": "Oslo", "days": 10}),))


async def test_what_is_missing_is_asked_for_one_thing_at_a_time() -> None:
    plan = await _planner(ScriptedExtractor(_weather)).plan(["get_weather"], turns("How's the weather"), timeout_s=1)
    assert plan.calls == ()
    assert plan.question == (
        "To go on with 'get weather', one thing is missing: The city whose weather is wanted, as City, State. "
        "What should it be?"
    )


async def test_the_answer_to_a_question_completes_the_call_with_what_was_known() -> None:
    extractor = ScriptedExtractor(_weather)
    talk = turns("How is it for 10 days", _asked(CITY), "Seattle")
    plan = await _planner(extractor).plan([], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(WEATHER, {"location": "Seattle", "days": 10}),)
    assert extractor.asked[-1][2] == PendingCall("get_weather", {"days": 10}, "location")


async def test_questions_in_a_row_keep_everything_that_was_said() -> None:
    talk = turns("How's the weather", _asked(CITY), "Oslo", _asked(DAYS), "3")
    plan = await _planner(ScriptedExtractor(_weather)).plan(["get_weather"], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(WEATHER, {"location": "Oslo", "days": 3}),)


async def test_an_answer_that_says_nothing_is_asked_again_but_not_for_ever() -> None:
    planner = _planner(ScriptedExtractor(_weather))
    once = turns("How's the weather", _asked(CITY), "Hm")
    assert (await planner.plan([], once, timeout_s=1)).question == _asked(CITY)
    often = turns("How's the weather", _asked(CITY), "Hm", _asked(CITY), "Hm", _asked(CITY), "Hm")
    plan = await planner.plan([], often, timeout_s=1)
    assert plan.question == "All right, I leave it at that, and do not go on with 'get_weather'."


async def test_a_user_can_say_that_it_does_not_matter_any_more() -> None:
    talk = turns("How's the weather", _asked(CITY), "Never mind.")
    plan = await _planner(ScriptedExtractor(_weather)).plan([], talk, timeout_s=1)
    assert plan.question is not None
    assert plan.question.startswith("All right")


async def test_another_topic_is_no_answer() -> None:
    extractor = ScriptedExtractor(lambda text, pending: [ExtractedCall("climate", {"location": "Rome"})])
    talk = turns("How's the weather", _asked(CITY), "What is the climate of Rome?")
    plan = await _planner(extractor).plan(["climate"], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(CLIMATE, {"location": "Rome"}),)
    assert extractor.asked == [(["climate"], [turn.content for turn in talk], None)]


async def test_a_value_that_does_not_fit_is_asked_for_with_the_reason() -> None:
    extractor = ScriptedExtractor(
        lambda text, pending: [ExtractedCall("climate", {"location": "Rome", "units": "kelvin"})]
    )
    plan = await _planner(extractor).plan(["climate"], turns("Climate of Rome in kelvin"), timeout_s=1)
    assert plan.question == (
        "'units' has to be one of celsius, fahrenheit. To go on with 'climate', one thing is missing: The scale, one "
        "of celsius, fahrenheit. What should it be?"
    )
    talk = turns("Climate of Rome in kelvin", plan.question, "celsius then")
    assert _planner(extractor).pending(talk) == "climate"


async def test_an_extractor_that_reads_everything_is_asked_once() -> None:
    extractor = ScriptedExtractor(_weather)
    talk = turns("How is it for 10 days", _asked(CITY), "Seattle 4")
    plan = await _planner(extractor, rederives=False).plan([], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(WEATHER, {"location": "Seattle", "days": 4}),)
    assert [asked[2] for asked in extractor.asked] == [PendingCall("get_weather", {}, "location")]


async def test_several_calls_keep_their_order_and_those_before_a_question_are_made() -> None:
    found = [
        ExtractedCall("climate", {"location": "Rome"}),
        ExtractedCall("get_weather", {"location": "Oslo"}),
    ]
    planner = _planner(ScriptedExtractor(lambda text, pending: found))
    plan = await planner.plan(["get_weather", "climate"], turns("Both"), timeout_s=1)
    assert [call.target.name for call in plan.calls] == ["climate"]
    assert plan.question == _asked(DAYS)


async def test_a_question_keeps_back_what_changes_something_but_not_what_is_only_read() -> None:
    booking = _booking()
    found = [
        ExtractedCall("get_weather", {"location": "Oslo"}),
        ExtractedCall("book_table", {"seats": 4}),
        ExtractedCall("climate", {"location": "Rome"}),
    ]
    planner = _planner(ScriptedExtractor(lambda text, pending: found), WEATHER, booking, CLIMATE)
    plan = await planner.plan(["get_weather", "book_table", "climate"], turns("All"), timeout_s=1)
    assert [call.target.name for call in plan.calls] == ["climate"]
    assert plan.question == _asked(DAYS)


async def test_of_several_calls_the_one_that_was_asked_about_is_completed() -> None:
    def read(text: str, pending: PendingCall | None) -> Sequence[ExtractedCall]:
        if pending is not None:
            return [ExtractedCall("get_weather", {"days": text})]
        return [
            ExtractedCall("get_weather", {"location": "Oslo", "days": 2}),
            ExtractedCall("get_weather", {"location": "Seattle"}),
        ]

    talk = turns("Oslo for 2 days, and Seattle", _asked(DAYS), "3")
    plan = await _planner(ScriptedExtractor(read)).plan(["get_weather"], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(WEATHER, {"location": "Seattle", "days": 3}),)


async def test_calls_run_at_once_only_where_none_changes_anything() -> None:
    reading, booking = PlannedCall(WEATHER, {}), PlannedCall(_booking(), {})
    assert Plan((reading, reading)).parallel
    assert not Plan((reading, booking)).parallel


async def test_targets_that_were_not_chosen_cannot_be_called() -> None:
    planner = _planner(ScriptedExtractor(lambda text, pending: [ExtractedCall("climate", {"location": "Rome"})]))
    assert await planner.plan(["get_weather"], turns("Weather"), timeout_s=1) == Plan()
    assert await planner.plan(["unknown"], turns("Weather"), timeout_s=1) == Plan()


async def test_targets_without_parameters_need_no_extraction() -> None:
    extractor = ScriptedExtractor(lambda text, pending: [])
    ping = Target("ping", "Pings.", (), ApiEndpoint("a", "h"))
    plan = await _planner(extractor, ping).plan(["ping"], turns("Ping"), timeout_s=1)
    assert plan.calls == (PlannedCall(ping, {}),)
    assert extractor.asked == []


async def test_doubts_are_told_where_reading_is_all_that_happens() -> None:
    found = ExtractedCall("get_weather", {"location": "Oslo", "days": 3}, uncertain=("days",))
    plan = await _planner(ScriptedExtractor(lambda text, pending: [found])).plan(
        ["get_weather"], turns("x"), timeout_s=1
    )
    assert len(plan.calls) == 1
    assert plan.uncertain == ("get_weather.days",)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_doubts_keep_what_changes_something_from_being_called(method: HttpMethod) -> None:
    booking = _booking(method)
    unsure = ScriptedExtractor(lambda text, pending: [ExtractedCall("book_table", {"seats": 4}, uncertain=("seats",))])
    plan = await _planner(unsure, booking).plan(["book_table"], turns("A table"), timeout_s=1)
    assert (plan.calls, plan.question) == ((), _asked(booking.parameters[0], booking))
    guess = ScriptedExtractor(lambda text, pending: [ExtractedCall("book_table", {"seats": 4}, confident=False)])
    plan = await _planner(guess, booking).plan(["book_table"], turns("A table"), timeout_s=1)
    assert plan.calls == ()
    assert plan.question is not None
    # What was just asked for is said on purpose.
    talk = turns("A table", _asked(booking.parameters[0], booking), "4")
    plan = await _planner(unsure, booking).plan(["book_table"], talk, timeout_s=1)
    assert plan.calls == (PlannedCall(booking, {"seats": 4}),)


async def test_what_was_known_may_be_lost_and_is_asked_for_again() -> None:
    class Failing(ScriptedExtractor):
        async def extract(
            self,
            targets: Sequence[Target],
            conversation: Sequence[Turn],
            pending: PendingCall | None,
            *,
            timeout_s: float,
        ) -> Extraction:
            if pending is None:
                raise ModelUnavailable("gone")
            return await super().extract(targets, conversation, pending, timeout_s=timeout_s)

    talk = turns("How is it for 10 days", _asked(CITY), "Oslo")
    plan = await _planner(Failing(_weather)).plan([], talk, timeout_s=1)
    assert plan.question == _asked(DAYS)


def test_a_question_is_recognised_behind_other_text_only_at_the_end_and_only_right_before() -> None:
    questions = Questions([WEATHER, CLIMATE])
    asked = _asked(CITY)
    found = questions.pending(turns("Hi", f"Rome: dry.\n\n{asked} ", "Oslo"))
    assert found is not None
    assert (found.target, found.parameter, [turn.content for turn in found.turns]) == (WEATHER, CITY, ["Hi"])
    assert questions.pending(turns("Hi", f"{asked} Or not?", "Oslo")) is None
    assert questions.pending(turns("Hi", asked, "Oslo", "Sunny.", "Thanks")) is None
    assert questions.pending(turns("Hi", asked)) is None
    assert questions.pending([]) is None


def test_a_question_is_found_behind_what_other_agents_said() -> None:
    talk = [*turns("Hi", _asked(CITY)), Turn("assistant", "Flights: none."), Turn("user", "Oslo")]
    found = Questions([WEATHER]).pending(talk)
    assert found is not None
    assert found.parameter == CITY


def test_questions_of_targets_differ() -> None:
    other = Target("climate", "Climate.", (CITY,), ApiEndpoint("api", "h"))
    assert _asked(CITY) != _asked(CITY, other)


def test_a_question_names_no_format_that_only_programs_know() -> None:
    email = Parameter("email", "The address of the guest", required=True, format="email")
    assert "as email" not in _asked(email)
    assert "as City, State" in _asked(CITY)
