from __future__ import annotations

import pytest

from tests.signals.conversations import said_by_user


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("correction", "That's not what I asked for."),
        ("correction", "Thanks, but that's not it."),
        ("correction", "No, I meant the blue one."),
        ("correction", "Tuesday, not Thursday."),
        ("correction", "You got the date wrong."),
        ("correction", "Nein, das meinte ich nicht."),
        ("correction", "Ce n'est pas ce que j'ai demandé."),
        ("correction", "Eso no es lo que pedí."),
        ("clarification", "What do you mean by that?"),
        ("clarification", "sorry, I don't understand"),
        ("clarification", "Das verstehe ich nicht."),
        ("clarification", "Qu'est-ce que vous voulez dire ?"),
        ("clarification", "¿A qué te refieres?"),
        ("rephrase", "Let me rephrase: who pays for shipping?"),
        ("escalation", "I want to speak to a manager."),
        ("escalation", "Can I talk to a real person please?"),
        ("escalation", "If nothing happens I will file a complaint."),
        ("escalation", "Ich möchte mit einem Menschen sprechen."),
        ("escalation", "Je veux parler à un conseiller."),
        ("escalation", "Quiero hablar con una persona."),
        ("quit", "Forget it, I'll do it myself."),
        ("quit", "I give up."),
        ("quit", "Vergiss es."),
        ("quit", "Laissez tomber."),
        ("quit", "Me rindo."),
        ("negative_stance", "This is so frustrating!"),
        ("negative_stance", "You're useless."),
        ("negative_stance", "are you even listening?"),
        ("negative_stance", "Das ist doch lächerlich."),
        ("negative_stance", "C'est n'importe quoi !"),
        ("negative_stance", "¡Qué vergüenza!"),
        ("gratitude", "Thanks! And when does it ship?"),
        ("gratitude", "much appreciated"),
        ("gratitude", "Vielen Dank!"),
        ("gratitude", "Merci beaucoup."),
        ("gratitude", "Muchas gracias."),
        ("confirmation", "Yes, exactly."),
        ("confirmation", "That's exactly what I wanted."),
        ("confirmation", "Genau so."),
        ("confirmation", "C'est exactement ça."),
        ("confirmation", "Eso es."),
        ("success", "It works now!"),
        ("success", "That fixed it."),
        ("success", "Jetzt klappt es."),
        ("success", "C'est réglé."),
        ("success", "Ya funciona."),
    ],
)
def test_a_phrase_says_its_type(kind: str, text: str) -> None:
    assert kind in said_by_user(text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("correction", "No problem."),
        ("correction", "No, thanks."),
        ("correction", "No, that's all."),
        ("correction", "Not right now."),
        ("correction", "My boss said that's wrong."),
        ("correction", "Is this wrong?"),
        ("correction", "Sorry, I meant to ask about the red one."),
        ("clarification", 'What does "ephemeral" mean?'),
        ("clarification", 'She asked "what do you mean?" and left.'),
        ("clarification", "My son doesn't understand fractions."),
        ("rephrase", "Rephrase this sentence for me."),
        ("escalation", "Write a letter saying that I want to speak to a manager."),
        ("escalation", "I have to talk to my manager about a raise."),
        ("quit", "Don't forget the receipt."),
        ("quit", "How do I quit vim?"),
        ("quit", "Never mind the price, is it waterproof?"),
        ("quit", "He gave up smoking."),
        ("negative_stance", "The film was terrible."),
        ("negative_stance", 'Classify this: "you are useless"'),
        ("negative_stance", "My old laptop is useless."),
        ("gratitude", "Can you send it again? Thanks."),
        ("gratitude", "Please send me the invoice, thank you."),
        ("gratitude", "Thanks in advance."),
        ("gratitude", "No thanks."),
        ("gratitude", "Thanks, but that's not it."),
        ("gratitude", "Thanks to your update nothing starts."),
        ("confirmation", "Is that correct?"),
        ("confirmation", "Not exactly."),
        ("confirmation", "What is a perfect number?"),
        ("confirmation", "That sounds good but it's too expensive."),
        ("success", "How does it work?"),
        ("success", "It doesn't work."),
        ("success", "If it works, I'll tell you."),
        ("success", "It works on my machine but not on the server."),
        ("success", "Did that fix it?"),
    ],
)
def test_what_only_looks_like_a_phrase_says_nothing(kind: str, text: str) -> None:
    assert kind not in said_by_user(text)


@pytest.mark.parametrize(
    "text",
    [
        "Here is the log:\n```\nthis is wrong, I give up, you are useless\n```",
        "My output is `that's not what I asked`.",
        "> you are useless\n> I want to speak to a manager\nHow would you answer this?",
        "“You are useless”, it says on the box.",
        "«Je veux parler à un conseiller», dit le texte.",
        "„Vergiss es“ heißt das Lied.",
    ],
)
def test_quoted_text_and_code_are_not_the_users_words(text: str) -> None:
    assert said_by_user(text) == set()


def test_material_behind_a_task_is_not_the_users_opinion() -> None:
    assert said_by_user("Summarise this review:\nYou are useless. I want to speak to a manager. Forget it.") == set()


def test_typing_habits_do_not_hide_a_phrase() -> None:
    assert "gratitude" in said_by_user("THAAAANKS!!!")  # noqa: RUF100
    assert "correction" in said_by_user("thats not what i asked for")
    assert "correction" in said_by_user("that\u2019s not what I asked for")
    assert "gratitude" in said_by_user("ｔｈａｎｋｓ a lot")  # noqa: RUF001
    assert "confirmation" in said_by_user("C\u0027est parfait !")


def test_assistants_words_are_nobodys_complaint() -> None:
    assert said_by_user("And in green?", before="I give up. This is useless, thank you, it works now.") == set()


def test_a_no_to_an_open_question_is_its_answer() -> None:
    assert said_by_user("No, it's plugged in.", before="Is it unplugged?") == set()
    assert said_by_user("No, it's plugged in.", before="I see that it is unplugged.") == {"correction"}
    assert said_by_user("No, it's for two.", before="A table for ten. Is that correct?") == {"correction"}


def test_only_what_needs_no_answer_is_said_in_a_first_message() -> None:
    assert said_by_user("That's wrong. I don't understand. Thanks!", before=None) == set()
    assert said_by_user("I want to talk to a human.", before=None) == {"escalation"}
