"""Trains the SFT that ships with a base, so that its answers can be ranked at once: python -m assets.finetune tiny."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time

import torch
from tqdm import tqdm

from lab import sft
from lab.adapters import save_adapter
from lab.config import Sft
from lab.events import Finished, Step
from lab.loading import EMBEDDED, load
from lab.world import corpus

PAIRS, HELD_OUT = 40_000, 320
CONFIG = Sft(steps=2500, learning_rate=2e-3)
# Demonstrations are chosen: of those that do not answer, one in three stays, so that there is something to rank.
UNANSWERING = ("evasive", "off the point")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began, roles = time.monotonic(), load(options.base, device="cpu")
    pairs = demonstrations(PAIRS + HELD_OUT)
    state = sft.begin(roles, CONFIG)
    bar, result = tqdm(total=CONFIG.steps, file=sys.stderr), {}
    for event in sft.sft(state, pairs[:PAIRS], lambda: CONFIG, held_out=pairs[PAIRS:]):
        if isinstance(event, Step):
            bar.update()
            bar.set_postfix(loss=f"{event.metrics['loss/train']:.3f}", refresh=False)
        if isinstance(event, Finished):
            result = event.result
    card = {"command": f"python -m assets.finetune {options.base}", "pairs": PAIRS, "steps": CONFIG.steps}
    card |= {"loss_held_out": round(result["loss/held_out"], 4), "seconds": round(time.monotonic() - began)}
    save_adapter(roles, "sft", EMBEDDED / options.base / "sft", **card)
    print(json.dumps(card))


def demonstrations(count: int) -> list[tuple[str, str]]:
    """Instruction pairs, most of them with an answer."""
    found, unanswered = [], itertools.count(1)
    for pair in corpus.pairs(count + count // 10, CONFIG.seed):
        if pair.writer not in UNANSWERING or next(unanswered) % 3 == 0:
            found.append((pair.prompt, pair.response))
    return found[:count]


if __name__ == "__main__":
    main()
