"""Which page a run is shown and steered on: each stage has its own, but all that tune a policy share the PPO page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lab.config import TUNING
from lab.ui.office import Office
from lab.workspace import Run

_STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType({"sft": ("sft",), "reward": ("reward",), "ppo": TUNING})


def stages_of(page: str) -> tuple[str, ...]:
    """The stages whose runs a page shows; that of its own name for a page of no desk."""
    return _STAGES.get(page, (page,))


def page_of(stage: str) -> str:
    """The page with the desk of a stage; '' where none has one."""
    return next((page for page, stages in _STAGES.items() if stage in stages), "")


def newest(office: Office, page: str) -> Run | None:
    """The page's run that is under way; where none is, the one that was made last, in whatever state, of those that
    this base can use."""
    runs = [run for run in reversed(office.runs()) if run.stage in stages_of(page)]
    return next((run for run in runs if run.locked()), runs[0] if runs else None)
