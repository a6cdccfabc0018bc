"""Ranking in a real browser: keys, mouse, undo, own prompts, blindness, and what hostile text may not do."""

from __future__ import annotations

import json
import time

import pytest

from lab.ui.naming import policy_called
from lab.workspace import Workspace

BOARD = "#board"
ORDER = ((3,), (2,), (1,), (0,))
PAYLOADS = (
    '<img src=x onerror="window.__x=1"> ${window.__x=2} {{7*7}} '
    '<script>window.__x=3</script> [a](javascript:window.__x=4) <svg onload="window.__x=5">'
)


def ready(page) -> str:
    """Wait until all answers have ended and can be ranked; the prompt."""
    page.wait_for_function(
        "() => { const cards = [...document.querySelectorAll('#board [aria-busy=false] .board-card')];"
        " return cards.length && cards.every(each => !each.classList.contains('writing')) }"
    )
    return page.inner_text(f"{BOARD} .board-prompt")


def strip(page) -> str:
    return page.inner_text(f"{BOARD} .board-strip").replace("\n", " ")


def rank(page, keys: str = "123") -> None:
    """Press the keys, submit, and wait for the next prompt."""
    before = ready(page)
    for key in keys:
        page.keyboard.press(key)
    with page.expect_response("**/lab/board-submit"):
        page.keyboard.press("Enter")
    turned_from(page, before)


def turned_from(page, before: str) -> None:
    page.wait_for_function(
        "before => document.querySelector('#board .board-prompt').textContent !== before", arg=before
    )


def test_a_setting_that_cannot_be_is_told_by_its_label_and_keeps_the_order_in_hand(visit):
    page = visit()
    before = ready(page)
    for key in "31":
        page.keyboard.press(key)
    page.click(f"{BOARD} [data-open=settings]")
    field = page.locator(f"{BOARD} .board-knob", has_text="Longest answer")
    for value, told in (("9999", "Longest answer must be a whole number from 8 to 512; it stays 72."), ("72", "")):
        field.locator("input").fill(value)
        field.locator("input").press("Tab")
        assert (told or "in tokens") in field.inner_text()
        assert page.inner_text(f"{BOARD} .board-prompt") == before and strip(page) == "C > A"
        assert page.is_hidden(f"{BOARD} .board-problem")


def made_by(page, steps: str) -> str:
    """The order that comes of numbers and = by keys, of letters and * by clicks (* is the button for a tie, a small
    letter a click with Shift held); all of it is undone."""
    texts = page.locator(f"{BOARD} .board-text")
    for step in steps:
        if step == "*":
            page.click(f"{BOARD} [data-do=tie]")
        elif step.isalpha():
            texts.nth("abcd".index(step.lower())).click(modifiers=["Shift"] if step.islower() else [])
        else:
            page.keyboard.press(step)
    made = strip(page)
    while "Click the best answer first" not in strip(page):
        page.keyboard.press("u")
    return made


def test_whoever_presses_or_ties_every_answer_has_every_answer_placed(app, visit):
    page = visit()
    ready(page)
    steps = ("123=", "123=4", "12=3=4", "1=2=3=4", "1234=4", "ABC*D", "ABCd", "ABcd", "ABCDd", "ABCa", "ABb")
    assert {each: made_by(page, each) for each in steps} == {
        **dict.fromkeys(("123=", "123=4", "ABC*D", "ABCd", "ABCDd"), "A > B > C = D"),
        **dict.fromkeys(("12=3=4", "ABcd"), "A > B = C = D"),
        "1=2=3=4": "A = B = C = D",
        "1234=4": "A > B > C",
        "ABCa": "B > C > D = A",
        "ABb": "A = B",
    }
    for key in "3124":
        page.keyboard.press(key)
    assert strip(page) == "C > A > B > D"
    page.keyboard.press("4")
    assert strip(page) == "C > A > B"
    page.keyboard.press("4")
    with page.expect_response("**/lab/board-submit"):
        page.keyboard.press("Enter")
    assert app.rankings()[-1].order == ((2,), (0,), (1,), (3,))


