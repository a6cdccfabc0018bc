"""Which policies there are to choose from, on every page alike."""

from __future__ import annotations

from lab.ui.feed import known_policies
from lab.ui.naming import policy_called, sft_called
from lab.ui.office import Office


def offered(office: Office) -> list[dict[str, str]]:
    """Everything that can answer, for a list to choose from: each with its name for people, SFT with its run's."""
    runs = office.runs()
    newest = next((run for run in reversed(runs) if run.stage == "sft" and run.status() == "done"), None)
    own = {"sft": sft_called(newest)} if newest else {}
    known = known_policies(office, runs)
    return [{"value": each, "label": own.get(each) or policy_called(office.workspace, each)} for each in known]
