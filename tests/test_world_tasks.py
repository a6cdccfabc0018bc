"""Tests of the kinds about tasks, plans, choices, manners and sums."""

from __future__ import annotations

import re
from random import Random

import pytest

from lab.world import kinds_tasks, kinds_words
from lab.world.language import Kind, Shape, fill, fill_all, normalise

KINDS = (*kinds_tasks.KINDS, *kinds_words.KINDS)
SEEDS = 60
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name}-{kind.topic}")


def _drawn(kind: Kind, seeds: int = SEEDS) -> list[dict[str, str]]:
    return [dict(kind.draw(Random(seed))) for seed in range(seeds)]


def _shapes(kind: Kind) -> list[Shape]:
    return [Shape(template) for template in kind.shapes]


def _known(shapes: list[Shape], kind: Kind, sentence: str) -> bool:
    """Whether a shape explains the sentence with values that the kind knows."""
    matches = (shape.match(normalise(sentence)) for shape in shapes)
    return any(found is not None and set(found.values()) <= kind.phrases for found in matches)


def _topic(name: str, topic: str) -> Kind:
    return next(kind for kind in KINDS if (kind.name, kind.topic) == (name, topic))


@every_kind
def test_every_ask_is_recognised_with_the_slots_it_was_written_from(kind: Kind):
    asks = [Shape(ask) for ask in kind.asks]
    for slots in _drawn(kind):
        for shape in asks:
            assert shape.match(normalise(fill(shape.template, slots))) == slots


@every_kind
def test_every_true_sentence_is_matched_by_a_shape_with_known_phrases(kind: Kind):
    shapes = _shapes(kind)
    for slots in _drawn(kind):
        truth = kind.truth(slots)
        for sentence in (*(text for part in truth.parts for text in part), *truth.supports):
            assert _known(shapes, kind, sentence), sentence


@every_kind
def test_a_wrong_sentence_has_a_known_shape_and_is_never_true(kind: Kind):
    shapes = _shapes(kind)
    for seed, slots in enumerate(_drawn(kind, 2 * SEEDS)):
        truth, sentence = kind.truth(slots), kind.wrong(slots, Random(seed))
        assert _known(shapes, kind, sentence), sentence
        true = {normalise(text) for text in (*(text for part in truth.parts for text in part), *truth.supports)}
        assert normalise(sentence) not in true
        assert kind.wrong(slots, Random(seed)) == sentence


@every_kind
def test_answers_keep_to_the_limits_of_length_and_number(kind: Kind):
    for slots in _drawn(kind):
        truth = kind.truth(slots)
        assert all(len(set(part)) >= 3 for part in truth.parts)
        assert all(4 <= len(text.split()) <= 14 for part in truth.parts for text in part), truth.parts
        assert sum(max(len(text.split()) for text in part) for part in truth.parts) <= 45, truth.parts
        assert 2 <= len(truth.supports) <= 4 and 1 <= len(truth.shorts) <= 3
        assert all(3 <= len(text.split()) <= 14 for text in truth.supports), truth.supports


@every_kind
def test_sentences_use_only_the_plain_characters(kind: Kind):
    for seed, slots in enumerate(_drawn(kind)):
        truth = kind.truth(slots)
        said = (*(text for part in truth.parts for text in part), *truth.supports, *truth.shorts)
        for text in (*said, kind.wrong(slots, Random(seed))):
            assert re.fullmatch(r"[A-Z][A-Za-z ,-]*[.!?]", text), text
        for ask in fill_all(kind.asks, slots):
            assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9 ,-]*[.!?]", ask), ask
    assert all(1 <= len(phrase.split()) <= 7 for phrase in kind.phrases)


@every_kind
def test_every_ask_names_the_same_slots_and_there_are_enough_wordings(kind: Kind):
    slots = {frozenset(re.findall(r"\{(?:a_)?(\w+)\}", ask)) for ask in kind.asks}
    assert slots == {frozenset(_drawn(kind, 1)[0])}
    assert len(set(kind.asks)) == len(kind.asks) >= 8


@every_kind
def test_slots_from_outside_the_tables_are_refused(kind: Kind):
    for key in (slots := _drawn(kind, 1)[0]):
        with pytest.raises(KeyError):
            kind.truth({**slots, key: "purple thunder"})


