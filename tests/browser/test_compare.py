"""The Compare page in a real browser: blind duels by keys, answers side by side, and files to take away."""

from __future__ import annotations

import json

DUEL = "#duel-board"


def ready(page) -> str:
    page.wait_for_function(
        "() => { const cards = [...document.querySelectorAll('#duel-board .board-card')];"
        " return cards.length === 2 && cards.every(each => !each.classList.contains('writing')) }"
    )
    page.wait_for_timeout(250)
    return page.inner_text(f"{DUEL} .board-prompt")


def decide(page, key: str) -> None:
    before = ready(page)
    page.keyboard.press(key)
    page.wait_for_function(
        "before => document.querySelector('#duel-board .board-prompt').textContent !== before", arg=before
    )


def test_arrow_keys_decide_blind_duels_and_the_win_rate_follows_with_its_interval(app, visit):
    page = visit("compare")
    for key in ("ArrowLeft", "ArrowRight", "="):
        decide(page, key)
    page.wait_for_function("() => document.querySelector('.duel-tally').innerText.includes('3 duels')")
    duels = [each for each in app.rankings() if each.comparison.pool == "duel"]
    assert [len(each.order) for each in duels] == [2, 2, 1]
    assert all({c.policy for c in each.comparison.candidates} == {"sft", "base"} for each in duels)
    assert "95 % interval" in page.inner_text(".duel-tally")
    page.keyboard.press("u")
    page.wait_for_function("() => !document.querySelector('#duel-board .board-reveal:not([hidden])')")
    assert len([each for each in app.rankings() if each.comparison.pool == "duel"]) == 2


def test_two_policies_answer_one_prompt_side_by_side(visit):
    page = visit("compare")
    ready(page)
    page.fill(".arena-ask input", "Why is the sky <b>blue</b>?")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.arena-sides p')].every(each => each.textContent.length > 1)"
    )
    assert page.locator(".arena-sides h4").all_inner_texts() == ["sft", "base"]


def test_the_rankings_are_downloaded_in_the_chosen_format(visit):
    page = visit("compare")
    decide(page, "ArrowLeft")
    page.select_option(".arena-export select", "trl")
    with page.expect_download() as waiting:
        page.click(".arena-export a")
    rows = [json.loads(line) for line in open(waiting.value.path(), encoding="utf-8")]
    assert waiting.value.suggested_filename == "trl.jsonl"
    assert rows and {"prompt", "chosen", "rejected"} <= set(rows[0])
