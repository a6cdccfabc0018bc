"""The Reward page in a real browser: what is missing, the verdict in words, disagreements, and text that stays text."""

from __future__ import annotations

import json

import pytest
from brought import bring

from lab.events import Finished, Step, Warned
from lab.exchange import import_file
from lab.store import Candidate, Store

from .made import made

HOSTILE = '<img src=x onerror="window.__x=1"> ${window.__x=2}'
RESULT = {
    "pairs/accuracy": 0.82,
    "pairs/accuracy_low": 0.74,
    "pairs/accuracy_high": 0.9,
    "pairs/margin": 0.6,
    "pairs/calibration_error": 0.04,
    "pairs": 96,
    "gain": 1.0,
    "bias": 0.0,
    "length_correlation": 0.7,
    "calibration": [
        {"confidence": 0.6, "accuracy": 0.55, "count": 40},
        {"confidence": 0.9, "accuracy": 0.9, "count": 56},
    ],
    "learning_curve": [
        {"rankings": 20, "accuracy": 0.6, "low": 0.5, "high": 0.7},
        {"rankings": 40, "accuracy": 0.82, "low": 0.74, "high": 0.9},
    ],
    "raters": {"ana": 0.8, "bo": 0.85},
}


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


@pytest.fixture
def ranking(app):
    """A ranking by somebody with a hostile name, taken back afterwards."""
    with Store(app.workspace / "lab.db") as store:
        prompt = store.add_prompts([f"Why? {HOSTILE}"], "made")[0]
        comparison = store.add_comparison(prompt, [Candidate(f"{word} {HOSTILE}", "sft") for word in ("good", "bad")])
        seq, _ = store.rank(f"key {comparison}", comparison, [[0], [1]], rater=f"ana {HOSTILE}"[:60])
        yield seq
        store.withdraw(f"undo {comparison}", seq)


@pytest.fixture
def trained(app, ranking):
    with made(app.workspace, "reward", 10) as run:
        run.write(*(Step(i, {"loss/train": 0.7 - i / 20, "pairs/train_accuracy": 0.5 + i / 20}) for i in range(1, 11)))
        disagreements = [{"seq": ranking, "better": 0, "worse": 1, "margin": 1.4}]
        run.write(Finished(10, "done", RESULT | {"disagreements": disagreements}))
        yield run


def test_the_verdict_is_in_words_with_its_interval_and_leads_to_ppo(trained, visit):
    page = visit("reward")
    verdict = page.locator("#reward-desk .verdict")
    verdict.get_by_text("Right on 82 % of 96 pairs it never saw, between 74 and 90 %").wait_for()
    verdict.get_by_text("Run PPO with it").click()
    assert page.locator("#tab-ppo-button").get_attribute("aria-selected") == "true"


def test_learning_curve_and_calibration_are_drawn_and_described(trained, visit):
    page = visit("reward")
    plots = page.locator("#reward-verdict .verdict-plot")
    plots.nth(1).locator(".main-svg").first.wait_for()
    assert "40 rankings: 82 %" in plots.nth(0).get_attribute("aria-label")
    assert "right on 90 % of 56" in plots.nth(1).get_attribute("aria-label")
    assert "not the reward model: a linear head" in page.inner_text("#reward-verdict .verdict-note")
    facts = page.inner_text("#reward-verdict .verdict-facts")
    assert "more ranking is worth it" in facts and "length for quality" in facts and "bo: right on 85 %" in facts


def test_a_disagreement_shows_both_texts_as_text_and_can_be_left_out_and_taken_in(app, trained, ranking, visit):
    page = visit("reward")
    card = page.locator("#reward-verdict .disagreements article")
    card.wait_for()
    assert f"good {HOSTILE}" in card.inner_text() and f"bad {HOSTILE}" in card.inner_text()
    card.get_by_text("Leave out").click()
    card.get_by_text("Take in again").wait_for()
    assert [each.excluded for each in app.rankings() if each.seq == ranking] == [True]
    card.get_by_text("Take in again").click()
    card.get_by_text("Leave out").wait_for()
    assert [each.excluded for each in app.rankings() if each.seq == ranking] == [False]
    assert page.evaluate("() => window.__x === undefined && !document.querySelector('#reward-verdict img')")


