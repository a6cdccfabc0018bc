"""The bench's browsers against the real app: what they are told is saved is on the disk, and nothing is refused."""

from __future__ import annotations

from lab.bench.page import Clock, crowd


def test_what_a_crowd_saves_is_on_the_disk_and_nothing_is_refused(app):
    port, before = int(app.url.rpartition(":")[2]), len(app.rankings())
    found = crowd(port, 3, 20)
    assert found["saved"] == len(app.rankings()) - before
    assert found["saved"] >= 3 and found["refused"] == 0
    assert 0 < found["submit_p50_ms"] <= found["submit_p95_ms"] <= found["submit_p99_ms"]


def test_percentiles_are_those_of_the_seconds_that_were_taken():
    clock = Clock(saved=4, ready=3)
    clock.taken["submit"] += [each / 100 for each in range(101)]
    found = clock.told()
    assert [found[f"submit_p{at}_ms"] for at in (50, 95, 99)] == [500, 950, 990]
    assert found["next_was_ready"] == 0.75
