"""The store under kill, damage and a full disk: what was answered stays, and what was lost is said."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from lab.errors import Damaged, NewerWorkspace, NotFound
from lab.store import Candidate, Store
from lab.store.backups import EVERY_ROWS, Keeper
from lab.store.schema import NAMES, VERSION, connect

ROOT = Path(__file__).parent.parent
FOUR = [Candidate(f"Answer {n}.", "sft", ids=(n, 4000 + n), score=n / 3) for n in range(4)]

# Four raters who rank as fast as they can and say each key once it was answered.
RATERS = """
import os, sys, threading
from lab.store import Store
store, shown, batch = Store(sys.argv[1]), sys.argv[2], sys.argv[3]
def rate(thread):
    n = 0
    while True:
        key = f"{batch}-{thread}-{n}"
        store.rank(key, shown, [[0], [1], [2], [3]], rater=key)
        os.write(1, (key + "\\n").encode())
        n += 1
for thread in range(4):
    threading.Thread(target=rate, args=(thread,)).start()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.db"


def child(code, *values, **more):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, values)], cwd=ROOT, stdout=subprocess.PIPE, text=True, **more
    )


def show(store, prompt="Why?"):
    return store.add_comparison(store.add_prompts([prompt], "own")[0], FOUR)


def filled(path, count=40):
    """A database with this many rankings, and those rankings."""
    with Store(path) as store:
        shown = show(store)
        for n in range(count):
            order = [[n % 4], [each for each in range(4) if each != n % 4]]
            store.rank(f"k{n}", shown, order, rater=f"rater {n}", note=f"{n}, and so on. " * 40)
        store.exclude(1)
        store.withdraw("w", 2)
        store.ask("chat", {"text": "hello"})
        return store.rankings(withdrawn=True)


