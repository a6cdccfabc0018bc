"""Orders of the pages: what they write into a run's control file, what they ask of the worker, what they refuse."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from brought import bring
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.config import Group, Ppo, Reward, Sft
from lab.errors import BadInput, BadName, BadNumber, Busy, NotFound
from lab.events import Changed, Failed, Finished, Sample, Started, Step, Warned, to_json
from lab.formats import read as read_file
from lab.given import pairs_of
from lab.journal import append_json
from lab.locks import taken
from lab.store import Candidate, Store
from lab.store.raters import ALL, PERSON
from lab.ui import bringing, curves, desk, model, ppo, remedies, reward, runs, sft, timeline, uploads
from lab.ui.desk import ORDERS
from lab.ui.killed import note, was_killed
from lab.ui.office import Office
from lab.ui.routes import routes
from lab.ui.supervisor import Supervisor
from lab.ui.tracks import Track, Tracks

PAGE = desk.Stage("ppo", lambda _: "", lambda body, _: ppo.inputs(None, body), lambda _: {})
PAGE_WITH_WARNINGS = replace(PAGE, more=remedies.shown)


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A real office whose worker was never started: what is asked of it stays unanswered."""
    monkeypatch.setattr(desk, "PATIENCE", 0.0)
    made = Office(tmp_path, worker=Supervisor(tmp_path))
    yield made
    made.close()


@pytest.fixture
def running(office):
    """A run of four steps with a checkpoint at 2 and a warning at 3, whose lock is held as a worker holds it."""
    run = office.workspace.new_run("ppo", asdict(Ppo()))
    warned = Warned(3, "W_KL_HIGH", "Too far.", "Double beta.")
    write(run, Started("ppo", 60, asdict(Ppo())), *(Step(i, {"kl/reference": 1.0}) for i in range(1, 5)), warned)
    checkpoint = run.checkpoint(2)
    checkpoint.mkdir(parents=True)
    (checkpoint / "manifest.json").write_text("{}")
    (run.folder / "lock").touch()
    lock = taken(run.lock(), "The run")
    yield run
    lock.release()


def write(run, *events, name="events.jsonl", at=1.0):
    with open(run.folder / name, "a", encoding="utf-8") as file:
        file.writelines(to_json(event, at) + "\n" for event in events)


def order(office, run, what, **more):
    return desk.order(office, PAGE, {"run": run.name, "order": what, **more}, "ana")


def asked(office):
    return [(kind, payload) for _, _, kind, payload, _ in office.store.requests_after(0)]


def test_pause_go_and_stop_are_written_with_who_said_so(office, running):
    for what, written in (("pause", "pause"), ("go", "run"), ("stop", "stop")):
        order(office, running, what)
        assert running.control()["order"] == written and running.control()["by"] == "ana"


def test_a_run_that_is_killed_before_its_first_checkpoint_is_told_that_it_begins_again(office, running):
    from lab.ui.state import _look

    first = office.workspace.new_run("ppo", asdict(Ppo()))
    write(first, Started("ppo", 60, asdict(Ppo())))
    assert (
        _look(office)["next"]["sentence"]
        == f"{first.name} was interrupted. It can begin again: it had no checkpoint yet."
    )
    assert "last checkpoint stands" in order(office, running, "kill")["said"]
    (first.folder / "lock").touch()
    lock = taken(first.lock(), "The run")
    assert "Resume begins it again" in order(office, first, "kill")["said"]
    lock.release()
    (first.checkpoint(4)).mkdir(parents=True)
    (first.checkpoint(4) / "manifest.json").write_text("{}")
    assert "go on from its last checkpoint" in _look(office)["next"]["sentence"]


def test_one_step_is_a_pause_that_begins_one_step_later(office, running):
    order(office, running, "step")
    assert running.control()["order"] == "pause" and running.control()["until"] == 5


def test_a_run_that_is_not_going_on_cannot_be_steered_but_resumed(office):
    run = office.workspace.new_run("ppo", asdict(Ppo()))
    write(run, Started("ppo", 60, asdict(Ppo())), Step(1, {}))
    for what in ("pause", "go", "step", "stop", "kill"):
        with pytest.raises(Busy):
            order(office, run, what)
    assert "Asked for" in order(office, run, "resume")["said"]
    assert asked(office) == [("resume", {"run": run.name, "begun": 1, "from": None})]


def test_rolling_back_stops_a_run_and_asks_for_its_checkpoint(office, running):
    order(office, running, "back", step=2)
    assert running.control()["order"] == "stop"
    assert asked(office) == [("resume", {"run": running.name, "begun": 1, "from": 2, "hold": True})]


def test_a_run_that_went_back_says_that_it_is_held_at_its_checkpoint(running):
    def stands():
        return desk.standing(Track(running).refresh(), None)

    write(running, Started("ppo", 60, asdict(Ppo()), 2))
    assert not stands()["held"]
    running.set_control(order="pause")
    assert stands()["held"] and (stands()["status"], stands()["step"]) == ("paused", 2)
    write(running, Step(3, {}))
    assert not stands()["held"]


@pytest.mark.parametrize("step", [3, None, "2", -1])
def test_a_step_without_a_checkpoint_is_refused_and_the_run_goes_on(office, running, step):
    with pytest.raises(NotFound):
        order(office, running, "back", step=step)
    assert running.control()["order"] == "run"


def test_a_moved_knob_is_checked_and_written(office, running):
    desk.move(office, PAGE, {"run": running.name, "key": "beta", "value": 0.3}, "ana")
    assert running.control()["live"] == {"beta": 0.3}
    said = desk.move(office, PAGE, {"run": running.name, "key": "target_kl", "value": 0}, "ana")["said"]
    assert said == "Target KL is 0 from the next step on."
    for key, value in (("beta", -1), ("beta", None), ("beta", "1"), ("steps", 5), ("__class__", 1), (None, 1)):
        with pytest.raises((BadNumber, BadInput)):
            desk.move(office, PAGE, {"run": running.name, "key": key, "value": value}, "ana")
    assert running.control()["live"] == {"beta": 0.3, "target_kl": 0}


@pytest.mark.parametrize("name", ["../x", "0001-sft", "", None, 7, "9999-ppo"])
def test_an_order_needs_a_run_of_the_page(office, running, name):
    office.workspace.new_run("sft", {})
    with pytest.raises((BadName, NotFound)):
        desk.order(office, PAGE, {"run": name, "order": "pause"}, "ana")


def test_an_unknown_order_names_the_known_ones(office, running):
    with pytest.raises(BadInput) as refusal:
        order(office, running, "explode")
    assert all(each in str(refusal.value) for each in ORDERS)


def test_starting_sends_checked_settings_inputs_and_the_name(office):
    body = {"config": {"steps": 5}, "prompts": "own", "own": "One?\n\n Two? \nOne?", "pinned": "Three?"}
    found = desk.start(office, PAGE, body, "ana")
    kind, payload = asked(office)[0]
    assert kind == "run" and payload["by"] == "ana" and payload["config"]["steps"] == 5
    assert payload["inputs"]["prompts"] == ["One?", "Two?"] and payload["inputs"]["pinned"] == ["Three?"]
    assert found["request"] and "run" not in found


