"""With the real model: single steps, back to a checkpoint, a doubted ranking ranked again or left out of training."""

from __future__ import annotations

import re
import time

import pytest

from lab.events import Finished, Started, Step
from lab.journal import read_json
from lab.store import Candidate, Store
from lab.workspace import Workspace

from .made import made
from .test_ppo import DESK, press, state
from .test_rank import BOARD

SMALL = {"steps": 400, "batch": 8, "minibatch": 8, "microbatch": 8, "tokens": 12}


@pytest.fixture
def ask(tuned, visit_tuned):
    """visit_tuned's page on a tab, and what its own scripts would post."""
    page = visit_tuned("ppo")
    return page, lambda action, body: page.request.post(f"{tuned.url}/lab/{action}", data=body).json()


def until(true, seconds: float = 120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError(f"it did not come in {seconds} s")


def started(app, post, stage: str, config: dict):
    """A new run of a stage, once its first step is done."""
    known = {run.name for run in Workspace(app.workspace).runs()}
    assert "error" not in post(f"{stage}-start", {"config": config, "anyway": True})
    run = until(lambda: next((run for run in Workspace(app.workspace).runs() if run.name not in known), None))
    until(lambda: steps(run))
    return run


def rests(run) -> bool:
    """Whether no step comes any more: the one that is under way when a pause is ordered still does."""
    before = steps(run)
    time.sleep(1.5)
    return steps(run) == before


def steps(run) -> list[int]:
    return [event.step for event, _ in run.events().events if isinstance(event, Step)]


def test_a_run_does_one_step_at_a_time_and_goes_back_to_a_checkpoint(tuned, ask):
    page, post = ask
    run = started(tuned, post, "ppo", SMALL)
    page.locator(f"{DESK} .desk-picker").select_option(run.name)
    state(page, "running")
    press(page, "Pause")
    until(lambda: run.status() == "paused" and rests(run) and run.checkpoints()[-1] == steps(run)[-1])
    for _ in range(2):
        state(page, "paused")
        before = steps(run)[-1]
        page.wait_for_selector(f"{DESK} [data-order=step]:enabled")
        press(page, "One step")
        until(lambda before=before: steps(run)[-1] == before + 1 and run.checkpoints()[-1] == before + 1)
        time.sleep(1.5)
        assert steps(run)[-1] == before + 1 and run.status() == "paused"
    goal = run.checkpoints()[-2]

    def answered():
        return max(row["step"] for row in post("samples", {"run": run.name})["rows"])

    assert answered() == steps(run)[-1]
    page.locator(f"{DESK} .desk-back select").select_option(str(goal))
    press(page, "Roll back to")
    press(page, "Yes, roll back to")
    turn = until(lambda: [event for event, _ in run.events().events if isinstance(event, Started) and event.step])
    assert turn[0].step == goal
    state(page, "paused")
    until(lambda: answered() == goal)  # what was said on the way to a forgotten step, before the run goes on
    page.get_by_text(
        "as it was then, but its knobs are as set now. Move them, then Go on trains on from here"
    ).wait_for()
    assert page.locator(f"{DESK} .desk-knobs").is_visible() and steps(run)[-1] > goal and run.status() == "paused"
    press(page, "Go on")
    until(lambda: steps(run).count(goal + 1) == 2)
    press(page, "Stop and keep")
    state(page, "stopped")
    assert steps(run).count(goal + 1) == 2


@pytest.fixture
def doubted(tuned):
    """A finished reward model that disagrees with the third ranking of "me"."""
    ranking = [each for each in tuned.rankings() if each.rater == "me" and len(each.order) == 4][2]
    worse = {"seq": ranking.seq, "better": ranking.order[0][0], "worse": ranking.order[-1][0], "margin": 1.4}
    with made(tuned.workspace, "reward", 1) as run:
        run.write(Step(1, {"loss/train": 0.5}), Finished(1, "done", {"pairs/accuracy": 0.7, "disagreements": [worse]}))
        yield ranking


def test_a_doubted_ranking_is_ranked_again_and_only_the_new_order_counts(tuned, doubted, visit_tuned):
    page = visit_tuned("reward")
    count = len(tuned.rankings())
    page.locator("#reward-verdict article").get_by_role("button", name="Rank it again").click()
    page.wait_for_function(
        "prompt => document.querySelector('#board .board-prompt').textContent === prompt",
        arg=doubted.comparison.prompt,
    )
    assert page.locator("#tab-rank-button").get_attribute("aria-selected") == "true"
    shown = page.locator(f"{BOARD} .board-text").all_inner_texts()
    assert shown == [each.text for each in doubted.comparison.candidates]
    assert len(tuned.rankings()) == count, "it counts until the new one is saved"
    for key in "432":
        page.keyboard.press(key)
    with page.expect_response("**/lab/board-submit"):
        page.keyboard.press("Enter")
    kept = [each for each in tuned.rankings() if each.comparison.id == doubted.comparison.id]
    assert [each.order for each in kept] == [((3,), (2,), (1,), (0,))] and len(tuned.rankings()) == count


def test_a_ranking_that_is_left_out_is_not_in_the_next_training(tuned, doubted, visit_tuned, ask):
    page, (_, post) = visit_tuned("reward"), ask
    page.locator("#reward-verdict article").get_by_role("button", name="Leave out").click()
    page.locator("#reward-verdict article").get_by_role("button", name="Take in again").wait_for()
    run = started(tuned, post, "reward", {"normalise_over": 8, "tokens": 8})
    assert doubted.seq not in [row[-1] for row in read_json(run.folder / "data.json")["rankings"]]
    assert "error" not in post("reward-order", {"run": run.name, "order": "stop"})
    # A training this short may have ended by itself.
    until(lambda: run.status() in ("stopped", "done"))


def test_people_rank_on_while_it_trains_and_after_so_many_rankings_it_follows_a_new_reward_model(tuned, ask):
    page, post = ask
    run = started(tuned, post, "ppo", SMALL)
    page.click("#tab-rank-button")
    card = page.locator("#together .together")
    card.get_by_text(f"{run.name} is in training: step ").wait_for()
    assert card.locator("svg[role=img]").count() == 2
    card.get_by_role("button", name="Train it anew every 8 rankings").click()
    field = card.get_by_label("New rankings for a new reward model")
    field.fill("4")
    field.press("Enter")
    card.get_by_text(re.compile(r"[0-3] rankings? came since; a new one after [1-4] more\.")).wait_for()
    card.get_by_role("button", name="Rank what it says now").click()
    assert page.locator(f"{BOARD} .board-source select").input_value() == "policy"
    before = run.facts()["inputs"]["reward"]
    with Store(tuned.workspace / "lab.db") as store:
        for number in range(4):
            [prompt] = store.add_prompts([f"Which of {number}?"], "built-in")
            found = store.add_comparison(prompt, [Candidate("A wolf is an animal.", "sft"), Candidate("No.", "sft")])
            store.rank(f"meanwhile {number}", found, [[0], [1]], rater="me")
    anew = until(lambda: run.control()["reward"])
    assert anew != before and Workspace(tuned.workspace).run(anew).status() == "done"
    card.get_by_text(f"It follows {anew}").wait_for()
    card.get_by_role("button", name="See the run").click()
    followed = f"follows {anew} from here on, instead of {before}"
    page.locator("#ppo-curves").get_by_text(followed).first.wait_for(state="attached")
    assert "error" not in post("ppo-order", {"run": run.name, "order": "stop"})
    until(lambda: run.status() == "stopped")
    page.click("#tab-rank-button")
    card.wait_for(state="hidden")
