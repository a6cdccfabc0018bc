"""Memory foretold by role from a model's config alone; fit.py says what to turn where it is too much.

activations.py has what a layer takes per token. tests/test_memory.py holds the table to 15 % of measured peaks on a
CPU, tests/test_forecast_phases.py each phase to its tensors; docs/gpu.md has the peaks of a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from lab import arithmetic, container, float16
from lab.activations import Lean, LeanOnGpu, Library, OnGpu
from lab.decode import READ_AT_ONCE
from lab.facts import Facts
from lab.folding import FEW, LARGEST, packs
from lab.logprobs import at_once
from lab.stem import learning
from lab.trunk import serves

GIB = 2**30
CONTEXT = round(0.82 * GIB)  # of CUDA (docs/gpu.md)
WORKSPACE = round(0.08 * GIB)  # that its libraries ask of the allocator, to multiply in
LIBRARIES = round(0.3 * GIB)  # of a process that has imported them and holds no model
SHARED = "shared states"
HEARD = "sampled states"
SPARE = 1.08  # of what a GPU's allocator holds beyond what is asked for
SCALED = 64  # answers that the reward stage samples together for its scale, whatever it learns from at a time
COMPARED = 7  # of logits that are held whole: to score


@dataclass(frozen=True, slots=True)
class Knobs:
    """What decides about memory. `minibatch` is the optimizer's batch: micro-batches can be no larger.

    `tokens` are those that a rollout gives an answer, `read` the longest answer that is learned from as it is given
    (0: as in a rollout), `answers` those of one ranking.
    """

    precision: str = "auto"
    optimizer: str = "adamw"
    checkpointing: str = "off"
    rank: int = 8
    batch: int = 64
    minibatch: int = 32
    microbatch: int = 16
    prompt: int = 64
    tokens: int = 72
    read: int = 0
    answers: int = 4
    value_model: str = "head"
    unfrozen: float = 0.5

    @property
    def quantised(self) -> bool:
        return self.precision in ("8-bit", "4-bit")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `phase` is always, rollout, score or update: of the last three the largest counts."""

    role: str
    bytes: int
    phase: str
    why: str


def foretell(facts: Facts, stage: str, knobs: Knobs, device: str = "cpu") -> list[Row]:
    """The table of a stage: sft, reward, dpo or ppo. device: cpu or cuda."""
    knobs = replace(knobs, precision=facts.kept or knobs.precision)
    lean = is_lean(facts, knobs, device)
    trained = 2 if stage == "ppo" and knobs.value_model == "adapter" else 1
    held = {"sft": 1, "reward": 2, "dpo": 2, "ppo": 2 + trained}[stage]
    adapter = facts.lora * knobs.rank
    learned = round(adapter * trained * _upper(facts, knobs) / facts.layers)
    rows = [
        _base(facts, knobs, lean, device),
        Row("adapters", 4 * adapter * held, "always", f"{held} adapters of {adapter:,} numbers in float32"),
        Row("optimizer", _moments(knobs) * learned, "always", "gradient and two moments for what is trained"),
    ]
    width = _width(knobs, lean, device)
    answered = replace(knobs, batch=SCALED) if stage == "reward" else knobs
    rows += _rollout(facts, answered, lean, width, device) if stage in ("reward", "ppo") else []
    rows += _score(facts, knobs, lean, width, device) if stage == "ppo" else []
    if stage == "ppo":
        rows += _shared(facts, knobs, 4 if lean else _flow(facts, knobs, lean, device), lean and device == "cpu")
    rows += _update(facts, stage, knobs, lean, width, device)
    if lean and knobs.precision == "4-bit":
        turned, why = 2 * facts.widest * facts.hidden, "of the widest layer, in bfloat16 while it multiplies"
        rows += [Row("turned weights", turned, phase, why) for phase in ("rollout", "score", "update")]
    if device != "cpu":
        rows.append(Row("CUDA itself", CONTEXT, "always", "the driver's context and libraries"))
        rows.append(Row("workspace", WORKSPACE, "always", "of the libraries that multiply"))
    return rows


