"""The GPU's bench loses nothing: its whole flow on a processor, where what CUDA would tell is made up."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from contextlib import suppress
from itertools import count

import pytest
import torch

from lab import folding
from lab.bench import __main__ as command
from lab.bench import gpu, gpu_job, run
from lab.bench.isolated import Unfinished
from lab.bench.shapes import config_of, save
from lab.errors import BadInput, NotFound
from lab.facts import facts_from
from lab.generate import Plain
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.models import Roles

CARD = {"total_memory": 80 * 2**30, "name": "A card"}
CUDA_ITSELF = 2**29


@pytest.fixture
def card(monkeypatch):
    """A CUDA machine as far as the bench asks, with the processor in its place and small shapes behind the names."""

    def on_cpu(make):
        def made(*args, **more):
            there = more.get("device")
            return make(*args, **more | ({"device": "cpu"} if there and torch.device(there).type == "cuda" else {}))

        return made

    told = {
        "is_available": lambda: True,
        "get_device_properties": lambda _: Namespace(**CARD),
        "max_memory_allocated": lambda: 10 * 2**30,
        "max_memory_reserved": lambda: 11 * 2**30,
        "memory_reserved": lambda: 11 * 2**30,
        "mem_get_info": lambda: (CARD["total_memory"] - 11 * 2**30 - CUDA_ITSELF, CARD["total_memory"]),
        "reset_peak_memory_stats": lambda: None,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
    }
    # PyTorch notes for the whole process, at the first use of a device as a context, which functions make tensors. With
    # the stand-ins among them "meta" would mean real memory for all later tests: 28 GB for a shape of 7B.
    with torch.device("meta"):
        torch.empty(1)
    for name, each in told.items():
        monkeypatch.setattr(torch.cuda, name, each)
    for name in ("empty", "zeros", "randint"):
        monkeypatch.setattr(torch, name, on_cpu(getattr(torch, name)))
    monkeypatch.setattr(
        gpu_job, "load", lambda model, device, precision: load(model, device="cpu", precision=precision)
    )
    monkeypatch.setattr(gpu_job, "save", lambda *args, device, **more: save(*args, **more))
    monkeypatch.setattr(gpu_job, "config_of", lambda name: config_of("3M"))
    monkeypatch.setattr(gpu_job, "_bandwidth", lambda: 1e10)
    monkeypatch.setattr(gpu_job, "_flops", lambda: 1e12)
    small = {"batch": 8, "minibatch": 4, "microbatch": 2, "prompt": 12, "tokens": 6}
    monkeypatch.setattr(gpu_job, "SETTINGS", small)
    monkeypatch.setattr(gpu_job, "BEFORE", 2)
    monkeypatch.setattr(gpu_job, "TIMED", 3)
    monkeypatch.setattr(gpu_job, "_recovery", lambda roles: iter([{"recovered_at": 2}]))
    # As on a GPU, the library's own pass and cache.
    monkeypatch.setattr(Roles, "lean", lambda self, role: False)
    monkeypatch.setattr(folding, "suits", lambda *args, **more: False)


@pytest.fixture
def here(monkeypatch):
    """Cases are measured in this process."""
    asked = []

    def job(name, arguments, *, threads, limit):
        asked.append(arguments)
        return gpu_job.measure_gpu(**arguments)

    monkeypatch.setattr(gpu, "job", job)
    return asked


def rows(out: str) -> list[list[str]]:
    """The cells of the table's rows."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line[:1] == "|"]
    assert {len(row) for row in found} == {len(gpu.COLUMNS)}
    return found[2:]


def test_every_figure_of_a_case_is_measured_by_the_code_that_a_gpu_would_run(card, tmp_path, capsys):
    found = gpu_job.measure_gpu("0.5B", "bfloat16", str(tmp_path / "0.5B"))
    assert "failed" not in found and found["warned"] == []
    assert found["machine"].startswith("A card, 80.0 GiB; torch ") and "transformers" in found["machine"]
    assert found["ratio_first"] < 0.1 and found["recovered_at"] == 2 and set(found["step_seconds"]) >= {"time/step"}
    assert found["samples_per_second"] == pytest.approx(8 / found["step_seconds"]["time/step"])
    assert found["context_bytes"] == CUDA_ITSELF and set(found["phases"]) == {"rollout", "score", "update"}
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 6 and told[-1] == found and "peak_bytes" in told[0] and "tokens_per_second" not in told[0]


