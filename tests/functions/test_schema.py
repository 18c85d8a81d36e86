from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from router.functions.schema import TargetSchema, coerced
from router.functions.targets import ApiEndpoint, Parameter, ParameterType, Target, callable_names, parameter_type

WEATHER = Target(
    "get_weather",
    "Weather.",
    (
        Parameter("city", "The city", required=True, format="City, State"),
        Parameter("days", "How many days", "integer", default=7),
        Parameter("units", "Scale", enum=("celsius", "fahrenheit")),
        Parameter("on", "The day", format="date"),
        Parameter("tags", "Tags", "array"),
    ),
)


def _only(parameter: Parameter, value: object) -> tuple[dict[str, Any], list[str | None]]:
    checked = TargetSchema(Target("t", "T.", (parameter,))).check({parameter.name: value})
    return dict(checked.arguments), [problem.reason for problem in checked.problems]


@pytest.mark.parametrize(
    ("kind", "value", "understood"),
    [
        ("integer", "10", 10),
        ("integer", " 10.0 ", 10),
        ("integer", 10.0, 10),
        ("number", "3.5", 3.5),
        ("number", "1,234.5", 1234.5),
        ("number", "4", 4),
        ("boolean", "Yes", True),
        ("boolean", 0, False),
        ("boolean", "off", False),
        ("string", 98101, "98101"),
        ("string", True, "true"),
        ("string", "  Oslo ", "Oslo"),
        ("array", '["a", 1]', ["a", 1]),
        ("array", "a", ["a"]),
        ("object", '{"w": 1}', {"w": 1}),
    ],
)
def test_a_value_is_read_as_the_type_of_its_parameter(kind: ParameterType, value: object, understood: object) -> None:
    arguments, problems = _only(Parameter("p", "P", kind), value)
    assert (arguments, problems) == ({"p": understood}, [])
    assert type(arguments["p"]) is type(understood)


@pytest.mark.parametrize(
    ("parameter", "value", "reason"),
    [
        (Parameter("p", "P", "integer"), "ten", "has to be a whole number"),
        (Parameter("p", "P", "integer"), 2.5, "has to be a whole number"),
        (Parameter("p", "P", "integer"), True, "has to be a whole number"),
        (Parameter("p", "P", "number"), "nan", "is not a value that can be sent"),
        (Parameter("p", "P", "integer"), 2**60, "is not a value that can be sent"),
        (Parameter("p", "P", "boolean"), "maybe", "has to be yes or no"),
        (Parameter("p", "P", "object"), "{oops", "has to be a set of named values"),
        (Parameter("p", "P"), ["a"], "has to be a text"),
        (Parameter("p", "P"), "a" * 9000, "is too long"),
        (Parameter("p", "P"), "\ud800", "is not a value that can be sent"),
        (Parameter("p", "P", enum=("red", "blue")), "green", "has to be one of red, blue"),
        (Parameter("p", "P", format="date"), "tomorrow", "has to be written as a date, as in 2026-03-31"),
        (Parameter("p", "P", format="email"), "nobody", "has to be written as an e-mail address"),
    ],
)
def test_what_does_not_fit_is_named(parameter: Parameter, value: object, reason: str) -> None:
    assert _only(parameter, value) == ({}, [reason])


def test_choices_are_found_whatever_their_case_and_type() -> None:
    assert coerced(Parameter("p", "P", enum=("celsius", "Fahrenheit")), " FAHRENHEIT") == "Fahrenheit"
    assert coerced(Parameter("p", "P", "integer", enum=(1, 3)), "3") == 3


def test_defaults_fill_in_and_what_is_required_is_missed() -> None:
    checked = TargetSchema(WEATHER).check({"city": "", "unknown": 1, "units": None})
    assert checked.arguments == {"days": 7}
    assert [(problem.parameter.name, problem.reason) for problem in checked.problems] == [("city", None)]


def test_a_parameter_of_the_path_is_needed_and_has_to_fit_there() -> None:
    endpoint = ApiEndpoint("api", "{region}.example.com", "/v1/{city}")
    schema = TargetSchema(Target("t", "T.", (Parameter("city", "C"), Parameter("region", "R")), endpoint))
    assert [problem.parameter.name for problem in schema.check({}).problems] == ["city", "region"]
    problems = schema.check({"city": "../admin", "region": "evil.example/"}).problems
    assert [problem.reason for problem in problems] == [
        "cannot be empty or have a slash in it",
        "cannot be a host name",
    ]
    assert schema.json_schema["required"] == ["city", "region"]


def test_the_schema_says_what_the_parameters_are() -> None:
    schema = TargetSchema(WEATHER).json_schema
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["city"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["city"] == {"type": "string", "description": "The city (format: City, State)"}
    assert properties["days"] == {"type": "integer", "description": "How many days", "default": 7}
    assert properties["units"]["enum"] == ["celsius", "fahrenheit"]
    assert properties["on"]["format"] == "date"


@pytest.mark.parametrize(
    ("spelled", "kind"), [("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "boolean")]
)
def test_types_may_be_spelled_as_in_python(spelled: str, kind: ParameterType) -> None:
    assert parameter_type(spelled) == parameter_type(kind) == kind
    with pytest.raises(ValueError, match="is not the type"):
        parameter_type("money")


def test_names_of_functions_are_fit_for_every_api_and_differ() -> None:
    names = callable_names(["get weather", "get_weather", "Größe", "???", "x" * 100])
    assert len(set(names.values())) == 5
    assert names["get weather"] == "get_weather"
    assert all(
        name.isascii() and len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum()
        for name in names.values()
    )
