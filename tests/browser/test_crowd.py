"""The bench's browsers against the real app: what they are told is saved is on the disk, and nothing is refused."""

from __future__ import annotations

import pytest

from lab.bench.page import Browser, Clock, crowd, run_page
from lab.errors import BadNumber

from .conftest import free_port


@pytest.mark.slow  # load
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


def test_a_browser_of_the_bench_reads_a_compressed_page_and_counts_what_came_on_the_way(quiet):
    clock = Clock()
    page = Browser(int(quiet.url.rpartition(":")[2]), clock, 0).ask("page", "/")
    assert page.startswith(b"<!doctype html>") and 0 < clock.told()["page_bytes"] < len(page) / 3


def test_a_browser_that_reaches_nobody_gives_up_in_a_line_and_is_counted(capfd):
    assert crowd(free_port(), 2, 1)["refused"] == 2
    told = capfd.readouterr().err
    assert told.count("gave up") == 2 and "Traceback" not in told


@pytest.mark.parametrize("browsers", [0, -3, 501])
def test_a_crowd_that_is_none_or_too_large_is_refused(browsers):
    with pytest.raises(BadNumber, match="--page"):
        run_page(browsers, 1)
