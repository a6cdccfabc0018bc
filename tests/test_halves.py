"""Two reward models on two halves of the rankings: no prompt in common, none left over, and what is said when few."""

from __future__ import annotations

import pytest
from folders import make

from lab.__main__ import parser
from lab.errors import BadNumber, NoRows, TooFewRankings
from lab.journal import read_json
from lab.loading import load
from lab.material import half_of
from lab.store import Candidate, Comparison, Ranking
from lab.studio import Studio
from lab.workspace import Workspace

QUICK = {"epochs": 1, "normalise_over": 8, "tokens": 4}


def ranking(prompt, turns=()) -> Ranking:
    found = Comparison("c", "p", prompt, (Candidate("x", "sft"), Candidate("y", "sft")), 0.0, "own", turns)
    return Ranking(1, "k", found, ((0,), (1,)), (0, 1), "me", 1.0, "", (), None, 0.0, None, False)


def fill(workspace, count, first=0):
    with workspace.store() as store:
        for number in range(first, count):
            [prompt] = store.add_prompts([f"Question {number}?"], "own")
            for rater in ("ana", "bo"):
                compared = store.add_comparison(prompt, [Candidate("a" * (1 + i), "sft") for i in range(4)])
                store.rank(f"{rater} {number}", compared, [[3], [2], [1], [0]], rater=rater)


@pytest.fixture
def studio(tmp_path):
    return Studio(Workspace(tmp_path / "w"), load(str(make(tmp_path / "model", "llama")), device="cpu"))


def begun(studio, half):
    """The rows of data.json that a run on this half works on."""
    studio.start("reward", QUICK | {"half": half}, {"raters": "person"}).events.close()
    return read_json(studio.workspace.runs()[-1].folder / "data.json")["rankings"]


def test_the_halves_share_no_prompt_leave_none_out_and_hold_all_rankings_of_each_of_theirs(studio):
    fill(studio.workspace, 60)
    whole, first, second = (begun(studio, half) for half in ("all", "first", "second"))
    one, other = ({tuple(row[0]) for row in rows} for rows in (first, second))
    assert not one & other and len(one | other) == 60 and min(len(one), len(other)) > 15
    assert len(whole) == len(first) + len(second) == 120
    assert len(first) == 2 * len(one)


def test_a_prompt_stays_in_its_half_whatever_is_ranked_later(studio):
    fill(studio.workspace, 40)
    before = {tuple(row[0]) for row in begun(studio, "first")}
    fill(studio.workspace, 80, 40)
    assert before < {tuple(row[0]) for row in begun(studio, "first")}
    assert half_of(ranking(" why\nis the SKY blue? ")) == half_of(ranking("Why is the sky blue?"))


def test_a_conversation_goes_where_its_first_question_goes():
    for number in range(20):
        begins = ("user", f"Question {number}?")
        turns = (("system", "Be brief."), begins, ("assistant", "So."), ("user", "And then?"))
        assert half_of(ranking("And then?", turns)) == half_of(ranking(f"Question {number}?"))


def test_too_few_rankings_in_a_half_are_refused_with_their_number_and_a_way_out(studio):
    fill(studio.workspace, 6)
    with pytest.raises(TooFewRankings, match=r"rankings of the (first|second) half give .* learn from all of them"):
        for half in ("first", "second"):
            begun(studio, half)
    assert not studio.workspace.runs() or len(studio.workspace.runs()) == 1


def test_an_empty_half_and_a_third_one_are_refused(studio):
    fill(studio.workspace, 1)
    empty = "second" if half_of(ranking("Question 0?")) == "first" else "first"
    with pytest.raises(NoRows, match=f"None of the 2 rankings by a person is of a prompt in the {empty} half"):
        begun(studio, empty)
    with pytest.raises(BadNumber, match="all, first, second"):
        begun(studio, "third")
    assert not studio.workspace.runs()


def test_a_shell_chooses_the_half_by_a_flag():
    assert parser().parse_args(["reward", "--half", "second"]).half == "second"
