"""Brings a model from Hugging Face to this machine, says how far it is, and says in one line why it could not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from lab.errors import DiskFull, LabError, ModelIncomplete

WANTED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
UNWANTED = ("*/*", "consolidated*", "training_args*", "optimizer*")  # other formats of the same weights, and leftovers
SECONDS = 2.0
EMBEDDED = "The embedded models are called tiny and small."


def fetch(name: str, say: Callable[[str], None] | None = None) -> Path:
    """The folder of a Hugging Face id, with all that loading needs; what is on this machine is not fetched again.

    After a download that broke off, files that came whole are kept. say: told how far it is, in a sentence; without
    it the hub's own bars run on stderr. Raises ModelIncomplete and DiskFull.
    """
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download

    bars = {"tqdm_class": _bars(name, say)} if say else {}
    patterns = {"allow_patterns": WANTED, "ignore_patterns": UNWANTED}
    try:
        folder = Path(snapshot_download(name, local_files_only=not answers(), **patterns, **bars))
    except (OSError, ValueError, HTTPError) as problem:
        raise _refusal(name, problem) from problem
    if not any(folder.glob("*.safetensors")):
        raise ModelIncomplete(f"{name} has no weights as safetensors, and no other kind is loaded. {EMBEDDED}")
    return folder


def _refusal(name: str, problem: Exception) -> LabError:
    """What went wrong, for a person."""
    from huggingface_hub import errors

    if isinstance(problem, errors.GatedRepoError):
        found = f"{name} is given only to those who accept its terms. Accept them on {endpoint()}/{name}, then log in "
        return ModelIncomplete(f"{found}here: hf auth login. {EMBEDDED}")
    if isinstance(problem, errors.RepositoryNotFoundError):
        found = f"{name} is neither a folder here nor a model on {endpoint()}, or it is private."
        return ModelIncomplete(f"{found} Check the name, or log in: hf auth login. {EMBEDDED}")
    if isinstance(problem, errors.IncompleteSnapshotError):
        found = f"{name} was downloaded only in part, and {endpoint()} cannot be reached. Connect to the internet and "
        return ModelIncomplete(f"{found}load it again: files that came whole are kept. {EMBEDDED}")
    if isinstance(problem, errors.LocalEntryNotFoundError):
        found = f"{name} is not on this machine, and {endpoint()} cannot be reached."
        return ModelIncomplete(f"{found} Connect to the internet, or name a folder. {EMBEDDED}")
    if getattr(problem, "errno", None) == errno.ENOSPC:
        return DiskFull(f"The disk is full, so {name} could not be downloaded. Free some space and load it again.")
    found = (str(problem).splitlines() or [type(problem).__name__])[0]
    return ModelIncomplete(
        f"The download of {name} broke off ({found}). Load it again: files that came whole are kept."
    )


def endpoint() -> str:
    """Hugging Face, or the mirror that HF_ENDPOINT names."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def answers(seconds: float = SECONDS) -> bool:
    """Whether the hub can be reached; its own client would retry for minutes before it says no."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    where = urlsplit(endpoint())
    if where.scheme in getproxies():
        return True
    try:
        socket.create_connection(
            (where.hostname, where.port or (443 if where.scheme == "https" else 80)), seconds
        ).close()
    except OSError:
        return False
    return True


def _bars(name: str, say: Callable[[str], None]) -> Any:
    """A class of progress bars that draws nothing and tells the bytes that have come, for the hub's own client."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any):
            self.of_bytes = str(options.get("desc")).startswith(
                "Reconstructing"
            )  # of two bars, the one that counts all
            super().__init__(*args, **options | {"disable": False})

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            if self.of_bytes and self.total:
                share = self.n / self.total
                say(f"{name} is being downloaded: {share:.0%} of {self.total / 1e6:,.0f} MB.")
            return True

        def close(self) -> None:
            self.disable = True  # the parent's close ends the line on stderr

    return Bar
