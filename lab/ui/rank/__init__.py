"""The Rank page: a board of answers to put in order, and the settings of where they come from."""

from __future__ import annotations

from lab.ui.rank.page import page

__all__ = ["page"]
