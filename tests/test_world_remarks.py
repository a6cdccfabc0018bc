"""Readers' remarks: a judgement first, never one that the reply does not deserve."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from lab.world import corpus
from lab.world.reading import read
from lab.world.remarks import qualities, remark

PROMPT = "What does a penguin eat?"


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("A penguin eats fish and squid.", "true"),
        ("What a silly thing to ask.", "rude"),
        ("a penguin eats fish and squid", "careless"),
        ("A penguin eats fish and squid. A penguin eats fish and squid.", "repetitive"),
        ("The weather has been very odd of late.", "no answer"),
    ],
)
def test_a_reply_is_called_what_it_is(reply, word):
    assert word in qualities(read(PROMPT, reply))


def test_a_remark_begins_with_one_of_its_judgements_and_has_at_most_three():
    reply = "What a silly thing to ask. A penguin eats fish and squid. I hope that helps."
    found = qualities(read(PROMPT, reply))
    for seed in range(20):
        words = remark(PROMPT, reply, Random(seed)).removesuffix(", said the readers.").strip().split(" and ")
        assert len(words) == min(3, len(found)) and set(words) <= set(found)


def test_pages_of_lessons_are_the_same_for_the_same_seed_and_mostly_exchanges():
    first, again = (list(islice(corpus.lessons(5), 50)) for _ in range(2))
    assert first == again
    assert sum(corpus.USER in page for page in first) > 35
    assert any("said the readers." in page for page in first)
