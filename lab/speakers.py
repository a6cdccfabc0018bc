"""How a role speaks, token by token: by the library's own forward, and on a GPU by passes that are recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lab import decode, folding
from lab.models import Roles
from lab.shortage import ran_out

# Whose forward takes a mask [B, 1, T, S] as it is, and waits for nothing that it computes.
SHAPES = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gemma3_text", "phi3", "olmo2", "granite", "gpt2")
ROPES = ("default", "linear", "llama3", "yarn")
ALIGNED = 16  # columns of a mask, which fused attention then reads without copying them


class Plain:
    """The model's own forward with its own cache, for any architecture."""

    def __init__(self, roles: Roles, role: str, prompts: Sequence[Sequence[int]]):
        self.roles, self.role, self.cache = roles, role, None
        self.ids, self.attention = left_padded(prompts, roles.text.pad_id, roles.device)
        self.position = self.attention.sum(1, keepdim=True)  # of the next token [B, 1]
        self.wanted: slice | Tensor = slice(None)  # of the rows that are computed

    def start(self) -> Tensor:
        """Logits [B, V] after the prompts."""
        return self._forward(self.ids, self._places(), self.attention)

    def say(self, ids: Tensor) -> Tensor:
        """Logits [B, V] after one more token a row, ids [B]."""
        said = ids.new_zeros(len(self.attention))
        said[self.wanted] = ids
        self.attention = F.pad(self.attention, (0, 1), value=1)
        logits = self._forward(said[:, None], self.position, self.attention)[self.wanted]
        self.position = self.position + 1
        return logits

    def keep(self, kept: list[int]) -> None:
        """Go on with some rows, in this order; where the cache cannot let go of the others, they are passed over."""
        if any(hasattr(layer, "recurrent_states") for layer in self.cache.layers):
            self.wanted = _among(self.wanted, kept, self.attention)
            return
        rows = torch.tensor(kept, device=self.roles.device)
        self.cache.batch_select_indices(rows)
        self.attention, self.position = self.attention[rows], self.position[rows]

    def lengthen(self, columns: int) -> None:
        """The cache as it is after so many more tokens, all like the last; one of another kind stays as it is."""
        from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

        if columns < 1 or any(type(e) not in (DynamicLayer, DynamicSlidingWindowLayer) for e in self.cache.layers):
            return
        for layer in self.cache.layers:
            if layer.is_initialized:  # others read an earlier layer's
                last = (each[..., -1:, :] for each in (layer.keys, layer.values))
                layer.update(*(each.expand(*each.shape[:-2], columns, -1) for each in last))
        self.attention = F.pad(self.attention, (0, columns), value=1)
        self.position = self.position + columns

    def _places(self) -> Tensor:
        """Positions [B, P] of the prompts' tokens."""
        return (self.attention.cumsum(1) - 1).clamp(min=0)

    def _forward(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        with self.roles.using(self.role) as model, self.roles.autocast():
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.cache = out.past_key_values
        return out.logits[:, -1].float()


class Recording:
    """A pass over tensors that stay in place. The first call runs it, the second records it as a CUDA graph, which is
    replayed from then on: the same kernels, without the time that Python takes to start each of them.

    Where it cannot be recorded it goes on unrecorded, and no other is tried with these roles.
    """

    def __init__(self, roles: Roles):
        self.roles = roles
        self.graph: torch.cuda.CUDAGraph | None = None
        self.found: Tensor | None = None

    def __call__(self, work: Callable[[], Tensor]) -> Tensor:
        """What the work gives, in the same place after every call once it is recorded."""
        if self.found is not None and self.graph is None and self.roles.recorded:
            self._record(work)
        if self.graph is None:
            self.found = work()
        else:
            self.graph.replay()
        return self.found

    def _record(self, work: Callable[[], Tensor]) -> None:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.roles.device)
        try:
            # A recording that breaks off would leave its own stream behind, beside which bitsandbytes' optimizer runs.
            with torch.cuda.stream(stream), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.found = work()
        except (RuntimeError, MemoryError) as problem:
            _free_generator(self.roles.device)
            if ran_out(problem):
                raise
            self.roles.recorded = False
            return
        self.graph = graph


