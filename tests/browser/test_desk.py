"""The desk of a stage in a real browser: what it asks before it does it, and what of its form a remedy takes."""

from __future__ import annotations

import pytest

from lab.config import Ppo
from lab.events import Failed, Finished, Step
from lab.journal import append_json
from lab.workspace import Workspace

from .made import made, ppo_metrics
from .test_ppo import DESK, press, state


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


@pytest.fixture
def run(app):
    with made(app.workspace) as writer:
        writer.write(*(Step(i, ppo_metrics(i)) for i in range(1, 6)))
        yield writer


def test_kill_says_before_the_first_step_that_there_is_none_to_lose(app, visit):
    with made(app.workspace) as run:
        page = visit("ppo")
        state(page, "running")
        page.locator(f"{DESK} [data-order=kill]").click()
        page.get_by_text("No step is done yet, so Resume begins the run again.").wait_for()
        page.locator(f"{DESK} [data-order=pause]").wait_for()
        assert run.run.status() == "running"


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
    page.get_by_text("The end.", exact=True).wait_for()
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
    page.get_by_text("Asked.", exact=True).wait_for()
    assert asked == [{"beta": 0.2, "steps": Ppo().steps}], "what was set to the usual value as well"
    beta.fill("")
    beta.press_sequentially("1e-")
    anew.click()
    page.get_by_text("Beta is not a number.").wait_for()
    assert len(asked) == 1


def test_what_a_run_has_taken_from_the_form_is_not_taken_by_a_remedy_after_it(app, visit):
    served = Workspace(app.workspace).served
    append_json(served, {"id": "refused", "done": True, "error": {"code": "E_BUSY", "message": "Not now."}})
    refused = {"error": {"code": "E_BAD_INPUT", "message": "Not so."}}
    later = {"request": "refused", "said": "Asked for."}
    answers = iter([{"status": 422, "json": refused}, {"json": {"said": "Begun."}}, {"json": later}])
    with made(app.workspace, "sft") as writer:
        writer.write(Failed(1, "E_OOM", "Memory ran out"))
        writer.lock.release()
        page, asked = visit("sft"), []
        page.route("**/lab/sft-start", lambda route: route.fulfill(**next(answers)))
        page.route(
            "**/lab/sft-remedy",
            lambda route: (
                asked.append(route.request.post_data_json["changed"]),
                route.fulfill(json={"said": "Anew."}),
            ),
        )
        desk = page.locator("#sft-desk")
        desk.locator(".desk-settings > summary", has_text="Settings").evaluate("node => (node.parentNode.open = true)")

        def set_and_start(rate: str, said: str) -> None:
            desk.locator(".desk-new").evaluate("node => (node.open = true)")
            desk.locator(".desk-new").get_by_label("Learning rate", exact=True).fill(rate)
            desk.get_by_role("button", name="Start SFT").click()
            desk.get_by_text(said).wait_for()

        def remedy() -> dict:
            count = len(asked)
            with page.expect_response("**/lab/sft-remedy"):
                desk.get_by_role("button", name="Start anew with").click()
            desk.get_by_text("Anew.", exact=True).wait_for()
            assert len(asked) == count + 1
            return asked[-1]

        set_and_start("0.01", "Not so.")
        assert remedy() == {"learning_rate": 0.01}, "no run had taken it"
        assert remedy() == {}, "the first remedy's run did"
        set_and_start("0.02", "Begun.")
        assert remedy() == {}
        set_and_start("0.03", "Not now.")
        assert remedy() == {"learning_rate": 0.03}, "refused when its turn came"


def test_a_smaller_batch_takes_the_folded_minibatch_down_with_it_until_that_is_set_by_hand(here, cached):
    office, url = here
    page = cached.new_page()
    page.goto(f"{url}/#ppo")
    start = page.locator(f"{DESK} .desk-new")
    start.wait_for()
    start.evaluate("node => node.querySelectorAll('details').forEach(each => (each.open = true))")
    batch, minibatch = (start.get_by_label(name, exact=True) for name in ("Batch", "Minibatch"))
    for given, follows in (("16", "16"), ("8", "8"), ("128", "32"), ("", "32")):
        batch.fill(given)
        assert minibatch.input_value() == follows
    minibatch.fill("24")
    batch.fill("16")
    assert minibatch.input_value() == "24", "set by hand, it is left for the lab to refuse"
    page.close()