def _width(knobs: Knobs, lean: bool, device: str) -> int:
    """Bytes of a number in a product, as loading.py settles it."""
    if device != "cpu":
        return 4 if knobs.precision == "float32" else 2
    settled = not knobs.quantised and (lean or knobs.precision in ("auto", "float32"))
    return 4 if settled and arithmetic.fastest() == torch.float32 else 2


def is_lean(facts: Facts, knobs: Knobs, device: str) -> bool:
    """Whether the lean pass serves: Llama shapes, in numbers that it can read there."""
    return facts.lean and serves(device, facts.kept or knobs.precision)


def _moments(knobs: Knobs) -> int:
    """Bytes of gradient and moments for each trained number."""
    return 12 if knobs.optimizer == "adamw" else 6


def total(rows: list[Row], device: str = "cpu") -> int:
    """The peak: what is always there and the largest phase."""
    phases = {"rollout": 0, "score": 0, "update": 0}
    for row in rows:
        if row.phase in phases:
            phases[row.phase] += row.bytes
    peak = sum(row.bytes for row in rows if row.phase == "always") + max(phases.values())
    return round(peak * (1.0 if device == "cpu" else SPARE))


def _base(facts: Facts, knobs: Knobs, lean: bool, device: str) -> Row:
    if knobs.quantised:
        bits, width = ("4.13", 0.5159) if knobs.precision == "4-bit" else ("8", 1.0)
        size = width * facts.linear + 2 * (facts.parameters - facts.linear)
        return Row("base", round(size), "always", f"{bits} bits a weight of linear layers, the others in bfloat16")
    words = _stored(facts, knobs, lean, device)
    width = 4 if words == "float32" else 2
    why = f"{facts.parameters:,} numbers in {words}, shared by all roles"
    return Row("base", width * facts.parameters, "always", why)


def _stored(facts: Facts, knobs: Knobs, lean: bool, device: str) -> str:
    """What a base that is not quantised is kept in, and with it what runs from layer to layer in the library's pass."""
    if knobs.precision != "auto":
        return knobs.precision
    kept = torch.bfloat16 if device != "cpu" else arithmetic.weights(facts.parameters) if lean else torch.float32
    return str(kept).removeprefix("torch.")


