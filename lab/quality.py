"""How well the embedded model answers prompts that no training text asks, as the world's own parser reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from statistics import mean
from typing import Any

import torch

from lab.config import TEMPERATURE
from lab.generate import sample
from lab.loading import EMBEDDED, load
from lab.models import BASE, Roles
from lab.text import Asked
from lab.world import corpus
from lab.world.questions import recognise
from lab.world.reading import read

TOKENS, DISTINCT_OF, TRAINING_PROMPTS, PRINTED = 72, 8, 200_000, 10
HELD_OUT_PAGES, CONTEXT = 100, 256


def measure(base: str, count: int, seed: int, threads: int = 0) -> dict[str, Any]:
    """Held-out loss, shares of well-formed and answering responses, distinct answers, unseen prompts, samples."""
    from lab.adapters import load_adapter

    if threads:
        torch.set_num_threads(threads)
    roles = load(base)
    shipped = EMBEDDED / base / "sft"
    if shipped.is_dir():
        load_adapter(roles, "sft", shipped)
    texts = corpus.prompts(count, seed, held_out=True)
    prompts = roles.text.asked(texts, room=TOKENS)
    return {
        "base": base,
        "loss_held_out": page_loss(roles, seed),
        "unseen_prompts": unseen(texts),
        "policies": {role: shares(roles, role, prompts, seed) for role in (BASE, "sft")},
        "distinct_of_8": distinct(roles, "sft", prompts[:25], seed),
        "samples": printed(roles, prompts[:PRINTED], seed),
    }


def shares(roles: Roles, role: str, prompts: Sequence[Asked], seed: int) -> dict[str, Any]:
    """Shares of responses that are well formed, that answer and that come to an end; mean length."""
    drawn = answers(roles, role, prompts, seed)
    texts = [roles.text.decode(ids) for ids in drawn]
    known = [reading for prompt, text in zip(prompts, texts, strict=True) if (reading := read(prompt.text, text))]
    return {
        "well_formed": mean(reading.well_formed for reading in known),
        "answers": mean(reading.answers for reading in known),
        "coverage": mean(reading.coverage for reading in known),
        "wrong": mean(reading.wrong > 0 for reading in known),
        "ended": mean(ids[-1] in roles.text.eos_ids for ids in drawn),
        "tokens": mean(map(len, drawn)),
        "answers_by_kind": by_kind(prompts, texts),
    }


def by_kind(prompts: Sequence[Asked], texts: Sequence[str]) -> dict[str, float]:
    """Share of responses that answer, for each kind of request, the hardest first."""
    found: dict[str, list[bool]] = {}
    for prompt, text in zip(prompts, texts, strict=True):
        question, reading = recognise(prompt.text), read(prompt.text, text)
        if question and reading:
            found.setdefault(question.kind.name, []).append(reading.answers)
    return dict(sorted(((name, mean(each)) for name, each in found.items()), key=lambda pair: (pair[1], pair[0])))


def answers(roles: Roles, role: str, prompts: Sequence[Asked], seed: int) -> list[list[int]]:
    """One response to each prompt."""
    found = []
    for start in range(0, len(prompts), 64):
        group = [prompt.ids for prompt in prompts[start : start + 64]]
        found += sample(roles, role, group, tokens=TOKENS, temperature=TEMPERATURE, seed=seed * 1000 + start)
    return found


def distinct(roles: Roles, role: str, prompts: Sequence[Asked], seed: int) -> float:
    """How many of 8 answers to one prompt differ, on average."""
    drawn = answers(roles, role, [prompt for prompt in prompts for _ in range(DISTINCT_OF)], seed + 1)
    groups = [drawn[start : start + DISTINCT_OF] for start in range(0, len(drawn), DISTINCT_OF)]
    return mean(len({tuple(ids) for ids in group}) for group in groups)


def unseen(texts: Sequence[str]) -> float:
    """Share of prompts whose text is not among the first tenth of the training questions."""
    seen = {pair.prompt for pair in corpus.pairs(TRAINING_PROMPTS // 10, 0)}
    return mean(text not in seen for text in texts)


@torch.no_grad()
def page_loss(roles: Roles, seed: int) -> float:
    """Nats a token of the base on raw pages of a seed that it was not trained on."""
    ids: list[int] = []
    tokenizer = roles.text.tokenizer
    for page in islice(corpus.pages(1_000_000 + seed), HELD_OUT_PAGES * 8):
        ids += [tokenizer.bos_token_id, *tokenizer(page, add_special_tokens=False)["input_ids"]]
    rows = torch.tensor(ids[: len(ids) // CONTEXT * CONTEXT]).view(-1, CONTEXT)[:HELD_OUT_PAGES].to(roles.device)
    losses = []
    with roles.using(BASE) as model:
        for batch in rows.split(16):
            logits = model(input_ids=batch[:, :-1]).logits.float()
            losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()))
    return torch.stack(losses).mean().item()


def printed(roles: Roles, prompts: Sequence[Asked], seed: int) -> list[dict[str, Any]]:
    """Prompts with four answers each, for a person to read."""
    drawn = answers(roles, "sft", [prompt for prompt in prompts for _ in range(4)], seed + 2)
    texts = [roles.text.decode(ids) for ids in drawn]
    return [{"prompt": prompt.text, "answers": texts[4 * i : 4 * i + 4]} for i, prompt in enumerate(prompts)]


def table(found: dict[str, Any]) -> str:
    """What `measure` found, to be printed."""
    lines = []
    for sample_ in found["samples"]:
        lines.append(sample_["prompt"])
        lines += [f"    {number}. {text}" for number, text in enumerate(sample_["answers"], 1)]
    lines.append(f"\n{'':<6}{'well formed':>12}{'answers':>9}{'ended':>8}{'tokens':>8}")
    for role, row in found["policies"].items():
        lines.append(
            f"{role:<6}{row['well_formed']:>12.1%}{row['answers']:>9.1%}{row['ended']:>8.1%}{row['tokens']:>8.1f}"
        )
    kinds = found["policies"]["sft"]["answers_by_kind"].items()
    lines.append("answered with SFT, by kind: " + ", ".join(f"{name} {share:.0%}" for name, share in kinds))
    lines.append(f"held-out loss of the base: {found['loss_held_out']:.3f} nats a token")
    lines.append(f"distinct answers of 8: {found['distinct_of_8']:.1f}")
    count = TRAINING_PROMPTS // 10
    lines.append(f"prompts that are not among {count:,} training questions: {found['unseen_prompts']:.1%}")
    return "\n".join(lines)
