"""The PPO page in a real browser: steered while a run goes on, warned with a way out, going back, reading answers."""

from __future__ import annotations

import time

import pytest

from lab.config import Ppo
from lab.events import Failed, Finished, Sample, Started, Step, Warned
from lab.journal import append_json
from lab.workspace import Workspace

from .made import made, ppo_metrics

DESK = "#ppo-desk"
HOSTILE = '<img src=x onerror="window.__x=1"> ${window.__x=2} {{7*7}}'


def state(page, wanted: str) -> None:
    page.wait_for_selector(f'{DESK} .lab-chip[data-state="{wanted}"]')


def press(page, words: str) -> None:
    page.locator(f"{DESK} .desk-orders button", has_text=words).click()


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


@pytest.fixture
def run(app):
    with made(app.workspace) as writer:
        writer.write(*(Step(i, ppo_metrics(i)) for i in range(1, 6)))
        yield writer


def control(run, key: str, wanted) -> None:
    """The order reaches the run's control file within a few seconds."""
    deadline = time.monotonic() + 30
    while run.run.control()[key] != wanted:
        assert time.monotonic() < deadline, run.run.control()
        time.sleep(0.05)


def settings(page, desk: str, values: dict[str, float]) -> None:
    """Open the form's folds, once the page knows whether there is a run, and fill fields by their labels."""
    page.locator(f"{desk} .desk-new[data-empty]").wait_for(state="attached")
    if not page.locator(f"{desk} .desk-new").get_attribute("open"):
        page.evaluate("desk => { document.querySelector(`${desk} .desk-new`).open = true }", desk)
    page.evaluate("desk => document.querySelectorAll(`${desk} details`).forEach(each => { each.open = true })", desk)
    for label, value in values.items():
        page.locator(f"{desk} .desk-settings").get_by_label(label, exact=True).fill(str(value))


def test_a_running_run_is_paused_stepped_and_stopped_by_the_keyboard_alone(run, visit):
    page = visit("ppo")
    state(page, "running")
    page.locator(f"{DESK} [data-order=pause]").focus()
    page.keyboard.press("Enter")
    state(page, "paused")
    page.wait_for_function("() => document.activeElement.dataset.order === 'go'")
    assert run.run.control()["order"] == "pause"
    page.locator(f"{DESK} [data-order=step]").focus()
    page.keyboard.press("Enter")
    control(run, "until", 6)
    page.wait_for_function("() => document.activeElement.dataset.order === 'step'")
    press(page, "Go on")
    control(run, "order", "run")
    state(page, "running")
    press(page, "Stop and keep")
    control(run, "order", "stop")
    run.write(Finished(5, "stopped", {}))
    state(page, "stopped")
    assert page.locator(f"{DESK} .desk-orders button", has_text="Resume").is_visible()
    assert page.locator(f"{DESK} .desk > .lab-told").inner_text() == ""


def test_the_banner_leads_to_the_run_that_it_speaks_of(app, run, visit):
    with made(app.workspace) as later:
        later.lock.release()
        page = visit("ppo")
        looked_at = "name => document.querySelector('#ppo-desk .desk-picker')?.value === name"
        page.wait_for_function(looked_at, arg=run.run.name)
        page.locator(".lab-go", has_text="See it").click()
        page.wait_for_function(looked_at, arg=later.run.name)
        page.wait_for_selector(".lab-go", state="hidden")


def test_no_order_moves_when_a_run_pauses_and_go_on_lies_where_pause_was(run, visit):
    page = visit("ppo")
    state(page, "running")
    orders = page.locator(f"{DESK} .desk-orders button")
    page.locator("#ppo-curves .main-svg").first.wait_for()
    before = [each.bounding_box() for each in orders.all()]
    press(page, "Pause")
    state(page, "paused")
    orders.filter(has_text="Go on").wait_for()
    assert [each.bounding_box() for each in orders.all()] == before


