"""The technical words are explained at the foot of every page."""

from __future__ import annotations

import pytest

from lab.words import WORDS


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


def test_every_word_is_found_with_its_meaning_below_any_page(visit):
    page = visit("ppo")
    page.get_by_role("button", name="What the words mean").click()
    found = page.locator("#words dl")
    found.wait_for()
    pairs = found.evaluate("list => [...list.querySelectorAll('dt')].map(e => [e.innerText, e.nextSibling.innerText])")
    assert dict(pairs) == dict(WORDS)
