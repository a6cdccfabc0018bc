"""The live figure of a notebook: events pass through unchanged, and each stage draws what it measured."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import plotly.io as pio
import pytest

import lab
from lab.errors import BadInput, BadNumber, DiskFull, FlatReward, LabError, NotFound, Unexpected, Unsupported
from lab.events import Changed, Failed, Finished, Started, Step
from lab.glossary import GLOSSARY
from lab.notebook import live_figure
from lab.stages import STAGES, check_inputs

EVENTS = [
    Started("sft", 2, {}),
    Step(1, {"loss/train": 2.0, "gradient/norm": 1.0}),
    Step(2, {"loss/train": 1.0, "gradient/norm": 1.0}),
    Finished(2, "done", {}),
    Started("ppo", 3, {}),
    Step(1, {"reward/score": 0.0, "kl/reference": 0.0, "no/such": 1.0}),
    Changed(1, "beta", 0.1, 0.2, "ana"),
    Step(2, {"reward/score": 0.5, "kl/reference": None}),
    Step(3, {"reward/score": 0.7, "kl/reference": 2.0}),
    Finished(3, "done", {}),
]


def drawn(events=EVENTS, every=0.0):
    figures = []
    passed = list(live_figure(iter(events), every=every, show=figures.append))
    return passed, figures


def test_every_event_passes_through_in_order():
    assert drawn()[0] == EVENTS


def test_a_run_that_fails_ends_with_its_reason():
    for code, kind in (
        ("E_DISK_FULL", DiskFull),
        ("E_REWARD_FLAT", FlatReward),
        ("E_INTERNAL", Unexpected),
        ("E_OF_OLD", LabError),
    ):
        with pytest.raises(kind, match="It is over") as refused:
            drawn([*EVENTS[:2], Failed(2, code, "It is over.")])
        assert refused.value.code == code


def test_each_stage_ends_with_a_figure_of_all_that_it_measured():
    sft, ppo = drawn(EVENTS[:4])[1][-1], drawn()[1][-1]
    assert list(sft.data[0].x) == [1, 2] and list(sft.data[0].y) == [2.0, 1.0]
    assert [list(trace.x) for trace in ppo.data] == [[1, 2, 3], [1, 3]]
    titles = [each.text.split(",")[0] for each in ppo.layout.annotations]
    assert titles == [GLOSSARY["reward/score"].title, GLOSSARY["kl/reference"].title]


def test_a_moved_knob_is_a_line_on_every_curve():
    ppo = drawn()[1][-1]
    assert sum(shape.type == "line" and shape.x0 == 1 for shape in ppo.layout.shapes) == 2


def test_nothing_is_drawn_before_anything_was_measured():
    assert drawn([Started("ppo", 1, {}), Finished(0, "stopped", {})])[1] == []


def test_in_a_notebook_each_stage_has_one_figure_that_is_replaced(monkeypatch):
    """The stand-in for IPython keeps the calls; a figure given as an object would display itself anew each time."""
    calls: list[tuple[str, dict]] = []

    def display(bundle, *, raw, display_id):
        calls.append(("new", bundle))
        return SimpleNamespace(update=lambda bundle, *, raw: calls.append(("replaced", bundle)))

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")
    assert len(list(live_figure(iter(EVENTS), every=0.0))) == len(EVENTS)
    assert [kind for kind, _ in calls] == ["new", "replaced", "replaced", "new", "replaced", "replaced", "replaced"]
    last = calls[-1][1]["application/vnd.plotly.v1+json"]
    assert list(last["data"][0]["x"]) == [1, 2, 3]


@pytest.mark.parametrize("loaded", [None, SimpleNamespace(get_ipython=lambda: None)])
def test_outside_a_notebook_nothing_begins_that_could_not_be_drawn(monkeypatch, loaded):
    if loaded:
        monkeypatch.setitem(sys.modules, "IPython", loaded)
    else:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
    events = iter(EVENTS)
    with pytest.raises(Unsupported, match=r"this is no notebook; go through the events of lab\.run without it\."):
        lab.live(events)
    assert list(events) == EVENTS


REFUSED = [
    ("sft", ["x"], "are a dict with pairs, file in it, not list"),
    ("sft", {"pair": 1}, "do not belong to sft: pair. It takes pairs, file."),
    ("sft", {"pairs": []}, "The input pairs of sft is a list of pairs"),
    ("sft", {"pairs": ["hi"]}, "The input pairs of sft is a list of pairs"),
    ("sft", {"pairs": [("Hi", 3)]}, "The input pairs of sft is a list of pairs"),
    ("sft", {"pairs": [([{"role": "user"}], "Hello.")]}, "The input pairs of sft is a list of pairs"),
    ("ppo", {"prompts": "rank"}, "The input prompts of ppo is 'built-in', 'ranked' or a list of texts; 'rank' is not."),
    ("grpo", {"anyway": "yes"}, "The input anyway of grpo is True or False; 'yes' is not."),
    ("dpo", {"reward": "0002-reward"}, "do not belong to dpo: reward. It takes raters, reference, pinned."),
    ("compare", {"prompts": "ranked"}, "The input prompts of compare is a list of at least one text"),
]


@pytest.mark.parametrize(("stage", "inputs", "words"), REFUSED)
def test_inputs_that_a_stage_would_not_read_are_refused_at_the_call(tmp_path, stage, inputs, words):
    with pytest.raises(BadInput) as refused:
        lab.run(stage, str(tmp_path / "new"), inputs=inputs)
    assert words in str(refused.value) and not (tmp_path / "new").exists()


def test_a_stage_or_a_knob_that_is_none_is_refused_at_the_call(tmp_path):
    with pytest.raises(NotFound, match="There is no stage 'sftt'. Stages: sft, reward"):
        lab.run("sftt", str(tmp_path / "new"))
    with pytest.raises(BadNumber, match=r"do not belong to sft: step\. It has steps, "):
        lab.run("sft", str(tmp_path / "new"), step=1)
    assert not (tmp_path / "new").exists()


def test_every_stage_takes_what_the_page_and_the_command_line_give_it():
    said = [{"role": "user", "content": "Hi"}]
    check_inputs("sft", {"pairs": [("Hi", "Hello."), [said, "Hello."]], "file": "mine.jsonl"})
    for stage in ("ppo", "rloo", "grpo"):
        for prompts in ("built-in", "ranked", ["Hi"]):
            more = {"prompts": prompts, "pinned": ["Hi"], "anyway": False}
            check_inputs(stage, {"reward": "0002-reward", "reference": "", **more})
    for stage in ("reward", "dpo"):
        check_inputs(stage, {"raters": "person", "reference": None})
    check_inputs("compare", {"a": "sft", "b": "base", "judge": "simulated:helpful", "prompts": ["Hi"]})
    for stage in STAGES:
        check_inputs(stage, {})
