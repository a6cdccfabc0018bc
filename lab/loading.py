"""Loads a base model, embedded, from a folder or from Hugging Face, and refuses what would fail later."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lab import allocator, arithmetic, folding, hub, parity, quantised, trunk
from lab.errors import LabError, ModelIncomplete, OutOfMemory, Unsupported
from lab.models import BASE, Roles, lora_config
from lab.shortage import ran_out
from lab.text import Text
from lab.workspace import EMBEDDED

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
# What the library raises of a folder that it cannot read.
REFUSALS = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError)


def load(
    name: str = "tiny",
    *,
    device: str | None = None,
    precision: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Roles:
    """The base model of a name (tiny, small), a folder or a Hugging Face id, with no adapter yet but an empty `sft`.

    precision: one of config.PRECISIONS. say: told how far a download is. Raises ModelIncomplete when the folder lacks
    something, NoEndToken when the tokenizer cannot end an answer, Unsupported when this device has nothing for the
    precision, OutOfMemory when memory does not suffice.
    """
    with quiet():
        try:
            return _load(name, torch.device(device or default_device()), precision, say)
        except (RuntimeError, MemoryError) as problem:
            if not ran_out(problem):
                raise
            raise incomplete(name, problem) from problem


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' notices: nobody here can mend a missing optional kernel or deprecations inside them."""
    from transformers.utils import logging as of_transformers

    notices = logging.getLogger("bitsandbytes")
    before = notices.level
    notices.setLevel(logging.ERROR)
    of_transformers.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        notices.setLevel(before)


def _load(name: str, chosen: torch.device, precision: str, say: Callable[[str], None] | None) -> Roles:
    from transformers import AutoConfig, AutoTokenizer

    if chosen.type == "cpu":
        allocator.keep_freed()
        allocator.bound_compiled()
    if chosen.type == "cuda":
        allocator.extend_segments()
        # On Hopper cards it gives gradients that are no numbers: PyTorch's issue 196678.
        torch.backends.cuda.enable_cudnn_sdp(False)
    where = folder_of(name, say)
    _safe(name, where)
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        _windowed(name, config)
        precision = _precision(name, precision, quantised.kept_in(config))
        if precision in quantised.PRECISIONS:
            quantised.needs_bitsandbytes(f"A base in {precision}", chosen)
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        model = _weights(where, config, chosen, precision)
        mark = fingerprint_of(where)
    except REFUSALS as problem:
        raise incomplete(name, problem) from problem
    text = Text.of(tokenizer, model.config, model.generation_config)
    _drop_nothing(model)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # an adapter's first half is random: the same in every process, or no run could be resumed
        peft = _with_adapter(model, precision)
    products = torch.float32 if precision == "float32" else torch.bfloat16
    if chosen.type == "cpu" and precision not in quantised.PRECISIONS:
        products = _settle_on_cpu(peft, precision)
    if chosen.type == "cuda" and folding.suits(peft, BASE, largest=folding.ANY_SIZE):
        trunk.fuse(peft)  # for the fast decode loop, which reads them as they are
    roles = Roles(peft, text, nn.ModuleDict(), chosen, str(name), precision, products, mark)
    roles.changed()
    roles.freeze()
    if chosen.type == "cpu" and not roles.lean(BASE):
        allocator.keep_freed(allocator.LARGEST_OF_LIBRARY)
    parity.check(roles)
    return roles


def _safe(name: str, where: Path) -> None:
    """ModelIncomplete for a folder whose weights are pickles alone, which may run a program when they are read."""
    if any(where.glob("*.bin")) and not any(where.glob("*.safetensors")):
        raise ModelIncomplete(
            f"The weights of {name} are pickles (.bin), which could run any program, so they are not read. Save them "
            f"as safetensors: save_pretrained of a current transformers does. {hub.EMBEDDED}"
        )


def _precision(name: str, asked: str, kept: str) -> str:
    """What the base is kept in: as it is in its files where those are quantised. Unsupported for any other wish."""
    if kept and asked not in ("auto", kept):
        raise Unsupported(
            f"The files of {name} hold {kept} weights, which cannot be read in {asked}. Choose {kept} or auto, or the "
            "base that they were made from."
        )
    return kept or asked


def _windowed(name: str, config: Any) -> None:
    """ModelIncomplete where layers slide over the text and nothing says how far they see.

    transformers 5.23 takes such a config and breaks off with a TypeError in the first pass.
    """
    of_text = config.get_text_config(decoder=True)
    sliding = (getattr(of_text, "layer_types", None) or []).count("sliding_attention")
    if sliding and getattr(of_text, "sliding_window", None) is None:
        raise ModelIncomplete(
            f"The config.json of {name} gives {sliding} of its layers sliding_attention, but no sliding_window in "
            "force says how many tokens they see, so they cannot compute anything. Set sliding_window there (and "
            "use_sliding_window to true), name these layers full_attention, or fetch the model again."
        )


