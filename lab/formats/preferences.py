"""Every format whose rows say which answer is better: one pure function each, from a row to a record.

A reader takes a row (a mapping of field names to values; a null counts as absent) and gives one Record, or several
where several people ranked the same answers. It raises RowError with the reason, Unusable for a sound row that holds
no preference. The exact fields stand in `table.py`.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Sequence

from lab.formats.fields import (
    Row,
    answer,
    as_object,
    conversation,
    flag,
    items,
    margin,
    need,
    number,
    source_id,
    spoken,
    system,
    text,
    text_or_empty,
    turns,
)
from lab.formats.record import Message, Record, RowError, Unusable, ranked

# hh-rlhf marks its turns like this; the space behind the colon is missing where the next text is empty.
HH_TURN = re.compile(r"\n\n(Human|Assistant):")
H2O_PROMPT = ("prompt", "question", "instruction")
H2O_CHOSEN = ("chosen_response", "chosen_answer", "chosen")
H2O_REJECTED = ("rejected_answer", "rejected_response", "rejected")


def pair(prompt: tuple[Message, ...], first: str, second: str, row: Row, better: int | None = 0) -> Record:
    """Two answers of which number `better` (0 or 1) won; None is a tie. Both must say something, and not the same."""
    if not first.strip() or not second.strip():
        raise RowError("empty answer")
    if first.strip() == second.strip():
        raise Unusable("identical chosen and rejected")
    groups = ((0, 1),) if better is None else ((better,), (1 - better,))
    return Record(prompt, (first, second), groups, margin(row), "", source_id(row))


def trl(row: Row) -> Record:
    """TRL and OpenRLHF: strings or conversations, with a prompt or with an implicit one that both answers repeat."""
    chosen, rejected = need(row, "chosen"), need(row, "rejected")
    given = conversation(row["prompt"], "prompt") if row.get("prompt") is not None else ()
    if isinstance(chosen, list) and isinstance(rejected, list):
        shared, best, other = split_conversations(turns(chosen, "chosen"), turns(rejected, "rejected"))
        return pair(shared if _repeats(shared, given) else given + shared, best, other, row)
    best, other = answer(chosen, "chosen"), answer(rejected, "rejected")
    if given:
        return pair(given, best, other, row)
    cut = _shared_words(best, other)
    return pair((Message("user", best[:cut]),), best[cut:], other[cut:], row)


def split_conversations(
    first: tuple[Message, ...], second: tuple[Message, ...], names: tuple[str, str] = ("chosen", "rejected")
) -> tuple[tuple[Message, ...], str, str]:
    """The turns that two conversations share, and the last answer of each."""
    if not first or not second or first[:-1] != second[:-1]:
        raise RowError(f"{names[0]} and {names[1]} differ in more than their last answer")
    return first[:-1], spoken(first[-1], names[0]), spoken(second[-1], names[1])


def sharegpt(row: Row) -> Record:
    """LLaMA-Factory's ShareGPT shape: `chosen` and `rejected` are one object each; a list of one is forgiven."""
    prompt = system(row) + turns(need(row, "conversations"), "conversations")
    return pair(prompt, answer(need(row, "chosen"), "chosen"), answer(need(row, "rejected"), "rejected"), row)


def alpaca_ranking(row: Row) -> Record:
    return pair(alpaca_prompt(row), text(row, "chosen"), text(row, "rejected"), row)


def alpaca_prompt(row: Row) -> tuple[Message, ...]:
    """System, earlier rounds and `instruction` with `input` on the line below it, as LLaMA-Factory joins them."""
    earlier: list[Message] = []
    for exchange in items(row, "history") if row.get("history") else []:
        if not isinstance(exchange, list) or [type(words) for words in exchange] != [str, str]:
            raise RowError("field history is not a list of [question, answer]")
        earlier += [Message("user", exchange[0]), Message("assistant", exchange[1])]
    instruction, extra = text_or_empty(row, "instruction"), text_or_empty(row, "input")
    asked = "\n".join(words for words in (instruction, extra) if words)
    return system(row) + tuple(earlier) + (Message("user", asked),)


def llamafactory_v1(row: Row) -> Record:
    chosen = turns(need(row, "chosen_messages"), "chosen_messages")
    rejected = turns(need(row, "rejected_messages"), "rejected_messages")
    return pair(*split_conversations(chosen, rejected), row)


def hh(row: Row) -> Record:
    """hh-rlhf: two transcripts; the prompt is what they share, cut at the last Assistant turn.

    A `prompt` field of its own, as in full-hh-rlhf, is put back in front first.
    """
    opening = text_or_empty(row, "prompt")
    chosen, rejected = opening + text(row, "chosen"), opening + text(row, "rejected")
    shared = os.path.commonprefix([chosen, rejected])
    marks = list(HH_TURN.finditer(shared))
    if "Assistant" not in (mark[1] for mark in marks):
        raise RowError("the transcripts share no Assistant turn, so there is no common prompt")
    if marks[-1][1] == "Human":
        raise RowError("the transcripts part in the person's words, so there is no common prompt")
    cut = marks[-1].end()
    return pair(hh_turns(shared[: marks[-1].start()]), _unspaced(chosen[cut:]), _unspaced(rejected[cut:]), row)


