"""The database of one workspace: prompts, candidates, rankings and requests; saved means on the disk."""

from __future__ import annotations

from lab.store.imports import Copy, prepared
from lab.store.people import Store
from lab.store.records import Candidate, Comparison, Ranking
from lab.store.recovery import Recovered

__all__ = ["Candidate", "Comparison", "Copy", "Ranking", "Recovered", "Store", "prepared"]
