"""What an Apple GPU lacks: every stage does without the operations that torch has no MPS kernel for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torchgen
import yaml
from torch.utils._python_dispatch import TorchDispatchMode

from lab import dpo, ppo, reward, rloo_grpo, sft
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.loading import load
from lab.models import Roles
from lab.reward import Ranked

TABLE = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
EVERYWHERE = {"CompositeExplicitAutograd", "CompositeImplicitAutograd", "CompositeExplicitAutogradNonFunctional"}


def kernels() -> dict[str, bool]:
    """For each operation of torch's own table whether it runs on MPS."""
    rows = {each["func"].split("(")[0]: each for each in yaml.safe_load(TABLE.read_text())}

    def runs(name: str) -> bool:
        row = rows[name]
        if row.get("structured_delegate"):
            return runs(row["structured_delegate"])
        keys = {key.strip() for several in row.get("dispatch") or {} for key in several.split(",")}
        return not keys or bool(keys & {"MPS", *EVERYWHERE})

    return {name: runs(name) for name in rows}


class Watch(TorchDispatchMode):
    """Remembers the operations that go by and have no MPS kernel."""

    def __init__(self, known: dict[str, bool]):
        super().__init__()
        self.known, self.lacking = known, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        schema = func._schema
        name = ".".join(filter(None, (schema.name.removeprefix("aten::"), schema.overload_name)))
        if not self.known.get(name, True):
            self.lacking.add(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.slow  # all stages under a mode that looks at each operation
def test_no_stage_needs_an_operation_that_an_apple_gpu_lacks(monkeypatch):
    roles = load("tiny", device="cpu")
    monkeypatch.setattr(Roles, "lean", lambda self, role: False)  # there the library's own pass is taken
    known = kernels()
    assert known["mm"] and not known["heaviside"]
    texts = [f"What is a penguin? {number}" for number in range(30)]
    asked, answers = (
        roles.text.asked(texts),
        [tuple(roles.text.response_ids(each)) for each in ("Fish.", "A bird.", "No.")],
    )
    rankings = [Ranked(each.ids, tuple(answers), ((0,), (1,), (2,))) for each in asked]
    tune = {"steps": 1, "tokens": 6, "microbatch": 4}
    configs = {
        "sft": Sft(steps=1, batch=4, microbatch=4),
        "reward": Reward(batch=8, epochs=1, normalise_over=8, tokens=4),
        "ppo": Ppo(batch=8, minibatch=8, **tune),
        "rloo": Group(prompts=2, group=4, **tune),
        "dpo": Dpo(batch=8, microbatch=4),
    }
    with Watch(known) as watch:
        pairs = [("Why?", "So.")] * 8
        list(sft.sft(sft.begin(roles, configs["sft"]), pairs, lambda: configs["sft"]))
        list(reward.reward(reward.begin(roles, configs["reward"]), rankings, asked, lambda: configs["reward"]))
        list(ppo.ppo(ppo.begin(roles, Cast(), configs["ppo"]), Cast(), asked, lambda: configs["ppo"]))
        group = rloo_grpo.begin(roles, Cast(), configs["rloo"])
        list(rloo_grpo.rloo_grpo(group, Cast(), asked, lambda: configs["rloo"]))
        list(dpo.dpo(dpo.begin(roles, Cast(), configs["dpo"]), Cast(), rankings, lambda: configs["dpo"]))
    assert watch.lacking <= {"_scaled_dot_product_flash_attention_for_cpu"}  # chosen by the library for this processor
