"""Which prompt is asked next: one's own before the built-in ones, and none twice while another waits."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from lab.errors import BadFile, NoRows
from lab.formats.files import FileRow, rows, text_of
from lab.store import Store

BUILT_IN, OWN = "built-in", "own"
CHOICES = (BUILT_IN, OWN, "both")
HOW_MANY, SEED = 600, 20
MOST = 20_000  # prompts of a file: more than people rank, and few enough to be stored while others wait
TRIES = 3  # how often what was refused comes again before its turn
# Where a prompt stands in the usual files, best first.
FIELDS = ("prompt", "instruction", "question", "input", "text")


class Prompts:
    """Thread-safe; counts what has been asked, beginning with what has already been ranked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._built_in: list[str] = []
        self._own: dict[str, str] = {}  # text: source, oldest first
        self._seen = 0
        self._asked: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()

    def next(self, choice: str) -> tuple[str, str]:
        """A text and where it came from. With `own` and none given, the built-in ones serve."""
        with self._lock:
            self._begin()
            known = self._known() if choice != BUILT_IN else []
            if choice != OWN or not known:
                known += [(text, BUILT_IN) for text in self._built_in]
            found = min(known, key=lambda each: self._asked.get(each[0], 0))
            self._asked[found[0]] += 1
            return found

    def asked(self, text: str) -> None:
        """Somebody has been asked this, though it was not its turn."""
        with self._lock:
            self._begin()
            self._asked[text] += 1

    def back(self, text: str, source: str) -> None:
        """Nobody will answer this where it was asked, so it comes again as if it had not been."""
        with self._lock:
            self._asked[text] = max(0, self._asked[text] - 1)
            if is_own(source):
                self._own.setdefault(text, source)

    def retry(self, text: str, source: str) -> None:
        """The model could not answer one of one's own this time: it comes again behind the others of one's own, but not
        for ever, or one that is never answered would keep all else from being asked."""
        with self._lock:
            self._tried[text] += 1
            self._own.pop(text, None)
            self._own[text] = source
            if self._tried[text] <= TRIES:
                self._asked[text] = max(0, self._asked[text] - 1)

    def _known(self) -> list[tuple[str, str]]:
        """What people typed or uploaded; an import of rankings brings prompts too, which nobody asked to see again.

        Rows never change, so only what is new is read: of an import there may be tens of thousands.
        """
        for seq, text, source in self._store.prompts_after(self._seen):
            self._seen = seq
            if is_own(source):
                self._own.setdefault(text, source)
        return list(self._own.items())

    def _begin(self) -> None:
        """The built-in prompts on first use, for importing the small world costs a tenth of a second, and how often
        each prompt has been ranked."""
        if self._built_in:
            return
        from lab.world.corpus import prompts

        self._built_in = prompts(HOW_MANY, SEED)
        texts = [*self._built_in, *(text for text, _ in self._known())]
        self._asked.update(self._store.times_ranked(texts))


def is_own(source: str) -> bool:
    """Whether a person typed a prompt of this source, or gave it in a file of prompts; an imported file of rankings
    may be called own.jsonl as well."""
    return source == OWN or of_a_file(source)


def of_a_file(source: str) -> bool:
    return source.startswith(f"{OWN}:")


def from_file(path: str | Path) -> tuple[list[str], str]:
    """The prompts of a text file (one a line) or of any table that the lab reads, each once; and in words which rows of
    a table are left out. NoRows when it holds no prompt."""
    path, broken = Path(path), []
    if path.suffix.lower() in (".txt", ".md"):
        found = [line.strip() for line in text_of(path.read_bytes(), path.name).splitlines()]
        empty = 0
    else:
        whole, broken = _readable(path)
        found = [_prompt_of(row) for row in whole]
        empty = found.count("")
    texts = list(dict.fromkeys(text for text in found if text))
    if len(texts) > MOST:
        raise BadFile(f"{path.name} holds {len(texts):,} prompts, and {MOST:,} at most are taken. Give a part of them.")
    if not texts:
        raise NoRows(
            f"{path.name} holds no prompt. Write one prompt a line in a .txt file, or JSON lines with a field "
            f"{FIELDS[0]}."
        )
    return texts, _left_out(broken, empty)


def _left_out(broken: list[FileRow], empty: int) -> str:
    """What of a table is not taken, with the first fault; nothing where all is."""
    found = []
    if broken:
        count = "1 row that cannot be read" if len(broken) == 1 else f"{len(broken):,} rows that cannot be read"
        found.append(f"{count} (row {broken[0].line}: {broken[0].fault})")
    if empty:
        found.append("1 row without a prompt" if empty == 1 else f"{empty:,} rows without a prompt")
    return f"Left out: {' and '.join(found)}." if found else ""


def _readable(path: Path) -> tuple[list[FileRow], list[FileRow]]:
    """The rows of a table that can be read, and the others; BadFile with the first one's fault where none can be."""
    table = rows(path)
    whole, broken = [row for row in table if not row.fault], [row for row in table if row.fault]
    if broken and not whole:
        first = broken[0]
        raise BadFile(
            f"{path.name} holds no row that can be read; row {first.line}: {first.fault}. Mend the file and choose it "
            "again."
        )
    return whole, broken


def _prompt_of(row: FileRow) -> str:
    for name in FIELDS:
        value = row.fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    turns = row.fields.get("messages") or row.fields.get("prompt")
    return _last_question(turns) if isinstance(turns, list) else ""


def _last_question(turns: list) -> str:
    """What the user said last in a conversation."""
    asked = [turn.get("content") for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
    return asked[-1].strip() if asked and isinstance(asked[-1], str) else ""
