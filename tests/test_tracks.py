"""What the curves are drawn from: read as it grows, thinned when it is long, cut where a run was rolled back."""

from __future__ import annotations

import math

import pytest

from lab.events import Changed, Finished, Started, Step, Warned
from lab.journal import append_json
from lab.ui import points as asking
from lab.ui.points import MOST_POINTS, points
from lab.ui.tracks import Track
from lab.workspace import Workspace

KEY = "reward/score"


class Writer:
    """A run whose events a test writes, line by line, as a worker does."""

    def __init__(self, root):
        self.run = Workspace(root).new_run("ppo", {})
        self.path = self.run.folder / "events.jsonl"
        self.path.touch()

    def write(self, *events):
        from lab.events import to_json

        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(to_json(event, 1000.0 + i) + "\n" for i, event in enumerate(events))

    def steps(self, first, last, value=float):
        self.write(*(Step(i, {KEY: value(i)}) for i in range(first, last + 1)))


@pytest.fixture
def writer(tmp_path):
    made = Writer(tmp_path)
    made.write(Started("ppo", 100, {}))
    return made


def fresh(writer):
    return Track(writer.run).refresh()


def again(track):
    track._looked = -math.inf
    return track.refresh()


def ask(track, have=(-1, 0, 0), window=None):
    return points(track, [KEY], have, window)


def test_a_page_that_holds_nothing_gets_every_point_and_later_only_the_new_ones(writer):
    writer.steps(1, 5)
    track = fresh(writer)
    first = ask(track)
    assert first["curves"][KEY]["x"] == [1, 2, 3, 4, 5] and first["from"] == 0
    writer.steps(6, 7)
    later = ask(again(track), (first["generation"], first["count"], first["marks_count"]))
    assert later["from"] == 5 and later["curves"][KEY]["x"] == [6, 7]


def test_a_line_that_is_not_finished_is_left_for_the_next_look(writer):
    writer.steps(1, 2)
    with open(writer.path, "a", encoding="utf-8") as file:
        file.write('{"event":"Step","at":1,"step":3,"metr')
    track = fresh(writer)
    assert list(track.steps) == [1, 2]
    with open(writer.path, "a", encoding="utf-8") as file:
        file.write('ics":{"reward/score":3.0}}\n')
    assert list(again(track).steps) == [1, 2, 3]


def test_a_step_that_does_not_measure_something_leaves_no_point(writer):
    writer.write(Step(1, {KEY: 1.0}), Step(2, {KEY: None}), Step(3, {KEY: 3.0}))
    assert ask(fresh(writer))["curves"][KEY]["x"] == [1, 3]


def test_a_metric_that_appears_late_begins_where_it_appears(writer):
    writer.write(Step(1, {}), Step(2, {KEY: 2.0}))
    curve = ask(fresh(writer))["curves"][KEY]
    assert curve["x"] == [2] and curve["y"] == [2.0] and curve["smooth"] == [2.0]


def test_ten_thousand_steps_come_thinned_and_keep_the_lowest_and_the_highest_value(writer):
    writer.steps(1, 10_000, lambda i: 50.0 if i == 7777 else -50.0 if i == 1234 else math.sin(i))
    found = ask(fresh(writer))
    curve = found["curves"][KEY]
    assert found["thinned"] and found["count"] == 10_000
    assert len(curve["x"]) <= MOST_POINTS and curve["x"] == sorted(curve["x"])
    assert max(curve["y"]) == 50.0 and min(curve["y"]) == -50.0


def test_inside_the_window_that_a_person_zoomed_into_every_point_comes(writer):
    writer.steps(1, 10_000)
    found = ask(fresh(writer), window=(4000.0, 4400.0))
    inside = [x for x in found["curves"][KEY]["x"] if 4000 <= x <= 4400]
    assert inside == list(range(4000, 4401))


