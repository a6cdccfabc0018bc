"""The Compare page in a real browser: blind duels by keys, answers side by side, and files to take away."""

from __future__ import annotations

import json

import pytest

from lab.events import Finished, Step
from lab.workspace import Workspace

from .made import made, ppo_metrics
from .test_rank import rank

DUEL = "#duel-board"


def ready(page) -> str:
    page.wait_for_function(
        "() => { const cards = [...document.querySelectorAll('#duel-board .board-card')];"
        " return cards.length === 2 && cards.every(each => !each.classList.contains('writing')) }"
    )
    page.wait_for_timeout(250)
    return page.inner_text(f"{DUEL} .board-prompt")


def pair(page) -> list[str]:
    """Who meets whom; by default the newest policy and what it started from."""
    return [page.input_value(f".duel select[name={side}]") for side in "ab"]


def called(page) -> list[str]:
    """The same two in the words of the page."""
    return [page.locator(f".duel select[name={side}] option:checked").inner_text() for side in "ab"]


def decide(page, key: str) -> None:
    before = ready(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('#duel-board .board-prompt').textContent !== before", arg=before
    )


@pytest.fixture(scope="module")
def app(tuned):
    return tuned


def test_arrow_keys_decide_blind_duels_and_the_win_rate_follows_with_its_interval(app, visit):
    page = visit("compare")
    for key in ("ArrowLeft", "ArrowRight", "="):
        decide(page, key)
    page.wait_for_function("() => document.querySelector('.duel-tally').innerText.includes('3 duels')")
    duels = [each for each in app.rankings() if each.comparison.pool == "duel"]
    assert [len(each.order) for each in duels] == [2, 2, 1]
    assert all({c.policy for c in each.comparison.candidates} == set(pair(page)) for each in duels)
    assert "95 % interval" in page.inner_text(".duel-tally")
    page.keyboard.press("u")
    page.wait_for_function("() => !document.querySelector('#duel-board .board-reveal:not([hidden])')")
    page.wait_for_function("() => document.querySelector('.duel-tally').innerText.includes('2 duels')")
    assert len([each for each in app.rankings() if each.comparison.pool == "duel"]) == 2


def test_a_ranking_that_is_no_duel_asks_for_no_tally(app, visit):
    page = visit("compare")
    ready(page)
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.click("#tab-rank-button")
    rank(page)
    assert "board-submit" in asked and "compare-tally" not in asked
    page.click("#tab-compare-button")
    with page.expect_request("**/lab/compare-tally"):
        decide(page, "ArrowLeft")


def test_two_policies_answer_one_prompt_side_by_side(visit):
    page = visit("compare")
    ready(page)
    page.fill(".arena-ask input", "Why is the sky <b>blue</b>?")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.arena-sides p')].every(each => each.textContent.length > 1)"
    )
    assert page.locator(".arena-sides h4").all_inner_texts() == called(page)


def test_an_empty_prompt_is_refused_beside_the_field_and_under_nobodys_name(visit):
    page = visit("compare")
    ready(page)
    page.press(".arena-ask input", "Enter")
    page.locator(".arena-problem", has_text="The prompt is empty").wait_for()
    assert page.is_hidden(".arena-sides")
    page.fill(".arena-ask input", "Why is the sky blue?")
    page.press(".arena-ask input", "Enter")
    page.locator(".arena-sides").wait_for()
    assert page.inner_text(".arena-problem") == ""


def test_a_checkpoint_is_talked_to_under_the_plot_and_what_is_said_stays_text(visit_tuned):
    page = visit_tuned("compare")
    part = page.locator("#frontier")
    part.locator(".main-svg").first.wait_for()
    part.get_by_label("Checkpoint", exact=True).select_option("0003-ppo@10")
    part.get_by_role("button", name="Chat with it").click()
    assert part.locator("h4").inner_text() == "0003-ppo at step 10"
    for number, said in enumerate(("Why is the sky <b>blue</b>?", "And the sea?")):
        part.get_by_label("Write to the checkpoint").fill(said)
        page.keyboard.press("Enter")
        page.wait_for_function(
            "n => { const all = [...document.querySelectorAll('.frontier-turn.is-assistant')];"
            " return all.length === n && all.at(-1).textContent.length > 1 }",
            arg=number + 1,
        )
        page.wait_for_timeout(1500)
    assert part.locator(".frontier-turn.is-user").first.inner_text() == "Why is the sky <b>blue</b>?"
    assert part.locator("b").count() == 0


def test_a_point_that_is_clicked_opens_the_chat_with_its_checkpoint(visit_tuned):
    page = visit_tuned("compare")
    part = page.locator("#frontier")
    part.locator(".main-svg").first.wait_for()
    part.scroll_into_view_if_needed()
    tenth = part.locator(".scatterlayer .point").nth(9).bounding_box()
    x, y = tenth["x"] + tenth["width"] / 2, tenth["y"] + tenth["height"] / 2
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y, steps=3)
    page.mouse.click(x, y)
    part.get_by_label("Write to the checkpoint").wait_for()
    assert part.locator("h4").inner_text() == "0003-ppo at step 10"


def test_a_title_that_is_given_meanwhile_stands_in_the_choices_the_plot_and_the_table(tuned, visit_tuned):
    run, page = Workspace(tuned.workspace).run("0003-ppo"), visit_tuned("compare")
    try:
        ready(page)
        run.rename("Gentle")
        page.locator(".duel select[name=a] option", has_text="Gentle (0003-ppo)").wait_for(state="attached")
        page.locator("#frontier option", has_text="Gentle (0003-ppo), step 10").wait_for(state="attached")
        assert page.input_value(".duel select[name=a]") == "0003-ppo"
        page.locator("#arena b", has_text="Gentle (0003-ppo)").wait_for()
        page.click("#tab-rank-button")
        page.locator(".board-source option", has_text="Gentle (0003-ppo)").wait_for(state="attached")
        page.click("#tab-ppo-button")
        page.locator("#ppo-desk .desk-picker option", has_text="Gentle (0003-ppo)").wait_for(state="attached")
    finally:
        run.rename("")


