"""Formats whose rows judge one answer each: rows that share a prompt and differ in the judgement become a ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lab.formats.demonstrations import messages as shown_conversation
from lab.formats.demonstrations import shown
from lab.formats.fields import Row, answer, conversation, flag, items, need, number, text, what_is
from lab.formats.files import FileRow
from lab.formats.preferences import alpaca_prompt, mean_scores, scored
from lab.formats.record import Message, Record, RowError, Unusable

TOGETHER = "rows of one prompt"  # the one field of a gathered row


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer; a higher score is better. `labelled`: the score is 1 for good and 0 for bad, and nothing between."""

    prompt: tuple[Message, ...]
    answer: str
    score: float
    labelled: bool = True


Judge = Callable[[Row], Judged]


def gathered_by(judge: Judge) -> Callable[[Sequence[FileRow]], Iterable[FileRow]]:
    """One row for each prompt whose answers were judged differently; all other rows stay as they are."""

    def gather(rows: Sequence[FileRow]) -> list[FileRow]:
        prompts, alone = _sorted(rows, judge)
        joined = []
        for group in prompts.values():
            if len(set(_means(judged for _, judged in group).values())) < 2:
                alone += [row for row, _ in group]
                continue
            first, *others = (row for row, _ in group)
            fields = {TOGETHER: [first.fields, *(row.fields for row in others)]}
            joined.append(FileRow(first.line, fields, others=tuple(row.line for row in others)))
        return sorted(joined + alone, key=lambda row: row.line)

    return gather


def read_by(judge: Judge) -> Callable[[Row], Record]:
    """A reader of gathered rows, and of a row that found no other: a good answer alone can still be imitated."""

    def read(row: Row) -> Record:
        if TOGETHER in row:
            given = [judge(each) for each in row[TOGETHER]]
            return scored(given[0].prompt, [(each.answer, each.score) for each in given], row)
        judged = judge(row)
        if not judged.labelled:
            raise Unusable("no answer to its prompt has another score, so there is nothing to compare")
        if not judged.score:
            raise Unusable("labelled bad, and no answer to its prompt is labelled good")
        return shown(judged.prompt, judged.answer, row)

    return read


def unpaired(row: Row) -> Judged:
    """TRL unpaired: the answer under `completion` or `response`, strings or messages; label true is good."""
    key = "completion" if row.get("completion") is not None else "response"
    return _judged(conversation(need(row, "prompt"), "prompt"), answer(need(row, key), key), flag(row, "label"))


def kto(row: Row) -> Judged:
    """LLaMA-Factory KTO: a conversation that ends with the answer, or Alpaca's fields, and `kto_tag` or `label`."""
    good = flag(row, "kto_tag" if row.get("kto_tag") is not None else "label")
    if row.get("messages") is None and row.get("conversations") is None:
        return _judged(alpaca_prompt(row), text(row, "output"), good)
    found = shown_conversation(row)
    return _judged(found.prompt, found.candidates[0], good)


def stepwise(row: Row) -> Judged:
    """TRL stepwise: the steps on a line each are one answer, which is good when every step is."""
    steps, labels = items(row, "completions"), items(row, "labels")
    if len(steps) != len(labels) or not steps:
        raise RowError(f"{len(steps)} completions and {len(labels)} labels; each step needs one")
    for step in steps:
        if not isinstance(step, str):
            raise RowError(f"field completions holds {what_is(step)} where a step's text belongs")
    good = all([flag({"labels": label}, "labels") for label in labels])
    return _judged(conversation(need(row, "prompt"), "prompt"), "\n".join(steps), good)


def rollout(row: Row) -> Judged:
    """verl's rollouts: the input as the model saw it, special tokens aside, and the score of its output."""
    score = number(need(row, "score"), "score")
    return _judged((Message("user", text(row, "input")),), text(row, "output"), score, labelled=False)


def scored_sample(row: Row) -> Judged:
    """lm-human-preferences where a person gave each sample a score of its own."""
    score = number(need(row, "score"), "score")
    return _judged((Message("user", text(row, "query")),), text(row, "sample"), score, labelled=False)


def _judged(prompt: tuple[Message, ...], words: str, score: float, labelled: bool = True) -> Judged:
    if not words.strip():
        raise RowError("empty answer")
    return Judged(prompt, words, float(score), labelled)


def _sorted(
    rows: Sequence[FileRow], judge: Judge
) -> tuple[dict[tuple[Message, ...], list[tuple[FileRow, Judged]]], list[FileRow]]:
    """The rows by their prompt, and those that say no judgement, for the reader to tell why."""
    prompts, alone = defaultdict(list), []
    for row in rows:
        try:
            judged = None if row.fault else judge(row.fields)
        except RowError:
            judged = None
        if judged is None:
            alone.append(row)
        else:
            prompts[judged.prompt].append((row, judged))
    return prompts, alone


def _means(given: Iterable[Judged]) -> dict[str, float]:
    return mean_scores((each.answer, each.score) for each in given)
