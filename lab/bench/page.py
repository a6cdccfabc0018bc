"""The app under people: how soon it answers after its start, and how long each of many browsers waits while they rank.

A browser here is a thread that asks for exactly what the Rank page's script asks for, in its rhythm, and ranks at
random.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import quantiles
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any

from lab.bench.isolated import ROOT
from lab.errors import BadNumber, LabError
from lab.rater import MARK, Rater
from lab.store import Candidate, Store
from lab.workspace import Workspace
from lab.world import questions, writers

MOST = 500
THINKING = (3.0, 7.0)  # seconds that a person takes for a ranking
LOOKS_EVERY = 0.1
STARTS_IN, TRAINS_IN = 120.0, 600.0
RANKED_BEFORE, RANKER, QUICK = 25, MARK + "helpful", {"epochs": 1, "normalise_over": 16}


@dataclass
class Clock:
    """Seconds that each kind of request took; thread-safe. `refused` counts browsers that gave up at an error.
    `page_bytes`: what the page took on the way, compressed."""

    taken: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    saved: int = 0
    ready: int = 0
    refused: int = 0
    page_bytes: int = 0
    lock: Lock = field(default_factory=Lock)

    def told(self) -> dict[str, float]:
        """50th, 95th and 99th percentile in milliseconds by kind, and what was saved."""
        found: dict[str, float] = {}
        for name, seconds in sorted(self.taken.items()):
            cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
            found |= {f"{name}_p{at}_ms": 1000 * cuts[at - 1] for at in (50, 95, 99)}
        ready = self.ready / self.saved if self.saved else 0.0
        return found | {
            "saved": self.saved,
            "next_was_ready": ready,
            "refused": self.refused,
            "page_bytes": self.page_bytes,
        }


@dataclass
class Browser:
    """One tab: keeps its connection, as browsers do."""

    port: int
    clock: Clock
    seed: int

    def __post_init__(self) -> None:
        self.tab, self.link = f"bench{self.seed:04d}x", HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.pool, self.rng = {"kind": "rank", "source": "sft", "against": ""}, random.Random(self.seed)

    def ask(self, kind: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """What the app answers, timed under `kind`. Raises LabError for an error."""
        began = monotonic()
        try:
            answer, said = self._exchange(path, body)
        except ConnectionError:  # closed by the server while the person was thinking: a browser connects anew
            self.link.close()
            answer, said = self._exchange(path, body)
        with self.clock.lock:
            self.clock.taken[kind].append(monotonic() - began)
            if kind == "page":
                self.clock.page_bytes = len(said)
        if answer.headers["content-encoding"] == "gzip":
            said = gzip.decompress(said)
        if answer.status != 200:
            raise LabError(f"The app answered {path} with {answer.status}: {said[:200].decode(errors='replace')}")
        return said

    def _exchange(self, path: str, body: dict[str, Any] | None) -> tuple[HTTPResponse, bytes]:
        taken = {"accept-encoding": "gzip, deflate"}
        if body is None:
            self.link.request("GET", path, headers=taken)
        else:
            self.link.request("POST", path, json.dumps(body), taken | {"content-type": "application/json"})
        answer = self.link.getresponse()
        return answer, answer.read()

    def act(self, name: str, **body: Any) -> dict[str, Any]:
        return json.loads(self.ask(name, f"/lab/board-{name}", body))

    def visit(self, deadline: float) -> None:
        """Rank until then; an error ends the visit, and is told in a line."""
        try:
            self._rank_until(deadline)
        except (LabError, OSError) as problem:
            with self.clock.lock:
                self.clock.refused += 1
            print(f"browser {self.seed} gave up: {problem}", file=sys.stderr, flush=True)

    def _rank_until(self, deadline: float) -> None:
        """Open the page, then rank one prompt after the other."""
        self.ask("page", "/")
        view = self.act("next", tab=self.tab, pool=self.pool)
        while monotonic() < deadline:
            view = self._written(view, deadline)
            sleep(self.rng.uniform(*THINKING))
            if view.get("comparison"):
                view = self._save(view)

    def _written(self, view: dict[str, Any], deadline: float) -> dict[str, Any]:
        """The same prompt, once all its answers have come."""
        while not view.get("comparison") and not view.get("error") and monotonic() < deadline:
            sleep(LOOKS_EVERY)
            view = self.act("look", item=view["item"])
        return view

    def _save(self, view: dict[str, Any]) -> dict[str, Any]:
        order = [[index] for index in self.rng.sample(range(len(view["candidates"])), len(view["candidates"]))]
        body = {"key": str(uuid.uuid4()), "comparison": view["comparison"], "order": order, "seconds": 5.0}
        found = self.act("submit", tab=self.tab, pool=self.pool, **body)["next"]
        with self.clock.lock:
            self.clock.saved += 1
            self.clock.ready += bool(found.get("comparison"))
        return found


def run_page(browsers: int, seconds: float) -> dict[str, Any]:
    """The app alone, with that many browsers, and with them while PPO trains; each part is told when it ends.

    Raises BadNumber for a crowd that is none or too large for threads.
    """
    if not 1 <= browsers <= MOST:
        raise BadNumber(f"--page is {browsers}, outside 1 to {MOST}. Choose how many browsers rank at once.")
    found: dict[str, Any] = {"browsers": browsers, "seconds": seconds}
    with tempfile.TemporaryDirectory() as folder, _app(Path(folder) / "workspace") as (port, started):
        workspace = Workspace(Path(folder) / "workspace")
        found |= _say("start", {"page_answers_s": started, "first_token_s": first_token(port)})
        found["ranking"] = _say("ranking", crowd(port, browsers, seconds))
        with Store(workspace.root / "lab.db") as store:
            _train(workspace, store)
            found["while PPO trains"] = _say("while PPO trains", crowd(port, browsers, seconds))
            kept = sum(each.rater == "me" for each in store.rankings())
        found["lost"] = found["ranking"]["saved"] + found["while PPO trains"]["saved"] - kept
    print(table(found))
    return found


def crowd(port: int, browsers: int, seconds: float) -> dict[str, float]:
    """That many browsers for so long; they come within the first seconds, one after the other."""
    clock, deadline = Clock(), monotonic() + seconds
    threads = [Thread(target=Browser(port, clock, seed).visit, args=(deadline,)) for seed in range(browsers)]
    for thread in threads:
        thread.start()
        sleep(min(0.2, seconds / 10 / browsers))
    for thread in threads:
        thread.join()
    return clock.told()


def first_token(port: int) -> float:
    """Seconds until the first of a new tab's candidates has begun."""
    browser, began = Browser(port, Clock(), 9999), monotonic()
    view = browser.act("next", tab=browser.tab, pool=browser.pool)
    while not any(each["text"] for each in view["candidates"]):
        if monotonic() - began > STARTS_IN:
            raise LabError(
                f"No answer began within {STARTS_IN:.0f} s, so nothing can be measured. Start app.py by hand."
            )
        sleep(LOOKS_EVERY)
        view = browser.act("look", item=view["item"])
    return monotonic() - began


