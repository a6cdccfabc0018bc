"""An order in the making, in a real browser: what it is dragged by, and what a reload leaves of it."""

from __future__ import annotations

from .test_rank import BOARD, drag, ready, strip


def test_a_card_is_dragged_by_its_head_which_says_so_and_its_text_stays_to_be_selected(visit):
    page = visit()
    ready(page)
    order, cards = page.locator(f"{BOARD} .board-strip"), page.locator(f"{BOARD} .board-card")
    for number, by in ((2, ".board-grip"), (0, ".board-pick")):
        handle = cards.nth(number).locator(by)
        assert handle.evaluate("node => getComputedStyle(node).cursor") == "grab"
        drag(page, handle, order, 0.9)
    assert strip(page) == "C > A"
    assert cards.nth(1).locator(".board-pick").get_attribute("title").startswith("Drag it into the order below")
    drag(page, cards.nth(1).locator(".board-text"), order, 0.9)
    assert strip(page) == "C > A" and page.evaluate("String(getSelection())")
    page.locator(f"{BOARD} .board-pick").nth(3).focus()
    page.keyboard.press("Enter")
    assert strip(page) == "C > A > D > B"
