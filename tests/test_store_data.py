"""What the store keeps beside rankings: prompts, candidates, imports and requests, letter by letter."""

from __future__ import annotations

import math

import pytest
from brought import bring
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import BadInput, BadNumber, BadRanking, BadText, EmptyPrompt, NoRows, PromptTooLong
from lab.store import Candidate, Store, prepared

TWO = [Candidate("Feathers.", "sft"), Candidate("Fur.", "base")]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "lab.db") as store:
        yield store


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("shared") / "lab.db") as store:
        yield store


def test_prompts_are_cleaned_checked_and_stored_once_per_source(store):
    first, second = store.add_prompts(["Why?\0", "How?"], "own")
    assert store.add_prompts(["Why?", "Who?"], "own")[0] == first
    assert store.add_prompts(["Why?"], "file.csv")[0] != first
    assert [text for _, text, _ in store.prompts("own")] == ["Why?", "How?", "Who?"]
    assert len(store.prompts()) == 4 and store.prompts("") == []
    for text, problem in (("", EmptyPrompt), (" \n", EmptyPrompt), ("\0", EmptyPrompt), ("\u200b", EmptyPrompt),
                          ("\ud800", BadText), ("x" * 20_001, PromptTooLong), (7, BadText)):  # fmt: skip
        with pytest.raises(problem):
            store.add_prompts(["Where?", text], "own")
    assert len(store.prompts()) == 4


def test_candidates_with_bad_parts_are_refused(store):
    prompt = store.add_prompts(["Why?"], "own")[0]
    for bad, problem in (
        (Candidate("\ud800", "sft"), BadText),
        (Candidate("a", "sft", score=math.nan), BadNumber),
        (Candidate("a", "sft", temperature=-1.0), BadNumber),
        (Candidate("a", "sft", ids=(-1,)), BadNumber),
    ):
        with pytest.raises(problem):
            store.add_comparison(prompt, [TWO[0], bad])
    with pytest.raises(NoRows):
        store.add_comparison(prompt, [])
    with pytest.raises(BadInput, match="duel"):
        store.add_comparison(prompt, TWO, "other")


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=5)
)
def test_any_unicode_text_comes_back_letter_by_letter(shared, texts):
    prompt = shared.add_prompts(["Why?"], "own")[0]
    shown = shared.add_comparison(prompt, [Candidate(text, "sft") for text in texts])
    seq, _ = shared.rank(shown, shown, [], rater="ana", note=texts[0])
    [found] = shared.rankings(after=seq - 1)
    assert tuple(each.text for each in found.comparison.candidates) == tuple(texts)
    assert found.note == texts[0]


def test_an_import_is_one_transaction_and_can_be_repeated(store):
    rows = [
        ("Why?", ["a", "b"], [[0], [1]], ""),
        ("Why?", ["a", "b"], [[0], [1]], ""),
        ("How?", ["c", "d", "e"], [[2], [0, 1]], "n"),
    ]
    assert bring(store, rows, "ana", "pairs.jsonl") == 3
    assert bring(store, rows, "ana", "pairs.jsonl") == 0
    assert bring(store, rows[2:], "bob", "pairs.jsonl") == 1
    assert store.counts()["raters"] == {"ana": 3, "bob": 1} and len(store.prompts()) == 2
    new = [("New?", ["a", "b"], [[0], [1]], ""), ("New?", ["a", "b"], [[0]], "")]
    assert [type(each) for each in prepared(new, "ana", "other.jsonl")][1] is BadRanking
    assert len(store.rankings()) == 4 and len(store.prompts()) == 2


def test_a_conversation_as_prompt_keeps_its_turns(store):
    words = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Why?")]
    turns = [{"role": role, "content": said} for role, said in words]
    bring(store, [(turns, ["a", "b"], [[0], [1]], "")], "ana", "f")
    bring(store, [(turns[-1:], ["a", "b"], [[0], [1]], "")], "ana", "f")
    long, short = store.rankings()
    assert long.comparison.turns == tuple(words)
    assert "Be kind." in long.comparison.prompt and (short.comparison.prompt, short.comparison.turns) == ("Why?", ())


def test_requests_arrive_in_order_with_what_was_asked(store):
    ids = [store.ask("candidates", {"prompt": f"Why {n}? \ud800", "seed": n}) for n in range(3)]
    found = store.requests_after(0)
    assert [row[1] for row in found] == ids and [row[3]["seed"] for row in found] == [0, 1, 2]
    order = store.ask("run", {})
    assert [each[1:3] for each in store.requests_of("run", "resume")] == [(order, "run")]
    found = store.requests_after(0)
    assert store.requests_of("candidates", "run") == found and store.requests_of() == []
    assert store.requests_after(found[1][0]) == found[2:] and store.last_request() == found[3][0]
    with pytest.raises(BadNumber):
        store.ask("chat", {"temperature": math.nan})
    with pytest.raises(BadText):
        store.ask("\ud800", {})
