"""Published comparisons and Argilla's tables: which answer each takes for the better, and what they lose."""

from __future__ import annotations

import pytest
from test_formats import ASKED, SAME_PAIR, SKY, one, reason, said, saved, user

from lab.errors import NoRows
from lab.formats import Message, Record, read

SAMPLE = dict(SAME_PAIR)


@pytest.mark.parametrize(
    ("format", "changes", "groups"),
    [
        ("arena_conversations", {"winner": "model_b"}, ((1,), (0,))),
        ("arena_conversations", {"winner": "tie"}, ((0, 1),)),
        ("arena_conversations", {"winner": "tie (bothbad)"}, ((0, 1),)),
        ("lm_human_best", {"best": 1}, ((1,), (0,))),
        ("lm_human_difference", {"difference": 2}, ((1,), (0,))),
        ("lm_human_difference", {"difference": 0}, ((0, 1),)),
        ("human_eval", {"preference": "b-is-better"}, ((1,), (0,))),
        ("human_eval", {"preference": "tie"}, ((0, 1),)),
        ("distilabel", {"ratings": [1, 4]}, ((1,), (0,))),
        ("distilabel", {"ratings": [3, 3]}, ((0, 1),)),
        ("distilabel", {"generations": '["Scattering.", "Paint."]', "ratings": "[1, 4]"}, ((1,), (0,))),
    ],
)
def test_each_verdict_is_read_the_right_way_round(tmp_path, format, changes, groups):
    found = read(saved(tmp_path, [SAMPLE[format] | changes]))
    assert (found.format, found.records[0].groups) == (format, groups)


@pytest.mark.parametrize(
    ("format", "changes", "expected"),
    [
        ("arena_conversations", {"winner": "a"}, "field winner is 'a', none of model_a"),
        ("arena_conversations", {"conversation_b": [user("Else?"), said("Paint.")]}, "conversation_a and"),
        ("lm_human_best", {"best": 2}, "field best is 2, and there are 2 samples"),
        ("lm_human_best", {"sample1": "Scattering."}, "two of its samples are the same"),
        ("human_eval", {"preference": ""}, "no preference was given"),
        ("human_eval", {"preference": "c"}, "field preference is 'c', none of a-is-better"),
        ("human_eval", {"completion_b": "Scattering."}, "identical chosen and rejected"),
        ("distilabel", {"ratings": [1]}, "2 generations and 1 ratings"),
        ("distilabel", {"ratings": [1, None]}, "1 of its answers are rated"),
        ("distilabel", {"generations": ["a", "a"]}, "all of its answers are the same"),
    ],
)  # fmt: skip
def test_a_row_without_a_verdict_on_two_answers_is_left_out_with_the_reason(tmp_path, format, changes, expected):
    assert reason(tmp_path, SAMPLE[format] | changes, SAMPLE[format]).startswith(expected)


def test_arena_conversations_of_several_turns_need_the_same_turns_above_the_answer(tmp_path):
    row, start = SAMPLE["arena_conversations"], [user("Hi"), said("Hello."), user(SKY)]
    same = row | {"conversation_a": [*start, said("a")], "conversation_b": [*start, said("b")]}
    assert len(one(tmp_path, same).prompt) == 3
    other = same | {"conversation_b": [user("Hi"), said("What?"), user(SKY), said("b")]}
    assert "whose earlier answers differ" in reason(tmp_path, other, row)


def test_the_best_of_four_samples_is_above_the_others_who_tie(tmp_path):
    row = {"query": SKY, "best": 2} | {f"sample{n}": f"answer {n}" for n in range(4)}
    assert one(tmp_path, row).groups == ((2,), (0, 1, 3))


def test_one_is_the_rater_who_evaluated_and_the_judge_of_the_arena_is_not(tmp_path):
    assert one(tmp_path, SAMPLE["human_eval"] | {"evaluator": "ana"}).rater == "ana"
    assert one(tmp_path, summary(0) | {"worker": 12}).rater == "12"
    assert one(tmp_path, SAMPLE["arena_conversations"] | {"judge": "voter_7"}).rater == ""


