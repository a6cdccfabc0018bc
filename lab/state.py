"""What a stage remembers from one step to the next, and how it becomes tensors and numbers for a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch.nn.utils import clip_grad_norm_

from lab.errors import Damaged, NotFinite
from lab.events import Warned
from lab.generate import sample_within
from lab.models import Roles, copy_weights
from lab.quantised import needs_bitsandbytes
from lab.shortage import with_smaller_microbatches
from lab.stem import Stem
from lab.steps import finite

T = TypeVar("T")
IN_A_ROW = 3  # updates that are left out, after which the run does not go on like this
MOMENTS = ("exp_avg", "exp_avg_sq", "state1", "state2")  # AdamW's and bitsandbytes', of their parameter's shape


@dataclass
class State:
    """The adapters and heads that learn, their optimizer, the step, and the beta in force.

    Seeds and the order of data follow from `step` alone, so no random state has to be kept: what is resumed equals what
    was never interrupted.
    """

    roles: Roles
    adapters: tuple[str, ...]
    heads: tuple[str, ...]
    optimizer: torch.optim.Optimizer
    step: int = 0
    beta: float = 0.0
    knobs: dict[str, Any] = field(default_factory=dict)  # the live ones at the last step: whether one was moved since
    moved: float | None = None  # when beta was moved: whether somebody has set it to the same number since
    reward: str = ""  # the reward model that the last step followed
    microbatch: int = 0  # the largest that fitted, once memory has run out; 0 before that
    together: int = 0  # the same for prompts that are answered together
    told: tuple[int, int] = (0, 0)  # the two as they were last told
    updates: int = 0  # of the weights, in this process
    learned: int = 0  # the step in which the weights changed last
    skipped: int = 0  # updates left out since then, one after another
    untold: list[str] = field(default_factory=list)  # why, until it is told

    def clip_gradients(self, largest: float) -> float:
        """Hold each group's gradient norm to `largest`; returns the first group's norm before that, or NotFinite for
        any of them."""
        norms = [clip_grad_norm_(group["params"], largest) for group in self.optimizer.param_groups]
        return [finite(norm, "gradient norm") for norm in norms][0]

    def gradients(self, work: Callable[[int], T], microbatch: int, largest: float) -> tuple[T, float] | None:
        """What work(microbatch) returns, as `fitting` has it, and the norm of the gradients that it leaves, before it
        is held to `largest`; None where a number of them is not finite: the update is left out."""
        try:
            return self.fitting(work, microbatch), self.clip_gradients(largest)
        except NotFinite as problem:
            self.leave_out(problem)
            return None

    def leave_out(self, problem: NotFinite) -> None:
        """No update, for AdamW would write a NaN into every weight; raises the problem where it is one too many."""
        self.optimizer.zero_grad(set_to_none=True)
        self.skipped += 1
        if self.skipped == IN_A_ROW:
            raise problem
        self.untold.append(found_in(problem))

    def learn(
        self, work: Callable[[int], T], microbatch: int, largest: float, learning_rate: float
    ) -> tuple[T, float] | tuple[None, None]:
        """One update: what the work returns and the norm, None for both where it is left out."""
        found = self.gradients(work, microbatch, largest)
        if found is None:
            return None, None
        self.apply(learning_rate)
        return found

    def apply(self, learning_rate: float) -> None:
        """One optimizer step with the gradients that are there; then there are none."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.updates += 1
        self.learned, self.skipped = self.step + 1, 0
        self.optimizer.zero_grad(set_to_none=True)

    def wake(self) -> None:
        """What learns takes gradients again, after another stage had its turn with the model."""
        self.roles.freeze()
        for parameter in self._learning():
            parameter.requires_grad_(True)

    def fitting(self, work: Callable[[int], T], microbatch: int) -> T:
        """What work(microbatch) returns: where memory runs out with half of it, which is remembered."""
        size = min(microbatch, self.microbatch or microbatch)
        found, fitted = with_smaller_microbatches(work, size, self.optimizer.zero_grad)
        self.microbatch = fitted if fitted < size else self.microbatch
        return found

    def answers(
        self, role: str, prompts: Sequence[Sequence[int]], config: Any, seed: int, stem: Stem | None = None
    ) -> list[list[int]]:
        """What a role says to prompts: where memory runs out to half of them at a time, which is remembered too.

        stem: filled where it can be, as generate.stream has it.
        """
        size = min(len(prompts), self.together or len(prompts))
        options = {"tokens": config.tokens, "temperature": config.temperature, "seed": seed}
        found, fitted = sample_within(self.roles, role, prompts, size, stem=stem, **options)
        self.together = fitted if fitted < size else self.together
        return found

    def warnings(self) -> Iterator[Warned]:
        """What nobody was told yet: updates that were left out, and memory that ran out."""
        untold, self.untold = self.untold, []
        for what in untold:
            yield Warned(
                self.step,
                "W_SKIPPED",
                f"{what}. Nothing was learned from that batch, and the weights are as they were. After {IN_A_ROW} such "
                "updates in a row the run goes back by itself.",
                "Halve the learning rate, or go back to a checkpoint.",
            )
        yield from self._told_of_memory()

    def _told_of_memory(self) -> Iterator[Warned]:
        """A warning for each of the two sizes that is smaller than when this was last asked."""
        before, self.told = self.told, (self.microbatch, self.together)
        words = "the batch now goes through the model", "prompts are now answered"
        for old, new, what in zip(before, self.told, words, strict=True):
            if new != old:
                yield Warned(
                    self.step,
                    "W_MEMORY",
                    f"Memory ran out, so {what} {new} at a time. What one step learns from is as it was.",
                    "Nothing needs to be done; a smaller batch or microbatch next time saves the failed attempt.",
                )

    def pack(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors by name and plain numbers; `unpack` takes both."""
        tensors = {}
        for role in self.adapters:
            tensors |= {f"adapter/{role}/{name}": weight for name, weight in self.roles.weights(role).items()}
        for name in self.heads:
            tensors |= {f"head/{name}/{key}": weight for key, weight in self.roles.heads[name].state_dict().items()}
        for index, parameter in enumerate(self._learning()):
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in moments.items()}
        kept = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
        return kept, {
            "step": self.step,
            "beta": self.beta,
            "knobs": self.knobs,
            "moved": self.moved,
            "reward": self.reward,
        }

    def size(self) -> int:
        """Bytes that `pack` would come to."""
        heads = (weight for name in self.heads for weight in self.roles.heads[name].parameters())
        weights = (weight for role in self.adapters for weight in self.roles.weights(role).values())
        moments = (value for each in self.optimizer.state.values() for value in each.values())
        return sum(torch.as_tensor(each).nbytes for each in (*weights, *heads, *moments))

    def unpack(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        """Go back to what was packed. Raises Damaged when it does not fit this state."""
        try:
            for role in self.adapters:
                copy_weights(under(tensors, f"adapter/{role}/"), self.roles.weights(role))
            for name in self.heads:
                self.roles.heads[name].load_state_dict(under(tensors, f"head/{name}/"))
            self._unpack_optimizer(under(tensors, "optimizer/"))
            self.step, self.beta = int(numbers["step"]), float(numbers["beta"])
            self.learned = self.step
            self.knobs, self.moved = _knobs(numbers), numbers.get("moved")
            self.reward = str(numbers.get("reward") or "")
        except (LookupError, RuntimeError, ValueError) as problem:
            raise Damaged(
                f"This checkpoint does not fit the run's settings ({str(problem).splitlines()[0]}), so the run cannot "
                "go on from it. Choose an earlier checkpoint, or start a new run."
            ) from problem

    def _learning(self) -> list[torch.nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _unpack_optimizer(self, tensors: dict[str, torch.Tensor]) -> None:
        """Each moment in the precision that it was kept in; 8-bit AdamW counts its steps in plain numbers."""
        plain = not isinstance(self.optimizer, torch.optim.AdamW)
        learning = self._learning()
        self.optimizer.state.clear()
        for name, tensor in tensors.items():
            index, _, key = name.partition("/")
            parameter = learning[int(index)]
            if key in MOMENTS and tensor.shape != parameter.shape:
                raise ValueError(f"moment {name} is {tuple(tensor.shape)} and not {tuple(parameter.shape)}")
            value = tensor.item() if plain and tensor.ndim == 0 else tensor.to(parameter.device, copy=True)
            self.optimizer.state[parameter][key] = value


def _knobs(numbers: dict[str, Any]) -> dict[str, Any]:
    """The live knobs of a checkpoint; older ones knew beta alone, or none."""
    older = numbers.get("knob")
    return dict(numbers.get("knobs") or ({} if older is None else {"beta": older}))


def found_in(problem: NotFinite) -> str:
    """What was not finite: the first sentence, without its full stop."""
    return str(problem).partition(". ")[0]


def under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those of which the name begins so, by the rest of it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def new_state(roles: Roles, groups: Sequence[tuple[str, str]], config: Any, **options: float) -> State:
    """A state whose (adapter, head) pairs learn under one AdamW, each with its own gradient clip; nothing else learns.

    A head of '' is none. The config says in how many bits the moments are and whether layers are computed twice; the
    options are the optimizer's.
    """
    roles.freeze()
    roles.checkpointing = config.checkpointing == "on"
    found = []
    for role, head in groups:
        heads = roles.heads[head].parameters() if head else ()
        found.append({"params": [*roles.trainable(role, config.unfrozen), *heads]})
    optimizer = _adamw(found, config.optimizer, roles.device, {"weight_decay": 0.0} | options)
    return State(roles, tuple(role for role, _ in groups), tuple(head for _, head in groups if head), optimizer)


def _adamw(
    groups: list[dict[str, Any]], name: str, device: torch.device, options: dict[str, float]
) -> torch.optim.Optimizer:
    """In 8 bits by bitsandbytes (Dettmers 2022): paged on a GPU; a CPU has no other memory to page to."""
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=True, **options)
    needs_bitsandbytes("8-bit AdamW", device)
    import bitsandbytes

    if device.type == "cuda":
        return bitsandbytes.optim.PagedAdamW8bit(groups, **options)
    return bitsandbytes.optim.AdamW8bit(groups, **options)
