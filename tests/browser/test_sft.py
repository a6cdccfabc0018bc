"""The SFT page in a real browser: examples are seen before anything starts, a poor file says what is wrong."""

from __future__ import annotations

import json

import pytest

from lab.events import Finished, Sample, Step, Warned

from .made import made

DESK = "#sft-desk"
HOSTILE = '<img src=x onerror="window.__x=1"> ${window.__x=2}'


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


def unfold(page) -> None:
    page.wait_for_selector(f"{DESK} .desk-new", state="attached")
    page.evaluate("desk => document.querySelectorAll(`${desk} details`).forEach(each => { each.open = true })", DESK)


def send(page, path) -> None:
    page.locator(f"{DESK} input[type=file]").set_input_files(path)


def test_built_in_examples_are_shown_before_anything_starts(visit):
    page = visit("sft")
    unfold(page)
    page.locator(f"{DESK} .sft-data tbody tr").nth(4).wait_for()
    assert "Built-in examples" in page.inner_text(f"{DESK} .sft-about")


def test_a_file_shows_five_rows_and_why_others_are_left_out(visit, tmp_path):
    rows = [{"prompt": f"Question {i} {HOSTILE}?", "completion": f"Answer {i}."} for i in range(9)]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in [*rows, {"prompt": "No answer?", "completion": ""}]))
    page = visit("sft")
    unfold(page)
    send(page, file)
    page.get_by_text("mine.jsonl: 9 examples").wait_for()
    assert page.locator(f"{DESK} .sft-data tbody tr").count() == 5
    assert f"Question 0 {HOSTILE}?" in page.inner_text(f"{DESK} .sft-data tbody")
    assert page.inner_text(f"{DESK} .sft-reasons li").startswith("Row 10:")
    assert page.evaluate("() => window.__x === undefined")


def test_a_file_that_cannot_be_read_is_refused_in_words_and_the_choice_stays(visit, tmp_path):
    file = tmp_path / "poor.jsonl"
    file.write_text('{"some": "thing"}\n{"other": 1}\n')
    page = visit("sft")
    unfold(page)
    send(page, file)
    page.locator(f"{DESK} .sft-data .lab-told.is-bad").wait_for()
    assert "poor.jsonl" in page.inner_text(f"{DESK} .sft-data .lab-told")
    page.locator(f"{DESK} .sft-about", has_text="Built-in examples").wait_for()


def test_answers_before_and_after_stand_side_by_side(app, visit):
    with made(app.workspace, "sft", 2) as run:
        run.write(
            *(Sample(step, "Why?", text, None, None, 3, True, "sft") for step, text in ((0, "why why"), (2, "so so")))
        )
        run.write(Step(1, {"loss/train": 2.0}), Step(2, {"loss/train": 1.0}), Finished(2, "stopped", {}))
        page = visit("sft")
        page.locator("#sft-timeline ins").wait_for()
        said = page.inner_text("#sft-timeline")
        assert "Before SFT" in said and "At step 2" in said and "so so" in said


def test_pairs_that_were_left_out_are_warned_of_with_a_way_on(app, visit):
    with made(app.workspace, "sft", 2) as run:
        run.write(Warned(0, "W_TOO_LONG", f"3 of 9 pairs were left out {HOSTILE}", "Shorten them."), Step(1, {}))
        page = visit("sft")
        card = page.locator(f"{DESK} .desk-warning")
        card.wait_for()
        assert card.inner_text().startswith("▲") and f"left out {HOSTILE}" in card.inner_text()
        card.get_by_role("button", name="Choose another model").click()
        assert page.locator("#tab-model-button").get_attribute("aria-selected") == "true"
        assert page.evaluate("() => window.__x === undefined")


def test_a_half_typed_number_starts_nothing_and_is_told_beside_the_button(visit):
    page, asked = visit("sft"), []
    page.route("**/lab/sft-start", lambda route: (asked.append(route), route.abort()))
    unfold(page)
    rate = page.locator(f"{DESK} .desk-settings").get_by_label("Learning rate", exact=True)
    field = page.locator(f"{DESK} .field", has=page.get_by_label("Learning rate", exact=True))
    assert "Left empty, it is chosen for the size of the model; else from 1e-8 to 1." in field.inner_text()
    rate.press_sequentially("1e-")
    page.get_by_role("button", name="Start SFT").click()
    page.locator(f"{DESK} .desk-new > .is-bad", has_text="Learning rate is not a number.").wait_for()
    assert not asked
    rate.press_sequentially("4")
    page.get_by_role("button", name="Start SFT").click()
    page.get_by_text("The app does not answer.").wait_for()
    assert len(asked) == 1 and asked[0].request.post_data_json["config"]["learning_rate"] == 1e-4


def test_a_form_in_which_somebody_writes_stays_open_when_a_run_begins_elsewhere(app, visit):
    page = visit("sft")
    page.locator(f"{DESK} .desk-new.is-empty[open]").wait_for()
    page.locator(f"{DESK} .desk-settings > summary", has_text="Settings").click()
    rate = page.locator(f"{DESK} .desk-settings").get_by_label("Learning rate", exact=True)
    rate.fill("0.002")
    with made(app.workspace, "sft", 2) as run:
        run.write(Step(1, {"loss/train": 2.0}), Finished(1, "stopped", {}))
        page.locator(f"{DESK} .desk-new:not(.is-empty)").wait_for()
        assert rate.is_visible() and rate.input_value() == "0.002"


def test_a_start_that_is_refused_is_told_beside_its_button_and_not_in_the_card_of_the_run_before(app, visit):
    with made(app.workspace, "sft", 2) as run:
        run.write(Step(1, {"loss/train": 2.0}), Finished(1, "stopped", {}))
        page = visit("sft")
        page.get_by_text("Start a new run").click()
        page.locator(f"{DESK} .desk-settings > summary", has_text="Settings").click()
        page.locator(f"{DESK} .desk-settings").get_by_label("Learning rate", exact=True).fill("-1")
        page.get_by_role("button", name="Start SFT").click()
        page.locator(f"{DESK} .desk-new > .is-bad", has_text="Learning rate is -1; it must be at least").wait_for()
        assert page.inner_text(f"{DESK} .desk > .lab-told") == ""
