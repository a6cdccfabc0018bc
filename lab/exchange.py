"""Between files and the store: imports any preference file, exports every format, carries rankings without loss."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import BadFile, LabError, NoRows
from lab.formats import Message, Record, Written, read, write
from lab.formats.files import FileRow
from lab.journal import replace_bytes
from lab.store import Candidate, Comparison, Copy, Ranking, Store, prepared
from lab.store.raters import ALL, is_meant, meant
from lab.store.records import checked_rater

LOSSLESS = "rankings"
EXAMPLES = 3
# Fields that only the lab's own export has; a row of the format `rankings` without them is an ordinary import.
OWN = ("key", "comparison", "shown", "at")


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file: how many rankings are new, how many were here already, and each row left out, with why.

    `margins`: how many rows said how much better the one answer is, which nothing here learns from or keeps.
    """

    format: str
    accepted: int
    rejected: list[tuple[int, str]]
    already: int = 0
    margins: int = 0

    @property
    def beside(self) -> str:
        """What else there is to tell, behind the number of rankings."""
        here = f", {self.already} were here already" if self.already else ""
        return here + (f"; {self.margins} margins were not kept, for order alone counts" if self.margins else "")


def import_file(store: Store, path: str | Path, format: str = "auto", *, rater: str = "imported") -> Imported:
    """Stores every usable ranking of the file in one transaction; a second import of the same file adds nothing, unless
    the first was taken back (`Store.take_back`).

    Rows that name a rater keep it, the others get `rater`. Raises what `formats.read` raises, BadName for a `rater`
    that can be none, and NoRows for a file of demonstrations, which rank nothing, and where every row is left out.
    """
    path, rater = Path(path), checked_rater(rater)
    found = read(path, format)
    pairs = list(zip(found.rows, found.records, strict=True))
    own = [row for row, _ in pairs if found.format == LOSSLESS and _is_own(row)]
    rest = [(row.line, record) for row, record in pairs if found.format != LOSSLESS or not _is_own(row)]
    if not own and all(len(record.candidates) < 2 for _, record in rest):
        raise NoRows(
            f"{path.name} holds {len(rest)} demonstrations ({found.format}): one answer to each prompt, so there is "
            "nothing to rank and nothing was imported. To have the model imitate them, tune it on them: "
            f"python -m lab sft --data {path.name}"
        )
    rejected = [(row.line, row.reason) for row in found.rejected]
    batch = uuid.uuid4().hex, path.name.encode("utf-8", "replace").decode()
    copied = _copied(store, own, batch, rejected) if own else 0
    added = _added(store, rest, rater, path.name, batch, rejected) if rest else 0
    already = len(pairs) + len(found.rejected) - len(rejected) - copied - added
    if not copied + added + already:
        first = "".join(f"; row {line}: {reason}" for line, reason in sorted(rejected)[:EXAMPLES])
        raise NoRows(
            f"None of the {len(rejected)} rows of {path.name} ({found.format}) can be kept{first}. Nothing was "
            "imported. Mend the rows and import the file again."
        )
    margins = sum(record.margin is not None for record in found.records)
    return Imported(found.format, copied + added, sorted(rejected), already, margins)


def exported(store: Store, path: str | Path, format: str = LOSSLESS, raters: str = "") -> Written:
    """Every ranking not withdrawn and not excluded; `rankings` keeps those too, with everything that is known of all.

    raters: person, all, or a rater's name. Unless said, those whom a model would learn from; all of them in `rankings`.
    Raises NoRows when there is nothing to write, BadInput for a format that is only read, BadFile, and DiskFull.
    """
    path = Path(path)
    lossless = format == LOSSLESS
    whose = ALL if lossless and not raters else meant(store.counts()["raters"], raters)
    found = store.rankings(withdrawn=lossless, excluded=lossless, ids=lossless)
    rankings = [each for each in found if is_meant(each.rater, whose)]
    if not rankings:
        there = f"None of the {len(found)} rankings is by {whose}" if found else "There are no rankings yet"
        raise NoRows(f"{there}, so no file was made. Rank some answers on the Rank page first.")
    if not lossless:
        return write([_record(each) for each in rankings], format, path)
    sources = {id: source for id, _, source in store.prompts()}
    lines = [_line(each, sources[each.comparison.prompt_id]) for each in rankings]
    text = _text(path, lines)
    try:
        replace_bytes(path, text.encode())
    except OSError as problem:
        raise BadFile(f"{path} could not be written ({problem.strerror}). Choose another folder.") from problem
    return Written(len(lines), ())


