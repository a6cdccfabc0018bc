"""What was answered: followed while it grows and while its file is begun anew, of which nothing is lost that counts."""

from __future__ import annotations

import resource
import threading

import pytest

from lab.errors import DiskFull
from lab.journal import append_json, objects
from lab.served import KEPT_BYTES, Served, begin_anew


@pytest.fixture
def path(tmp_path):
    return tmp_path / "served.jsonl"


def kept(path):
    """The requests that the file has lines of, each with its newest number."""
    with path.open("rb") as file:
        lines = [each for each in objects(file) if "id" in each]
    assert len({each["id"] for each in lines}) == len(lines)
    return {each["id"]: each.get("n") for each in lines}


def test_a_file_that_is_begun_anew_keeps_the_newest_line_of_each_order_and_of_the_newest_others(path):
    for name in ("order", "chat"):
        for n in range(3):
            append_json(path, {"id": name, "n": n})
    text, count = "x" * 10_000, 2 * KEPT_BYTES // 10_000
    with path.open("a") as file:
        file.writelines(f'{{"id":"{number}","n":{number},"text":"{text}"}}\n' for number in range(count))
        file.write('no json\n{"id":"torn","n":')
    begin_anew(path, {"order"})
    found = kept(path)
    assert found.pop("order") == 2 and KEPT_BYTES / 2 < path.stat().st_size < KEPT_BYTES + 1_000
    assert list(found.values()) == list(range(count))[-len(found) :], "the oldest go, in their order"


def test_who_follows_notices_that_the_file_was_begun_anew_and_misses_nothing(path):
    early, late = Served(path), Served(path)
    for n in range(50):
        append_json(path, {"id": "a", "n": n})
        append_json(path, {"id": f"other {n}"})
        early.refresh()
    append_json(path, {"id": "b", "n": 1})
    for n in range(3):
        begin_anew(path, ())
        append_json(path, {"id": "c", "n": n})
    for served in (early, late):
        served.refresh()
        assert [served.get(name)["n"] for name in "abc"] == [49, 1, 2] and served.get("other 49")
    append_json(path, {"id": "a", "n": 50})
    early.refresh()
    assert early.get("a")["n"] == 50


def test_answers_are_followed_by_many_threads_while_their_file_is_begun_anew(path):
    served, over, seen = Served(path), threading.Event(), []

    def follow():
        mine = []
        while not over.is_set():
            mine.append(newest())
        seen.append([*mine, newest()])

    def newest():
        served.refresh()
        return (served.get("a") or {"n": -1})["n"]

    threads = [threading.Thread(target=follow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(300):
        append_json(path, {"id": "a", "n": n})
        if n % 7 == 0:
            begin_anew(path, ())
    over.set()
    for thread in threads:
        thread.join()
    assert len(seen) == 4 and all(mine == sorted(mine) and mine[-1] == 299 for mine in seen)


def test_a_full_disk_leaves_the_file_as_it_was(path):
    for n in range(3):
        append_json(path, {"id": "a", "n": n})
    before, limit = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(DiskFull):
            begin_anew(path, ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
