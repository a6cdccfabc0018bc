"""What the database holds, as frozen records, their form on disk, and the rules that each must keep."""

from __future__ import annotations

import json
import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import BadInput, BadName, BadNumber, BadRanking, BadText, EmptyPrompt, NoRows, PromptTooLong

PROMPT_CHARACTERS = 20_000
ANSWER_CHARACTERS = 200_000
NOTE_CHARACTERS = 10_000
NAME_CHARACTERS = 64
KEY_CHARACTERS = 200
# What is shown a second time, to see whether a person agrees with themselves, teaches nothing anew.
REPEAT = "repeat"
POOLS = ("rank", "duel", "import", REPEAT)
SIMULATED = "simulated:"

Order = tuple[tuple[int, ...], ...]
Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One answer that was shown, and where it came from; `ids` are its tokens, where they are known."""

    text: str
    policy: str
    step: int = 0
    ids: tuple[int, ...] = ()
    ended: bool = True
    seed: int = 0
    temperature: float = 1.0
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidates for one prompt. `turns` are (role, text) where the prompt is more than one message of a user."""

    id: str
    prompt_id: str
    prompt: str
    candidates: tuple[Candidate, ...]
    at: float
    pool: str
    turns: Turns = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """One judgement: `order` holds groups of indices into the candidates, best first; () is a skip."""

    seq: int
    key: str
    comparison: Comparison
    order: Order
    shown: tuple[int, ...]
    rater: str
    seconds: float
    note: str
    tags: tuple[str, ...]
    guess: tuple[float, ...] | None
    at: float
    withdrawn_at: float | None
    excluded: bool

    @property
    def simulated(self) -> bool:
        return self.rater.startswith(SIMULATED)


def readable(asked: str | Sequence[Mapping[str, str]]) -> str:
    """A prompt as people read it: what a lone user says, or every turn of a conversation under its role."""
    if isinstance(asked, str):
        return asked
    if len(asked) == 1 and asked[0]["role"] == "user":
        return asked[0]["content"]
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in asked)


def clean(text: str, what: str, limit: int = NOTE_CHARACTERS) -> str:
    """The text without NUL; raises BadText for half of a surrogate pair or more characters than the limit."""
    if not isinstance(text, str):
        raise BadText(f"{what} is {type(text).__name__}, not text.")
    text = text.replace("\0", "")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise BadText(
            f"{what} holds half of a surrogate pair at character {problem.start + 1}, which is no valid Unicode "
            "and could not be read back. Remove that character."
        ) from None
    if len(text) > limit:
        raise BadText(f"{what} has {len(text):,} characters; the limit is {limit:,}. Shorten it.")
    return text


def checked_prompt(text: str) -> str:
    if isinstance(text, str) and len(text) > PROMPT_CHARACTERS:
        raise PromptTooLong(
            f"A prompt of {len(text):,} characters; the limit is {PROMPT_CHARACTERS:,}, more than any model here can "
            "read. Shorten it."
        )
    text = clean(text, "The prompt", PROMPT_CHARACTERS)
    if not text.strip() or not any(letter.isprintable() and not letter.isspace() for letter in text):
        raise EmptyPrompt("The prompt is empty, so there is nothing to answer. Write at least one word.")
    return text


def checked_rater(name: str) -> str:
    name = clean(name, "The name", KEY_CHARACTERS).strip()
    if not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
        raise BadName(
            f"A rater's name has 1 to {NAME_CHARACTERS} visible characters, but {name[:NAME_CHARACTERS]!r} has "
            f"{len(name)}. It stands beside every ranking, so choose another."
        )
    return name


def checked_key(key: str) -> str:
    key = clean(key, "The key", KEY_CHARACTERS)
    if not key:
        raise BadInput("A save without a key could be stored twice, so it was not stored. Send a new random key.")
    return key


