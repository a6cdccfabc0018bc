"""Sizes of a model that decide about its memory, counted on its config alone, without weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lab.folding import shaped
from lab.quantised import kept_in
from lab.stem import layers_of

ROWS, COLUMNS = 2, 32  # of the smallest batch that counts what is kept
FEW = 2  # layers that are run for it
NOT_COUNTED = {4: (117, 4), 2: (73, 6)}  # bytes per h and per head, by a product's bytes, where none can be run
COPIES, CAPPED = 4, 5  # of logits that are held whole to learn from, without and with a softcap


class Saved(NamedTuple):
    """Bytes that one layer of the library's pass on a CPU keeps for its backward pass: in any case, per token, and per
    token and column."""

    fixed: float
    token: float
    square: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Sizes of a model: `linear` counts the weights of adapted layers, `lora` the parameters of rank 1, `widest` is
    what the widest of them says.

    `saved32` and `saved16` are what layers keep where a base in float32 is multiplied in float32, and in bfloat16;
    `copies` the logits of all tokens that are held at once where the output layer is more than one product, else 0.
    `layered` says whether its layers can be told apart, so that the upper ones alone may learn, `lean` whether it has
    the shape of the lean pass, `normed` whether that has norms by head, `sdpa` whether the library reads it without
    keeping scores, `rotated` whether its keys are turned by their places, `kept` the precision that its files are
    quantised to already.
    """

    name: str
    parameters: int
    linear: int
    lora: int
    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    size: int
    vocabulary: int
    adapted: int
    widest: int
    saved32: Saved
    saved16: Saved
    copies: int
    layered: bool
    lean: bool
    normed: bool
    sdpa: bool
    rotated: bool
    kept: str = ""


def facts_of(name: str) -> Facts:
    """From the config of a name, folder or Hugging Face id alone: no weights are read.

    Raises ModelIncomplete, also where a folder's files of weights are not whole, and Unsupported where no attention is
    in it.
    """
    from transformers import AutoConfig

    from lab import hub
    from lab.loading import REFUSALS, check_files, here, incomplete

    where = here(name)
    try:
        if where:
            check_files(name, where)
        offline = where is None and not hub.answers()
        config = AutoConfig.from_pretrained(where or name, local_files_only=offline, trust_remote_code=False)
        return facts_from(config, str(name))
    except REFUSALS as problem:
        raise incomplete(name, problem) from problem


def facts_from(config: Any, name: str = "") -> Facts:
    """Counts of a config's model, built without memory; once a config, since that takes a moment."""
    key = config.to_json_string()
    if key not in _KNOWN:
        _KNOWN[key] = _counted(config)
    return replace(_KNOWN[key], name=name)


_KNOWN: dict[str, Facts] = {}  # by config


def _counted(config: Any) -> Facts:
    """Facts without a name. Raises Unsupported where no attention is in it."""
    from transformers import AutoModelForCausalLM

    from lab.errors import Unsupported

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation="eager", dtype=torch.float32)
    output, precision = model.get_output_embeddings(), kept_in(config)
    adapted = [m for m in model.modules() if _is_linear(m) and m is not output]
    kind, config = config.model_type, config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if not heads:
        raise Unsupported(f"A {kind} model has no attention heads, and the lab foretells memory for those that have.")
    return Facts(
        name="",
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear=sum(layer.weight.numel() for layer in adapted),
        lora=sum(sum(layer.weight.shape) for layer in adapted),
        hidden=config.hidden_size,
        inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        layers=config.num_hidden_layers,
        heads=heads,
        groups=_groups(config),
        size=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size,
        adapted=len(adapted),
        widest=max(map(_out, adapted), default=0),
        copies=_copies(output, model.config),
        layered=bool(layers_of(model)[1]),
        lean=shaped(model),
        normed=shaped(model) and hasattr(model.model.layers[0].self_attn, "q_norm"),
        sdpa=model._supports_sdpa,
        rotated=any(type(module).__name__.endswith("RotaryEmbedding") for module in model.modules()),
        kept=precision,
        **_saved_by_products(model, adapted, config),
    )


def _groups(config: Any) -> int:
    """Heads of keys and values that are cached: of Falcon's first kind one, of its second as many as of queries."""
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return 1
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _out(layer: nn.Module) -> int:
    """How many numbers a linear layer says; Conv1D keeps its weight the other way round."""
    return layer.weight.shape[0 if isinstance(layer, nn.Linear) else 1]


def _copies(output: nn.Module, config: Any) -> int:
    """0 where logprobs reads the output layer chunk by chunk."""
    if getattr(config, "final_logit_softcapping", None):
        return CAPPED
    return 0 if type(output) is nn.Linear and output.bias is None else COPIES


def _saved_by_products(model: nn.Module, adapted: list[nn.Module], config: Any) -> dict[str, Saved]:
    """Both counts. Adapted layers keep their input, as LoRA does; a few of the layers stand for all."""
    model.requires_grad_(False).eval()
    for layer in adapted:
        layer.weight.requires_grad_(True)
    layers, count = layers_of(model)[1], config.num_hidden_layers
    if layers:
        count = min(FEW, count)
        del layers[count:]
    with FakeTensorMode():  # on a processor that has no memory: autocast knows none on "meta"
        model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
        return {f"saved{8 * width}": _kept(model, count, config, width) for width in (4, 2)}


def _kept(model: nn.Module, count: int, config: Any, width: int) -> Saved:
    """What one of `count` layers keeps, products being `width` bytes a number.

    Layers that look at the numbers themselves cannot be run without memory: they count as layers in Qwen2's shape.
    """
    try:
        with _silent():
            one, two, three = (_saved(model, times * COLUMNS, width) / count for times in (1, 2, 3))
    except (RuntimeError, TypeError, LookupError, AttributeError):
        token, scores = NOT_COUNTED[width]
        return Saved(0.0, token * config.hidden_size, scores * config.num_attention_heads)
    square = (three - 2 * two + one) / (2 * COLUMNS**2)
    token = (two - one) / COLUMNS - 3 * COLUMNS * square
    return Saved(ROWS * (one - COLUMNS * token - COLUMNS**2 * square), token, square)


@contextmanager
def _silent() -> Iterator[None]:
    """Without PyTorch's own trace of a layer that cannot be run so, such as a mixture of experts: that is foreseen."""
    trace = logging.getLogger(FakeTensorMode.__module__)
    before, trace.disabled = trace.disabled, True
    try:
        yield
    finally:
        trace.disabled = before


def _saved(model: nn.Module, columns: int, width: int) -> float:
    """Bytes a row of the tensors that a pass saves for its backward pass, each memory counted once."""
    own = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
    found: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    narrow = torch.autocast("cpu", dtype=torch.bfloat16, enabled=width == 2)
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with narrow, hooks:
        ids = torch.zeros(ROWS, columns, dtype=torch.long)
        states = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    del states
    return sum(each.nbytes() for key, each in found.items() if key not in own) / ROWS
