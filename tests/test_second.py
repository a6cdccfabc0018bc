"""A second opinion on a run: which answers are asked about, how they are averaged, and what is no second opinion."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from lab.errors import BadInput, NoRows
from lab.events import Finished, Sample, Started, Step, to_json
from lab.ui.compare.second import MOST, POINTS, along, chosen, kinship, opinion, written
from lab.ui.naming import called
from lab.ui.office import Office
from lab.ui.supervisor import Supervisor


def sample(step, score=1.0, kl=0.5, pinned=False, text=("so", "")):
    return Sample(step, "Why?", "so", score, kl, 2, pinned, "0003-ppo", {"text": list(text)} if text else {})


def test_neither_pinned_nor_unfinished_answers_are_asked_about():
    kept = [sample(1), sample(2, text=())]
    assert chosen([sample(1, pinned=True), *kept, sample(3, text=("so", "on")), sample(4, score=None)], 9) == kept


def test_a_long_run_is_asked_about_evenly_from_its_first_steps_to_its_last():
    found = chosen([sample(step) for step in range(1, 10 * MOST)], 10 * MOST)
    assert len(found) <= MOST
    assert found[0].step == 1 and found[-1].step > 9.9 * MOST


def test_answers_of_steps_that_a_roll_back_undid_are_not_asked_about():
    undone = [sample(2, 5.0), sample(3, 6.0), sample(4, pinned=True)]
    anew = [sample(2, pinned=True), sample(2, 1.0), sample(3, 2.0)]
    assert chosen([sample(1), *undone, *anew], 4) == [sample(1), *anew[1:]]
    assert chosen([sample(1), sample(2), sample(2)], 3) == [sample(1), sample(2), sample(2)]
    assert chosen([sample(1), *undone], 2) == [sample(1)], "it stands where it went back to, and has said nothing yet"


def test_each_point_is_the_mean_of_the_same_answers_by_both_models():
    samples = [sample(1, 1.0, 0.0), sample(1, 3.0, 1.0), sample(2, 5.0, 2.0), sample(2, 7.0, 4.0)] * 2 * POINTS
    points = along(sorted(samples, key=lambda each: each.step), [1.0] * 4 * POINTS + [0.5] * 4 * POINTS)
    assert len(points) == POINTS and {point["count"] for point in points} == {8}
    first, last = points[0], points[-1]
    assert (first["own"], first["second"], first["kl"], first["step"]) == (2.0, 1.0, 0.5, 2)
    assert (last["own"], last["second"], last["kl"], last["step"]) == (6.0, 0.5, 3.0, 3)


@pytest.fixture
def office(tmp_path):
    made = Office(tmp_path, worker=Supervisor(tmp_path))
    yield made
    made.close()


def test_the_followed_model_an_unfinished_one_and_a_run_without_answers_are_refused(office):
    rewards = [office.workspace.new_run("reward", {}) for _ in range(3)]
    for run in rewards[:2]:
        lines = [to_json(Started("reward", 1, {}), 1.0), to_json(Finished(1, "done", {}), 1.0)]
        (run.folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    run = office.workspace.new_run("ppo", {}, inputs={"reward": rewards[0].name})
    for reward in (rewards[0], rewards[2], run):
        with pytest.raises(BadInput):
            opinion(office, run, reward)
    with pytest.raises(NoRows):
        opinion(office, run, rewards[1])


def test_a_long_run_is_read_to_its_end(office):
    run = office.workspace.new_run("ppo", {})
    lines = (to_json(sample(step, text=("so", "" if step % 2 else "on")), 1.0) for step in range(1, 20_102))
    (run.folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))
    found = chosen(written(run), 20_102)
    assert found[-1].step > 20_000 and {each.step % 2 for each in found} == {1}


def test_answers_to_a_conversation_are_judged_behind_its_turns(office, monkeypatch):
    judge, run = office.workspace.new_run("reward", {}), office.workspace.new_run("ppo", {})
    monkeypatch.setattr("lab.workspace.Run.status", lambda _: "done")
    turns = [{"role": role, "content": f"{role}?"} for role in ("user", "assistant", "user")]
    (run.folder / "data.json").write_text(json.dumps({"prompts": ["Why?", turns]}))
    said = [sample(1), replace(sample(2), prompt="User: user?\n\nAssistant: assistant?\n\nUser: user?")]
    for name, events in (("samples", said), ("events", [Step(step, {}) for step in (1, 2, 3)])):
        (run.folder / f"{name}.jsonl").write_text("".join(f"{to_json(each, 1.0)}\n" for each in events))
    asked = []
    monkeypatch.setattr(office, "ask", lambda kind, payload: asked.append(payload["samples"]))
    monkeypatch.setattr(office, "wait", lambda *_: {"scores": [1.0, 2.0]})
    opinion(office, run, judge)
    assert asked == [[["Why?", "so"], [turns, "so"]]]


def keep_rankings(run, prompts):
    (run.folder / "data.json").write_text(json.dumps({"rankings": [[ids, [], [], "me", 1] for ids in prompts]}))


def test_the_judge_says_whether_it_has_read_what_the_followed_model_has(office):
    followed, alike, other = (office.workspace.new_run("reward", {"half": half}) for half in ("first", "all", "second"))
    run = office.workspace.new_run("ppo", {}, inputs={"reward": followed.name})
    assert kinship(office, run, other) == ""
    keep_rankings(followed, [[1, 2], [1, 3]])
    keep_rankings(alike, [[1, 2], [1, 2], [1, 3], [4]])
    keep_rankings(other, [[4], [5]])
    assert "2 of 3 prompts" in kinship(office, run, alike) and "each half" in kinship(office, run, alike)
    assert kinship(office, run, other).endswith("an independent judge.")
    shutil.rmtree(followed.folder)
    assert kinship(office, run, other) == ""


def test_a_reward_model_on_a_half_is_called_so(office):
    runs = [office.workspace.new_run("reward", config) for config in ({"half": "second"}, {"half": "all"}, {})]
    assert [called(run) for run in runs] == ["0001-reward, second half", "0002-reward", "0003-reward"]