@contextmanager
def _app(workspace: Path) -> Iterator[tuple[int, float]]:
    """python app.py as a person starts it: its port, and seconds until the page answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--workspace", str(workspace), "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began = monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"}, **quiet)
    try:
        yield port, _answers(port, process, began)
    finally:
        process.terminate()  # Ctrl-C is not heard by what a shell runs in its background
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(port: int, process: subprocess.Popen, began: float) -> float:
    while monotonic() - began < STARTS_IN and process.poll() is None:
        try:
            Browser(port, Clock(), 0).ask("page", "/")
            return monotonic() - began
        except OSError:
            sleep(0.05)
    raise LabError(f"The app did not answer within {STARTS_IN:.0f} s. Start it by hand to see why: python app.py.")


def rank_by_taste(store: Store, count: int, rater: str) -> None:
    """Rankings of answers that really differ, by a simulated taste, stored under the rater's name."""
    rng, taste = random.Random(3), Rater("helpful")
    for number in range(count):
        question = questions.draw(rng)
        texts = list(dict.fromkeys(writers.write(question, writers.pick(rng), rng) for _ in range(8)))[:4]
        [prompt] = store.add_prompts([question.text], "built-in")
        comparison = store.add_comparison(prompt, [Candidate(text, "sft") for text in texts])
        order = taste.rank(question.text, texts, rng, [True] * len(texts))
        store.rank(f"made {rater} {number}", comparison, order, rater=rater)


def _train(workspace: Workspace, store: Store) -> None:
    """A reward model on a few made rankings, then a PPO run that goes on while others rank."""
    rank_by_taste(store, RANKED_BEFORE, RANKER)
    reward = _order(workspace, store, "reward", QUICK, {"raters": RANKER}, "done")
    _order(workspace, store, "ppo", {"steps": 10_000}, {"reward": reward, "anyway": True}, "running")


def _order(
    workspace: Workspace, store: Store, stage: str, config: dict[str, Any], inputs: dict[str, Any], until: str
) -> str:
    """A run's name, once it has come so far."""
    request = store.ask("run", {"stage": stage, "config": config, "inputs": inputs})
    deadline = monotonic() + TRAINS_IN
    while monotonic() < deadline:
        answer = workspace.answer(request) or {}
        if "error" in answer:
            raise LabError(f"The {stage} run was refused: {answer['error']}")
        if answer.get("run") and workspace.run(answer["run"]).status() == until:
            return answer["run"]
        sleep(0.2)
    raise LabError(
        f"The {stage} run was not {until} within {TRAINS_IN:.0f} s, so the page cannot be measured beside it."
    )


def _say(name: str, found: dict[str, Any]) -> dict[str, Any]:
    told = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
    print(f"{name}: {told}", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, Any]) -> str:
    """Waiting times in milliseconds, a line a kind of request, and what was lost."""
    lines = [
        f"page after {found['page_answers_s']:.1f} s, first word of an answer {found['first_token_s']:.1f} s later",
        f"the page's own HTML takes {found['ranking']['page_bytes']:,} bytes on the way",
        f"{found['browsers']} browsers for {found['seconds']:.0f} s, milliseconds",
        f"{'':<18}{'':<10}{'p50':>7}{'p95':>7}{'p99':>7}",
    ]
    for part in ("ranking", "while PPO trains"):
        each = found[part]
        for kind in ("page", "next", "look", "submit"):
            row: Sequence[str] = [f"{each.get(f'{kind}_p{at}_ms', float('nan')):>7.0f}" for at in (50, 95, 99)]
            lines.append(f"{part:<18}{kind:<10}{''.join(row)}")
        lines.append(
            f"{part:<18}{each['saved']} rankings saved, {each['refused']} browsers gave up; the next prompt was there "
            f"with the save in {each['next_was_ready']:.0%}"
        )
    return "\n".join([*lines, f"rankings that were answered and are not on the disk: {found['lost']}"])
