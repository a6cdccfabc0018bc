"""Every stage once: what a run of it needs to begin, what makes its events, and whose forecast of memory it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from lab import dpo as dpo_stage
from lab import material, trust
from lab import ppo as ppo_stage
from lab import reward as reward_stage
from lab import rloo_grpo as group_stage
from lab import sft as sft_stage
from lab.cast import Cast
from lab.compare import compare
from lab.config import STAGES as KNOBS
from lab.config import Compare, Dpo, Group, Ppo, Reward, Sft
from lab.errors import BadInput, BadNumber, LabError, NotFound
from lab.events import Event
from lab.policies import Policies
from lab.rater import MARK, rater
from lab.runner import Live, steps_of
from lab.state import State
from lab.store import Ranking
from lab.text import Asked
from lab.workspace import Run, Workspace, recorded

Inputs = dict[str, Any]
Material = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Begun:
    """The inputs as config.json records them, the material as data.json does, and what a new run says first."""

    inputs: Inputs
    material: Material
    told: Iterable[Event] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What a run learns in, None where nothing is learned; its events; and facts that its result and adapter keep."""

    state: State | None
    events: Iterator[Event]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an input has to look like, as a test and in words."""

    fits: Callable[[Any], bool]
    words: str


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_prompt(value: Any) -> bool:
    """Plain text is what a user says."""
    if not isinstance(value, list | tuple):
        return _is_text(value)
    return bool(value) and all(
        isinstance(each, Mapping) and all(map(_is_text, (each.get("role"), each.get("content")))) for each in value
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and _is_prompt(value[0]) and _is_text(value[1])


TEXT = Shape(_is_text, "a text")
TEXTS = Shape(_are_texts, "a list of at least one text")
FLAG = Shape(lambda value: isinstance(value, bool), "True or False")
PROMPTS = Shape(
    lambda value: value in ("built-in", "ranked") or _are_texts(value), "'built-in', 'ranked' or a list of texts"
)
PAIRS = Shape(
    lambda value: isinstance(value, list | tuple) and bool(value) and all(map(_is_pair, value)),
    "a list of pairs (prompt, answer); an answer is a text, a prompt too, or messages with role and content",
)
RANKED = MappingProxyType({"raters": TEXT, "reference": TEXT})
ON_POLICY = MappingProxyType({"reward": TEXT, "reference": TEXT, "prompts": PROMPTS, "pinned": TEXTS, "anyway": FLAG})
COMPARED = MappingProxyType({"a": TEXT, "b": TEXT, "judge": TEXT, "prompts": TEXTS})


@dataclass(frozen=True, slots=True)
class Stage:
    """`begin` refuses what cannot be run, before there is a folder; `make` is called at every start and resumption.

    `inputs`: what it may be given. `forecast`: whose formula of memory.py foretells it, '' where none does. `fixed`:
    knobs that the stage decides. All its knobs stand in config.STAGES, which the page reads too and can without a model
    library.
    """

    begin: Callable[[Policies, Any, Inputs], Begun]
    make: Callable[[Policies, Run, Any, Inputs, Material], Made]
    inputs: Mapping[str, Shape]
    forecast: str
    fixed: Mapping[str, Any] = field(default_factory=dict)


def after(first: Iterable[Event], events: Iterator[Event]) -> Iterator[Event]:
    """A generator, which the runner can close when the run is stopped."""
    yield from first
    yield from events


def begin_sft(policies: Policies, config: Sft, inputs: Inputs) -> Begun:
    pairs = inputs.pop("pairs", [])
    found = material.for_sft(policies.roles.text, pairs, config.seed)
    return Begun(inputs | {"pairs": len(pairs) or "built-in"}, found)


def make_sft(policies: Policies, run: Run, config: Sft, inputs: Inputs, found: Material) -> Made:
    state = sft_stage.begin(policies.roles, config, run.name)
    pairs, held_out = ([tuple(pair) for pair in found[key]] for key in ("pairs", "held_out"))
    events = sft_stage.sft(state, pairs, Live(run, config), held_out=held_out, pinned=found["pinned"])
    return Made(state, after(material.left_out_warning(found), events))


def begin_reward(policies: Policies, config: Reward, inputs: Inputs) -> Begun:
    begun = _begin_ranked(policies, config, inputs)
    reward_stage.split(material.rankings_in(begun.material), config)
    return begun


def make_reward(policies: Policies, run: Run, config: Reward, inputs: Inputs, found: Material) -> Made:
    text, reference = policies.roles.text, policies.role(recorded(inputs["reference"]))
    state = reward_stage.begin(policies.roles, config, run.name, reference)
    prompts = text.asked(found["prompts"], room=config.tokens)
    events = reward_stage.reward(state, material.rankings_in(found), prompts, Live(run, config), reference)
    cut = material.cut_warning(found, config.context, text.context)
    return Made(state, after(cut, events), {"raters_used": found["raters"]})


def begin_dpo(policies: Policies, config: Dpo, inputs: Inputs) -> Begun:
    given = inputs.get("pinned") or []
    begun = _begin_ranked(policies, config, inputs)
    return Begun(begun.inputs, begun.material | {"pinned": material.pinned(policies.roles.text, given)})


def make_dpo(policies: Policies, run: Run, config: Dpo, inputs: Inputs, found: Material) -> Made:
    text, cast = policies.roles.text, Cast(run.name, policies.role(recorded(inputs["reference"])))
    state = dpo_stage.begin(policies.roles, cast, config)
    events = dpo_stage.dpo(state, cast, material.rankings_in(found), Live(run, config), found.get("pinned", ()))
    cut = material.cut_warning(found, text.context, text.context)
    return Made(state, after(cut, events), {"raters_used": found["raters"]})


def _begin_ranked(policies: Policies, config: Reward | Dpo, inputs: Inputs) -> Begun:
    text, rankings = policies.roles.text, _rankings(policies.workspace)
    raters = material.raters_of(rankings, str(inputs.get("raters") or ""))
    longest, half = getattr(config, "context", text.context), getattr(config, "half", material.ALL)
    found = material.for_reward(text, rankings, raters, longest, half, getattr(config, "tokens", 1))
    return Begun(inputs | {"raters": raters, "reference": policies.role(trust.start_of(inputs) or "sft")}, found)


def _rankings(workspace: Workspace) -> list[Ranking]:
    """None where nobody has ranked yet."""
    if not workspace.db.exists():
        return []
    with workspace.store(read_only=True) as store:
        return store.rankings()


def begin_on_policy(policies: Policies, config: Ppo | Group, inputs: Inputs) -> Begun:
    """What PPO, RLOO and GRPO need: a reward model to follow, one that may be trusted, and prompts to practise on."""
    cast = policies.cast(str(inputs.get("reward") or ""), trust.start_of(inputs))
    reward, given = policies.workspace.run(cast.reward), inputs.get("prompts")
    anyway = {"anyway": True} if inputs.get("anyway") is True else {}
    if not anyway:
        trust.check(reward)
    text, ranked, left_out = policies.roles.text, [], 0
    if given == "ranked":
        ranked, left_out = material.asked_in(text, _rankings(policies.workspace), config.tokens)
    found = material.for_ppo(inputs, ranked, config.seed) | {"left_out": left_out}
    # Whoever wrote a prompt can shorten it, so one of these that is too long is refused.
    text.asked(found["pinned"] if ranked else found["prompts"] + found["pinned"], room=config.tokens)
    kind = "own" if isinstance(given, list) else given or "built-in"
    known = {"reward": cast.reward, "reference": cast.reference, "prompts": kind, "pinned": found["pinned"]}
    told = [*material.left_out_warning(found), *trust.apart(reward, cast.reference)]
    return Begun(known | anyway, found, told)


def make_ppo(policies: Policies, run: Run, config: Ppo, inputs: Inputs, found: Material) -> Made:
    cast, prompts, pinned = _on_policy(policies, run, config, inputs, found)
    state, live = ppo_stage.begin(policies.roles, cast, config), Live(run, config)
    recast = Recast(policies, run, cast)
    events = ppo_stage.ppo(state, cast, prompts, live, pinned, steps_of(run), lambda: live.moved("beta"), recast)
    return Made(state, events)


def make_group(policies: Policies, run: Run, config: Group, inputs: Inputs, found: Material) -> Made:
    cast, prompts, pinned = _on_policy(policies, run, config, inputs, found)
    state = group_stage.begin(policies.roles, cast, config)
    live, recast = Live(run, config), Recast(policies, run, cast)
    return Made(state, group_stage.rloo_grpo(state, cast, prompts, live, pinned, steps_of(run), recast))


@dataclass
class Recast:
    """Who plays which part now: the reward model is the one that the run was told to follow since it began."""

    policies: Policies
    run: Run
    cast: Cast

    def __call__(self) -> Cast:
        """As before where that one cannot be had any more."""
        named = self.run.control()["reward"]
        if named and named != self.cast.reward:
            with suppress(LabError):
                self.cast = self.policies.cast(named, self.cast.reference, self.run.name)
        return self.cast


def _on_policy(
    policies: Policies, run: Run, config: Ppo | Group, inputs: Inputs, found: Material
) -> tuple[Cast, list[Asked], list[Asked]]:
    """Who plays which part, the prompts to practise on and those to watch."""
    cast = policies.cast(inputs["reward"], recorded(inputs["reference"]), policy=run.name)
    prompts, pinned = (policies.roles.text.asked(found[key], room=config.tokens) for key in ("prompts", "pinned"))
    return cast, prompts, pinned


def begin_compare(policies: Policies, config: Compare, inputs: Inputs) -> Begun:
    names = dict(zip("ab", policies.roles_of([str(inputs.get(key) or "sft") for key in "ab"]), strict=True))
    judge = str(inputs.get("judge") or MARK + "helpful")
    simulated = judge.startswith(MARK)
    if simulated:
        rater(judge)
    # The best of several is the reward model's choice, so there must be one; scores are left out without one.
    needed = not simulated or config.best_of > 1 or policies.workspace.newest("reward", base=policies.loaded)
    names["reward"] = policies.cast("" if simulated else judge.removeprefix("reward:")).reward if needed else ""
    found = material.for_compare(inputs, config.count, config.seed)
    return Begun(names | {"judge": judge, "reference": policies.role("sft")}, found)


def make_compare(policies: Policies, run: Run, config: Compare, inputs: Inputs, found: Material) -> Made:
    a, b, reference = policies.roles_of([recorded(inputs[key]) for key in ("a", "b", "reference")])
    reward, judge = inputs.get("reward"), inputs["judge"]
    cast = policies.cast(reward, recorded(inputs["reference"])) if reward else Cast(reference=reference, reward="")
    prompts: Sequence[Asked] = policies.roles.text.asked(found["prompts"], room=config.tokens)
    score = rater(judge).utility if judge.startswith(MARK) else None
    return Made(None, compare(policies.roles, cast, (a, b), prompts, score, config), {"judge": judge})


STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "sft": Stage(begin_sft, make_sft, MappingProxyType({"pairs": PAIRS, "file": TEXT}), "sft"),
        "reward": Stage(begin_reward, make_reward, RANKED, "reward"),
        "ppo": Stage(begin_on_policy, make_ppo, ON_POLICY, "ppo"),
        "rloo": Stage(begin_on_policy, make_group, ON_POLICY, "ppo", MappingProxyType({"method": "rloo"})),
        "grpo": Stage(begin_on_policy, make_group, ON_POLICY, "ppo", MappingProxyType({"method": "grpo"})),
        "dpo": Stage(begin_dpo, make_dpo, MappingProxyType({**RANKED, "pinned": TEXTS}), "dpo"),
        "compare": Stage(begin_compare, make_compare, COMPARED, ""),
    }
)


def stage_named(name: str) -> Stage:
    """NotFound where there is none."""
    if name not in STAGES:
        raise NotFound(f"There is no stage {name!r}. Stages: {', '.join(STAGES)}.")
    return STAGES[name]


def check_knobs(stage: str, knobs: Mapping[str, Any]) -> None:
    """BadNumber for a name that is no setting of the stage's; values are checked with the base's own defaults."""
    known = [each.name for each in fields(KNOBS[stage])]
    if unknown := [name for name in knobs if name not in known]:
        raise BadNumber(f"These settings do not belong to {stage}: {', '.join(unknown)}. It has {', '.join(known)}.")


def check_inputs(stage: str, inputs: Any) -> None:
    """BadInput for what the stage would not look at, or could not read; None is what was left out."""
    known = stage_named(stage).inputs
    if not isinstance(inputs, Mapping):
        raise BadInput(f"The inputs of {stage} are a dict with {', '.join(known)} in it, not {type(inputs).__name__}.")
    if unknown := [str(name) for name in inputs if name not in known]:
        raise BadInput(f"These inputs do not belong to {stage}: {', '.join(unknown)}. It takes {', '.join(known)}.")
    for name, value in inputs.items():
        if value is not None and not known[name].fits(value):
            raise BadInput(f"The input {name} of {stage} is {known[name].words}; {str(value)[:60]!r} is not.")
