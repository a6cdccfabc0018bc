"""What the worker refused, raised in the page's process as the error that it was over there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lab.errors
from lab.errors import LabError


def refuse(answer: Mapping[str, Any]) -> None:
    """Raise the error of an answer that has one."""
    error = answer.get("error")
    if error:
        raise error_named(str(error.get("code", "")))(str(error.get("message", "The worker gave no reason.")))


def error_named(code: str) -> type[LabError]:
    """The class of the error tree with this code; LabError itself for one that is not known here."""
    kinds = [each for each in vars(lab.errors).values() if isinstance(each, type) and issubclass(each, LabError)]
    return next((each for each in kinds if each.code == code), LabError)