def hh_turns(transcript: str) -> tuple[Message, ...]:
    """The turns of a transcript; words before the first mark belong to nobody, so they are refused."""
    before, *rest = HH_TURN.split(transcript)
    if before.strip():
        raise RowError("the transcript does not start with Human:")
    roles = ("user" if name == "Human" else "assistant" for name in rest[::2])
    return tuple(Message(role, _unspaced(words)) for role, words in zip(roles, rest[1::2], strict=True))


def ultrafeedback(row: Row) -> Record:
    """Groups by the mean of the aspects' ratings, higher is better; an answer without any rating is left out."""
    rated = [(answer_text, score) for answer_text, score in map(_rated, items(row, "completions")) if score is not None]
    return scored((Message("user", text(row, "instruction")),), rated, row)


def scored(prompt: tuple[Message, ...], rated: Sequence[tuple[str, float]], row: Row) -> Record:
    """Answers with the scores that they got, higher is better; equal scores tie."""
    if len(rated) < 2:
        raise Unusable(f"{len(rated)} of its answers are rated; a comparison needs 2")
    means = mean_scores(rated)
    if len(means) < 2:
        raise Unusable("all of its answers are the same")
    return Record(prompt, tuple(means), ranked(list(means.values())), None, "", source_id(row))


def mean_scores(rated: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The score of each different answer: the mean, where the same words were judged several times."""
    found: dict[str, list[float]] = {}
    for words, score in rated:
        found.setdefault(words, []).append(score)
    return {words: sum(scores) / len(scores) for words, scores in found.items()}


def shp(row: Row) -> Record:
    """Stanford Human Preferences: label 1 means that A is the better one."""
    first, second = text(row, "human_ref_A"), text(row, "human_ref_B")
    return pair((Message("user", text(row, "history")),), first, second, row, 0 if flag(row, "labels") else 1)


def pku(row: Row) -> Record:
    """PKU-SafeRLHF by helpfulness: `better_response_id` is the index of the better answer."""
    first, second = text(row, "response_0"), text(row, "response_1")
    better = int(flag(row, "better_response_id"))
    return pair((Message("user", text(row, "prompt")),), first, second, row, better)


def arena55k(row: Row) -> Record:
    """Chatbot Arena 55k: prompt and responses are JSON lists inside strings, and one of three columns says who won."""
    prompts, first, second = (items(row, key) for key in ("prompt", "response_a", "response_b"))
    if len(prompts) > 1:
        raise Unusable(f"{len(prompts)} turns, whose earlier answers differ, so there is no common prompt")
    if [type(words) for words in (*prompts, *first, *second)] != [str, str, str]:
        raise RowError("prompt, response_a and response_b do not hold one text each")
    votes = [flag(row, key) for key in ("winner_model_a", "winner_model_b", "winner_tie")]
    if votes.count(True) != 1:
        raise RowError(f"{votes.count(True)} of the three winner fields are set; exactly one should be")
    return pair((Message("user", prompts[0]),), first[0], second[0], row, (0, 1, None)[votes.index(True)])


def rankings(row: Row) -> Record:
    """The lab's own lossless rows: an empty answer and identical answers are kept, for somebody saw and ranked them."""
    prompt = turns(row["prompt"], "prompt") if row.get("prompt") else ()
    candidates = tuple(text(as_object(item), "text") for item in items(row, "candidates"))
    order = items(row, "order")
    if any(not isinstance(group, list) or any(type(index) is not int for index in group) for group in order):
        raise RowError("field order is not a list of lists of whole numbers")
    groups = tuple(tuple(group) for group in order)
    return Record(prompt, candidates, groups, margin(row), text_or_empty(row, "rater"), text_or_empty(row, "id"))


def _repeats(shared: tuple[Message, ...], given: tuple[Message, ...]) -> bool:
    """Whether the shared turns already hold the prompt field, as in HuggingFaceH4's data, system message aside."""
    spoken_turns = tuple(turn for turn in shared if turn.role != "system")
    wanted = tuple(turn for turn in given if turn.role != "system")
    return not given or spoken_turns[: len(wanted)] == wanted


def _shared_words(first: str, second: str) -> int:
    """Where the implicit prompt ends: behind the last whole word that both texts share.

    TRL cuts at the first letter that differs, which splits "blue" and "black" into "bl", "ue" and "ack".
    """
    shared = os.path.commonprefix([first, second])
    if len(shared) == len(first) == len(second):
        raise Unusable("identical chosen and rejected")
    words = re.match(r"(.*)\s", shared, re.DOTALL)
    return len(words[1].rstrip()) if words else len(shared)


def _unspaced(words: str) -> str:
    return words.removeprefix(" ")


def _rated(completion: object) -> tuple[str, float | None]:
    completion = as_object(completion)
    aspects = completion.get("annotations") or {}
    # A judge that declined to rate an aspect left "N/A" there.
    given = [as_object(aspect).get("Rating") for aspect in as_object(aspects).values()]
    ratings = [number(rating, "Rating") for rating in given if rating not in (None, "", "N/A")]
    return text(completion, "response"), sum(ratings) / len(ratings) if ratings else None