def as_order(order: Iterable[Iterable[int]]) -> Order:
    """Groups of whole numbers as tuples; raises BadRanking for any other shape."""
    try:
        groups = tuple(tuple(group) for group in order)
    except TypeError:
        raise BadRanking(f"An order is a list of groups of numbers, best group first; this is {order!r:.80}.") from None
    if any(type(index) is not int for group in groups for index in group):
        raise BadRanking(f"The order {groups!r:.80} holds something that is not a whole number.")
    return groups


def checked_order(groups: Order, count: int) -> Order:
    """The order itself, once it is empty (a skip) or names each of `count` candidates exactly once."""
    if groups and (not all(groups) or sorted(index for group in groups for index in group) != list(range(count))):
        raise BadRanking(
            f"The order {[list(group) for group in groups]!r:.120} does not name each of the {count} candidates "
            f"exactly once (0 to {count - 1}), so it was not saved. Place every answer, or skip this prompt."
        )
    return groups


def checked_shown(shown: Iterable[int], count: int) -> tuple[int, ...]:
    shown = tuple(shown)
    if shown and (any(type(place) is not int for place in shown) or sorted(shown) != list(range(count))):
        raise BadRanking(f"The display order {shown!r:.80} is no arrangement of the {count} candidates.")
    return shown


def finite(value: float, what: str, low: float = -math.inf) -> float:
    """The value as SQLite gives it back: a float, and zero without a sign; raises BadNumber for any other."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= sys.float_info.max or value < low:
        least = f" of at least {low:g}" if low > -math.inf else ""
        raise BadNumber(f"{what} is {value!r:.40}, not a finite number{least}.")
    return float(value) + 0.0


def checked_guess(guess: Iterable[float] | None, count: int) -> tuple[float, ...] | None:
    if guess is None:
        return None
    scores = tuple(finite(score, "A guessed score") for score in guess)
    if len(scores) != count:
        raise BadNumber(f"{len(scores)} guessed scores for {count} candidates; there must be one for each.")
    return scores


def pairs_in(order: Order) -> int:
    """How many (better, worse) pairs an order gives; ties give none."""
    total = better = 0
    for group in order:
        total += better * len(group)
        better += len(group)
    return total


def pack(candidates: Sequence[Candidate]) -> tuple[str, bytes]:
    """The candidates as JSON, and beside it their token ids, four bytes each: most of what there is to read."""
    if not candidates:
        raise NoRows("There are no candidates, so there is nothing to compare. Ask for at least one answer.")
    ids = array("i")
    rows = []
    for each in candidates:
        text = clean(each.text, "An answer", ANSWER_CHARACTERS)
        policy = clean(each.policy, "A policy's name", KEY_CHARACTERS)
        score = None if each.score is None else finite(each.score, "A score")
        temperature = finite(each.temperature, "The temperature", 0.0)
        rows.append([text, policy, int(each.step), bool(each.ended), int(each.seed), temperature, score, len(each.ids)])
        ids.extend(_token_ids(each.ids))
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")), _little(ids).tobytes()


def unpack(rows: str, ids: bytes | None) -> tuple[Candidate, ...]:
    """The candidates again; without token ids where those were not read."""
    numbers = array("i")
    numbers.frombytes(ids or b"")
    flat, at, found = tuple(_little(numbers)), 0, []
    for text, policy, step, ended, seed, temperature, score, length in json.loads(rows):
        found.append(Candidate(text, policy, step, flat[at : at + length], ended, seed, temperature, score))
        at += length
    return tuple(found)


def _token_ids(ids: Iterable[int]) -> list[int]:
    ids = [int(each) for each in ids]
    if any(not 0 <= each < 1 << 31 for each in ids):
        raise BadNumber("A token id is negative or over 2,147,483,647, so no tokenizer can have made it.")
    return ids


def _little(numbers: array) -> array:
    """Little-endian on disk, whatever the machine, so that a workspace can be carried to another."""
    if array("H", [1]).tobytes() != b"\1\0":
        numbers.byteswap()
    return numbers
