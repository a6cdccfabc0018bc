"""Every knob of every stage, once: the command line's flags and the page's fields are made from these fields."""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from typing import Any

from lab.errors import BadNumber


def knob(default: Any, help: str, *, low: float | None = None, high: float | None = None, live: bool = False) -> Any:
    """A field with its help text, its range, and whether it may move while a run goes on."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "live": live})


@dataclass(frozen=True, slots=True)
class Sft:
    """Supervised fine-tuning on instruction pairs."""

    steps: int = knob(180, "optimizer steps", low=1, high=100_000)
    batch: int = knob(16, "pairs in one optimizer step", low=1, high=1024)
    rank: int = knob(8, "LoRA rank: how much the adapter can change", low=1, high=512)
    learning_rate: float = knob(3e-3, "how far each step moves the adapter", low=1e-8, high=1.0, live=True)
    seed: int = knob(0, "order of the pairs and start of the adapter", low=0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Reward:
    """Training the reward model on rankings."""

    epochs: int = knob(6, "passes over the rankings", low=1, high=1000)
    batch: int = knob(8, "rankings in one optimizer step", low=1, high=1024)
    learning_rate: float = knob(1e-3, "how far each step moves the adapter and head", low=1e-8, high=1.0, live=True)
    held_out: float = knob(0.2, "share of the prompts kept for testing", low=0.0, high=0.9)
    loss: str = knob("pairs", "pairs (InstructGPT) or plackett_luce")
    normalise_over: int = knob(256, "responses of the reference that fix the score's mean and spread", low=8, high=4096)
    seed: int = knob(0, "split and order of the rankings", low=0)

    def __post_init__(self) -> None:
        check(self)
        if self.loss not in ("pairs", "plackett_luce"):
            raise BadNumber(f"The ranking loss is pairs or plackett_luce, not {self.loss!r}.")


@dataclass(frozen=True, slots=True)
class Ppo:
    """Proximal policy optimisation with a KL penalty to the reference."""

    steps: int = knob(60, "rollouts, each followed by its updates", low=1, high=100_000)
    batch: int = knob(64, "responses in one rollout", low=8, high=4096)
    minibatch: int = knob(32, "responses in one optimizer step", low=1, high=4096)
    microbatch: int = knob(32, "responses in one forward pass: memory, not mathematics", low=1, high=4096)
    epochs: int = knob(2, "passes over each rollout", low=1, high=16)
    tokens: int = knob(72, "longest response in tokens", low=1, high=512)
    learning_rate: float = knob(1.5e-3, "how far each step moves the policy", low=1e-8, high=1.0, live=True)
    beta: float = knob(0.1, "the price of a nat of KL to the reference", low=0.0, high=1000.0, live=True)
    target_kl: float = knob(
        0.0, "nats a response that an adaptive beta steers to; 0 keeps beta fixed", low=0.0, live=True
    )
    temperature: float = knob(1.0, "of sampling, and of every log-probability", low=0.05, high=5.0)
    clip: float = knob(0.2, "how far a ratio may move within one step", low=0.01, high=10.0)
    value_clip: float = knob(0.2, "how far a value may move within one step", low=0.01, high=100.0)
    value_weight: float = knob(0.1, "of the value loss, which shares the policy's trunk", low=0.0, high=10.0)
    gamma: float = knob(1.0, "discount", low=0.0, high=1.0)
    lam: float = knob(0.95, "GAE's lambda", low=0.0, high=1.0)
    update_kl: float = knob(0.02, "nats a token within one step; over 1.5 times it the step's updates end", low=1e-5)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    missing_eos: str = knob("replace", "score of a response that did not end: replace, subtract or off")
    score_clip: float = knob(5.0, "largest shaped score", low=0.1)
    seed: int = knob(0, "prompts and sampling", low=0)

    def __post_init__(self) -> None:
        check(self)
        if self.minibatch > self.batch or self.microbatch > self.minibatch:
            raise BadNumber(
                f"A rollout of {self.batch} is cut in minibatches of {self.minibatch} and microbatches of "
                f"{self.microbatch}: each must be at most the one before. Lower the later ones."
            )


def check(config: Any) -> None:
    """BadNumber for a value that is not finite, of the wrong type or outside its range."""
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(each.default, str):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise BadNumber(f"{each.name} must be a number, not {value!r}. It is {each.metadata['help']}.")
        if isinstance(each.default, int) and not isinstance(value, int):
            raise BadNumber(f"{each.name} must be a whole number, not {value!r}.")
        _check_range(each, value)


def _check_range(each: Field, value: float) -> None:
    low, high = each.metadata["low"], each.metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadNumber(
            f"{each.name} is {value}, outside {low if low is not None else 'any'} to {high if high is not None else 'any'}. "
            f"It is {each.metadata['help']}."
        )
