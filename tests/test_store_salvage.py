"""A damaged row costs that row alone: the good ones are carried over, and no number can make a row count as damaged."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing

import pytest

from lab.errors import BadInput, Damaged
from lab.exchange import exported, import_file
from lab.store import Candidate, Store
from lab.store.schema import insert
from lab.ui.rank.desk import read_seconds

TWO = [Candidate("yes", "sft"), Candidate("no", "sft")]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.db"


def filled(path, count=40):
    """A database with this many rankings, each of a prompt of its own, and those rankings; its backup is removed."""
    with Store(path) as store:
        for number in range(count):
            rank(store, f"k{number}")
        made = store.rankings()
    for backup in backups(path):
        backup.unlink()
    return made


def rank(store, key, **more):
    prompt = store.add_prompts([f"Why {key}?"], "own")[0]
    return store.rank(key, store.add_comparison(prompt, TWO), [[0], [1]], rater="ana", **more)


def backups(path):
    return sorted(path.parent.glob("backups/*"))


def spoil(path, table, change):
    """Changes rows behind the store's back, as a failing disk or an older lab might."""
    with closing(sqlite3.connect(path)) as link:
        [trigger] = link.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (f"{table}_no_update",)).fetchone()
        link.execute(f"DROP TRIGGER {table}_no_update")
        link.execute(f"UPDATE {table} SET {change}")
        link.execute(trigger)
        link.commit()


def test_one_bad_row_costs_that_row_alone(path):
    good = filled(path)
    spoil(path, "ranking", "note = 'other' WHERE seq = 7")
    with Store(path) as store:
        assert store.rankings() == [each for each in good if each.seq != 7]
        told = store.recovered
        assert told.rankings == 39 and told.lost == 1 and told.damaged.exists() and told.backup is None
        assert "39 rankings" in str(told) and "1 damaged row" in str(told) and told.damaged.name in str(told)
        assert rank(store, "new") == (41, False)
    with Store(path) as store:
        assert store.recovered is None and len(store.rankings()) == 40
    assert not list(path.parent.glob(".*.part"))


def test_a_bad_row_comes_back_from_the_backup_and_newer_rows_stay(path):
    filled(path)
    with Store(path) as store:
        old = store.backup()
        kept = old.read_bytes()
        rank(store, "later")
        whole = store.rankings()
    for backup in backups(path):
        backup.unlink()
    old.write_bytes(kept)
    spoil(path, "ranking", "note = 'other' WHERE seq = 7")
    with Store(path) as store:
        assert store.rankings() == whole
        assert (store.recovered.lost, store.recovered.rankings, store.recovered.backup) == (0, 41, old)


def test_a_backup_of_another_history_fills_no_gap(path, tmp_path):
    (tmp_path / "else").mkdir()
    filled(tmp_path / "else" / "lab.db", 5)
    good = filled(path)
    with Store(tmp_path / "else" / "lab.db") as other:
        other.backup(path.parent / "backups")
    spoil(path, "ranking", "note = 'other' WHERE seq = 2")
    with Store(path) as store:
        assert store.rankings() == [each for each in good if each.seq != 2]
        assert store.recovered.backup is None and store.recovered.lost == 1


def test_answers_without_their_prompt_are_set_aside_with_their_ranking(path):
    good = filled(path, 3)
    spoil(path, "prompt", "text = 'other' WHERE seq = 2")
    with Store(path) as store:
        assert store.rankings() == [good[0], good[2]] and store.recovered.lost == 3


def test_rows_on_both_sides_of_a_page_that_cannot_be_read_are_kept(path):
    good = filled(path, 400)
    image = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as link:
        size = link.execute("PRAGMA page_size").fetchone()[0]
        pages = link.execute("SELECT pageno FROM dbstat WHERE name = 'ranking' AND pagetype = 'leaf' ORDER BY path")
        middle = [number for (number,) in pages][5]
    image[(middle - 1) * size : middle * size] = b"\xff" * size
    path.write_bytes(image)
    with Store(path) as store:
        kept = store.rankings()
        assert 300 < len(kept) < 400 and kept[0] == good[0] and kept[-1] == good[-1]


def test_a_bad_row_cannot_displace_the_good_backups(path):
    filled(path)
    with Store(path) as store:
        kept = backups(path)
        spoil(path, "ranking", "note = 'other' WHERE seq = 7")
        for _ in range(6):
            with pytest.raises(Damaged, match="was not kept and the older ones stay"):
                store.backup()
        rank(store, "later")
        store.close()
        assert backups(path) == kept and "Row 7 of table ranking" in store.backup_fault
    with Store(path) as store:
        assert store.recovered.lost == 0 and len(store.rankings()) == 41


def test_what_sqlite_would_give_back_otherwise_is_refused_and_zero_has_no_sign(path):
    with Store(path) as store:
        for at in (1_700_000_000, -0.0):
            with pytest.raises(BadInput, match="NOT saved"):
                store._save(lambda link, at=at: insert(link, "request", f"r{at}", "chat", "{}", at))
        for seconds in (0, -0.0, 3, 2.5, read_seconds(-0.0)):
            rank(store, f"k{seconds!r}{math.copysign(1, seconds)}", seconds=seconds, guess=[0, -0.0])
        saved = store.rankings()
    with Store(path) as store:
        assert store.recovered is None and store.rankings() == saved


@pytest.mark.parametrize(
    ("sent", "read"), [(-0.0, 0.0), (2, 2.0), (-5, 0.0), (10**400, 0.0), (1e9, 86_400.0), ("3", 0.0), (True, 0.0)]
)
def test_the_time_that_a_page_sends_is_between_nothing_and_a_day(sent, read):
    assert read_seconds(sent) == read and math.copysign(1, read_seconds(sent)) == 1


@pytest.mark.parametrize("whole", ["at", "withdrawn_at", "comparison"])
def test_an_export_that_another_tool_wrote_without_decimals_harms_nothing(path, tmp_path, whole):
    filled(path, 1)
    with Store(path) as store:
        exported(store, tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    held = row["comparison"] if whole == "comparison" else row
    held["at" if whole == "comparison" else whole] = int(row["at"])
    (tmp_path / "out.jsonl").write_text(json.dumps(row))
    (tmp_path / "other").mkdir()
    with Store(tmp_path / "other" / "lab.db") as store:
        assert import_file(store, tmp_path / "out.jsonl").accepted == 1
        brought = store.rankings(withdrawn=True)
    with Store(tmp_path / "other" / "lab.db") as store:
        assert store.recovered is None and store.rankings(withdrawn=True) == brought and len(brought) == 1