@pytest.mark.parametrize("kind", ["rloo", "grpo", "dpo"])
def test_the_other_methods_start_from_the_same_page_with_settings_of_their_own(office, kind):
    name, value = ("batch", 4) if kind == "dpo" else ("group", 8)
    body = {"stage": kind, "config": {name: value}, "prompts": "own", "own": "One?", "pinned": "Two?"}
    page = replace(PAGE, inputs=lambda body, _: ppo.inputs(office, body))
    desk.start(office, page, body | {"raters": "all"}, "ana")
    [(_, payload)] = asked(office)
    assert payload["stage"] == kind and payload["config"][name] == value
    assert payload["inputs"].get("raters") == ("all" if kind == "dpo" else None)
    if kind == "dpo":
        with pytest.raises(BadInput, match="Nobody called 'bo'"):
            desk.start(office, page, body | {"raters": "bo"}, "ana")
    assert payload["inputs"]["pinned"] == ["Two?"] and ("prompts" in payload["inputs"]) == (kind != "dpo")


@pytest.mark.parametrize("kind", ["reward", "compare", "x", None, 3])
def test_a_page_starts_no_stage_that_is_not_its_own(office, kind):
    with pytest.raises(BadInput, match="nothing that this page can start"):
        desk.start(office, PAGE, {"stage": kind}, "ana")
    assert asked(office) == []


def test_dpo_waits_for_a_ranking_and_not_for_a_reward_model(office):
    for kind, missing in (("ppo", "reward model"), ("rloo", "reward model"), ("dpo", "DPO learns from rankings")):
        assert missing in ppo.hindrance(office, kind)
    [prompt] = office.store.add_prompts(["Why?"], "own")
    compared = office.store.add_comparison(prompt, [Candidate("so", "sft"), Candidate("because", "sft")])
    office.store.rank("one", compared, [[1], [0]], rater="ana")
    assert ppo.hindrance(office, "dpo") == "" and ppo.hindrance(office, "grpo")


def test_a_run_of_another_method_is_shown_steered_and_led_to_on_the_page_of_ppo(office):
    from lab.ui.feed import known_policies
    from lab.ui.state import doing, next_step

    run = office.workspace.new_run("rloo", asdict(Group()))
    write(run, Started("rloo", 60, asdict(Group())), Step(1, {"reward/score": 0.5, "kl/reference": 1.0}))
    found = desk.look(office, PAGE, {})
    assert found["run"]["name"] == run.name and found["run"]["stage"] == "rloo"
    (run.folder / "lock").touch()
    lock = taken(run.lock(), "The run")
    desk.move(office, PAGE, {"run": run.name, "key": "beta", "value": 0.3}, "ana")
    assert run.control()["live"] == {"beta": 0.3} and known_policies(office) == ["base", "sft", "policy"]
    lock.release()
    stands = {
        "newest": dict.fromkeys(("sft", "reward", "ppo")),
        "rankings": 0,
        "interrupted": None,
        "doing": "is paused",
    }
    assert next_step(stands | {"busy": run.name})["sentence"] == f"{run.name} is paused."
    assert doing(office, "0009-compare") == "is going on" and doing(office, "0009-dpo") == "is being trained now"
    assert next_step(stands | {"busy": run.name})["tab"] == "ppo"
    assert next_step(stands | {"busy": "0009-compare"})["tab"] == "compare"
    assert next_step(stands | {"busy": None, "interrupted": "0002-dpo"})["tab"] == "ppo"
    [row] = runs.listing(office, {})["runs"]
    assert row["page"] == "ppo" and row["settings"] == "usual settings" and row["result"].startswith("score 0.5")


def test_the_table_of_runs_counts_no_step_that_was_undone(office):
    run = office.workspace.new_run("ppo", {}, base={}, inputs={})
    steps = [Step(number, {"reward/score": score}) for number, score in ((1, 0.5), (2, 9.0), (3, 9.0))]
    write(run, Started("ppo", 3, {}, 0), *steps, Started("ppo", 3, {}, 1), Step(2, {"reward/score": 0.5}))
    [row] = runs.listing(office, {})["runs"]
    assert row["step"] == 2 and row["result"].startswith("score 0.5")


def test_a_start_that_cannot_be_is_refused_before_the_worker_hears_of_it(office):
    hindered = desk.Stage("ppo", lambda kind: ppo.hindrance(office, kind), lambda body, _: {}, lambda _: {})
    with pytest.raises(BadInput):
        desk.start(office, hindered, {}, "ana")
    with pytest.raises(BadInput):
        ppo.inputs(None, {"prompts": "own", "own": " \n "})
    assert asked(office) == []


def test_a_prompt_too_many_or_too_long_is_told_by_the_label_of_its_field(office):
    with pytest.raises(BadInput, match="^Prompts to watch: 6 prompts, one a line; at most 5"):
        ppo.inputs(None, {"pinned": "\n".join("abcdef")})
    with pytest.raises(BadInput, match="^Prompts to watch: one of them has more than 2,000"):
        ppo.inputs(None, {"pinned": "a" * 2001})
    with pytest.raises(BadInput, match="^Own prompts: one of them has more than 2,000"):
        ppo.inputs(None, {"prompts": "own", "own": "a" * 2001})


def test_the_desk_says_how_a_run_stands(office, running):
    found = desk.look(office, PAGE, {})["run"]
    assert (found["status"], found["step"], found["total"]) == ("running", 4, 60)
    assert found["checkpoints"] == [2] and found["live"]["beta"] == Ppo().beta


def test_a_run_that_has_not_begun_waits_for_the_worker_that_made_it_and_for_no_later_one(office):
    run = office.workspace.new_run("ppo", asdict(Ppo()))

    def status():
        return desk.look(office, PAGE, {"run": run.name})["run"]["status"]

    assert status() == "interrupted", "no worker lives"
    made, lock = run.facts()["created"], taken(office.workspace.lock(), "The workspace")
    office.workspace.say({"started": made - 1.0})
    assert status() == "queued"
    office.workspace.say({"started": made + 1.0})
    assert status() == "interrupted"
    lock.release()
    assert "Asked for" in order(office, run, "resume")["said"]


def test_an_earlier_run_that_goes_on_is_shown_before_a_later_one_that_has_ended(office, running):
    from lab.ui.state import next_step

    later = office.workspace.new_run("ppo", asdict(Ppo()))
    write(later, Started("ppo", 60, asdict(Ppo())), Finished(1, "done", {}))
    assert desk.look(office, PAGE, {})["run"]["name"] == running.name
    assert desk.look(office, PAGE, {"run": later.name})["run"]["name"] == later.name
    state = {"newest": {}, "rankings": 0, "busy": running.name, "doing": "is being trained now", "interrupted": None}
    assert next_step(state)["run"] == running.name
    assert next_step(state | {"busy": None, "interrupted": later.name})["run"] == later.name


