"""The table of formats: name, sentence, fields, and how a row is recognised, read and written.

One more format is a reader (or a shape) and one line here. The order counts: the first line whose test holds wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from lab.errors import BadInput
from lab.formats import demonstrations, preferences, shapes
from lab.formats.fields import Row
from lab.formats.record import Record


@dataclass(frozen=True, slots=True)
class Format:
    """One line of the table; `fields` are those that a row must have, a `?` marks one that it may have."""

    name: str
    description: str
    fields: tuple[str, ...]
    matches: Callable[[Row], bool]
    read: Callable[[Row], Record | tuple[Record, ...]]
    narrow: Callable[[Record], tuple[Record, ...]] | None = None
    shape: Callable[[Record], dict[str, object]] | None = None

    @property
    def reads(self) -> bool:
        """True for every line so far: a format that is only written needs a shape and no reader."""
        return self.read is not None

    @property
    def writes(self) -> bool:
        return self.shape is not None


def has(*fields: str, without: tuple[str, ...] = ()) -> Callable[[Row], bool]:
    """A test for rows that have all of these fields and none of the others."""
    return lambda row: all(field in row for field in fields) and not any(field in row for field in without)


def format_named(name: str) -> Format:
    if name not in FORMATS:
        raise BadInput(f"{name!r} is not a format that the lab knows, so the file was left alone. Known: {known()}.")
    return FORMATS[name]


def known() -> str:
    return ", ".join(FORMATS)


def _is_hh(row: Row) -> bool:
    chosen = f"{row.get('prompt', '')}{row.get('chosen', '')}"
    return "rejected" in row and chosen.startswith("\n\nHuman:") and "\n\nAssistant:" in chosen


def _is_h2o(row: Row) -> bool:
    """Names that only H2O's tables use: `question`, a `system` column, or an answer under its longer name."""
    own = ("question", "system", "chosen_response", "chosen_answer", "rejected_response", "rejected_answer")
    return (
        any(field in row for field in own)
        and any(field in row for field in preferences.H2O_PROMPT)
        and any(field in row for field in preferences.H2O_CHOSEN)
        and any(field in row for field in preferences.H2O_REJECTED)
    )


def _is_conversational(row: Row) -> bool:
    return "chosen" in row and isinstance(row.get("rejected"), list | dict)


def _is_conversation(row: Row) -> bool:
    return ("messages" in row or "conversations" in row) and not ("kto_tag" in row or "label" in row)


_PAIR = ("chosen", "rejected")

_ROWS = (
    Format(
        "rankings", "The lab's own rankings: any number of answers, ties, nothing lost.",
        ("prompt", "candidates", "order", "margin?", "rater?", "id?"),
        has("candidates", "order"), preferences.rankings, shapes.whole, shapes.rankings,
    ),
    Format(
        "argilla", "Argilla 1 records with a ranking question: one ranking for each person who submitted one.",
        ("fields", "responses"), has("fields", "responses"), preferences.argilla,
    ),
    Format(
        "llamafactory_v1", "LLaMA-Factory's message lists with typed parts and loss weights.",
        ("chosen_messages", "rejected_messages"), has("chosen_messages", "rejected_messages"),
        preferences.llamafactory_v1,
    ),
    Format(
        "sharegpt", "LLaMA-Factory's ShareGPT preferences: turns as from and value, two answers as objects.",
        ("conversations", *_PAIR, "system?"), has("conversations", *_PAIR),
        preferences.sharegpt, shapes.pairs, shapes.sharegpt,
    ),
    Format(
        "alpaca_ranking", "LLaMA-Factory's Alpaca preferences: an instruction, its input and two answers.",
        ("instruction", *_PAIR, "input?", "system?", "history?"), has("instruction", *_PAIR),
        preferences.alpaca_ranking,
    ),
    Format(
        "hh", "Anthropic's hh-rlhf: two whole transcripts with Human and Assistant turns.",
        (*_PAIR, "prompt?"), _is_hh, preferences.hh, shapes.pairs, shapes.hh,
    ),
    Format(
        "trl_conversational", "TRL preferences as lists of messages; the prompt may be repeated in both answers.",
        (*_PAIR, "prompt?", "margin?"), _is_conversational, preferences.trl, shapes.pairs, shapes.trl_conversational,
    ),
    Format(
        "h2o", "H2O LLM Studio's table: a question and two answers, also under their longer names.",
        ("question", *_PAIR, "system?", "rejected_prompt?", "parent_id?"), _is_h2o, preferences.h2o,
    ),
    Format(
        "trl", "TRL preferences as plain strings; without a prompt it is what both answers share.",
        (*_PAIR, "prompt?", "margin?"), has(*_PAIR), preferences.trl, shapes.pairs, shapes.trl,
    ),
    Format(
        "openrlhf", "OpenRLHF preferences: two whole conversations; read like trl, whose rows it shares.",
        (*_PAIR, "prompt?", "margin?"), has(*_PAIR), preferences.trl, shapes.pairs, shapes.openrlhf,
    ),
    Format(
        "ultrafeedback", "UltraFeedback: several answers ranked by the mean of their ratings, higher is better.",
        ("instruction", "completions"), has("instruction", "completions"), preferences.ultrafeedback,
    ),
    Format(
        "arena55k", "Chatbot Arena 55k: two answers as JSON lists in strings, and who won.",
        ("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"),
        has("response_a", "response_b", "winner_model_a"), preferences.arena55k,
    ),
    Format(
        "shp", "Stanford Human Preferences: a post and two replies; label 1 means that A is better.",
        ("history", "human_ref_A", "human_ref_B", "labels"),
        has("history", "human_ref_A", "human_ref_B", "labels"), preferences.shp,
    ),
    Format(
        "pku", "PKU-SafeRLHF by helpfulness: two responses and the index of the better one.",
        ("prompt", "response_0", "response_1", "better_response_id"),
        has("response_0", "response_1", "better_response_id"), preferences.pku,
    ),
    Format(
        "messages", "Demonstrations as conversations, under messages or conversations; the last turn is the answer.",
        ("messages", "system?"),
        _is_conversation,
        demonstrations.messages, shapes.best, shapes.messages,
    ),
    Format(
        "alpaca", "Demonstrations in Alpaca's shape: an instruction, its input and the output.",
        ("instruction", "output", "input?", "system?", "history?"),
        has("instruction", "output", without=("kto_tag", "label")), demonstrations.alpaca,
    ),
    Format(
        "prompt_completion", "Demonstrations as a prompt and its completion, strings or messages.",
        ("prompt", "completion"), has("prompt", "completion", without=("label",)), demonstrations.prompt_completion,
    ),
    Format(
        "prompt_response", "The same with the answer under `response`.",
        ("prompt", "response"), has("prompt", "response", without=("label",)), demonstrations.prompt_response,
    ),
    Format(
        "text", "Plain text to imitate, without a prompt.",
        ("text",), has("text", without=("label", "parent_id", "message_id")), demonstrations.plain,
    ),
)  # fmt: skip

FORMATS = MappingProxyType({row.name: row for row in _ROWS})