@every_kind
def test_no_ask_of_another_kind_is_taken_for_ones_own(kind: Kind):
    shapes = [Shape(ask) for ask in kind.asks]
    for other in KINDS:
        if other is kind:
            continue
        for text in fill_all(other.asks, _drawn(other, 1)[0]):
            for found in filter(None, (shape.match(normalise(text)) for shape in shapes)):
                with pytest.raises(KeyError):
                    kind.truth(found)


def test_there_are_at_least_sixty_tasks_of_three_or_four_steps():
    tasks = {slots["task"]: kind for kind in KINDS if kind.name == "howto" for slots in _drawn(kind, 300)}
    assert len(tasks) >= 60
    assert all(len(kind.truth({"task": task}).parts) in (3, 4) for task, kind in tasks.items())


def test_a_plan_changes_where_its_day_company_or_occasion_changes():
    kind = _topic("plan", "occasions")
    base = {"occasion": "picnic", "company": "toddlers", "day": "hot day"}
    first = kind.truth(base).parts
    changed = {
        key: tuple(a != b for a, b in zip(first, kind.truth({**base, key: value}).parts, strict=True))
        for key, value in (("occasion", "book club"), ("company", "grandparents"), ("day", "rainy day"))
    }
    assert changed == {"occasion": (True,) * 3, "company": (False, True, False), "day": (True, False, True)}


def test_either_of_two_offered_options_is_a_good_choice_and_the_same_twice_is_no_question():
    kind = _topic("choose", "drinks")
    (picks,) = kind.truth({"x": "tea", "y": "cocoa"}).parts
    assert {"tea" in pick for pick in picks} == {True, False} and all(
        "tea" in pick or "cocoa" in pick for pick in picks
    )
    with pytest.raises(KeyError):
        kind.truth({"x": "tea", "y": "tea"})


def test_a_polite_request_keeps_its_object_and_ends_as_a_question():
    for kind in (kind for kind in KINDS if kind.name == "rewrite"):
        for slots in _drawn(kind):
            assert all(text.endswith("?") for text in kind.truth(slots).parts[0])
    parts = _topic("rewrite", "requests").truth({"action": "pass me", "object": "salt"}).parts
    assert "Could you please pass me the salt?" in parts[0]


def test_a_gate_cannot_be_passed_over_the_table():
    with pytest.raises(KeyError):
        _topic("rewrite", "requests").truth({"action": "pass me", "object": "gate"})


@pytest.mark.parametrize(
    ("topic", "slots", "said"),
    [
        ("plus", {"m": "7", "n": "5"}, "Seven plus five is twelve."),
        ("minus", {"m": "twenty", "n": "three"}, "Twenty minus three is seventeen."),
        ("times", {"m": "6", "n": "seven"}, "Six times seven is forty-two."),
        ("half", {"m": "90"}, "Half of ninety is forty-five."),
        ("twice", {"m": "50"}, "Twice fifty is exactly one hundred."),
        ("after", {"m": "29"}, "The number after twenty-nine is thirty."),
        ("before", {"m": "100"}, "The number before one hundred is ninety-nine."),
        ("bigger", {"m": "31", "n": "13"}, "The bigger of the two is thirty-one."),
        ("eaten", {"m": "6", "n": "2", "things": "apples"}, "That leaves four of the apples."),
        ("found", {"m": "9", "n": "4", "things": "shells"}, "That makes thirteen shells in all."),
        ("shared", {"m": "12", "n": "4", "things": "plums"}, "Each of them gets three of the plums."),
        ("legs", {"m": "3", "things": "spiders"}, "Together three spiders have twenty-four legs."),
    ],
)
def test_a_sum_worked_by_hand_comes_out(topic: str, slots: dict[str, str], said: str):
    assert said in _topic("count", topic).truth(slots).parts[0]


def test_a_sum_that_makes_no_sense_is_refused():
    for topic, slots in (("minus", {"m": "3", "n": "5"}), ("half", {"m": "7"}), ("bigger", {"m": "4", "n": "4"})):
        with pytest.raises(KeyError):
            _topic("count", topic).truth(slots)
