"""Characters that nobody can see and that turn a text round, in a real browser: every page shows them."""

from __future__ import annotations

import json

from .test_rank import BOARD, rank, ready

TEXT, SHOWN = "\u202eevil \u0645\u0631\u062d\u0628\u0627\u0007", "⟦U+202E⟧evil \u0645\u0631\u062d\u0628\u0627⟦U+0007⟧"


def test_characters_that_turn_the_reading_direction_are_shown_on_the_board_and_kept_as_they_are(app, visit):
    page = visit()
    ready(page)
    page.fill(f"{BOARD} .board-own input", TEXT)
    page.keyboard.press("Enter")
    page.locator(f"{BOARD} .board-prompt", has_text=SHOWN).wait_for()
    rank(page)
    assert app.rankings()[-1].comparison.prompt == TEXT


def test_they_are_shown_in_a_table_too_and_line_breaks_tabs_and_letters_stay(visit, tmp_path):
    (tmp_path / "mine.jsonl").write_text(json.dumps({"prompt": TEXT, "response": "One\n\ttwo \u2067three\u2069."}))
    page = visit("sft")
    page.locator("#sft-desk input[type=file]").set_input_files(tmp_path / "mine.jsonl")
    cells = page.locator("#sft-desk .sft-data td")
    cells.filter(has_text=SHOWN).wait_for(state="attached")
    assert cells.all_text_contents() == [SHOWN, "One\n\ttwo ⟦U+2067⟧three⟦U+2069⟧."]