def _drop_nothing(model: nn.Module) -> None:
    """No layer drops anything out, in whatever way, so that two passes agree."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout", "activation_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def incomplete(name: str, problem: Exception) -> LabError:
    """What a person is told of a base that the library refuses, or that memory does not suffice for."""
    if ran_out(problem):
        return OutOfMemory(
            f"The model {name} needs more memory than is free here. Load it in fewer bits, choose a smaller base, or "
            f"close what else takes memory; python -m lab models {name} says what fits."
        )
    if "trust_remote_code" in str(problem):
        return ModelIncomplete(
            f"The model {name} brings program code of its own, and the lab runs none. Choose a base whose shape the "
            "library knows; the embedded models are called tiny and small."
        )
    why = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(" .")
    if isinstance(problem, ImportError):
        return Unsupported(
            f"The model {name} needs what is not installed here: {why}. Install it, or choose a base that does without "
            "it: one that is not quantised can be loaded with --precision 4-bit."
        )
    if "Unrecognized configuration class" in why:
        return Unsupported(
            f"The model {name} is of a kind that does not go on with a text. Choose a causal LM: tiny is."
        )
    if "instantiate the backend tokenizer" in why:
        why = "the files of its tokenizer are missing, or of a kind that the library does not know"
    if "`model_type` key" in str(problem):
        why = "its config.json names no kind of model that the library knows"
    if isinstance(problem, (KeyError, TypeError, AttributeError)):
        why = f"a file of it does not hold what the library looks for ({why})"
    return ModelIncomplete(
        f"The model {name} could not be loaded: {why}. "
        "Check the name or folder and that all its files are there; the embedded models are called tiny and small."
    )


def _with_adapter(model: Any, precision: str) -> Any:
    """The model under PEFT, with an adapter `sft` that changes nothing yet; Unsupported where its layers take none."""
    (quantised.bring_in if precision in quantised.PRECISIONS else quantised.leave_out)()
    from peft import get_peft_model

    try:
        return get_peft_model(model, lora_config(8), adapter_name="sft").eval()
    except ValueError as problem:
        raise Unsupported(
            f"The layers of a {model.config.model_type} model take no adapter ({str(problem).splitlines()[0]}). Choose "
            "a base of another shape; the embedded models are called tiny and small."
        ) from problem


def folder_of(name: str, say: Callable[[str], None] | None = None) -> Path:
    """Where a base is: among the embedded ones, a folder, or brought from Hugging Face. Raises ModelIncomplete."""
    return here(name) or hub.fetch(name, say)


def here(name: str) -> Path | None:
    """The folder of a base on this machine; None for a name that only Hugging Face may know. Raises ModelIncomplete."""
    for folder in (EMBEDDED / name, Path(name)):
        if (folder / "config.json").exists():
            return folder
    if Path(name).exists():
        raise ModelIncomplete(f"There is no model in {name}: it holds no config.json. {hub.EMBEDDED}")
    if not HUB_ID.fullmatch(name):
        raise ModelIncomplete(f"There is no folder {name}. Check the name. {hub.EMBEDDED}")
    return None


def lasting(name: str) -> str:
    """The name of a base by which it is found from any folder: that of another folder's as its whole path."""
    ours = (EMBEDDED / name / "config.json").exists()
    return name if ours or not (Path(name) / "config.json").exists() else str(Path(name).resolve())


def default_device() -> str:
    """cuda (or ROCm) where there is one, then Apple's mps, then the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _weights(where: str | Path, config: Any, device: torch.device, precision: str) -> Any:
    """The causal LM in eager attention on CPU, where that is fastest, and in the library's choice elsewhere.

    It goes to the device as it is read, and what is quantised is quantised there. Raises ValueError where the files
    lack a weight: the library itself would draw it at random.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    chosen = torch.bfloat16 if precision in ("auto", *quantised.PRECISIONS) else getattr(torch, precision)
    options: dict[str, Any] = {"dtype": chosen, "local_files_only": True, "use_safetensors": True}
    # With alibi transformers 5.23 adds Falcon's position bias twice in eager attention.
    if device.type == "cpu" and not getattr(config, "alibi", False):
        options["attn_implementation"] = "eager"
    if device.type != "cpu" or precision in quantised.PRECISIONS:
        options["device_map"] = {"": device}
    if precision == "8-bit":
        # It warns at every product that it rounds its input to float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if precision == "8-bit" and not quantised.kept_in(config):
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    if precision == "4-bit" and not quantised.kept_in(config):
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    model, found = AutoModelForCausalLM.from_pretrained(
        where, trust_remote_code=False, ignore_mismatched_sizes=True, output_loading_info=True, **options
    )
    _all_there(found)
    if precision not in quantised.PRECISIONS:
        return model.to(device)
    for module in model.modules():
        # bitsandbytes 0.50 repacks the weights of AVX512-BF16 machines in eval mode and then loses every gradient.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
            module.compute_dtype = torch.bfloat16
    _narrow(model)
    return model


