"""The Runs page in a real browser: two runs compared, renamed, deleted and brought back."""

from __future__ import annotations

import time

import pytest

from lab.events import Step, Warned
from lab.journal import append_json
from lab.workspace import Workspace

from .made import made, ppo_metrics

TABLE = "#runs-table"
HOSTILE = '<img src=x onerror="window.__x=1">%{x}<b>'
# Curves of which the ticks lie close together, and far from nothing.
CLOSE_AND_FAR = {
    "policy/entropy": lambda step: 0.302 + step / 8000,
    "kl/reference": lambda step: 250.0 * step,
    "response/ended": lambda step: 0.998 + step / 8000,
}


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


@pytest.fixture
def two(app):
    with made(app.workspace, beta=0.1) as first, made(app.workspace, beta=0.3) as second:
        for run in (first, second):
            run.write(
                *(Step(i, ppo_metrics(i) | {key: at(i) for key, at in CLOSE_AND_FAR.items()}) for i in range(1, 9))
            )
            run.lock.release()
        yield first.run, second.run


def row(page, run):
    return page.locator(f"{TABLE} tbody tr", has_text=run.name)


def test_two_runs_are_compared_in_their_settings_and_on_the_curves(two, visit):
    two[1].rename(HOSTILE)
    page = visit("runs")
    for run in two:
        row(page, run).locator("input[type=checkbox]").check()
    difference = page.locator(f"{TABLE} .part table")
    difference.locator("tbody tr", has_text="Beta").wait_for()
    assert difference.locator("tbody tr").all_inner_texts() == ["Beta\t0.1\t0.3"]
    card = page.locator('#runs-curves .curve[data-key="reward/score"] .curve-plot')
    card.wait_for()
    page.wait_for_function("plot => plot.data?.length >= 4", arg=card.element_handle())
    dashes = "g => g.data.filter((_, i) => i % 2).map(trace => trace.line.dash)"
    assert card.evaluate(dashes) == ["solid", "dash"]
    ticks = {key: page.locator(f'#runs-curves .curve[data-key="{key}"] .ytick text') for key in CLOSE_AND_FAR}
    for key, texts in ticks.items():
        texts.nth(2).wait_for()
        said = texts.all_text_contents()
        assert len(set(said)) == len(said) and not any("e" in each for each in said), (key, said)
    assert "1,000" in ticks["kl/reference"].all_text_contents()
    assert HOSTILE in page.inner_text("#runs-curves .curves-legend")
    assert page.evaluate("() => window.__x === undefined && !document.querySelector('#runs-curves .curves-legend img')")


def test_the_marks_of_a_run_stand_only_in_curves_where_it_has_points(app, two, visit):
    with made(app.workspace, "reward", 900) as other:
        other.write(Step(1, {"loss/train": 0.7}), Warned(900, "W_CHANCE", "No better.", "Rank more."))
        page = visit("runs")
        for run in (two[0], other.run):
            row(page, run).locator("input[type=checkbox]").check()
        plot = '#runs-curves .curve[data-key="reward/score"] .curve-plot'
        card = page.locator(plot)  # made anew when the second run is chosen
        both = "plot => { const g = document.querySelector(plot); return g?.data?.length >= 4 && g.layout.shapes }"
        page.wait_for_function(both, arg=plot)
        page.locator("#runs-curves").get_by_text("No better.").first.wait_for()
        marks = "g => g.layout.shapes.filter(each => each.type === 'line').map(each => each.x0)"
        loss = '#runs-curves .curve[data-key="loss/train"] .curve-plot'
        marked = (
            f"plot => {{ const g = document.querySelector(plot); return g?.layout?.shapes && String(({marks})(g)) }}"
        )
        page.wait_for_function(f"plot => ({marked})(plot) === '900'", arg=loss)
        assert card.evaluate(marks) == [] and card.evaluate("g => g.layout.annotations.length") == 0
        assert card.evaluate("g => g.layout.xaxis.range[1]") < 20


