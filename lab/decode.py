"""A fast decode loop for Llama-shaped models, over one role's weights as lab/folding.py makes them ready.

B rows, T new columns (the prompt at first, then 1), S columns of cache, h hidden, V vocabulary, H query heads in K
groups of G = H / K, D head size
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.folding import Borrowed, Folded, Layer, normed, product

READ_AT_ONCE = 2**22  # entries of an attention mask


class Decoder:
    """The state of one batch: a cache for all columns that it may come to, which rows keep and leave.

    `heard` [B, S, h]: what the first `depth` layers say of every column, where somebody listens.
    """

    depth: int = 0
    heard: Tensor

    def __init__(self, folded: Folded, prompts: Sequence[Sequence[int]], tokens: int):
        self.folded, self.device = folded, folded.embed.device
        self.width = max(map(len, prompts))
        self.distinct = sorted({tuple(prompt) for prompt in prompts}, key=lambda prompt: (len(prompt), prompt))
        number = {prompt: i for i, prompt in enumerate(self.distinct)}
        self.which = torch.tensor([number[tuple(prompt)] for prompt in prompts], device=self.device)
        self.column, columns = self.width, self.width + tokens
        shape = (len(prompts), 2, folded.groups, columns, folded.size)
        self.cache = [torch.empty(shape, device=self.device, dtype=folded.head.dtype) for _ in folded.layers]
        self.position = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        angles = torch.arange(columns, device=self.device).to(folded.wide)[:, None] * folded.turns
        self.rotations = torch.polar(torch.ones_like(angles), angles)  # [S, D/2]
        masked = torch.arange(columns, device=self.device) < self.width - self.position[:, None]
        self.mask = _blocked(masked, self.cache[0].dtype)[:, None, None]  # [B, 1, 1, S]
        self.rows = torch.arange(len(prompts), device=self.device)  # that are left, by their number at the start

    def listen(self, depth: int) -> Tensor:
        """From now on what the first layers say is kept: the tensor that it comes to, 0 where nothing was said."""
        columns, hidden = self.mask.shape[-1], self.folded.embed.shape[1]
        self.depth = depth
        self.heard = torch.zeros(len(self.rows), columns, hidden, dtype=self.folded.wide, device=self.device)
        return self.heard

    def start(self) -> Tensor:
        """Logits [B, V] after the prompts; each distinct prompt is read once, with others about as long."""
        last = [self._read(*ends) for ends in alike([len(prompt) for prompt in self.distinct])]
        return _logits(self.folded, torch.cat(last)[self.which])

    def _read(self, first: int, end: int) -> Tensor:
        """States [b, h] at the end of some distinct prompts, whose keys and values go to the rows that begin so."""
        folded, prompts = self.folded, self.distinct[first:end]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=self.device)
        padding = width - torch.tensor([len(p) for p in prompts], device=self.device)
        columns = torch.arange(width, device=self.device)
        masked = (columns < padding[:, None])[:, None] | (columns > columns[:, None])  # [b, T, T]
        mask = _blocked(masked, self.cache[0].dtype).repeat_interleave(folded.heads // folded.groups, 1)[:, None]
        rotations = self.rotations[(columns - padding[:, None]).clamp(min=0)].flatten(0, 1)[:, None]
        rows = ((self.which >= first) & (self.which < end)).nonzero().flatten()
        states = folded.embed[ids].flatten(0, 1).to(folded.wide)
        for depth, (layer, cache) in enumerate(zip(folded.layers, self.cache, strict=True), 1):
            new = cache.new_empty(len(prompts), 2, folded.groups, width, folded.size)
            states = _layer(folded, layer, states, Columns(rotations, new, 0, mask))
            if depth == self.depth:
                said = states.unflatten(0, (len(prompts), width))
                self.heard[rows, self.width - width : self.width] = said[self.which[rows] - first]
            cache[rows, :, :, : self.width - width] = 0  # never looked at, but no number may stand there that is none
            cache[rows, :, :, self.width - width : self.width] = new[self.which[rows] - first]
        return states.unflatten(0, (len(prompts), width))[:, -1]

    def say(self, ids: Tensor) -> Tensor:
        """Logits [B, V] after one more token a row, ids [B]."""
        logits = self._token(ids, self.column, self.mask[..., : self.column + 1])
        self.column += 1
        self.position = self.position + 1
        return logits

    def hear(self, ids: Tensor) -> None:
        """The last token of each row, ids [B], which nothing follows: only what is kept of it is worked out."""
        self._states(ids, self.column, self.mask[..., : self.column + 1], self.depth)

    def _token(self, ids: Tensor, column: int | Tensor, mask: Tensor) -> Tensor:
        """Logits [B, V] of ids [B] that stand in a column; columns that the mask [B, 1, 1, *] has are read."""
        return _logits(self.folded, self._states(ids, column, mask))

    def _states(self, ids: Tensor, column: int | Tensor, mask: Tensor, layers: int | None = None) -> Tensor:
        """The same ids' states [B, h] behind the first layers, all of them if not said."""
        states = self.folded.embed[ids].to(self.folded.wide)
        rotations = self.rotations[self.position][:, None]
        for depth, (layer, cache) in enumerate(zip(self.folded.layers[:layers], self.cache, strict=False), 1):
            states = _layer(self.folded, layer, states, Columns(rotations, cache, column, mask))
            if depth == self.depth:
                self.heard[self.rows, column] = states
        return states

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with some rows, in this order; only rows that change their place are copied."""
        to = [place for place, row in enumerate(kept) if place != row]
        moved = torch.tensor([kept[place] for place in to], device=self.device, dtype=torch.long)
        place = torch.tensor(to, device=self.device, dtype=torch.long)
        for rows in [*self.cache, self.mask, self.position]:
            rows[place] = rows[moved]
        self.cache = [cache[: len(kept)] for cache in self.cache]
        self.mask, self.position = self.mask[: len(kept)], self.position[: len(kept)]
        self.rows = self.rows[kept]


def alike(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Rising lengths cut into runs (first, end) of at most 1.5 times their shortest, and not too many to read at once.

    So a long prompt among short ones costs the short ones no padding.
    """
    found, first = [], 0
    for place, length in enumerate(lengths):
        if length > 1.5 * lengths[first] or (place - first + 1) * length**2 > max(READ_AT_ONCE, length**2):
            found.append((first, place))
            first = place
    return [*found, (first, len(lengths))]


