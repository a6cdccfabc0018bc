"""The store itself: what people may save, what the worker is asked for, and what anybody may read."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from lab.errors import BadInput, BadNumber, LabError, NotFound
from lab.folders import sweep
from lab.store import backups, batches, imports, writing
from lab.store.looking import Barred, Looking
from lab.store.reading import Counter, Followed, comparison, newest_of, ranking_at, rankings_from, times_ranked
from lab.store.records import POOLS, Candidate, Comparison, Ranking, checked_key, checked_prompt, clean, pack
from lab.store.recovery import Recovered, prepare
from lab.store.schema import check_version, connect, refusal
from lab.store.writer import Writer


class Store:
    """One database. Any thread may call any method; a method that saves returns once the disk has it."""

    def __init__(self, path: Path, *, read_only: bool = False, barred: Barred | None = None):
        """Opens or makes the file and reads all of it once; `recovered` says what was found damaged, or is None.

        Raises NewerWorkspace for a file of a later version of the lab; with `read_only` NotFound when there is none.
        `barred`: why nothing at all may be written there; it is looked at as it is.
        """
        self.path, self.backups = Path(path), Path(path).parent / "backups"
        self.recovered: Recovered | None = None
        self._writer: Writer | None = None
        self._keeper = backups.Keeper(self.path, self.backups)
        self._counter, self._guard = Counter(), threading.Lock()
        self._duels = Followed("duel")
        self._barred, self._looking = barred, Looking(self.path, barred) if barred else None
        if barred:
            return
        if read_only:
            self._look()
            return
        sweep(self.path.parent, self.backups)
        before = self.path.exists()
        self.recovered = prepare(self.path, self.backups)
        if before:
            self._keeper.catch_up()
        self._writer = Writer(self.path, self._keeper.after)
        self.counts()

    def close(self) -> None:
        """Saves what still waits, and leaves a backup of it."""
        if self._writer:
            self._writer.close()
            self._keeper.close()
        if self._looking:
            self._looking.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def add_prompts(self, texts: Sequence[str], source: str) -> list[str]:
        """Their ids; a text that this source gave before keeps the id that it has. All are stored, or none."""
        rows = [checked_prompt(text) for text in ([texts] if isinstance(texts, str) else texts)]
        source = clean(source, "The source", 200)
        return self._save(lambda link: [writing.prompt(link, text, (), source) for text in rows])

    def prompts(self, source: str | None = None) -> list[tuple[str, str, str]]:
        """(id, text, source), oldest first."""
        question = "SELECT id, text, source FROM prompt WHERE ?1 IS NULL OR source = ?1 ORDER BY seq"
        return self._read(question, source)

    def prompts_after(self, seq: int) -> list[tuple[int, str, str]]:
        """(seq, text, source) of all later ones, oldest first."""
        return self._read("SELECT seq, text, source FROM prompt WHERE seq > ? ORDER BY seq", seq)

    def add_comparison(self, prompt_id: str, candidates: Sequence[Candidate], pool: str = "rank") -> str:
        """Stores what a person is about to see, and returns its id; raises NotFound for an unknown prompt."""
        if pool not in POOLS:
            raise BadInput(f"{pool!r:.40} is no pool of comparisons. There are {', '.join(POOLS)}.")
        packed, count = pack(candidates), len(candidates)
        return self._save(lambda link: writing.comparison(link, prompt_id, count, packed, pool))

    def comparison(self, id: str) -> Comparison:
        """Raises NotFound for what this workspace never showed: the page is from another one, or older than it."""
        found = self._with(lambda link: comparison(link, str(id)))
        if not found:
            raise NotFound(f"There is no comparison {str(id)[:40]!r} here: the page is out of date. Reload it.")
        return found

    def rank(self, key: str, comparison_id: str, order: Iterable[Sequence[int]], *, rater: str, seconds: float = 0.0,
             note: str = "", tags: Iterable[str] = (), shown: Iterable[int] = (),
             guess: Iterable[float] | None = None, instead: int = 0) -> tuple[int, bool]:  # fmt: skip
        """(seq, False) once it is saved, (seq, True) when the same ranking came with the same key before.

        instead: the ranking of the same candidates by the same rater that is withdrawn with it, unless it was already.
        Raises KeyReused, AlreadyRanked, BadRanking, NotFound, BadName, BadText, BadNumber or DiskFull: it is not saved.
        """
        given = writing.Given.checked(key, comparison_id, order, rater, seconds, note, tags, shown, guess)
        save = writing.ranking if not instead else partial(writing.replacement, old=instead)
        return self._save(lambda link: save(link, given))

    def add_prepared(self, rows: Sequence[imports.Row], batch: str = "", name: str = "") -> int:
        """Many rows that `prepared` has checked, in one transaction; returns how many were new.

        `batch` and `name`: an id and a file's name, for rows that are an import of their own.
        """

        def add(link: sqlite3.Connection) -> int:
            return batches.marked(link, batch, name, lambda: sum(imports.imported_row(link, row) for row in rows))

        return self._save(add)

    def copy_rankings(self, copies: Sequence[imports.Copy], batch: str = "", name: str = "") -> list[bool | LabError]:
        """Whole rankings of another workspace in one transaction, with their keys, times and marks.

        For each: True when it was new, False when it was here already, or the refusal.
        """

        def add(link: sqlite3.Connection) -> list[bool | LabError]:
            return batches.marked(link, batch, name, lambda: [imports.copied(link, copy) for copy in copies])

        return self._save(add)

    def imports(self) -> list[batches.Batch]:
        """The imports of which rankings are in force, the newest first."""
        return self._with(batches.standing)

    def take_back(self, batch: str) -> int:
        """Withdraws what an import brought, and returns how many rankings; raises NotFound when none of it stands.

        They keep their places, marked. The next import of the same file brings them again.
        """
        return self._save(lambda link: batches.taken_back(link, batch))

    def withdraw(self, key: str, seq: int) -> int:
        """Undo: the ranking keeps its place and is marked; the same rater may then rank those candidates anew.

        What it had been saved instead of is in force again, under the number that is returned; 0 where that is none.
        """
        key = checked_key(key)

        def undo(link: sqlite3.Connection) -> int:
            writing.withdrawal(link, key, seq)
            return writing.restored(link, seq)

        return self._save(undo)

    def exclude(self, seq: int, excluded: bool = True) -> None:
        """Leaves a ranking out of training, or takes it in again; the ranking itself is kept."""
        self._save(lambda link: writing.exclusion(link, seq, excluded))

    def rankings(self, *, withdrawn: bool = False, excluded: bool = True, pools: Sequence[str] = (), after: int = 0,
                 ids: bool = True) -> list[Ranking]:  # fmt: skip
        """By seq: without withdrawn ones, with excluded ones, of every pool, unless told otherwise.

        Of other pools than those asked for neither prompts nor answers are read: of an import there may be very many.
        `ids=False` leaves the candidates' token ids out, for pages: faster, and a quarter of the memory.
        """
        found = self._with(lambda link: rankings_from(link, after, tuple(pools), ids))
        return [each for each in found if (withdrawn or each.withdrawn_at is None) and (excluded or not each.excluded)]

    def duels(self) -> list[Ranking]:
        """The duels in force, excluded ones too, without token ids. Reads only what is new since the last call."""
        return self._with(self._duels.refresh)

    def times_ranked(self, texts: Sequence[str]) -> dict[str, int]:
        """How many rankings there are of each of these prompts, without withdrawn ones; those of none are left out."""
        return self._with(lambda link: times_ranked(link, texts))

    def ranking(self, seq: int) -> Ranking | None:
        """The one with this number; None where there is none, or it was withdrawn."""
        found = self._with(lambda link: ranking_at(link, seq)) if abs(seq) <= writing.LARGEST else None
        return found if found and found.withdrawn_at is None else None

    def newest_of(self, rater: str, key: str = "", *, duels: bool = False) -> int:
        """The number of the ranking in force that a rater saved last, under a key that begins so; 0 for none.

        Duels alone, or all but duels; none that an import brought.
        """
        return self._with(lambda link: newest_of(link, rater, key, duels))

    def counts(self) -> dict:
        """rankings (skips apart), pairs, skips, simulated, by_person, without what is withdrawn or excluded.

        `raters` and `pairs_of` have the rankings and the pairs of each rater.

        Reads only what is new since the last call.
        """
        with self._guard:
            self._with(self._counter.refresh)
            return self._counter.facts()

    def ask(self, kind: str, payload: dict) -> str:
        """Puts a request where the worker finds it; returns its id."""
        kind, text = clean(kind, "The kind of request", 64), _json(payload)
        return self._save(lambda link: writing.request(link, kind, text))

    def requests_after(self, seq: int) -> list[tuple[int, str, str, dict, float]]:
        """(seq, id, kind, payload, at) of all later ones, oldest first."""
        return self._requests("seq > ?", seq)

    def requests_of(self, *kinds: str) -> list[tuple[int, str, str, dict, float]]:
        """The same of all of these kinds."""
        return self._requests("kind IN (SELECT value FROM json_each(?))", json.dumps(kinds))

    def _requests(self, which: str, value: object) -> list[tuple[int, str, str, dict, float]]:
        question = f"SELECT seq, id, kind, payload, at FROM request WHERE {which} ORDER BY seq"

        def read(link: sqlite3.Connection) -> list[tuple[int, str, str, dict, float]]:
            rows = link.execute(question, (value,)).fetchall()
            return [(number, id, kind, json.loads(payload), at) for number, id, kind, payload, at in rows]

        return self._with(read)

    def last_request(self) -> int:
        return self._read("SELECT coalesce(max(seq), 0) FROM request")[0][0]

    def backup(self, folder: Path | None = None) -> Path:
        """A whole, verified copy; five are kept. The store also makes them by itself, in `backups`."""
        return backups.make(self.path, Path(folder) if folder else self.backups)

    @property
    def backup_fault(self) -> str:
        """Why the newest backup that the store made by itself failed, or ''."""
        return self._keeper.fault

    def _look(self) -> None:
        if not self.path.exists():
            raise NotFound(f"There is no database at {self.path}. Start the lab on this workspace once: it makes one.")
        self._with(lambda link: check_version(link, self.path))

    def _save(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._barred:
            raise self._barred.error()
        if not self._writer:
            raise BadInput("This store was opened for reading only, so nothing was saved.")
        return self._writer.do(job)

    def _with(self, use: Callable[[sqlite3.Connection], Any]) -> Any:
        """A connection for one reading, closed at once: a reader that stays would hold up every save."""
        if self._looking:
            return self._looking.ask(use)
        try:
            with closing(connect(self.path, write=False)) as link:
                return use(link)
        except sqlite3.Error as problem:
            raise refusal(problem, self.path) from problem

    def _read(self, question: str, *values: object) -> list[tuple]:
        return self._with(lambda link: link.execute(question, values).fetchall())


def _json(payload: dict) -> str:
    try:
        return json.dumps(payload, allow_nan=False)
    except ValueError as problem:
        raise BadNumber(f"The request holds a number that is not finite, so it was not sent ({problem}).") from None