def test_four_answers_stream_in_without_a_touch_and_keys_alone_rank_them(app, visit):
    page = visit()
    before = len(app.rankings())
    ready(page)
    assert page.locator(f"{BOARD} .board-card").count() == 4
    assert page.locator(f"{BOARD} [data-do=submit]").is_disabled()
    for key in ("3", "=", "1", "4"):
        page.keyboard.press(key)
    assert strip(page) == "C = A > D > B"
    page.keyboard.press("u")
    page.keyboard.press("2")
    assert strip(page) == "C = A > B > D"
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{BOARD} .board-reveal:not([hidden])")
    found = app.rankings()
    assert len(found) == before + 1
    assert found[-1].order == ((2, 0), (1,), (3,))
    assert found[-1].shown == (0, 1, 2, 3) and found[-1].rater == "me"


def test_the_next_prompt_is_there_in_the_answer_to_the_save(visit):
    page = visit()
    ready(page)
    page.wait_for_timeout(3000)
    for key in "123":
        page.keyboard.press(key)
    page.evaluate(
        """() => { const prompt = document.querySelector('#board .board-prompt'); const began = performance.now();
        new MutationObserver(() => (window.took ??= performance.now() - began)).observe(prompt, {childList: true});
        document.querySelector('#board [data-do=submit]').click(); }"""
    )
    page.wait_for_function("() => window.took !== undefined")
    assert page.evaluate("window.took") < 400
    assert page.locator(f"{BOARD} .board-card.writing").count() == 0


def test_undo_after_submit_withdraws_the_ranking_and_brings_its_answers_back(app, visit):
    page = visit()
    prompt = ready(page)
    page.fill(f"{BOARD} .board-note input", "as they came")
    page.keyboard.press("Enter")
    page.locator(f"{BOARD} .board-tag").filter(has_text="rude").click()
    rank(page)
    assert app.rankings()[-1].comparison.prompt == prompt
    seq = app.rankings()[-1].seq
    page.reload()
    ready(page)
    assert page.locator(f"{BOARD} [data-do=undo]").is_enabled()
    page.keyboard.press("u")
    page.wait_for_function(
        "prompt => document.querySelector('#board .board-prompt').textContent === prompt", arg=prompt
    )
    assert seq not in [each.seq for each in app.rankings()]
    assert strip(page) == "A > B > C > D" and page.input_value(f"{BOARD} .board-note input") == "as they came"
    assert page.locator(f"{BOARD} .board-tag[aria-pressed=true]").all_inner_texts() == ["rude"]
    page.keyboard.press("u")
    rank(page, "432")
    assert app.rankings()[-1].comparison.prompt == prompt
    assert app.rankings()[-1].order == ORDER
    stays_until_a_new_one_is_saved(app, page)


def stays_until_a_new_one_is_saved(app, page) -> None:
    """The newest ranking is ranked again: it counts over a reload and after a "no", and undo brings it back."""
    old, count, told = app.rankings()[-1], len(app.rankings()), page.locator(f"{BOARD} .board-again")
    before, keep = ready(page), page.get_by_role("button", name="Keep it as it was")
    assert told.is_hidden()
    for turn_away in (keep.click, lambda: page.keyboard.press("s"), None):
        rank_an_older_one_again(page, old.seq)
        told.wait_for()
        page.reload()
        assert ready(page) == old.comparison.prompt and app.rankings()[-1] == old
        assert "earlier ranking of these answers counts until you submit a new one" in told.inner_text()
        if turn_away:
            turn_away()
            turned_from(page, old.comparison.prompt)
            assert ready(page) == before and told.is_hidden() and len(app.rankings()) == count
    rank(page, "2=13")
    new = app.rankings()[-1]
    assert new.comparison == old.comparison and new.order == ((1, 0), (2,), (3,)) and len(app.rankings()) == count
    assert told.is_hidden() and old.seq not in [each.seq for each in app.rankings()]
    page.keyboard.press("u")
    told.wait_for()
    back = app.rankings()[-1]
    assert back.comparison == old.comparison and back.order == old.order and len(app.rankings()) == count
    assert strip(page) == "B = A > C > D", "what was taken back, to be changed"


def test_enter_submits_after_a_tag_or_the_tie_was_clicked_and_presses_them_where_a_keyboard_stands_on_them(app, visit):
    page = visit()
    ready(page)
    for key in "1234":
        page.keyboard.press(key)
    page.locator(f"{BOARD} [data-do=tie]").click()
    assert strip(page) == "A > B > C = D"
    tag = page.locator(f"{BOARD} .board-tag").filter(has_text="off topic")
    tag.focus()
    page.keyboard.press("Enter")
    assert tag.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Enter")
    assert tag.get_attribute("aria-pressed") == "false"
    tag.click()
    with page.expect_response("**/lab/board-submit"):
        page.keyboard.press("Enter")
    newest = app.rankings()[-1]
    assert (newest.order, list(newest.tags)) == (((0,), (1,), (2, 3)), ["off topic"])