def test_going_back_is_not_asked_again_before_the_model_has_answered(app, run, visit):
    run.checkpoint(2)
    run.write(Finished(5, "stopped", {}))
    page = visit("ppo")
    state(page, "stopped")
    page.route("**/lab/ppo-order", lambda route: route.fulfill(json={"request": "in line", "said": "Asked for."}))
    press(page, "Roll back to")
    page.get_by_text("Step 2 it is: what the run learned after it is forgotten").wait_for()
    press(page, "Yes, roll back to")
    page.get_by_text("Asked for.", exact=True).wait_for()
    for _ in range(3):
        with page.expect_response("**/lab/ppo-desk"):
            pass
        assert page.locator(f"{DESK} [data-order=back]").is_disabled()
        assert page.locator(f"{DESK} [data-order=resume]").is_disabled()
    refused = {"code": "E_BUSY", "message": "The run is going on already."}
    append_json(Workspace(app.workspace).served, {"id": "in line", "done": True, "error": refused})
    page.wait_for_selector(f"{DESK} [data-order=back]:enabled")
    assert page.locator(f"{DESK} [data-order=resume]").is_enabled()


def test_a_knob_moves_while_it_runs_and_a_value_out_of_range_is_refused_in_words(run, visit):
    page = visit("ppo")
    state(page, "running")
    beta = page.locator(f"{DESK} .desk-knobs input[name=beta]")
    beta.fill("0.25")
    beta.press("Enter")
    page.get_by_text("Beta is 0.25 from the next step on.").wait_for()
    page.get_by_label("Double beta").click()
    control(run, "live", {"beta": 0.5})
    page.get_by_label("Double target KL", exact=False).click()
    page.get_by_text("Target KL is 0 already.").wait_for()
    beta.fill("-1")
    beta.press("Enter")
    page.wait_for_selector(f"{DESK} .lab-told.is-bad")
    assert "Beta is -1; it must be at least 0" in page.inner_text(f"{DESK} .lab-told.is-bad")
    assert run.run.control()["live"] == {"beta": 0.5}


def test_a_warning_offers_its_remedy_and_one_click_applies_it(run, visit):
    run.checkpoint(3)
    warned = Warned(5, "W_KL_HIGH", f"Far away {HOSTILE}", "Double beta, or go back to an earlier checkpoint.")
    run.write(warned)
    page = visit("ppo")
    card = page.locator(f"{DESK} .desk-warning")
    card.wait_for()
    assert HOSTILE in card.inner_text()
    card.get_by_text("Double beta", exact=True).click()
    control(run, "live", {"beta": 2 * Ppo().beta})
    assert card.get_by_text("Go back to a checkpoint (step 3)").is_visible()
    assert page.evaluate("() => window.__x === undefined")


def test_a_run_that_broke_off_for_want_of_memory_begins_anew_with_less_by_one_click(run, visit):
    run.write(Failed(5, "E_OOM", f"Memory ran out {HOSTILE}"))
    run.lock.release()
    page = visit("ppo")
    state(page, "failed")
    assert HOSTILE in page.inner_text(f"{DESK} .desk-failure")
    assert page.locator(DESK).get_by_role("button", name="Choose a smaller model").is_visible()
    answer = {"said": "Asked for."}
    page.route("**/lab/ppo-remedy", lambda route: route.fulfill(json=answer))
    with page.expect_request("**/lab/ppo-remedy") as pressed:
        anew = page.locator(DESK).get_by_role("button", name="Start anew with tokens 36, checkpointing on")
        assert "but for what you have changed in the form for a new run" in anew.get_attribute("title")
        anew.click()
    assert pressed.value.post_data_json == {"run": run.run.name, "code": "E_OOM", "index": 0, "changed": {}}
    page.get_by_text("Asked for.", exact=True).wait_for()
    seen = """guest => {
        document.body.classList.toggle("is-guest", guest);
        return document.querySelector("#ppo-desk .desk-failure + .lab-line").offsetParent !== null;
    }"""
    assert page.evaluate(seen, False) and not page.evaluate(seen, True)
    assert page.evaluate("() => window.__x === undefined")


