"""Model folders that the tests make: tiny configs of real architectures, random weights, a byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = SMALL | {"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 256}


def tokenizer(end: str | None = "<end>", template: str | None = None) -> PreTrainedTokenizerFast:
    """One token for each byte, and the special ones."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<begin>", "<end>"]
    bpe.train_from_iterator(
        [], trainers.BpeTrainer(vocab_size=260, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<begin>", eos_token=end, pad_token="<pad>", chat_template=template
    )


def configs(vocabulary: int) -> dict[str, object]:
    """One small config for each architecture."""
    ends = {"vocab_size": vocabulary, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {
        "llama": LlamaConfig(**GROUPED, **ends, tie_word_embeddings=False),
        "qwen2": Qwen2Config(**GROUPED, **ends),
        "qwen3": Qwen3Config(**GROUPED, **ends),
        "gemma": GemmaConfig(**GROUPED, **ends),
        "gemma2": Gemma2Config(**GROUPED, **ends, final_logit_softcapping=5.0),
        "gpt2": GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=256, **ends),
    }


def deeper(config: object, layers: int) -> object:
    """The config with so many layers."""
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = (config.layer_types * layers)[:layers]
    return config


def make(folder: Path, name: str, spread: float = 0.1, **of_tokenizer: str | None) -> Path:
    """A model folder of an architecture, with weights large enough that different texts get different logits."""
    config = configs(len(tokenizer()))[name]
    config.initializer_range = spread
    return put(folder / name, config, **of_tokenizer)


def put(folder: Path, config: object, **of_tokenizer: str | None) -> Path:
    """A model folder of a config."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer(**of_tokenizer).save_pretrained(folder)
    return folder
