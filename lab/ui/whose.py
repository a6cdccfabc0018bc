"""Whose rankings a page asks to learn from."""

from __future__ import annotations

from typing import Any

from lab.errors import BadInput
from lab.store.raters import ALL, PERSON
from lab.ui.office import Office


def asked_raters(office: Office, body: dict[str, Any]) -> str:
    """person, all or one rater's name; '' lets the worker choose people's where there are any. Raises BadInput."""
    raters = str(body.get("raters") or "")
    if raters not in ("", PERSON, ALL, *office.store.counts()["raters"]):
        raise BadInput(f"Nobody called {raters[:64]!r} has ranked anything here. Choose somebody from the list.")
    return raters
