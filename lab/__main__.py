"""The command line: python -m lab VERB. Bars on stderr, results on stdout, one line and status 2 on a refusal."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from lab import allocator
from lab import config as knobs
from lab.errors import LabError, OutOfMemory
from lab.events import Failed, Finished

WORKSPACE = Path("workspace")


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        from lab import verbs

        result = getattr(verbs, options.does)(options)
        if options.json:
            print(json.dumps(result, allow_nan=False))
        sys.stdout.flush()
    except LabError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:
        from lab.shortage import ASKED, ran_out

        if not ran_out(error):
            raise
        print(f"{OutOfMemory.code}: {ASKED}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output has closed it. What Python has still to flush at its end would be refused once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"\nStopped. {_left_by(options)}", file=sys.stderr)
        return 130
    return 0


def _left_by(options: argparse.Namespace) -> str:
    """What is there after Ctrl-C, and the line that goes on with it."""
    where, looped = getattr(options, "workspace", None), options.does == "loop"
    if looped and where is None:
        return "Nothing was kept, for a loop without a folder keeps nothing. Name one: python -m lab loop -w DIR"
    kept, known = "What was saved is kept", getattr(options, "run", "")
    if not (looped or known) or not where.is_dir():
        return f"{kept}."
    from lab.workspace import Workspace

    runs = [run for run in Workspace(where).runs() if looped or run.name == known]
    if not runs or isinstance(runs[-1].last_turn(), Finished | Failed):
        return f"{kept}."
    there = "" if where == WORKSPACE else f" -w {shlex.quote(str(where))}"
    return f"{kept}; to go on from there: python -m lab resume{there} {runs[-1].name}"


def parser() -> argparse.ArgumentParser:
    """Every verb with its flags; knobs come from config.py."""
    top = argparse.ArgumentParser(prog="python -m lab", description="See RLHF work, from rankings to PPO.")
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _training_verbs(verbs)
    _ranking_verbs(verbs)
    _machine_verbs(verbs)
    return top


def _verb(verbs: Any, name: str, does: str, help: str, *, workspace: bool = True) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=help, description=help)
    if workspace:
        verb.add_argument("-w", "--workspace", type=Path, default=WORKSPACE, help="the folder that holds it all")
    verb.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    verb.set_defaults(does=does)
    return verb


def _training_verbs(verbs: Any) -> None:
    sft = _verb(verbs, "sft", "sft", "teach the base to answer, on instruction pairs")
    _add_base(sft, run=True)
    sft.add_argument("--data", type=Path, help="instruction pairs of your own (json, jsonl, csv, parquet)")
    _add_knobs(sft, knobs.Sft)
    reward = _verb(verbs, "reward", "reward", "train a reward model on the workspace's rankings")
    _add_base(reward, run=True)
    reward.add_argument("--raters", default="", help="person, all, or one simulated rater's name")
    _add_knobs(reward, knobs.Reward)
    ppo = _verb(verbs, "ppo", "ppo", "tune the policy with PPO against a reward model")
    _add_base(ppo, run=True)
    _add_reward(ppo)
    ppo.add_argument("--prompts", type=Path, help="a text file with one prompt a line, instead of the built-in ones")
    _add_knobs(ppo, knobs.Ppo)
    for name, does in (("rloo", "leave one out"), ("grpo", "standardised scores")):
        group = _verb(
            verbs, name, "group", f"tune the policy without a value model: {does} within each prompt's answers"
        )
        group.set_defaults(stage=name)
        _add_base(group, run=True)
        _add_reward(group)
        _add_knobs(group, knobs.Group, skip=("method",))
    dpo = _verb(verbs, "dpo", "dpo", "tune the policy on the rankings directly, without a reward model")
    _add_base(dpo, run=True)
    dpo.add_argument("--raters", default="", help="person, all, or one simulated rater's name")
    _add_knobs(dpo, knobs.Dpo)
    compare = _verb(verbs, "compare", "compare", "which of two policies a judge prefers, on unseen prompts")
    _add_base(compare)
    compare.add_argument("a")
    compare.add_argument("b")
    compare.add_argument("--judge", default="simulated:helpful", help="simulated:NAME or reward:RUN")
    _add_knobs(compare, knobs.Compare)
    loop = _verb(verbs, "loop", "loop", "sft, rankings by a simulated rater, reward model, PPO and a comparison")
    loop.set_defaults(workspace=None)
    _add_base(loop)
    loop.add_argument("--rater", default="simulated:helpful", help="whose taste is simulated")
    loop.add_argument("--count", type=int, default=60, help="how many prompts the rater ranks")
    loop.add_argument("--candidates", type=int, default=4, help="answers to each prompt")
    loop.add_argument("--sft-steps", type=int, default=knobs.Sft().steps, help="optimizer steps of SFT")
    loop.add_argument(
        "--larger", default="", help="another base, untuned, to answer the same prompts at the end: small"
    )
    _add_knobs(loop, knobs.Ppo)
    resume = _verb(verbs, "resume", "resume", "go on with a run that was stopped or interrupted")
    _add_base(resume)
    resume.add_argument("run")
    resume.add_argument("--step", type=int, help="go back to the checkpoint of this step")


def _ranking_verbs(verbs: Any) -> None:
    sample = _verb(verbs, "sample", "sample", "what a policy says to a prompt")
    _add_base(sample)
    sample.add_argument("--policy", default="sft", help="base, sft, shipped, a run, or a run at a step (0004-ppo@20)")
    sample.add_argument("--prompt", required=True)
    sample.add_argument("-n", type=int, default=4, help="how many answers")
    sample.add_argument("--tokens", type=int, default=72, help="longest answer")
    sample.add_argument("--temperature", type=float, default=knobs.TEMPERATURE)
    sample.add_argument("--seed", type=int, default=0, help="of the sampling")
    rank = _verb(verbs, "rank", "rank", "candidates for new prompts, ranked by a simulated rater")
    _add_base(rank)
    rank.add_argument("--rater", default="simulated:helpful", help="simulated:helpful, :concise, :polite or :careful")
    rank.add_argument("--sharpness", type=float, default=2.0, help="how much the rater's utility decides over chance")
    rank.add_argument("--careless", type=float, default=0.05, help="share of clicks that are random")
    rank.add_argument("--policy", default="sft", help="who writes the candidates")
    rank.add_argument("--count", type=int, default=60, help="how many prompts")
    rank.add_argument("--candidates", type=int, default=4, help="answers to each prompt, 2 to 8")
    rank.add_argument("--seed", type=int, default=0)
    read = _verb(verbs, "import", "import_file", "read preferences that other tools wrote into the workspace")
    read.add_argument("file", type=Path)
    read.add_argument("--format", default="auto", help="the format's name, or auto")
    read.add_argument("--rater", default="imported", help="whose rankings these are")
    write = _verb(verbs, "export", "export_file", "write the workspace's rankings for other tools")
    write.add_argument("--format", default="rankings", help="the format's name; a wrong one lists them")
    write.add_argument("--raters", default="", help="person, all, or one rater's name; all in rankings unless said")
    write.add_argument("--out", type=Path, required=True, help="a new file, or - for stdout")
    merge = _verb(verbs, "merge", "merge", "write a run's model, base and adapter in one, for other tools")
    _add_base(merge)
    merge.add_argument("role", help="a policy or a reward model: sft, a run, or a run at a step (0004-ppo@20)")
    merge.add_argument("--out", type=Path, required=True, help="a new folder")
    score = _verb(verbs, "score", "score", "score answers with a reward model")
    _add_base(score)
    score.add_argument("--reward", default="", help="a run of the reward stage; the newest unless said")
    score.add_argument("file", type=Path, help='JSON lines with "prompt" and "response"')
    look = _verb(verbs, "formats", "formats", "what a preference file holds, and how the lab reads it", workspace=False)
    look.add_argument("file", type=Path)
    look.add_argument("--format", default="auto", help="the format's name, or auto")


def _machine_verbs(verbs: Any) -> None:
    work = _verb(verbs, "work", "work", "the worker process that the app starts")
    work.set_defaults(workspace=None)
    work.add_argument("folder", type=Path, nargs="?", default=WORKSPACE)
    _add_base(work)
    work.add_argument("--parent", type=int, default=0, help="end when this process is gone")
    models = _verb(verbs, "models", "models", "the bases known here, and what fits this machine", workspace=False)
    models.add_argument(
        "name", nargs="?", default="", help="a base, whose memory is told by role, here and on usual cards"
    )
    models.add_argument("--precision", choices=knobs.PRECISIONS, default="auto", help="what its weights are kept in")
    models.add_argument("--rank", type=int, default=8, help="LoRA rank")
    models.add_argument("--fit", action="store_true", help="turn knobs in order of harm until it fits, and say which")
    _verb(verbs, "doctor", "doctor", "what this machine can run, and what is wrong with it")
    quality = _verb(
        verbs, "quality", "quality", "how well the base and its SFT answer, read by the world's parser", workspace=False
    )
    _add_base(quality)
    quality.add_argument("--count", type=int, default=1000, help="unseen prompts")
    quality.add_argument("--seed", type=int, default=0)
    bench = _verb(
        verbs, "bench", "bench", "speed and memory of each part, against the machine's limit", workspace=False
    )
    add_bench(bench)


def add_bench(parser: argparse.ArgumentParser) -> None:
    """What `python -m lab bench` and `python -m lab.bench` know, but for --json."""
    parser.add_argument("--quick", action="store_true", help="the smallest shapes only, fewer steps")
    text = "also TRL 1.12's PPOTrainer, in an environment of its own; with --gpu that alone, on the card"
    parser.add_argument("--against-trl", action="store_true", help=text)
    parser.add_argument("--trl-env", type=Path, help="where that environment is or will be made")
    text = "how often PPO of both is measured in turn, on a processor; of each the fastest counts"
    parser.add_argument("--rounds", type=int, default=1, help=text)
    parser.add_argument("--gpu", action="store_true", help="the measurements of docs/gpu.md, which need CUDA")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --gpu: all figures as JSON, after every case")
    text = "instead: how long N browsers wait that rank at once"
    parser.add_argument("--page", type=int, default=0, metavar="N", help=text)
    text = "what to measure, with commas: 3M,8M,135M; with --gpu 7B,0.5B:4-bit"
    parser.add_argument("--models", default="", help=text)
    parser.add_argument("--threads", type=int, default=0, help="threads of each measurement; 0: half of the cores")


def _add_base(verb: argparse.ArgumentParser, run: bool = False) -> None:
    """The base and what it runs on; run: also whether a run's knobs may be turned so that it fits."""
    if run:
        text = "turn knobs in order of harm until the run fits the free memory, and say which"
        verb.add_argument("--fit", action="store_true", help=text)
    verb.add_argument(
        "--base", default="", help="tiny, small, a model folder or a Hugging Face id; the workspace's unless said"
    )
    text = "what the base's weights are kept in; the workspace's unless said"
    verb.add_argument("--precision", choices=knobs.PRECISIONS, default="", help=text)
    short = {"action": "store_const", "dest": "precision"}
    verb.add_argument("--four-bit", const="4-bit", help="short for --precision 4-bit (NF4)", **short)
    verb.add_argument("--eight-bit", const="8-bit", help="--precision 8-bit (LLM.int8; slow on a GPU)", **short)
    verb.add_argument("--threads", type=int, default=0, help="torch threads; 0 leaves the choice to torch")


def _add_reward(verb: argparse.ArgumentParser) -> None:
    """The reward model that is followed, and whether it is followed whatever its test said; and where to start."""
    verb.add_argument("--reward", default="", help="a run of the reward stage; the newest unless said")
    text = "the SFT to start from: sft (the newest), shipped (the base's own) or a run; the reward model's unless said"
    verb.add_argument("--reference", default="", help=text)
    text = "follow it although it was tested on under 10 pairs or is right on at most 55%% of them"
    verb.add_argument("--anyway", action="store_true", help=text)


def _add_knobs(verb: argparse.ArgumentParser, config: type, skip: tuple[str, ...] = ()) -> None:
    """A flag for every field of a config but those to be skipped."""
    for each in (each for each in fields(config) if each.name not in skip):
        name, kind = each.name.replace("_", "-"), type(each.default)
        choices = each.metadata["choices"] or None
        default = None if each.metadata["sized"] else each.default
        text = f"{each.metadata['help']} ({'chosen for the size of the base' if default is None else default})"
        verb.add_argument(f"--{name}", type=kind, default=default, choices=choices, help=text.replace("%", "%%"))


if __name__ == "__main__":
    allocator.search_rarely()
    sys.exit(main())
