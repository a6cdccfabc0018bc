"""What `lab quality` reports of the embedded model: shares that its own parser reads, and samples for a person."""

from __future__ import annotations

from lab import quality
from lab.text import Asked


def test_answers_are_told_apart_by_kind_with_the_hardest_first():
    prompts = [
        Asked(text, ()) for text in ("What is 3 plus 4?", "What is 5 plus 6?", "How many legs does a sheep have?")
    ]
    found = quality.by_kind(prompts, ["Three plus four is seven.", "I could not say.", "A sheep has four legs."])
    assert found == {"count": 0.5, "fact": 1.0}
    assert list(found) == ["count", "fact"]


def test_the_shipped_model_answers_more_often_with_its_adapter_than_without():
    found = quality.measure("tiny", count=24, seed=1, threads=1)
    base, sft = found["policies"]["base"], found["policies"]["sft"]
    assert base["answers"] < 0.6 < sft["well_formed"] and base["answers"] < sft["answers"]
    assert sft["ended"] > 0.8 and found["unseen_prompts"] == 1.0
    assert 1 < found["distinct_of_8"] <= 8 and 0 < found["loss_held_out"] < 2
    assert len(found["samples"]) == quality.PRINTED and all(len(each["answers"]) == 4 for each in found["samples"])
    told = quality.table(found)
    assert all(each["prompt"] in told for each in found["samples"]) and "by kind" in told
