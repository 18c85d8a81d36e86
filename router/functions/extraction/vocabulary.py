"""Closed sets of words that tell what stands beside them, in the languages that are read."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, TypeAlias

from router.functions.extraction.words import word_set

Language: TypeAlias = Literal["en", "de", "fr", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "de", "fr", "es")


# What makes a text one of a language; each is rare in the others.
MARKERS: MappingProxyType[Language, frozenset[str]] = MappingProxyType(
    {
        "en": word_set(
            "the a an of to in on at for from with and is are i my me we you it please what how book find show",
            "need want can could would i'd i'm would like next this that by until till about not no",
        ),
        "de": word_set(
            "der die das den dem ein eine einen einem einer ich wir mir uns und nach von vom bis am um für mit im",
            "ist wie wird bitte nicht kein ohne zum zur beim auf nächsten nächste heute morgen viel sind brauche",
            "suchen uhr mach",
        ),
        "fr": word_set(
            "le la les un une des du de je nous et à au aux pour avec est quel quelle en dans sur sans il chez",
            "pendant s'il vous plaît prochain prochaine demain jusqu'au d'un j'ai c'est voudrais",
        ),
        "es": word_set(
            "el la los las un una del al de y en con para por sin que qué me quiero necesito mañana hoy hasta",
            "desde se próximo próximos próxima favor partir está",
        ),
    }
)

ARTICLES = word_set(
    "the a an my our your his her its their this that these those some any der die das den dem des ein eine einen",
    "einem einer mein meine meinen meiner le la les l un une des mon ma mes el los las una mi mis lo",
)
AND = word_set("and or & und oder et ou y e o as well plus")
NEGATIONS = word_set(
    "no not without don't doesn't never neither nor non none isn't kein keine keinen ohne nicht sans pas sin",
    "ningún ninguna exclude excluding skip minus",
)

# Words that no name is made of: pronouns, auxiliaries, prepositions, conjunctions, question words, politeness.
FUNCTION_WORDS = (
    ARTICLES
    | AND
    | NEGATIONS
    | word_set(
        "i i'm i'd i'll i've me myself we we're we'd we'll we've us you you're your he she they them it it's",
        "itself there there'll there's here who whom whose which what what's when where where's why how how's is",
        "are was were be been being am do does did done has have had having will would can could should shall may",
        "might must let let's in on at to for from with by of off out into onto over under about around near up",
        "down through between during until till since before after as if than then so but because while per each",
        "every all both only just also too very really quite maybe perhaps again now please pls plz thanks thank",
        "hi hello hey dear ok okay yes yeah yep sure sorry oops wait actually instead rather well way like more",
        "less most least else same other another one ones anything something someone anyone somewhere anywhere",
        "everything nothing within upon across against toward towards inside outside regarding concerning via",
        "starting beginning ending start end such etc oh ah hm um yet still already ever once twice later",
        "ago soon currently",
    )
)
_OWN_WORDS: dict[Language, frozenset[str]] = {
    "de": word_set(
        "ich wir mir uns mich du sie er es ihr und oder aber von vom nach bis am an um auf im ins zu zum zur bei",
        "beim für mit aus ab in über unter vor seit wie was wer wo wann wohin woher welche welcher ist sind war",
        "wird werden kann können könnte möchte möchten würde bitte danke ja nein viel viele nur auch noch bis",
        "einen hat haben wollen",
    ),
    "fr": word_set(
        "je j'ai j nous tu vous il elle on ils et ou mais de du d des à au aux en dans sur sous pour par avec",
        "chez vers depuis pendant jusqu'au jusqu'à est sont sera fera fait faire quel quelle quels quoi qui que",
        "où quand comment combien voudrais veux peux s'il plaît merci oui non ce cette ces c'est d'un qu'est-ce",
    ),
    "es": word_set(
        "yo nosotros tú usted él ella y o pero del al a en con por para sobre desde hasta entre qué que cuál",
        "quién dónde cuándo cómo cuánto cuesta es son hay hará quiero quisiera necesito puede puedo favor gracias",
        "sí se me te le partir este esta estos",
    ),
}


def function_words(language: Language) -> frozenset[str]:
    """Those of English and of ``language``."""
    return FUNCTION_WORDS | _OWN_WORDS.get(language, frozenset())


# Verbs and nouns of asking and of trade that are no part of a name in lower case.
REQUEST_WORDS = word_set(
    "want wants need needs find show give get got book booking search searching look looking tell know check see",
    "list make made set put add create start launch send sends sent sending order orders buy reserve schedule",
    "arrange plan planning go going come coming travel travelling traveling leave leaves leaving depart departs",
    "departing return returns returning returned arrive arriving fly flying take taking ask help use using used",
    "call called named name names titled title compare quote price prices cost costs much many long available",
    "option options cheap cheapest best good better great top max maximum min minimum most information info",
    "details detail status kind type number date day days week weeks month months year years hour hours minute",
    "minutes time times today tonight tomorrow yesterday morning afternoon evening night noon midnight weekend",
    "change changes changed switch turn try meant mean should keep bring pay wire owe play hear listen file filed",
    "report request apply submit write say saying says said tells reading reads mention mentions",
    "mentioning people person persons hire rent rental guests guest adults place stay room rooms table family",
    "party next last coming past following upcoming first second whatever possible possibly currently soon asap",
    "needed required include including included happen happened enough fine nice alright perfect meet celebrate",
    "picked pick dropped drop reset restart pretty rate version job thing things stuff bit lot lots each at least",
    "total exactly approximately roughly estimated worth value valued around brauche suche suchen finde finden",
    "zeige buchen buche schicken schicke sende überweise überweisen trag reservieren miete mieten wetter nächsten",
    "nächste tage tagen nacht nächte stunden woche wochen cherche trouver trouve envoyer envoie envoyez réserver",
    "louer besoin jours jour nuit nuits semaine semaines heures prochains prochaines buscar busca busco enviar",
    "envía reservar alquilar noches noche días día semana semanas próximos próximas horas traduis traduire",
    "traducir übersetze",
)

# How a turn begins that goes on with what was asked before.
CONTINUATIONS = (
    ("and",),
    ("also",),
    ("what", "about"),
    ("how", "about"),
    ("what", "if"),
    ("what's", "about"),
    ("no",),
    ("nope",),
    ("not",),
    ("sorry",),
    ("oops",),
    ("wait",),
    ("actually",),
    ("i", "meant"),
    ("i", "mean"),
    ("make", "it"),
    ("make", "that"),
    ("change",),
    ("same",),
    ("do", "the", "same"),
    ("the", "same"),
    ("instead",),
    ("rather",),
    ("then",),
    ("ok",),
    ("okay",),
    ("only",),
    ("but",),
    ("or",),
    ("try",),
    ("better",),
    ("add",),
    ("again",),
    ("und",),
    ("nein",),
    ("et",),
    ("non",),
    ("y",),
    ("entschuldigung",),
    ("pardon",),
    ("perdón",),
)
BACK_REFERENCES = word_set("it that them those same there instead again too ones")
CORRECTIONS = word_set(
    "no not sorry oops meant mean wait actually instead rather nein nicht non perdón pardon correction"
)