POST = {"id": "t3_x", "subreddit": "pets", "title": "My cat sings", "post": "Every night at four.", "article": None}


def summary(choice, **info):
    summaries = [{"text": " A cat sings.", "policy": "p"}, {"text": " Cats are fine.", "policy": "q"}]
    return {"info": POST | info, "summaries": summaries, "choice": choice, "worker": "w1", "batch": "b", "split": "s"}


def test_a_summary_is_chosen_by_its_index_and_the_post_is_what_was_asked(tmp_path):
    asked = "SUBREDDIT: r/pets\nTITLE: My cat sings\nPOST: Every night at four.\nTL;DR:"
    found = read(saved(tmp_path, [summary(0), summary(1)]))
    assert found.format == "summarize_from_feedback"
    first = Record((Message("user", asked),), (" A cat sings.", " Cats are fine."), ((0,), (1,)), None, "w1", "t3_x")
    assert found.records[0] == first and found.records[1].groups == ((1,), (0,))
    article = summary(0, post=None, article="Cats sang in Oslo.")
    assert one(tmp_path, article).prompt[0].content == "Article: Cats sang in Oslo.\n\nTL;DR:"
    assert reason(tmp_path, summary(2), summary(0)) == "field choice is 2, not 0 or 1"


def flat(*values, states=None, **more):
    count = len(values)
    return {
        "prompt": SKY,
        "reply-1": "Paint.",
        "reply-2": "Scattering.",
        "order.responses": list(values),
        "order.responses.users": ["ana", "ben", "cleo"][:count],
        "order.responses.status": states or ["submitted"] * count,
        "order.suggestion": None,
        "note.responses": ["fine"] * count,
    } | more


def ranks(first, second):
    return [{"value": "reply-1", "rank": first}, {"value": "reply-2", "rank": second}]


def test_a_flat_table_of_argilla_gives_a_ranking_for_each_person(tmp_path):
    found = read(saved(tmp_path, [flat(ranks(2, 1), ranks(1, 1), ranks(1, 2), states=["submitted"] * 2 + ["draft"])]))
    texts = ("Paint.", "Scattering.")
    assert found.format == "argilla_flat"
    assert found.records == (
        Record(ASKED, texts, ((1,), (0,)), rater="ana"),
        Record(ASKED, texts, ((0, 1),), rater="ben"),
    )


def test_a_field_of_argilla_may_hold_a_conversation(tmp_path):
    asked = [user("Hi"), said("Hello."), user(SKY)]
    assert [turn.role for turn in one(tmp_path, flat(ranks(1, 2), prompt=asked)).prompt] == [
        "user",
        "assistant",
        "user",
    ]
    row = SAMPLE["distilabel"] | {"instruction": asked, "system_prompt": "Be brief."}
    assert [turn.role for turn in one(tmp_path, row).prompt] == ["system", "user", "assistant", "user"]


def test_a_flat_table_whose_rankings_lost_their_ranks_is_not_guessed_at(tmp_path):
    with pytest.raises(NoRows, match="lists the answers without their ranks"):
        read(saved(tmp_path, [flat(["reply-1", "reply-2"])]))


def test_a_flat_row_says_what_it_lacks(tmp_path):
    good = flat(ranks(1, 2))
    assert "from 1 (best)" in reason(tmp_path, flat(ranks(0, 1)), good)
    assert "nobody submitted" in reason(tmp_path, flat(ranks(1, 2), states=["discarded"]), good)
    assert "1 responses and 2 in order.responses.users" in reason(
        tmp_path, good | {"order.responses.users": ["ana", "ben"]}, good
    )
    unranked = {key: value for key, value in good.items() if not key.startswith("order")}
    assert "nobody answered a ranking" in reason(tmp_path, unranked, good)
