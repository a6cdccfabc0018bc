"""What a board may ask of the server: the next prompt, how its answers grow, a save, an undo, a prompt of one's own."""

from __future__ import annotations

import random
from typing import Any

from lab.errors import BadInput, BadNumber, BadRanking, NotFound
from lab.store import Comparison, Ranking
from lab.store.records import checked_prompt, finite
from lab.ui.board import TAGS
from lab.ui.feed import Item, tab_name
from lab.ui.naming import policy_called
from lab.ui.office import NAMELESS, Office
from lab.ui.policies import offered
from lab.ui.pool import MIX, Pool, read_pool
from lab.ui.prompts import OWN
from lab.ui.rank.guess import Agreement, Order, agreement
from lab.ui.rank.repeats import REPEAT, Repeats, counts, known, reshuffled
from lab.ui.state import AGE, ENOUGH


class Desk:
    """Each method takes the request's JSON and the rater's name. One desk serves the boards of all pages."""

    def __init__(self, office: Office) -> None:
        self.office, self.feed = office, office.feed
        self.agreement = Agreement(office.store)
        self.repeats = Repeats(office.store)

    def open(self) -> None:
        """Name the actions under which scripts find this desk."""
        for name in ("next", "look", "submit", "undo", "again", "own", "sources"):
            self.office.action(f"board-{name}", getattr(self, name))

    def next(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """What this tab has in hand, or the next prompt where it asks for another."""
        tab, pool = tab_name(body.get("tab")), read_pool(body.get("pool"))
        turn = self.feed.advance if body.get("another") else self.feed.hold
        item = turn(tab, pool, str(body.get("guest") or ""))
        return self._view(item, body, rater)

    def look(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        return self.feed.view(self.feed.item(str(body.get("item"))))

    def submit(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Save, then what the reward model had guessed and the next prompt: in one answer, so that nothing waits."""
        tab, pool = tab_name(body.get("tab")), read_pool(body.get("pool"))
        comparison = self.office.store.comparison(str(body.get("comparison")))
        seq, already = self._save(body, comparison, rater)
        held = self.feed.in_hand(tab)
        ranked = held is not None and held.comparison == comparison.id
        guest = str(body.get("guest") or "")
        item = self._after(tab, pool, rater, guest) if ranked else self.feed.hold(tab, pool, guest)
        reveal = self._reveal(body, comparison, rater) | {"again": self.repeats.of(rater, seq)}
        return {"seq": seq, "already": already, "reveal": reveal, "next": self._view(item, body, rater)}

    def _after(self, tab: str, pool: Pool, rater: str, guest: str) -> Item:
        """What follows a ranking: something new, or now and then a ranking of one's own as if it were new."""
        new = pool.kind == "rank" and not self.feed.waits(tab, pool) and rater != NAMELESS
        due = self.repeats.due(rater, pool.sampling.repeats) if new else None
        if due is None:
            return self.feed.advance(tab, pool, guest)
        store, rng = self.office.store, random.Random()
        shuffled = reshuffled(store.comparison(due.comparison).candidates, rng)
        item = self.feed.recall(store.add_comparison(due.prompt, shuffled, pool=REPEAT), pool)
        self.feed.give(tab, item)
        return item

    def undo(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Take a saved ranking of one's own back and show its answers again; the prompt in hand is kept for later.

        What it had taken the place of is in force again. `before` is the ranking as it was, to be changed.
        """
        found = self._own(self._ranking(body), body, rater)
        back = self.office.store.ranking(self.office.store.withdraw(str(body.get("key")), found.seq))
        self._forget(rater, found.seq)
        if back:
            self._remember(rater, back.seq, back.comparison, back.order)
        before = {"groups": found.order, "note": found.note, "tags": found.tags}
        return self._show_again(body, found, rater, back.seq if back else 0) | {"before": before}

    def again(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Rank these answers once more: one's own ranking counts until the new one is saved in its place, another
        person's stays beside it."""
        found = self._ranking(body)
        mine = self._own(found, body, rater).seq if found.rater == rater else 0
        return self._show_again(body, found, rater, mine)

    def _own(self, found: Ranking, body: dict[str, Any], rater: str) -> Ranking:
        """The same, if whoever asks may take it back."""
        if rater == NAMELESS:
            raise BadInput(
                "This browser brought no cookie that tells who you are, so nobody knows whether that ranking is yours, "
                "and it stays. Reload the page; where that does not help, open the lab in a tab of its own."
            )
        if found.rater != rater:
            raise BadInput("That ranking is not yours, so it stays.")
        # Anybody may type anybody's name. The host may do it all the same.
        if not body.get("host") and not saved_by(body, found):
            raise BadInput(
                "That ranking bears your name, but another browser saved it, or an older lab, so it stays. Take it "
                "back where it was saved, or ask the host to leave it out."
            )
        return found

    def _ranking(self, body: dict[str, Any]) -> Ranking:
        seq = body.get("seq")
        if type(seq) is not int:
            raise BadInput("There is nothing to undo.")
        found = self.office.store.ranking(seq)
        if found is None:
            raise NotFound("That ranking has been taken back already.")
        return found

    def _show_again(self, body: dict[str, Any], ranking: Ranking, rater: str, instead: int) -> dict[str, Any]:
        item = self.feed.recall(ranking.comparison.id, read_pool(body.get("pool")), instead)
        self.feed.put(tab_name(body.get("tab")), item)
        return self._view(item, body, rater)

    def own(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """A prompt that somebody typed is asked at once, and kept when it has been answered."""
        tab, pool = tab_name(body.get("tab")), read_pool(body.get("pool"))
        text = checked_prompt(str(body.get("prompt", "")).strip())
        self.feed.prompts.asked(text)
        item = self.feed.make(pool, text, OWN, str(body.get("guest") or ""))
        self.feed.put(tab, item)
        return self._view(item, body, rater)

    def sources(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Who can answer now, with a name for people. Every open board asks each second, and each run is looked at."""
        named = self.office.remembered("sources", AGE, lambda: offered(self.office))
        return {"sources": [*named, {"value": MIX, "label": "A mixture of all"}]}

    def _save(self, body: dict[str, Any], comparison: Comparison, rater: str) -> tuple[int, bool]:
        scores, old = guess_of(comparison), self._replaced(body, rater)
        order = read_order(body.get("order"))
        seq, already = self.office.store.rank(
            save_key(body),
            comparison.id,
            order,
            rater=rater,
            seconds=read_seconds(body.get("seconds")),
            note=str(body.get("note") or ""),
            tags=[tag for tag in TAGS if tag in (body.get("tags") or [])],
            shown=range(len(comparison.candidates)),
            guess=scores,
            instead=old,
        )
        if old:
            self._forget(rater, old)
        self._remember(rater, seq, comparison, order)
        return seq, already

    def _replaced(self, body: dict[str, Any], rater: str) -> int:
        """The ranking whose place this one takes; 0 for none, and where it is gone: by this very save, sent twice."""
        seq = body.get("instead")
        found = self.office.store.ranking(seq) if type(seq) is int and seq else None
        return self._own(found, body, rater).seq if found and found.rater == rater else 0

    def _remember(self, rater: str, seq: int, comparison: Comparison, order: Order) -> None:
        if comparison.pool == "rank":
            self.agreement.add(rater, seq, order, guess_of(comparison))
        if counts(comparison, order):
            self.repeats.add(rater, seq, known(comparison, order))

    def _forget(self, rater: str, seq: int) -> None:
        self.agreement.drop(rater, seq)
        self.repeats.drop(rater, seq)

    def _reveal(self, body: dict[str, Any], comparison: Comparison, rater: str) -> dict[str, Any]:
        """What stays hidden until the click: who wrote what, and how the reward model would have ordered them."""
        scores, order = guess_of(comparison), read_order(body.get("order"))
        agreed, pairs = agreement(order, scores)
        total_agreed, total = self.agreement.total(rater)
        ranked = sorted(range(len(scores)), key=lambda index: -scores[index]) if scores else []
        return {
            "order": order,
            "policies": [
                policy_called(self.office.workspace, each.policy, each.step) for each in comparison.candidates
            ],
            "guess": ranked,
            "agreed": agreed,
            "pairs": pairs,
            "total_agreed": total_agreed,
            "total": total,
        }

    def _view(self, item: Item, body: dict[str, Any], rater: str) -> dict[str, Any]:
        if item.instead and self.office.store.ranking(item.instead) is None:
            item.instead = 0  # it was taken back in another window
        counts = self.office.store.counts()
        progress = {"mine": counts["raters"].get(rater, 0), "all": counts["by_person"], "enough": ENOUGH}
        progress["same"], progress["again"] = self.repeats.total(rater)
        progress["left_out"] = self.feed.left_out()
        return self.feed.view(item) | {"progress": progress, "newest": self._newest(body, rater)}

    def _newest(self, body: dict[str, Any], rater: str) -> int:
        """What Undo takes back, also after a reload: of this board the newest that this browser saved; 0 for none.

        Where only the host comes no browser has a cookie of its own, and the newest under their name is meant.
        """
        browser = body.get("browser")
        if rater == NAMELESS or not (browser or body.get("host")):
            return 0
        duels = read_pool(body.get("pool")).kind == "duel"
        return self.office.store.newest_of(rater, f"{browser}:" if browser else "", duels=duels)


def save_key(body: dict[str, Any]) -> str:
    """The page's random key of one save, behind what tells the browser where it has a cookie of its own."""
    key, browser = str(body.get("key", "")), body.get("browser")
    return f"{browser}:{key}" if browser and key else key


def saved_by(body: dict[str, Any], ranking: Ranking) -> bool:
    """Whether the browser that asks saved this ranking."""
    browser = body.get("browser")
    return bool(browser) and ranking.key.startswith(f"{browser}:")


def guess_of(comparison: Comparison) -> tuple[float, ...] | None:
    """The reward model's scores, made before anybody clicked; None unless it scored all of them."""
    scores = tuple(each.score for each in comparison.candidates if each.score is not None)
    return scores if len(scores) == len(comparison.candidates) else None


def read_order(order: object) -> list[list[int]]:
    """Groups of numbers, best first; the store checks that they fit the candidates."""
    if not isinstance(order, list) or len(order) > 8:
        raise BadRanking("The order must be a list of at most 8 groups, best first.")
    if not all(isinstance(group, list) and all(type(index) is int for index in group) for group in order):
        raise BadRanking("Each group of the order must be a list of whole numbers.")
    return order


def read_seconds(value: object) -> float:
    """How long a person took, from 0 to a day in seconds; 0 for what is no number."""
    try:
        return min(max(finite(value, "The time taken"), 0.0), 86_400.0)
    except BadNumber:
        return 0.0
