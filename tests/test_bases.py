"""Runs of another base: kept apart wherever one is chosen, told on the Runs page, and never loaded by mistake."""

from __future__ import annotations

import pytest
from folders import make

from lab.errors import NotFound, WrongBase
from lab.events import Finished, Started, to_json
from lab.journal import replace_json
from lab.loading import load
from lab.locks import taken
from lab.studio import Studio
from lab.ui import desk, ppo, reward, runs
from lab.ui.compare.arena import Arena
from lab.ui.compare.tally import speaker
from lab.ui.feed import known_policies
from lab.ui.office import Office
from lab.ui.pages import newest
from lab.ui.state import _look
from lab.ui.supervisor import Supervisor
from lab.worker import open_studio
from lab.workspace import Workspace

TINY, SMALL = {"base": "tiny", "fingerprint": "t1"}, {"base": "small", "fingerprint": "s1"}


@pytest.fixture
def office(tmp_path):
    """A workspace that began with small and whose base is tiny now; its worker was never started."""
    made = Office(tmp_path, worker=Supervisor(tmp_path))
    for stage in ("sft", "reward", "ppo", "compare"):
        done(made.workspace, stage, SMALL)
    made.workspace.set_base({"base": "tiny"})
    yield made
    made.close()


def done(workspace, stage, base):
    """A finished run with an adapter."""
    run = workspace.new_run(stage, {}, base=base, inputs={"a": "0003-ppo", "b": "sft", "judge": "reward:0002-reward"})
    events = Started(stage, 4, {}), Finished(4, "done", {})
    (run.folder / "events.jsonl").write_text("".join(to_json(event, 1.0) + "\n" for event in events))
    run.adapter.mkdir()
    return run


@pytest.mark.parametrize(
    ("made", "loaded", "fits"),
    [
        (SMALL, {"base": "small"}, True),
        (SMALL, {"base": "tiny"}, False),
        (SMALL, {"base": "small", "fingerprints": ["s2", "s1"]}, True),
        (SMALL, {"base": "small", "fingerprints": ["s2"]}, False),
        (SMALL, {"base": "/models/small", "fingerprints": ["s1"]}, True),
        ({"base": "small"}, {"base": "small", "fingerprints": ["s2"]}, True),
        ({}, {"base": "small"}, True),
        (SMALL, {}, True),
    ],
)
def test_the_weights_decide_whether_a_run_fits_and_the_name_where_they_are_not_known(tmp_path, made, loaded, fits):
    run = Workspace(tmp_path).new_run("ppo", {}, base=made)
    assert run.made_with(loaded) is fits


def test_no_choice_offers_what_was_made_with_another_base(office):
    arena = Arena(office)
    assert known_policies(office) == ["base", "sft"]
    choices = arena.choices({}, "ana")
    assert choices["pair"] == ["sft", "base"] and choices["tuned"] == []
    assert not any("reward" in each["value"] for each in choices["judges"])
    assert arena.frontier({}, "ana") == {"runs": [], "rewards": []}
    assert arena.results({}, "ana") == {"waiting": [], "results": []}
    assert ppo.more(office, None)["rewards"] == []
    assert "none was made with this base yet" in ppo.hindrance(office, "ppo")
    assert speaker(office.workspace, "sft", office.base()) == ("sft", False)
    assert _look(office)["newest"] == {"sft": None, "reward": None, "ppo": None}


def test_a_desk_shows_no_run_of_another_base_even_by_name_and_says_where_they_are(office):
    stage = reward.stage_of(office)
    found = desk.look(office, stage, {"run": "0002-reward"})
    assert (found["run"], found["runs"]) == (None, [])
    assert found["elsewhere"] == (
        "1 run was made with another base and cannot be used with this one: see the Runs page."
    )
    own = done(office.workspace, "reward", TINY)
    found = desk.look(office, stage, {"run": "0002-reward"})
    assert found["run"]["name"] == own.name and [each["name"] for each in found["runs"]] == [own.name]
    assert newest(office, "reward") == own and ppo.hindrance(office, "ppo") == ""


def test_a_run_of_another_base_is_not_resumed_and_the_refusal_says_what_to_load(office):
    stage = desk.Stage("ppo", lambda _: "", lambda body, _: {}, lambda _: {})
    office.workspace.run("0003-ppo").rename("Gentle")
    with pytest.raises(WrongBase, match=r"Gentle \(0003-ppo\) was made with small, and tiny is loaded.*Model page"):
        desk.order(office, stage, {"run": "0003-ppo", "order": "resume"}, "ana")
    assert office.store.requests_after(0) == []


def test_the_runs_page_lists_all_and_marks_those_of_another_base(office):
    done(office.workspace, "ppo", TINY)
    listed = {row["name"]: row["foreign"] for row in runs.listing(office, {})["runs"]}
    assert listed["0005-ppo"] == "" and listed["0003-ppo"] == "made with small, not usable now"


def test_other_weights_under_the_same_name_are_told_once_the_model_process_says_which_it_holds(office):
    run = done(office.workspace, "ppo", TINY)
    assert run.name in known_policies(office)
    (office.workspace.root / "worker.lock").touch()
    lock = taken(office.workspace.lock(), "The workspace")
    replace_json(office.workspace.root / "worker.json", {"base": "tiny", "fingerprints": ["t2"]})
    assert run.name not in known_policies(office)
    assert runs.foreign(run, office.base()) == "made with other weights of tiny, not usable now"
    lock.release()


def test_the_model_process_takes_no_reference_and_no_reward_model_of_another_base_for_its_newest(office, tmp_path):
    studio = Studio(office.workspace, load(str(make(tmp_path, "llama")), device="cpu"))
    assert studio.policies.reference() == "sft" and studio.policies.role("sft") == "sft"
    with pytest.raises(NotFound, match="no reward model yet"):
        studio.policies.cast()
    own = done(office.workspace, "sft", studio.base())
    assert studio.policies.reference() == own.name


def test_a_base_in_a_folder_is_found_again_from_another_one(tmp_path, monkeypatch):
    make(tmp_path / "models", "llama")
    workspace = Workspace(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path / "models")
    open_studio(workspace, "./llama")
    monkeypatch.chdir(tmp_path)
    assert open_studio(workspace).roles.name == workspace.base()["base"] == str(tmp_path / "models" / "llama")


def test_a_base_that_an_older_lab_kept_by_a_path_from_its_folder_gets_a_whole_one_and_keeps_its_precision(
    tmp_path, monkeypatch
):
    make(tmp_path, "llama")
    workspace = Workspace(tmp_path / "workspace")
    workspace.set_base({"base": "llama", "precision": "float32"})
    monkeypatch.chdir(tmp_path)
    open_studio(workspace, precision="bfloat16")
    assert workspace.base() == {"base": str(tmp_path / "llama"), "precision": "float32"}
