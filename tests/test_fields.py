"""Start forms are made from the config classes, and what they send is checked by them."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from lab.config import Compare, Dpo, Group, Ppo, Reward, Sft
from lab.errors import BadInput, BadNumber
from lab.ui.fields import VISIBLE, live_schema, read, read_one, schema

ALL = (Sft, Reward, Ppo, Compare)


@pytest.mark.parametrize("config", ALL)
def test_every_knob_is_a_field_with_a_label_in_words_and_at_most_eight_stand_in_the_open(config):
    made = schema(config)
    assert [record["name"] for record in made] == [each.name for each in fields(config)]
    assert 1 <= sum(record["shown"] for record in made) <= VISIBLE
    for record in made:
        assert record["label"][0].isupper() and "_" not in record["label"] and record["help"][0] != "_"


@pytest.mark.parametrize("config", (*ALL, Group, Dpo))
def test_help_says_more_than_the_label_does_and_is_no_half_sentence(config):
    for record in schema(config):
        words, known = (set(record[key].lower().replace("'s", "").split()) for key in ("help", "label"))
        assert words - known and not record["help"].startswith("Of "), record


def test_a_newcomer_reads_of_layers_as_a_share_and_of_every_choice_what_it_does():
    found = {record["name"]: record for record in schema(Ppo)}
    assert found["unfrozen"]["label"].startswith("Share of") and "1 is all" in found["unfrozen"]["help"]
    for name in ("unfrozen", "temperature", "lam"):
        assert len(found[name]["help"].split()) > 12
    assert all(word in found["missing_eos"]["help"] for word in ("replace", "subtract", "off"))


@pytest.mark.parametrize("config", ALL)
def test_an_untouched_form_gives_the_usual_settings(config):
    found = read(config, {record["name"]: record["default"] for record in schema(config)})
    chosen = {"learning_rate"} & set(asdict(config()))
    assert found == {name: value for name, value in asdict(config()).items() if name not in chosen}
    assert not chosen or read(config, {"learning_rate": 0.25})["learning_rate"] == 0.25


def test_the_knobs_that_may_move_while_ppo_runs():
    assert {"beta", "learning_rate", "target_kl", "temperature"} <= {record["name"] for record in live_schema(Ppo)}


def test_a_whole_number_may_arrive_as_json_writes_it():
    assert read(Ppo, {"steps": 12.0})["steps"] == 12


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"steps": None},
        {"steps": "7"},
        {"steps": True},
        {"beta": float("nan")},
        {"beta": -1},
    ],
)
def test_a_number_that_cannot_be_is_refused_with_the_knobs_name_in_words(values):
    with pytest.raises(BadNumber) as refusal:
        read(Ppo, values)
    assert next(iter(values)).capitalize() in str(refusal.value) or "beta" in str(refusal.value)


@pytest.mark.parametrize("values", [{"no_such": 1}, [], "x", {"loss": "other"}, {"loss": 3}])
def test_anything_else_is_refused(values):
    with pytest.raises(BadInput):
        read(Reward, values)


def test_only_a_live_knob_moves_and_only_within_its_range():
    current = asdict(Ppo())
    assert read_one(Ppo, current, "beta", 0.5) == 0.5
    with pytest.raises(BadInput):
        read_one(Ppo, current, "steps", 5)
    with pytest.raises(BadNumber):
        read_one(Ppo, current, "beta", -0.5)
