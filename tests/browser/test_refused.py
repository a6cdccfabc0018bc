"""What a model refuses to answer, in a real browser: it is told, nothing is lost, and the page goes on."""

from __future__ import annotations

import pytest

from .test_rank import BOARD, ready

LONG = "Which of my many long words is the longest one? " * 100


def ask_too_long_a_prompt(page) -> None:
    page.fill(f"{BOARD} .board-own input", LONG)
    page.press(f"{BOARD} .board-own input", "Enter")
    told_too_long(page)


def told_too_long(page) -> None:
    page.locator(f"{BOARD} .board-problem", has_text="Shorten the prompt").wait_for()


@pytest.mark.parametrize("on", ["Next prompt", "Skip"])
def test_a_prompt_that_is_too_long_is_told_also_after_a_reload_and_the_next_one_follows(visit, on):
    page = visit()
    ready(page)
    ask_too_long_a_prompt(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/lab/board-look" in request.url else None)
    assert page.inner_text(f"{BOARD} .board-problem button") == "Next prompt"
    assert page.locator(f"{BOARD} .board-card").count() == 0
    assert page.input_value(f"{BOARD} .board-own input") == LONG.strip(), "to be shortened"
    page.reload()
    told_too_long(page)
    assert page.inner_text(f"{BOARD} .board-prompt") == LONG.strip()
    assert "rankings" in page.inner_text(f"{BOARD} .board-progress")
    assert page.locator(f"{BOARD} [data-do=submit]").inner_text().startswith("Submit") and not asked
    page.locator(f"{BOARD} button", has_text=on).click()
    assert ready(page) != LONG.strip()
    assert page.locator(f"{BOARD} .board-card").count() == 4 and page.is_hidden(f"{BOARD} .board-problem")


def test_skip_asks_for_a_prompt_where_none_has_come_yet(visit):
    page = visit()
    ready(page)
    page.route("**/lab/board-next", lambda route: route.abort())
    page.reload()
    page.locator(f"{BOARD} .board-problem", has_text="The app does not answer").wait_for()
    page.unroute("**/lab/board-next")
    page.keyboard.press("s")
    ready(page)
    assert page.is_hidden(f"{BOARD} .board-problem")


def test_a_message_that_is_too_long_goes_back_into_its_field_and_a_shorter_one_is_answered(visit):
    page = visit("model")
    page.fill("#chat-words textarea", LONG)
    page.keyboard.press("Enter")
    page.get_by_text("Shorten the prompt").wait_for()
    page.wait_for_function("text => document.querySelector('#chat-words textarea').value === text", arg=LONG.strip())
    assert page.locator("#chat [data-testid=user]").count() == 0
    page.fill("#chat-words textarea", "Which word is the longest?")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chat [data-testid=bot]")
    page.wait_for_function("() => document.querySelector('#chat-words textarea').value === ''")