def test_the_remedy_of_a_high_kl_doubles_beta_from_what_is_in_force(office, running):
    desk.move(office, PAGE, {"run": running.name, "key": "beta", "value": 0.3}, "ana")
    track = desk.track_of(office, PAGE, {"run": running.name})
    offers = remedies.cards(track)[0]["offers"]
    assert [each["words"] for each in offers] == ["Double beta", "Go back to a checkpoint (step 2)"]
    remedies.apply(office, track, {"code": "W_KL_HIGH", "index": 0, "beta": 99}, "ana")
    assert running.control()["live"]["beta"] == 0.6


def test_a_beta_of_nothing_is_doubled_to_something(office, running):
    desk.move(office, PAGE, {"run": running.name, "key": "beta", "value": 0.0}, "ana")
    track = desk.track_of(office, PAGE, {"run": running.name})
    remedies.apply(office, track, {"code": "W_KL_HIGH", "index": 0}, "ana")
    assert running.control()["live"]["beta"] == remedies.BETA_FROM_0 > 0


def test_a_beta_that_adapts_is_shown_and_doubled_from_what_it_has_come_to_and_begins_anew_as_it_was_set(
    office, running
):
    config = asdict(Ppo(beta=0.05, target_kl=6.0))
    write(running, Started("ppo", 60, config, 4), Step(5, {"kl/beta": 0.1}), Step(6, {"kl/beta": 0.193421}))
    write(running, Warned(6, "W_KL_HIGH", "Too far.", "Double beta."), Warned(6, "W_MEMORY_SHORT", "M.", "R."))
    assert desk.look(office, PAGE, {"run": running.name})["run"]["live"]["beta"] == 0.1934
    track = desk.track_of(office, PAGE, {"run": running.name})
    remedies.apply(office, track, {"code": "W_MEMORY_SHORT", "index": 0}, "ana")
    assert asked(office)[0][1]["config"]["beta"] == 0.05
    remedies.apply(office, track, {"code": "W_KL_HIGH", "index": 0}, "ana")
    assert running.control()["live"]["beta"] == desk.in_force(track)["beta"] == 0.3868, "moved, though not yet read"
    at = running.control()["moved"]["beta"] + 1
    write(running, Changed(6, "beta", 0.05, 0.3868, "ana"), at=at)
    assert desk.in_force(Track(running).refresh())["beta"] == 0.3868, "read, though no step is done with it"
    write(running, Step(7, {"kl/beta": 0.3868}), Step(8, {"kl/beta": 0.35}), at=at)
    assert desk.in_force(Track(running).refresh())["beta"] == 0.35


def test_a_beta_that_adapted_stays_what_is_shown_and_doubled_when_that_is_switched_off(office, running):
    config = asdict(Ppo(beta=0.05, target_kl=6.0))
    write(running, Started("ppo", 60, config, 4), Step(5, {"kl/beta": 0.1}), Step(6, {"kl/beta": 0.3096}))
    write(running, Warned(6, "W_KL_HIGH", "Too far.", "Double beta."))
    desk.move(office, PAGE, {"run": running.name, "key": "target_kl", "value": 0}, "ana")
    write(running, Changed(6, "target_kl", 6.0, 0.0, "ana"), Step(7, {"kl/beta": 0.3096}), Step(8, {"kl/beta": 0.3096}))
    track = desk.track_of(office, PAGE, {"run": running.name})
    assert desk.in_force(track)["beta"] == 0.3096
    remedies.apply(office, track, {"code": "W_KL_HIGH", "index": 0}, "ana")
    assert running.control()["live"]["beta"] == 0.6192


def test_a_beta_that_adapts_is_shown_as_somebody_has_set_it_though_it_is_the_number_that_it_began_with(office, running):
    config = asdict(Ppo(beta=0.05, target_kl=6.0))
    write(running, Started("ppo", 60, config, 4), Step(5, {"kl/beta": 0.1}), Step(6, {"kl/beta": 0.19}))
    desk.move(office, PAGE, {"run": running.name, "key": "beta", "value": 0.05}, "ana")
    at = running.control()["moved"]["beta"]
    for moment, beta, shown in ((at - 2, 0.19, 0.05), (at + 1, 0.2, 0.05), (at + 2, 0.06, 0.06)):
        step = Track(running).refresh().step + 1
        write(running, Step(step, {"kl/beta": beta}), at=moment)
        assert desk.in_force(Track(running).refresh())["beta"] == shown


def test_what_the_model_process_refuses_or_warns_of_calls_runs_as_the_page_does(office, running):
    followed = office.workspace.new_run("reward", {})
    followed.rename("Kind")
    request = office.ask("run", {"stage": "ppo"})
    refusal = {"code": "E_NOT_FOUND", "message": f"Run {followed.name} has no adapter yet."}
    append_json(office.workspace.served, {"id": request, "done": True, "error": refusal})
    write(running, Warned(4, "W_REFERENCE", f"{followed.name} was trained from x.", f"Or go on with {followed.name}."))
    write(running, Failed(4, "E_DAMAGED", f"Run {followed.name} is damaged."))
    found = desk.look(office, PAGE_WITH_WARNINGS, {"run": running.name, "request": request})
    assert found["asked"] == {"error": f"Run Kind ({followed.name}) has no adapter yet."}
    assert found["run"]["failed"]["message"] == f"Run Kind ({followed.name}) is damaged."
    card = found["warnings"][0]
    assert card["message"] == f"Kind ({followed.name}) was trained from x."
    assert card["remedy"] == f"Or go on with Kind ({followed.name})."


def test_a_run_that_goes_on_is_named_by_its_title(office, monkeypatch):
    monkeypatch.setattr(desk, "PATIENCE", 5.0)
    run = office.workspace.new_run("ppo", {})
    run.rename("Gentle")
    request = office.ask("resume", {"run": run.name})
    append_json(office.workspace.served, {"id": request, "done": True, "run": run.name})
    assert desk.wait_a_little(office, request)["said"] == f"Gentle ({run.name}) has begun."


def test_a_refusal_of_the_lab_below_the_page_calls_a_deleted_run_as_the_page_does(office):
    run = office.workspace.new_run("ppo", {})
    run.rename("Gentle")
    run.delete()
    runs_page = TestClient(Starlette(routes=routes(office)))
    office.action("runs-delete", lambda body, _: runs.delete(office, body))
    answer = runs_page.post("/lab/runs-delete", json={"run": run.name}).json()
    assert answer["error"]["message"].startswith(f"Run Gentle ({run.name}) was deleted. Bring it back")


@pytest.mark.parametrize("body", [{}, {"code": "W_KL_HIGH", "index": 9}, {"code": "W_CLIP", "index": 0}])
def test_a_remedy_for_a_warning_that_was_not_given_is_refused(office, running, body):
    with pytest.raises(BadInput):
        remedies.apply(office, desk.track_of(office, PAGE, {"run": running.name}), body, "ana")


