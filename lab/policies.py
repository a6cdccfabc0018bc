"""What a policy's name means: adapters by name, loaded when they are asked for, and which of them play together."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from lab import checkpoint, trust
from lab.adapters import load_adapter
from lab.cast import Cast, Scale
from lab.config import TUNING
from lab.errors import BadName, NotFound, WrongBase
from lab.loading import EMBEDDED, fingerprints
from lab.models import BASE, Roles, copy_weights
from lab.state import under
from lab.workspace import RUN_NAME, SHIPPED, Run, Workspace

MOST_LOADED = 6
_REWARD = re.compile(r"\d+-reward(@.*)?")
STEP = re.compile("[0-9]{1,9}")


@dataclass
class Policies:
    """The longest unused adapters go where there are too many. `training` is the run that learns now, `step` its step;
    `facts` is what an adapter says of itself, by role."""

    workspace: Workspace
    roles: Roles
    training: str = ""
    step: int = 0
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, None] = field(default_factory=dict)
    loaded: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.loaded = {"base": self.roles.name, "fingerprints": fingerprints(self.roles)}

    def reference(self) -> str:
        """The newest SFT here that was made with this base, else the one that ships with the embedded model: sft."""
        run = self.workspace.newest("sft", base=self.loaded)
        return run.name if run else "sft"

    def roles_of(self, names: Sequence[str]) -> list[str]:
        """The roles of policies that speak together: none of them goes to make room for another. BadName for a reward
        model, which scores answers and learned to give none."""
        found: list[str] = []
        for name in names:
            if _REWARD.fullmatch(name):
                raise BadName(
                    f"{name} is a reward model: it scores answers and gives none. Name base, sft or a policy."
                )
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
            if not self._policy_learns():
                raise NotFound("No policy is in training now. Choose sft or a finished run.")
            return self.training
        name = {"sft": self.reference(), SHIPPED: "sft"}.get(name, name)
        if name == self.training:
            return name
        if name in self.used:
            self._check_there(name)
        else:
            self._make_room(keep)
            self._load(name)
        self.used[name] = self.used.pop(name, None)
        return name

    def _check_there(self, name: str) -> None:
        """NotFound for a run that was deleted since it was loaded: it goes, unless the run in training needs it."""
        if name == "sft":
            return
        try:
            self.workspace.run(name.partition("@")[0])
        except NotFound:
            if name not in self._standing_on():
                self._forget(name)
            raise

    def _load(self, name: str) -> None:
        if name == "sft":
            shipped = EMBEDDED / self.roles.name / "sft"
            if shipped.is_dir():
                self.facts[name] = load_adapter(self.roles, name, shipped)
            return
        run_name, at, step = name.partition("@")
        if not RUN_NAME.fullmatch(run_name) or (at and not STEP.fullmatch(step)):
            raise BadName(
                f"{name[:80]!r} names no policy and no reward model. Names are base, sft, shipped, a run such as "
                "0004-ppo, or a run at a step, 0004-ppo@20."
            )
        run = self.workspace.run(run_name)
        if step:
            self._load_checkpoint(run, name, int(step))
        elif not run.adapter.is_dir():
            raise NotFound(_without_adapter(run))
        else:
            self.facts[name] = load_adapter(self.roles, name, run.adapter)

    def _load_checkpoint(self, run: Run, role: str, step: int) -> None:
        check_step(run, step)
        self.check_base(run)
        tensors, _ = checkpoint.read_folder(run.checkpoint(step))
        found, head = (under(tensors, f"{kind}/{run.name}/") for kind in ("adapter", "head"))
        first = next(weight for name, weight in found.items() if "lora_A" in name)
        self.roles.add(role, rank=first.shape[0])
        copy_weights(found, self.roles.weights(role))
        if head:
            self.roles.head(role).load_state_dict(head)

    def _make_room(self, keep: Collection[str]) -> None:
        """The longest unused adapters go, but for those to keep and those a run in training stands on."""
        busy = {self.training, "sft", self.reference(), *self._standing_on(), *keep}
        idle = [name for name in self.used if name not in busy]
        for name in idle[: max(0, len(self.used) - MOST_LOADED + 1)]:
            self._forget(name)

    def _forget(self, role: str) -> None:
        self.roles.remove(role)
        self.used.pop(role)

    def _standing_on(self) -> list[str]:
        if not self.training:
            return []
        run = self.workspace.run(self.training)
        inputs = run.facts()["inputs"]
        return [str(inputs.get(key) or "") for key in ("reference", "reward", "a", "b")] + [run.control()["reward"]]

    def _policy_learns(self) -> bool:
        """Whether the run in training is of a policy: not of a reward model, and no comparison."""
        return self.training.partition("-")[2] in ("sft", *TUNING)

    def step_of(self, role: str) -> int:
        """The step of a policy: that of the run in training, or the one in its name."""
        return self.step if role == self.training else int(role.partition("@")[2] or 0)

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
            raise NotFound(
                f"{reward} is no finished reward model, so it has no scale to score on. Name a finished run of the "
                "reward stage."
            )
        known = self.facts[reward]
        highest = max(known.get("quantiles") or (inf,))
        try:
            start = self.role(reference or trust.scaled_on(self.workspace.run(reward)) or "sft", keep=[reward])
        except NotFound:
            if reference:
                raise
            start = self.role("sft", keep=[reward])
        return Cast(policy, start, reward, Scale(known["gain"], known["bias"], highest))

    def hand_over(self, run: str) -> None:
        """What is loaded under a run's name is the run's from here on, which learns with it.

        Its steps are loaded anew where they are asked for: from where it goes on, it may write other checkpoints.
        """
        self.used.pop(run, None)
        for role in [each for each in self.used if each.startswith(f"{run}@")]:
            self._forget(role)

    def add(self, run: str, facts: dict[str, Any]) -> None:
        """A run has kept its adapter, with what belongs to it; what was loaded of its name before is out of date."""
        self.facts[run] = facts
        self.used[run] = None

    def drop(self, run: str) -> None:
        """What a run learned with goes, but for an adapter that it has kept; one that failed has none to speak with."""
        for role in ("value", run):
            # A value model is that of the run in training, which may wait for another one that ends here.
            if role not in self.used and (role == run or self.training in ("", run)):
                self.roles.remove(role)

    def check_base(self, run: Run) -> None:
        """WrongBase for a run that was made with another base than the one that is loaded."""
        if not run.made_with(self.loaded):
            raise WrongBase(
                f"Run {run.name} was made with the base {run.base().get('base')}, and the base loaded here is "
                f"{self.roles.name}, with other weights. Open the workspace with the base that the run belongs to."
            )


def _without_adapter(run: Run) -> str:
    """Why a run has none, and whether it can still get one."""
    status = run.status()
    if run.stage == "compare" or status not in ("running", "paused", "interrupted"):
        return f"Run {run.name} made no adapter: it is {status}. Choose another policy."
    remedy = "Resume it" if status == "interrupted" else "Wait for its end"
    return f"Run {run.name} has no adapter yet: it is {status}. {remedy}, or choose another policy."


def check_step(run: Run, step: int) -> None:
    """NotFound for a step of which a run has no checkpoint."""
    if step not in run.checkpoints():
        known = ", ".join(map(str, run.checkpoints())) or "none"
        raise NotFound(f"Run {run.name} has no checkpoint of step {step}. Checkpoints: {known}.")
