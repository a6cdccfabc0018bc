"""Sampling from a role, batched, row by row to the end token, at exactly the temperature asked for and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from lab import decode, folding
from lab.errors import NotFinite
from lab.models import Roles
from lab.shortage import with_smaller_microbatches
from lab.speakers import Plain, Recorded, RecordedDecoder, recordable
from lab.stem import Stem

BLOCK = 64  # of the vocabulary: the sum to a drawn place is taken over blocks, then within one


def sample(
    roles: Roles, role: str, prompts: Sequence[Sequence[int]], *, tokens: int, temperature: float = 1.0, seed: int = 0
) -> list[list[int]]:
    """One response for each prompt, as ids with their end token where there is one."""
    return sample_within(roles, role, prompts, len(prompts), tokens=tokens, temperature=temperature, seed=seed)[0]


def sample_within(
    roles: Roles,
    role: str,
    prompts: Sequence[Sequence[int]],
    together: int,
    *,
    tokens: int,
    stem: Stem | None = None,
    **chance: float,
) -> tuple[list[list[int]], int]:
    """The same answers, at most so many prompts `together`, and how many went: half as many where memory runs out.

    stem: an empty one of the role is filled where `stream` says that it can be.
    """

    def said(size: int) -> list[list[int]]:
        responses: list[list[int]] = [[] for _ in prompts]
        stems = []
        for first in range(0, len(prompts), size):
            some, part = prompts[first : first + size], stem and replace(stem)
            for rows, drawn in stream(roles, role, some, tokens=tokens, first=first, stem=part, **chance):
                for row, token in zip(rows, drawn, strict=True):
                    responses[first + row].append(token)
            stems.append(part)
        if stem is not None:
            stem.join(stems)
        return responses

    return with_smaller_microbatches(said, max(1, together))


@torch.no_grad()
def stream(
    roles: Roles,
    role: str,
    prompts: Sequence[Sequence[int]],
    *,
    tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    first: int = 0,
    stem: Stem | None = None,
) -> Iterator[tuple[list[int], list[int]]]:
    """Yields, a token at a time, the rows that still speak and the id that each said; temperature 0 takes the top id.

    Finished rows leave the batch. Each row draws from a stream of its own, made from the seed and its number, counted
    from `first`, so an answer does not depend on what else is in the batch. The generation settings that ship with a
    model are not consulted: what is sampled is what is scored. Raises NotFinite when the model's output is not.

    stem: where our own loop answers on a processor, it is filled with what its layers say of prompts and answers, both
    in the columns in which text.batch_of puts them. For that a row leaves only when its last token has been read.
    """
    if not prompts:
        return
    speaker = _speaker(roles, role, prompts, tokens)
    heard = stem is not None and roles.device.type == "cpu" and type(speaker) is decode.Decoder and roles.lean(role)
    if heard:
        stem.keep(speaker.listen(stem.depth))
    chances = [Random(f"{seed} {first + row}") for row in range(len(prompts))]
    alive, stops = list(range(len(prompts))), frozenset(roles.text.eos_ids)
    logits = speaker.start()
    for said in range(1, tokens + 1):
        ids = draw(logits, temperature, [chances[row].random() for row in alive])
        drawn = ids.tolist()
        yield alive, drawn
        kept = survivors([token not in stops for token in drawn])
        if not kept or said == tokens:
            break
        leaving = len(kept) < len(alive)
        if leaving and not heard:
            speaker.keep(kept)
            ids = ids[kept]
        logits = speaker.say(ids)
        if leaving and heard:
            speaker.keep(kept)
            logits = logits[kept]
        alive = [alive[place] for place in kept] if leaving else alive
    if heard:
        speaker.hear(ids)


@torch.no_grad()
def first_and_last(roles: Roles, role: str, prompts: Sequence[Sequence[int]], tokens: int) -> None:
    """Says the first token of every answer and the last, at which the cache is longest: for who measures memory."""
    speaker, chances = _speaker(roles, role, prompts, tokens), [0.5] * len(prompts)
    logits = speaker.start()
    ids = draw(logits, 1.0, chances)
    if tokens == 1:
        return
    if isinstance(speaker, Plain):  # the fast loop's cache is all there from the start
        speaker.lengthen(tokens - 2)
    logits = speaker.say(ids)
    draw(logits, 1.0, chances)


def prepare(roles: Roles, role: str) -> None:
    """Makes what a base's first answer makes, once for all: who measures answers measures no more than these."""
    _folded(roles, role, 1)