def _blocked(masked: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores: the least finite number, since a row of -inf alone gives NaN."""
    return torch.zeros(masked.shape, dtype=dtype, device=masked.device).masked_fill_(masked, torch.finfo(dtype).min)


def _logits(folded: Folded, states: Tensor) -> Tensor:
    return product(normed(states, folded, folded.head.dtype, folded.norm), folded.head).to(folded.wide)


@dataclass(frozen=True, slots=True)
class Columns:
    """The new columns of a pass: how they are rotated, the cache [B, 2, K, S, D] that their keys and values go into,
    the first of these columns there, and what they may see.

    start: as a tensor [1] it is the only one, and the mask is as wide as the cache.
    """

    rotations: Tensor
    cache: Tensor
    start: int | Tensor
    mask: Tensor


def _layer(folded: Folded, layer: Layer | Borrowed, states: Tensor, new: Columns) -> Tensor:
    """States [B*T, h] after one layer; keys and values of the new columns are put into the cache."""
    states = states + layer.project(_attend(folded, layer, states, new))
    return states + layer.feed(states, folded)


def _attend(folded: Folded, layer: Layer | Borrowed, states: Tensor, new: Columns) -> Tensor:
    """What the new columns read of all heads [B*T, HD]; nothing else is left of it while the layer goes on."""
    rows, heads, groups, size = len(new.cache), folded.heads, folded.groups, folded.size
    columns, start = len(states) // rows, new.start
    qkv = layer.heads(states, folded, new.rotations)
    both = qkv[:, heads:].view(rows, columns, 2, groups, size).permute(0, 2, 3, 1, 4)
    if isinstance(start, Tensor):
        new.cache.index_copy_(3, start, both.to(new.cache.dtype))
        seen = new.cache
    else:
        new.cache[:, :, :, start : start + columns] = both
        seen = new.cache[:, :, :, : start + columns]
    query = qkv[:, :heads].view(rows, columns, groups, -1, size).transpose(1, 2).flatten(2, 3)  # [B, K, T*G, D]
    query = query.to(new.cache.dtype)
    read = F.scaled_dot_product_attention(query, seen[:, 0], seen[:, 1], new.mask, scale=folded.scale)
    return read.view(rows, groups, columns, -1, size).transpose(1, 2).reshape(len(states), -1)