def ask_an_own_prompt(page, seq) -> None:
    page.fill(f"{BOARD} .board-own input", "And what of it?")
    page.press(f"{BOARD} .board-own input", "Enter")


def change_the_source(page, seq) -> None:
    page.select_option(f"{BOARD} .board-source select", "base")


def rank_an_older_one_again(page, seq) -> None:
    page.evaluate("seq => window.dispatchEvent(new CustomEvent('lab-rerank', {detail: {seq}}))", seq)


def test_a_refused_save_leaves_no_word_of_the_ranking_before_and_its_button_tries_again(app, visit):
    page = visit()
    rank(page)
    page.wait_for_selector(f"{BOARD} .board-reveal:not([hidden])")
    prompt, before = ready(page), len(app.rankings())
    page.route("**/lab/board-submit", lambda route: route.abort())
    for key in "4321":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator(BOARD).get_by_text("Not saved.").wait_for()
    assert not page.locator(f"{BOARD} .board-reveal").is_visible()
    submit = page.locator(f"{BOARD} [data-do=submit]")
    assert submit.inner_text().startswith("Try again") and submit.is_enabled()
    page.unroute("**/lab/board-submit")
    submit.click()
    turned_from(page, prompt)
    assert len(app.rankings()) == before + 1
    assert submit.inner_text().startswith("Submit")
    assert page.inner_text(f"{BOARD} .board-reveal").startswith("Saved: D > C > B > A. All by SFT.")


@pytest.mark.parametrize("wish", [ask_an_own_prompt, change_the_source, rank_an_older_one_again])
def test_a_ranking_that_could_not_be_saved_is_kept_until_it_is_and_then_the_board_goes_on(app, visit, wish):
    page = visit()
    rank(page)
    prompt, before = ready(page), app.rankings()
    seq = before[-1].seq
    page.route("**/lab/board-submit", lambda route: route.abort())
    for key in "4321":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    again = page.locator(f"{BOARD} .board-problem button", has_text="Try again")
    again.wait_for()
    with page.expect_request("**/lab/board-submit"):
        wish(page, seq)
    again.wait_for()
    page.wait_for_timeout(500)
    assert (page.inner_text(f"{BOARD} .board-prompt"), strip(page)) == (prompt, "D > C > B > A")
    assert "Not saved" in page.inner_text(f"{BOARD} .board-problem")
    page.unroute("**/lab/board-submit")
    with page.expect_response("**/lab/board-submit"):
        wish(page, seq) if wish is not change_the_source else again.click()
    turned_from(page, prompt)
    saved = next(each for each in app.rankings() if each.seq > before[-1].seq)
    assert (saved.comparison.prompt, saved.order) == (prompt, ORDER)
    wished = {ask_an_own_prompt: "And what of it?", rank_an_older_one_again: before[-1].comparison.prompt}
    if wish in wished:  # another prompt may be shown until then
        page.locator(f"{BOARD} .board-prompt").and_(page.get_by_text(wished[wish], exact=True)).wait_for()
    ready(page)
    page.keyboard.press("1")
    assert strip(page) == "A"


def test_a_letter_is_dragged_before_another_or_onto_it_for_a_tie(visit):
    page = visit()
    ready(page)
    for key in "123":
        page.keyboard.press(key)
    chips = {letter: page.locator(f"{BOARD} .board-chip", has_text=letter) for letter in "ABCD"}
    drag(page, chips["D"], chips["A"], 0.1)
    assert strip(page) == "D > A > B > C"
    drag(page, chips["C"], chips["A"], 0.5)
    assert strip(page) == "D > A = C > B"
    drag(page, page.locator(f"{BOARD} .board-card").nth(1).locator(".board-pick b"), chips["D"], 0.1)
    assert strip(page) == "B > D > A = C"


def drag(page, source, target, part: float) -> None:
    start, end = source.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] * 0.5, end["y"] + end["height"] / 2, steps=3)
    page.mouse.move(end["x"] + end["width"] * part, end["y"] + end["height"] / 2)
    page.mouse.up()


