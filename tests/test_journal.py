"""Event files: whole lines or none, whoever dies while writing, and readers that never see half a line."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.errors import DiskFull, NotFinite
from lab.events import Finished, Started, Step, Warned
from lab.journal import Journal, append_json, objects, read_json, replace_json, tail

STEPS = [Step(number, {"reward/score": number / 3, "kl/reference": None}) for number in range(5)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.jsonl"


def written(path, events=STEPS):
    with Journal(path) as journal:
        for place, event in enumerate(events):
            journal.write(event, at=float(place))
    return path


def child(code, *values, **more):
    """A process of its own that runs this code with the values as `sys.argv[1:]`."""
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, values)], cwd=root, stdout=subprocess.PIPE, text=True, **more
    )


def test_what_is_written_is_read_back_with_its_times(path):
    found = tail(written(path))
    assert found.events == [(event, float(place)) for place, event in enumerate(STEPS)]
    assert found.bad == 0 and found.offset == path.stat().st_size


def test_a_file_that_is_not_there_is_empty(path):
    found = tail(path, 7)
    assert (found.events, found.offset, found.bad) == ([], 7, 0)
    assert read_json(path) is None and read_json(path / "below") is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_reading_in_pieces_gives_every_event_once(path, limit):
    written(path)
    offset, found = 0, []
    while (piece := tail(path, offset, limit)).events:
        assert len(piece.events) <= limit
        found += [event for event, _ in piece.events]
        offset = piece.offset
    assert found == STEPS


def test_a_torn_last_line_waits_for_its_rest(path):
    whole = written(path).read_bytes()
    for cut in range(1, 40):
        path.write_bytes(whole[:-cut])
        found = tail(path)
        assert [event for event, _ in found.events] == STEPS[:4] and found.bad == 0
        path.write_bytes(whole)
        assert [event for event, _ in tail(path, found.offset).events] == STEPS[4:]


def test_opening_cuts_off_a_torn_line_and_nothing_else(path):
    whole = written(path).read_bytes()
    for torn in (b"", b"x", b'{"event":"Step","at":1', b"y" * 200_000):
        path.write_bytes(whole + torn)
        with Journal(path) as journal:
            journal.write(Finished(5, "done", {}), at=9.0)
        found = tail(path)
        assert [event for event, _ in found.events] == [*STEPS, Finished(5, "done", {})] and found.bad == 0


def test_a_file_that_is_one_torn_line_becomes_empty(path):
    path.write_bytes(b"half a line" * 20_000)
    Journal(path).close()
    assert path.read_bytes() == b""


def test_garbage_lines_are_counted_and_cost_no_other_line(path):
    garbage = [
        b"",
        b"null",
        b"[1]",
        b'{"event":"Nothing","at":1}',
        b"\xff\xfe\x00",
        b'{"event":"Step","at":NaN}',
        b"[" * 90_000,
    ]
    good = written(path).read_bytes().splitlines()
    path.write_bytes(
        b"\n".join(part for pair in zip(garbage, good + [b"7", b"8"], strict=True) for part in pair) + b"\n"
    )
    found = tail(path)
    assert [event for event, _ in found.events] == STEPS
    assert found.bad == len(garbage) + 2


def test_a_number_that_is_not_finite_is_refused_and_nothing_is_written(path):
    written(path)
    before = path.read_bytes()
    with Journal(path) as journal, pytest.raises(NotFinite, match="loss"):
        journal.write(Step(5, {"loss": math.nan}))
    with pytest.raises(ValueError):
        append_json(path, {"a": math.inf})
    assert path.read_bytes() == before


def test_text_of_any_kind_stays_on_one_line(path):
    words = "line\nbreak\u2028and \u0000 and \U0001f427"
    written(path, [Warned(1, "W", words, ""), Warned(2, "W", "half \ud800 a pair", "")])
    found = tail(path)
    assert found.bad == 0 and found.events[0][0].message == words and len(found.events) == 2


def test_a_reader_sees_a_line_only_once_it_is_whole(path):
    """The reader polls while a writer puts every line down in three parts."""
    line = b'{"event":"Step","at":1.0,"step":1,"metrics":{"a":1.0}}\n'
    stop = threading.Event()

    def write():
        with open(path, "ab", buffering=0) as file:
            while not stop.is_set():
                for part in (line[:7], line[7:50], line[50:]):
                    file.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    offset = count = 0
    while count < 2000:
        found = tail(path, offset)
        assert found.bad == 0
        offset, count = found.offset, count + len(found.events)
    stop.set()
    writer.join()


def test_a_writer_killed_at_any_moment_leaves_a_file_that_the_next_one_goes_on_with(path):
    code = """