def test_a_page_that_kept_up_with_a_long_run_gets_the_next_point_as_it_is(writer):
    writer.steps(1, 10_000)
    track = fresh(writer)
    found = ask(track, (0, 9_999, 0))
    assert not found["thinned"] and found["curves"][KEY]["x"] == [10_000]


def test_after_a_roll_back_the_steps_behind_it_are_gone_and_pages_start_anew(writer):
    writer.steps(1, 30)
    track = fresh(writer)
    held = ask(track)
    writer.write(Started("ppo", 100, {}, step=10))
    writer.steps(11, 12, lambda i: -float(i))
    found = ask(again(track), (held["generation"], held["count"], held["marks_count"]))
    assert found["generation"] != held["generation"] and found["from"] == 0
    assert found["curves"][KEY]["x"] == list(range(1, 13)) and found["curves"][KEY]["y"][-1] == -12.0
    assert [mark["kind"] for mark in found["marks"]] == ["rolled back"] and found["marks"][0]["step"] == 10


def test_a_knob_that_was_moved_where_a_run_goes_back_to_is_marked_once_and_one_that_is_moved_then_once_more(writer):
    writer.steps(1, 5)
    writer.write(Changed(5, "beta", 0.05, 0.1, "ana"))
    writer.steps(6, 6)
    track = fresh(writer)
    writer.write(Started("ppo", 100, {}, 5), Changed(5, "beta", 0.05, 0.1, "bo"))
    moved = [(mark["kind"], mark["step"], mark["by"]) for mark in again(track).marks]
    assert moved == [("changed", 5, "ana"), ("rolled back", 5, "")]
    writer.write(Started("ppo", 100, {}, 5), Changed(5, "beta", 0.05, 0.2, "bo"))
    assert [mark["by"] for mark in again(track).marks if mark["kind"] == "changed"] == ["ana", "bo"]


def test_moved_knobs_and_warnings_are_marks_with_who_and_what(writer):
    writer.steps(1, 2)
    writer.write(Changed(2, "target_kl", 0.0, 3.0, "ana"), Warned(2, "W_CLIP", "Too much.", "Less."))
    marks = ask(fresh(writer))["marks"]
    assert marks[0]["by"] == "ana" and marks[0]["words"] == "Target KL from 0 to 3"
    assert marks[1]["kind"] == "warned" and marks[1]["words"] == "Too much."


def test_the_smoothed_curve_of_a_constant_is_that_constant(writer):
    writer.steps(1, 20, lambda i: 3.0)
    assert ask(fresh(writer))["curves"][KEY]["smooth"] == [3.0] * 20


def test_a_run_that_is_over_and_begins_again_is_no_longer_over(writer):
    writer.steps(1, 2)
    writer.write(Finished(2, "stopped", {}))
    track = fresh(writer)
    assert track.end is not None
    writer.write(Started("ppo", 100, {}, step=2))
    assert again(track).end is None and list(track.steps) == [1, 2]


@pytest.mark.parametrize("odd", [None, 3, "x", [1], [1, 2, "3"], [True, 1, 1], {"a": 1}])
def test_odd_cursors_count_as_holding_nothing(odd):
    assert asking.asked_have({"have": {"0001-ppo": odd}}, "0001-ppo") == (-1, 0, 0)
    assert asking.asked_have({"have": odd}, "0001-ppo") == (-1, 0, 0)


def test_only_keys_of_the_glossary_and_a_few_runs_can_be_asked_for():
    assert asking.asked_keys({"keys": [KEY, "no/such", 3]}, []) == [KEY]
    assert len(asking.asked_runs({"runs": [f"{i:04d}-ppo" for i in range(50)]})) == asking.MOST_RUNS
    assert asking.asked_window({"window": [1, math.inf]}) is None and asking.asked_window({"window": [9, 2]}) == (2, 9)


def test_lines_of_other_json_do_no_harm(writer):
    writer.steps(1, 1)
    append_json(writer.path, {"some": "thing"})
    writer.steps(2, 2)
    assert list(fresh(writer).steps) == [1, 2]
