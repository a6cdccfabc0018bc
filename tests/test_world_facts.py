"""The things of the world and the kinds that ask about them: facts, reasons, lists, comparisons and false premises."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from random import Random

import pytest

from lab.world import kinds_compare, kinds_facts, measures
from lab.world.facts_lists import sets
from lab.world.language import Kind, Shape, Slots, Truth, fill, normalise, sentences
from lab.world.things import BY_NAME, THINGS, knowing, of_group
from lab.world.told import GROUPS, specs

KINDS = (*kinds_facts.KINDS, *kinds_compare.KINDS)
DRAWS = 25
FORBIDDEN = re.compile(r"[\"'“”’;:()\[\]0-9{}]")
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.topic}")


@cache
def _shapes(templates: tuple[str, ...]) -> tuple[Shape, ...]:
    return tuple(Shape(" ".join(sentences(template))) for template in templates)


def _drawn(kind: Kind, count: int = DRAWS) -> list[Slots]:
    return [kind.draw(Random(seed)) for seed in range(count)]


def _some(texts: tuple[str, ...], seed: int) -> list[str]:
    """All of a few, thirty of the hundreds of wordings of a list."""
    return list(texts) if len(texts) < 60 else Random(seed).sample(texts, 30)


def _told(truth: Truth, seed: int = 0) -> list[str]:
    parts = [text for part in truth.parts for text in _some(part, seed)]
    return [*parts, *truth.supports]


def _said_by(kind: Kind, sentence: str) -> bool:
    found = (shape.match(normalise(sentence)) for shape in _shapes(kind.shapes))
    return any(slots is not None and set(slots.values()) <= kind.phrases for slots in found)


def _understood(kind: Kind, prompt: str) -> list[Slots]:
    flat, understood = " ".join(sentences(prompt)), []
    for shape in _shapes(kind.asks):
        slots = shape.match(flat)
        if slots is None:
            continue
        try:
            kind.truth(slots)
        except KeyError:
            continue
        understood.append(slots)
    return understood


def _topic(name: str, topic: str) -> Kind:
    return next(kind for kind in KINDS if (kind.name, kind.topic) == (name, topic))


def test_there_are_enough_things_of_every_group_and_no_name_twice() -> None:
    least = {"animal": 70, "food": 55, "object": 55, "vehicle": 15, "place": 15, "instrument": 12, "weather": 10}
    counts = Counter(thing.group for thing in THINGS)
    assert {group: counts[group] >= number for group, number in least.items()} == dict.fromkeys(least, True)
    assert len(BY_NAME) == len(THINGS) >= 230


def test_every_thing_has_a_reason_for_what_it_can_do() -> None:
    assert [thing.name for thing in THINGS if not {"can", "why"} <= set(thing.facts)] == []


def test_values_are_short_plain_words() -> None:
    for thing in THINGS:
        for relation, value in thing.facts.items():
            assert re.fullmatch(r"[a-z][a-z -]*", value), value
            assert len(value.split()) <= (8 if relation == "why" else 5), value


def test_no_ability_is_both_had_and_lacked() -> None:
    assert [thing.name for thing in THINGS if thing.can & thing.cannot] == []
    assert "fly" in BY_NAME["bat"].can
    assert "fly" in BY_NAME["penguin"].cannot


def test_irregular_plurals_are_kept() -> None:
    plurals = [BY_NAME[name].plural for name in ("goose", "sheep", "knife", "rice")]
    assert plurals == ["geese", "sheep", "knives", "rice"]


@each_kind
def test_every_ask_is_recognised_with_the_slots_that_made_it(kind: Kind) -> None:
    assert len(kind.asks) >= 8
    for slots in _drawn(kind):
        for ask in kind.asks:
            understood = _understood(kind, fill(ask, slots))
            assert understood, ask
            assert all(found == slots for found in understood), (ask, understood)


def test_no_two_kinds_claim_the_same_question() -> None:
    for kind in KINDS:
        for seed in range(3):
            slots = kind.draw(Random(seed))
            prompt = fill(kind.asks[seed], slots)
            claims = [(other.name, other.topic) for other in KINDS if _understood(other, prompt)]
            assert claims == [(kind.name, kind.topic)], prompt


@each_kind
def test_every_true_sentence_is_one_that_the_kind_can_say(kind: Kind) -> None:
    for seed, slots in enumerate(_drawn(kind)):
        for sentence in _told(kind.truth(slots), seed):
            assert _said_by(kind, sentence), sentence


@each_kind
def test_a_wrong_sentence_is_sayable_and_not_true(kind: Kind) -> None:
    for seed, slots in enumerate(_drawn(kind, 3 * DRAWS)):
        truth, sentence = kind.truth(slots), kind.wrong(slots, Random(seed))
        assert _said_by(kind, sentence), sentence
        assert sentence not in {text for part in (*truth.parts, truth.supports) for text in part}
        assert sentence == kind.wrong(slots, Random(seed))


@each_kind
def test_sentences_keep_to_the_limits(kind: Kind) -> None:
    for seed, slots in enumerate(_drawn(kind)):
        truth = kind.truth(slots)
        assert all(len(part) >= 3 for part in truth.parts)
        assert truth.shorts
        assert truth.supports
        assert sum(max(len(text.split()) for text in part) for part in truth.parts) <= 45
        for sentence in (*_told(truth, seed), *_some(truth.shorts, seed), kind.wrong(slots, Random(seed))):
            assert not FORBIDDEN.search(sentence), sentence
            assert sentence[0].isupper(), sentence
            assert re.fullmatch(r"[^.!?]+[.!?]", sentence), sentence
        assert all(4 <= len(text.split()) <= 22 for text in _told(truth, seed))


@each_kind
def test_a_question_about_something_unknown_is_refused(kind: Kind) -> None:
    slots = dict(kind.draw(Random(1)))
    for slot in slots:
        with pytest.raises(KeyError):
            kind.truth({**slots, slot: "gazebo"})


@pytest.mark.parametrize("group", GROUPS)
def test_every_fact_can_be_lied_about_without_touching_the_truth(group: str) -> None:
    for spec in specs(group):
        for thing in (*knowing(group, spec.relation), *knowing(group, spec.relation, mass=True)):
            lies = spec.lies_about(thing)
            assert len(lies) >= 2, (thing.name, spec.relation)
            assert thing[spec.relation] not in lies


def test_a_cow_that_eats_grass_is_not_said_to_be_wrong_about_hay() -> None:
    food = next(spec for spec in specs("animal") if spec.relation == "food")
    assert "hay and bamboo" not in food.lies_about(BY_NAME["cow"])
    assert "squid and clams" in food.lies_about(BY_NAME["cow"])


def test_a_list_accepts_its_members_in_any_order_and_no_outsider() -> None:
    for found in sets():
        assert len(found.members) >= 3, found.name
        assert len(found.outsiders) >= 3, found.name
        assert not set(found.members) & set(found.outsiders), found.name
    truth = _topic("list", "animal").truth({"set": "animals that eat nectar"})
    wordings = truth.parts[0]
    assert "Three animals that eat nectar are moths, bees and butterflies." in wordings
    assert "Three animals that eat nectar are bees, butterflies and moths." in wordings
    assert len(wordings) == len(set(wordings)) == 4 * 3 * 2 * 3


@pytest.mark.parametrize("adjective", measures.ADJECTIVES)
def test_a_comparison_has_one_winner_in_either_order(adjective: str) -> None:
    for seed in range(50):
        x, y = measures.draw_pair(adjective, Random(seed))
        win, lose = measures.winner(adjective, x.name, y.name)
        assert {win.name, lose.name} == {x.name, y.name}
        assert measures.winner(adjective, y.name, x.name) == (win, lose)


def test_comparisons_agree_with_what_everybody_knows() -> None:
    known = (("bigger", "elephant", "mouse"), ("smaller", "ant", "cat"), ("heavier", "piano", "flute"))
    known += (("lighter", "button", "cow"), ("faster", "cheetah", "snail"), ("slower", "tortoise", "train"))
    for adjective, win, lose in known:
        assert measures.winner(adjective, lose, win)[0].name == win
    with pytest.raises(KeyError):
        measures.winner("bigger", "lion", "tiger")


def test_long_thin_things_are_not_called_bigger_than_heavy_ones() -> None:
    snake, pumpkin = BY_NAME["snake"], BY_NAME["pumpkin"]
    assert snake.size > 2 * pumpkin.size
    with pytest.raises(KeyError):
        measures.winner("bigger", "snake", "pumpkin")


def test_claims_are_true_or_false_of_different_things() -> None:
    for claim in measures.claims():
        assert claim.true, claim.phrase
        assert claim.false, claim.phrase
        assert not claim.true & claim.false
    thirds = {claim.phrase: claim.third for claim in measures.claims()}
    assert (thirds["fly"], thirds["have feathers"], thirds["eat grass"]) == ("can fly", "has feathers", "eats grass")


def test_yes_and_no_stand_where_they_belong() -> None:
    can = _topic("yes_no", "can")
    assert can.truth({"thing": "bat", "claim": "fly"}).parts[0][0] == "Yes, a bat can fly."
    assert can.truth({"thing": "cow", "claim": "fly"}).parts[0][0] == "No, a cow cannot fly."


def test_a_true_premise_is_not_put_right() -> None:
    premise = _topic("false_premise", "does")
    assert premise.truth({"thing": "salmon", "does": "has fur"}).parts[0][0] == "In fact a salmon does not have fur."
    with pytest.raises(KeyError):
        premise.truth({"thing": "cat", "does": "has fur"})


def test_every_thing_of_a_group_can_be_drawn() -> None:
    sound, rng = _topic("fact", "instrument sound"), Random(0)
    assert {sound.draw(rng)["thing"] for _ in range(400)} == {thing.name for thing in of_group("instrument")}
