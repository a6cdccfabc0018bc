"""How a run of each stage begins, goes on and ends: its folder, its material, its state and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from lab import calibrate, checkpoint, folders, material
from lab.adapters import made_at, save_adapter
from lab.config import STAGES as KNOBS
from lab.config import along, sized
from lab.errors import BadNumber, Busy, NotFinite
from lab.events import Event, Warned
from lab.models import Roles
from lab.policies import Policies, check_step
from lab.runner import Job, Live
from lab.stages import STAGES, Made, after, check_knobs, stage_named
from lab.state import State, found_in
from lab.steps import as_dict
from lab.workspace import Run, Workspace


class Studio:
    """Every run of a workspace on the one copy of the model begins here, and goes on from here."""

    def __init__(self, workspace: Workspace, roles: Roles):
        self.workspace, self.roles, self.policies = workspace, roles, Policies(workspace, roles)

    def start(self, stage: str, knobs: dict[str, Any], inputs: dict[str, Any], by: str = "", fit: bool = False) -> Job:
        """A new run of a stage: its folder, its material, its state. A run that is refused leaves no folder.

        What knobs leave out is as usual; a learning rate is then chosen for the size of the base, and a minibatch is no
        larger than a batch that is smaller than usual.

        fit: turn knobs until it fits the memory; so does a workspace that was told to on the Model page.
        """
        kind = stage_named(stage)
        check_knobs(stage, knobs)
        of_size = sized(KNOBS[stage], self.roles.model.num_parameters())
        chosen = of_size | along(KNOBS[stage], knobs) | knobs | kind.fixed
        config, told = calibrate.layered(self.roles, _config(KNOBS[stage], chosen))
        turns, fits = [], True
        begun = kind.begin(self.policies, config, dict(inputs))
        if kind.forecast and (fit or (self.workspace.base() or {}).get("fit")):
            lengths = material.lengths(self.roles.text, begun.material)
            config, turns, fits = calibrate.make_fit(self.roles, kind.forecast, config, lengths)
        files = {material.FILE: begun.material}
        run = self.workspace.new_run(stage, as_dict(config), files=files, base=self.base(), inputs=begun.inputs, by=by)
        job = self._job(run, config, begun.inputs, begun.material, fresh=True)
        return replace(job, events=after([*told, *calibrate.told(turns, fits), *begun.told], job.events))

    def resume(self, name: str, step: int | None = None, *, hold: bool = False) -> Job:
        """Go on from the newest whole checkpoint of a run, or from a step; from its beginning when it has none yet.

        With `hold` it stands paused there until somebody orders it to go on.
        """
        run = self.workspace.run(name)
        if run.locked():
            raise Busy(f"Run {name} is going on already.")
        if run.status() == "done" and step is None:
            raise Busy(f"Run {name} is done. Start a new run, or go back to one of its checkpoints.")
        if step is not None:
            check_step(run, step)
        self.policies.check_base(run)
        facts = run.facts()
        run.set_control(order="pause" if hold else "run", until=None)
        config = _config(KNOBS[run.stage], facts["config"])
        return self._job(run, config, facts["inputs"], material.kept(run), fresh=False, step=step)

    def _again(
        self, run: Run, config: Any, inputs: dict[str, Any], found: dict[str, Any], step: int, problem: NotFinite
    ) -> Job:
        """A run once more from one of its steps, 0 for its beginning, with half the learning rate: it goes on by itself
        after something was not finite."""
        rate = Live(run, config)().learning_rate
        run.set_control(live={"learning_rate": rate / 2}, by="The lab")
        if not step:
            checkpoint.forget_after(run.folder / "checkpoint", 0)
        job = self._job(run, config, inputs, found, fresh=False, step=step or None)
        told = Warned(
            step,
            "W_WENT_BACK",
            f"{found_in(problem)}, so the run went back to {f'step {step}' if step else 'its beginning'} by itself and "
            f"goes on with half the learning rate: {rate / 2:.3g} instead of {rate:.3g}. It does so once.",
            "If it breaks off again, go back further and halve the learning rate once more.",
        )
        return replace(job, events=after([told], job.events))

    def base(self) -> dict[str, Any]:
        return {"base": self.roles.name, "precision": self.roles.precision, "fingerprint": self.roles.fingerprint}

    def _job(
        self,
        run: Run,
        config: Any,
        inputs: dict[str, Any],
        found: dict[str, Any],
        *,
        fresh: bool,
        step: int | None = None,
    ) -> Job:
        self.policies.hand_over(run.name)
        made = None
        try:
            made = STAGES[run.stage].make(self.policies, run, config, inputs, found)
        finally:
            if made is None:
                self.policies.drop(run.name)
                if fresh:
                    run.discard()
        state, events = made.state, made.events
        if state is not None:
            foretold = self._foretold(run, state, config, found)
            events = after(foretold if fresh else _restored(run, state, step, foretold), events)
        finish, over = partial(self._finish, run, made), partial(self.policies.drop, run.name)
        return Job(run, events, state, finish, over, partial(self._again, run, config, inputs, found))

    def _foretold(self, run: Run, state: State, config: Any, found: dict[str, Any]) -> Iterator[Warned]:
        """The forecast held against what is free and, where no step has been kept that shows it, one micro-batch."""
        lengths, tried = material.lengths(self.roles.text, found), bool(run.checkpoints())
        yield from calibrate.check(self.roles, state.adapters[0], STAGES[run.stage].forecast, config, lengths, tried)

    def _finish(self, run: Run, made: Made, result: dict[str, Any]) -> dict[str, Any]:
        """Keep the adapter, with what belongs to it: a reward model's only once it has its scale."""
        if made.state is not None and (run.stage != "reward" or "gain" in result):
            kept = made.facts | {key: result[key] for key in ("gain", "bias", "quantiles") if key in result}
            save_adapter(self.roles, run.name, run.adapter, stage=run.stage, step=made.state.step, **kept)
            self.policies.add(run.name, kept)
        return result | made.facts


def _config(kind: type, knobs: dict[str, Any]) -> Any:
    try:
        return kind(**knobs)
    except TypeError as problem:
        raise BadNumber(f"These settings do not belong to {kind.__name__.lower()}: {problem}.") from problem


def _restored(run: Run, state: State, step: int | None, foretold: Iterator[Warned]) -> Iterator[Event]:
    """Bring the state back before the first event; what was skipped on the way is said, and what is foretold."""
    # First, as at a start: the forecast counts what the optimizer remembers, which is not in memory yet.
    warnings, skipped = list(foretold), []
    if step is not None or run.checkpoints():
        skipped = checkpoint.restore(run.folder / "checkpoint", state, step)
    if step is not None:
        checkpoint.forget_after(run.folder / "checkpoint", step)
        if run.adapter.is_dir() and made_at(run.adapter) != step:
            folders.discard(run.adapter)  # else a run that breaks off here would pass for what it went back from
    for each in skipped:
        yield Warned(state.step, "W_CHECKPOINT", each, f"The run goes on from step {state.step}.")
    yield from (replace(each, step=state.step) for each in warnings)
