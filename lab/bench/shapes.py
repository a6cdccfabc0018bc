"""Models of given shapes with random weights, for measuring and testing where no download is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TINY = Path(__file__).resolve().parent.parent.parent / "assets" / "tiny"
# Vocabulary, hidden, inner, layers, heads, groups: what `llama` takes.
SHAPES = {
    "3M": (4096, 256, 384, 4, 4, 2),
    "8M": (4096, 320, 960, 5, 5, 5),
    "135M": (49152, 576, 1536, 30, 9, 3),
    "0.5B": (151936, 896, 4864, 24, 14, 2),
    "1.5B": (151936, 1536, 8960, 28, 12, 2),
    "7B": (152064, 3584, 18944, 28, 28, 4),
}


def llama(vocabulary: int, hidden: int, inner: int, layers: int, heads: int, groups: int, **more: Any) -> Any:
    """A Llama config with the embedded model's stop tokens; more: any other field of it."""
    from transformers import LlamaConfig

    options = {"max_position_embeddings": 2048, "tie_word_embeddings": True, "head_dim": hidden // heads} | more
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **options,
    )


def config_of(name: str) -> Any:
    """The shape of a name: 3M, 8M, 135M (SmolLM2's) for a CPU; 0.5B, 1.5B, 7B (Qwen2.5's, no bias) for a GPU."""
    return llama(*SHAPES[name], tie_word_embeddings=name != "7B")


def save(config: Any, folder: Path, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> Path:
    """A model folder with random weights of a config and the embedded tokenizer, loadable by name of the folder.

    device: where they are drawn.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.save_pretrained(folder, max_shard_size="2GB")  # of which a copy is made in the computer's memory
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder)
    return folder
