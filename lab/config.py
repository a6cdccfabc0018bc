"""Every knob of every stage, once: the command line's flags and the page's fields are made from these fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from lab.errors import BadNumber

# What people rank, what PPO rolls out and what is compared is sampled alike. 0.7 as in OpenAI's TL;DR and the N+ and
# TRL reproductions: at 1 a small model's answers are too often garbled to be worth ranking.
TEMPERATURE = 0.7
# Sizes of bases, as logarithms of their parameters: the embedded ones, a small language model, one for a larger GPU.
SIZES = tuple(map(math.log, (13e6, 135e6, 1.5e9)))
# A reward model's least, by judgement: five rankings of four answers give 30 pairs to learn from; among fewer than ten
# unseen ones a single pair is more than ten points of accuracy.
PAIRS_TO_LEARN, PAIRS_TO_TEST = 30, 10
RANKINGS_FOR_CURVE = 12  # to learn from: a quarter of fewer teaches nothing that a learning curve could show
SEEDS = 2**31 - 1  # the largest seed: seeds of steps are made from it
# A knob that can be no larger than another one.
WITHIN: Mapping[str, str] = MappingProxyType({"minibatch": "batch"})
# What a base's weights are kept in. auto: bfloat16; on a CPU float32 where its products are faster so, or where our own
# lean pass does not serve.
PRECISIONS = ("auto", "bfloat16", "float16", "float32", "8-bit", "4-bit")


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    live: bool = False,
    shown: bool = False,
    choices: tuple[str, ...] = (),
    sized: tuple[float, ...] = (),
) -> Any:
    """A field with its help text and range; live: may move while a run goes on; shown: on the page in the open.

    sized: what it is for bases of SIZES, where nobody sets it; the default is that of the first.
    """
    metadata = {"help": help, "low": low, "high": high, "live": live, "shown": shown, "choices": choices}
    return field(default=default, metadata=metadata | {"sized": sized})


def _rate(what: str, *sized: float) -> Any:
    """A learning rate. Those of the larger bases are OpenRLHF's and verl's for whole models, ten times as high for LoRA
    as TRL advises.
    """
    help = f"how far each step moves the {what}"
    return knob(sized[0], help, low=1e-8, high=1.0, live=True, shown=True, sized=sized)


def sized(config: type, parameters: int) -> dict[str, float]:
    """The knobs that depend on the size of the base, for one of so many parameters; between SIZES on a log scale."""
    size = min(max(math.log(parameters), SIZES[0]), SIZES[-1])
    high = next(place for place, each in enumerate(SIZES) if size <= each and place)
    share = (size - SIZES[high - 1]) / (SIZES[high] - SIZES[high - 1])
    found = {}
    for each in (each for each in fields(config) if each.metadata["sized"]):
        below, above = each.metadata["sized"][high - 1 : high + 1]
        found[each.name] = float(f"{below ** (1 - share) * above**share:.2g}")
    return found


def along(config: type, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs that nobody set and that can be no larger than one that somebody did: those come along with it."""
    usual = {each.name: each.default for each in fields(config)}
    pairs = [(name, most) for name, most in WITHIN.items() if name in usual and most in knobs and name not in knobs]
    return {name: knobs[most] for name, most in pairs if isinstance(knobs[most], int) and 0 < knobs[most] < usual[name]}


def _refresh() -> Any:
    """Christiano et al. (2017) let people judge and the reward model learn while the policy goes on."""
    help = (
        "so many new rankings after which the reward model is trained anew, while the policy waits between two steps, "
        "and then followed; 0 is never. Rank on while it runs: answers of the policy in training, best of all"
    )
    return knob(0, help, low=0, high=10_000, live=True)


def _unfrozen(share: float = 0.5) -> Any:
    """In the upper half PPO and reward models of the embedded base learn as much as in all layers, in less time."""
    help = (
        "share of the layers, from the top: 0.5 is the upper half, 1 is all; less is faster and takes less memory, "
        "more can change more; PPO, RLOO and GRPO compute those below once for all roles that are alike there"
    )
    return knob(share, help, low=0.01, high=1.0)


