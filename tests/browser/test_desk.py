"""The desk of a stage in a real browser: what it asks before it does it, and what of its form a remedy takes."""

from __future__ import annotations

import pytest

from lab.config import Ppo
from lab.events import Failed, Finished, Step

from .made import made, ppo_metrics
from .test_ppo import DESK, press, state


@pytest.fixture
def run(app):
    with made(app.workspace) as writer:
        writer.write(*(Step(i, ppo_metrics(i)) for i in range(1, 6)))
        yield writer


def test_kill_says_what_is_lost_and_waits_for_a_second_press_that_is_no_double_click(run, visit):
    page, orders = visit("ppo"), []
    state(page, "running")
    page.route("**/lab/ppo-order", lambda route: (orders.append(1), route.fulfill(json={"said": "The end."})))
    kill = page.locator(f"{DESK} [data-order=kill]")
    kill.dblclick()
    page.get_by_text("no checkpoint yet: all 5 steps so far are lost; “Stop and keep” loses nothing").wait_for()
    run.checkpoint(3)
    page.wait_for_selector(f"{DESK} .desk-back option", state="attached")
    page.get_by_text("Steps 4 to 5 and the one under way are lost").wait_for()
    assert orders == [] and kill.inner_text() == "Yes, kill it", "it stays asked, in the words that hold now"
    kill.click()
    page.get_by_text("The end.").wait_for()
    assert orders == [1] and kill.inner_text() == "Kill"


def test_what_was_asked_stays_asked_while_the_run_goes_on_and_is_taken_back_with_its_button(run, visit):
    run.checkpoint(2)
    page = visit("ppo")
    state(page, "running")
    back, kill = (page.locator(f"{DESK} [data-order={name}]") for name in ("back", "kill"))
    press(page, "Roll back to")
    run.checkpoint(4)
    page.wait_for_selector(f"{DESK} .desk-back option[value='4']", state="attached")
    assert back.inner_text() == "Yes, roll back to" and page.locator(f"{DESK} .desk-back select").input_value() == "2"
    run.run.set_control(order="pause")
    state(page, "paused")
    page.get_by_text("Step 2 it is").wait_for()
    kill.click()
    page.get_by_text("Step 5 and the one under way are lost").wait_for()
    run.write(Finished(5, "stopped", {}))
    state(page, "stopped")
    kill.wait_for(state="detached")
    assert page.locator(f"{DESK} .desk > .lab-told").inner_text() == ""


def test_what_somebody_has_set_in_the_form_is_in_the_run_that_a_remedy_begins(run, visit):
    run.write(Failed(5, "E_OOM", "Memory ran out"))
    run.lock.release()
    page, asked = visit("ppo"), []
    state(page, "failed")
    page.route(
        "**/lab/ppo-remedy",
        lambda route: (asked.append(route.request.post_data_json["changed"]), route.fulfill(json={"said": "Asked."})),
    )
    anew = page.locator(DESK).get_by_role("button", name="Start anew with tokens 36, checkpointing on")
    page.locator(f"{DESK} .desk-new > summary").click()
    page.locator(f"{DESK} .desk-new > .desk-settings > summary", has_text="Settings").click()
    beta, steps = (page.locator(f"{DESK} .desk-new").get_by_label(name, exact=True) for name in ("Beta", "Steps"))
    beta.fill("0.2")
    steps.fill(str(Ppo().steps))
    anew.click()
    page.get_by_text("Asked.").wait_for()
    assert asked == [{"beta": 0.2, "steps": Ppo().steps}], "what was set to the usual value as well"
    beta.fill("")
    beta.press_sequentially("1e-")
    anew.click()
    page.get_by_text("Beta is not a number.").wait_for()
    assert len(asked) == 1
