"""The command line as a person uses it: every verb on the embedded model, and one line when something is wrong."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import torch
from published import DATA

from lab import material, verbs
from lab.__main__ import main
from lab.loading import load
from lab.workspace import Workspace

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Done:
    """What a verb left behind."""

    returncode: int
    stdout: str
    stderr: str


def lab(*arguments):
    """A verb in this process, which has torch loaded already."""
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as told:
        status = main([*map(str, arguments)])
    return Done(status, said.getvalue(), told.getvalue())


def apart(*arguments):
    """A verb in a process of its own, as a person starts it."""
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


def last(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace in which sft, rank, reward, ppo and compare have run, each in short."""
    where = tmp_path_factory.mktemp("cli") / "w"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(material, "SFT_HELD_OUT", 16)
        last(lab("sft", "-w", where, "--steps", 4, "--batch", 4, "--threads", 1, "--json"))
    last(lab("rank", "-w", where, "--count", 16, "--threads", 1, "--json"))
    return where


def test_from_rankings_to_a_comparison_by_six_commands(workspace):
    rewarded = last(lab("reward", "-w", workspace, "--epochs", 1, "--normalise-over", 32, "--threads", 1, "--json"))
    assert (
        rewarded["run"] == "0002-reward" and 0 <= rewarded["pairs/accuracy_low"] <= rewarded["pairs/accuracy_high"] <= 1
    )
    small = ("--steps", 2, "--batch", 8, "--minibatch", 8)
    tuned = last(apart("ppo", "-w", workspace, *small, "--anyway", "--threads", 1, "--json"))
    assert tuned["run"] == "0003-ppo"
    compared = last(lab("compare", "-w", workspace, "0003-ppo", "sft", "--count", 8, "--threads", 1, "--json"))
    assert compared["count"] == 8 and compared["low"] <= compared["win_rate"] <= compared["high"]
    said = last(
        lab("sample", "-w", workspace, "--policy", "0003-ppo", "--prompt", "What does a fox eat?", "-n", 2, "--json")
    )
    assert len(said["answers"]) == 2
    rows = workspace.parent / "rows.jsonl"
    rows.write_text('{"prompt": "Hello?", "response": "Good day."}\n')
    (score,) = last(lab("score", "-w", workspace, rows, "--json"))["scores"]
    merged = last(lab("merge", "-w", workspace, "0002-reward", "--out", workspace.parent / "judge", "--json"))
    assert merged["kind"] == "reward model"
    assert merged["normalised"]["gain"] * raw_score(merged) + merged["normalised"]["bias"] == pytest.approx(
        score, abs=0.02
    )


def test_score_names_the_row_that_the_model_cannot_read(tmp_path, monkeypatch):
    cast = Namespace(reward="0001-reward", scale=Namespace(of=lambda raw: raw))
    studio = Namespace(roles=load("tiny", device="cpu"), policies=Namespace(cast=lambda reward: cast))
    monkeypatch.setattr(verbs, "_studio", lambda options: nullcontext(studio))
    monkeypatch.setattr("lab.reward.raw_scores", lambda roles, role, prompts, answers: torch.ones(len(prompts)))
    file, good = tmp_path / "rows.jsonl", '{"prompt": "Hello?", "response": "Good day."}\n'
    file.write_text(good * 2)
    assert last(lab("score", "-w", tmp_path, file, "--json"))["scores"] == [1, 1]
    for prompt, code in ((" ", "E_EMPTY_PROMPT"), ("\ud800", "E_BAD_TEXT"), ("word " * 600, "E_PROMPT_TOO_LONG")):
        file.write_text(good + json.dumps({"prompt": prompt, "response": "A cat."}))
        refused = lab("score", "-w", tmp_path, file)
        assert refused.returncode == 2 and refused.stderr.startswith(f"{code}: Row 2 of {file}: ")


