"""Files and folders that are whole or absent: a writer that fails or is killed leaves the old one or the new one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from forked import fork

from lab.folders import LEFT_SECONDS, finish, mend, unfinished, whole
from lab.store import Store


def put(folder: Path, words: str) -> None:
    with whole(folder) as beside:
        (beside / "a").write_text(words)
        (beside / "b").write_text(words)


def what(folder: Path) -> str:
    a, b = ((folder / name).read_text() for name in "ab")
    assert a == b
    return a


def test_a_new_folder_takes_the_place_of_the_old_one_and_nothing_else_stays(tmp_path):
    put(tmp_path / "x" / "it", "old")
    put(tmp_path / "x" / "it", "new")
    assert what(tmp_path / "x" / "it") == "new"
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["it"]


def test_when_filling_fails_the_old_folder_stays(tmp_path):
    put(tmp_path / "it", "old")
    with pytest.raises(OSError, match="full"), whole(tmp_path / "it") as beside:
        (beside / "a").write_text("new")
        raise OSError("full")
    assert what(tmp_path / "it") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_when_the_last_rename_fails_the_old_folder_comes_back(tmp_path, monkeypatch):
    put(tmp_path / "it", "old")
    real = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".tmp-"):
            raise OSError("refused")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="refused"):
        put(tmp_path / "it", "new")
    assert what(tmp_path / "it") == "old"


def test_a_file_takes_the_place_of_the_old_one_when_it_is_finished_and_goes_when_it_is_not(tmp_path):
    path = tmp_path / "it"
    for words, found in (("old", "old"), ("half", "old"), ("new", "new")):
        with unfinished(tmp_path) as part:
            part.write_text(words)
            if words == found:
                finish(part, path)
        assert path.read_text() == found
        assert [each.name for each in tmp_path.iterdir()] == ["it"]


def killed(folder: Path, words: str) -> list[Path]:
    """The files that a writer leaves who is killed between the two halves of an unfinished one."""

    def write() -> None:
        with unfinished(folder) as part:
            part.write_text(words)
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(fork(write), 0)
    return [*folder.glob(".*.part")]


def test_what_a_killed_writer_left_unfinished_goes_once_nobody_can_still_be_writing_it(tmp_path):
    [left] = killed(tmp_path, "half")
    (tmp_path / ".mine.part").write_text("a person's")
    os.utime(tmp_path / ".mine.part", (0, 0))
    mend(tmp_path)
    assert left.exists(), "another process may be writing it at this moment"
    long_ago = time.time() - LEFT_SECONDS - 1
    os.utime(left, (long_ago, long_ago))
    mend(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.part"]


def test_a_store_that_is_opened_to_write_clears_what_killed_writers_left_of_it_and_of_its_backups(tmp_path):
    (tmp_path / "backups").mkdir()
    left = [part for folder in (tmp_path, tmp_path / "backups") for part in killed(folder, "a whole database")]
    left.append(left[1].with_name(f"{left[1].name}-journal"))
    left[2].write_text("rows")
    for part in left:
        os.utime(part, (0, 0))
    young = {*killed(tmp_path, "of just now")} - {*left}
    Store(tmp_path / "lab.db").close()
    assert not [part for part in left if part.exists()] and {*tmp_path.glob(".*")} == young


@pytest.mark.parametrize("at", range(12))
def test_a_kill_before_any_step_of_the_writing_leaves_a_whole_folder(tmp_path, monkeypatch, at):
    put(tmp_path / "it", "old")

    def write() -> None:
        _die_at(at, monkeypatch)
        put(tmp_path / "it", "new")

    _, status = os.waitpid(fork(write), 0)
    assert os.WIFSIGNALED(status) if at < STEPS else status == 0
    mend(tmp_path)
    assert what(tmp_path / "it") in ("old", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


STEPS = 11  # mkdir, 2 writes, 3 syncs, 2 renames, a sync, 2 removals of the old folder's files


def _die_at(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process kills itself before its `at`-th step on the disk."""
    left = [at]

    def dying(real):
        def step(*args, **more):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return real(*args, **more)

        return step

    for owner, name in ((Path, "mkdir"), (Path, "write_text"), (Path, "rename"), (os, "fsync"), (os, "unlink")):
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
