"""Trains the SFT that ships with a base, so that its answers can be ranked at once: python -m assets.finetune tiny.

Two rounds: first on demonstrations by the world's writers, then on a mixture of them and of the first round's own
answers to training prompts, as far as the world can read those (rejection sampling, as in Llama 2).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from random import Random

import torch
from tqdm import tqdm

from lab import sft
from lab.adapters import save_adapter
from lab.config import Sft
from lab.events import Finished, Step
from lab.generate import sample
from lab.loading import EMBEDDED, load
from lab.models import Roles
from lab.state import State, new_state
from lab.world import corpus
from lab.world.language import sentences
from lab.world.reading import read

PAIRS, HELD_OUT = 40_000, 320
FIRST, SECOND = Sft(steps=2500, learning_rate=2e-3), Sft(steps=1800, learning_rate=1.5e-3)
# Drawn at temperature 1, own answers are as varied as what was learned. Those of one sentence are left out: the model
# is curter than the writers, and would become more so.
DRAWN, TEMPERATURE, TOKENS, OWN_SHARE = 24_000, 1.0, 72, 0.4
# Of those that do not answer, one in so many stays, so that there is something to rank.
UNANSWERING, KEPT_DEMONSTRATIONS, KEPT_OWN = ("evasive", "off the point"), 3, 5

Pairs = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began, roles = time.monotonic(), load(options.base, device="cpu")
    told = demonstrations(PAIRS + HELD_OUT)
    told, held_out = told[:PAIRS], told[PAIRS:]
    losses = [train(sft.begin(roles, FIRST), FIRST, told, held_out)]
    own = list(own_answers(roles))
    losses.append(train(new_state(roles, [("sft", "")], SECOND), SECOND, mixed(told, own), held_out))
    card = {"command": f"python -m assets.finetune {options.base}", "pairs": PAIRS, "own_answers": len(own)}
    card |= {"steps": [FIRST.steps, SECOND.steps], "loss_held_out": losses}
    card |= {"products": str(roles.products).removeprefix("torch."), "seconds": round(time.monotonic() - began)}
    save_adapter(roles, "sft", EMBEDDED / options.base / "sft", **card)
    print(json.dumps(card))


def train(state: State, config: Sft, pairs: Pairs, held_out: Pairs) -> float:
    """One round; returns the loss on demonstrations that were held out, nats a response token."""
    bar, result = tqdm(total=config.steps, file=sys.stderr), {}
    for event in sft.sft(state, pairs, lambda: config, held_out=held_out):
        if isinstance(event, Step):
            bar.update()
            bar.set_postfix(loss=f"{event.metrics['loss/train']:.3f}", refresh=False)
        if isinstance(event, Finished):
            result = event.result
    return round(result["loss/held_out"], 4)


def demonstrations(count: int) -> Pairs:
    """Instruction pairs, most of them with an answer."""
    pairs = corpus.pairs(count + count // 10, FIRST.seed)
    kept = chosen(((pair, pair.writer not in UNANSWERING) for pair in pairs), KEPT_DEMONSTRATIONS)
    return [(pair.prompt, pair.response) for pair in itertools.islice(kept, count)]


def own_answers(roles: Roles) -> Iterator[tuple[str, str]]:
    """Answers drawn to training prompts: well formed, of several sentences, ended; most of them answer."""
    asked = roles.text.asked(corpus.prompts(DRAWN, SECOND.seed + 1), room=TOKENS)
    found = []
    for start in tqdm(range(0, len(asked), 256), file=sys.stderr):
        group = asked[start : start + 256]
        ids = [each.ids for each in group]
        drawn = sample(roles, "sft", ids, tokens=TOKENS, temperature=TEMPERATURE, seed=start)
        for prompt, said in zip(group, drawn, strict=True):
            text = roles.text.decode(said)
            reading = read(prompt.text, text)
            ended = said[-1] in roles.text.eos_ids
            if ended and len(sentences(text)) > 1 and reading and reading.well_formed:
                found.append(((prompt.text, text), reading.answers))
    return chosen(found, KEPT_OWN)


def chosen(found: Iterable[tuple], one_in: int) -> Iterator:
    """Of (item, whether it answers) all items that do, and one in so many of the others."""
    others = itertools.count(1)
    return (item for item, answers in found if answers or next(others) % one_in == 0)


def mixed(told: Pairs, own: Pairs) -> Pairs:
    """As many pairs as the second round reads, of both sorts."""
    rng, count = Random(SECOND.seed), SECOND.steps * SECOND.batch
    both = rng.sample(own, min(len(own), round(OWN_SHARE * count)))
    both += rng.sample(told, min(len(told), count - len(both)))
    rng.shuffle(both)
    return both


if __name__ == "__main__":
    main()
