"""The table of formats: name, sentence, fields, and how a row is recognised, read and written.

One more format is a reader (or a shape, or the reason why it cannot be read) and one line here. The order counts: the
first line whose test holds wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from lab.errors import BadInput
from lab.formats import answers, argilla, demonstrations, preferences, shapes, studies, trees
from lab.formats.fields import Row
from lab.formats.files import FileRow
from lab.formats.record import Record


def each_alone(rows: Sequence[FileRow]) -> Iterable[FileRow]:
    return rows


@dataclass(frozen=True, slots=True)
class Format:
    """One line of the table; `fields` are those that a row must have, a `?` marks one that it may have.

    `gather` makes one row of those that only say something together, before `read` sees any. A format without `read` is
    recognised, and what to do instead stands in `refusal`. `endings` are those of the files that are written, and
    `once` drops a row that is there already.
    """

    name: str
    description: str
    fields: tuple[str, ...]
    matches: Callable[[Row], bool]
    read: Callable[[Row], Record | tuple[Record, ...]] | None = None
    narrow: Callable[[Record], tuple[Record, ...]] | None = None
    shape: Callable[[Record], dict[str, object]] | None = None
    gather: Callable[[Sequence[FileRow]], Iterable[FileRow]] = each_alone
    refusal: str = ""
    endings: tuple[str, ...] = (".jsonl", ".json")
    once: bool = False

    @property
    def reads(self) -> bool:
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
    return ", ".join(name for name, row in FORMATS.items() if row.reads)


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


def _is_predict(row: Row) -> bool:
    return set(row) == {"chosen", "rejected"} and all(type(score) in (int, float) for score in row.values())


def _is_kto(row: Row) -> bool:
    marked = "kto_tag" in row or "label" in row
    return marked and ("messages" in row or "conversations" in row or ("instruction" in row and "output" in row))


def _is_unpaired(row: Row) -> bool:
    return "prompt" in row and "label" in row and ("completion" in row or "response" in row)


def _are_tasks(row: Row) -> bool:
    """Answers with the name of their model, which nobody has compared yet."""
    found = row.get("completions")
    return "prompt" in row and isinstance(found, list) and found != [] and all(isinstance(each, dict) for each in found)


def _is_ids(row: Row) -> bool:
    return studies.are_ids(row.get("query")) and ("sample" in row or "sample0" in row)


def _is_conversation(row: Row) -> bool:
    return ("messages" in row or "conversations" in row) and not ("kto_tag" in row or "label" in row)


_PAIR = ("chosen", "rejected")
PARQUET = (".parquet",)

_ROWS = (
    Format(
        "rankings", "The lab's own rankings: any number of answers, ties, nothing lost.",
        ("prompt", "candidates", "order", "margin?", "rater?", "id?"),
        has("candidates", "order"), preferences.rankings, shapes.whole, shapes.rankings,
    ),
    Format(
        "argilla", "Argilla 1 records with a ranking question: one ranking for each person who submitted one.",
        ("fields", "responses"), has("fields", "responses"), argilla.argilla,
    ),
    Format(
        "argilla_flat", "Argilla 2's table, a column for each field: one ranking for each person who submitted one.",
        ("prompt", "<question>.responses", "<question>.responses.users?", "<question>.responses.status?"),
        argilla.is_flat, argilla.argilla_flat,
    ),
    Format(
        "distilabel", "distilabel's table for Argilla: several generations ranked by their ratings, higher is better.",
        ("instruction", "generations", "ratings", "rationales?"), has("generations", "ratings"), argilla.distilabel,
    ),
    Format(
        "oasst", "OASST2's message tree: the answers under one message by their rank, 0 is best.",
        ("message_id", "parent_id?", "role", "text", "rank?"), has("message_id", "role", "text"),
        trees.oasst, gather=trees.gather_tree,
    ),
    Format(
        "rm_predict", "LLaMA-Factory's reward scores: two numbers for each pair.",
        _PAIR, _is_predict,
        refusal="It holds the two scores that a reward model gave each pair and none of their text, so there is "
        "nothing to learn from. Import the file of pairs that was scored.",
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
        ("question", *_PAIR, "system?", "rejected_prompt?", "id?", "parent_id?"), _is_h2o, trees.h2o,
        gather=trees.gather_chain,
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
        "verl_rm", "verl's reward model pairs, as parquet; read like trl, whose rows it shares.",
        ("prompt", *_PAIR), has(*_PAIR), preferences.trl, shapes.pairs, shapes.verl_rm, endings=PARQUET,
    ),
    Format(
        "verl_prompts", "verl's prompts for reinforcement learning, as parquet, each once and without an answer.",
        ("data_source", "prompt", "reward_model", "ability?", "extra_info?"),
        has("data_source", "prompt", "reward_model"),
        narrow=shapes.whole, shape=shapes.verl_prompts, endings=PARQUET, once=True,
        refusal="It holds prompts without answers, so there is nothing to rank or to imitate. To have the model answer "
        "them, add the file under Prompts from a file, on the Rank page.",
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
        "arena_conversations", "Chatbot Arena's conversations: two of them that share all but the answer, and who won.",
        ("conversation_a", "conversation_b", "winner", "question_id?"),
        has("conversation_a", "conversation_b", "winner"), studies.arena_conversations,
    ),
    Format(
        "summarize_from_feedback", "OpenAI's summaries of a post or an article: two of them, and the index chosen.",
        ("info", "summaries", "choice", "worker?"), has("info", "summaries", "choice"), studies.summaries,
    ),
    Format(
        "lm_human_preferences_ids", "OpenAI's lm-human-preferences as published: token ids of GPT-2.",
        ("query", "sample0", "best"), _is_ids,
        refusal="Its texts are token ids, numbers that only GPT-2's tokenizer can read. Turn query and every sample "
        'into text first, in Python: AutoTokenizer.from_pretrained("gpt2").decode(ids) of transformers; keep the '
        "fields' names, and the lab reads the rest.",
    ),
    Format(
        "lm_human_best", "lm-human-preferences as text: up to four samples and the index of the best.",
        ("query", *studies.SAMPLES, "best"), has("query", "sample0", "best"), studies.best_sample,
    ),
    Format(
        "lm_human_difference", "lm-human-preferences as text: by how much sample1 is better than sample0.",
        ("query", "sample0", "sample1", "difference"),
        has("query", "sample0", "sample1", "difference"), studies.sample_difference,
    ),
    Format(
        "lm_human_score", "lm-human-preferences as text, a score a sample: samples of one query are ranked by it.",
        ("query", "sample", "score"), has("query", "sample", "score"), answers.read_by(answers.scored_sample),
        gather=answers.gathered_by(answers.scored_sample),
    ),
    Format(
        "human_eval", "open-instruct's human evaluation: two completions and which one a person preferred.",
        ("prompt", "completion_a", "completion_b", "preference", "instance_id?", "evaluator?"),
        has("prompt", "completion_a", "completion_b", "preference"), studies.human_eval,
    ),
    Format(
        "human_eval_tasks", "What open-instruct's human evaluation asks about: completions that nobody compared.",
        ("prompt", "completions"), _are_tasks,
        refusal="It holds the answers that people are to compare, and no preference yet. Import what the evaluation "
        "wrote: its database (evaluation.db), or its table saved as CSV.",
    ),
    Format(
        "trl_stepwise", "TRL stepwise: an answer in steps is good when every step is; rows of one prompt are ranked.",
        ("prompt", "completions", "labels"), has("prompt", "completions", "labels"), answers.read_by(answers.stepwise),
        gather=answers.gathered_by(answers.stepwise),
    ),
    Format(
        "trl_unpaired", "TRL unpaired: one answer, good or bad; rows of one prompt are ranked, the good ones first.",
        ("prompt", "completion", "label"), _is_unpaired, answers.read_by(answers.unpaired),
        gather=answers.gathered_by(answers.unpaired),
    ),
    Format(
        "kto", "LLaMA-Factory KTO: a conversation whose last turn is good or bad; rows of one prompt are ranked.",
        ("messages", "kto_tag", "system?"), _is_kto, answers.read_by(answers.kto),
        gather=answers.gathered_by(answers.kto),
    ),
    Format(
        "verl_rollouts", "verl's rollouts: outputs of one input are ranked by their score.",
        ("input", "output", "score", "step", "gts?"), has("input", "output", "score", "step"),
        answers.read_by(answers.rollout), gather=answers.gathered_by(answers.rollout),
    ),
    Format(
        "rl_teacher", "rl-teacher's comparisons of two video clips.",
        ("media_url_1", "media_url_2", "response"), has("media_url_1", "media_url_2"),
        refusal="It compares video clips (media_url_1 and media_url_2) and holds no text, from which alone a language "
        "model learns, so nothing in it can be used here.",
    ),
    Format(
        "rlhf_blender", "RLHF-Blender's feedback on what an agent did.",
        ("feedback_id", "feedback_type", "targets", "content"), has("feedback_id", "feedback_type", "targets"),
        refusal="It judges what an agent did in an environment (targets) and holds no text, from which alone a "
        "language model learns, so nothing in it can be used here.",
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
