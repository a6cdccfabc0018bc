"""RLHF Lab: a small language model answers, people rank, a reward model learns, PPO follows; light to import."""

from __future__ import annotations

from typing import Any


def launch(workspace: str = "workspace", *, inline: bool = False, block: bool = False, **options: Any) -> Any:
    """Open the app from Python or a notebook; `inline` runs the model in this process. Returns Gradio's Blocks."""
    from pathlib import Path

    from lab.ui.launch import Options, serve

    return serve(Options(workspace=Path(workspace), inline=inline, **options), block=block)
