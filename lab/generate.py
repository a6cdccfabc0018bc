"""Sampling from a role, batched, row by row to the end token, at exactly the temperature asked for and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from lab.errors import NotFinite
from lab.models import Roles


def sample(
    roles: Roles, role: str, prompts: Sequence[Sequence[int]], *, tokens: int, temperature: float = 1.0, seed: int = 0
) -> list[list[int]]:
    """One response for each prompt, as ids with their end token where there is one."""
    responses: list[list[int]] = [[] for _ in prompts]
    for rows, drawn in stream(roles, role, prompts, tokens=tokens, temperature=temperature, seed=seed):
        for row, token in zip(rows, drawn, strict=True):
            responses[row].append(token)
    return responses


@torch.no_grad()
def stream(
    roles: Roles, role: str, prompts: Sequence[Sequence[int]], *, tokens: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[tuple[list[int], list[int]]]:
    """Yields, a token at a time, the rows that still speak and the id that each said; temperature 0 takes the likeliest.

    Finished rows leave the batch. The generation settings that ship with a model are not consulted: what is sampled is what is
    scored. Raises NotFinite when the model's output is not.
    """
    generator = torch.Generator(device=roles.device).manual_seed(seed)
    ids, attention = _left_padded(prompts, roles.text.pad_id, roles.device)
    alive, cache = list(range(len(prompts))), None
    position = attention.sum(1, keepdim=True)
    with_positions = (attention.cumsum(1) - 1).clamp(min=0)
    stops = torch.tensor(roles.text.eos_ids, device=roles.device)
    for _ in range(tokens):
        logits, cache = _next(roles, role, ids, attention, with_positions, cache)
        ids = _draw(logits, temperature, generator)
        yield alive, ids.flatten().tolist()
        keep = (~torch.isin(ids.flatten(), stops)).nonzero().flatten()
        if not len(keep):
            return
        if len(keep) < len(alive):
            alive = [alive[i] for i in keep.tolist()]
            cache.batch_select_indices(keep)
            ids, attention, position = ids[keep], attention[keep], position[keep]
        attention = torch.cat([attention, attention.new_ones(len(alive), 1)], 1)
        with_positions, position = position, position + 1


def _left_padded(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    attention = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, attention


def _next(roles: Roles, role: str, ids, attention, positions, cache) -> tuple[torch.Tensor, object]:
    """Logits [B, V] of the next token, and the cache that holds all before it."""
    with roles.using(role) as model, roles.autocast():
        out = model(
            input_ids=ids,
            attention_mask=attention,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return out.logits[:, -1].float(), out.past_key_values


def _draw(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    """One id a row [B, 1]."""
    if not torch.isfinite(logits).all():
        raise NotFinite("The model's output is not a number any more. Go back to an earlier checkpoint.")
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator)
