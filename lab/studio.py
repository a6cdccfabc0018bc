"""How a run of each stage begins, goes on and ends: its folder, its material, its state and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lab import calibrate, checkpoint, material, trust
from lab import dpo as dpo_stage
from lab import ppo as ppo_stage
from lab import reward as reward_stage
from lab import rloo_grpo as group_stage
from lab import sft as sft_stage
from lab.adapters import save_adapter
from lab.cast import Cast
from lab.compare import compare
from lab.config import STAGES, Compare, Dpo, Group, Ppo, Reward, Sft, sized
from lab.errors import BadNumber, Busy, NotFound
from lab.events import Event, Warned
from lab.models import Roles
from lab.policies import Policies, check_step
from lab.rater import MARK, rater
from lab.runner import Job, Live, steps_of
from lab.state import State
from lab.steps import as_dict
from lab.store import Ranking
from lab.text import Asked
from lab.workspace import Run, Workspace, recorded


class Studio:
    """Every run of a workspace on the one copy of the model begins here, and goes on from here."""

    def __init__(self, workspace: Workspace, roles: Roles):
        self.workspace, self.roles, self.policies = workspace, roles, Policies(workspace, roles)

    def start(self, stage: str, knobs: dict[str, Any], inputs: dict[str, Any], by: str = "", fit: bool = False) -> Job:
        """A new run of a stage: its folder, its material, its state. A run that is refused leaves no folder.

        What knobs leave out is as usual; a learning rate is then chosen for the size of the base.

        fit: turn knobs until it fits the memory; so does a workspace that was told to on the Model page.
        """
        begin = self._beginnings().get(stage)
        if begin is None:
            raise NotFound(f"There is no stage {stage!r}. Stages: {', '.join(self._beginnings())}.")
        fixed = {"method": stage} if stage in ("rloo", "grpo") else {}
        config = _config(STAGES[stage], sized(STAGES[stage], self.roles.model.num_parameters()) | knobs | fixed)
        config, told = calibrate.layered(self.roles, config)
        turns, fits = [], True
        inputs, found = begin(config, dict(inputs))
        if stage in calibrate.LIKE and (fit or (self.workspace.base() or {}).get("fit")):
            lengths = material.lengths(self.roles.text, found)
            config, turns, fits = calibrate.make_fit(self.roles, stage, config, lengths)
        files = {material.FILE: found}
        run = self.workspace.new_run(stage, as_dict(config), files=files, base=self.base(), inputs=inputs, by=by)
        job = self._job(run, config, inputs, found, fresh=True)
        told += calibrate.told(turns, fits)
        if begin == self._begin_ppo:
            told += trust.apart(self.workspace.run(inputs["reward"]), inputs["reference"])
        # A generator, which the runner can close when the run is stopped.
        return replace(job, events=_after(iter(told), job.events))

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
        config = _config(STAGES[run.stage], facts["config"])
        return self._job(run, config, facts["inputs"], material.kept(run), fresh=False, step=step)

    def rankings(self) -> list[Ranking]:
        """Those of the workspace, none where nobody has ranked yet."""
        if not self.workspace.db.exists():
            return []
        with self.workspace.store(read_only=True) as store:
            return store.rankings()

    def base(self) -> dict[str, Any]:
        return {"base": self.roles.name, "precision": self.roles.precision, "fingerprint": self.roles.fingerprint}

    def _beginnings(self) -> dict[str, Callable[[Any, dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]]:
        return {
            "sft": self._begin_sft,
            "reward": self._begin_reward,
            "ppo": self._begin_ppo,
            "rloo": self._begin_ppo,
            "grpo": self._begin_ppo,
            "dpo": self._begin_dpo,
            "compare": self._begin_compare,
        }

    def _begin_sft(self, config: Sft, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        pairs = inputs.pop("pairs", [])
        return inputs | {"pairs": len(pairs) or "built-in"}, material.for_sft(self.roles.text, pairs, config.seed)

    def _begin_reward(self, config: Reward, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        inputs, found = self._begin_ranked(config, inputs)
        reward_stage.split(material.rankings_in(found), config)
        return inputs, found

    def _begin_dpo(self, config: Dpo, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        given = inputs.get("pinned") or []
        inputs, found = self._begin_ranked(config, inputs)
        return inputs, found | {"pinned": material.pinned(self.roles.text, given)}

    def _begin_ranked(self, config: Reward | Dpo, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        rankings = self.rankings()
        raters = material.raters_of(rankings, str(inputs.get("raters") or ""))
        longest = getattr(config, "context", self.roles.text.context)
        half = getattr(config, "half", material.ALL)
        found = material.for_reward(self.roles.text, rankings, raters, longest, half)
        return inputs | {"raters": raters, "reference": self.policies.role(trust.start_of(inputs) or "sft")}, found

    def _begin_ppo(self, config: Ppo, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        cast = self.policies.cast(str(inputs.get("reward") or ""), trust.start_of(inputs))
        anyway = {"anyway": True} if inputs.get("anyway") is True else {}
        if not anyway:
            trust.check(self.workspace.run(cast.reward))
        ranked = [each.comparison.prompt for each in self.rankings()] if inputs.get("prompts") == "ranked" else []
        found = material.for_ppo(inputs, ranked, config.seed)
        self.roles.text.asked(found["prompts"] + found["pinned"], room=config.tokens)
        kind = "own" if isinstance(inputs.get("prompts"), list) else inputs.get("prompts") or "built-in"
        known = {"reward": cast.reward, "reference": cast.reference, "prompts": kind, "pinned": found["pinned"]}
        return known | anyway, found

    def _begin_compare(self, config: Compare, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        names = {key: self.policies.role(str(inputs.get(key) or "sft")) for key in ("a", "b")}
        judge = str(inputs.get("judge") or MARK + "helpful")
        simulated = judge.startswith(MARK)
        if simulated:
            rater(judge)
        # The best of several is the reward model's choice, so there must be one; scores are left out without one.
        needed = not simulated or config.best_of > 1 or self.workspace.newest("reward", base=self.policies.loaded)
        scorer = "" if simulated else judge.removeprefix("reward:")
        names["reward"] = self.policies.cast(scorer).reward if needed else ""
        found = material.for_compare(inputs, config.count, config.seed)
        return names | {"judge": judge, "reference": self.policies.role("sft")}, found

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
        make = {"sft": self._sft, "reward": self._reward, "ppo": self._ppo, "dpo": self._dpo, "compare": self._compare}
        make = make.get(run.stage, self._group)
        self.policies.hand_over(run.name)
        made = None
        try:
            made = state, events, facts = make(run, config, inputs, found)
        finally:
            if made is None:
                self.policies.drop(run.name)
                if fresh:
                    run.discard()
        if state is not None:
            foretold = self._foretold(run, state, config, found)
            events = _after(foretold if fresh else _restored(run, state, step, foretold), events)
        over = partial(self.policies.drop, run.name)
        return Job(run, events, state, lambda result: self._finish(run, state, result, facts), over)

    def _foretold(self, run: Run, state: State, config: Any, found: dict[str, Any]) -> Iterator[Warned]:
        """The forecast held against what is free and, where no step has been kept that shows it, one micro-batch."""
        lengths, tried = material.lengths(self.roles.text, found), bool(run.checkpoints())
        yield from calibrate.check(self.roles, state.adapters[0], run.stage, config, lengths, tried)

    def _finish(self, run: Run, state: State | None, result: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        """Keep the adapter, with what belongs to it: a reward model's only once it has its scale."""
        if state is not None and (run.stage != "reward" or "gain" in result):
            kept = facts | {key: result[key] for key in ("gain", "bias", "quantiles") if key in result}
            save_adapter(self.roles, run.name, run.adapter, stage=run.stage, step=state.step, **kept)
            self.policies.add(run.name, kept)
        return result | facts

    def _sft(self, run: Run, config: Sft, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        state = sft_stage.begin(self.roles, config, run.name)
        pairs, held_out = ([tuple(pair) for pair in found[key]] for key in ("pairs", "held_out"))
        events = sft_stage.sft(state, pairs, Live(run, config), held_out=held_out, pinned=found["pinned"])
        return state, _after(material.left_out_warning(found), events), {}

    def _reward(self, run: Run, config: Reward, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        reference = self.policies.role(recorded(inputs["reference"]))
        state = reward_stage.begin(self.roles, config, run.name, reference)
        prompts = self.roles.text.asked(found["prompts"], room=config.tokens)
        events = reward_stage.reward(state, material.rankings_in(found), prompts, Live(run, config), reference)
        cut = material.cut_warning(found, config.context, self.roles.text.context)
        return state, _after(cut, events), {"raters_used": found["raters"]}

    def _ppo(self, run: Run, config: Ppo, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = self.policies.cast(inputs["reward"], recorded(inputs["reference"]), policy=run.name)
        state = ppo_stage.begin(self.roles, cast, config)
        prompts, pinned = (self.roles.text.asked(found[key], room=config.tokens) for key in ("prompts", "pinned"))
        live, past = Live(run, config), steps_of(run)
        return state, ppo_stage.ppo(state, cast, prompts, live, pinned, past, lambda: live.moved("beta")), {}

    def _group(self, run: Run, config: Group, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = self.policies.cast(inputs["reward"], recorded(inputs["reference"]), policy=run.name)
        state = group_stage.begin(self.roles, cast, config)
        prompts, pinned = (self.roles.text.asked(found[key], room=config.tokens) for key in ("prompts", "pinned"))
        return state, group_stage.rloo_grpo(state, cast, prompts, Live(run, config), pinned, steps_of(run)), {}

    def _dpo(self, run: Run, config: Dpo, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = Cast(run.name, self.policies.role(recorded(inputs["reference"])))
        state = dpo_stage.begin(self.roles, cast, config)
        events = dpo_stage.dpo(state, cast, material.rankings_in(found), Live(run, config), found.get("pinned", ()))
        cut = material.cut_warning(found, self.roles.text.context, self.roles.text.context)
        return state, _after(cut, events), {"raters_used": found["raters"]}

    def _compare(self, run: Run, config: Compare, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        a, b, reference = self.policies.roles_of([recorded(inputs[key]) for key in ("a", "b", "reference")])
        cast = Cast(reference=reference, reward="")
        if reward := inputs.get("reward"):
            cast = self.policies.cast(reward, recorded(inputs["reference"]))
        judge = inputs["judge"]
        prompts: Sequence[Asked] = self.roles.text.asked(found["prompts"], room=config.tokens)
        score = rater(judge).utility if judge.startswith(MARK) else None
        return None, compare(self.roles, cast, (a, b), prompts, score, config), {"judge": judge}


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
    for each in skipped:
        yield Warned(state.step, "W_CHECKPOINT", each, f"The run goes on from step {state.step}.")
    yield from (replace(each, step=state.step) for each in warnings)


def _after(first: Iterator[Event], events: Iterator[Event]) -> Iterator[Event]:
    yield from first
    yield from events