def _narrow(model: Any) -> None:
    """In bfloat16 what is not quantised: of files that hold quantised weights the library leaves it as it is there."""
    wide = tuple(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    for name, parameter in model.named_parameters():
        packed = type(parameter).__name__ in ("Params4bit", "Int8Params")  # those of 4 bits may be stored as floats
        if not packed and parameter.is_floating_point() and not any(part in name for part in wide):
            parameter.data = parameter.data.to(torch.bfloat16)


def _all_there(found: dict[str, Any]) -> None:
    """ValueError where a weight was not in the files, or in another shape; tied ones and buffers are not looked for."""
    missing = sorted(found["missing_keys"])
    if missing:
        raise ValueError(f"its files lack {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""))
    for name, theirs, ours in sorted(found["mismatched_keys"]):
        raise ValueError(f"{name} is {list(theirs)} in its files and {list(ours)} by its config.json")


def _settle_on_cpu(peft: Any, precision: str) -> torch.dtype:
    """Weights as this processor's products want them where our own pass keeps the states in fp32; in fp32 where the
    library's pass must do it. Returns what products are computed in."""
    if folding.suits(peft, BASE, largest=folding.ANY_SIZE):
        if precision == "auto" and arithmetic.weights(peft.num_parameters()) == torch.float32:
            peft.float()
        trunk.fuse(peft)
        return arithmetic.fastest()
    if precision == "float16" and any(isinstance(module, nn.LayerNorm) for module in peft.modules()):
        raise Unsupported("A CPU cannot compute this shape's layer norms in float16. Choose bfloat16 or auto.")
    if precision == "auto":
        peft.float()
    return arithmetic.fastest() if precision in ("auto", "float32") else torch.bfloat16


def fingerprint_of(folder: Path) -> str:
    """A hash of every weight's shape and first numbers in a base's files.

    It is the same however the files are loaded, and a merged adapter changes it.
    """
    marks: dict[str, list[Any]] = {}
    for file in weight_files(folder):
        with safe_open(file, "pt") as weights:
            marks |= {name: _mark(weights.get_slice(name)) for name in weights.keys()}  # noqa: SIM118
    return hashlib.sha256(json.dumps(sorted(marks.items())).encode()).hexdigest()[:32]


def weight_files(folder: Path) -> list[Path]:
    """The files that a base's weights are said to be in; none where the folder holds its config alone."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    names = json.loads(index.read_text())["weight_map"].values() if index.exists() else ()
    return [folder / name for name in sorted(set(names))]


def check_files(name: str, folder: Path) -> None:
    """ModelIncomplete for weights that are pickles, and one of REFUSALS where a file of them is missing or cut off,
    which its length tells. A folder that holds no weights passes."""
    _safe(name, folder)
    for file in weight_files(folder):
        with safe_open(file, "pt"):
            pass


def _mark(weight: Any) -> list[Any]:
    """The shape of a weight in a file and a hash of the first numbers of its first row."""
    shape = weight.get_shape()
    few = weight[(*[slice(0, 1)] * (len(shape) - 1), slice(0, 256))[: len(shape)]]
    return [shape, hashlib.sha256(few.to(torch.bfloat16).view(torch.int16).numpy().tobytes()).hexdigest()]


def fingerprints(roles: Roles) -> list[str]:
    """All that this base is known by, now and in an older lab."""
    return [each for each in (roles.fingerprint, former_fingerprint(roles)) if each]


def former_fingerprint(roles: Roles) -> str:
    """What older manifests carry: a hash of the base's shape and embeddings alone."""
    config = roles.model.config.to_dict()
    shape = {key: config.get(key) for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size", "n_embd")}
    table = roles.model.get_input_embeddings().weight
    rows = torch.cat([table[:64], table[-64:]]).detach().to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes()
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode() + rows).hexdigest()[:32]