def test_the_timeline_marks_changed_words_and_hostile_answers_stay_text(run, visit):
    answers = {0: "the sky is red", 5: f"the sky is blue {HOSTILE}"}
    run.write(*(Sample(step, HOSTILE, text, 0.1, 0.2, 4, True, "policy") for step, text in answers.items()))
    page = visit("ppo")
    part = page.locator("#ppo-timeline")
    part.locator("ins").first.wait_for()
    assert part.locator("del").all_inner_texts() == ["red"]
    assert part.locator("ins").all_inner_texts() == [f"blue {HOSTILE}"]
    assert part.locator("img, script").count() == 0
    slider = part.locator("input[type=range]")
    slider.focus()
    slider.press("ArrowLeft")
    page.wait_for_function("() => !document.querySelector('#ppo-timeline ins')")
    assert part.locator("output").inner_text() == "step 0"
    assert page.evaluate("() => window.__x === undefined")


def test_samples_are_sorted_by_a_click_on_a_column(run, visit):
    scores = {1: 0.5, 2: 2.0, 3: -1.0}
    run.write(
        *(Sample(step, "Why?", f"answer {step}", score, 0.1, 4, False, "policy") for step, score in scores.items())
    )
    page = visit("ppo")
    table = page.locator("#ppo-samples table")
    table.locator("tbody tr").nth(2).wait_for()
    table.get_by_role("button", name="Score").click()
    assert table.locator("tbody tr td:nth-child(2)").all_inner_texts() == ["2", "0.5", "-1"]
    assert table.locator("th", has_text="Score").get_attribute("aria-sort") == "descending"
    run.write(Started("ppo", 60, run.config, 3))
    table.get_by_text("answer 3").wait_for(state="detached")
    assert table.locator("tbody tr").count() == 2, "it went back to step 3, and what it said on the way to 4 is undone"
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.locator(".samples-prompt").first.bounding_box()["width"] >= 150


def figures(*texts: str) -> dict:
    numbers = [round(0.5 - i, 1) for i in range(len(texts))]
    return {"text": list(texts)} | {name: numbers for name in ("kl", "reward", "value", "advantage")}


def test_an_answer_of_the_table_is_read_token_by_token_by_keys_and_stays_text(run, visit):
    tokens = figures("the ", HOSTILE, "")
    run.write(Sample(4, "Why?", f"the {HOSTILE}", 0.1, 0.2, 3, False, "policy", tokens))
    page = visit("ppo")
    heat = page.locator("#ppo-heat")
    heat.get_by_text("Choose Tokens beside an answer").wait_for()
    page.get_by_role("button", name="Show the answer of step 5 token by token").press("Enter")
    heat.locator(".heat-piece").first.wait_for()
    assert heat.locator(".heat-text .heat-piece").all_inner_texts() == ["the ", HOSTILE, "end"]
    assert page.evaluate("() => document.activeElement.className") == "heat-text"
    heat.get_by_role("button", name="Advantage").click()
    signs = heat.locator(".heat-text .heat-piece").evaluate_all("nodes => nodes.map(each => each.dataset.sign)")
    assert signs == ["plus", "minus", "minus"]
    page.mouse.move(0, 0)  # a piece that comes to stand under the pointer would be read instead
    heat.locator(".heat-text").press("ArrowRight")
    heat.locator(".heat-text").press("ArrowRight")
    assert heat.locator(".heat-line").inner_text().startswith(f"Token 2 of 3, “{HOSTILE}”: KL -0.5, Reward -0.5")
    assert heat.locator("img, script").count() == 0 and page.evaluate("() => window.__x === undefined")


def test_a_pinned_answer_is_read_token_by_token_and_an_old_run_says_that_it_has_no_figures(run, visit):
    run.write(Sample(5, "Why?", "so it is", 0.1, 0.2, 3, True, "policy", figures("so ", "it is", "")))
    run.write(Sample(5, "Old?", "so", 0.1, 1.0, 1, True, "policy"))
    page = visit("ppo")
    cards = page.locator("#ppo-timeline .pinned")
    cards.filter(has_text="Why?").get_by_role("button", name="Tokens").click()
    page.locator("#ppo-heat .heat-text .heat-piece").nth(2).wait_for()
    old = cards.filter(has_text="Old?")
    assert "1 nat · 1 token" in old.inner_text() and "1 tokens" not in old.inner_text()
    old.get_by_role("button", name="Tokens").click()
    page.get_by_text("This answer has no figures by token").wait_for()


