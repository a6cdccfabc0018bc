"""An order in the making, in a real browser: what it is dragged by, and what a reload leaves of it."""

from __future__ import annotations

from .test_rank import BOARD, drag, rank, ready, strip


def test_a_card_is_dragged_by_its_head_which_says_so_and_its_text_stays_to_be_selected(visit):
    page = visit()
    ready(page)
    order, cards = page.locator(f"{BOARD} .board-strip"), page.locator(f"{BOARD} .board-card")
    for number, by in ((2, ".board-grip"), (0, ".board-pick")):
        handle = cards.nth(number).locator(by)
        assert handle.evaluate("node => getComputedStyle(node).cursor") == "grab"
        drag(page, handle, order, 0.9)
    assert strip(page) == "C > A"
    drag(page, cards.nth(3).locator(".board-pick"), order, 0.9)
    page.keyboard.press("2")
    assert strip(page) == "C > A > D > B", "B took the last place by itself, and its press confirms it"
    page.keyboard.press("u")
    assert cards.nth(1).locator(".board-pick").get_attribute("title").startswith("Drag it into the order below")
    drag(page, cards.nth(1).locator(".board-text"), order, 0.9)
    assert strip(page) == "C > A" and page.evaluate("String(getSelection())")
    page.locator(f"{BOARD} .board-pick").nth(3).focus()
    page.keyboard.press("Enter")
    assert strip(page) == "C > A > D > B"


def test_a_reload_keeps_order_note_and_tags_in_the_making_and_a_save_forgets_them(app, visit):
    page, note = visit(), f"{BOARD} .board-note input"
    prompt = ready(page)
    for key in "3=1":
        page.keyboard.press(key)
    page.keyboard.press("n")
    page.keyboard.type("both are fine")
    tags = page.locator(f"{BOARD} .board-tag")
    tags.filter(has_text="too long").click()
    page.reload()
    assert ready(page) == prompt
    assert (strip(page), page.input_value(note)) == ("C = A", "both are fine")
    pressed = page.locator(f"{BOARD} .board-tag[aria-pressed=true]")
    assert pressed.all_inner_texts() == ["too long"]
    rank(page, "4")
    newest = app.rankings()[-1]
    assert (newest.order, newest.note, list(newest.tags)) == (((2, 0), (3,), (1,)), "both are fine", ["too long"])
    ready(page)
    page.reload()
    ready(page)
    assert "Click the best answer first" in strip(page) and page.input_value(note) == "" and pressed.count() == 0


def test_a_browser_that_forbids_a_page_in_a_frame_to_remember_ranks_all_the_same(app, visit):
    page = visit(locale="en-GB")
    page.add_init_script("Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('forbidden'); } })")
    page.reload()
    ready(page)
    before = len(app.rankings())
    rank(page, "1234")
    assert len(app.rankings()) == before + 1
