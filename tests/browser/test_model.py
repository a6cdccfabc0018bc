"""The Model page in a real browser: the chat streams plain text, and another base is checked before it is loaded."""

from __future__ import annotations

from lab.events import Finished, to_json


def talk(page) -> str:
    return page.inner_text("#chat")


def test_the_chat_answers_and_shows_markup_as_text(visit):
    page = visit("model")
    page.fill("#chat-words textarea", "Is <b>this</b> bold <img src=x onerror='window.__x=1'>?")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#chat .bot, #chat [data-testid=bot]').length > 0")
    page.wait_for_function("() => document.querySelector('#chat [data-testid=bot]').innerText.trim().length > 3")
    assert "Is <b>this</b> bold <img src=x onerror='window.__x=1'>?" in talk(page)
    assert page.locator("#chat [data-testid=user] b").count() == 0
    assert page.evaluate("window.__x") is None


def test_a_suggestion_is_one_click_away_from_an_answer(visit):
    page = visit("model")
    page.get_by_text("How do I make pancakes?", exact=True).click()
    page.wait_for_selector("#chat [data-testid=bot]")
    assert "How do I make pancakes?" in page.inner_text("#chat [data-testid=user]")


def test_a_message_that_is_refused_is_in_the_box_again_and_not_in_the_conversation(visit):
    page, words = visit("model"), "horse " * 1500
    page.fill("#chat-words textarea", words)
    page.press("#chat-words textarea", "Enter")
    page.wait_for_selector(".toast-body")
    page.wait_for_function("() => document.querySelector('#chat-words textarea').value.startsWith('horse horse')")
    assert page.locator("#chat [data-testid=user]").count() == 0


def test_the_chat_says_which_sft_it_is_with_before_its_list_is_opened_and_in_it(here, cached):
    office, url = here
    run = office.workspace.new_run("sft", {})
    (run.folder / "events.jsonl").write_text(to_json(Finished(1, "done", {}), 1.0) + "\n")
    page = cached.new_page()
    page.goto(url)
    page.wait_for_selector(".lab-head")
    page.click("#tab-model-button")
    page.wait_for_function(f"() => document.querySelector('#chat-policy input').value === 'SFT {run.name}'")
    run.rename("Mine")
    page.click("#chat-policy input")
    page.locator("[role=option]", has_text="SFT Mine").wait_for()
    page.close()


def test_the_loaded_base_is_named_and_a_wrong_name_is_refused_in_words(visit, app):
    page = visit("model")
    page.wait_for_function("() => document.querySelector('.model-facts').innerText.includes('tiny')")
    page.fill(".model-form [name=base]", "   ")
    page.click(".model-form [type=submit]")
    page.wait_for_function("() => document.querySelector('.model-said').innerText.includes('Name a model')")
    assert not (app.workspace / "base.json").exists() or "tiny" in (app.workspace / "base.json").read_text()


def test_a_model_is_asked_for_once_however_often_it_is_clicked(visit):
    page, asked = visit("model"), []

    def answer_late(route) -> None:
        asked.append(route.request.post_data)
        page.wait_for_timeout(500)
        route.fulfill(json={"base": "tiny"})

    page.route("**/lab/model-load", answer_late)
    page.wait_for_function("() => document.querySelector('#base .model-form input[name=base]').value")
    button = page.locator("#base button[type=submit]")
    button.dblclick()
    page.get_by_text("tiny is being loaded").wait_for()
    assert len(asked) == 1 and button.is_enabled()
    page.get_by_text("tiny is loaded.").wait_for(timeout=30_000)
    assert not page.get_by_text("tiny is being loaded").count()


def test_a_base_that_cannot_be_found_is_refused_while_the_one_before_goes_on(visit, app):
    page = visit("model")
    page.wait_for_function(
        "() => document.querySelector('.model-facts').innerText.includes('is ready')", timeout=120_000
    )
    page.fill(".model-form [name=base]", "no-such-folder-here")
    page.click(".model-form [type=submit]")
    page.wait_for_function("() => document.querySelector('.model-said').innerText.includes('could not be loaded')")
    assert "no-such" not in (app.workspace / "base.json").read_text()
    assert "is ready" in page.inner_text(".model-facts")


def test_making_it_fit_tells_memory_by_role_for_the_chosen_weights_and_asks_runs_to_fit(visit):
    page = visit("model")
    ready = "() => document.querySelector('.model-facts').innerText.includes('is ready')"
    page.wait_for_function(ready, timeout=120_000)
    page.select_option(".model-form [name=precision]", "8-bit")
    assert not page.is_checked(".model-form [name=fit]")
    page.click("[data-do=fit]")
    page.wait_for_function("() => document.querySelector('.model-said').innerText.includes('it fits')", timeout=60_000)
    said = page.inner_text(".model-memory")
    assert "8 bits a weight" in said and "on a card of 8 GB" in said
    rows = [row.split("\t")[0].split("\n")[0] for row in page.locator(".model-memory tr").all_inner_texts()]
    phases = [
        rows.index(name) for name in ("Always there", "During the rollout", "While it is scored", "During an update")
    ]
    groups = [rows[first:last] for first, last in zip(phases, [*phases[1:], rows.index("peak here")], strict=True)]
    assert phases == sorted(phases) and all(len(set(group)) == len(group) > 1 for group in groups)
    assert page.is_checked(".model-form [name=fit]") and page.is_hidden(".model-turns")


def test_an_error_is_red_clears_the_table_before_and_leaves_a_tick_that_shows(visit):
    page = visit("model")
    tick = page.locator(".model-form [name=fit]")
    assert tick.evaluate("(node) => getComputedStyle(node).appearance") == "auto"
    page.wait_for_function(
        "() => document.querySelector('.model-facts').innerText.includes('is ready')", timeout=120_000
    )
    page.click("[data-do=foretell]")
    page.wait_for_selector(".model-memory")
    page.fill(".model-form [name=base]", "no/such/folder")
    page.click("[data-do=fit]")
    page.wait_for_function("() => document.querySelector('.model-said').innerText.includes('no folder')")
    assert not tick.is_checked()
    assert page.is_hidden(".model-memory") and page.locator(".model-said.is-bad").count()


BEYOND = """() => [...document.querySelectorAll("select, input, textarea, button")].filter((node) => {
  const scrolls = (at) => at && (/auto|scroll/.test(getComputedStyle(at).overflowX) || scrolls(at.parentElement));
  return node.checkVisibility() && node.getBoundingClientRect().right > 390 && !scrolls(node.parentElement);
}).map((node) => node.outerHTML.slice(0, 90))"""


def test_on_a_telephone_no_control_of_any_page_reaches_beyond_the_screen(visit):
    page = visit(viewport={"width": 390, "height": 844})
    for tab in ("model", "sft", "rank", "reward", "ppo", "compare", "runs"):
        page.click(f"#tab-{tab}-button")
        page.wait_for_timeout(500)
        page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
        assert page.evaluate(BEYOND) == [], tab
