"""Reading preference rows: each format by hand-worked rows, and the traps that they set."""

from __future__ import annotations

import json

import pytest

from lab.errors import BadInput, NoRows
from lab.formats import FORMATS, Message, Record, detect, preview, read
from lab.formats.record import ranked

ASKED = (Message("user", "Why is the sky blue?"),)
TWO = ((0,), (1,))


def saved(folder, rows, name="rows.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def one(folder, row, format="auto"):
    return read(saved(folder, [row]), format).records[0]


def reason(folder, row, good, format="auto"):
    """Why a row is left out of a file whose other nine rows are good."""
    (rejected,) = read(saved(folder, [good] * 9 + [row]), format).rejected
    assert rejected.line == 10
    return rejected.reason


def user(words):
    return {"role": "user", "content": words}


def said(words):
    return {"role": "assistant", "content": words}


SKY = "Why is the sky blue?"
PLAIN = {"prompt": SKY, "chosen": "Scattering.", "rejected": "Paint."}

# Every row says that the sky's first answer is better; the format beside it is the one to detect.
SAME_PAIR = [
    ("trl", PLAIN),
    ("trl_conversational", {"prompt": [user(SKY)], "chosen": [said("Scattering.")], "rejected": [said("Paint.")]}),
    (
        "trl_conversational",
        {"chosen": [user(SKY), said("Scattering.")], "rejected": [user(SKY), said("Paint.")]},
    ),
    (
        "trl_conversational",
        {"prompt": SKY, "chosen": [user(SKY), said("Scattering.")], "rejected": [user(SKY), said("Paint.")]},
    ),
    (
        "sharegpt",
        {
            "conversations": [{"from": "human", "value": SKY}],
            "chosen": {"from": "gpt", "value": "Scattering."},
            "rejected": {"from": "gpt", "value": "Paint."},
        },
    ),
    ("alpaca_ranking", {"instruction": SKY, "input": "", "chosen": "Scattering.", "rejected": "Paint."}),
    (
        "llamafactory_v1",
        {
            f"{kind}_messages": [
                {"role": "user", "content": [{"type": "text", "value": SKY}], "loss_weight": 0.0},
                {"role": "assistant", "content": [{"type": "text", "value": words}], "loss_weight": 1.0},
            ]
            for kind, words in (("chosen", "Scattering."), ("rejected", "Paint."))
        },
    ),
    (
        "hh",
        {
            "chosen": f"\n\nHuman: {SKY}\n\nAssistant: Scattering.",
            "rejected": f"\n\nHuman: {SKY}\n\nAssistant: Paint.",
        },
    ),
    ("hh", {"prompt": f"\n\nHuman: {SKY}\n\nAssistant:", "chosen": " Scattering.", "rejected": " Paint."}),
    ("h2o", {"system": "", "question": SKY, "chosen": "Scattering.", "rejected": "Paint."}),
    ("h2o", {"instruction": SKY, "chosen_response": "Scattering.", "rejected_response": "Paint."}),
    ("shp", {"history": SKY, "human_ref_A": "Scattering.", "human_ref_B": "Paint.", "labels": 1}),
    ("pku", {"prompt": SKY, "response_0": "Scattering.", "response_1": "Paint.", "better_response_id": 0}),
    (
        "arena55k",
        {
            "prompt": json.dumps([SKY]),
            "response_a": json.dumps(["Scattering."]),
            "response_b": json.dumps(["Paint."]),
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
    ),
    (
        "distilabel",
        {"instruction": SKY, "generations": ["Scattering.", "Paint."], "ratings": [5, 2.0], "rationales": ["", ""]},
    ),
    (
        "arena_conversations",
        {
            "question_id": None,
            "model_a": "m",
            "model_b": "n",
            "winner": "model_a",
            "conversation_a": [user(SKY), said("Scattering.")],
            "conversation_b": [user(SKY), said("Paint.")],
            "turn": 1,
        },
    ),
    ("lm_human_best", {"query": SKY, "sample0": "Scattering.", "sample1": "Paint.", "best": 0}),
    ("lm_human_difference", {"query": SKY, "sample0": "Scattering.", "sample1": "Paint.", "difference": -0.5}),
    (
        "human_eval",
        {
            "prompt": SKY,
            "model_a": "m",
            "model_b": "n",
            "completion_a": "Scattering.",
            "completion_b": "Paint.",
            "completion_a_is_acceptable": "yes",
            "completion_b_is_acceptable": "yes",
            "preference": "a-is-slightly-better",
        },
    ),
    (
        "rankings",
        {"prompt": [user(SKY)], "candidates": [{"text": "Scattering."}, {"text": "Paint."}], "order": [[0], [1]]},
    ),
]


@pytest.mark.parametrize(("format", "row"), SAME_PAIR)
def test_every_format_says_the_same_pair_and_is_told_by_its_fields(tmp_path, format, row):
    found = read(saved(tmp_path, [row]))
    assert (found.format, found.records) == (format, (Record(ASKED, ("Scattering.", "Paint."), TWO),))


# Each shows the same answer to imitate.
ALONE = [
    ("alpaca", {"instruction": "Why is", "input": "the sky blue?", "output": "Scattering."}),
    ("messages", {"messages": [user("Why is\nthe sky blue?"), said("Scattering.")]}),
    ("messages", {"conversations": [{"from": "human", "value": "Why is\nthe sky blue?"}, said("Scattering.")]}),
    ("prompt_completion", {"prompt": "Why is\nthe sky blue?", "completion": "Scattering."}),
    ("prompt_response", {"prompt": "Why is\nthe sky blue?", "response": "Scattering."}),
    ("prompt_completion", {"prompt": [user("Why is\nthe sky blue?")], "completion": [said("Scattering.")]}),
]


@pytest.mark.parametrize(("format", "row"), ALONE)
def test_every_demonstration_has_one_answer_and_no_ranking(tmp_path, format, row):
    found = read(saved(tmp_path, [row]))
    prompt = (Message("user", "Why is\nthe sky blue?"),)
    assert (found.format, found.records) == (format, (Record(prompt, ("Scattering.",), ()),))


def test_plain_text_has_no_prompt(tmp_path):
    assert one(tmp_path, {"text": "The sky is blue."}) == Record((), ("The sky is blue.",))


def test_an_implicit_prompt_ends_at_a_whole_word(tmp_path):
    found = one(tmp_path, {"chosen": "The sky is blue.", "rejected": "The sky is black."})
    assert (found.prompt[0].content, found.candidates) == ("The sky is", (" blue.", " black."))


def test_a_margin_is_kept_and_a_margin_that_is_no_number_is_refused(tmp_path):
    assert one(tmp_path, PLAIN | {"margin": 0.5}).margin == 0.5
    assert one(tmp_path, PLAIN | {"margin": "0.5"}).margin == 0.5
    assert reason(tmp_path, PLAIN | {"margin": "much"}, PLAIN) == "field margin is 'much', not a finite number"


def test_shp_label_0_means_that_b_is_better(tmp_path):
    row = {"history": SKY, "human_ref_A": "Paint.", "human_ref_B": "Scattering.", "labels": "0"}
    assert one(tmp_path, row).groups == ((1,), (0,))


def test_pku_takes_the_helpful_answer_and_not_the_safe_one(tmp_path):
    row = {"prompt": SKY, "response_0": "No.", "response_1": "Yes.", "better_response_id": 1, "safer_response_id": 0}
    assert one(tmp_path, row).groups == ((1,), (0,))


ARENA = dict(SAME_PAIR)["arena55k"]


def test_an_arena_tie_is_one_group(tmp_path):
    assert one(tmp_path, ARENA | {"winner_model_a": 0, "winner_tie": 1}).groups == ((0, 1),)


def test_an_arena_row_has_exactly_one_outcome_and_one_turn(tmp_path):
    assert "2 of the three winner fields" in reason(tmp_path, ARENA | {"winner_model_b": 1}, ARENA)
    longer = ARENA | {key: json.dumps(["a", "b"]) for key in ("prompt", "response_a", "response_b")}
    assert reason(tmp_path, longer, ARENA).startswith("2 turns")


def test_higher_ratings_are_better_and_equal_means_tie(tmp_path):
    def completion(words, *ratings):
        return {"response": words, "annotations": {str(n): {"Rating": rating} for n, rating in enumerate(ratings)}}

    row = {
        "instruction": SKY,
        "models": ["a", "b", "c", "d"],
        "completions": [completion("w", "2", "4"), completion("x", "5", "N/A"), completion("y", "3"), completion("z")],
    }
    found = one(tmp_path, row)
    assert (found.candidates, found.groups) == (("w", "x", "y"), ((1,), (0, 2)))


def argilla_row(*ranks, status="submitted"):
    value = [{"value": f"response-{n}", "rank": rank} for n, rank in enumerate(ranks, start=1)]
    fields = {"prompt": SKY} | {f"response-{n}": f"answer {n}" for n in range(1, len(ranks) + 1)}
    response = {"user_id": "ana", "status": status, "values": {"preference": {"value": value}}}
    return {"fields": fields, "responses": [response, response | {"user_id": "ben"}]}


def test_argilla_ranks_count_from_1_as_best_and_each_person_is_a_record(tmp_path):
    found = read(saved(tmp_path, [argilla_row(2, 1, 2)]))
    assert found.format == "argilla"
    assert [record.rater for record in found.records] == ["ana", "ben"]
    assert found.records[0] == Record(ASKED, ("answer 1", "answer 2", "answer 3"), ((1,), (0, 2)), rater="ana")


def test_argilla_rank_0_and_drafts_are_left_out(tmp_path):
    assert "from 1 (best)" in reason(tmp_path, argilla_row(0, 1), argilla_row(1, 2))
    assert "nobody submitted" in reason(tmp_path, argilla_row(1, 2, status="draft"), argilla_row(1, 2))


def test_scores_become_groups_best_first():
    assert ranked([0.1, 0.3, 0.1, 0.2]) == ((1,), (3,), (0, 2))


def test_a_transcript_becomes_turns_and_is_cut_at_the_last_shared_assistant(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: And the sky?\n\nAssistant:"
    found = one(tmp_path, {"chosen": start + " It is blue.", "rejected": start + " It is green."})
    assert found.prompt == (Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "And the sky?"))
    assert found.candidates == ("It is blue.", "It is green.")


def test_a_transcript_whose_rejected_answer_is_empty_does_not_fall_back_to_an_earlier_turn(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: And the sky?\n\nAssistant:"
    row = {"chosen": start + " It is blue.", "rejected": start}
    assert reason(tmp_path, row, SAME_PAIR[7][1]) == "empty answer"


def test_transcripts_that_part_in_the_persons_words_have_no_common_prompt(tmp_path):
    start = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Is "
    row = {"chosen": start + "it?\n\nAssistant: Yes.", "rejected": start + "he?\n\nAssistant: No."}
    assert "part in the person's words" in reason(tmp_path, row, SAME_PAIR[7][1])


def test_a_sharegpt_answer_may_be_a_list_of_one_but_not_of_two(tmp_path):
    row = SAME_PAIR[4][1]
    assert one(tmp_path, row | {"chosen": [row["chosen"]]}) == one(tmp_path, row)
    assert "2 messages where one answer" in reason(tmp_path, row | {"chosen": [row["chosen"]] * 2}, row)


def test_a_system_column_becomes_a_system_message_only_where_it_says_something(tmp_path):
    row = SAME_PAIR[9][1]
    assert one(tmp_path, row | {"system": "Be brief."}).prompt[0] == Message("system", "Be brief.")
    assert one(tmp_path, row | {"system": "  "}).prompt == ASKED


def test_an_h2o_row_that_needs_another_row_is_left_out(tmp_path):
    row = SAME_PAIR[9][1]
    assert "parent_id" in reason(tmp_path, row | {"parent_id": "0"}, row)
    assert "another prompt" in reason(tmp_path, row | {"rejected_prompt": "Is it late?"}, row)


def test_alpaca_history_becomes_earlier_turns(tmp_path):
    row = {"instruction": "And now?", "output": "Now.", "history": [["Before?", "Before."]], "system": "S"}
    assert [turn.role for turn in one(tmp_path, row).prompt] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"chosen": "Paint."}, "identical chosen and rejected"),
        ({"chosen": " "}, "empty answer"),
        ({"prompt": "\n"}, "empty prompt"),
        ({"rejected": None}, "missing field rejected"),
        ({"prompt": 7}, "field prompt is a number, not a list of messages"),
        ({"chosen": [said("a"), said("b")], "rejected": [said("c")]}, "chosen and rejected differ in more than"),
        ({"prompt": [said("Hello.")]}, "the prompt ends with the assistant, not with the user"),
        ({"prompt": [user("a"), {"role": "tool", "content": "b"}]}, "role 'tool' is not one of"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "a message in field prompt has a part"),
        ({"prompt": "x" * 20_001}, "a prompt of 20,001 characters; the limit is 20,000"),
        ({"chosen": "\ud800"}, "text that holds half of a surrogate pair"),
    ],
)
def test_a_row_is_left_out_for_a_reason_in_plain_english(tmp_path, row, expected):
    assert reason(tmp_path, PLAIN | row, PLAIN).startswith(expected)