class Recorded(Plain):
    """The same over a cache of fixed size, a token's pass being recorded.

    Rows that leave are passed over, since a recording has a fixed number of rows and a token's time goes into reading
    weights.
    """

    def __init__(self, roles: Roles, role: str, prompts: Sequence[Sequence[int]], tokens: int):
        from transformers.cache_utils import Cache, StaticLayer

        super().__init__(roles, role, prompts)
        self.column = self.ids.shape[1]
        columns = _aligned(self.column + tokens)
        self.cache = Cache([StaticLayer(columns) for _ in range(roles.model.config.num_hidden_layers)])
        self.seen = F.pad(self.attention.bool(), (0, columns - self.column))  # [B, S]
        self.said = self.ids.new_zeros(len(self.ids), 1)
        self.token = Recording(roles)

    def start(self) -> Tensor:
        """Logits [B, V] after the prompts."""
        columns = torch.arange(self.column, device=self.roles.device)
        # Padding sees itself: the mean over no column is no number, and would stay in the cache.
        seen = self.attention.bool()[:, None] & (columns <= columns[:, None]) | (columns == columns[:, None])
        mask = F.pad(seen, (0, self.seen.shape[1] - self.column))[:, None]  # [B, 1, P, S]
        return self._forward(self.ids, self._places(), mask)

    def say(self, ids: Tensor) -> Tensor:
        """Logits [B, V] after one more token a row, ids [B]; the next call writes over them."""
        self.said[self.wanted, 0] = ids
        self.seen[:, self.column] = True
        logits = self.token(lambda: self._forward(self.said, self.position, self.seen[:, None, None]))
        self.column += 1
        self.position += 1
        return logits[self.wanted]

    def keep(self, kept: list[int]) -> None:
        """Go on with some rows, in this order."""
        self.wanted = _among(self.wanted, kept, self.said)

    def lengthen(self, columns: int) -> None:
        """The cache is at its longest from the start."""


class RecordedDecoder(decode.Decoder):
    """The fast loop with its token's pass recorded; rows that leave are passed over here too."""

    def __init__(self, roles: Roles, folded: folding.Folded, prompts: Sequence[Sequence[int]], tokens: int):
        width = max(map(len, prompts))
        super().__init__(folded, prompts, _aligned(width + tokens) - width)
        for cache in self.cache:
            cache.zero_()  # no column is looked at before it is written, but no number may stand there that is none
        self.mask[..., width:] = torch.finfo(self.mask.dtype).min
        self.said = self.position.new_zeros(len(prompts))
        self.place = self.position.new_tensor([width])
        self.wanted: slice | Tensor = slice(None)
        self.token = Recording(roles)

    def say(self, ids: Tensor) -> Tensor:
        """Logits [B, V] after one more token a row, ids [B]; the next call writes over them."""
        self.said[self.wanted] = ids
        self.mask[..., self.column] = 0
        logits = self.token(lambda: self._token(self.said, self.place, self.mask))
        self.column += 1
        self.place += 1
        self.position += 1
        return logits[self.wanted]

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with some rows, in this order."""
        self.wanted = _among(self.wanted, kept, self.said)


def _among(wanted: slice | Tensor, kept: Sequence[int], rows: Tensor) -> Tensor:
    """Numbers of the rows that are kept of those that were wanted."""
    return torch.arange(len(rows), device=rows.device)[wanted][torch.tensor(kept, device=rows.device)]


def _free_generator(device: torch.device) -> None:
    """PyTorch's numbers of chance out of a recording that broke off, which they would wait for ever after."""
    generator = torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    generator.graphsafe_set_state(generator.clone_state())


def recordable(roles: Roles, columns: int) -> bool:
    """Whether passes over so many columns can be recorded: on CUDA, in a shape that is known to allow it.

    bitsandbytes looks at what an 8-bit layer is given before it goes on, which no recording can.
    """
    config = roles.model.config
    if not (roles.device.type == "cuda" and roles.recorded and roles.precision != "8-bit"):
        return False
    ropes = getattr(config, "rope_parameters", None) or {"rope_type": "default"}
    kinds = {each["rope_type"] for each in ([ropes] if "rope_type" in ropes else ropes.values())}
    window = getattr(config, "sliding_window", None)
    return (
        config.model_type in SHAPES
        and config._attn_implementation == "sdpa"
        and kinds <= set(ROPES)
        and (window is None or _aligned(columns) <= window)
    )


def _aligned(columns: int) -> int:
    return -(-columns // ALIGNED) * ALIGNED


def left_padded(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and attention mask [B, P], every prompt ending in the last column."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    attention = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, attention