def test_the_page_says_which_sft_each_reward_model_starts_from_and_which_others_there_are(office):
    own = office.workspace.new_run("sft", {})
    for start in ("sft", own.name, "0099-sft"):
        run = office.workspace.new_run("reward", {}, inputs={"reference": start})
        write(run, Finished(1, "done", {}))
    write(own, Finished(1, "done", {}))
    own.rename("Mine")
    found = ppo.more(office, None)
    assert [each["start"] for each in found["rewards"]] == ["0099-sft", f"SFT Mine ({own.name})", "SFT of the base"]
    assert {"value": own.name, "label": f"SFT Mine ({own.name})"} in found["starts"]
    assert ppo.inputs(office, {"reference": own.name})["reference"] == own.name


def test_the_chat_names_its_policies_as_the_other_lists_do(office):
    from lab.ui.policies import offered

    own = office.workspace.new_run("sft", {})
    write(own, Finished(1, "done", {}))
    own.rename("Mine")
    assert (f"SFT Mine ({own.name})", "sft") in model.choices(office)
    assert model.choices(office) == [(each["label"], each["value"]) for each in offered(office)]


def test_every_warning_that_a_run_can_give_has_a_remedy_but_two_about_which_nothing_needs_to_be_done():
    import lab
    from lab.diagnose import alarms

    trainers = Path(lab.__file__).parent.glob("*.py")
    given = {code for file in trainers for code in re.findall(r'"(W_\w+)"', file.read_text())}
    assert {"W_FIT", "W_CUT", "W_CHANCE"} < given
    warned = {code for code in remedies.REMEDIES if code.startswith("W_")}
    assert given | {alarm.code for alarm in alarms()} == warned | {"W_MEMORY", "W_CHECKPOINT"}


def doings(remedy):
    """What a button does, in the words of a warning."""
    live = {("beta", 2): "double beta", ("beta", 0.5): "halve beta", ("learning_rate", 2): "double the learning rate",
            ("learning_rate", 0.5): "halve the learning rate", ("tokens", 2): "longer responses",
            ("value_clip", 2): "larger value clip"}  # fmt: skip
    put = {"epochs": "one epoch", "missing_eos": "missing eos"}
    found = {live[each] for each in remedy.times.items()} | {put[key] for key in remedy.put}
    found |= {"go back"} if remedy.back else set()
    return found | ({"stop"} if remedy.stop else set()) | ({remedy.tab} - {""})


def test_the_words_of_a_warning_ask_for_what_its_buttons_do():
    from lab.diagnose import alarms

    offered = {alarm.code: set().union(*map(doings, remedies.REMEDIES[alarm.code])) for alarm in alarms()}
    every = set().union(*offered.values())
    asked_for = {alarm.code: {each for each in every if each in alarm.remedy.lower()} for alarm in alarms()}
    assert asked_for == offered and len(every) == 11


@pytest.mark.parametrize(
    ("config", "words", "turned"),
    [
        (Ppo(), ["Start anew with responses twice as long"], {"tokens": 144}),
        (Ppo(tokens=300), ["Start anew with responses twice as long"], {"tokens": 512}),
        (Ppo(tokens=512, missing_eos="off"), ["Start anew with missing EOS on replace"], {"missing_eos": "replace"}),
        (Ppo(tokens=512), [], None),
    ],
)
def test_responses_that_are_cut_off_get_more_room_or_a_price_as_far_as_there_is_any(office, config, words, turned):
    run = office.workspace.new_run("ppo", asdict(config))
    write(run, Started("ppo", 60, asdict(config)), Step(1, {}), Warned(1, "W_ENDED", "Cut off.", "Start anew."))
    track = desk.track_of(office, PAGE, {"run": run.name})
    offers = remedies.cards(track)[0]["offers"]
    assert [each["words"] for each in offers] == words
    for offer in offers:
        remedies.apply(office, track, {"code": "W_ENDED", "index": offer["index"]}, "ana")
        assert asked(office)[-1][1]["config"] == asdict(replace(config, **turned))


def test_rankings_that_were_cut_are_read_at_twice_the_length_by_one_click(office):
    run = office.workspace.new_run("reward", asdict(Reward()), inputs={"raters": "person", "reference": "sft"})
    write(run, Started("reward", 9, asdict(Reward())), Warned(0, "W_CUT", "3 rankings were cut.", "Raise the length."))
    write(run, Step(1, {}), Finished(9, "done", {}))
    page = desk.Stage("reward", lambda _: "", lambda body, _: {}, lambda track: reward.more(office, track))
    [card] = desk.look(office, page, {"run": run.name})["warnings"]
    assert [offer["words"] for offer in card["offers"]] == ["Train anew, reading twice as much"]
    remedies.apply(office, desk.track_of(office, page, {"run": run.name}), {"code": "W_CUT", "index": 0}, "ana")
    kind, payload = asked(office)[0]
    assert (kind, payload["stage"], payload["fit"]) == ("run", "reward", False)
    assert payload["config"] == asdict(Reward(context=2 * Reward().context))
    assert payload["inputs"] == {"raters": "person", "reference": "shipped"}, "from the same SFT, whatever came since"


def test_the_sft_page_tells_its_warnings(office):
    run = office.workspace.new_run("sft", {})
    words = [
        Warned(0, "W_TOO_LONG", "2 pairs were left out.", "Shorten them."),
        Warned(0, "W_MEMORY_SHORT", "M.", "R."),
    ]
    write(run, Started("sft", 9, {}), *words)
    page = desk.Stage("sft", lambda _: "", lambda body, _: {}, sft.more)
    found = {card["code"]: card["offers"] for card in desk.look(office, page, {"run": run.name})["warnings"]}
    assert [(offer["words"], offer["tab"]) for offer in found["W_TOO_LONG"]] == [("Choose another model", "model")]
    assert [offer["words"] for offer in found["W_MEMORY_SHORT"]] == [
        "Start anew, made to fit",
        "Choose a smaller model",
    ]


FAILED = Failed(3, "E_OOM", "Memory ran out. Start a new run with less.")


def short_of_memory(office, stage, config, **inputs):
    """A run that broke off for want of memory, and its track."""
    run = office.workspace.new_run(stage, asdict(config), inputs=inputs)
    write(run, Started(stage, 60, asdict(config)), Step(3, {}), FAILED)
    return run, desk.tracks_of(office).of(run)