def kill_again_and_again(path, kills):
    with Store(path) as store:
        shown = show(store)
    random, answered = Random(11), []
    for batch in range(kills):
        process = child(RATERS, path, shown, batch)
        first = process.stdout.readline()
        time.sleep(random.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        answered += [line for line in (first + process.stdout.read()).split("\n") if line]
        process.wait()
        process.stdout.close()
        with Store(path) as store:
            assert store.recovered is None
            keys = [each.key for each in store.rankings()]
        assert len(set(keys)) == len(keys)
        assert set(answered) <= set(keys)
    assert len(answered) > kills


def test_ten_kills_of_a_writing_process_lose_no_answered_ranking(path):
    kill_again_and_again(path, 10)


@pytest.mark.slow
def test_sixty_kills_of_a_writing_process_lose_no_answered_ranking(path):
    kill_again_and_again(path, 60)


def test_a_reader_can_look_right_after_the_writer_was_killed(path):
    """Half a commit may lie beside the file; a reader undoes it as the next writer would."""
    with Store(path) as store:
        shown = show(store)
    for batch in range(3):
        process = child(RATERS, path, shown, batch)
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        with Store(path, read_only=True) as reader:
            assert {line for line in rest.split("\n") if line} <= {each.key for each in reader.rankings()}


@pytest.fixture
def store(path):
    with Store(path) as store:
        yield store


def test_no_row_can_be_changed_or_deleted_even_by_sql(store):
    seq, _ = store.rank("a", show(store), [], rater="ana")
    store.exclude(seq)
    store.ask("chat", {})
    with closing(sqlite3.connect(store.path)) as link:
        for name in NAMES:
            for statement in (f"DELETE FROM {name}", f"UPDATE {name} SET at = 0"):
                with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                    link.execute(statement)


def test_every_connection_waits_for_the_disk(store):
    with closing(connect(store.path, write=True)) as link:
        assert link.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert link.execute("PRAGMA synchronous").fetchone()[0] == 3
    with closing(connect(store.path, write=False)) as link, pytest.raises(sqlite3.OperationalError):
        link.execute("INSERT INTO request VALUES (1, 'a', 'b', 'c', 0, 0)")


def test_a_file_of_a_later_lab_is_refused_and_left_as_it_is(store):
    store.close()
    with closing(sqlite3.connect(store.path)) as link:
        link.execute(f"PRAGMA user_version = {VERSION + 1}")
        link.execute("ALTER TABLE ranking ADD COLUMN mood TEXT")
    before = store.path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(NewerWorkspace, match=f"version {VERSION + 1}"):
            Store(store.path, read_only=read_only)
    assert store.path.read_bytes() == before
    assert not list(store.path.parent.glob("*damaged*"))


def test_a_flipped_byte_is_found_wherever_it_matters(path):
    """Sixty bytes are changed in turn: the store reads the very same rankings, or says that it took the backup."""
    good = filled(path)
    image, backup, random = path.read_bytes(), newest_backup(path).read_bytes(), Random(3)
    found = 0
    for place in [*range(0, 100, 5), *(random.randrange(len(image)) for _ in range(40))]:
        begin_again(path, image, backup)
        flipped = bytearray(image)
        flipped[place] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        try:
            with Store(path) as store:
                assert store.rankings(withdrawn=True) == good
                found += check_told(store, bytes(flipped))
        except NewerWorkspace:
            assert 60 <= place < 64 and path.read_bytes() == flipped
    assert found > 25


def test_a_cut_or_random_file_is_put_aside_and_the_backup_opened(path):
    good = filled(path)
    image, backup, random = path.read_bytes(), newest_backup(path).read_bytes(), Random(4)
    cuts = [image[: random.randrange(1, len(image))] for _ in range(8)] + [image[: len(image) // 2 // 4096 * 4096]]
    noise = [random.randbytes(n) for n in (1, 100, 4096, len(image))]
    swapped = image[:8192] + image[12288:16384] + image[8192:12288] + image[16384:]
    for content in [*cuts, *noise, swapped, b"\0" * len(image), b"text\n" * 1000]:
        begin_again(path, image, backup)
        path.write_bytes(content)
        with Store(path) as store:
            assert store.rankings(withdrawn=True) == good
            assert check_told(store, content)
            seq, _ = store.rank("new", show(store), [], rater="ana")
            assert seq == len(good) + 1


def begin_again(path, image, backup):
    for each in [*path.parent.glob("lab.db*"), *path.parent.glob("backups/*")]:
        each.unlink()
    path.write_bytes(image)
    (path.parent / "backups" / "lab-1-40.db").write_bytes(backup)


def newest_backup(path):
    return max(path.parent.glob("backups/*.db"), key=lambda each: each.stat().st_mtime_ns)


def check_told(store, content):
    """True when the store says that it opened a backup; then the damaged file is kept byte for byte."""
    told = store.recovered
    if told is None:
        return False
    assert told.backup.name == "lab-1-40.db" and told.rankings == 40
    assert told.damaged.name.startswith("lab.db.damaged-") and told.damaged.read_bytes() == content
    assert "40 rankings" in str(told) and told.damaged.name in str(told)
    return True


def test_an_old_journal_beside_a_damaged_file_is_not_played_into_the_backup(path):
    good = filled(path)
    path.write_bytes(b"garbage" * 1000)
    journal = Path(f"{path}-journal")
    journal.write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 5000)
    with Store(path) as store:
        assert store.rankings(withdrawn=True) == good
        assert not journal.exists()


def test_a_damaged_backup_is_passed_over_for_an_older_good_one(path):
    filled(path, 5)
    old = newest_backup(path)
    with Store(path) as store:
        store.rank("later", show(store), [], rater="ana")
    newest_backup(path).write_bytes(b"garbage" * 1000)
    path.write_bytes(b"garbage" * 1000)
    with Store(path) as store:
        assert store.recovered.backup == old and len(store.rankings(withdrawn=True)) == 5


def test_without_any_good_backup_an_empty_database_is_begun_and_said(path):
    path.write_bytes(b"garbage" * 1000)
    with Store(path) as store:
        assert store.rankings() == [] and store.recovered.backup is None
        assert "no good backup" in str(store.recovered)
        store.rank("k", show(store), [], rater="ana")
    with Store(path) as store:
        assert store.recovered is None and len(store.rankings()) == 1


def test_a_missing_or_empty_file_beside_backups_is_brought_back(path):
    good = filled(path)
    for spoil in (path.unlink, lambda: path.write_bytes(b"")):
        spoil()
        with Store(path) as store:
            assert store.rankings(withdrawn=True) == good
            assert "missing or empty" in str(store.recovered) and store.recovered.damaged is None


def test_a_file_that_is_moved_away_in_use_takes_no_more_rankings(path):
    with Store(path) as store:
        shown = show(store)
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(NotFound, match="NOT saved"):
            store.rank("k", shown, [], rater="ana")


def test_damage_while_in_use_is_an_error_of_the_lab_and_the_next_start_mends_it(path):
    good = filled(path)
    with Store(path, read_only=True) as store:
        path.write_bytes(path.read_bytes()[:4096] + b"x" * 20_000)
        with pytest.raises(Damaged, match="Start the lab again"):
            store.rankings()
    with Store(path) as store:
        assert store.rankings(withdrawn=True) == good


def test_backups_are_whole_and_five_are_kept(path, tmp_path):
    with Store(path) as store:
        shown = show(store)
        for n in range(8):
            store.rank(f"k{n}", shown, [], rater=f"rater {n}")
            made = store.backup(tmp_path / "kept")
            with Store(made, read_only=True) as copy:
                assert copy.rankings() == store.rankings()
        kept = sorted((tmp_path / "kept").iterdir())
        assert len(kept) == 5 and made in kept and not list((tmp_path / "kept").glob(".*"))


def test_a_backup_is_made_by_itself_once_enough_was_written(path):
    with Store(path) as store:
        store.add_prompts([f"Why {n}?" for n in range(500)], "own")
        wait_until(lambda: list(path.parent.glob("backups/*.db")))
        store.add_prompts([f"How {n}?" for n in range(500)], "own")
    with Store(newest_backup(path), read_only=True) as copy:
        assert len(copy.prompts()) == 1000


def test_a_backup_that_fails_is_said_costs_no_ranking_and_is_tried_again(path):
    folder = path.with_name("backups")
    with Store(path) as store:
        folder.write_text("a file where the folder should be")
        store.add_prompts([f"Why {n}?" for n in range(500)], "own")
        wait_until(lambda: store.backup_fault)
        store.rank("k", show(store), [], rater="ana")
        folder.unlink()
        store.close()
        assert store.backup_fault == "" and len(store.rankings()) == 1 and list(folder.glob("*.db"))


def test_backups_rest_between_each_other(path, tmp_path):
    filled(path, 3)
    keeper = Keeper(path, tmp_path / "kept", rest=0.5)
    for rows, count in ((EVERY_ROWS - 1, 0), (EVERY_ROWS, 1), (2 * EVERY_ROWS, 1)):
        keeper.after(rows)
        wait_until(lambda count=count: len(list((tmp_path / "kept").glob("*.db"))) == count)
    time.sleep(2.0)
    keeper.after(2 * EVERY_ROWS)
    wait_until(lambda: len(list((tmp_path / "kept").glob("*.db"))) == 2)


def wait_until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_full_disk_refuses_the_ranking_keeps_the_others_and_takes_it_again_later(path):
    code = """
import resource, sys
from lab.errors import DiskFull
from lab.store import Candidate, Store
store = Store(sys.argv[1])
prompt = store.add_prompts(["Why?"], "own")[0]
shown = store.add_comparison(prompt, [Candidate("a", "sft"), Candidate("b", "sft")])
endless = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size + 60_000, endless))
number, refused = 0, 0
while refused < 3:
    key = f"k{number}"
    try:
        store.rank(key, shown, [[0], [1]], rater=key, note="x" * 900)
        print(key, flush=True)
        number += 1
    except DiskFull as problem:
        refused += 1
        print("refused", key, "NOT saved" in str(problem), flush=True)
        assert len(store.rankings()) == number
resource.setrlimit(resource.RLIMIT_FSIZE, (endless, endless))
print(store.rank(key, shown, [[0], [1]], rater=key, note="x" * 900)[1], key, flush=True)
"""
    process = child(code, path)
    lines = process.communicate()[0].split("\n")
    assert process.returncode == 0
    saved = [line for line in lines if line.startswith("k")]
    assert [line.split()[2] for line in lines if line.startswith("refused")] == ["True"] * 3
    assert lines[-2] == f"False k{len(saved)}" and len(saved) > 5
    with Store(path) as store:
        assert store.recovered is None
        assert [each.key for each in store.rankings()] == [*saved, f"k{len(saved)}"]


@pytest.mark.parametrize("folder", ["plain", "with space & 100%", "what? #1", "\u00fcml\u00e4ut"])
def test_a_folder_of_any_name_will_do(tmp_path, folder):
    (tmp_path / folder).mkdir()
    assert len(filled(tmp_path / folder / "lab.db", 3)) == 3
    assert (tmp_path / folder / "lab.db").exists()


def test_only_the_owner_may_read_the_file(path):
    filled(path, 3)
    assert path.stat().st_mode & 0o077 == 0 or os.name == "nt"


@pytest.mark.parametrize("spoilt", [None, b"", b"garbage" * 1000])
def test_only_the_owner_may_read_backups_and_what_was_recovered_from_them(path, spoilt):
    filled(path, 3)
    if spoilt is not None:
        path.write_bytes(spoilt) if spoilt else path.unlink()
    with Store(path) as store:
        assert bool(store.recovered) == (spoilt is not None)
        store.rank("new", show(store), [], rater="ana")
    found = [path, *path.parent.glob("backups/*.db")]
    assert len(found) > 2
    assert not [each for each in found if each.stat().st_mode & 0o077] or os.name == "nt"
