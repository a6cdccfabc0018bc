"""Every measurement of the bench in turn: decoding, SFT, reward, PPO, the machine's limit and, if asked, TRL."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.bench.ideal import decode_tokens_per_second, ppo_seconds
from lab.bench.isolated import ROOT, isolated, job
from lab.bench.report import rows_of_ppo, table
from lab.bench.shapes import SHAPES, config_of
from lab.config import Ppo
from lab.errors import BadInput, BadNumber, LabError
from lab.facts import facts_from
from lab.stem import learning

TRL_PINS = ("torch==2.13.0", "trl==1.12.0", "transformers==5.23.0", "peft==0.21.2", "accelerate")
MODELS = ("3M", "8M", "135M")


def run(options: Any) -> dict[str, Any]:
    """All figures, as a table on stdout and returned; options are the command line's. BadNumber below one round, and
    BadInput for a shape that nobody knows."""
    rounds = getattr(options, "rounds", 1)
    if rounds < 1:
        raise BadNumber(f"--rounds is {rounds}, and nothing is measured in less than one. Choose 1 or more.")
    if getattr(options, "page", 0):
        from lab.bench.page import run_page

        return run_page(options.page, 20 if options.quick else 60)
    chosen = getattr(options, "models", "")
    models = chosen.split(",") if chosen else (MODELS[:1] if options.quick else MODELS)
    beside_trl = getattr(options, "against_trl", False)
    if options.gpu and not beside_trl:
        from lab.bench.gpu import run_gpu

        return run_gpu(options.quick, chosen, getattr(options, "out", None))
    strange = [each for each in models if each not in SHAPES]
    if strange:
        raise BadInput(f"There is no shape {strange[0]!r} to measure. Choose among {', '.join(SHAPES)}.")
    if options.gpu:
        from lab.bench.gpu import needs_card

        needs_card()
        return beside_trl_on_card(models, trl_environment(options.trl_env))
    import psutil

    threads = getattr(options, "threads", 0) or max(1, (psutil.cpu_count() or 2) // 2)
    environment = trl_environment(options.trl_env) if beside_trl else None
    found: dict[str, Any] = {"threads": threads, "machine": _say("machine", job("machine", {}, threads=threads))}
    found["decode"] = {"tiny": decode("tiny", found["machine"], threads, options.quick)}
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            model = job("shape", {"name": name, "folder": f"{folder}/{name}"}, threads=threads)
            for stage in ("sft", "reward"):
                arguments = {"model": model["model"], "batch": 8, "steps": 2 if options.quick else 5}
                found.setdefault(stage, {})[name] = _say(f"{stage} {name}", job(stage, arguments, threads=threads))
            measured = ppo(name, model, found["machine"], threads, environment, options.quick, rounds)
            found.setdefault("ppo", {})[name] = measured
    print(table(found))
    return found


def decode(model: str, machine: dict[str, float], threads: int, quick: bool) -> dict[str, float]:
    """Batches of 8 and 64; the first level of the result is batch 8."""
    found: dict[str, float] = {}
    for batch in (64, 8):
        each = job("decode", {"model": model, "batch": batch, "repeats": 2 if quick else 5}, threads=threads)
        each["ideal"] = decode_tokens_per_second(model, batch, machine)
        found |= _say(f"decode {model} x{batch}", each) | {f"batch_{batch}": each["tokens_per_second"]}
        found[f"batch_{batch}_ratio_to_generate"] = each["ratio_to_generate"]
    return found


def ppo(
    name: str,
    model: dict[str, Any],
    machine: dict[str, float],
    threads: int,
    environment: Path | None,
    quick: bool,
    rounds: int = 1,
) -> dict[str, float]:
    """Ours, then TRL's in the same run, so many times in turn; of each the fastest counts: what slows a machine that
    others share comes and goes."""
    arguments = settings(name, model["model"]) | {"steps": 2 if quick or name == "135M" else 6}
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_say(f"ppo {name}", job("ppo", arguments, threads=threads)))
        theirs += [of_trl(name, arguments, threads, environment)] if environment else []
    found = max(ours, key=lambda each: each["samples_per_second"])
    found["ideal_seconds"] = ppo_seconds(facts_from(config_of(name)), arguments["batch"], arguments["epochs"], machine)
    return found | max(theirs, key=lambda each: each["trl_samples_per_second"], default={})


def settings(name: str, model: str) -> dict[str, Any]:
    """What both go through: batch 32 in 4 minibatches and 4 epochs; 135M 8 in 2 and 2."""
    batch, minibatch, epochs = (8, 4, 2) if name == "135M" else (32, 8, 4)
    return {"model": model, "batch": batch, "minibatch": minibatch, "epochs": epochs}


def of_trl(name: str, arguments: dict[str, Any], threads: int, environment: Path) -> dict[str, float]:
    """TRL's figures for the same; in both, adapters of the same layers learn, those that a run of ours tunes unless
    told otherwise."""
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [str(python), str(ROOT / "lab" / "bench" / "trl_job.py")]
    trl = _say(
        f"trl {name}", isolated(command, arguments | {"threads": threads, "layers": upper(name)}, threads=threads)
    )
    return {f"trl_{key}": trl[key] for key in ("samples_per_second", "peak_bytes")}


def beside_trl_on_card(models: Sequence[str], environment: Path) -> dict[str, Any]:
    """PPO of both on a CUDA card in bfloat16, in whole minibatches; the peak is the most asked of the allocator."""
    found: dict[str, Any] = {"ppo": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in models:
            made = {"name": name, "folder": f"{folder}/{name}", "dtype": "bfloat16"}
            arguments = settings(name, job("shape", made, threads=4)["model"]) | {"steps": 4, "device": "cuda"}
            found["ppo"][name] = _say(f"ppo {name}", job("ppo", arguments, threads=4))
            found["ppo"][name] |= of_trl(name, arguments, 4, environment)
            print(*rows_of_ppo(name, found["ppo"][name]), sep="\n", flush=True)
    return found


def upper(shape: str) -> list[int]:
    """The layers of a shape that learn."""
    count = config_of(shape).num_hidden_layers
    return list(range(count - learning(count, Ppo().unfrozen), count))


def trl_environment(folder: Path | None) -> Path:
    """TRL's own virtual environment; made on demand with pip. LabError when pip cannot."""
    folder = folder or Path.home() / ".cache" / "rlhf-lab" / "trl-1.12.0"
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if (folder / "ready").exists() or (python.exists() and not _fails([str(python), "-c", "import trl, peft, torch"])):
        return folder
    print(f"Making TRL's environment in {folder}: several minutes, once.", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "-q", *TRL_PINS],
    ):
        if _fails(command):
            raise LabError(
                f"TRL's environment could not be made in {folder} ({' '.join(command[:4])} failed), so there is "
                "nothing to compare with. Make it by hand with pip install "
                + " ".join(TRL_PINS)
                + " and name it with --trl-env."
            )
    (folder / "ready").touch()
    return folder


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, text=True).returncode != 0


def _say(what: str, found: dict[str, Any]) -> dict[str, Any]:
    """Progress on stderr."""
    shown = ", ".join(f"{key} {value:,.4g}" for key, value in found.items() if isinstance(value, (int, float)))
    print(f"{what}: {shown}", file=sys.stderr, flush=True)
    return found
