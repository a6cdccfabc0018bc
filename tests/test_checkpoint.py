"""Which checkpoints stay: the newest, a bounded number to go back to, and every one while somebody asks for one."""

from __future__ import annotations

import pytest
from folders import make

from lab import checkpoint, sft
from lab.config import Sft
from lab.errors import NotFound
from lab.events import Step
from lab.loading import load
from lab.runner import drive
from lab.studio import Studio
from lab.workspace import Workspace, step_folder, steps_in


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    return load(str(make(tmp_path_factory.mktemp("checkpoint"), "llama")), device="cpu")


def test_a_run_keeps_the_two_newest_and_at_most_ten_milestones_evenly_spread_from_its_first_step_on(roles, tmp_path):
    state, saved = sft.begin(roles, Sft()), [0]
    for state.step in range(1, 340):
        if state.step % 7 and not checkpoint.is_milestone(state.step, state.step):
            continue
        checkpoint.save(tmp_path, state)
        saved.append(state.step)
        *older, before, newest = [0, *steps_in(tmp_path)]
        assert [before, newest] == saved[-2:]
        apart = older[1] if len(older) > 1 else 1
        assert older == list(range(0, before, apart)) and len(older) - 1 <= checkpoint.MILESTONES
        assert apart == 1 or newest > apart / 2 * checkpoint.MILESTONES, "no sparser than they must be"
    assert older[1:] == [64, 128, 192, 256, 320]


def test_a_short_run_can_go_back_to_before_any_of_its_steps(roles, tmp_path):
    studio = Studio(Workspace(tmp_path / "w"), roles)
    job = studio.start("sft", {"steps": 12, "batch": 2}, {"pairs": [["Hi", "Hello."], ["Why?", "So."]]})
    list(drive(job))
    assert job.run.checkpoints() == [2, 4, 6, 8, 10, 12]


def test_a_checkpoint_that_somebody_goes_back_to_outlives_the_stop(roles, tmp_path):
    studio = Studio(Workspace(tmp_path / "w"), roles)
    job = studio.start("sft", {"steps": 9, "batch": 2}, {"pairs": [["Hi", "Hello."], ["Why?", "So."]]})
    for event in drive(job):
        if isinstance(event, Step) and event.step in (1, 2):
            checkpoint.save(job.run.folder / "checkpoint", job.state)
        if isinstance(event, Step) and event.step == 3:
            job.run.set_control(order="stop")  # as "Roll back to step 1" does first
    assert job.run.checkpoints() == [1, 2, 3]
    steps = [event.step for event in drive(studio.resume(job.run.name, step=1)) if isinstance(event, Step)]
    assert steps == list(range(2, 10))


def test_one_that_went_is_refused_with_those_that_are_left(roles, tmp_path):
    studio = Studio(Workspace(tmp_path / "w"), roles)
    job = studio.start("sft", {"steps": 12, "batch": 2}, {"pairs": [["Hi", "Hello."], ["Why?", "So."]]})
    list(drive(job))
    for ask in (lambda: studio.resume(job.run.name, step=1), lambda: studio.policies.role(f"{job.run.name}@1")):
        with pytest.raises(NotFound, match="no checkpoint of step 1. Checkpoints: 2, 4, 6, 8, 10, 12."):
            ask()


def test_a_run_that_passed_over_damaged_checkpoints_keeps_the_new_ones_and_not_those(roles, tmp_path):
    state = sft.begin(roles, Sft())
    for state.step in (11, 12, 13):
        checkpoint.save(tmp_path, state, prune=False)
    for step in (12, 13):
        (step_folder(tmp_path, step) / checkpoint.WEIGHTS).write_bytes(b"damaged")
    assert len(checkpoint.restore(tmp_path, state)) == 2 and state.step == 11
    assert steps_in(tmp_path) == [11, 12, 13], "nothing goes before there is something newer that is whole"
    state.step = 12
    checkpoint.save(tmp_path, state)
    assert steps_in(tmp_path) == [11, 12] and checkpoint.restore(tmp_path, state) == [] and state.step == 12


def test_a_second_crash_after_damaged_checkpoints_loses_nothing_that_was_saved_since(roles, tmp_path):
    studio = Studio(Workspace(tmp_path / "w"), roles)
    job = studio.start("sft", {"steps": 9, "batch": 2}, {"pairs": [["Hi", "Hello."], ["Why?", "So."]]})
    root = job.run.folder / "checkpoint"

    def crashed(job, last):
        """A run that saves at each of its steps, and whose process ends after the next of these."""
        running = drive(job)
        for event in running:
            if isinstance(event, Step) and event.step == last + 1:
                running.close()

    crashed(job, 6)
    for step in (3, 4, 5, 6):
        (step_folder(root, step) / checkpoint.WEIGHTS).write_bytes(b"damaged")
    crashed(studio.resume(job.run.name), 4)
    assert job.run.checkpoints() == [1, 2, 3, 4]
    events = list(drive(studio.resume(job.run.name)))
    assert [event.step for event in events if isinstance(event, Step)] == [5, 6, 7, 8, 9]
    assert not [event for event in events if getattr(event, "code", "") == "W_CHECKPOINT"]
