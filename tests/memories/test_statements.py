"""What of a message is worth remembering."""

from __future__ import annotations

import time

import pytest

from router.memories.statements import MAX_MESSAGE_CHARS, MAX_STATEMENTS, statements


def kept(text: str) -> list[str]:
    return statements(text, max_chars=300)


@pytest.mark.parametrize(
    "text",
    [
        "I am allergic to peanuts.",
        "I'm a beginner at the piano",
        "My dog is called Moss!",
        "We have two cats at home.",
        "By the way, my flat has no lift.",
        "I prefer short answers without bullet points.",
        "I don't drink alcohol.",
        "My password manager is Bitwarden.",
        "Ich wohne in Bergen.",
        "Mein Hund heißt Moos.",
        "J'habite à Lyon.",
        "Tengo dos gatos en casa.",
    ],
)
def test_what_people_say_about_themselves_is_kept(text: str) -> None:
    assert kept(text) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of Mongolia?",
        "Am I allergic to anything?",
        "Translate this into Japanese.",
        "I want you to write a poem.",
        "I'd like to book a flight to Rome.",
        "I need to cancel my order.",
        "Can you tell me what my balance is",
        "Please send it to my colleague.",
        "Tell me about my options.",
        "I have a question about invoices.",
        "I'm looking for a hotel in Prague.",
        "I think that is wrong.",
        "I don't understand the second step.",
        "Thanks, I see what you mean.",
        "Let's talk about my plan.",
        "Ich möchte einen Flug buchen.",
        "Je voudrais réserver une table.",
        "The weather is nice today.",
        "I am.",
        "ok",
        "",
    ],
)
def test_questions_requests_and_remarks_are_not_kept(text: str) -> None:
    assert kept(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "My password is hunter2-and-more.",
        "My PIN code is 4711 by the way.",
        "Remember that the password for the wifi is swordfish.",
        "our api key is abcdef123456",
        "My secret token: 12345-abc",
        "Mein Passwort lautet Sesam123.",
    ],
)
def test_what_sounds_like_a_credential_is_not_kept(text: str) -> None:
    assert kept(text) == []


def test_what_somebody_asks_to_be_remembered_is_kept_in_any_person() -> None:
    assert kept("Please remember that the gate code of the garden changes on Fridays.") == [
        "The gate code of the garden changes on Fridays."
    ]
    assert kept("Don\u2019t forget: Ingrid dislikes coriander.") == ["Ingrid dislikes coriander."]
    assert kept("Remember when Rome was founded?") == []


def test_of_a_mixed_message_only_the_statements_are_kept_each_once() -> None:
    text = "Hi! I live in Bergen. What's the weather here?\n- My wife is from Porto.\n- I live in Bergen."
    assert kept(text) == ["I live in Bergen.", "My wife is from Porto."]


def test_code_quotations_and_placeholders_are_left_alone() -> None:
    assert kept("```\nmy_list = [i for i in range(3)]\nI live in code.\n```\n> I live in a quotation.") == []
    assert kept("```\nI never end this block of code.") == []
    assert kept("My name is <PERSON_1> and I sail.") == []


def test_sizes_are_bounded() -> None:
    assert statements("I live in " + "a very " * 60 + "small house.", max_chars=300) == []
    assert kept("I live in Bergen. " + "x" * MAX_MESSAGE_CHARS) == []
    many = "\n".join(f"I own bicycle number {number}." for number in range(50))
    assert kept(many) == [f"I own bicycle number {number}." for number in range(MAX_STATEMENTS)]


@pytest.mark.parametrize("piece", ["and ", "i i ", "password ", '." ', "please ", "```", "<A"])
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * MAX_MESSAGE_CHARS)[:MAX_MESSAGE_CHARS]
    started = time.process_time()
    statements(text, max_chars=2000)
    assert time.process_time() - started < 2.0  # anything that backtracks would take minutes