def test_what_loading_left_in_the_allocator_does_not_count_as_held_by_learning(card, monkeypatch):
    done = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("given back"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: done.append("counted anew"))
    monkeypatch.setattr(gpu_job, "_events", lambda *_: done.append("learning") or [])
    assert len(list(gpu_job._learning(None, facts_from(config_of("3M")), Knobs(), 1))) == 1
    assert done == ["given back", "counted anew", "learning"]


@pytest.mark.slow  # a shape once more; the one below measures every figure
def test_the_foretold_peak_is_without_what_is_measured_in_columns_of_its_own(card, tmp_path):
    found = gpu_job.measure_gpu("0.5B", "bfloat16", str(tmp_path / "0.5B"))
    of_rows = {"always": 0, "rollout": 0, "score": 0, "update": 0}
    for row in foretell(facts_from(config_of("3M")), "ppo", Knobs(precision="bfloat16", **gpu_job.SETTINGS), "cuda"):
        of_rows[row.phase] += row.bytes if row.role != "CUDA itself" else 0
    assert found["foretold_bytes"] == of_rows.pop("always") + max(of_rows.values())
    assert gpu.line("0.5B:bfloat16", found | {"foretold_bytes": 10 * 2**30}).count("| +0.0% | 1.100 | 0.50 |") == 1


def test_what_decoding_reads_of_an_untied_base_is_without_its_embeddings():
    tied, untied = config_of("3M"), config_of("3M")
    untied.tie_word_embeddings = False
    knobs = Knobs(precision="bfloat16")
    read = [gpu_job._read_at_each_token(facts_from(each), knobs, each) for each in (tied, untied)]
    assert read[0] == read[1] == 2 * facts_from(tied).parameters


def test_the_speed_of_decoding_counts_no_pass_over_the_prompts(card, tmp_path, monkeypatch):
    clock = count()
    passes = []
    monkeypatch.setattr(gpu_job, "monotonic", lambda: passes.append("clock") or float(next(clock)))
    start, say = Plain.start, Plain.say
    monkeypatch.setattr(Plain, "start", lambda self: passes.append("prompts") or start(self))
    monkeypatch.setattr(Plain, "say", lambda self, ids: passes.append("token") or say(self, ids))
    roles = load(str(save(config_of("3M"), tmp_path)), device="cpu", precision="bfloat16")
    found = list(gpu_job._decoding(roles))
    assert passes == ["prompts", "token", "clock", "token", "token", "token", "clock"] * 2
    assert found == [
        {"tokens_per_second": 8 * 3 / 1.0, "recorded": False},
        {"tokens_per_second_unrecorded": 8 * 3 / 1.0},
    ]


def test_a_part_that_fails_costs_no_other_and_says_why(card, tmp_path, monkeypatch, capsys):
    def none_left(roles):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 | 3 GiB.\nMore of it.")
        yield

    events = gpu_job._events

    def one_step(roles, steps, *whole):
        for event in events(roles, steps, *whole):
            yield event
            if not whole and getattr(event, "step", 0) == 1 and hasattr(event, "metrics"):
                raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(gpu_job, "_recovery", none_left)
    monkeypatch.setattr(gpu_job, "_events", one_step)
    found = gpu_job.measure_gpu("0.5B", "bfloat16", str(tmp_path / "0.5B"))
    assert set(found["failed"]) == {"learning", "recovery"} and found["tokens_per_second"] and found["phases"]
    assert found["peak_bytes"] and "ratio_first" in found and "samples_per_second" not in found
    (row,) = rows(gpu.heading("") + "\n" + gpu.line("0.5B:bfloat16", found))
    assert row[1] == "10.00" and row[10] == "-" and row[11] != "-"
    assert row[14].startswith("learning: RuntimeError: CUDA error: unspecified launch failure; recovery: ")
    assert row[14].endswith("Tried to allocate 2 / 3 GiB.")


