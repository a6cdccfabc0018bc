"""The PPO page with the real model, which refuses, trains, is killed and goes on."""

from __future__ import annotations

import time

import pytest

from lab.events import Finished, Step
from lab.store import Store
from lab.workspace import Workspace

from .conftest import rank_by_taste
from .made import made
from .test_ppo import DESK, press, settings, state


def test_a_reward_model_that_may_be_guessing_is_followed_only_by_a_click_that_says_so(app, visit):
    with made(app.workspace, "reward") as guess:
        guess.write(Finished(1, "done", {"pairs": 12, "pairs/accuracy": 0.5, "gain": 1.0}))
        page = visit("ppo")
        settings(page, DESK, {})
        page.locator(DESK).get_by_text("right on 50 % of 12 pairs").wait_for()
        assert page.locator(DESK).get_by_role("button", name="Rank more").is_visible()
        assert not page.locator(DESK).get_by_role("button", name="Start PPO", exact=True).is_visible()
        with page.expect_request("**/lab/ppo-start") as asked:
            page.locator(DESK).get_by_role("button", name="Start PPO anyway").click()
        assert asked.value.post_data_json["anyway"] is True
        # Past the doubt, the made run is found to be none: it has no adapter.
        page.locator(DESK).get_by_text("made no adapter").wait_for()


@pytest.mark.slow  # a whole training; tests/test_alternatives.py shows that DPO learns
def test_dpo_learns_from_the_rankings_alone(app, ranked, visit):
    page = visit("ppo")
    page.set_default_timeout(120_000)
    settings(page, DESK, {})
    page.get_by_label("Method").select_option("dpo")
    page.locator(DESK).get_by_role("button", name="Start DPO").click()
    page.wait_for_function("() => document.querySelector('#ppo-desk .desk-picker').value.endsWith('-dpo')")
    state(page, "done")
    run = Workspace(app.workspace).newest("dpo")
    assert run.adapter.is_dir() and run.facts()["inputs"]["raters"] in ("ana", "person")
    page.get_by_text("Before DPO").first.wait_for()


@pytest.fixture(scope="module")
def ranked(app):
    """Twenty-five rankings, enough to train on."""
    with Store(app.workspace / "lab.db") as store:
        rank_by_taste(store, 25, "ana")


@pytest.mark.slow  # two trainings and a kill; tests/test_worker.py and test_runner.py kill runs, too
def test_a_run_with_the_real_model_is_killed_in_its_middle_and_goes_on(app, ranked, visit):
    page = visit("reward")
    page.set_default_timeout(300_000)
    settings(page, "#reward-desk", {"Epochs": 1})
    page.locator("#reward-desk .desk-new .lab-main", has_text="Train the reward model").click()
    page.wait_for_selector('#reward-desk .lab-chip[data-state="done"]')
    assert "guessing would be 50 %" in page.inner_text("#reward-desk .verdict")
    page.get_by_text("Run PPO with it").click()
    small = {"Steps": 40, "Longest answer": 12, "Batch": 8, "Minibatch": 8, "Microbatch": 8}
    settings(page, DESK, small)
    page.locator(f"{DESK} .desk-new button:visible", has_text="Start PPO").click()
    page.wait_for_function("() => Number(document.querySelector('#ppo-curves .live')?.dataset.steps) >= 3")
    press(page, "Kill")
    press(page, "Yes, kill it")
    began = time.monotonic()
    state(page, "interrupted")
    assert time.monotonic() - began < 30
    page.wait_for_selector('.lab-worker[data-state="ready"]')
    press(page, "Resume")
    state(page, "running")
    run = Workspace(app.workspace).newest("ppo", "running")
    before = len(run.events().events)
    # The curves still show what the killed process had done, so they do not tell that a step was taken since.
    while not any(isinstance(event, Step) for event, _ in run.events().events[before:]):
        assert time.monotonic() - began < 300
        time.sleep(0.2)
    press(page, "Stop and keep")
    state(page, "stopped")
    assert len(run.events().events) > before and run.adapter.is_dir()