def test_the_plot_says_what_its_dots_are_and_shows_all_runs_alike_in_the_legend(here, cached):
    office, url = here
    with made(office.workspace.root) as first, made(office.workspace.root) as second:
        for run in (first, second):
            run.write(*(Step(i, ppo_metrics(i)) for i in range(1, 9)))
        second.checkpoint(4)
        page = cached.new_page()
        page.goto(f"{url}/#compare")
        page.get_by_text("a large one a checkpoint; the line is their mean").wait_for()
        legend = page.locator("#frontier .legend")
        legend.locator(".legendtext").nth(1).wait_for()
        assert legend.locator(".legendtext").all_text_contents() == [first.run.name, second.run.name]
        assert legend.locator(".legendlines path").count() == 2 and not legend.locator(".legendpoints path").count()
        page.close()


def test_a_second_reward_model_gives_its_opinion_of_a_run_that_followed_another(visit_tuned):
    page = visit_tuned("compare")
    part = page.locator("#frontier")
    part.locator(".main-svg").first.wait_for()
    other = part.get_by_label("Second reward model")
    assert other.locator("option").all_inner_texts() == ["0002-reward, second half"]
    part.get_by_role("button", name="Ask it").click()
    part.get_by_text("the model that PPO followed moved these answers by").wait_for()
    assert "an independent judge" in part.inner_text()
    part.locator(".legendtext", has_text="0003-ppo by 0002-reward").wait_for()


def test_a_comparison_that_is_going_on_has_a_button_that_stops_it(app, visit):
    with made(app.workspace, "compare", 200) as run:
        page = visit("compare")
        page.get_by_role("button", name=f"Stop {run.run.name}").click()
        page.get_by_text("stops after the answers that it is drawing now").wait_for()
        assert run.run.control()["order"] == "stop"
        run.write(Finished(0, "stopped", {}))
        page.locator(".arena tbody tr", has_text="stopped").wait_for()
        assert not page.get_by_role("button", name=f"Stop {run.run.name}").count()


def test_a_double_click_asks_for_one_comparison_which_stands_in_the_table_while_it_waits(visit):
    page, asked, stopped = visit("compare"), [], []
    waits = {"request": "r1", "a": "base", "b": "sft", "judge": "ana", "status": "waits for 0001-dpo, which is paused"}
    page.route("**/lab/compare-judge", lambda route: (asked.append(1), route.fulfill(json={"request": "r1"})))
    page.route("**/lab/compare-results", lambda route: route.fulfill(json={"waiting": [waits], "results": []}))
    page.route("**/lab/compare-stop", lambda route: (stopped.append(route), route.fulfill(json={"said": "Taken."})))
    ready(page)
    page.locator(".arena-judge").get_by_role("button", name="Compare").dblclick()
    page.locator(".arena tbody tr", has_text="waits for 0001-dpo, which is paused").wait_for()
    assert asked == [1]
    page.get_by_role("button", name="Take back base against sft").click()
    page.get_by_text("Taken.", exact=True).wait_for()
    assert stopped[0].request.post_data_json == {"request": "r1"}


def test_on_a_phone_the_win_rate_of_a_comparison_is_in_sight_with_every_figure_named(here, chromium):
    office, url = here
    met = {"a": "Base model, untuned", "b": "SFT of the base", "judge": "a simulated rater, helpful", "count": 40}
    ended = met | {"run": "0001-compare", "status": "done", "win_rate": 0.675, "low": 0.52, "high": 0.8}
    found = [ended | {"kl_a": 1.5, "kl_b": 0.0}, met | {"run": "0002-compare", "status": "running"}]
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.route("**/lab/compare-results", lambda route: route.fulfill(json={"waiting": [], "results": found}))
    page.goto(f"{url}/#compare")
    table = page.locator(".arena table")
    table.locator("tbody tr").nth(1).wait_for()
    beyond = (
        "node => [...node.querySelectorAll('td, th')].filter(each => each.getBoundingClientRect().right > 390).length"
    )
    assert table.locator("tbody").evaluate(beyond) == 0
    places = "node => [0, 3].map(index => node.cells[index].getBoundingClientRect().top)"
    name, rate = table.locator("tbody tr").first.evaluate(places)
    assert abs(name - rate) < 4, "the win rate stands beside the name of the run"
    named = "node => [...node.cells].map(cell => getComputedStyle(cell, '::before').content.replaceAll('\"', ''))"
    first, second = (table.locator("tbody tr").nth(index).evaluate(named) for index in (0, 1))
    assert [each.strip() for each in first[3:7]] == ["First wins", "95 % interval", "Prompts", "KL, nats"]
    assert set(second) == {"none"}, "what still goes on has no figures"
    page.close()


def test_the_rankings_are_downloaded_in_the_chosen_format(visit):
    page = visit("compare")
    decide(page, "ArrowLeft")
    page.select_option(".arena-export select", "trl")
    with page.expect_download() as waiting:
        page.click(".arena-export a")
    rows = [json.loads(line) for line in open(waiting.value.path(), encoding="utf-8")]
    assert waiting.value.suggested_filename == "trl.jsonl"
    assert rows and {"prompt", "chosen", "rejected"} <= set(rows[0])
