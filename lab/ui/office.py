"""What all pages share in the page's process: the workspace, its store, the worker's answers, and who is asking."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lab.errors import BadName, Busy
from lab.served import Served
from lab.store import Store
from lab.store.raters import ALL, PERSON
from lab.ui.crowd import NAMELESS, Crowd
from lab.ui.feed import Feed
from lab.ui.looked_at import Resting
from lab.ui.refusal import refuse
from lab.ui.roles import RATER, SHARED_MODES, cookies_of, is_host, number, seal
from lab.ui.supervisor import Supervisor
from lab.ui.talk import checked_talk
from lab.workspace import Run, Workspace

# The worker writes a growing answer about every 80 ms; looking twice as often loses nothing and costs one stat.
LOOK_EVERY = 0.04
HOST_NAME = "me"
Action = Callable[[dict[str, Any], str], Any]
Download = Callable[[dict[str, str], Path], Path]


class Office:
    """One for each app. Open it before the first page is built, close it when the server has stopped."""

    def __init__(
        self, root: Path, *, mode: str = "solo", host_key: str = "", mark: str = "", worker: Supervisor
    ) -> None:
        """`mark`: what its cookies are marked with (`roles.cookies_of`). Where the workspace may only be looked at,
        `worker` is left alone."""
        self.workspace = Workspace(root, looking=True)
        self.store: Store = self.workspace.store()
        self.served = Served(self.workspace.served)
        self.mode, self.host_key, self.mark = mode, host_key, mark
        self.worker = Resting() if self.workspace.barred else worker
        self.actions: dict[str, Action] = {}
        self.downloads: dict[str, Download] = {}
        self.crowd = Crowd(lambda request: bool((self.answer(request) or {}).get("done")))
        self.feed = Feed(self)
        self._looked = 0.0
        self._memory: dict[str, tuple[float, Any]] = {}

    def close(self) -> None:
        self.worker.stop()
        self.store.close()

    def base(self) -> dict[str, Any]:
        """The base that the model process holds, else the one that it will load: what a run must have been made with
        to be of use now."""
        return self.workspace.worker() or self.workspace.base() or {}

    def runs(self) -> list[Run]:
        """The runs that can be used with this base; those of another one stand on the Runs page alone."""
        base = self.base()
        return [run for run in self.workspace.runs() if run.made_with(base)]

    def newest(self, stage: str) -> Run | None:
        """The finished run of a stage that began last, of those that can be used."""
        return self.workspace.newest(stage, base=self.base())

    def action(self, name: str, do: Action) -> None:
        """Serve `do(body, rater)` at POST /lab/NAME for the page's scripts: JSON in and out, a LabError as a 4xx."""
        self.actions[name] = do

    def download(self, name: str, make: Download) -> None:
        """Serve the file that `make(query, folder)` writes into a folder of its own, at GET /lab/export/NAME."""
        self.downloads[name] = make

    def ask(self, kind: str, payload: dict[str, Any], guest: str = "", *, ahead: bool = False) -> str:
        """Ask the worker for something; the id under which its answer will be found.

        Raises Crowded where too much of this guest's, or of all guests', is unanswered; the host, '', may ask for more.
        `ahead`: nobody waits for it yet.
        """
        if not guest:
            return self.store.ask(kind, payload)
        place = self.crowd.enter(guest, ahead)
        try:
            place.request = self.store.ask(kind, payload)
        finally:
            if not place.request:
                self.crowd.leave(place)
        return place.request

    def chat(self, policy: str, messages: Any, guest: str = "", **more: Any) -> str:
        """Ask a policy to go on with a conversation, as far back as the worker reads; the id of the request."""
        return self.ask("chat", {"policy": policy, "messages": checked_talk(messages), **more}, guest)

    def answer(self, request: str) -> dict[str, Any] | None:
        """The newest line that the worker wrote for a request, runs by their names; None while there is none."""
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            self.served.refresh()
        return self.served.get(request)

    def follow(self, request: str, timeout: float = 120.0) -> Iterator[dict[str, Any]]:
        """The answer as it grows, the last one done. A refusal is raised; Busy after `timeout` s of silence."""
        seen: dict[str, Any] | None = None
        heard = time.monotonic()
        while True:
            found = self.answer(request)
            if found is not None and found != seen:
                refuse(found)
                seen, heard = found, time.monotonic()
                yield found
                if found.get("done"):
                    return
            elif time.monotonic() - heard > timeout:
                now = self.worker.sentence(whole=False)  # guests ask, too
                raise Busy(f"The model has not answered for {timeout:.0f} seconds. {now}")
            time.sleep(LOOK_EVERY)

    def wait(self, request: str, timeout: float = 30.0) -> dict[str, Any]:
        """The finished answer; a refusal is raised, and Busy when the worker is silent for `timeout` seconds."""
        *_, last = self.follow(request, timeout)
        return last

    def remembered(self, name: str, age: float, make: Callable[[], Any]) -> Any:
        """What `make` gave, made anew when it is more than `age` seconds old."""
        at, found = self._memory.get(name, (-math.inf, None))
        if time.monotonic() - at > age:
            found = make()
            self._memory[name] = (time.monotonic(), found)
        return found

    def is_host(self, request: Any) -> bool:
        """Whether this browser may start, stop and delete; `request` has `cookies`."""
        return is_host(self.mode, self.host_key, self._cookies(request))

    def guest(self, request: Any) -> str:
        """Which guest's browser this is, whatever they call themselves; '' where it is the host's."""
        return "" if self.is_host(request) else self.browser(request) or NAMELESS

    def rater(self, request: Any) -> str:
        """The name under which this browser ranks: the one that was typed; else me, or a guest's number."""
        guest = self.mode in SHARED_MODES and not self.is_host(request)
        return rater_name(self._cookies(request), guest)

    def doer(self, name: str, asking: str) -> str:
        """Who did something, at the head of a sentence to the one who asks: You, of the host to guests The host."""
        if name and name == asking:
            return "You"
        return "The host" if self.mode in SHARED_MODES and name == HOST_NAME else name

    def browser(self, request: Any) -> str:
        """What stands beside the rankings that this browser saves; '' for one that brings no cookie of its own."""
        return seal(self._cookies(request))

    def _cookies(self, request: Any) -> dict[str, str]:
        return cookies_of(self.mark, dict(getattr(request, "cookies", None) or {}))


def rater_name(cookies: Mapping[str, str], guest: bool = False) -> str:
    """Never the host's for a guest. NAMELESS is whoever brings no cookie: such guests cannot be told apart."""
    name, digits = unquote(cookies.get(RATER, "")).strip(), number(cookies)
    if is_name(name) and not (guest and name.lower() == HOST_NAME):
        return name
    if not guest:
        return HOST_NAME
    return f"guest {digits}" if digits else NAMELESS


def is_name(name: str) -> bool:
    """Whether a person may call themselves that: 1 to 64 printable characters, and none that means others."""
    if name.lower().startswith("simulated:") or name.lower() in (PERSON, ALL, NAMELESS):
        return False
    return 0 < len(name) <= 64 and name.isprintable()


def checked_name(name: str, host: bool = True) -> str:
    """The name without spaces around it. Raises BadName; `me` is the host's own until they choose another."""
    name = name.strip()
    if not is_name(name):
        raise BadName(
            "A name has 1 to 64 printable characters, does not start with 'simulated:' and is none of 'person', "
            f"'all' and 'guest'; {name[:80]!r} is none."
        )
    if name.lower() == HOST_NAME and not host:
        raise BadName(f"The host is called {HOST_NAME} here. Choose another name, so that your rankings stay apart.")
    return name
