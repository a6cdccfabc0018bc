"""Who may do what: in a workshop or demo everybody ranks and watches; only the host changes runs and files."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from lab.errors import Forbidden

KEY, COOKIE, GUEST, RATER = "lab_key", "lab_host", "lab_guest", "lab_rater"
SHARED_MODES = ("workshop", "demo")
# What everybody may ask for; any other action, and whatever is added later without a thought, is the host's.
EVERYBODY = frozenset(
    {
        *(f"board-{name}" for name in ("next", "look", "submit", "undo", "again", "own", "sources")),
        *(f"compare-{name}" for name in ("choices", "tally", "results", "side", "side-look", "frontier")),
        *(f"compare-{name}" for name in ("chat", "chat-look")),
        *(f"{stage}-desk" for stage in ("sft", "reward", "ppo")),
        *("reward-facts", "reward-score", "reward-score-look", "runs-list", "runs-compare"),
        *("curves", "timeline", "samples", "tokens", "state", "name", "together"),
    }
)
UPLOADS = ("/gradio_api/upload",)
_OWN = re.compile("[A-Za-z0-9_-]{22}")


def marked(name: str, mark: str) -> str:
    """What a cookie is called in one workspace: a browser sends all cookies of a machine to each of its ports."""
    return f"{name}_{mark}" if mark else name


def cookies_of(mark: str, found: Mapping[str, str]) -> dict[str, str]:
    """A workspace's cookies by their plain names; where it has none of its own, that of a lab from before the marks."""
    own = {name: found.get(marked(name, mark)) or found.get(name) for name in (KEY, COOKIE, GUEST, RATER)}
    return {name: value for name, value in own.items() if value}


def new_guest() -> str:
    """What a browser's own cookie holds: nobody else knows it, and nobody can guess it."""
    return secrets.token_urlsafe(16)


def seal(cookies: Mapping[str, str]) -> str:
    """What is kept of a browser's own cookie beside what it saved, and tells nobody that cookie; '' without one."""
    own = cookies.get(GUEST, "")
    return hashlib.sha256(own.encode()).hexdigest()[:32] if _OWN.fullmatch(own) else ""


def number(cookies: Mapping[str, str]) -> str:
    """Six digits that tell guests without a name apart, for all to read; '' for a browser without a cookie."""
    found = seal(cookies)
    return str(int(found, 16) % 900_000 + 100_000) if found else ""


def is_host(mode: str, key: str, cookies: Mapping[str, str]) -> bool:
    """Whether this browser is the host's: any browser in solo mode, else one that opened the host's link."""
    if mode not in SHARED_MODES:
        return True
    return bool(key) and hmac.compare_digest(cookies.get(COOKIE, "").encode(), key.encode())


def check(host: bool, action: str) -> None:
    """Forbidden where a guest asks for what is the host's."""
    if not host and action not in EVERYBODY:
        raise Forbidden("Only the host may do that. You may rank, chat and watch; ask the host for the rest.")
