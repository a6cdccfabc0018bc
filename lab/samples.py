"""What a policy says, as events: in words alone, or with the score, the KL and the figures that a rollout knows."""

from __future__ import annotations

from collections.abc import Sequence

from lab.config import TEMPERATURE
from lab.events import Sample
from lab.generate import sample
from lab.rollout import Rollout
from lab.state import State
from lab.text import Asked
from lab.tokens import figures

LONGEST = 72


def of_rollout(
    state: State, asked: Sequence[Asked], rollout: Rollout, *, pinned: bool = False, every: int = 1
) -> list[Sample]:
    """The rollout's responses in words, one for each prompt that is given: those of every so many rows."""
    text, found, batch = state.roles.text, [], rollout.batch
    for row, prompt in zip(range(0, len(batch.mask), every), asked, strict=False):
        ids = batch.responses[row][batch.mask[row]].tolist()
        score, kl = rollout.score[row].item(), rollout.kl_exact[row].sum().item()
        said, tokens = text.decode(ids), figures(rollout.by_token(), batch, row, text)
        found.append(Sample(state.step, prompt.text, said, score, kl, len(ids), pinned, state.adapters[0], tokens))
    return found


def in_words(state: State, prompts: Sequence[str]) -> list[Sample]:
    """What the adapter says to the pinned prompts now, with the same luck each time."""
    if not prompts:
        return []
    text, role = state.roles.text, state.adapters[0]
    ids = [text.prompt_ids(prompt) for prompt in prompts]
    tokens = min(LONGEST, text.context - max(map(len, ids)))
    said = sample(state.roles, role, ids, tokens=tokens, temperature=TEMPERATURE, seed=0)
    return [
        Sample(state.step, prompt, text.decode(response), None, None, len(response), True, role)
        for prompt, response in zip(prompts, said, strict=True)
    ]
