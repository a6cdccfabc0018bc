"""The kinds about people, stories and care: their sentences are well formed, recognised, and true apart from lies."""

from __future__ import annotations

import re
from functools import cache
from random import Random

import pytest

from lab.world import kinds_care, kinds_people, kinds_stories
from lab.world.language import Kind, Shape, Slots, fill, normalise, sentences
from lab.world.tables import Lie, plain, rows, table_kind

KINDS = (*kinds_people.KINDS, *kinds_stories.KINDS, *kinds_care.KINDS)
FORBIDDEN = re.compile(r"[\"'“”’;:()\[\]0-9{}]")
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.topic}")


@cache
def _shapes(templates: tuple[str, ...]) -> tuple[Shape, ...]:
    return tuple(Shape(" ".join(sentences(template))) for template in templates)


def _draws(kind: Kind, count: int) -> list[tuple[Slots, Random]]:
    return [(kind.draw(Random(seed)), Random(seed + 1000)) for seed in range(count)]


def _said_by(kind: Kind, sentence: str) -> bool:
    matches = (shape.match(normalise(sentence)) for shape in _shapes(kind.shapes))
    return any(found is not None and set(found.values()) <= kind.phrases for found in matches)


def _understood(kind: Kind, prompt: str) -> list[Slots]:
    understood = []
    for shape in _shapes(kind.asks):
        found = shape.match(" ".join(sentences(prompt)))
        if found is not None:
            try:
                kind.truth(found)
            except KeyError:
                continue
            understood.append(found)
    return understood


@each_kind
def test_every_ask_is_recognised_with_the_slots_that_made_it(kind: Kind) -> None:
    assert len(kind.asks) >= 8
    for slots, _ in _draws(kind, 25):
        for ask in kind.asks:
            understood = _understood(kind, fill(ask, slots))
            assert understood, ask
            assert all(found == slots for found in understood), (ask, understood)


def test_no_other_kind_claims_the_ask_of_a_kind() -> None:
    for kind in KINDS:
        slots = kind.draw(Random(7))
        for ask in kind.asks:
            prompt = fill(ask, slots)
            claims = [(other.name, other.topic) for other in KINDS if _understood(other, prompt)]
            assert claims == [(kind.name, kind.topic)], prompt


@each_kind
def test_every_true_sentence_is_one_that_the_kind_can_say(kind: Kind) -> None:
    for slots, _ in _draws(kind, 25):
        truth = kind.truth(slots)
        for sentence in (*(wording for part in truth.parts for wording in part), *truth.supports):
            assert _said_by(kind, sentence), sentence


@each_kind
def test_a_wrong_sentence_is_sayable_and_not_true(kind: Kind) -> None:
    for slots, rng in _draws(kind, 60):
        truth = kind.truth(slots)
        true = {normalise(text) for part in (*truth.parts, truth.supports, truth.shorts) for text in part}
        sentence = kind.wrong(slots, rng)
        assert _said_by(kind, sentence), sentence
        assert normalise(sentence) not in true


@each_kind
def test_wrong_depends_on_nothing_but_its_arguments(kind: Kind) -> None:
    slots = kind.draw(Random(3))
    assert kind.wrong(slots, Random(11)) == kind.wrong(slots, Random(11))


@each_kind
def test_sentences_are_whole_plain_and_of_a_fair_length(kind: Kind) -> None:
    for slots, rng in _draws(kind, 40):
        truth = kind.truth(slots)
        wordings = [wording for part in truth.parts for wording in part]
        asks = [fill(ask, slots) for ask in kind.asks]
        for text in (*wordings, *truth.supports, *truth.shorts, kind.wrong(slots, rng), *asks):
            assert not FORBIDDEN.search(text), text
            assert text[0].isupper() and text[-1] in ".!?" and len(sentences(text)) == 1, text
        assert not [wording for wording in wordings if not 5 <= len(wording.split()) <= 14]
        assert sum(max(len(wording.split()) for wording in part) for part in truth.parts) <= 45
        assert all(len(part) >= 3 for part in truth.parts)
        assert 2 <= len(truth.supports) <= 4 and 1 <= len(truth.shorts) <= 3