def _speaker(roles: Roles, role: str, prompts: Sequence[Sequence[int]], tokens: int) -> decode.Decoder | Plain:
    """The fast loop where it computes what the model does, else its own forward; recorded on a GPU."""
    roles.check(role)
    folded = _folded(roles, role, len(prompts))
    if folded and roles.device.type == "cuda" and roles.recorded:
        return RecordedDecoder(roles, folded, prompts, tokens)
    if folded:
        return decode.Decoder(folded, prompts, tokens)
    if recordable(roles, max(map(len, prompts)) + tokens):
        return Recorded(roles, role, prompts, tokens)
    return Plain(roles, role, prompts)


def _folded(roles: Roles, role: str, answers: int) -> folding.Folded | None:
    """A role's weights for the fast loop: copied if they are few, else its own; None where it cannot serve.

    Of few weights, a copy for many answers at once is in float32 with the adapter in it; the one for a few is half as
    much to read, but that of the base alone, and the adapter beside it costs operations of its own.
    """
    if folding.suits(roles.model, role):
        if answers <= folding.FEW and folding.halves(roles.model):
            return folding.borrow(roles.model, role, torch.float32)
        return folding.fold(roles.model, role)
    kept = roles.model.get_input_embeddings().weight.dtype
    if roles.device.type == "cpu" and roles.lean(role):
        dtype = kept if kept == torch.bfloat16 else roles.products  # never a wider copy of a base too large for one
        return folding.borrow(roles.model, role, dtype)
    suiting = folding.suits(roles.model, role, folding.ANY_SIZE, quantised=roles.precision == "4-bit")
    if roles.device.type == "cuda" and kept == roles.products and suiting:
        return folding.borrow(roles.model, role, kept, pack=False)
    return None


def survivors(speaking: Sequence[bool]) -> list[int]:
    """Places of the rows that go on: the first ones stay where they are, holes are filled from the end."""
    count = sum(speaking)
    late = [place for place in range(count, len(speaking)) if speaking[place]]
    return [place if speaking[place] else late.pop() for place in range(count)]


def draw(logits: Tensor, temperature: float, chances: Sequence[float]) -> Tensor:
    """One id a row [B] of logits [B, V]: where its chance in [0, 1) falls in the cumulated probabilities."""
    largest, likeliest = logits.max(-1, keepdim=True)
    if not torch.isfinite(largest).all():
        raise NotFinite("The model's output is not a number any more. Go back to an earlier checkpoint.")
    if temperature == 0:
        return likeliest.flatten()
    weights = (logits - largest).div_(temperature).exp_()  # [B, V]
    missing = -weights.shape[-1] % BLOCK
    blocks = (F.pad(weights, (0, missing)) if missing else weights).unflatten(-1, (-1, BLOCK))
    reached = _wide(blocks.sum(-1)).cumsum(-1)
    target = torch.tensor(chances, device=reached.device, dtype=torch.float64)[:, None] * reached[:, -1:]
    block = _place(reached, target)
    before = torch.where(block > 0, reached.gather(1, (block - 1).clamp(min=0)), 0.0)
    rows = torch.arange(len(blocks), device=logits.device)
    within = _wide(blocks[rows, block.flatten().to(rows.device)]).cumsum(-1)
    place = _place(within, target - before)
    return (block * BLOCK + place).clamp(max=logits.shape[-1] - 1).flatten().to(logits.device)


def _place(reached: Tensor, target: Tensor) -> Tensor:
    """Where in rising sums [B, N] the targets [B, 1] lie: at the latest where the last of them is reached, for what
    comes behind has no chance, and the sums of blocks are rounded."""
    last = torch.searchsorted(reached, reached[:, -1:].contiguous())
    return torch.searchsorted(reached, target, right=True).minimum(last)


def _wide(sums: Tensor) -> Tensor:
    """In float64; on the processor where the device has none, as Apple's."""
    return sums.cpu().double() if sums.device.type == "mps" else sums.double()
