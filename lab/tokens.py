"""What each token of one response cost and earned, as plain lists for the page's heat map."""

from __future__ import annotations

from typing import Any

from lab.rollout import Rollout
from lab.text import Text

DIGITS = 3


def figures(rollout: Rollout, row: int, text: Text) -> dict[str, Any]:
    """Lists over a response's tokens: `text`, exact `kl` in nats, `reward`, `value`, whitened `advantage`.

    The pieces of text add up to the response; the stop token has none of its own, and it earns the score.
    """
    kept = rollout.batch.mask[row]
    columns = {
        "kl": rollout.kl_exact,
        "reward": rollout.rewards,
        "value": rollout.values,
        "advantage": rollout.advantages,
    }
    numbers = {name: [short(each) for each in column[row][kept].tolist()] for name, column in columns.items()}
    return {"text": pieces(text, rollout.batch.responses[row][kept].tolist())} | numbers


def short(value: float) -> float:
    """Three significant digits: no colour shows more, and they are a third of the bytes."""
    return float(f"{value:.{DIGITS}g}")


def pieces(text: Text, ids: list[int]) -> list[str]:
    """The response cut at its tokens. A letter that several tokens spell stands with the last of them."""
    whole, alone = text.decode(ids), [text.decode([each]) for each in ids]
    if "".join(alone) == whole:
        return alone
    cuts = [0]
    for end in range(1, len(ids)):
        begun = text.decode(ids[:end])
        cuts.append(max(cuts[-1], len(begun)) if whole.startswith(begun) else cuts[-1])
    return [whole[start:end] for start, end in zip(cuts, [*cuts[1:], len(whole)], strict=True)]
