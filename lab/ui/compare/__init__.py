"""The Compare page: two policies judged blind by a person or by a judge, side by side, and taken away as files."""

from __future__ import annotations

from lab.ui.compare.page import page

__all__ = ["page"]