def test_an_empty_text_is_not_scored_and_says_why(trained, visit):
    page = visit("reward")
    page.get_by_role("button", name="Score it").click()
    page.get_by_text("The prompt is empty. Write something.").wait_for()


def unfold(page) -> None:
    """Everything about a new run, once the desk knows whether there was one."""
    page.wait_for_selector("#reward-desk .desk-new[data-empty]", state="attached")
    page.evaluate("() => document.querySelectorAll('#reward-desk details').forEach((each) => { each.open = true })")


def test_whose_rankings_are_meant_can_be_read_to_the_end_of_the_line(visit):
    page = visit("reward")
    unfold(page)
    fits = """each => {
        const alone = each.cloneNode(false);
        alone.append(each.options[0].cloneNode(true));
        alone.style.cssText = "width: max-content; position: absolute";
        each.after(alone);
        const wide = alone.offsetWidth;
        alone.remove();
        return wide <= each.offsetWidth;
    }"""
    raters = page.locator("#reward-desk").get_by_label("Whose rankings")
    raters.locator("option").nth(2).wait_for(state="attached")
    assert raters.evaluate(fits)


def test_the_button_waits_for_the_rankings_of_those_who_were_chosen(visit_tuned, tuned):
    with Store(tuned.workspace / "lab.db") as store:
        prompt = store.add_prompts(["Why is it so?"], "made")[0]
        shown = store.add_comparison(prompt, [Candidate("a", "sft"), Candidate("b", "sft")])
        seq, _ = store.rank("few", shown, [[0], [1]], rater="few")
        others = store.counts()["rankings"] - 1
        page = visit_tuned("reward")
        unfold(page)
        start = page.get_by_role("button", name="Train the reward model")
        start.wait_for()
        assert start.is_enabled()
        whose = page.locator("#reward-desk").get_by_label("Whose rankings")
        whose.locator("option[value=few]").wait_for(state="attached")
        whose.select_option("few")
        page.get_by_text(f"your one ranking gives 1 ({others} of other raters are left out)").wait_for()
        assert start.is_disabled()
        whose.select_option("me")
        page.wait_for_function("() => !document.querySelector('#reward-desk .desk-new .lab-main').disabled")
        store.withdraw("undo few", seq)


def test_a_text_is_scored_by_the_reward_model_and_a_refusal_is_shown(tuned, visit_tuned):
    page = visit_tuned("reward")
    score_so(page)
    page.get_by_text("of the model's own answers before PPO").wait_for()
    assert page.locator("#reward-verdict .lab-rows tbody td").nth(1).inner_text() == "So."
    with made(tuned.workspace, "reward", 10) as unreal:  # it has no adapter, so it cannot score
        unreal.write(Finished(10, "done", RESULT))
        page = visit_tuned("reward")
        score_so(page)
        page.locator("#reward-verdict .verdict-try .is-bad").wait_for()


def score_so(page) -> None:
    page.get_by_label("Prompt", exact=True).fill("Why?")
    page.get_by_label("Answer", exact=True).fill("So.")
    page.get_by_role("button", name="Score it").click()


def test_a_warning_stands_on_the_page_as_text_with_its_remedy(app, visit):
    with made(app.workspace, "reward", 10) as run:
        run.write(Warned(10, "W_CHANCE", f"No better than chance {HOSTILE}", "Rank more prompts."))
        run.write(Finished(10, "done", RESULT))
        page = visit("reward")
        card = page.locator("#reward-desk .desk-warning")
        card.wait_for()
        assert HOSTILE in card.inner_text() and "Rank more prompts." in card.inner_text()
        card.get_by_role("button", name="Rank more").click()
        assert page.locator("#tab-rank-button").get_attribute("aria-selected") == "true"
        assert page.evaluate("() => window.__x === undefined")