import sys
from lab.events import Step
from lab.journal import Journal
journal = Journal(sys.argv[1])
number = 0
while True:
    journal.write(Step(number, {"text/length": float(number)}))
    number += 1
    print(number, flush=True)
"""
    for _ in range(3):
        process = child(code, path)
        for _ in range(50):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = [50, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
        process.wait()
        process.stdout.close()
        found = tail(path)
        assert found.bad == 0 and len(found.events) >= said[-1]
        assert [event.step for event, _ in found.events] == list(range(len(found.events)))
        path.unlink()


def test_a_full_disk_is_said_and_leaves_only_whole_lines(path):
    code = """
import resource, sys
from lab.errors import DiskFull
from lab.events import Step
from lab.journal import Journal, append_json, replace_json
path, limit = sys.argv[1], 3000
journal = Journal(path)
replace_json(path + ".json", {"old": True})
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
number = 0
try:
    while True:
        journal.write(Step(number, {}), at=0.0)
        number += 1
except DiskFull as problem:
    print(number, problem.code)
for call in (lambda: replace_json(path + ".json", {"new": "x" * 9000}), lambda: append_json(path, {"x": "x" * 4000})):
    try:
        call()
    except DiskFull as problem:
        print(0, problem.code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.write(Step(number, {}), at=0.0)
"""
    process = child(code, path)
    lines = process.communicate()[0].split("\n")
    written = int(lines[0].split()[0])
    assert [line.split()[1] for line in lines[:3]] == [DiskFull.code] * 3
    found = tail(path)
    assert [event.step for event, _ in found.events] == list(range(written + 1)) and found.bad == 0
    assert read_json(Path(f"{path}.json")) == {"old": True}
    assert not list(path.parent.glob(".*.part"))


def test_json_lines_are_appended_behind_whole_lines_only(path):
    append_json(path, {"id": "a"})
    with path.open("ab") as file:
        file.write(b'{"id": "half')
    append_json(path, {"id": "b", "text": "\u00fc"})
    path.write_bytes(path.read_bytes() + b'no json\n[1]\n{"id": "hal')
    with path.open("rb") as file:
        assert list(objects(file)) == [{"id": "a"}, {"id": "b", "text": "\u00fc"}]
        append_json(path, {"id": "c"})
        assert list(objects(file)) == [{"id": "c"}] and file.tell() == path.stat().st_size


def test_a_replaced_file_is_always_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "control.json"
    replace_json(path, {"number": 0, "filler": "0" * 5000})
    stop = threading.Event()

    def replace():
        number = 0
        while not stop.is_set():
            number += 1
            replace_json(path, {"number": number, "filler": str(number % 10) * 5000})

    writer = threading.Thread(target=replace)
    writer.start()
    seen = 0
    for _ in range(300):
        record = read_json(path)
        assert set(record["filler"]) == {str(record["number"] % 10)} and record["number"] >= seen
        seen = record["number"]
    stop.set()
    writer.join()
    assert os.listdir(tmp_path) == ["control.json"]


def test_a_torn_or_foreign_json_file_reads_as_none(tmp_path):
    path = tmp_path / "x.json"
    for content in (b"", b'{"a": 1', b"[1]", b"\xff", b'{"a": NaN}', json.dumps({"a": 1}).encode()):
        path.write_bytes(content)
        assert read_json(path) == ({"a": 1} if content == b'{"a": 1}' else None)
    with pytest.raises(ValueError):
        replace_json(path, {"a": math.nan})
    assert read_json(path) == {"a": 1}


def test_started_and_finished_survive_the_round_trip(path):
    events = [Started("ppo", 3, {"beta": 0.1}), Finished(3, "stopped", {"win_rate": 0.5})]
    assert [event for event, _ in tail(written(path, events)).events] == events