def test_an_order_must_name_each_answer_once(tmp_path):
    good = SAME_PAIR[-1][1]
    assert "does not name each of 2 answers once" in reason(tmp_path, good | {"order": [[0], [0]]}, good)
    assert one(tmp_path, good | {"order": []}).groups == ()


def test_a_line_that_is_broken_is_named_where_the_others_fit_no_format(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "a", "respo\n{"ask": "b", "tell": "c"}\n')
    with pytest.raises(NoRows, match=r"\(ask, tell\).*; row 1: not JSON.*; in a shell, --format NAME"):
        read(file)


def test_a_bad_first_row_does_not_decide_the_format():
    assert detect([{"text": "stray"}, PLAIN, PLAIN]) == "trl"


def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(BadInput, match="'dpo' is not a format.*rankings.*hh.*trl"):
        read(saved(tmp_path, [PLAIN]), "dpo")


def test_a_preview_shows_the_first_rows_and_counts_the_others(tmp_path):
    rows = [PLAIN | {"id": str(n)} for n in range(9)] + [PLAIN | {"chosen": "Paint."}]
    found = preview(saved(tmp_path, rows), rows=3)
    assert [record.source_id for record in found.records] == ["0", "1", "2"]
    assert (found.format, found.accepted, [row.line for row in found.rejected]) == ("trl", 9, [10])


REFUSED = [
    ("rm_predict", {"chosen": 1.25, "rejected": -0.5}, "Import the file of pairs that was scored"),
    (
        "lm_human_preferences_ids",
        {"query": [464, 6766], "sample0": [318], "sample1": [4171], "best": 0},
        "AutoTokenizer.from_pretrained",
    ),
    (
        "lm_human_preferences_ids",
        {"query": "[464, 6766]", "sample0": "[318]", "sample1": "[4171]", "difference": "1"},
        "AutoTokenizer.from_pretrained",
    ),
    ("human_eval_tasks", {"prompt": SKY, "completions": [{"model": "m", "completion": "a"}] * 2}, "its database"),
    ("rl_teacher", {"media_url_1": "a.mp4", "media_url_2": "b.mp4", "response": "left"}, "holds no text"),
    (
        "rlhf_blender",
        {"feedback_id": 1, "feedback_type": "comparative", "targets": [], "content": {"preferences": [1, 0]}},
        "holds no text",
    ),
]


@pytest.mark.parametrize(("format", "row", "advice"), REFUSED)
def test_what_holds_no_preference_in_text_is_recognised_and_refused_with_advice(tmp_path, format, row, advice):
    assert detect([row]) == format
    with pytest.raises(NoRows, match=f"rows.jsonl is recognised as {format}. .*{advice}"):
        read(saved(tmp_path, [row]))


def test_every_format_describes_itself_in_one_sentence_with_its_fields():
    for name, line in FORMATS.items():
        assert line.name == name and line.fields
        assert line.description.endswith(".") and (line.reads or line.refusal.endswith("."))