def test_a_run_that_broke_off_for_want_of_memory_begins_anew_with_what_its_words_say_turned(office):
    run, track = short_of_memory(office, "ppo", Ppo(), reward="0001-reward", prompts="built-in")
    page = desk.Stage("ppo", lambda _: "", lambda body, _: {}, lambda track: ppo.more(office, track))
    found = desk.look(office, page, {"run": run.name})
    assert found["run"]["failed"]["code"] == "E_OOM" and found["warnings"] == []
    assert [(each["words"], each["tab"]) for each in found["ways_out"]] == [
        ("Start anew with tokens 36, checkpointing on", ""),
        ("Choose a smaller model", "model"),
    ]
    remedies.apply(office, track, {"code": "E_OOM", "index": 0}, "ana")
    [(kind, payload)] = asked(office)
    assert (kind, payload["stage"], payload["fit"], payload["by"]) == ("run", "ppo", True, "ana")
    assert payload["config"] == asdict(Ppo(tokens=36, checkpointing="on", microbatch=Ppo().microbatch // 2))
    assert payload["inputs"] == {"reward": "0001-reward", "prompts": "built-in"}


def test_a_run_under_which_the_system_killed_the_model_says_so_until_it_has_gone_on(office, tmp_path):
    from lab.ui.state import _look

    run = office.workspace.new_run("ppo", asdict(Ppo()), inputs={"reward": "0001-reward", "prompts": "built-in"})
    write(run, Started("ppo", 60, asdict(Ppo())), Step(1, {}))
    page = desk.Stage("ppo", lambda _: "", lambda body, _: {}, lambda track: ppo.more(office, track))

    def seen():
        found = desk.look(office, page, {"run": run.name})
        return found["run"]["status"], found["run"]["failed"], [each["words"] for each in found["ways_out"]]

    assert seen() == ("interrupted", None, []) and "killed" not in _look(office)["next"]["sentence"]
    office.workspace.say({"pid": 7, "busy": run.name})
    note(tmp_path, 8)
    assert seen()[1] is None, "another process"
    note(tmp_path, 7)
    office.workspace.say({"pid": 8, "busy": None})
    status, failed, ways = seen()
    assert (status, failed["code"]) == ("interrupted", "E_OOM")
    assert failed["message"].startswith("The system killed the model process, probably because memory ran out.")
    assert "begins again, for it had no checkpoint" in failed["message"]
    assert ways == ["Start anew with tokens 36, checkpointing on", "Choose a smaller model"]
    why = "was interrupted: the system killed the model process, probably because memory ran out. It can begin again"
    assert why in _look(office)["next"]["sentence"]
    remedies.apply(office, desk.track_of(office, page, {"run": run.name}), {"code": "E_OOM", "index": 0}, "ana")
    assert asked(office)[0][1]["config"]["microbatch"] == Ppo().microbatch // 2
    write(run, Started("ppo", 60, asdict(Ppo())))
    assert not was_killed(run)
    desk.tracks_of(office).of(run)._looked = -1.0
    assert seen() == ("interrupted", None, [])


def test_a_button_that_begins_anew_takes_the_runs_settings_and_says_so(office):
    run, track = short_of_memory(office, "sft", Sft(batch=16))
    run.rename("Mine")
    about = [each["about"] for each in remedies.shown(track)["ways_out"]]
    words = f"Its other settings are those of Mine ({run.name})"
    assert about == [f"A new run. {words}, but for what you have changed in the form for a new run.", ""]
    found = remedies.apply(office, track, {"code": "E_OOM", "index": 0}, "ana")
    assert found["said"].startswith("Asked for.") and found["said"].endswith(f"{words}.")
    assert asked(office)[0][1]["config"]["batch"] == 16


def test_what_was_changed_in_the_form_goes_over_the_runs_settings_but_not_over_what_the_button_says(office):
    run, track = short_of_memory(office, "ppo", Ppo(batch=128, beta=0.2, microbatch=8))
    changed = {"beta": 0.05, "seed": 0, "tokens": 300, "microbatch": 2}
    found = remedies.apply(office, track, {"code": "E_OOM", "index": 0, "changed": changed}, "ana")
    wanted = Ppo(batch=128, beta=0.05, seed=0, tokens=36, checkpointing="on", microbatch=2)
    assert asked(office)[0][1]["config"] == asdict(wanted)
    assert found["said"].endswith("but for what you changed in the form: Beta, Seed, Microbatch.")
    larger = {"code": "E_OOM", "index": 0, "changed": {"microbatch": 64}}
    assert "but for" not in remedies.apply(office, track, larger, "ana")["said"]
    assert asked(office)[1][1]["config"]["microbatch"] == 4, "to fit, at most half of what did not"


@pytest.mark.parametrize("changed", [{"beta": -1.0}, {"beta": None}, {"nothing": 1}, [1]])
def test_what_the_form_holds_is_checked_before_the_old_run_is_stopped(office, running, changed):
    write(running, Warned(0, "W_MEMORY_SHORT", "Too large.", "Start anew."))
    track = desk.track_of(office, PAGE, {"run": running.name})
    with pytest.raises(BadInput):
        remedies.apply(office, track, {"code": "W_MEMORY_SHORT", "index": 0, "changed": changed}, "ana")
    assert running.control()["order"] == "run" and asked(office) == []


def test_a_grave_warning_is_not_pushed_out_by_those_that_followed_from_it(office, running):
    codes = [f"W_{name}" for name in "CLIP VALUE ENDED LENGTH STUCK FLAT ENTROPY_HIGH".split()]
    write(running, *(Warned(4, code, "So it is.", "Do it.") for code in codes))
    shown = remedies.cards(desk.track_of(office, PAGE, {"run": running.name}))
    assert len(shown) == remedies.NEWEST and "W_KL_HIGH" not in [each["code"] for each in shown]
    write(
        running, Warned(5, "W_UPDATE_KL", "Far.", "Halve it.", True), *(Warned(6, code, "So.", "Do.") for code in codes)
    )
    shown = remedies.cards(Track(running).refresh())
    assert [each["code"] for each in shown] == ["W_UPDATE_KL", *reversed(codes[-5:])]


def test_a_run_whose_numbers_broke_down_goes_back_or_begins_anew_at_half_the_rate(office):
    run = office.workspace.new_run("ppo", asdict(Ppo()), inputs={"reward": "0001-reward", "prompts": "built-in"})
    write(run, Started("ppo", 60, asdict(Ppo())), Step(2, {}), Step(3, {}), Failed(3, "E_NOT_FINITE", "It is nan."))
    track, before = Track(run).refresh(), Ppo().learning_rate
    anew = "Start anew with half the learning rate"
    assert [each["words"] for each in remedies.shown(track)["ways_out"]] == [anew], "there is no checkpoint yet"
    remedies.apply(office, track, {"code": "E_NOT_FINITE", "index": 1}, "ana")
    assert asked(office)[0][1]["config"]["learning_rate"] == before / 2
    run.checkpoint(2).mkdir(parents=True)
    (run.checkpoint(2) / "manifest.json").write_text("{}")
    offers = remedies.shown(track)["ways_out"]
    assert [each["words"] for each in offers] == ["Go back and halve the learning rate (step 2)", anew]
    remedies.apply(office, track, {"code": "E_NOT_FINITE", "index": 0}, "ana")
    assert run.control()["live"]["learning_rate"] == before / 2
    kind, payload = asked(office)[1]
    assert (kind, payload["run"], payload["from"]) == ("resume", run.name, 2)


def test_where_all_is_turned_already_only_a_smaller_model_is_left(office):
    _, track = short_of_memory(office, "sft", Sft(rank=4, checkpointing="on"))
    assert [each["words"] for each in remedies.shown(track)["ways_out"]] == ["Choose a smaller model"]


def test_the_way_out_is_gone_once_the_run_goes_on_or_broke_off_for_another_reason(office):
    run, track = short_of_memory(office, "sft", Sft())
    assert remedies.shown(track)["ways_out"]
    for event in (Started("sft", 60, asdict(Sft()), 3), Failed(3, "E_DISK_FULL", "No room.")):
        write(run, event)
        track = Track(run).refresh()
        assert remedies.shown(track)["ways_out"] == []
        with pytest.raises(BadInput, match="no longer there"):
            remedies.apply(office, track, {"code": "E_OOM", "index": 0}, "ana")


def test_sft_learns_a_files_conversations_turn_by_turn_as_from_the_shell_and_shows_them_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "get_upload_folder", lambda: str(tmp_path))
    turns = [{"role": role, "content": f"{role}?"} for role in ("system", "user", "assistant", "user")]
    rows = [{"messages": [*asked, {"role": "assistant", "content": "So."}]} for asked in (turns, turns[3:])]
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    given = sft.inputs({"file": str(file), "name": file.name})["pairs"]
    assert given == [(turns, "So."), (turns[3:], "So.")] == pairs_of(file)[0]
    talk, lone = sft.preview({"file": str(file)})["rows"]
    assert talk == {
        "prompt": "System: system?\n\nUser: user?\n\nAssistant: assistant?\n\nUser: user?",
        "response": "So.",
    }
    assert lone == {"prompt": "user?", "response": "So."}


def test_an_sft_that_begins_anew_learns_from_the_same_examples_built_in_or_of_a_file(office):
    run, track = short_of_memory(office, "sft", Sft(), pairs="built-in")
    remedies.apply(office, track, {"code": "E_OOM", "index": 0}, "ana")
    run, track = short_of_memory(office, "sft", Sft(), pairs=2, file="mine.jsonl")
    (run.folder / "data.json").write_text('{"pairs": [["Why?", "So."]], "held_out": [["How?", "Thus."]]}')
    remedies.apply(office, track, {"code": "E_OOM", "index": 0}, "ana")
    first, second = (payload for _, payload in asked(office))
    assert first["inputs"] == {}
    assert second["inputs"] == {"pairs": [["Why?", "So."], ["How?", "Thus."]], "file": "mine.jsonl"}
    small = asdict(Sft(rank=4, checkpointing="on", microbatch=Sft().microbatch // 2))
    assert first["config"] == second["config"] == small


def test_a_run_that_is_too_large_begins_anew_made_to_fit_with_its_own_prompts_and_moved_knobs(office):
    run = office.workspace.new_run("ppo", asdict(Ppo()), inputs={"reward": "0001-reward", "prompts": "own"})
    (run.folder / "data.json").write_text('{"prompts": ["One?"], "pinned": []}')
    write(run, Started("ppo", 60, asdict(Ppo())), Warned(0, "W_MEMORY_SHORT", "Too large.", "Start anew."))
    run.set_control(live={"beta": 0.3})
    track = desk.track_of(office, PAGE, {"run": run.name})
    assert [each["words"] for each in remedies.cards(track)[0]["offers"]][0] == "Start anew, made to fit"
    remedies.apply(office, track, {"code": "W_MEMORY_SHORT", "index": 0}, "ana")
    kind, payload = asked(office)[0]
    assert kind == "run" and payload["fit"] is True and payload["by"] == "ana"
    assert payload["inputs"] == {"reward": "0001-reward", "prompts": ["One?"]}
    assert payload["config"] == asdict(Ppo(beta=0.3, microbatch=Ppo().microbatch // 2))


def test_a_run_that_goes_on_is_stopped_before_it_begins_anew(office, running):
    write(running, Warned(0, "W_MEMORY_SHORT", "Too large.", "Start anew."))
    track = desk.track_of(office, PAGE, {"run": running.name})
    remedies.apply(office, track, {"code": "W_MEMORY_SHORT", "index": 0}, "ana")
    assert running.control()["order"] == "stop" and asked(office)[0][0] == "run"


def test_the_timeline_sets_the_first_answer_beside_the_one_at_the_slider(office, running):
    said = [
        Sample(step, "Why?", text, 0.0, 0.0, 3, True, "policy") for step, text in ((0, "a b"), (5, "a c"), (9, "d"))
    ]
    write(running, *said, name="samples.jsonl")
    write(running, *(Step(step, {}) for step in range(5, 10)))
    logs, tracks = timeline.SampleLogs(), desk.tracks_of(office)
    found = timeline.timeline(office, logs, tracks, {"step": 6})
    assert found["steps"] == [0, 5, 9] and found["step"] == 5
    assert found["rows"][0]["now"]["pieces"] == [("same", "a "), ("ins", "c")]
    assert timeline.timeline(office, logs, tracks, {"step": None})["step"] == 9


def test_what_was_rolled_back_leaves_the_timeline_and_the_samples(office, running):
    steps = (0, 5, 10, 5)
    rows = [Sample(step, "Why?", f"{place}", 0.0, 0.0, 3, pinned, "policy")
            for place, step in enumerate(steps) for pinned in (True, False)]  # fmt: skip
    write(running, *rows, name="samples.jsonl")
    log = timeline.SampleLogs().of(running, 6)
    assert log.steps() == [0, 5] and log.pinned["Why?"][5].response == "3"
    assert [(each.step, each.response) for each in log.newest] == [(0, "0"), (5, "3")]


def test_a_run_that_went_back_shows_no_answer_of_a_forgotten_step_before_it_goes_on_and_after_a_restart(office):
    run = office.workspace.new_run("ppo", asdict(Ppo()))
    rollouts = [Sample(step, "Why?", f"{step}", 0.0, 0.0, 3, False, "policy") for step in range(9)]
    pinned = [Sample(step, "Who?", f"at {step}", 0.0, 0.0, 3, True, "policy") for step in (0, 5, 9)]
    write(run, *sorted([*pinned, *rollouts], key=lambda each: each.step), name="samples.jsonl")
    write(run, Started("ppo", 9, {}), *(Step(step, {}) for step in range(1, 10)), Finished(9, "done", {}))
    logs, tracks, asked = timeline.SampleLogs(), desk.tracks_of(office), {"run": run.name}
    before = timeline.samples(office, logs, tracks, asked)
    assert len(before["rows"]) == 9 and timeline.timeline(office, logs, tracks, asked)["step"] == 9
    assert "rows" not in timeline.samples(office, logs, tracks, asked | {"have": before["have"]})
    write(run, Started("ppo", 9, {}, 5))
    tracks.of(run)._looked = 0.0
    for there in ((logs, tracks), (timeline.SampleLogs(), Tracks())):
        found = timeline.timeline(office, *there, asked)
        assert found["steps"] == [0, 5] and found["rows"][0]["now"]["step"] == 5
        now = timeline.samples(office, *there, asked | {"have": before["have"]})
        assert [row["response"] for row in now["rows"]] == ["4", "3", "2", "1", "0"]
    write(run, replace(rollouts[5], response="5 anew"), name="samples.jsonl")
    write(run, Step(6, {}))
    assert timeline.samples(office, timeline.SampleLogs(), Tracks(), asked)["rows"][0]["response"] == "5 anew"


def test_an_answer_of_a_rollout_stands_with_the_number_of_the_step_whose_metrics_were_measured_on_it(office, running):
    said = Sample(3, "Why?", "So.", 0.25, 0.5, 1, False, "policy", {"kl": [0.5]})
    pinned = Sample(4, "Why?", "So.", 0.5, 0.75, 1, True, "policy", {"kl": [0.75]})
    write(running, said, pinned, name="samples.jsonl")
    logs, tracks, run = timeline.SampleLogs(), desk.tracks_of(office), {"run": running.name}
    [row] = timeline.samples(office, logs, tracks, run)["rows"]
    assert (row["step"], row["score"]) == (4, 0.25), "step 4 is the newest on the curves"
    assert timeline.timeline(office, logs, tracks, run)["rows"][0]["now"]["step"] == 4
    of_table, of_timeline = run | {"step": 4, "prompt": "Why?", "response": "So."}, run | {"step": 4, "prompt": "Why?"}
    assert timeline.tokens(office, logs, tracks, of_table) == {"tokens": {"kl": [0.5]}}
    assert timeline.tokens(office, logs, tracks, of_timeline) == {"tokens": {"kl": [0.75]}}


def test_an_answer_that_a_resumed_run_draws_again_stands_once_among_the_newest(office, running):
    rows = [Sample(step, prompt, "So.", 0.0, 0.0, 3, False, "policy")
            for step, prompt in ((4, "Why?"), (5, "Why?"), (5, "Who?"), (5, "Why?"), (5, "Who?"))]  # fmt: skip
    write(running, *rows, name="samples.jsonl")
    log = timeline.SampleLogs().of(running, 6)
    assert [(each.step, each.prompt) for each in log.newest] == [(4, "Why?"), (5, "Why?"), (5, "Who?")]
    assert log.count == 5


def test_settings_that_differ_are_named_in_words(office):
    for beta in (0.1, 0.25):
        office.workspace.new_run("ppo", asdict(Ppo(beta=beta)))
    found = runs.compare(office, ["0001-ppo", "0002-ppo"])
    assert found["rows"] == [{"label": "Beta", "values": ["0.1", "0.25"]}] and found["alone"] == 0
    office.workspace.new_run("reward", asdict(Reward()))
    found = runs.compare(office, ["0001-ppo", "0003-reward"])
    labels = {row["label"] for row in found["rows"]}
    assert {"Stage", "Batch", "Learning rate"} <= labels and not labels & {"Beta", "Weight decay"}
    assert found["alone"] > 10


def test_a_knob_that_was_moved_is_told_with_its_step_in_the_list_and_between_two_runs(office):
    rate = Ppo().learning_rate
    steered, plain = (office.workspace.new_run("ppo", asdict(Ppo(tokens=36))) for _ in range(2))
    steered.set_control(live={"learning_rate": 1.0})
    for run in (steered, plain):
        write(run, Started("ppo", 9, run.facts()["config"]), *(Step(i, {}) for i in range(1, 8)))
    glances = {}
    listed = {row["name"]: row["settings"] for row in runs.listing(office, glances)["runs"]}
    assert listed == dict.fromkeys((steered.name, plain.name), "Longest answer 36")
    write(steered, Changed(7, "learning_rate", rate, 1.0, "ana"), Step(8, {}))
    listed = {row["name"]: row["settings"] for row in runs.listing(office, glances)["runs"]}
    told = f"{runs.said(rate)}, moved to 1 at step 7"
    assert listed == {steered.name: f"Longest answer 36; Learning rate {told}", plain.name: "Longest answer 36"}
    found = runs.compare(office, [steered.name, plain.name])["rows"]
    assert found == [{"label": "Learning rate", "values": [told, runs.said(rate)]}]
    write(steered, Started("ppo", 9, {}, 5), Changed(5, "learning_rate", rate, 1.0, "ana"))
    assert "moved to 1 at step 5" in runs.listing(office, glances)["runs"][1]["settings"]
    moved = [Changed(step, "beta", 0.1, step / 10, "ana") for step in (2, 3, 4)]
    assert runs.in_time(0.1, moved[:2]) == "0.1, moved to 0.2 at step 2, then to 0.3 at step 3"
    assert runs.in_time(0.1, moved) == "0.1, moved 3 times, last to 0.4 at step 4"


def test_who_moved_a_knob_or_ranked_is_you_to_themselves_and_the_host_to_guests(office, running, monkeypatch):
    write(running, Changed(4, "beta", 0.1, 0.2, "me"), Changed(4, "target_kl", 0.0, 3.0, "ana"))
    bring(office.store, [("Why?", ["good", "bad"], [[0], [1]], "")], "me", "file.jsonl")
    track = desk.track_of(office, PAGE, {"run": running.name})
    track.result = {"disagreements": [{"seq": 1, "better": 0, "worse": 1, "margin": 1.0}]}

    def told(rater):
        [run] = curves.pull(office, desk.tracks_of(office), {"runs": [running.name]}, rater)["runs"]
        [row] = reward.found(office, track, rater)["disagreements"]
        assert row["rater"] == "me"
        return [mark["by"] for mark in run["marks"]], row["who"]

    assert told("me") == (["", "You", "ana"], "You") and told("ana") == (["", "me", "You"], "me")
    monkeypatch.setattr(office, "mode", "workshop")
    assert told("guest 7") == (["", "The host", "ana"], "The host")
    assert track.marks[1]["by"] == "me", "what is kept is the name"


def test_a_run_that_broke_down_says_what_its_last_step_measured_beside_the_mean(office):
    run = office.workspace.new_run("ppo", {})
    write(run, Started("ppo", 9, {}), Step(1, {"reward/score": 0.5, "kl/reference": 2.0}))
    assert runs.listing(office, {})["runs"][0]["result"] == "score 0.5 at 2 nats of KL in the last step"
    write(run, Step(2, {"reward/score": -1.0, "kl/reference": 1346.0}))
    mean = "-0.382 at 793 nats"  # (0.3 of the last and 0.21 of the first) over their sum
    result = runs.listing(office, {})["runs"][0]["result"]
    assert result == f"score -1 at 1,350 nats of KL in the last step, {mean} on average of the last"


def test_an_sft_that_has_not_ended_says_that_its_loss_is_a_mean(office):
    run = office.workspace.new_run("sft", {})
    write(run, Started("sft", 2, {}), Step(1, {"loss/train": 1.5}), Step(2, {"loss/train": 1.5}))
    assert runs.listing(office, {})["runs"][0]["result"] == "loss 1.5 nats on average of the last steps"
    write(run, Finished(2, "done", {"loss/held_out": 1.25}))
    assert runs.listing(office, {})["runs"][0]["result"] == "loss 1.25 nats"


def test_a_deleted_run_comes_back_and_a_running_one_is_not_deleted(office, running):
    run = office.workspace.new_run("sft", {})
    runs.delete(office, {"run": run.name})
    assert [each["name"] for each in runs.listing(office, {})["deleted"]] == [run.name]
    runs.restore(office, {"run": run.name})
    assert office.workspace.run(run.name)
    with pytest.raises(Busy):
        runs.delete(office, {"run": running.name})


def test_a_deletion_names_the_runs_that_need_what_is_gone_and_so_does_the_refusal_to_resume(office):
    followed, other = (office.workspace.new_run("reward", {}) for _ in range(2))
    office.workspace.new_run("ppo", {}, inputs={"reward": followed.name, "reference": "sft"}).rename("The bold one")
    assert runs.delete(office, {"run": other.name})["said"] == f"{other.name} was deleted."
    said = runs.delete(office, {"run": followed.name})["said"]
    assert (
        said
        == f"{followed.name} was deleted. Without it these cannot go on: The bold one (0003-ppo). Undo brings it back."
    )
    with pytest.raises(NotFound, match="0001-reward was deleted. Bring it back on the Runs page"):
        office.workspace.run(followed.name)


def test_the_list_of_runs_says_what_each_came_to(office):
    run = office.workspace.new_run("reward", {})
    write(run, Started("reward", 1, {}), Step(1, {}), Finished(1, "done", {"pairs/accuracy": 0.82}))
    assert runs.listing(office, {})["runs"][0]["result"] == "right on 82 % of unseen pairs"


def test_the_reward_model_says_how_much_is_missing(office):
    assert "8 more prompts" in reward.hindrance(office)


def test_page_and_worker_count_the_same_rankings(office):
    """Twenty by a simulated rater are enough, until one person has ranked: from then on the people's are meant."""
    from lab.material import raters_of
    from lab.ui.state import _look

    def ranked(count, rater):
        for number in range(count):
            [prompt] = office.store.add_prompts([f"Why {rater} {number}?"], "own")
            four = office.store.add_comparison(prompt, [Candidate(f"{each}", "sft") for each in range(4)])
            office.store.rank(f"{rater} {number}", four, [[0], [1], [2], [3]], rater=rater)

    def start(**more):
        return desk.start(office, reward.stage_of(office), {"stage": "reward", **more}, "ana")

    ranked(20, "simulated:helpful")
    assert reward.hindrance(office) == "" and _look(office)["next"]["start"] == "reward"
    ranked(1, "ana")
    stands = _look(office)
    assert (stands["rankings"], stands["pairs"], stands["next"]["tab"]) == (1, 6, "rank")
    assert raters_of(office.store.rankings(), "") == PERSON
    for whose in ("", PERSON, "ana"):
        with pytest.raises(BadInput, match="your one ranking gives 6 .20 of other raters are left out.. Rank 7 more"):
            start(raters=whose)
    for whose in (ALL, "simulated:helpful"):
        assert "Asked for" in start(raters=whose)["said"]
    lacking = reward.more(office, None)["lacking"]
    assert [whose for whose, why in lacking.items() if not why] == [ALL, "simulated:helpful"]


@pytest.mark.parametrize(
    ("raters", "said"),
    [
        (["ana", ""], "They count among those of people."),
        (["simulated:helpful"] * 2, "They are by simulated raters and do not count among those of people."),
        (["ana", "simulated:helpful"], "1 of the file are simulated and do not count"),
    ],
)
def test_an_import_says_whether_its_rankings_count_among_those_of_people(tmp_path, raters, said):
    file, row = tmp_path / "many.jsonl", {"candidates": [{"text": "a"}, {"text": "b"}], "order": [[0], [1]]}
    row["prompt"] = [{"role": "user", "content": "Why?"}]
    file.write_text("".join(json.dumps(row | {"rater": rater}) + "\n" for rater in raters))
    assert said in bringing.simulated(read_file(file))


def test_a_look_at_a_file_shows_the_first_rows_that_rank_something(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "get_upload_folder", lambda: str(tmp_path))
    rows = [{"prompt": f"Why {number}?", "chosen": "So.", "rejected": "No."} for number in range(7)]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = bringing.look({"file": str(file)})
    assert found["count"] == 7 and [row["prompt"] for row in found["rows"]] == [f"Why {n}?" for n in range(5)]
    assert found["rows"][0]["answers"] == [{"place": "better", "text": "So."}, {"place": "worse", "text": "No."}]


def test_a_look_counts_the_answers_that_stand_alone_among_what_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "get_upload_folder", lambda: str(tmp_path))
    rows = [{"prompt": "Why?", "completion": f"{n}", "label": n > 1} for n in range(3)]
    rows += [{"prompt": f"Else {n}?", "completion": "So.", "label": n > 0} for n in range(2)]
    file = tmp_path / "thumbs.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = bringing.look({"file": str(file)})
    assert (found["format"], found["count"], found["left"]) == ("trl_unpaired", 1, 2)
    assert found["reasons"] == [
        "Row 4: labelled bad, and no answer to its prompt is labelled good",
        "Row 5: one answer only, which the SFT page can imitate",
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "", 3, "a\0b"])
def test_a_file_that_did_not_come_through_the_apps_upload_is_not_read(path):
    with pytest.raises((NotFound, BadInput)):
        uploads.uploaded(path)


def test_after_a_run_of_ppo_that_was_stopped_the_header_leads_to_compare(office):
    from lab.ui.state import snapshot

    for stage, why in (("reward", "done"), ("ppo", "stopped")):
        run = office.workspace.new_run(stage, {})
        run.adapter.mkdir()
        result = {"pairs": 20, "pairs/accuracy": 0.8, "gain": 1.0}
        write(run, Started(stage, 9, {}), Step(1, {}), Finished(1, why, result))
    found = snapshot(office)
    assert found["newest"]["ppo"] == "0002-ppo" and found["next"]["tab"] == "compare" and not found["next"]["start"]


def test_what_a_reward_model_doubts_is_found_without_reading_every_ranking(office, monkeypatch):
    rows = [(f"Question {number}?", ["good", "bad", "worse"], [[0], [1], [2]], "") for number in range(30)]
    bring(office.store, rows, "ana", "file.jsonl")
    office.store.withdraw("undo", 7)
    asked = [{"seq": seq, "better": 0, "worse": 2, "margin": seq / 10} for seq in (1, 2, 7, 50)]
    monkeypatch.setattr(Store, "rankings", lambda *_, **__: pytest.fail("all of them were read"))
    found = reward.disagreements(office, asked)
    assert [(each["seq"], each["prompt"]) for each in found] == [(2, "Question 1?"), (1, "Question 0?")]
