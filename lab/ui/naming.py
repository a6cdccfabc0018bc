"""How runs, policies and judges are called for people, on every page alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.ui.points import facts_of, run_or_none
from lab.workspace import RUN_NAME, SHIPPED, Run, Workspace, recorded

# Letters of a title that are shown where it stands among other things; the Runs page has room for all.
SHORT = 48
_POLICIES = {"base": "Base model, untuned", "sft": "SFT", "policy": "Policy in training", SHIPPED: "SFT of the base"}
# A run's name in a text, alone or at a step; not as a part of a path, nor behind its title.
_NAMED = re.compile(rf"(?<![\w(/\\.-])(?:{RUN_NAME.pattern})(?:@\d+)?(?![\w/\\-]|\.\w)")
# What a model is called on the Hub; with more slashes, or another beginning, it is a folder.
_ON_THE_HUB = re.compile(r"\w[\w.-]*(?:/[\w.-]+)?")


def called(run: Run) -> str:
    """A run's title with its name behind it, or its name; a reward model's with its half of the rankings."""
    title, more = run.title(), [run.name]
    if run.stage == "reward" and (half := (facts_of(run).get("config") or {}).get("half", "all")) != "all":
        more.append(f"{half} half")
    if title == run.name:
        return ", ".join(more)
    return f"{title if len(title) <= SHORT else title[: SHORT - 1].rstrip() + '…'} ({', '.join(more)})"


def run_called(workspace: Workspace, name: Any) -> str:
    """The same by a run's name, which stands for itself where the run is gone."""
    run = run_or_none(workspace.run, name) if name else None
    return called(run) if run else str(name or "")


def policy_called(workspace: Workspace, policy: Any, step: int = 0) -> str:
    """A policy: one that has no run, or a run; with the step where it spoke at one, also in its name (0004-ppo@20)."""
    name, at, written = str(policy or "").partition("@")
    words = _POLICIES.get(name) or run_called(workspace, name)
    spoke_at = step or written
    return f"{words} at step {spoke_at}" if (step or at) and name not in ("base", "sft", SHIPPED) else words


def recorded_called(workspace: Workspace, policy: Any) -> str:
    """A policy in the record of a run, where sft means the one that came with the base."""
    return policy_called(workspace, recorded(str(policy or "")))


def sft_called(run: Run) -> str:
    """A run of SFT where it is a policy among others."""
    return f"SFT {called(run)}"


def in_titles(workspace: Workspace, text: str) -> str:
    """A text of the lab where runs go by their names, with each that has a title called by it. Where one is called so
    already it stays, be there another run's name in its title."""
    if not _NAMED.search(text):
        return text
    runs = (*workspace.deleted(), *workspace.runs())
    titled = {run.name: called(run) for run in runs if run.title() != run.name}
    longest_first = sorted(map(re.escape, titled.values()), key=len, reverse=True)

    def called_here(found: re.Match[str]) -> str:
        name, at, step = found[0].partition("@")
        if name not in titled:
            return found[0]
        return f"{titled[name]} at step {step}" if at else titled[name]

    return re.sub("|".join((*longest_first, _NAMED.pattern)), called_here, text)


def judge_called(workspace: Workspace, judge: str) -> str:
    """Who judges a comparison."""
    kind, _, name = judge.partition(":")
    if kind == "reward" and name:
        return f"the reward model {run_called(workspace, name)}"
    return f"a simulated rater, {name}" if kind == "simulated" else judge


def base_called(run: Run, base: Mapping[str, Any]) -> str:
    """The base that a run was made with, beside the one that is loaded now, as guests may see it."""
    name = str(run.base().get("base") or "another base")
    shown = without_folder(name)
    return f"other weights of {shown}" if name == base.get("base") else shown


def without_folder(base: str) -> str:
    """A base as guests may see it: of a folder its name, and not where on the host's machine it lies."""
    on_the_hub = _ON_THE_HUB.fullmatch(base) and not Path(base).is_dir()
    return base if on_the_hub else re.split(r"[/\\]", base.rstrip("/\\"))[-1]
