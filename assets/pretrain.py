"""Trains the embedded base models from the world's pages: python -m assets.pretrain tiny (or small).

The text is generated, seeded and the same on every machine; the model is an ordinary Llama folder in safetensors with a
byte-level BPE tokenizer and a chat template, so the lab loads it like any other.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lab.world.corpus import ASSISTANT, BEGIN, END, PAD, SPECIAL, USER, lessons, pages

CONTEXT = 256
VOCABULARY = 4096
SEED = 20261124
HELD_OUT_SEED = SEED + 1
SAVE_EVERY = 500
LESSONS_RATE = 0.75
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}" + ASSISTANT + "{{ message.content }}{{ eos_token }}"
    "{% else %}" + USER + "{{ message.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's size and how long it learns; steps are of `batch` sequences of CONTEXT tokens."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    steps: int
    lessons: int = 0
    batch: int = 16
    learning_rate: float = 4e-3
    grows_from: str = ""


LossOf = Callable[[LlamaForCausalLM, torch.Tensor], torch.Tensor]
SHAPES = {
    "tiny": Shape(hidden=256, layers=4, heads=4, feed_forward=704, steps=4500, lessons=5000),
    "small": Shape(hidden=256, layers=16, heads=4, feed_forward=704, steps=400, learning_rate=3e-3, grows_from="tiny"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=SHAPES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--lessons", action="store_true", help="go on from the saved model, on the denser pages")
    parser.add_argument("--steps", type=int, help="fewer steps, for a trial")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="a tenth faster; needs a C++ compiler")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    shape, folder = SHAPES[options.size], options.out / options.size
    if options.lessons:
        shape = replace(shape, steps=shape.lessons, learning_rate=shape.learning_rate * LESSONS_RATE)
    shape = replace(shape, steps=options.steps or shape.steps)
    began = time.monotonic()
    model, tokenizer, source = beginning(shape, options.out, folder, options.lessons)
    tokens = tokenise(tokenizer, source, shape.steps * shape.batch * CONTEXT)
    loss_of = torch.compile(next_token_loss) if options.compile else next_token_loss
    losses = []
    for step, loss in enumerate(train(model, tokens.view(shape.steps, shape.batch, CONTEXT), shape, loss_of), 1):
        losses.append(loss)
        if step % SAVE_EVERY == 0:
            save(model, tokenizer, folder)
    save(model, tokenizer, folder)
    command = (
        f"python -m assets.pretrain {options.size}{' --lessons' * options.lessons}{' --compile' * options.compile}"
    )
    card = {
        "command": command,
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": tokens.numel(),
        "loss_train": round(float(np.mean(losses[-100:])), 4),
        "loss_held_out": round(held_out_loss(model, tokenizer), 4),
        "seconds": round(time.monotonic() - began),
        "threads": options.threads,
        "shape": asdict(shape),
        "torch": torch.__version__,
    }
    record(folder / "training.json", card, options.lessons)


def beginning(
    shape: Shape, out: Path, folder: Path, go_on: bool
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, Iterator[str]]:
    """The model before its first step, its tokenizer, and the pages that it will read."""
    if go_on:
        return saved_model(folder), saved_tokenizer(folder), lessons(SEED)
    if shape.grows_from:
        smaller = out / shape.grows_from
        return grown(saved_model(smaller), shape), saved_tokenizer(smaller), lessons(SEED + 2)
    tokenizer = train_tokenizer()
    return new_model(shape, tokenizer), tokenizer, pages(SEED)


def record(path: Path, card: dict, go_on: bool) -> None:
    """What was done, beside the model; the second part of a training stands within the first."""
    known = json.loads(path.read_text()) if go_on else {}
    path.write_text(json.dumps(known | {"lessons": card} if go_on else card, indent=1) + "\n")
    print(json.dumps(card))


def train_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE over the world's pages: any text can be encoded, the world's words are mostly one token each."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(islice(pages(SEED), 40_000), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=TEMPLATE,
        model_max_length=CONTEXT * 2,
        clean_up_tokenization_spaces=False,
    )


def tokenise(tokenizer: PreTrainedTokenizerFast, source: Iterator[str], count: int) -> torch.Tensor:
    """The first `count` tokens of the pages, each page opened by the begin token."""
    tokens = np.empty(count, dtype=np.int64)
    filled = 0
    bar = tqdm(total=count, desc="pages", unit="tok", unit_scale=True)
    while filled < count:
        encoded = tokenizer(list(islice(source, 1000)), add_special_tokens=False)["input_ids"]
        flat = np.concatenate([[tokenizer.bos_token_id, *ids] for ids in encoded])[: count - filled]
        tokens[filled : filled + len(flat)] = flat
        filled += len(flat)
        bar.update(len(flat))
    return torch.from_numpy(tokens)


def saved_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(folder)


def saved_model(folder: Path) -> LlamaForCausalLM:
    """What the first part of the training left, in float32 again."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def new_model(shape: Shape, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with tied embeddings; eager attention is the fastest at this size on a CPU."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        max_position_embeddings=CONTEXT * 2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


@torch.no_grad()
def grown(smaller: LlamaForCausalLM, shape: Shape) -> LlamaForCausalLM:
    """A deeper model that begins as the smaller one: behind each of its layers come copies that add nothing yet.

    A copy's two output matrices are zero, so its residual branch is (LLaMA Pro, Wu et al. 2024); training fills them.
    """
    config = copy.deepcopy(smaller.config)
    config.num_hidden_layers = shape.layers
    model, times = LlamaForCausalLM(config), shape.layers // smaller.config.num_hidden_layers
    model.load_state_dict({k: w for k, w in smaller.state_dict().items() if ".layers." not in k}, strict=False)
    for number, layer in enumerate(model.model.layers):
        layer.load_state_dict(smaller.model.layers[number // times].state_dict())
        if number % times:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model.float()


def optimizers(model: nn.Module, shape: Shape) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the layers, AdamW for embeddings and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        torch.optim.Muon(matrices, lr=shape.learning_rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=shape.learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def train(model: LlamaForCausalLM, batches: torch.Tensor, shape: Shape, loss_of: LossOf) -> Iterator[float]:
    """One pass over the batches [steps, batch, CONTEXT], a loss for each: warm-up, plateau, then linearly to zero."""
    used = optimizers(model, shape)
    bar = tqdm(batches, desc="steps", mininterval=10)
    for step, batch in enumerate(bar):
        factor = rate_factor(step, len(batches))
        for optimizer in used:
            for group in optimizer.param_groups:
                group["lr"] = shape.learning_rate * factor
        loss = loss_of(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        for optimizer in used:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        yield loss.item()


def rate_factor(step: int, steps: int) -> float:
    """Warm-up over 60 steps, then constant, then down to nothing over the last half."""
    return min(1.0, (step + 1) / 60, 2 * (1 - step / steps))


def next_token_loss(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Mean nats a token over a batch [B, S]."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return nn.functional.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> float:
    """Mean nats a token on pages of another seed."""
    batches = tokenise(tokenizer, pages(HELD_OUT_SEED), 400 * CONTEXT).view(-1, CONTEXT)
    return float(np.mean([next_token_loss(model, rows).item() for rows in batches.split(16)]))


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """An ordinary model folder, weights in bf16."""
    weights = {
        name: weight.to(torch.bfloat16) for name, weight in model.state_dict().items() if name != "lm_head.weight"
    }
    model.config.dtype = torch.bfloat16
    model.save_pretrained(folder, state_dict=weights)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
