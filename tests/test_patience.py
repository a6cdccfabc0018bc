"""Long readings say how far they are: between two events a stage reads one batch, so that others are served."""

from __future__ import annotations

import pytest

from lab import dpo, reward, sft
from lab.cast import Cast
from lab.config import Reward
from lab.events import Progress
from lab.loading import load
from lab.models import Roles
from lab.probe import first_head, learning_curve
from lab.reward import Ranked


@pytest.fixture(scope="module")
def roles():
    found = load("tiny", device="cpu")
    found.add("reward", like="sft")
    found.head("reward")
    return found


def rankings(roles, count=24):
    answers = [tuple(roles.text.response_ids(text)) for text in ("A penguin eats fish.", "Fish.", "No, no.")]
    asked = [tuple(roles.text.prompt_ids(f"{number} and what does a penguin eat?")) for number in range(count)]
    return [Ranked(each, tuple(answers), ((0,), (2,), (1,))) for each in asked]


READINGS = {
    "pairs_of": lambda roles: dpo.pairs_of(roles, Cast(), rankings(roles)),
    "score_all": lambda roles: reward.score_all(roles, rankings(roles)),
    "measure_scale": lambda roles: reward.measure_scale(
        roles, roles.text.asked(["Why?", "What is rain?"], room=4), Reward(normalise_over=96, tokens=4)
    ),
    "learning_curve": lambda roles: learning_curve(roles, "sft", rankings(roles), rankings(roles)),
    "first_head": lambda roles: first_head(roles, "sft", rankings(roles)),
    "held_out_loss": lambda roles: sft.held_out_loss(roles, [("Why?", "So it is.")] * 40),
}


@pytest.mark.parametrize("name", READINGS)
def test_no_more_than_one_batch_is_read_between_two_events(name, roles, monkeypatch):
    real, read = Roles.hidden, []
    monkeypatch.setattr(Roles, "hidden", lambda *given, **named: read.append(1) or real(*given, **named))
    seen = []
    for event in READINGS[name](roles):
        assert isinstance(event, Progress) and 0 <= event.done <= event.total
        seen.append(len(read))
    assert len(seen) > 3 and max(b - a for a, b in zip([0, *seen], [*seen, len(read)], strict=True)) == 1