def at_rest(page, letters: str) -> dict[str, dict[str, float]]:
    """Where chips of the order are, once they no longer move: a font or a line above may still be on its way."""
    found: list[dict] = []
    while len(found) < 2 or found[-1] != found[-2]:
        chips = {letter: page.locator(f"{BOARD} .board-chip", has_text=letter) for letter in letters}
        found.append({letter: chip.bounding_box() for letter, chip in chips.items()})
        page.wait_for_timeout(200)
    return found[-1]


def test_a_finger_drags_an_answer_to_its_place_without_scrolling_the_page(visit):
    page = visit(viewport={"width": 820, "height": 1100}, has_touch=True)
    ready(page)
    for key in "123":
        page.keyboard.press(key)
    assert strip(page) == "A > B > C > D"
    chips = at_rest(page, "AD")
    kinds = page.evaluate_handle(
        "() => { const seen = []; addEventListener('pointerdown', e => seen.push(e.pointerType)); return seen }"
    )
    finger = page.context.new_cdp_session(page)
    start, end = chips["D"], chips["A"]
    places = [(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)]
    places += [(end["x"] + end["width"] * part, end["y"] + end["height"] / 2) for part in (0.9, 0.5, 0.1)]
    for number, (x, y) in enumerate(places):
        kind = "touchMove" if number else "touchStart"
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(f"() => document.querySelector('{BOARD} .board-strip').innerText.trim().startsWith('D')")
    assert strip(page) == "D > A > B > C"
    assert kinds.json_value() == ["touch"] and page.evaluate("scrollY") == 0


@pytest.mark.parametrize(("wish", "moves"), [("no-preference", True), ("reduce", False)])
def test_who_asks_for_less_motion_gets_none(visit, wish, moves):
    page = visit(reduced_motion=wish, viewport={"width": 1280, "height": 900})
    ready(page)
    moving = page.evaluate(
        """() => [...document.querySelectorAll('#board, #board *')].some(each => {
        const { transitionDuration, animationName } = getComputedStyle(each);
        return transitionDuration.split(', ').some(time => parseFloat(time) > 0) || animationName !== 'none' })"""
    )
    assert moving is moves


def test_who_wrote_an_answer_reaches_the_browser_only_after_the_ranking(app, visit):
    page = visit()
    ready(page)
    told: list[str] = []
    page.on("response", lambda answer: told.append(answer.text()) if "/lab/board-" in answer.url else None)
    with page.expect_response("**/lab/board-next"):
        page.select_option(f"{BOARD} .board-source select", "mix")
    ready(page)
    views = [json.loads(each) for each in told if "candidates" in each]
    assert views and all(set(card) == {"text", "finished"} for view in views for card in view["candidates"])
    assert not any("polic" in key for view in views for key in view)
    rank(page)
    writers = [each.policy for each in app.rankings()[-1].comparison.candidates]
    told_after = page.inner_text(f"{BOARD} .board-reveal")
    assert len(set(writers)) > 1 and all(
        f"{letter}: {policy_called(Workspace(app.workspace), name)}" in told_after
        for letter, name in zip("ABCD", writers, strict=True)
    )


def test_a_reload_shows_the_same_prompt_and_two_browsers_get_different_ones(visit):
    page, other = visit(), visit()
    prompt = ready(page)
    assert ready(other) != prompt
    page.reload()
    page.wait_for_selector(".lab-head")
    assert ready(page) == prompt


def test_hostile_text_stays_text_in_prompt_note_and_name(app, visit):
    page = visit()
    ready(page)
    page.fill(".lab-name input", "<img src=x onerror=window.__x=6>")
    page.keyboard.press("Enter")
    page.fill(f"{BOARD} .board-own input", PAYLOADS)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "text => document.querySelector('#board .board-prompt').textContent === text", arg=PAYLOADS.strip()
    )
    ready(page)
    page.keyboard.press("n")
    page.keyboard.type("<b onmouseover=window.__x=7>note</b>")
    page.keyboard.press("Enter")
    rank(page)
    assert page.evaluate("window.__x") is None
    saved = app.rankings()[-1]
    assert saved.comparison.prompt == PAYLOADS.strip()
    assert saved.note == "<b onmouseover=window.__x=7>note</b>"
    assert saved.rater == "<img src=x onerror=window.__x=6>"


