"""The command line: python -m lab VERB. Bars on stderr, results on stdout, one line and exit status 2 when something is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from lab import config as knobs
from lab.errors import LabError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
    except LabError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result, allow_nan=False))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="See RLHF work, from rankings to PPO.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    loop = verbs.add_parser("loop", help="sft, rankings by a simulated rater, reward model, PPO and a comparison")
    loop.add_argument("--base", default="tiny", help="tiny, a model folder or a Hugging Face id")
    loop.add_argument("--four-bit", action="store_true", help="load the base in NF4")
    loop.add_argument("--rater", default="simulated:helpful", help="whose taste is simulated")
    loop.add_argument("--rankings", type=int, default=60, help="how many prompts the rater ranks")
    loop.add_argument("--threads", type=int, help="torch threads")
    _add_knobs(loop, knobs.Ppo)
    loop.set_defaults(run=_loop)
    sample = verbs.add_parser("sample", help="what the base model says to a prompt")
    sample.add_argument("prompt")
    sample.add_argument("--base", default="tiny", help="tiny, a model folder or a Hugging Face id")
    sample.add_argument("-n", type=int, default=4, help="how many answers")
    sample.add_argument("--seed", type=int, default=0, help="of the sampling")
    sample.set_defaults(run=_sample)
    look = verbs.add_parser("formats", help="what a preference file holds, and the first rows as the lab reads them")
    look.add_argument("file")
    look.add_argument("--format", default="auto", help="the format's name, or auto")
    look.set_defaults(run=_formats)
    for verb in (loop, sample, look):
        verb.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


def _add_knobs(parser: argparse.ArgumentParser, config: type) -> None:
    """A flag for every field of a config."""
    for each in fields(config):
        name, kind = each.name.replace("_", "-"), type(each.default)
        parser.add_argument(f"--{name}", type=kind, default=each.default, help=f"{each.metadata['help']} (%(default)s)")


def _knobs(options: argparse.Namespace, config: type) -> Any:
    return config(**{each.name: getattr(options, each.name) for each in fields(config)})


def _loop(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from lab.loop import Plan, loop
    from lab.models import load
    from lab.rater import rater

    ppo = _knobs(options, knobs.Ppo)
    plan = Plan(
        sft=replace(knobs.Sft(), seed=ppo.seed),
        reward=replace(knobs.Reward(), seed=ppo.seed),
        ppo=ppo,
        rater=rater(options.rater),
        rankings=options.rankings,
        seed=ppo.seed,
    )
    if options.threads:
        torch.set_num_threads(options.threads)
    roles = load(options.base, four_bit=options.four_bit, seed=ppo.seed)
    result = _watch(loop(roles, plan))
    _print_comparison(result)
    return result


def _watch(events: Iterator[Any]) -> dict[str, Any]:
    """A bar for each stage on stderr; the last Finished event's result."""
    from tqdm import tqdm

    from lab.events import Finished, Progress, Started, Step, Warned

    bar, result = tqdm(disable=True), {}
    for event in events:
        match event:
            case Started(stage=stage, total=total):
                bar.close()
                bar = tqdm(total=total, desc=stage, file=sys.stderr)
            case Progress(what=what, done=1, total=total):
                bar.close()
                bar = tqdm(total=total, desc=what, file=sys.stderr, initial=1)
            case Progress():
                bar.update()
            case Step(metrics=metrics):
                bar.set_postfix({key: f"{metrics[key]:.3g}" for key in _SHOWN if metrics.get(key) is not None})
                bar.update()
            case Warned(message=message, remedy=remedy):
                tqdm.write(f"{message} {remedy}", file=sys.stderr)
            case Finished(result=found):
                result = found
    bar.close()
    return result


_SHOWN = ("loss/train", "loss/reward", "pairs/train_accuracy", "reward/score", "kl/reference", "response/length")


def _print_comparison(result: dict[str, Any]) -> None:
    print(f"{'policy':<10} {'win rate vs SFT':>20} {'KL, nats':>9} {'score':>7}")
    for name, row in result["policies"].items():
        interval = f"{row['win_rate']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        print(f"{name:<10} {interval:>20} {row['kl']:>9.2f} {row['score']:>7.2f}")
    print(
        f"reward model: {result['pair_accuracy']:.2f} of unseen pairs as the simulated rater's noise-free utility orders them; "
        f"{result['seconds']:.0f} s, {result['peak_bytes'] / 1e9:.2f} GB at most"
    )


def _sample(options: argparse.Namespace) -> dict[str, Any]:
    from lab.generate import sample
    from lab.models import BASE, load

    roles = load(options.base)
    ids = roles.text.prompt_ids(options.prompt, room=72)
    texts = [roles.text.decode(i) for i in sample(roles, BASE, [ids] * options.n, tokens=72, seed=options.seed)]
    print("\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1)))
    return {"prompt": options.prompt, "answers": texts}


def _formats(options: argparse.Namespace) -> dict[str, Any]:
    from lab.formats import read

    found = read(options.file, options.format)
    print(f"{found.format}: {len(found.records)} rows read, {len(found.rejected)} left out")
    for row in found.rejected[:20]:
        print(f"  line {row.line}: {row.reason}")
    return {"format": found.format, "accepted": len(found.records), "rejected": len(found.rejected)}


if __name__ == "__main__":
    sys.exit(main())
