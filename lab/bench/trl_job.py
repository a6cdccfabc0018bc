"""TRL's PPOTrainer on given model, data and shapes; run by the Python of TRL's own environment, which has no lab."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import dataclass
from random import Random
from statistics import median
from time import monotonic
from typing import Any

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    arguments = json.loads(sys.argv[1])
    import torch

    torch.set_num_threads(int(arguments.pop("threads", 1)))
    print(json.dumps(measure(Job(**arguments))))


@dataclass(frozen=True)
class Job:
    """A model folder, the layers of the policy that learn by LoRA, and shapes in responses and tokens.

    device: cpu, where all is in float32, or cuda, where models are in bfloat16 under autocast, as the lab's are.
    """

    model: str
    layers: list[int]
    batch: int
    minibatch: int
    epochs: int
    steps: int
    prompt: int = 16
    tokens: int = 32
    device: str = "cpu"


def measure(job: Job) -> dict[str, float]:
    """Responses a second with LoRA of rank 8; value and reward model are whole models, as TRL has it."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trainer, clock = trainer_of(job, folder)
        trainer.train()
    seconds = [after - before for before, after in zip(clock.marks, clock.marks[1:], strict=False)]
    return {"samples_per_second": job.batch / median(seconds), "peak_bytes": _peak(job), "time/step": median(seconds)}


def _peak(job: Job) -> int:
    """The most that was asked of the card's allocator, or that was resident."""
    if job.device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def trainer_of(job: Job, folder: str) -> tuple[Any, Any]:
    """A PPOTrainer and the callback that notes when each step ended."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.marks: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if on_card:
                torch.cuda.synchronize()
            self.marks.append(monotonic())

    on_card = job.device == "cuda"
    kept = {"dtype": torch.bfloat16 if on_card else torch.float32}
    rng, clock = Random(0), Clock()
    ids = [[rng.randrange(8, 4000) for _ in range(job.prompt)] for _ in range(max(64, job.batch))]
    config = PPOConfig(
        output_dir=folder,
        per_device_train_batch_size=job.batch,
        gradient_accumulation_steps=1,
        num_mini_batches=job.batch // job.minibatch,
        num_ppo_epochs=job.epochs,
        total_episodes=job.batch * (job.steps + 1),
        response_length=job.tokens,
        temperature=1.0,
        local_rollout_forward_batch_size=job.batch,
        num_sample_generations=0,
        learning_rate=1e-5,
        save_strategy="no",
        report_to=[],
        bf16=on_card,
        use_cpu=not on_card,
        gradient_checkpointing=False,
        disable_tqdm=True,
        logging_strategy="no",
    )
    tokenizer = AutoTokenizer.from_pretrained(job.model, padding_side="left")
    trainer = PPOTrainer(
        config,
        tokenizer,
        AutoModelForCausalLM.from_pretrained(job.model, **kept),
        None,
        AutoModelForSequenceClassification.from_pretrained(job.model, num_labels=1, **kept),
        Dataset.from_dict({"input_ids": ids}),
        AutoModelForSequenceClassification.from_pretrained(job.model, num_labels=1, **kept),
        eval_dataset=Dataset.from_dict({"input_ids": ids}),
        callbacks=[clock],
        peft_config=LoraConfig(
            r=8,
            lora_alpha=16,
            lora_dropout=0.0,
            target_modules=LINEARS,
            layers_to_transform=job.layers,
            task_type="CAUSAL_LM",
        ),
    )
    return trainer, clock


if __name__ == "__main__":
    main()