@pytest.mark.slow  # many cases; that a failing part costs no other is tried at each change
def test_a_case_that_breaks_off_in_the_middle_is_a_row_and_all_others_are_measured(
    card, here, tmp_path, monkeypatch, capsys
):
    def load_or_break(model, device, precision, load=gpu_job.load):
        if precision == "4-bit":
            raise RuntimeError("an illegal memory access was encountered")
        return load(model, device, precision)

    def job(name, arguments, *, threads, limit, ours=gpu.job):
        try:
            return ours(name, arguments, threads=threads, limit=limit)
        except RuntimeError as problem:  # as a process of its own would
            ended = Unfinished(f"The measurement gpu ended with status 1: {problem}. Its figures are missing.")
            ended.told = {"peak_bytes": 2**30}
            raise ended from problem

    kept, out = [], tmp_path / "figures.json"
    monkeypatch.setattr(gpu_job, "load", load_or_break)
    monkeypatch.setattr(gpu, "job", job)
    monkeypatch.setattr(gpu, "line", lambda *each, line=gpu.line: kept.append(out.read_text()) or line(*each))
    monkeypatch.setattr(sys, "argv", ["bench", "--gpu", "--models", "1.5B:bfloat16,0.5B", "--out", str(out)])
    monkeypatch.setattr(gpu, "CASES", ("1.5B:bfloat16", "0.5B:4-bit", "0.5B:bfloat16"))
    assert command.main() == 0
    said = capsys.readouterr()
    table = rows(said.out)
    assert [row[0] for row in table] == list(gpu.CASES) and table[1][1] == "1.00"
    assert "illegal memory access" in table[1][14] and table[0][14] == table[2][14] == ""
    assert "2 of 3: making and measuring 0.5B:4-bit" in said.err
    assert json.loads(said.out.splitlines()[-1]) == json.loads(out.read_text())
    assert [len(json.loads(each)) for each in kept] == [1, 2, 3]  # written as soon as it is measured
    assert "illegal memory" in json.loads(out.read_text())["0.5B:4-bit"]["error"]


def test_a_second_call_finishes_the_table_of_the_first(card, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        gpu, "job", lambda *_, **__: {"peak_bytes": 2**30, "foretold_bytes": 2**30, "held_bytes": 2**31}
    )
    out = tmp_path / "figures.json"
    run(Namespace(gpu=True, quick=False, models="7B", out=out))
    capsys.readouterr()
    assert len(run(Namespace(gpu=True, quick=True, out=out))) == 6
    assert {row[0] for row in rows(capsys.readouterr().out)} == {case for case in gpu.CASES if "1.5B" not in case}


@pytest.mark.parametrize("content", ["[1]", '{"scripts": {}}', "no JSON"])
def test_a_file_that_holds_something_else_is_not_written_over(content, card, here, tmp_path):
    out = tmp_path / "package.json"
    out.write_text(content)
    with pytest.raises(BadInput, match="Name another file"):
        gpu.run_gpu(quick=True, out=out)
    assert out.read_text() == content and here == []


def test_figures_that_are_not_finite_and_a_disk_that_is_full_stop_nothing(card, monkeypatch, tmp_path, capsys):
    nan = float("nan")
    monkeypatch.setattr(gpu, "job", lambda *_, **__: {"ratio_first": nan})
    out = tmp_path / "deep" / "figures.json"
    out.parent.mkdir()
    assert set(gpu.run_gpu(quick=True, out=out)) == set(json.loads(out.read_text())) == set(gpu.chosen("0.5B"))

    def job(*_, **__):
        with suppress(FileNotFoundError):
            out.unlink()
            out.parent.rmdir()
        return {"ratio_first": nan}

    monkeypatch.setattr(gpu, "job", job)
    assert len(gpu.run_gpu(quick=True, out=out)) == 3
    assert [row[6] for row in rows(capsys.readouterr().out)[:3]] == ["nan"] * 3


def test_cases_are_chosen_by_shape_or_name_and_the_telling_ones_come_first():
    assert gpu.chosen("")[:3] == ["0.5B:4-bit", "7B:4-bit", "7B:bfloat16"] and len(gpu.chosen("")) == 9
    assert gpu.chosen("1.5B:8-bit,7B") == ["7B:4-bit", "7B:bfloat16", "7B:8-bit", "1.5B:8-bit"]
    with pytest.raises(BadInput, match="no case 3M"):
        gpu.chosen("7B,3M")


def test_the_stand_in_for_a_card_leaves_shapes_without_memory(card):
    with torch.device("meta"):
        assert torch.empty(1).device.type == torch.zeros(1).device.type == "meta"


def test_a_process_that_cannot_reach_the_card_is_a_row_that_says_so(monkeypatch, capsys):
    if torch.cuda.is_available():
        pytest.skip("the card can be reached")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = gpu.run_gpu(quick=False, models="0.5B:bfloat16")
    said = capsys.readouterr()
    assert "Torch not compiled with CUDA enabled" in found["0.5B:bfloat16"]["error"] + said.err
    assert "ended with status 1" in rows(said.out)[0][14] and '  File "' in said.err


def test_without_a_gpu_the_gpu_bench_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotFound, match="0 CUDA devices"):
        run(Namespace(gpu=True, quick=True))
    with pytest.raises(NotFound, match="0 CUDA devices"):
        run(Namespace(gpu=True, quick=True, against_trl=True, trl_env=None))