def test_the_word_of_a_stage_is_never_cut_in_two(app, two, visit):
    with made(app.workspace, "compare") as third:
        page = visit("runs")
        stage = row(page, third.run).locator("td").nth(2)
        stage.wait_for()
        page.set_viewport_size({"width": 800, "height": 800})
        lines = "node => { const all = new Range(); all.selectNodeContents(node); return all.getClientRects().length }"
        assert stage.inner_text() == "Compare" and stage.evaluate(lines) == 1


def test_a_run_is_renamed_in_place_and_escape_leaves_it_as_it_was(two, visit):
    page = visit("runs")
    row(page, two[0]).get_by_role("button", name="Rename").click()
    page.keyboard.type("The careful one")
    page.keyboard.press("Enter")
    page.locator(f"{TABLE} .runs-title", has_text="The careful one").wait_for()
    assert two[0].title() == "The careful one"
    page.wait_for_function("() => document.activeElement.getAttribute('aria-label') === 'Rename The careful one'")
    row(page, two[0]).get_by_role("button", name="Rename").click()
    page.keyboard.type("Something else")
    page.keyboard.press("Escape")
    page.locator(f"{TABLE} .runs-title", has_text="The careful one").wait_for()
    assert two[0].title() == "The careful one"


def test_a_deleted_run_comes_back_by_undo(app, two, visit):
    page = visit("runs")
    row(page, two[0]).get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert two[0].name not in [run.name for run in Workspace(app.workspace).runs()]
    page.keyboard.press("Enter")
    deadline = time.monotonic() + 20
    while two[0].name not in [run.name for run in Workspace(app.workspace).runs()]:
        assert time.monotonic() < deadline, "the run did not come back"
        page.wait_for_timeout(50)
    row(page, two[0]).wait_for()


def test_undo_stands_beside_the_words_of_its_deletion_only(two, visit):
    page, undo = visit("runs"), f"{TABLE} .lab-link:text-is('Undo')"
    row(page, two[0]).get_by_role("button", name="Delete").click()
    page.wait_for_selector(undo)
    page.route("**/lab/ppo-order", lambda route: route.fulfill(json={"said": "It has begun."}))
    row(page, two[1]).get_by_role("button", name="Resume").click()
    page.get_by_text("It has begun.", exact=True).wait_for()
    assert page.locator(undo).is_hidden()


def test_an_interrupted_run_offers_to_go_on_and_its_title_opens_its_page(two, visit):
    page = visit("runs")
    line = row(page, two[0])
    line.locator('.lab-chip[data-state="interrupted"]').wait_for()
    assert line.get_by_role("button", name="Resume").is_visible()
    line.locator(".runs-title").click()
    page.wait_for_function("name => document.querySelector('#ppo-desk .desk-picker')?.value === name", arg=two[0].name)
    assert page.locator("#tab-ppo-button").get_attribute("aria-selected") == "true"


def test_a_run_that_waits_for_its_turn_is_seen_after_a_reload_and_taken_back_from_its_page_or_the_list(here, cached):
    office, url = here
    asked = [office.ask("run", {"stage": "sft"}) for _ in range(2)]
    page = cached.new_page()
    page.goto(url)
    for tab, part in (("sft", "#sft-desk"), ("runs", TABLE)):
        page.click(f"#tab-{tab}-button")
        waits = page.locator(f"{part} .lab-waiting li", has_text="A new run of SFT waits for the model.")
        waits.first.get_by_role("button", name="Take back").click()
        page.locator(part).get_by_text("It is taken back, unless it has just begun").wait_for()
        request = asked.pop(0)
        assert list(office.store.requests_after(0))[-1][2:4] == ("forget", {"request": request})
        error = {"code": "E_BUSY", "message": "It was taken back before it began."}
        append_json(office.workspace.served, {"id": request, "done": True, "error": error})
        page.wait_for_function(
            "count => document.querySelectorAll(count[0]).length === count[1]",
            arg=[f"{part} .lab-waiting:not([hidden]) li", len(asked)],
        )
    page.close()
