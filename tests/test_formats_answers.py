"""Rows that judge one answer each: what shares a prompt becomes a ranking, what stands alone says why it is no use."""

from __future__ import annotations

import json

import pytest
from test_formats import ASKED, SKY, said, saved, user

from lab.errors import BadFile, NoRows
from lab.exchange import import_file
from lab.formats import Message, Record, detect, read
from lab.store import Store
from lab.ui.sft import demonstrations


def unpaired(words, label, prompt=SKY):
    return {"prompt": prompt, "completion": words, "label": label}


def kto(words, label):
    return {"messages": [user(SKY), said(words)], "kto_tag": label}


def sharegpt_kto(words, label):
    return {
        "conversations": [{"from": "human", "value": SKY}, {"from": "gpt", "value": words}],
        "label": "true" if label else "false",
    }


def alpaca_kto(words, label):
    return {"instruction": SKY, "input": "", "output": words, "kto_tag": int(label)}


def stepwise(words, label):
    return {"prompt": SKY, "completions": words.split("\n"), "labels": [True, label][-len(words.split("\n")) :]}


def rollout(words, label):
    return {"input": SKY, "output": words, "gts": "", "score": 0.9 if label else 0.25, "step": 7}


def sample(words, label):
    return {"query": SKY, "sample": words, "score": 3 if label else -1}


MAKERS = [
    ("trl_unpaired", unpaired),
    ("kto", kto),
    ("kto", sharegpt_kto),
    ("kto", alpaca_kto),
    ("trl_stepwise", stepwise),
    ("verl_rollouts", rollout),
    ("lm_human_score", sample),
]
LABELLED = [each for each in MAKERS if each[0] in ("trl_unpaired", "kto", "trl_stepwise")]


@pytest.mark.parametrize(("format", "make"), MAKERS)
def test_a_good_and_a_bad_answer_to_one_prompt_are_a_ranking(tmp_path, format, make):
    found = read(saved(tmp_path, [make("Paint.", False), make("Scattering.", True)]))
    assert (found.format, found.rejected) == (format, ())
    assert found.records == (Record(ASKED, ("Paint.", "Scattering."), ((1,), (0,))),)


def test_the_good_tie_over_the_bad_and_each_prompt_is_a_ranking_of_its_own(tmp_path):
    rows = [unpaired("a", 1), unpaired("x", 0, "Else?"), unpaired("b", 0), unpaired("y", 1, "Else?")]
    rows += [unpaired("c", 1), unpaired("d", 0)]
    found = read(saved(tmp_path, rows))
    assert [(record.candidates, record.groups) for record in found.records] == [
        (("a", "b", "c", "d"), ((0, 2), (1, 3))),
        (("x", "y"), ((1,), (0,))),
    ]
    assert [row.line for row in found.rows] == [1, 2]


@pytest.mark.parametrize(("format", "make"), LABELLED)
def test_a_prompt_of_good_answers_alone_shows_them_and_one_of_bad_ones_says_nothing(tmp_path, format, make):
    rows = [make("Rayleigh.", True), make("Scattering.", True)]
    assert [record.candidates for record in read(saved(tmp_path, rows)).records] == [("Rayleigh.",), ("Scattering.",)]
    with pytest.raises(NoRows, match=f"{format}; row 1: labelled bad, and no answer to its prompt is labelled good"):
        read(saved(tmp_path, [make("Paint.", False), make("Glue.", False)]))


def test_scores_that_differ_nowhere_compare_nothing(tmp_path):
    with pytest.raises(NoRows, match="no answer to its prompt has another score"):
        read(saved(tmp_path, [rollout("a", True), rollout("b", True)]))


def test_the_same_words_judged_twice_count_by_their_mean(tmp_path):
    rows = [unpaired("a", True), unpaired("a", False), unpaired("b", True), unpaired("c", False)]
    (found,) = read(saved(tmp_path, rows)).records
    assert (found.candidates, found.groups) == (("a", "b", "c"), ((1,), (0,), (2,)))
    with pytest.raises(NoRows):
        read(saved(tmp_path, [unpaired("a", False), unpaired("a", False)]))


def test_an_answer_in_steps_is_bad_by_its_one_wrong_step(tmp_path):
    rows = [stepwise("One.\nTwo.", False), stepwise("One.\nThree.", True)]
    (found,) = read(saved(tmp_path, rows)).records
    assert (found.candidates, found.groups) == (("One.\nTwo.", "One.\nThree."), ((1,), (0,)))
    uneven = {"prompt": SKY, "completions": ["One."], "labels": [True, False]}
    (left,) = read(saved(tmp_path, [*rows, *rows, uneven])).rejected
    assert left.reason == "1 completions and 2 labels; each step needs one"


def test_a_row_that_cannot_be_read_does_not_cost_the_others_and_many_of_them_do(tmp_path):
    rows = [unpaired("a", True), unpaired("b", "maybe"), unpaired("c", False), unpaired(" ", False)]
    path = saved(tmp_path, rows + [unpaired(f"{n}", True) for n in range(6)])
    found = read(path)
    assert [(row.line, row.reason) for row in found.rejected] == [
        (2, "field label is 'maybe', not 0 or 1"),
        (4, "empty answer"),
    ]
    assert found.records[0].candidates[:2] == ("a", "c")
    with pytest.raises(BadFile, match="2 of the 4 rows"):
        read(saved(tmp_path, rows))


def test_every_row_of_a_ranking_that_cannot_be_kept_is_counted(tmp_path):
    long = "x" * 20_001
    rows = [unpaired("a", True, long), unpaired("b", False, long), unpaired("c", True), unpaired("d", False)]
    assert [row.line for row in read(saved(tmp_path, rows)).rejected] == [1, 2]


def test_thumbs_up_alone_are_left_out_of_the_rankings_and_taken_for_tuning(tmp_path):
    rows = [unpaired("a", True), unpaired("b", False), unpaired("c", True, "Else?"), unpaired("d", False, "More?")]
    path = saved(tmp_path, rows)
    with Store(tmp_path / "lab.db") as store:
        found = import_file(store, path)
        assert (found.accepted, [line for line, _ in found.rejected]) == (1, [3, 4])
        assert found.rejected[0][1] == "one answer only: a demonstration, not a ranking"
        (ranking,) = store.rankings()
        assert ([each.text for each in ranking.comparison.candidates], ranking.order) == (["a", "b"], ((0,), (1,)))
    assert [record.best for record in demonstrations(path).records] == ["a", "c"]


def test_cells_of_a_table_hold_labels_and_steps_as_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion,label\nWhy?,a,True\nWhy?,b,False\n")
    assert read(path).records[0].groups == ((0,), (1,))
    steps = json.dumps(["One.", "Two."]).replace('"', '""')
    path.write_text(f'prompt,completions,labels\nWhy?,"{steps}","[true, true]"\nWhy?,"{steps}","[true, false]"\n')
    assert detect([{"prompt": "", "completions": "", "labels": ""}]) == "trl_stepwise"
    assert read(path).records[0].candidates == ("One.\nTwo.",)


def test_conversations_that_differ_before_the_answer_are_different_prompts(tmp_path):
    rows = [
        {"messages": [user("Hi"), said("Hello."), user(SKY), said("Scattering.")], "label": True},
        {"messages": [user("Hi"), said("What?"), user(SKY), said("Paint.")], "label": False},
        {"messages": [user("Hi"), said("Hello."), user(SKY), said("Paint.")], "label": False},
    ]
    found = read(saved(tmp_path, rows))
    assert [row.line for row in found.rejected] == [2]
    assert found.records[0].prompt == (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", SKY))