def _added(
    store: Store,
    records: Sequence[tuple[int, Record]],
    rater: str,
    source: str,
    batch: tuple[str, str],
    rejected: list[tuple[int, str]],
) -> int:
    """Ordinary rows: each becomes a ranking by the rater that it names, or by `rater`; grows `rejected`."""
    ranked = [(line, record) for line, record in records if len(record.candidates) > 1]
    alone = [line for line, record in records if len(record.candidates) < 2]
    rejected += [(line, "one answer only: a demonstration, not a ranking") for line in alone]
    asked = ((each.messages, each.candidates, each.groups, "", each.rater) for _, each in ranked)
    ready = prepared(asked, rater, source)
    rejected += [(line, str(row)) for (line, _), row in zip(ranked, ready, strict=True) if isinstance(row, LabError)]
    return store.add_prepared([row for row in ready if not isinstance(row, LabError)], *batch)


def _copied(store: Store, whole: Sequence[FileRow], batch: tuple[str, str], rejected: list[tuple[int, str]]) -> int:
    """Rows of the lab's own export, as they were in the workspace that wrote them; grows `rejected`."""
    lines, copies = [], []
    for row in whole:
        try:
            copies.append(_copy(row.fields))
            lines.append(row.line)
        except KeyError as problem:
            rejected.append((row.line, f"without the field {problem}"))
        except (LabError, TypeError, ValueError, OverflowError) as problem:
            rejected.append((row.line, str(problem)))
    outcomes = store.copy_rankings(copies, *batch)
    rejected += [(line, str(each)) for line, each in zip(lines, outcomes, strict=True) if isinstance(each, LabError)]
    return sum(each is True for each in outcomes)


def _is_own(row: FileRow) -> bool:
    return not row.fault and all(field in row.fields for field in OWN)


def _record(ranking: Ranking) -> Record:
    compared = ranking.comparison
    return Record(
        tuple(Message(role, words) for role, words in _turns(compared)),
        tuple(each.text for each in compared.candidates),
        ranking.order,
        rater=ranking.rater,
        source_id=ranking.key,
    )


def _turns(compared: Comparison) -> tuple[tuple[str, str], ...]:
    return compared.turns or (("user", compared.prompt),)


def _line(ranking: Ranking, source: str) -> dict[str, Any]:
    """A row of the format `rankings`, with everything else that the store knows beside it."""
    compared = ranking.comparison
    return {
        "id": ranking.key,
        "prompt": [{"role": role, "content": words} for role, words in _turns(compared)],
        "candidates": [asdict(each) for each in compared.candidates],
        "order": ranking.order,
        "rater": ranking.rater,
        "key": ranking.key,
        "shown": ranking.shown,
        "seconds": ranking.seconds,
        "note": ranking.note,
        "tags": ranking.tags,
        "guess": ranking.guess,
        "at": ranking.at,
        "withdrawn_at": ranking.withdrawn_at,
        "excluded": ranking.excluded,
        "source": source,
        "comparison": {
            "id": compared.id, "prompt_id": compared.prompt_id, "text": compared.prompt, "at": compared.at,
            "pool": compared.pool,
        },
    }  # fmt: skip


def _copy(row: dict[str, Any]) -> Copy:
    """The ranking that `_line` wrote; raises LabError, KeyError, TypeError or ValueError for anything else."""
    about, turns = row["comparison"], tuple((turn["role"], turn["content"]) for turn in row["prompt"])
    candidates = tuple(Candidate(**each | {"ids": tuple(each["ids"])}) for each in row["candidates"])
    alone = len(turns) == 1 and turns[0] == ("user", about["text"])
    compared = Comparison(
        about["id"], about["prompt_id"], about["text"], candidates, about["at"], about["pool"], () if alone else turns
    )
    ranking = Ranking(
        0, row["key"], compared, row["order"], row["shown"], row["rater"], row["seconds"], row["note"], row["tags"],
        row.get("guess"), row["at"], row.get("withdrawn_at"), row["excluded"] is True,
    )  # fmt: skip
    return Copy.checked(ranking, row["source"])


def _text(path: Path, lines: Iterable[dict[str, Any]]) -> str:
    texts = [json.dumps(line, ensure_ascii=False, allow_nan=False) for line in lines]
    if path.suffix == ".json":
        return "[\n" + ",\n".join(texts) + "\n]\n"
    if path.suffix == ".jsonl":
        return "\n".join(texts) + "\n"
    raise BadFile(f"{path.name} would be JSON under another name. Give it a name that ends in .jsonl or .json.")
