"""RLHF Lab: a small language model answers, people rank, a reward model learns, PPO follows; light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def launch(workspace: str = "workspace", *, inline: bool = False, block: bool = False, **options: Any) -> Any:
    """Open the app from Python or a notebook; `inline` runs the model in this process.

    Returns Gradio's Blocks, whose close() ends the model too and leaves the workspace to others, such as `lab.run`.
    """
    from pathlib import Path

    from lab.ui.launch import Options, serve

    return serve(Options(workspace=Path(workspace), inline=inline, **options), block=block)


def run(
    stage: str, workspace: str = "workspace", *, base: str = "", inputs: dict | None = None, **knobs: Any
) -> Iterator[Any]:
    """The events of a new run of a stage (sft, reward, ppo, rloo, grpo, dpo, compare) in a workspace, as they happen.

    `for event in lab.live(lab.run("ppo", steps=20)): ...` also draws. What the stage does not know among `inputs` and
    knobs is refused at once. Raises Busy while an app works in the workspace.
    """
    from lab.stages import check_inputs, check_knobs

    given = {} if inputs is None else inputs
    check_inputs(stage, given)
    check_knobs(stage, knobs)
    return _driven(workspace, base, lambda studio: studio.start(stage, knobs, given, "notebook"))


def resume(name: str, workspace: str = "workspace", *, step: int | None = None) -> Iterator[Any]:
    """The events of a run that was stopped or killed, from its newest whole checkpoint on, or from that of a step.

    Raises NotFound at once where the workspace has no such run, and Busy while an app works in it or once the run is
    done.
    """
    from pathlib import Path

    from lab.errors import NotFound
    from lab.workspace import Workspace

    if not Path(workspace).is_dir():
        raise NotFound(f"There is no workspace {workspace}. Name the one that the run is in.")
    Workspace(Path(workspace)).run(name)  # or a word that there is none
    return _driven(workspace, "", lambda studio: studio.resume(name, step))


def _driven(workspace: str, base: str, begin: Callable[[Any], Any]) -> Iterator[Any]:
    from pathlib import Path

    from lab.runner import drive
    from lab.worker import open_studio
    from lab.workspace import Workspace

    opened = Workspace(Path(workspace))
    lock = opened.lock()
    lock.acquire(timeout=0)
    try:
        yield from drive(begin(open_studio(opened, base)))
    finally:
        lock.release()


def live(events: Iterator[Any]) -> Iterator[Any]:
    """The events again, with a figure that grows under the notebook's cell; Unsupported at once where there is none."""
    from lab.notebook import live_figure

    return live_figure(events)