def test_a_screen_reader_hears_the_answers_and_a_phone_needs_no_sideways_scrolling(visit):
    page = visit(viewport={"width": 390, "height": 800}, color_scheme="dark")
    ready(page)
    heard = page.locator(BOARD).aria_snapshot()
    for card in page.locator(f"{BOARD} .board-text").all():
        assert " ".join(card.inner_text().split())[:30] in " ".join(heard.replace("\\", "").split())
    assert 'button "Answer A, not placed"' in heard
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_ranking_comes_back_unmarked_and_the_agreement_with_oneself_is_shown_after_the_click(app, visit):
    page = visit()
    ready(page)
    page.fill(".lab-name input", "twice")
    page.keyboard.press("Enter")
    page.wait_for_function("() => /lab_rater_[0-9a-f]{8}=twice/.test(document.cookie)")
    for _ in range(10):
        rank(page)
    assert "ranked these answers before" not in page.inner_text(f"{BOARD} .board-reveal")
    ready(page)
    assert "as the first time" not in page.inner_text(f"{BOARD} .board-progress")
    rank(page)
    page.get_by_text("You have ranked these answers before").wait_for()
    assert "of 6 pairs as the first time" in page.inner_text(f"{BOARD} .board-progress")
    last = [each for each in app.rankings() if each.rater == "twice"][-1]
    assert last.comparison.pool == "repeat" and last.excluded


def test_a_file_of_prompts_is_asked_before_the_built_in_ones(visit, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("Where does the first of my prompts live?\n\nWhere does the second of them live?\n")
    page = visit()
    ready(page)
    page.get_by_text("Prompts from a file").click()
    page.set_input_files("#tab-rank input[type=file]", str(file))
    page.wait_for_function("() => document.querySelector('#prompts-said').textContent.includes('2 prompts')")
    mine, seen = {"Where does the first of my prompts live?", "Where does the second of them live?"}, set()
    for _ in range(3):  # one may be in the making for another tab at this moment
        before = ready(page)
        page.keyboard.press("s")
        turned_from(page, before)
        seen.add(ready(page))
    assert mine <= seen


@pytest.fixture
def post(app, visit):
    """POST to the app's own actions as its page does."""
    page = visit()
    return lambda action, body: page.request.post(f"{app.url}/lab/{action}", data=body)


def finished(post, tab: str) -> dict:
    """A prompt of this tab whose answers have ended."""
    view = post("board-next", {"tab": tab}).json()
    deadline = time.monotonic() + 60
    while not view["comparison"] and time.monotonic() < deadline:
        time.sleep(0.1)
        view = post("board-look", {"item": view["item"]}).json()
    assert view["comparison"], view
    return view


def test_one_key_is_stored_once_and_a_second_ranking_of_the_same_answers_is_refused(app, post):
    view = finished(post, "tabofthetest1")
    before = len(app.rankings())
    body = {"tab": "tabofthetest1", "key": "k" * 20, "comparison": view["comparison"], "order": [[0], [1, 2], [3]]}
    first, second = post("board-submit", body).json(), post("board-submit", body).json()
    assert (first["already"], second["already"]) == (False, True)
    assert first["seq"] == second["seq"] and first["next"]["item"] == second["next"]["item"]
    assert len(app.rankings()) == before + 1
    other = post("board-submit", body | {"order": [[3], [1, 2], [0]]})
    assert (other.status, other.json()["error"]["code"]) == (409, "E_KEY_REUSED")
    again = post("board-submit", body | {"key": "j" * 20})
    assert (again.status, again.json()["error"]["code"]) == (409, "E_ALREADY_RANKED")
    assert len(app.rankings()) == before + 1


@pytest.mark.parametrize(
    "order", ["A>B", [["A"], ["B"]], {}, None, [[0], [0], [1], [2]], [[0, 1]], [[9], [1], [2], [3]]]
)
def test_an_order_that_fits_no_answers_is_refused_and_nothing_is_stored(app, post, order):
    view = finished(post, "tabofthetest2")
    before = len(app.rankings())
    body = {"tab": "tabofthetest2", "key": "q" * 20, "comparison": view["comparison"], "order": order}
    answer = post("board-submit", body)
    assert (answer.status, answer.json()["error"]["code"]) == (422, "E_BAD_RANKING")
    assert len(app.rankings()) == before