def _rollout(facts: Facts, knobs: Knobs, lean: bool, width: int, device: str) -> list[Row]:
    """The cache of all answers at their longest, the fast loop's copy of the weights, and sampling's logits.

    While the prompts are read on a CPU the cache has no answers yet: that pass takes the room they will have.
    """
    stored = _stored(facts, knobs, lean, device)
    fast = facts.lean and not knobs.quantised and facts.linear <= LARGEST
    narrow = lean and stored == "bfloat16"  # never a wider copy of such a base
    width = 4 if fast else 2 if narrow else width
    borrowed = device != "cpu" and facts.lean and knobs.precision not in ("8-bit", "float16")
    ours, columns = fast or lean or borrowed, knobs.prompt + knobs.tokens
    kept = _flow(facts, knobs, lean, device) if not ours and facts.rotated else width  # keys are turned as states are
    cache = 2 * facts.layers * facts.groups * facts.size * columns * knobs.batch * kept
    dtype = torch.float32 if width == 4 else torch.bfloat16
    packed = lean and device == "cpu" and not fast and packs(dtype, facts.parameters)
    exact = lean and stored == "float32" and knobs.precision == "auto" and float16.available()
    halved = exact and (fast or packed and width == 4)
    whole = fast and not (halved and knobs.batch <= FEW) or packed and not halved
    reading = _read_by_loop(facts, knobs, width) if ours else _read_by_library(facts, knobs, lean, width, device)
    if device == "cpu":
        reading -= cache * knobs.tokens // columns
        growing = 0 if ours else _growing(facts, cache // facts.layers)
        reading = max(reading, growing)
    said = facts.linear + facts.vocabulary * facts.hidden
    words = "float32" if width == 4 else "bfloat16"
    return [
        Row("cache", cache, "rollout", f"keys and values of {knobs.batch} answers of {columns} tokens"),
        Row("half copy", 2 * said * halved, "always", "weights for saying a token to a few, in float16"),
        Row("folded copy", width * said * whole, "rollout", f"weights for saying a token, in {words}"),
        Row("reading", max(reading, 12 * knobs.batch * facts.vocabulary), "rollout", "the prompts' pass, then logits"),
    ]


def _growing(facts: Facts, cache: int) -> int:
    """Bytes of a layer's new cache beside the old, or of its keys and values as often as heads share them: where all
    share one, of the keys or the values alone."""
    if facts.heads == facts.groups:
        return cache // 2
    return cache * facts.heads // facts.groups // (2 if facts.groups == 1 else 1)


def _read_by_loop(facts: Facts, knobs: Knobs, width: int) -> int:
    """Bytes of the fast loop's pass over the prompts: attention or the layer's other half, with its keys and mask.

    The states before and in a layer are float32, and so is all of attention but its products.
    """
    together = min(knobs.batch, max(1, READ_AT_ONCE // knobs.prompt**2))
    heads, groups = facts.heads * facts.size, facts.groups * facts.size
    attending = 4 * facts.hidden + 8 * (heads + groups) + 2 * width * heads
    feeding = 8 * facts.hidden + width * (facts.hidden + 3 * facts.inner)
    beside = width * (2 * groups + knobs.prompt * facts.heads // facts.groups)
    return together * knobs.prompt * (max(attending, feeding) + beside)


def _read_by_library(facts: Facts, knobs: Knobs, lean: bool, width: int, device: str) -> int:
    """Bytes of the library's pass over the prompts; on a GPU an adapter in float32 reads a wide copy of its input."""
    if device == "cpu":
        return round(knobs.batch * knobs.prompt * _layer(facts, knobs, knobs.prompt, lean, width, device).at_work)
    attending = 6 * facts.hidden + (facts.heads + 4 * facts.groups) * facts.size
    passing = max(attending, 5 * facts.hidden + 4 * facts.inner)
    return width * knobs.batch * knobs.prompt * (passing + facts.size)


def _score(facts: Facts, knobs: Knobs, lean: bool, width: int, device: str) -> list[Row]:
    """One micro-batch without gradients: two roles' states, then their logits and what is worked out from them."""
    tokens, columns = knobs.microbatch * knobs.tokens, knobs.prompt + knobs.tokens
    whole = 4 * COMPARED * tokens * facts.vocabulary
    together = whole if facts.copies else 12 * at_once(tokens, facts.vocabulary, device)
    layer = _layer(facts, knobs, columns, lean, width, device)
    passing = round(knobs.microbatch * columns * layer.at_work)
    held = 2 * layer.flow * knobs.microbatch * (knobs.tokens + 1 if lean else columns) * facts.hidden
    return [
        Row("states", held, "score", "the last ones, of policy and reference"),
        Row("logits", max(together, passing), "score", "of both, compared over the whole vocabulary"),
    ]


def _layer(facts: Facts, knobs: Knobs, columns: int, lean: bool, width: int, device: str) -> Library:
    """A layer in the pass that serves."""
    if lean:
        return (Lean if device == "cpu" else LeanOnGpu)(facts, columns, width, 4)
    if device != "cpu":
        return OnGpu(facts, columns, width, 4, knobs.precision)
    return Library(facts, columns, width, _flow(facts, knobs, lean, device))


def _flow(facts: Facts, knobs: Knobs, lean: bool, device: str) -> int:
    """Bytes of a number that runs from layer to layer in the library's pass: as the base is kept."""
    return 4 if not knobs.quantised and _stored(facts, knobs, lean, device) == "float32" else 2


def _upper(facts: Facts, knobs: Knobs) -> int:
    """Layers that learn: all of them where they cannot be told apart."""
    return learning(facts.layers, knobs.unfrozen if facts.layered else 1.0)


def _shared(facts: Facts, knobs: Knobs, width: int, heard: bool) -> list[Row]:
    """States of a rollout behind the layers that do not learn, from when it is read until it has been learned from;
    where our own loop keeps them, from when it is said, and then once more until every micro-batch has its part."""
    if _upper(facts, knobs) == facts.layers:
        return []
    size = width * knobs.batch * (knobs.prompt + knobs.tokens) * facts.hidden
    rows = [Row(SHARED, size, phase, "behind layers that do not learn, of a rollout") for phase in ("score", "update")]
    said = [Row(HEARD, size, phase, "the same, as they were said with the answers") for phase in ("rollout", "score")]
    return [*rows, *(said if heard else [])]


def _update(facts: Facts, stage: str, knobs: Knobs, lean: bool, width: int, device: str) -> list[Row]:
    """What one micro-batch keeps for its backward pass, and the larger of what that pass starts and goes on with."""
    rows = knobs.microbatch * {"reward": knobs.answers, "dpo": 2}.get(stage, 1)
    tokens = knobs.tokens if stage == "ppo" else knobs.read or knobs.tokens
    columns, layers = knobs.prompt + tokens, _upper(facts, knobs)
    layer = _layer(facts, knobs, columns, lean, width, device)
    inside = width * knobs.rank * facts.adapted / facts.layers
    copied = 0.0  # weights in float32, turned for products in bfloat16
    if lean:  # in the last layer only response tokens speak, to a reward model the last one alone
        speaking = (1 if stage == "reward" else tokens + 1) / columns
        last, states = inside + layer.kept_by_last(speaking), 8 * facts.hidden * speaking
        kept = (layers - 1) * (layer.kept + inside) + last + states + layer.once
        passing = max(speaking * layer.way_back, layer.way_back - last if layers > 1 else 0) - states
        if knobs.checkpointing == "on":  # of one layer at a time: the last one, or one of the others
            kept = 4 * layers * facts.hidden + states + layer.once
            whole = layer.kept + inside + layer.way_back if layers > 1 else 0
            passing = max(last + speaking * layer.way_back, whole) - 4 * facts.hidden - states
    else:
        kept, passing = layers * (layer.kept + inside) + 8 * facts.hidden, layer.way_back
        if width == 2 and device == "cpu" and layer.flow == 4:
            copied = facts.saved16.fixed * layers
        if knobs.checkpointing == "on":  # of one layer at a time
            kept, passing = layer.flow * layers * facts.hidden, layer.kept + inside + 8 * facts.hidden + passing
            copied /= layers
    passing = round(rows * columns * passing)
    logits = 0 if stage == "reward" else _learned_from(facts, rows * tokens, width, device)
    why = f"{tokens} tokens a row over {facts.vocabulary:,} ids" if logits > passing else "of one layer"
    return [
        Row("activations", round(rows * columns * kept + copied), "update", f"{rows} rows of {columns} tokens"),
        Row("logits" if logits > passing else "gradients of states", max(logits, passing), "update", why),
    ]


def _learned_from(facts: Facts, tokens: int, width: int, device: str) -> int:
    """Bytes for the logits of so many tokens: of a block and what follows from them, or of all, several times over; and
    for three more states of each."""
    whole = 4 * facts.copies * tokens * facts.vocabulary
    block = (8 if width == 4 else 10) * at_once(tokens, facts.vocabulary, device)
    return 12 * tokens * facts.hidden + (whole if facts.copies else block)


def room_of(device: str) -> int:
    """Bytes that are free for this process now: of the GPU, or of the computer's memory.

    On a GPU the blocks count as free that PyTorch keeps after their tensors are gone: it uses them again.
    """
    if device == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    import psutil

    return int(min(psutil.virtual_memory().available, container.left()))


def held_here(device: str) -> int:
    """Bytes that this process takes of the room and the table counts again: its base above all.

    On a GPU its tensors and CUDA itself. On a CPU what is resident, without mapped files, which count as available, and
    without what the libraries take themselves.
    """
    if device == "cuda":
        return torch.cuda.memory_allocated() + CONTEXT
    import psutil

    info = psutil.Process().memory_info()
    return max(0, info.rss - getattr(info, "shared", 0) - LIBRARIES)
