"""The one copy of the model together with a workspace: what a policy's name means, and how a run starts or goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from lab import calibrate, checkpoint, material, trust
from lab import dpo as dpo_stage
from lab import ppo as ppo_stage
from lab import reward as reward_stage
from lab import rloo_grpo as group_stage
from lab import sft as sft_stage
from lab.adapters import load_adapter, save_adapter
from lab.cast import Cast, Scale
from lab.compare import compare
from lab.config import STAGES, Compare, Dpo, Group, Ppo, Reward, Sft, sized
from lab.errors import BadName, BadNumber, Busy, NotFound, WrongBase
from lab.events import Event, Warned
from lab.loading import EMBEDDED, fingerprints
from lab.models import BASE, Roles, copy_weights
from lab.rater import MARK, rater
from lab.runner import Job, Live, steps_of
from lab.state import State
from lab.steps import as_dict
from lab.store import Ranking
from lab.text import Asked
from lab.workspace import RUN_NAME, SHIPPED, Run, Workspace, recorded

MOST_LOADED = 6


@dataclass
class Studio:
    """Adapters are loaded when they are asked for; the longest unused go. `training` is the run that learns now."""

    workspace: Workspace
    roles: Roles
    training: str = ""
    step: int = 0
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)
    loaded: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = {"base": self.roles.name, "fingerprints": fingerprints(self.roles)}

    # Policies by name

    def reference(self) -> str:
        """The newest SFT here that was made with this base, else the one that ships with the embedded model: sft."""
        run = self.workspace.newest("sft", base=self.loaded)
        return run.name if run else "sft"

    def roles_of(self, names: Sequence[str]) -> list[str]:
        """The roles of policies that speak together: none of them goes to make room for another."""
        found: list[str] = []
        for name in names:
            found.append(self.role(name, keep=found))
        return found

    def role(self, name: str, keep: Collection[str] = ()) -> str:
        """The role of a policy: base, sft, a run, a run at a step (0004-ppo@20), or policy: the one in training.

        shipped is the SFT that came with the base, whatever SFT runs there are. keep: roles that stay loaded whatever
        it takes.
        """
        if name == BASE:
            return BASE
        if name == "policy":
            if not self.training:
                raise NotFound("No policy is in training now. Choose sft or a finished run.")
            return self.training
        name = {"sft": self.reference(), SHIPPED: "sft"}.get(name, name)
        if name == self.training:
            return name
        if name not in self.used:
            self._make_room(keep)
            self._load(name)
        self.used[name] = self.used.pop(name, None)
        return name

    def _load(self, name: str) -> None:
        if name == "sft":
            shipped = EMBEDDED / self.roles.name / "sft"
            if shipped.is_dir():
                self.facts[name] = load_adapter(self.roles, name, shipped)
            return
        run_name, _, step = name.partition("@")
        if not RUN_NAME.fullmatch(run_name):
            raise BadName(
                f"{name[:80]!r} names no policy and no reward model. Names are base, sft, shipped, a run such as "
                "0004-ppo, or a run at a step, 0004-ppo@20."
            )
        run = self.workspace.run(run_name)
        if step:
            self._load_checkpoint(run, name, int(step) if step.isdigit() else -1)
        elif not run.adapter.is_dir():
            raise NotFound(
                f"Run {run.name} has no adapter yet: it is {run.status()}. Resume it, or choose another policy."
            )
        else:
            self.facts[name] = load_adapter(self.roles, name, run.adapter)

    def _load_checkpoint(self, run: Run, role: str, step: int) -> None:
        if step not in run.checkpoints():
            raise _no_checkpoint(run, step)
        self._check_base(run)
        tensors, _ = checkpoint.read_folder(run.checkpoint(step))
        prefix = f"adapter/{run.name}/"
        found = {name.removeprefix(prefix): weight for name, weight in tensors.items() if name.startswith(prefix)}
        first = next(weight for name, weight in found.items() if "lora_A" in name)
        self.roles.add(role, rank=first.shape[0])
        copy_weights(found, self.roles.weights(role))

    def _make_room(self, keep: Collection[str]) -> None:
        """The longest unused adapters go, but for those to keep and those a run in training stands on."""
        busy = {self.training, "sft", self.reference(), *self._standing_on(), *keep}
        idle = [name for name in self.used if name not in busy]
        for name in idle[: max(0, len(self.used) - MOST_LOADED + 1)]:
            self.roles.remove(name)
            self.used.pop(name)

    def _standing_on(self) -> list[str]:
        inputs = self.workspace.run(self.training).facts()["inputs"] if self.training else {}
        return [str(inputs[key]) for key in ("reference", "reward", "a", "b") if inputs.get(key)]

    def step_of(self, role: str, step: int) -> int:
        """The step of a policy: that of the run in training, or the one in its name."""
        return step if role == self.training else int(role.partition("@")[2] or 0)

    def speaker(self, role: str) -> str:
        """The name under which a role's answers are kept. A run in training that has no step behind it ends in @0: it
        is not the policy that will bear its name."""
        return f"{role}@0" if role == self.training and not self.step else role

    def cast(self, reward: str = "", reference: str = "", policy: str = "policy") -> Cast:
        """Who plays which part; the newest reward model unless one is named, and the SFT that it was scaled on unless
        one is named, the newest where that one is gone. NotFound when there is no reward model."""
        if not reward:
            run = self.workspace.newest("reward", base=self.loaded)
            if run is None:
                raise NotFound(
                    "There is no reward model yet. Rank some prompts, then train one on the Reward page (lab reward)."
                )
            reward = run.name
        reward = self.role(reward)
        if "gain" not in self.facts.get(reward, {}):
            raise NotFound(f"{reward} is not a reward model. Name a finished run of the reward stage.")
        known = self.facts[reward]
        highest = max(known.get("quantiles") or (inf,))
        try:
            start = self.role(reference or trust.scaled_on(self.workspace.run(reward)) or "sft", keep=[reward])
        except NotFound:
            if reference:
                raise
            start = self.role("sft", keep=[reward])
        return Cast(policy, start, reward, Scale(known["gain"], known["bias"], highest))

    # Runs

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
        if step is not None and step not in run.checkpoints():
            raise _no_checkpoint(run, step)
        self._check_base(run)
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

    def _check_base(self, run: Run) -> None:
        if not run.made_with(self.loaded):
            raise WrongBase(
                f"Run {run.name} was made with the base {run.base().get('base')}, and the base loaded here is "
                f"{self.roles.name}, with other weights. Open the workspace with the base that the run belongs to."
            )

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
        return inputs | {"raters": raters, "reference": self.role(trust.start_of(inputs) or "sft")}, found

    def _begin_ppo(self, config: Ppo, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        cast = self.cast(str(inputs.get("reward") or ""), trust.start_of(inputs))
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
        names = {key: self.role(str(inputs.get(key) or "sft")) for key in ("a", "b")}
        judge = str(inputs.get("judge") or MARK + "helpful")
        simulated = judge.startswith(MARK)
        if simulated:
            rater(judge)
        # The best of several is the reward model's choice, so there must be one; scores are left out without one.
        needed = not simulated or config.best_of > 1 or self.workspace.newest("reward", base=self.loaded)
        names["reward"] = self.cast("" if simulated else judge.removeprefix("reward:")).reward if needed else ""
        found = material.for_compare(inputs, config.count, config.seed)
        return names | {"judge": judge, "reference": self.role("sft")}, found

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
        self.used.pop(run.name, None)  # what was loaded under this name learns on from here
        made = None
        try:
            made = state, events, facts = make(run, config, inputs, found)
        finally:
            if made is None:
                self._over(run)
                if fresh:
                    run.discard()
        if state is not None:
            foretold = self._foretold(run, state, config, found)
            events = _after(foretold if fresh else _restored(run, state, step, foretold), events)
        return Job(run, events, state, lambda result: self._finish(run, state, result, facts), lambda: self._over(run))

    def _over(self, run: Run) -> None:
        """What a run learned with goes, but for an adapter that it has kept; one that failed has none to speak with."""
        for role in ("value", run.name):
            if role not in self.used:
                self.roles.remove(role)

    def _foretold(self, run: Run, state: State, config: Any, found: dict[str, Any]) -> Iterator[Warned]:
        """The forecast held against what is free and, where no step has been kept that shows it, one micro-batch."""
        lengths, tried = material.lengths(self.roles.text, found), bool(run.checkpoints())
        yield from calibrate.check(self.roles, state.adapters[0], run.stage, config, lengths, tried)

    def _finish(self, run: Run, state: State | None, result: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
        """Keep the adapter, with what belongs to it; what was loaded of this name before is out of date."""
        if state is not None and (run.stage != "reward" or "gain" in result):
            kept = facts | {key: result[key] for key in ("gain", "bias", "quantiles") if key in result}
            save_adapter(self.roles, run.name, run.adapter, stage=run.stage, step=state.step, **kept)
            self.facts[run.name] = kept
            self.used[run.name] = None
        return result | facts

    def _sft(self, run: Run, config: Sft, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        state = sft_stage.begin(self.roles, config, run.name)
        pairs, held_out = ([tuple(pair) for pair in found[key]] for key in ("pairs", "held_out"))
        events = sft_stage.sft(state, pairs, Live(run, config), held_out=held_out, pinned=found["pinned"])
        return state, _after(material.left_out_warning(found), events), {}

    def _reward(self, run: Run, config: Reward, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        reference = self.role(recorded(inputs["reference"]))
        state = reward_stage.begin(self.roles, config, run.name, reference)
        prompts = self.roles.text.asked(found["prompts"], room=config.tokens)
        events = reward_stage.reward(state, material.rankings_in(found), prompts, Live(run, config), reference)
        cut = material.cut_warning(found, config.context, self.roles.text.context)
        return state, _after(cut, events), {"raters_used": found["raters"]}

    def _ppo(self, run: Run, config: Ppo, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = self.cast(inputs["reward"], recorded(inputs["reference"]), policy=run.name)
        state = ppo_stage.begin(self.roles, cast, config)
        prompts, pinned = (self.roles.text.asked(found[key], room=config.tokens) for key in ("prompts", "pinned"))
        live, past = Live(run, config), steps_of(run)
        return state, ppo_stage.ppo(state, cast, prompts, live, pinned, past, lambda: live.moved("beta")), {}

    def _group(self, run: Run, config: Group, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = self.cast(inputs["reward"], recorded(inputs["reference"]), policy=run.name)
        state = group_stage.begin(self.roles, cast, config)
        prompts, pinned = (self.roles.text.asked(found[key], room=config.tokens) for key in ("prompts", "pinned"))
        return state, group_stage.rloo_grpo(state, cast, prompts, Live(run, config), pinned, steps_of(run)), {}

    def _dpo(self, run: Run, config: Dpo, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        cast = Cast(run.name, self.role(recorded(inputs["reference"])))
        state = dpo_stage.begin(self.roles, cast, config)
        events = dpo_stage.dpo(state, cast, material.rankings_in(found), Live(run, config), found.get("pinned", ()))
        cut = material.cut_warning(found, self.roles.text.context, self.roles.text.context)
        return state, _after(cut, events), {"raters_used": found["raters"]}

    def _compare(self, run: Run, config: Compare, inputs: dict[str, Any], found: dict[str, Any]) -> tuple:
        a, b, reference = self.roles_of([recorded(inputs[key]) for key in ("a", "b", "reference")])
        reward = inputs.get("reward")
        cast = self.cast(reward, recorded(inputs["reference"])) if reward else Cast(reference=reference, reward="")
        judge = inputs["judge"]
        prompts: Sequence[Asked] = self.roles.text.asked(found["prompts"], room=config.tokens)
        score = rater(judge).utility if judge.startswith(MARK) else None
        return None, compare(self.roles, cast, (a, b), prompts, score, config), {"judge": judge}


def _config(kind: type, knobs: dict[str, Any]) -> Any:
    try:
        return kind(**knobs)
    except TypeError as problem:
        raise BadNumber(f"These settings do not belong to {kind.__name__.lower()}: {problem}.") from problem


def _no_checkpoint(run: Run, step: int) -> NotFound:
    known = ", ".join(map(str, run.checkpoints())) or "none"
    return NotFound(f"Run {run.name} has no checkpoint of step {step}. Checkpoints: {known}.")


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