def raw_score(merged):
    """Of the row above, by transformers alone, as the merged folder says."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(merged["out"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged["out"])
    turns = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Good day."}]
    ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
    with torch.no_grad():
        return model(ids).logits.item() + merged["bias"]


def test_rankings_leave_and_come_back(workspace, tmp_path):
    out = tmp_path / "rankings.jsonl"
    written = last(lab("export", "-w", workspace, "--format", "rankings", "--out", out, "--json"))
    assert written["rows"] == len(out.read_text().splitlines()) == 16
    taken = last(lab("import", "-w", tmp_path / "other", out, "--json"))
    assert taken["accepted"] == 16 and taken["rejected"] == 0


@pytest.mark.skipif(
    not DATA.exists(), reason="the real preference files lie beside the project, not in it; set LAB_DATA"
)
def test_preferences_that_people_made_are_imported_and_learned_from(tmp_path):
    taken = last(lab("import", "-w", tmp_path / "w", DATA / "dpo_en_demo.json", "--json"))
    assert taken == {"format": "sharegpt", "accepted": 300, "already": 0, "rejected": 0, "margins": 0}
    done = lab(
        "reward", "-w", tmp_path / "w", "--epochs", 1, "--context", 64, "--batch", 32, "--normalise-over", 32, "--json"
    )
    result = last(done)
    assert 0.2 < result["pairs/accuracy"] < 0.9
    verdict = "not shown to be better than chance" if result["pairs/accuracy_low"] <= 0.5 else "better than chance"
    assert verdict in done.stdout and "were cut" in done.stderr


@pytest.mark.skipif(not DATA.exists(), reason="the real preference files lie beside the project, not in it")
def test_an_import_ends_with_one_object_and_a_second_one_says_what_is_here_already(tmp_path, capsys):
    for accepted, already, said in ((2308, 0, "2308 rankings imported, 4 rows"), (0, 2308, "2308 were here already")):
        assert main(["import", "-w", str(tmp_path), str(DATA / "hh_harmless_test.jsonl.gz"), "--json"]) == 0
        lines = capsys.readouterr().out.strip().splitlines()
        counts = {"accepted": accepted, "already": already, "rejected": 4, "margins": 0}
        assert said in lines[0] and json.loads(lines[-1]) == {"format": "hh", **counts}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ppo", "--steps", "2"], "E_NOT_FOUND"),
        (["ppo", "--steps", "0"], "E_BAD_NUMBER"),
        (["reward"], "E_NO_ROWS"),
        (["resume", "0007-ppo"], "E_NOT_FOUND"),
        (["sample", "--policy", "0007-ppo", "--prompt", "x"], "E_NOT_FOUND"),
        (["merge", "0007-ppo", "--out", "nowhere"], "E_NOT_FOUND"),
        (["merge", "sft", "--out", "lab"], "E_BAD_INPUT"),
        (["sample", "--prompt", " "], "E_EMPTY_PROMPT"),
        (["sample", "--prompt", "\udcff\udcfe"], "E_BAD_TEXT"),
        (["rank", "--rater", "simulated:nobody"], "E_NOT_FOUND"),
        (["rank", "--candidates", "1"], "E_BAD_NUMBER"),
        (["rank", "--count", "0"], "E_BAD_NUMBER"),
        (["rank", "--sharpness", "nan"], "E_BAD_NUMBER"),
        (["rank", "--careless", "7"], "E_BAD_NUMBER"),
        (["loop", "--count", "-3"], "E_BAD_NUMBER"),
        (["sample", "--prompt", "x", "-n", "0"], "E_BAD_NUMBER"),
        (["sample", "--prompt", "x", "--tokens", "0"], "E_BAD_NUMBER"),
        (["sample", "--prompt", "x", "--temperature", "nan"], "E_BAD_NUMBER"),
        (["sample", "--prompt", "word " * 600], "E_PROMPT_TOO_LONG"),
        (["compare", "sft", "nobody"], "E_BAD_NAME"),
        (["import", "nowhere.jsonl"], "E_NOT_FOUND"),
        (["import", "lab"], "E_BAD_FILE"),
        (["sft", "--data", "nowhere.json"], "E_NOT_FOUND"),
        (["sample", "--prompt", "x", "--base", "no/such-model"], "E_MODEL_INCOMPLETE"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_exit_status_2(tmp_path, capsys, monkeypatch, arguments, code):
    monkeypatch.chdir(ROOT)
    assert main([arguments[0], "-w", str(tmp_path), *arguments[1:]]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(code + ":")


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "--out", "out.jsonl"],
        ["resume", "0001-ppo"],
        ["reward"],
        ["dpo"],
        ["ppo"],
        ["grpo"],
        ["score", "given.jsonl"],
        ["compare", "0001-ppo", "sft"],
        ["sample", "--policy", "0001-ppo", "--prompt", "Hi"],
        ["rank", "--policy", "0001-ppo"],
        ["merge", "0001-ppo", "--out", "out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_workspace_that_is_not_there_is_named_and_not_made(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    Path("given.jsonl").write_text('{"prompt": "Hello?", "response": "Good day."}\n')
    done = lab(arguments[0], "-w", "typo", *arguments[1:])
    assert done.returncode == 2 and done.stderr.startswith("E_NOT_FOUND: There is no workspace typo.")
    assert [path.name for path in tmp_path.iterdir()] == ["given.jsonl"]


def test_a_refusal_leaves_the_process_with_status_2_and_one_line(tmp_path):
    done = apart("resume", "-w", tmp_path / "w", "0007-ppo")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("E_NOT_FOUND:") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("verb", "content", "code"),
    [
        ("ppo", b"", "E_EMPTY_PROMPT"),
        ("ppo", b"\n  \n", "E_EMPTY_PROMPT"),
        ("ppo", b"caf\xe9\n", "E_ENCODING"),
        ("ppo", None, "E_BAD_FILE"),
        ("score", b"", "E_NO_ROWS"),
        ("score", b"{bad\n", "E_BAD_FILE"),
        ("score", b"7\n", "E_BAD_FILE"),
        ("score", b'{"prompt": "a", "response": 5}\n', "E_BAD_FILE"),
        ("score", b"\x80\x00\xff" * 999, "E_ENCODING"),
        ("sft", b"\x80\x00\xff" * 999, "E_ENCODING"),
        ("import", b"PAR1" + b"\x80\x00\xff" * 999, "E_BAD_FILE"),
        ("import", None, "E_BAD_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_in_one_line(tmp_path, capsys, verb, content, code):
    file = tmp_path / "given.jsonl"
    file.mkdir() if content is None else file.write_bytes(content)
    flag = {"ppo": ["--prompts"], "sft": ["--data"]}.get(verb, [])
    assert main([verb, "-w", str(tmp_path / "w"), *flag, str(file)]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(code + ":") and "given.jsonl" in line


def test_a_file_of_preferences_is_looked_over_row_by_row_before_anything_is_stored(tmp_path):
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "Why?", "chosen": "Because.", "rejected": "No."}) + "\n")
    plain, told = lab("formats", file), last(lab("formats", file, "--json"))
    assert "1 ranking read" in plain.stdout and "  Why?\n    better: Because.\n    worse: No.\n" in plain.stdout
    better, worse = {"place": "better", "text": "Because."}, {"place": "worse", "text": "No."}
    assert told["rows"] == [{"prompt": "Why?", "answers": [better, worse]}] and told["accepted"] == 1


@pytest.mark.parametrize("verb", ["formats", "score", "sft"])
def test_a_verb_that_imports_nothing_says_of_a_missing_file_no_word_of_an_import(tmp_path, verb):
    file = tmp_path / "nowhere.jsonl"
    where = [] if verb == "formats" else ["-w", tmp_path / "w"]
    done = lab(verb, *where, *(["--data"] if verb == "sft" else []), file)
    assert done.returncode == 2 and done.stderr == f"E_NOT_FOUND: There is no file {file}. Check its name.\n"


@contextmanager
def ctrl_c(folder, name, starts=1):
    """Ctrl-C for this process as soon as a run of this name somewhere in the folder has started so often."""
    ended = threading.Event()

    def press():
        while not ended.wait(0.05):
            events = folder.glob(f"**/runs/{name}/events.jsonl")
            if any(file.read_text().count('"event":"Started"') >= starts for file in events):
                os.kill(os.getpid(), signal.SIGINT)
                return

    before, finger = signal.signal(signal.SIGINT, signal.default_int_handler), threading.Thread(target=press)
    finger.start()
    try:
        yield
    finally:
        ended.set()
        finger.join()
        signal.signal(signal.SIGINT, before)


LONG = ["--steps", "5000", "--batch", "1", "--microbatch", "1", "--threads", "1"]


def test_ctrl_c_names_the_run_and_the_line_that_goes_on_with_it(tmp_path):
    where = tmp_path / "my lab"
    with ctrl_c(where, "0001-sft"):
        done = lab("sft", "-w", where, *LONG)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 130 and line.endswith(f"python -m lab resume -w '{where}' 0001-sft")
    assert Workspace(where).run("0001-sft").status() == "interrupted"
    with ctrl_c(where, "0002-sft"):
        again = lab("loop", "-w", where, "--sft-steps", 5000, "--threads", 1)
    assert again.stderr.splitlines()[-1].endswith(" 0002-sft")
    with ctrl_c(where, "0001-sft", starts=2):
        resumed = lab(*shlex.split(line.partition("python -m lab ")[2]), "--threads", 1)
    assert resumed.stderr.splitlines()[-1] == line


def test_ctrl_c_in_a_loop_without_a_workspace_says_that_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with ctrl_c(tmp_path, "0001-sft"):
        done = lab("loop", "--sft-steps", 5000, "--threads", 1)
    assert done.returncode == 130 and not [*tmp_path.glob("*/runs")]
    line = done.stderr.splitlines()[-1]
    assert line.startswith("Stopped. Nothing was kept") and "resume" not in line


def test_output_that_nobody_reads_any_more_ends_the_verb_without_a_trace(workspace, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    export = ["export", "-w", workspace, "--format", "rankings", "--out", tmp_path / "rankings.jsonl"]
    command = [sys.executable, "-m", "lab", *export]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=280)
    os.close(writer)
    assert done.returncode == 141 and not done.stderr


@pytest.mark.parametrize("content", ["{half", "[]", ""])
def test_a_workspace_whose_base_cannot_be_read_asks_for_its_name_and_keeps_its_file(tmp_path, capsys, content):
    (tmp_path / "base.json").write_text(content)
    assert main(["sample", "-w", str(tmp_path), "--prompt", "Hi"]) == 2
    assert capsys.readouterr().err.startswith("E_DAMAGED:") and (tmp_path / "base.json").read_text() == content
    (tmp_path / "base.json").write_text('{"base": 5}')
    assert main(["sample", "-w", str(tmp_path), "--prompt", "Hi"]) == 2
    assert capsys.readouterr().err.startswith("E_MODEL_INCOMPLETE:")


def test_an_import_counts_margins_and_what_is_here_already_in_its_object_too(tmp_path):
    file = tmp_path / "one.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "a", "rejected": "b", "margin": 2.5}')
    for accepted in (1, 0):
        taken = last(lab("import", "-w", tmp_path / "w", file, "--json"))
        assert (taken["accepted"], taken["already"], taken["rejected"], taken["margins"]) == (
            accepted,
            1 - accepted,
            0,
            1,
        )
    done = lab("import", "-w", tmp_path / "w", file, "--rater", "")
    assert done.returncode == 2 and done.stderr.startswith("E_BAD_NAME:") and len(done.stderr.splitlines()) == 1


def test_a_damaged_database_is_set_aside_and_the_import_says_so(tmp_path, capsys):
    file = tmp_path / "one.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": "a", "rejected": "b"}')
    (tmp_path / "lab.db").write_bytes(b"no database" * 900)
    assert main(["import", "-w", str(tmp_path), str(file), "--json"]) == 0
    said = capsys.readouterr().out
    assert next(tmp_path.glob("lab.db.damaged-*")).name in said and '"accepted": 1' in said.splitlines()[-1]


def test_of_ranked_answers_sft_takes_the_best_and_says_which_pairs_are_too_long(tmp_path):
    file = tmp_path / "ranked.jsonl"
    asked = [*(f"Question {n}?" for n in range(20)), "long " * 600]
    prompts = [[{"role": "user", "content": words}] for words in asked]
    rows = [
        {"prompt": prompt, "candidates": [{"text": "no"}, {"text": "yes"}], "order": [[1], [0]]} for prompt in prompts
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = lab("sft", "-w", tmp_path / "w", "--data", file, "--steps", 1, "--batch", 4, "--json")
    run = last(done)["run"]
    kept = json.loads((tmp_path / "w" / "runs" / run / "data.json").read_text())
    assert {answer for _, answer in kept["pairs"] + kept["held_out"]} == {"yes"} and len(kept["pairs"]) == 18
    assert "1 of 21 pairs" in done.stderr


def test_sft_tells_which_rows_of_its_data_were_left_out_and_why(tmp_path):
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Question {n}?", "completion": "Yes."} for n in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": " ", "completion": "Alone."}]))
    done = lab("sft", "-w", tmp_path / "w", "--data", file, "--steps", 1, "--batch", 4, "--threads", 1, "--json")
    assert last(done)["left_out"] == 1
    assert f"8 pairs read from {file}, 1 rows left out" in done.stdout and "  row 9: empty prompt" in done.stdout


def test_the_doctor_finds_nothing_wrong_here_and_the_models_are_listed(tmp_path):
    found = last(apart("doctor", "-w", tmp_path / "w", "--json"))
    assert found["ok"], [row for row in found["checks"] if not row["ok"]]
    names = [row["name"] for row in last(lab("models", "--json"))["bases"]]
    assert "tiny" in names and len(names) > 4


def test_a_models_memory_is_listed_by_role_with_the_phase_in_which_it_is_taken():
    lines = lab("models", "tiny").stdout.splitlines()
    assert [line.split(", during ")[1] for line in lines if line.startswith("sampled states")] == ["rollout", "score"]
    assert not any("during" in line for line in lines if line.startswith(("base", "adapters", "optimizer")))