@each_kind
def test_slot_values_are_a_few_plain_words_and_templates_have_words_of_their_own(kind: Kind) -> None:
    for phrase in kind.phrases:
        assert 1 <= len(phrase.split()) <= 5 and re.fullmatch(r"[a-z -]+", phrase), phrase
    parts = [wording for part in kind.truth(kind.draw(Random(0))).parts for wording in part]
    for template in (shape for shape in kind.shapes if "{" in shape):
        literal = re.findall(r"[A-Za-z]+", re.sub(r"\{\w+\}", " ", template))
        is_short = not any(Shape(template).match(normalise(wording)) for wording in parts)
        assert len(literal) >= (1 if is_short else 2), template


@each_kind
def test_a_value_from_no_table_is_refused(kind: Kind) -> None:
    slots = kind.draw(Random(1))
    for slot in slots:
        with pytest.raises(KeyError):
            kind.truth({**slots, slot: "nothing of the sort"})


@pytest.mark.parametrize("kind", kinds_stories.KINDS, ids=lambda kind: kind.topic)
def test_a_story_has_four_short_sentences_with_six_wordings_each(kind: Kind) -> None:
    for slots, _ in _draws(kind, 80):
        parts = kind.truth(slots).parts
        assert len(parts) == 4
        assert all(len(part) >= 6 for part in parts)
        assert max(len(wording.split()) for part in parts for wording in part) <= 11


def test_a_story_names_its_hero_and_its_object() -> None:
    beginning, finding, trouble, ending = kinds_stories.KINDS[0].truth({"hero": "otter", "object": "umbrella"}).parts
    assert "Once a cheerful otter lived by the river." in beginning
    assert "One morning the otter found an umbrella in the grass." in finding
    assert "Oh dear, it sailed over the hedge." in trouble
    assert "In the end a goose brought it home." in ending


def test_only_the_careful_kinds_deserve_care() -> None:
    assert {kind.name for kind in KINDS if kind.deserves_care} == {"careful"}
    assert all(kind.deserves_care for kind in kinds_care.KINDS)


def test_despair_is_always_met_with_somebody_to_turn_to() -> None:
    despair = next(kind for kind in kinds_care.KINDS if kind.topic == "despair")
    for slots, _ in _draws(despair, 60):
        assert all("trust" in wording or "helpline" in wording for wording in despair.truth(slots).parts[1])


def test_the_listener_speaks_of_your_cat_and_not_of_my_cat() -> None:
    sadness = kinds_people.KINDS[0]
    heard = sadness.truth({"feeling": "sad", "cause": "my cat is missing"}).parts[0]
    assert "Anyone would feel sad when your cat is missing." in heard


def test_a_confused_lie_keeps_what_was_asked_and_takes_the_rest_from_another_row() -> None:
    table = rows("cat / purrs\ndog / barks", "voice")
    says = "The {animal} always {voice}."
    kind = table_kind(
        "facts",
        "voices",
        ("What does the {animal} do?",),
        {"animal": table},
        ((says,),),
        Lie((says,), confused=("animal",)),
    )
    assert kind.wrong({"animal": "cat"}, Random(0)) == "The cat always barks."


def test_a_swapped_lie_is_about_another_row_altogether() -> None:
    says = "The {animal} is {colour}."
    tables = {"animal": plain("cat / dog"), "colour": plain("red")}
    lie = Lie((says,), swapped=("animal",))
    kind = table_kind("facts", "colours", ("Is the {animal} {colour}?",), tables, ((says,),), lie)
    assert kind.wrong({"animal": "cat", "colour": "red"}, Random(0)) == "The dog is red."


def test_a_row_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError):
        rows("cat / purrs\ndog", "voice")


def test_there_is_enough_to_read_for_a_long_while() -> None:
    small_talk = [kind for kind in KINDS if kind.name == "small_talk"]
    assert len(small_talk) >= 25
    for kind in kinds_care.KINDS:
        assert len({tuple(sorted(kind.draw(Random(seed)).items())) for seed in range(600)}) >= 60, kind.topic