def test_rankings_of_a_file_are_looked_at_and_then_added_once(app, visit, tmp_path):
    rows = [{"prompt": f"Why {number}? {HOSTILE}", "chosen": "Because.", "rejected": HOSTILE} for number in range(3)]
    file = tmp_path / "preferences.jsonl"
    file.write_text("\n".join(map(json.dumps, [*rows, {"prompt": "Alike?", "chosen": "Same.", "rejected": "Same."}])))
    before = len(app.rankings())
    page = visit("reward")
    unfold(page)
    bring = page.locator("#reward-desk .bring")
    for said in ("3 rankings were added", "0 rankings were added, 3 were here already"):
        bring.get_by_label("File of rankings").set_input_files(file)
        bring.get_by_text("preferences.jsonl: 3 rankings, read as").wait_for()
        assert "of no use: 1" in bring.inner_text() and "Row 4:" in bring.inner_text()
        first = bring.locator("tbody tr").first.locator("td").all_inner_texts()
        assert first == [f"Why 0? {HOSTILE}", f"better: Because.\nworse: {HOSTILE}"]
        bring.get_by_role("button", name="Add them").click()
        bring.get_by_text(said).wait_for()
        assert not bring.get_by_role("button", name="Add them").is_visible() and not bring.locator("table").is_visible()
        assert len(app.rankings()) == before + 3
    file.write_text("\n".join(json.dumps({"prompt": "Why?", "response": "So."}) for _ in range(3)))
    bring.get_by_label("File of rankings").set_input_files(file)
    bring.get_by_text("which ranks nothing").wait_for()
    assert page.evaluate("() => window.__x === undefined")
    with Store(app.workspace / "lab.db") as store:  # so that no other test counts them
        for number, each in enumerate(each for each in store.rankings() if each.rater == "imported"):
            store.withdraw(f"taken back {number}", each.seq)


def test_an_import_of_an_older_lab_stands_in_the_list_with_its_file_its_time_and_a_button(app, visit):
    with Store(app.workspace / "lab.db") as store:
        bring(store, [("Why then?", ["Because.", "No."], [[0], [1]], "")], "imported", "older.csv")
    before = len(app.rankings()) - 1
    page = visit("reward")
    unfold(page)
    line = page.locator("#reward-desk .bring li", has_text="older.csv: 1 ranking, ")
    line.get_by_role("button", name="Take back this import, older.csv").click()
    page.get_by_text("1 ranking of older.csv was taken back.").wait_for()
    assert line.count() == 0 and len(app.rankings()) == before


def test_an_import_is_taken_back_by_one_click_and_comes_again_with_its_file(app, visit, tmp_path):
    file = tmp_path / "many.jsonl"
    rows = ({"prompt": f"Why {number} times?", "chosen": "Because.", "rejected": "No."} for number in range(3))
    file.write_text("\n".join(map(json.dumps, rows)))
    with Store(app.workspace / "lab.db") as store:
        import_file(store, file)  # as a shell does
    before = len(app.rankings()) - 3
    page = visit("reward")
    unfold(page)
    bring = page.locator("#reward-desk .bring")
    line = bring.locator("li", has_text="many.jsonl: 3 rankings")
    for _ in range(2):
        line.get_by_role("button", name="Take back this import").click()
        bring.get_by_text("3 rankings of many.jsonl were taken back. Add the file again to have them back.").wait_for()
        assert line.count() == 0 and len(app.rankings()) == before
        bring.get_by_label("File of rankings").set_input_files(file)
        bring.get_by_role("button", name="Add them").click()
        bring.get_by_text("3 rankings were added").wait_for()
        line.wait_for()
        assert len(app.rankings()) == before + 3
    with Store(app.workspace / "lab.db") as store:
        store.take_back(store.imports()[0].id)
    line.get_by_role("button", name="Take back this import").click()
    bring.get_by_text("it was taken back already").wait_for()
    assert line.get_by_role("button", name="Take back this import").is_disabled()
    with Store(app.workspace / "lab.db") as store:
        assert len(store.rankings()) == before
