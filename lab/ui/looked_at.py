"""What is served of a workspace that is only looked at, and what stands in place of the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from lab.errors import NewerWorkspace, ReadOnly
from lab.store.looking import Barred
from lab.workspace import Workspace

# The actions that change nothing in the workspace; any other one, and whatever is added later without a thought, does.
READING = frozenset(
    {
        *(f"{stage}-desk" for stage in ("sft", "reward", "ppo")),
        *(f"compare-{name}" for name in ("choices", "tally", "results", "frontier", "side-look", "chat-look")),
        *("reward-facts", "reward-score-look", "runs-list", "runs-compare", "board-sources"),
        *("curves", "timeline", "samples", "tokens", "state", "together", "name"),
        *("sft-data", "bring-look", "bring-list"),
    }
)
# What a page cannot do there, for whoever misses it.
MISSING: Mapping[str, str] = MappingProxyType(
    {
        "model": "No model runs here, so there is none to talk to, and no other one can be loaded.",
        "sft": "No run can be started or steered here. Those that there are can be looked at.",
        "rank": "No answers can be ranked here: a model would write them into the workspace. What was ranked can be "
        "taken away from the Compare page.",
        "reward": "No run can be started here, and no text scored. The reward models that there are can be looked at.",
        "ppo": "No run can be started or steered here. Those that there are can be looked at.",
        "compare": "No answers can be judged here, for no model runs. What was judged before stands below.",
    }
)
NO_MODEL = "No model runs here: this workspace is only shown."


class Resting:
    """In the place of the model process, which would write its answers into the workspace: it is never started."""

    alive = given_up = False
    pid = None

    def start(self) -> None:
        """And so for all that would start or end it."""

    stop = restart = kill = start

    def sentence(self, whole: bool = True) -> str:
        return NO_MODEL


def check(barred: Barred | None, action: str) -> None:
    """ReadOnly where something that writes is asked for and nothing may be written."""
    if barred and action not in READING:
        raise ReadOnly(barred.why)


def missing(page: str) -> str:
    """The markup of that; the header's script fills in how many rankings there are."""
    counted = '<span class="lab-counted"></span>' if page == "rank" else ""
    return f'<p class="lab-missing">{escape(MISSING[page])}{counted}</p>'


def unshown(barred: Barred | None) -> str:
    """What is said of a fault that nobody foresaw: in a workspace of a newer lab that is the likely reason."""
    newer = barred and barred.kind is NewerWorkspace
    return "The newer version of the lab keeps this in another way, so it cannot be shown here. " if newer else ""


def banner(barred: Barred | None) -> str:
    """The words over every page. Both texts are ours; the folder's name is a person's."""
    if not barred:
        return ""
    return f'<p class="lab-looking" role="note"><b>Only to look at.</b> {escape(barred.why)}</p>'


@contextmanager
def own_folder(workspace: Workspace) -> Iterator[Path]:
    """Where an app keeps what is its own, its lock and the words of its links: in the workspace, or where nothing may
    be written there in a folder that goes with it. Links that open the workspace already go on to."""
    if not workspace.barred:
        yield workspace.root
        return
    with TemporaryDirectory(prefix="lab-app-") as folder:
        with suppress(OSError):
            shutil.copyfile(workspace.root / "links.json", Path(folder) / "links.json")
        yield Path(folder)
