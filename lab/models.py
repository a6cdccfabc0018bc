"""One base model in several roles: adapters by role, two heads, and the only place that switches between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lab.errors import ModelIncomplete, NotFound
from lab.losses import positions
from lab.text import Batch, Text

EMBEDDED = Path(__file__).resolve().parent.parent / "assets"
BASE = "base"


@dataclass
class Roles:
    """One copy of the base weights that plays every part.

    An adapter is named after its role (sft, policy, reward); heads are fp32 and stand outside PEFT.
    """

    model: Any
    text: Text
    heads: nn.ModuleDict
    device: torch.device

    def add(self, role: str, rank: int = 8, like: str | None = None) -> None:
        """A new adapter for a role, or an exact copy of the adapter of another role; an old one of that name goes."""
        if role in self.model.peft_config:
            self.model.delete_adapter(role)
        rank = self.model.peft_config[like].r if like else rank
        self.model.add_adapter(role, lora_config(rank))
        if like:
            weights = self.weights(like)
            with torch.no_grad():
                for name, parameter in self.weights(role).items():
                    parameter.copy_(weights[name])
        self.freeze()

    def weights(self, role: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by a name that is the same for every role."""
        mark = f".{role}."
        return {name.replace(mark, "."): parameter for name, parameter in self.model.named_parameters() if mark in name}

    def head(self, name: str) -> nn.Linear:
        """A fresh scalar head, N(0, 1/(h+1)) with no bias at the start (Ziegler et al. 2019)."""
        size = self.model.config.hidden_size
        head = nn.Linear(size, 1, device=self.device)
        nn.init.normal_(head.weight, std=(size + 1) ** -0.5)
        nn.init.zeros_(head.bias)
        self.heads[name] = head
        return head

    def trainable(self, role: str) -> list[nn.Parameter]:
        """The adapter's parameters, made trainable; every other one is frozen."""
        self.freeze()
        found = list(self.weights(role).values())
        for parameter in found:
            parameter.requires_grad_(True)
        return found

    def freeze(self) -> None:
        """Nothing of the base or any adapter takes a gradient."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @contextmanager
    def using(self, role: str) -> Iterator[Any]:
        """The model in one role; flags of training are untouched, and no adapter is left active.

        Adapters are switched by their layers' own field, which PEFT does too, since its `set_adapter` walks the model and turns
        `requires_grad` on.
        """
        if role != BASE and role not in self.model.peft_config:
            raise NotFound(f"There is no {role} yet. Known: {', '.join([BASE, *self.model.peft_config])}.")
        layers = [module for module in self.model.modules() if hasattr(module, "_active_adapter")]
        before = [layer._active_adapter for layer in layers]
        try:
            for layer in layers:
                layer._active_adapter = [] if role == BASE else [role]
            yield self.model.base_model.model
        finally:
            for layer, active in zip(layers, before, strict=True):
                layer._active_adapter = active

    def hidden(self, role: str, batch: Batch) -> torch.Tensor:
        """States [B, T+1, h] from the last prompt token on: entry t predicts response token t."""
        with self.using(role) as model, self.autocast():
            states = model.base_model(
                input_ids=batch.ids,
                attention_mask=batch.attention,
                position_ids=positions(batch.attention),
                use_cache=False,
            ).last_hidden_state
        return states[:, batch.width - 1 :]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The output layer over states [..., h] in float32: [..., V]."""
        with self.autocast():
            return self.model.get_output_embeddings()(states).float()

    def raw_scores(self, batch: Batch) -> torch.Tensor:
        """The reward head at each response's last token, [B]."""
        states = self.hidden("reward", batch).float()
        last = batch.mask.sum(1)
        return self.heads["reward"](states[torch.arange(len(last)), last]).squeeze(-1)

    def autocast(self) -> torch.autocast:
        """bf16 where the base is not fp32 already decided; the embedded model runs fp32 states under it."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.device.type != "mps")


def lora_config(rank: int) -> Any:
    """All linear layers but the output; no dropout, so that two passes agree."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", bias="none")


def load(name: str = "tiny", *, four_bit: bool = False, device: str | None = None, seed: int = 0) -> Roles:
    """The base model of a name (tiny, small), a folder or a Hugging Face id, with no adapter but an untouched `sft`.

    Raises ModelIncomplete when the folder lacks something, NoEndToken when the tokenizer cannot end an answer.
    """
    from peft import get_peft_model
    from transformers import AutoTokenizer

    where = EMBEDDED / name if (EMBEDDED / name / "config.json").exists() else name
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where)
        model = _weights(where, four_bit, chosen)
    except (OSError, ValueError, KeyError) as problem:
        raise ModelIncomplete(
            f"The model {name} could not be loaded: {str(problem).splitlines()[0]} "
            "Check the name or folder; the embedded model is called tiny."
        ) from problem
    text = Text.of(tokenizer, model.config, model.generation_config)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    peft = get_peft_model(model, lora_config(8), adapter_name="sft")
    roles = Roles(peft.eval(), text, nn.ModuleDict(), chosen)
    roles.freeze()
    return roles


def _weights(where: str | Path, four_bit: bool, device: torch.device) -> Any:
    """The causal LM in eager attention on CPU, where that is fastest, and in the library's choice elsewhere."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options: dict[str, Any] = {"dtype": torch.float32 if device.type == "cpu" else torch.bfloat16}
    if device.type == "cpu":
        options["attn_implementation"] = "eager"
    if four_bit:
        options["dtype"] = torch.bfloat16
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model = AutoModelForCausalLM.from_pretrained(where, use_safetensors=True, trust_remote_code=False, **options)
    if not four_bit:
        return model.to(device)
    for module in model.modules():
        # bitsandbytes 0.50 repacks the weights of AVX512-BF16 machines in eval mode and then loses every gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model
