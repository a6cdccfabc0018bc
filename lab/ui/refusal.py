"""What the worker refused, raised in the page's process as the error that it was over there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import error_named


def refuse(answer: Mapping[str, Any]) -> None:
    """Raise the error of an answer that has one."""
    error = answer.get("error")
    if error:
        raise error_named(str(error.get("code", "")))(str(error.get("message", "The worker gave no reason.")))
