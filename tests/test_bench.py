"""The bench measures what it says, in processes of their own, and tells failures apart."""

from __future__ import annotations

import sys
from argparse import Namespace

import pytest

from lab.bench import whole
from lab.bench.ideal import decode_tokens_per_second, ppo_seconds
from lab.bench.isolated import Unfinished, isolated, job, reason
from lab.bench.report import table
from lab.bench.shapes import config_of, save
from lab.errors import BadInput, BadNumber, LabError
from lab.facts import facts_from

MACHINE = {"flops_float32": 1e11, "flops_bfloat16": 2e11, "bytes": 1e10}


def test_shapes_have_the_parameters_that_their_names_say():
    for name, count in {"3M": 3e6, "8M": 8e6, "135M": 1.35e8, "0.5B": 4.9e8, "1.5B": 1.54e9, "7B": 7.6e9}.items():
        assert facts_from(config_of(name)).parameters == pytest.approx(count, rel=0.03), name


def test_a_step_of_ppo_is_measured_by_part_and_its_parts_make_the_whole(tmp_path):
    save(config_of("3M"), tmp_path)
    arguments = {"model": str(tmp_path), "batch": 8, "minibatch": 4, "epochs": 1, "steps": 1, "prompt": 8, "tokens": 8}
    found = job("ppo", arguments, threads=1)
    parts = found["time/rollout"] + found["time/score"] + found["time/update"]
    assert parts == pytest.approx(found["time/step"], rel=0.1)
    assert found["samples_per_second"] == pytest.approx(8 / found["time/step"])
    assert found["peak_bytes"] > 100_000_000


def test_the_ideal_is_the_slower_of_reading_the_weights_and_computing():
    few, many = (decode_tokens_per_second("tiny", batch, MACHINE) for batch in (1, 1000))
    small, large = (facts_from(config_of(name)) for name in ("3M", "8M"))
    assert few < many <= 1e11 / (2 * small.linear)
    assert ppo_seconds(large, 32, 4, MACHINE) > ppo_seconds(small, 32, 4, MACHINE) > 0
    assert ppo_seconds(small, 32, 8, MACHINE) > ppo_seconds(small, 32, 4, MACHINE)


def test_the_ideal_of_weights_in_fewer_bytes_waits_less_for_them_and_no_less_for_products():
    facts, machine = facts_from(config_of("135M")), MACHINE | {"bytes": 1e9}
    wide, narrow, none = (ppo_seconds(facts, 1, 1, machine, read=read) for read in (None, 10**8, 1))
    weights = facts.linear + facts.vocabulary * facts.hidden
    assert wide - narrow == pytest.approx(32 * (4 * weights - 10**8) / 1e9)
    assert narrow - none == pytest.approx(32 * (10**8 / 1e9 - 2 * weights / MACHINE["flops_bfloat16"]))


def test_ours_and_theirs_are_measured_in_turn_and_of_each_the_fastest_counts(monkeypatch, tmp_path):
    done, ours, theirs = [], iter([3.0, 5.0, 4.0]), iter([1.0, 0.5, 2.0])
    monkeypatch.setattr(
        whole, "job", lambda *_, **__: done.append("ours") or {"samples_per_second": next(ours), "peak_bytes": 7}
    )
    monkeypatch.setattr(
        whole, "of_trl", lambda *_: done.append("TRL") or {"trl_samples_per_second": next(theirs), "trl_peak_bytes": 9}
    )
    found = whole.ppo("3M", {"model": "m"}, MACHINE, 1, tmp_path, True, rounds=3)
    assert done == ["ours", "TRL"] * 3
    assert (found["samples_per_second"], found["trl_samples_per_second"], found["trl_peak_bytes"]) == (5.0, 2.0, 9)
    ours = iter([3.0])
    assert "trl_samples_per_second" not in whole.ppo("3M", {"model": "m"}, MACHINE, 1, None, True)


def test_less_than_one_round_is_refused_before_anything_is_measured():
    with pytest.raises(BadNumber, match="--rounds is 0.*Choose 1 or more"):
        whole.run(Namespace(gpu=False, quick=True, rounds=0))


@pytest.mark.parametrize("gpu", [False, True])
def test_a_shape_that_nobody_knows_is_refused_with_the_known_ones_before_anything_is_measured(monkeypatch, gpu):
    monkeypatch.setattr(whole, "job", lambda *_, **__: pytest.fail("measured"))
    with pytest.raises(BadInput, match="no shape 'foo'.*3M, 8M, 135M"):
        whole.run(Namespace(gpu=gpu, against_trl=gpu, trl_env=None, quick=True, models="3M,foo"))


def test_a_measurement_that_fails_is_told_with_its_last_words():
    with pytest.raises(LabError, match="status 1.*no such thing"):
        isolated([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, threads=1)


def test_a_failed_measurement_is_told_with_its_own_reason_and_the_end_of_its_stderr(capfd):
    words = "CUDA error: an illegal memory access was encountered"
    code = f"raise RuntimeError({words!r} + chr(10) + 'Compile with TORCH_USE_CUDA_DSA to enable assertions.')"
    with pytest.raises(LabError, match=f"status 1: RuntimeError: {words}[.] Its"):
        isolated([sys.executable, "-c", code], {}, threads=1)
    shown = capfd.readouterr().err
    assert "Traceback (most recent call last):" in shown and "TORCH_USE_CUDA_DSA" in shown


def test_the_reason_is_the_error_that_ended_a_process_and_not_one_that_was_met_on_the_way_out():
    ended = "Traceback (most recent call last):\n  at\nFirst: cause\n\nDuring it:\n\n"
    ended += "Traceback (most recent call last):\n  at\n    ^^^\nLast: of all\nmore of it\n"
    late = "Exception ignored in: <function f>\nTraceback (most recent call last):\n  at\nOther: late\n"
    assert reason(ended) == reason(ended + late) == "Last: of all"
    assert reason("one\nKilled\n") == "Killed" and reason("") == "nothing on stderr"


@pytest.mark.parametrize(
    "then, words", [("raise SystemExit('broken')", "status 1: broken"), ("time.sleep(60)", "longer than 5 s")]
)
def test_what_a_measurement_had_told_before_it_broke_off_is_kept(then, words):
    code = f"import json, time; print(json.dumps({{'peak': 7}}), flush=True); print('a notice', flush=True); {then}"
    with pytest.raises(Unfinished, match=words) as caught:
        isolated([sys.executable, "-c", code], {}, threads=1, limit=5)
    assert caught.value.told == {"peak": 7}


def test_a_measurement_finds_what_this_process_was_told_of_and_another_interpreter_does_not(tmp_path, monkeypatch):
    (tmp_path / "carried").mkdir()
    (tmp_path / "carried" / "brought_along.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "carried")
    looks = "import json; from importlib import util; print(json.dumps({'at': bool(util.find_spec('brought_along'))}))"
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert isolated([sys.executable, "-c", looks], {}, threads=1) == {"at": True}
    assert isolated([str(other), "-c", looks], {}, threads=1) == {"at": False}


def test_the_table_shows_how_far_trl_is():
    each = {"samples_per_second": 20.0, "peak_bytes": 5e8, "trl_samples_per_second": 5.0, "trl_peak_bytes": 1e9}
    each |= {"ideal_seconds": 0.5, "time/step": 1.6, "time/rollout": 0.2, "time/score": 0.3, "time/update": 1.1}
    said = table({"threads": 1, "machine": MACHINE, "ppo": {"3M": each}})
    assert "4.00 x as fast with 0.50 of its memory" in said and "31% of ideal" in said