def _temperature(live: bool) -> Any:
    help = "how varied the answers are that it learns from: at 1 as the model has them, below that more predictable"
    return knob(TEMPERATURE, help, low=0.05, high=5.0, live=live, shown=True)


def _missing_eos() -> Any:
    help = (
        "what becomes of the score of an answer that was cut off at its longest: it is replaced by -1, 1 is "
        "subtracted, or it stays (off)"
    )
    return knob("replace", help, choices=("replace", "subtract", "off"))


def _optimizer() -> Any:
    return knob(
        "adamw",
        "adamw, or its moments in 8 bits, which a GPU may page out: less memory, a little rounding",
        choices=("adamw", "adamw_8bit"),
    )


def _checkpointing() -> Any:
    return knob(
        "off",
        "compute layers a second time instead of keeping them: memory, not mathematics",
        choices=("off", "on"),
    )


@dataclass(frozen=True, slots=True)
class Sft:
    """Supervised fine-tuning on instruction pairs."""

    steps: int = knob(300, "optimizer steps", low=1, high=100_000, shown=True)
    batch: int = knob(16, "pairs in one optimizer step", low=1, high=1024, shown=True)
    microbatch: int = knob(16, "pairs in one forward pass: memory, not mathematics", low=1, high=1024)
    rank: int = knob(8, "LoRA rank: how much the adapter can change", low=1, high=512, shown=True)
    learning_rate: float = _rate("adapter", 3e-3, 2e-4, 1e-4)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    unfrozen: float = _unfrozen(1.0)
    optimizer: str = _optimizer()
    checkpointing: str = _checkpointing()
    seed: int = knob(0, "order of the pairs and start of the adapter", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Reward:
    """Training the reward model on rankings."""

    epochs: int = knob(
        0, "passes over the rankings; 0 chooses: 3 for few rankings, 1 for many", low=0, high=1000, shown=True
    )
    batch: int = knob(8, "rankings in one optimizer step", low=1, high=1024, shown=True)
    learning_rate: float = _rate("adapter and head", 3e-4, 1e-4, 5e-5)
    held_out: float = knob(0.2, "share of the prompts kept for testing", low=0.0, high=0.9, shown=True)
    half: str = knob(
        "all",
        "which prompts' rankings to learn from: all, or one of two halves, so that a second reward model on the other "
        "half can judge what PPO made of the first",
        choices=("all", "first", "second"),
    )
    loss: str = knob(
        "pairs", "every pair of a ranking (InstructGPT), or the ranking as a whole", choices=("pairs", "plackett_luce")
    )
    head: str = knob(
        "fitted",
        "where the head begins: fitted to the rankings on frozen states, or drawn at random",
        choices=("fitted", "random"),
    )
    weight_decay: float = knob(0.01, "pull of the adapter towards zero", low=0.0, high=10.0)
    normalise_over: int = knob(256, "responses of the reference that fix the score's mean and spread", low=8, high=4096)
    tokens: int = knob(72, "longest response in tokens when the scale is measured", low=1, high=512)
    temperature: float = knob(TEMPERATURE, "how varied the answers are when the scale is measured", low=0.05, high=5.0)
    context: int = knob(256, "longest prompt and response in tokens; longer ones are cut", low=16, high=100_000)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    unfrozen: float = _unfrozen()
    optimizer: str = _optimizer()
    checkpointing: str = _checkpointing()
    seed: int = knob(0, "split and order of the rankings", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Ppo:
    """Proximal policy optimisation with a KL penalty to the reference.

    The learning rate follows no schedule: it is moved by hand while the run goes on, and what is seen is what it does.
    """

    method, group = "ppo", 1  # no knobs: each answer stands alone
    steps: int = knob(60, "rollouts, each followed by its updates", low=1, high=100_000, shown=True)
    batch: int = knob(64, "responses in one rollout", low=8, high=4096, shown=True)
    minibatch: int = knob(32, "responses in one optimizer step", low=1, high=4096)
    microbatch: int = knob(16, "responses in one forward pass: memory, not mathematics", low=1, high=4096)
    epochs: int = knob(2, "passes over each rollout", low=1, high=16, shown=True)
    tokens: int = knob(72, "longest response in tokens", low=1, high=512, shown=True)
    learning_rate: float = _rate("policy", 1.5e-3, 2e-5, 1e-5)
    beta: float = knob(
        0.05,
        "the price of a nat of KL to the reference; where it is low, answers can lose truth for a manner that scores",
        low=0.0,
        high=1000.0,
        live=True,
        shown=True,
    )
    target_kl: float = knob(
        0.0,
        "nats a response that an adaptive beta steers to; 0 keeps beta fixed",
        low=0.0,
        high=1000.0,
        live=True,
        shown=True,
    )
    temperature: float = _temperature(live=True)
    clip: float = knob(0.2, "how far a ratio may move within one step", low=0.01, high=10.0)
    value_model: str = knob(
        "head",
        "a value head on the policy's own states, or an adapter that starts from the reward model: slower, but it "
        "guesses better",
        choices=("head", "adapter"),
    )
    value_clip: float = knob(0.2, "how far a value may move within one step", low=0.01, high=100.0)
    # At 0.1 (OpenAI 2019) the states of so small a policy hardly learn to tell values, and the head explains nothing.
    value_weight: float = knob(
        1.0,
        "how much guessing the score beforehand counts beside answering well, where the value head shares the policy's "
        "layers",
        low=0.0,
        high=10.0,
    )
    gamma: float = knob(1.0, "what a reward one token later is worth", low=0.0, high=1.0)
    lam: float = knob(
        0.95,
        "how a token is judged: at 1 by all the rewards that come after it, which is true but noisy; towards 0 by the "
        "value model's guesses, which is steady but only as good as they are",
        low=0.0,
        high=1.0,
    )
    update_kl: float = knob(0.02, "nats a token within one step; over 1.5 times it the step's updates end", low=1e-5)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    missing_eos: str = _missing_eos()
    score_clip: float = knob(5.0, "largest shaped score", low=0.1)
    refresh: int = _refresh()
    pinned_every: int = knob(5, "steps between two answers to the pinned prompts", low=1, high=1000)
    unfrozen: float = _unfrozen()
    optimizer: str = _optimizer()
    checkpointing: str = _checkpointing()
    seed: int = knob(0, "prompts and sampling", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)
        if self.minibatch > self.batch:
            raise BadNumber(
                f"A rollout of {self.batch} cannot be cut in minibatches of {self.minibatch}. Lower minibatch."
            )


@dataclass(frozen=True, slots=True)
class Group:
    """Policy gradients with the other answers to a prompt as the baseline."""

    # No knobs, unlike PPO's: beta stays as it is set, all passes are made, and there is no value model.
    target_kl, update_kl, value_model = 0.0, math.inf, ""
    method: str = knob(
        "rloo", "leave one out (Ahmadian 2024), or standardised scores (Shao 2024)", choices=("rloo", "grpo")
    )
    steps: int = knob(60, "rollouts, each followed by its updates", low=1, high=100_000, shown=True)
    prompts: int = knob(16, "prompts in one rollout", low=2, high=4096, shown=True)
    group: int = knob(4, "answers to a prompt, each judged against the others", low=2, high=64, shown=True)
    microbatch: int = knob(16, "responses in one forward pass: memory, not mathematics", low=1, high=4096)
    epochs: int = knob(1, "passes over each rollout", low=1, high=16)
    tokens: int = knob(72, "longest response in tokens", low=1, high=512, shown=True)
    learning_rate: float = _rate("policy", 1.5e-3, 2e-5, 1e-5)
    beta: float = knob(0.1, "the price of a nat of KL to the reference", low=0.0, high=1000.0, live=True, shown=True)
    temperature: float = _temperature(live=False)
    clip: float = knob(0.2, "how far a ratio may move within one step", low=0.01, high=10.0)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    missing_eos: str = _missing_eos()
    score_clip: float = knob(5.0, "largest shaped score", low=0.1)
    refresh: int = _refresh()
    pinned_every: int = knob(5, "steps between two answers to the pinned prompts", low=1, high=1000)
    unfrozen: float = _unfrozen()
    optimizer: str = _optimizer()
    checkpointing: str = _checkpointing()
    seed: int = knob(0, "prompts and sampling", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)

    @property
    def batch(self) -> int:
        """Responses in one rollout."""
        return self.prompts * self.group

    @property
    def minibatch(self) -> int:
        """The whole rollout is one optimizer step: a ratio that has moved is fragile here."""
        return self.batch


@dataclass(frozen=True, slots=True)
class Dpo:
    """Direct preference optimisation on rankings."""

    epochs: int = knob(1, "passes over the pairs", low=1, high=1000, shown=True)
    batch: int = knob(16, "pairs in one optimizer step", low=1, high=1024, shown=True)
    microbatch: int = knob(8, "pairs in one forward pass: memory, not mathematics", low=1, high=1024)
    learning_rate: float = _rate("policy", 2e-3, 1e-5, 1e-5)
    beta: float = knob(0.1, "how closely the policy is held to the reference", low=1e-4, high=1000.0, shown=True)
    grad_clip: float = knob(1.0, "largest gradient norm", low=1e-3)
    unfrozen: float = _unfrozen()
    optimizer: str = _optimizer()
    checkpointing: str = _checkpointing()
    seed: int = knob(0, "order of the pairs", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Compare:
    """Two policies on the same unseen prompts."""

    count: int = knob(100, "prompts that both answer", low=2, high=10_000, shown=True)
    tokens: int = knob(72, "longest response in tokens", low=1, high=512, shown=True)
    temperature: float = knob(TEMPERATURE, "how varied the answers are", low=0.05, high=5.0, shown=True)
    best_of: int = knob(
        1, "answers of the first policy from which the best scored is taken", low=1, high=64, shown=True
    )
    seed: int = knob(0, "prompts and sampling", low=0, high=SEEDS)

    def __post_init__(self) -> None:
        check(self)


STAGES: Mapping[str, type] = MappingProxyType(
    {"sft": Sft, "reward": Reward, "ppo": Ppo, "rloo": Group, "grpo": Group, "dpo": Dpo, "compare": Compare}
)
# The stages whose run is a tuned policy.
TUNING = ("ppo", "rloo", "grpo", "dpo")
# What is halved where memory runs out even in the smallest parts, and what it is halved down to.
HALVED: Mapping[str, int] = MappingProxyType({"tokens": 16, "context": 64, "rank": 4})


def lessened(config: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of a run to turn, with their new values, where memory ran out even with the work in its smallest parts.

    >>> lessened({"tokens": 72, "rank": 4, "checkpointing": "off"})
    {'tokens': 36, 'checkpointing': 'on'}
    """
    halves = {name: max(least, config[name] // 2) for name, least in HALVED.items() if config.get(name, 0) > least}
    return halves | ({"checkpointing": "on"} if config.get("checkpointing") == "off" else {})


def check(config: Any) -> None:
    """BadNumber for a value that is not finite, of the wrong type or outside its range."""
    for each in fields(config):
        value = getattr(config, each.name)
        if isinstance(each.default, str):
            _check_choice(each, value)
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise BadNumber(f"{each.name} ({each.metadata['help']}) must be a number, not {value!r}.")
        if isinstance(each.default, int) and not isinstance(value, int):
            raise BadNumber(f"{each.name} must be a whole number, not {value!r}.")
        _check_range(each, value)


def _check_range(each: Field, value: float) -> None:
    low, high = each.metadata["low"], each.metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadNumber(
            f"{each.name} ({each.metadata['help']}) is {value}, outside {'any' if low is None else low} to "
            f"{'any' if high is None else high}."
        )


def _check_choice(each: Field, value: object) -> None:
    if value not in each.metadata["choices"]:
        raise BadNumber(f"{each.name} is one of {', '.join(each.metadata['choices'])}, not {value!r}.")
