"""Candidates made ahead of the people who rank them, so that the next prompt is there when one is submitted."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.config import TUNING
from lab.errors import BadInput, Busy, LabError, NotFound, OutOfMemory, PromptTooLong, Unexpected
from lab.store import Candidate
from lab.ui.crowd import Crowded
from lab.ui.naming import in_titles
from lab.ui.pool import Pool, deal
from lab.ui.prompts import BUILT_IN, Prompts, is_own, of_a_file
from lab.ui.refusal import refuse
from lab.workspace import SHIPPED

if TYPE_CHECKING:
    from lab.ui.office import Office
    from lab.workspace import Run

AHEAD = 2
# Refusals whose reason may be gone when the same is asked again.
PASSING = (OutOfMemory.code, Busy.code, Unexpected.code)
# Browser tabs and open prompts that are remembered; the oldest are forgotten, and their comparison stays on disk.
TABS, ITEMS = 500, 2000
# A new worker takes up what its predecessor left unanswered for two minutes; older requests are asked again here.
LOST = 125.0  # seconds
# How often one tries to ask for what could not be asked in a crowd.
AGAIN = 0.5


@dataclass(slots=True)
class Item:
    """One prompt with its candidates in the order in which they are shown; `policies` stays on the server.

    `request` is empty while too much of the guest's, or of everybody's, is unanswered.
    `recalled`: made from what stands in the store for one person, to whom alone it may be shown.
    `instead`: the ranking of that person whose place the next one takes; 0 where there is none.
    """

    id: str
    pool: Pool
    prompt: str
    source: str
    policies: tuple[str, ...]
    seed: int
    guest: str = ""
    request: str = ""
    asked: float = 0.0
    worker: int | None = None
    comparison: str = ""
    recalled: bool = False
    instead: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Feed:
    """Thread-safe. `hold` gives a tab the prompt it has in hand, `advance` the next one."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.prompts = Prompts(office.store)
        self._lock = threading.RLock()
        self._ready: dict[Pool, deque[Item]] = {}
        self._filling = threading.Lock()
        self._hands: OrderedDict[str, Item] = OrderedDict()
        self._aside: OrderedDict[str, list[Item]] = OrderedDict()
        self._items: OrderedDict[str, Item] = OrderedDict()
        self._left_out: dict[str, str] = {}  # prompts of files that were too long: for which base

    def hold(self, tab: str, pool: Pool, guest: str = "") -> Item:
        """What this tab has in hand, if it is of the same kind, so that a reload shows the same prompt.

        Under other settings one's own prompt is asked anew; where they want none, its turn comes later.
        """
        held = self.in_hand(tab)
        if held is None or held.pool == pool:
            return held or self.advance(tab, pool, guest)
        if is_own(held.source) and pool.sampling.prompts != BUILT_IN:
            return self._deal(tab, self.make(pool, held.prompt, held.source, guest), guest)
        item = self._next(tab, pool, guest)
        if is_own(held.source):
            self.prompts.back(held.prompt, held.source)
        return item

    def in_hand(self, tab: str) -> Item | None:
        with self._lock:
            return self._hands.get(tab)

    def advance(self, tab: str, pool: Pool, guest: str = "") -> Item:
        held = self.in_hand(tab)
        if held is not None:
            self._let_go(held)
        return self._next(tab, pool, guest)

    def _next(self, tab: str, pool: Pool, guest: str) -> Item:
        with self._lock:
            item = self._aside[tab].pop() if self.waits(tab, pool) else None
        return self._deal(tab, item or self._take(pool, guest), guest)

    def _deal(self, tab: str, item: Item, guest: str) -> Item:
        item.guest = guest
        if not item.request and not item.comparison:
            self._ask(item)
        self.give(tab, item)
        self.warm(item.pool, guest)
        return item

    def waits(self, tab: str, pool: Pool) -> bool:
        """Whether the next one of this tab is one that it alone may see and has had in hand before."""
        with self._lock:
            aside = self._aside.get(tab)
            return bool(aside) and aside[-1].pool == pool

    def give(self, tab: str, item: Item) -> None:
        """Put this one in a tab's hand, in place of what has been ranked there."""
        with self._lock:
            before = self._hands.get(tab)
            _remember(self._hands, tab, item, TABS)
            if before is not None:
                self._clear(before.pool)

    def _used(self, pool: Pool) -> bool:
        return any(held.pool == pool for held in self._hands.values())

    def _clear(self, pool: Pool) -> None:
        """Where nobody has these settings any more, what was made ahead goes; own prompts are asked in another pool."""
        for item in () if self._used(pool) else self._ready.pop(pool, ()):
            if is_own(item.source):
                self.prompts.back(item.prompt, item.source)

    def put(self, tab: str, item: Item) -> None:
        """Give a tab this one now; what it had in hand is kept for the next turn, of this tab or of whoever comes."""
        with self._lock:
            held = self._hands.get(tab)
            if held is not None and held is not item:
                if held.recalled:
                    aside = [*self._aside.get(tab, []), held]
                    # What is in hand again by another way would be refused when its turn came.
                    kept = [each for each in aside if each.comparison != item.comparison]
                    _remember(self._aside, tab, kept, TABS)
                else:
                    self._ready.setdefault(held.pool, deque()).appendleft(held)
            self.give(tab, item)

    def own_came(self) -> None:
        """Somebody's own prompts are next: what was made ahead of other ones goes, but not what a tab has put back."""
        with self._filling, self._lock:
            for pool, waiting in self._ready.items():
                if pool.sampling.prompts != BUILT_IN:
                    kept = [item for item in waiting if item.comparison or item.source != BUILT_IN]
                    waiting.clear()
                    waiting.extend(kept)

    def warm(self, pool: Pool, guest: str = "") -> None:
        """Ask for the next prompts of a pool in the background, so that nobody waits for the asking."""
        threading.Thread(target=self._top_up, args=(pool, guest), name="feed", daemon=True).start()

    def item(self, name: str) -> Item:
        with self._lock:
            if name not in self._items:
                raise NotFound("This prompt is no longer in hand, probably because the app was started again.")
            return self._items[name]

    def make(self, pool: Pool, prompt: str, source: str, guest: str = "", *, ahead: bool = False) -> Item:
        """Ask the worker for one prompt's candidates now, or in a crowd as soon as there is room."""
        seed = random.getrandbits(31)
        policies = deal(pool, known_policies(self.office), random.Random(seed))
        item = Item(uuid.uuid4().hex, pool, prompt, source, policies, seed, guest)
        self._ask(item, ahead)
        with self._lock:
            _remember(self._items, item.id, item, ITEMS)
        return item

    def recall(self, comparison: str, pool: Pool, instead: int = 0) -> Item:
        """An item for a comparison that stands in the store: after an undo, to rank it again, or as a repeat."""
        found = self.office.store.comparison(comparison)
        policies = tuple(each.policy for each in found.candidates)
        item = Item(uuid.uuid4().hex, pool, found.prompt, "", policies, 0)
        item.comparison, item.recalled, item.instead = comparison, True, instead
        with self._lock:
            _remember(self._items, item.id, item, ITEMS)
        return item

    def view(self, item: Item) -> dict[str, Any]:
        """What a browser may know before it has ranked: texts, and never who wrote them. Where the answers were refused
        there are none, and `error` says why."""
        base = {
            "item": item.id,
            "prompt": item.prompt,
            "count": len(item.policies),
            "tokens": item.pool.sampling.tokens,
            "instead": item.instead,
        }
        try:
            texts, finished = self._texts(item)
        except LabError as error:
            words = in_titles(self.office.workspace, str(error))
            refused = {"code": error.code, "message": words}
            return base | {"error": refused, "count": 0, "candidates": [], "comparison": ""}
        shown = [{"text": text, "finished": end} for text, end in zip(texts, finished, strict=True)]
        return base | {"candidates": shown, "comparison": item.comparison}

    def _texts(self, item: Item) -> tuple[list[str], list[bool]]:
        if item.comparison:
            stored = self.office.store.comparison(item.comparison).candidates
            return [each.text for each in stored], [True] * len(stored)
        answer = self._answer(item)
        if answer is None or not answer.get("texts"):
            return [""] * len(item.policies), [False] * len(item.policies)
        if answer.get("done"):
            self._settle(item, answer)
        return answer["texts"], answer.get("finished") or [bool(answer.get("done"))] * len(item.policies)

    def _answer(self, item: Item) -> dict[str, Any] | None:
        answer = self.office.answer(item.request)
        if answer is not None:
            refuse(answer)
        if (answer is None or not answer.get("done")) and self._lost(item, answer):
            self._ask(item)
        return answer

    def _lost(self, item: Item, answer: dict[str, Any] | None) -> bool:
        """Whether nobody will answer any more: the worker is another one by now, or its answer has come and was
        forgotten behind thousands of others; or it could not be asked yet."""
        if not item.request:
            return time.monotonic() - item.asked > AGAIN
        now = self.office.worker.pid
        waited = time.monotonic() - item.asked > LOST
        return now is not None and waited and (now != item.worker or answer is None)

    def _ask(self, item: Item, ahead: bool = False) -> None:
        pool = item.pool
        newest = self.office.newest("reward")
        payload = {
            "prompt": item.prompt,
            "policies": list(item.policies),
            "temperature": pool.sampling.temperature,
            "tokens": pool.sampling.tokens,
            "seed": item.seed,
            "distinct": pool.kind == "rank",
            "guess": newest.name if newest else "",
        }
        item.worker, item.asked = self.office.worker.pid, time.monotonic()
        try:
            item.request = self.office.ask("candidates", payload, item.guest, ahead=ahead)
        except Crowded:
            item.request = ""

    def _settle(self, item: Item, answer: dict[str, Any]) -> None:
        """Into the store, once, so that a submit finds it on disk whatever happens to this process."""
        with item.lock:
            if item.comparison:
                return
            store = self.office.store
            self._left_out.pop(item.prompt, None)  # with a shorter answer it did fit
            prompt_id = store.add_prompts([item.prompt], item.source)[0]
            item.comparison = store.add_comparison(prompt_id, candidates(item, answer), pool=item.pool.kind)

    def _take(self, pool: Pool, guest: str) -> Item:
        with self._lock:
            waiting = self._ready.setdefault(pool, deque())
            item = waiting.popleft() if waiting else None
            while item is not None and (self._refused(item) or (waiting and self._all_the_same(item))):
                self._let_go(item)
                item = waiting.popleft() if waiting else None
        return item or self.make(pool, *self.prompts.next(pool.sampling.prompts), guest)

    def _top_up(self, pool: Pool, guest: str) -> None:
        """One after the other, so that they wait in the order of their prompts; asking is a commit to disk."""
        while True:
            with self._filling:
                with self._lock:
                    if len(self._ready.get(pool, ())) >= AHEAD or not self._used(pool):
                        return
                if not self.office.crowd.room(guest, ahead=True):
                    return
                try:
                    item = self.make(pool, *self.prompts.next(pool.sampling.prompts), guest, ahead=True)
                except LabError:
                    # Whoever asks for this pool next meets the same refusal and is told.
                    return
                with self._lock:
                    self._ready.setdefault(pool, deque()).append(item)
                    self._clear(pool)

    def _refused(self, item: Item) -> str:
        """The code of its refusal, '' without one. What was refused when it was made ahead is asked anew, since the
        reason may be gone."""
        answer = self.office.answer(item.request) if item.request else None
        return str(answer["error"].get("code") or LabError.code) if answer and answer.get("error") else ""

    def _let_go(self, item: Item) -> None:
        """Nobody has been shown answers to it where it was refused, so one's own prompt is asked again; one of a file
        that can never be answered is counted, for whoever gave it was not there to be told."""
        refused = self._refused(item) if is_own(item.source) else ""
        if refused in PASSING:
            self.prompts.retry(item.prompt, item.source)
        elif refused == PromptTooLong.code and of_a_file(item.source):
            self._left_out[item.prompt] = self._base()

    def left_out(self) -> int:
        """How many prompts of files the base in use could not read to their end."""
        with self._lock:
            return list(self._left_out.values()).count(self._base())

    def _base(self) -> str:
        return str(self.office.base().get("base"))

    def _all_the_same(self, item: Item) -> bool:
        """Equal answers teach nothing, so nobody is asked about them."""
        answer = self.office.answer(item.request) if item.request else None
        done = answer is not None and answer.get("done") and answer.get("texts")
        return bool(done) and len({text.strip() for text in answer["texts"]}) == 1


