"""The whole loop by one command, in short: every stage a run of the workspace, and the report that --json prints."""

from __future__ import annotations

import json

import pytest

from lab import loop, material
from lab.__main__ import main
from lab.workspace import Workspace

SHORT = "--sft-steps 6 --count 16 --steps 2 --batch 16 --minibatch 16 --threads 1 --seed 3 --json".split()


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(loop, "TEST_PROMPTS", 8)
    monkeypatch.setattr(loop, "TEST_RANKINGS", 8)
    monkeypatch.setattr(material, "SFT_PAIRS", 400)
    monkeypatch.setattr(material, "SFT_HELD_OUT", 16)


def test_the_loop_runs_every_stage_and_reports_what_came_of_it(short, tmp_path, capsys):
    assert main(["loop", "-w", str(tmp_path / "w"), "--larger", "tiny", "--unfrozen", "0.75", *SHORT]) == 0
    table, told = capsys.readouterr().out, {}
    told = json.loads(table.strip().splitlines()[-1])
    assert set(told) == {"pair_accuracy", "seconds", "peak_bytes", "policies"}
    assert 0.3 < told["pair_accuracy"] < 1 and told["seconds"] > 1 and told["peak_bytes"] > 1e8
    assert list(told["policies"]) == ["base", "sft", "best_of_4", "ppo", "untuned tiny"]
    for name, row in told["policies"].items():
        assert 0 <= row["low"] <= row["win_rate"] <= row["high"] <= 1 and name in table
    assert told["policies"]["sft"]["kl"] == 0.0 and told["policies"]["ppo"]["kl"] > 0
    assert told["policies"]["best_of_4"]["score"] > told["policies"]["sft"]["score"]
    # The same base untuned, drawn with another seed, is as good as the base, within chance.
    assert abs(told["policies"]["untuned tiny"]["win_rate"] - told["policies"]["base"]["win_rate"]) < 0.45
    workspace = Workspace(tmp_path / "w")
    assert [run.name for run in workspace.runs()] == ["0001-sft", "0002-reward", "0003-ppo"]
    assert [run.facts()["config"]["unfrozen"] for run in workspace.runs()] == [1.0, 0.75, 0.75]
    with workspace.store() as store:
        rankings = store.rankings()
    assert len(rankings) == 16 and {each.rater for each in rankings} == {"simulated:helpful"}
