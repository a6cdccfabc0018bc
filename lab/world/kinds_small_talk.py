"""Small talk: greetings, thanks, favourites, jokes, outings, and the model speaking about itself."""

from __future__ import annotations

from lab.world.language import Kind
from lab.world.small_talk_tables import FAVOURITES, JOKES, LIKINGS, OUTINGS, TALK, TIPS_GONE_WRONG
from lab.world.tables import Lie, plain, rows, table_kind, words


def _talk() -> tuple[Kind, ...]:
    """A kind for each topic of `TALK`; its wrong reply is one that belongs to a topic of another group."""
    blocks = TALK.replace("\n/ ", " / ").strip().split("\n\n")
    topics = [tuple(line.strip() for line in block.strip().splitlines()) for block in blocks]
    kinds = []
    for name, asks, replies, shorts, supports in topics:
        group = name.split("/")[0].strip()
        others = tuple(
            reply for other, _, texts, *_ in topics if other.split("/")[0].strip() != group for reply in words(texts)
        )
        topic = name.split("/")[1].strip()
        kinds.append(
            table_kind(
                "small_talk", topic, words(asks), {}, (words(replies),), Lie(others), words(shorts), words(supports)
            )
        )
    return tuple(kinds)


def _favourites() -> Kind:
    """What the model would choose if it could; wrong is the favourite of another sort of thing."""
    choice = (
        "My favourite {sort} might be {pick}, because {why}.",
        "I think I would choose {pick}, because {why}.",
        "It would have to be {pick}, because {why}.",
        "I would say {pick}, since {why}.",
    )
    asks = (
        "What is your favourite {sort}?",
        "Do you have a favourite {sort}?",
        "Tell me your favourite {sort}.",
        "Which {sort} do you like best?",
        "If you could pick any {sort}, which would it be?",
        "Name {a_sort} that you love.",
        "Which {sort} would you choose?",
        "I wonder what {sort} you like most.",
        "Everyone has a favourite {sort}, what is yours?",
    )
    return table_kind(
        "small_talk",
        "favourites",
        asks,
        {"sort": rows(FAVOURITES, "pick", "why")},
        (choice,),
        Lie(choice, confused=("sort",)),
        shorts=("I pick {pick}.", "Perhaps {pick}."),
        supports=(
            "Of course, I only know about it from words.",
            "Tell me your favourite {sort} as well.",
            "Tomorrow I might choose another {sort}.",
        ),
    )


def _jokes() -> Kind:
    """A joke about an animal: the riddle, then the reason; wrong is the reason of another joke."""
    riddle = (
        "Why did the {animal} {deed}?",
        "Guess why the {animal} would {deed}.",
        "Do you know why {a_animal} would {deed}?",
    )
    point = (
        "It was because {reason}.",
        "Simply because {reason}.",
        "Well, you see, {reason}.",
        "The answer is that {reason}.",
    )
    asks = (
        "Tell me a joke about {a_animal}.",
        "Do you know a joke about {a_animal}?",
        "Make me laugh with a joke about {a_animal}.",
        "I need a short joke about {a_animal}.",
        "Can you tell a funny joke about {a_animal}?",
        "Please cheer me up with a joke about {a_animal}.",
        "My little sister wants a joke about {a_animal}.",
        "Have you heard any joke about {a_animal}?",
        "Give me your best joke about {a_animal}.",
    )
    return table_kind(
        "small_talk",
        "jokes",
        asks,
        {"animal": rows(JOKES, "deed", "reason")},
        (riddle, point),
        Lie(point, confused=("animal",)),
        shorts=("Because {reason}.",),
        supports=(
            "I laughed so much that a comma fell off.",
            "The {animal} did not find it very funny.",
            "You may tell it to your friends.",
        ),
    )


def _likings() -> Kind:
    """Whether the model likes a thing, which it knows by its words only."""
    views = (
        "I like the idea of {liking}, because {why}.",
        "Yes, I am fond of {liking}, since {why}.",
        "What I like about {liking} is that {why}.",
        "I do like {liking}, because {why}.",
    )
    wrongs = (
        "Sadly, {liking} is my cousin from the seaside.",
        "I keep {liking} in my left shoe all day.",
        "I have never heard a sillier word than {liking}.",
    )
    asks = (
        "Do you like {liking}?",
        "Are you fond of {liking}?",
        "I love {liking}, do you?",
        "What do you think of {liking}?",
        "How do you feel about {liking}?",
        "Tell me if you like {liking}.",
        "Would you enjoy {liking} if you could?",
        "My friends all love {liking}, and you?",
        "Is {liking} something that you like?",
    )
    return table_kind(
        "small_talk",
        "likings",
        asks,
        {"liking": rows(LIKINGS, "why")},
        (views,),
        Lie((*views, *wrongs), confused=("liking",)),
        shorts=("Oh yes, very much.", "I think so."),
        supports=(
            "I am a language model, so I only know it from words.",
            "I hope you get plenty of {liking}.",
            "Words about {liking} always cheer me up.",
        ),
    )


def _outings() -> Kind:
    """The speaker is going somewhere and is wished well, with one thing to take along."""
    wishes = (
        "Have a lovely time and take {tip}.",
        "How nice, just do not forget {tip}.",
        "Enjoy it, and remember {tip}.",
        "That sounds fun, so pack {tip}.",
    )
    asks = (
        "{day} I am going {outing}.",
        "{day} we are all going {outing}, any tips?",
        "{day} my family is going {outing}.",
        "Guess what, {day} I am off {outing}.",
        "I hear that {day} we are going {outing}.",
        "What should I take if {day} I go {outing}?",
        "I cannot wait, {day} I am going {outing}.",
        "{day} my friend and I are going {outing}.",
    )
    days = plain("today / tomorrow / tonight / next week / this afternoon / on my day off")
    tables = {"outing": rows(OUTINGS, "tip"), "day": days}
    return table_kind(
        "small_talk",
        "outings",
        asks,
        tables,
        (wishes,),
        Lie(wishes, values={"tip": words(TIPS_GONE_WRONG)}),
        shorts=("Have fun.", "Take {tip}."),
        supports=(
            "Tell me all about it afterwards.",
            "A friend makes every outing better.",
            "I wish I had feet to come along.",
        ),
    )


KINDS: tuple[Kind, ...] = (*_talk(), _favourites(), _jokes(), _likings(), _outings())