def candidates(item: Item, answer: dict[str, Any]) -> list[Candidate]:
    """The worker's answer as rows of the store, under the names of the runs that spoke: sft and policy, which may have
    been asked for, are other ones later."""
    count, policies = len(item.policies), answer.get("policies") or item.policies
    scores, steps = answer.get("scores") or [None] * count, answer.get("steps") or [0] * count
    ids, ended = answer.get("ids") or [()] * count, answer.get("ended") or [True] * count
    return [
        Candidate(
            text=answer["texts"][n],
            policy=policies[n],
            step=steps[n],
            ids=tuple(ids[n]),
            ended=ended[n],
            seed=item.seed,
            temperature=item.pool.sampling.temperature,
            score=scores[n],
        )
        for n in range(count)
    ]


def known_policies(office: Office, runs: Sequence[Run] | None = None) -> list[str]:
    """Everything that can answer: the base, SFT, the policies tuned on it, and the one in training; the SFT that came
    with the base by itself where a newer one has taken its place.

    runs: those that this base can use, where somebody has looked at them just now.
    """
    runs = office.runs() if runs is None else runs
    replaced = any(run.stage == "sft" and run.status() == "done" for run in runs)
    shipped = [SHIPPED] if replaced and office.workspace.ships_sft() else []
    runs = [run for run in runs if run.stage in TUNING]
    tuned = [run.name for run in runs if run.status() in ("done", "stopped") and run.adapter.is_dir()]
    training = ["policy"] if any(run.status() in ("running", "paused") for run in runs) else []
    return ["base", *shipped, "sft", *tuned, *training]


def _remember(book: OrderedDict[str, Any], name: str, found: Any, limit: int) -> None:
    book[name] = found
    book.move_to_end(name)
    while len(book) > limit:
        book.popitem(last=False)


def tab_name(value: object) -> str:
    """A tab's own random name, as its page made it."""
    if not isinstance(value, str) or not 8 <= len(value) <= 64 or not value.isalnum():
        raise BadInput("The page did not say which tab it is. Reload it.")
    return value
