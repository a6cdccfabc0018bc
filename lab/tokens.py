"""What each token of one response cost and earned, as plain lists for the page's heat map."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lab.text import Batch, Text

DIGITS = 3


def figures(columns: dict[str, Tensor], batch: Batch, row: int, text: Text) -> dict[str, Any]:
    """Lists over a response's tokens: its `text` in pieces, and a number of each column [B, T].

    The pieces add up to the response; the stop token has none of its own.
    """
    kept = batch.mask[row]
    numbers = {name: [short(each) for each in column[row][kept].tolist()] for name, column in columns.items()}
    return {"text": pieces(text, batch.responses[row][kept].tolist())} | numbers


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