def test_a_run_without_figures_by_token_has_no_place_for_them_and_speaks_of_dpo_as_it_is(app, visit):
    with made(app.workspace, "dpo", 2) as ranked:
        ranked.write(Sample(0, "Why?", "so it is", None, None, 3, True, "policy"), Step(1, {}))
        ranked.write(Finished(1, "stopped", {}))
        page = visit("ppo")
        page.get_by_text("Before DPO").wait_for()
        assert not page.locator("#ppo-heat .part").is_visible()
        settings(page, DESK, {})
        page.get_by_label("Method").select_option("dpo")
        watched = page.locator(f"{DESK} .field", has=page.get_by_label("Prompts to watch"))
        assert "Asked before and after" in watched.inner_text()
        assert page.get_by_text("Prompts to watch", exact=True).count() == 1
        ranked.write(Sample(0, "Why?", "so it is", 0.1, 0.2, 3, False, "policy", figures("so ", "it is", "")))
        page.locator("#ppo-heat .part").wait_for()


def test_at_most_eight_knobs_stand_in_the_open_and_each_has_a_name(run, visit):
    page = visit("ppo")
    state(page, "running")
    for each in page.locator(f"{DESK} .desk-knobs input").all():
        assert page.locator(f'label[for="{each.get_attribute("id")}"]').count() == 1
    run.write(Finished(5, "done", {}))
    state(page, "done")
    page.locator(f"{DESK} .desk-new > summary").click()
    page.locator(f"{DESK} .desk-settings > summary", has_text="Settings").click()
    assert 1 <= page.locator(f"{DESK} .desk-settings .form > .form-grid .field-input:visible").count() <= 8
    told = page.locator(f"{DESK} .desk-settings .form").first.text_content()
    assert "Usually 0; from 0 to 1,000." in told and "Usually 0; from 0 to 2,147,483,647." in told


def test_who_has_an_sft_of_their_own_chooses_where_a_run_starts(app, visit):
    with made(app.workspace, "sft") as own, made(app.workspace, "reward") as reward:
        reward.write(Finished(1, "done", {"pairs": 12, "pairs/accuracy": 0.9, "gain": 1.0}))
        page = visit("ppo")
        settings(page, DESK, {})
        start = page.locator(DESK).get_by_label("Starts from")
        assert not start.is_visible()
        own.write(Finished(1, "done", {}))
        start.wait_for()
        start.select_option(label=f"SFT {own.run.name}")
        with page.expect_request("**/lab/ppo-start") as asked:
            page.locator(DESK).get_by_role("button", name="Start PPO", exact=True).click()
        assert asked.value.post_data_json["reference"] == own.run.name
        page.get_by_label("Method").select_option("dpo")
        assert not start.is_visible()


def test_another_method_has_its_own_settings_and_an_answer_of_it_has_no_value(app, visit):
    with made(app.workspace, "grpo", method="grpo") as group:
        tokens = {name: column for name, column in figures("so ", "it is").items() if name not in ("value", "reward")}
        group.write(Step(1, ppo_metrics(1)), Sample(0, "Why?", "so it is", 0.1, 0.2, 3, True, "p", tokens))
        page = visit("ppo")
        state(page, "running")
        knobs = page.locator(f"{DESK} .desk-knobs")
        assert knobs.get_by_label("Double beta").is_visible() and not knobs.get_by_label("Target KL").count()
        page.get_by_text("Before GRPO").wait_for()
        page.locator("#ppo-timeline").get_by_role("button", name="Tokens").click()
        page.locator("#ppo-heat .heat-piece").first.wait_for()
        assert page.locator("#ppo-heat .heat-choice button:visible").all_inner_texts() == ["KL", "Advantage"]
        group.write(Finished(1, "done", {}))
        state(page, "done")
        settings(page, DESK, {})
        fields = page.locator(f"{DESK} .desk-settings")
        assert fields.get_by_label("Minibatch").is_visible()
        page.get_by_label("Method").select_option("rloo")
        assert (
            fields.get_by_label("Answers to each prompt").is_visible() and not fields.get_by_label("Minibatch").count()
        )
        page.get_by_label("Method").select_option("dpo")
        assert not page.get_by_label("Prompts to practise on").is_visible()
        assert page.locator(DESK).get_by_role("button", name="Start DPO").count() == 1
