"""What a run works on: pairs, rankings and prompts, fixed in its data.json so that a resumed run sees the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from heapq import nlargest
from typing import Any

from lab.errors import Damaged, NoRows, PromptTooLong
from lab.events import Event, Warned
from lab.journal import read_json
from lab.reward import Ranked
from lab.store import Candidate, Ranking
from lab.store.raters import ALL, PERSON, is_meant, meant
from lab.store.records import readable
from lab.text import Prompt, Text
from lab.workspace import Run
from lab.world import corpus
from lab.world.questions import recognise

FILE = "data.json"
SFT_PAIRS, SFT_HELD_OUT, PPO_PROMPTS = 4000, 160, 512
SCALE_PROMPTS, COMPARE_SEED = 256, 7
LONGEST = 64  # texts


def kept(run: Run) -> dict[str, Any]:
    """The material of a run that goes on; Damaged when it cannot be read."""
    found = read_json(run.folder / FILE)
    if found is None:
        raise Damaged(f"{FILE} of run {run.name} cannot be read, so the run cannot go on as it began. Start a new run.")
    return found


def for_sft(text: Text, pairs: Sequence[tuple[Prompt, str]], seed: int) -> dict[str, Any]:
    """The given pairs that the model can read whole, or built-in ones where none are given; the last few are held out.

    Raises PromptTooLong when none fits; `left_out` counts those that do not.
    """
    pairs = pairs or [(pair.prompt, pair.response) for pair in corpus.pairs(SFT_PAIRS + SFT_HELD_OUT, seed)]
    found = [(asked, said) for asked, said in pairs if _fits(text, asked, len(text.response_ids(said)))]
    if not found:
        raise PromptTooLong(
            f"None of the {len(pairs)} pairs fits in the {text.context} tokens that this model reads. Give shorter "
            "ones."
        )
    held_out = min(SFT_HELD_OUT, len(found) // 10)
    cut = len(found) - held_out
    left_out = len(pairs) - len(found)
    return {"pairs": found[:cut], "held_out": found[cut:], "pinned": pinned(text), "left_out": left_out}


def pinned(text: Text, given: Sequence[str] = ()) -> list[str]:
    """Prompts whose answers are watched, as far as they fit: the given ones, else built-in ones of no training text."""
    chosen = [str(each) for each in given][:5] or corpus.prompts(3, 0, held_out=True)
    return [prompt for prompt in chosen if _fits(text, prompt)]


def _fits(text: Text, prompt: Prompt, room: int = 1) -> bool:
    try:
        text.prompt_ids(prompt, room)
    except PromptTooLong:
        return False
    return True


def for_reward(
    text: Text, rankings: Sequence[Ranking], raters: str, longest: int, half: str = ALL, room: int = 1
) -> dict[str, Any]:
    """Rankings of the wanted raters as token ids, and prompts for the scale, each with `room` for a response.

    Those of simulated raters never mix with a person's unless asked.

    half: all, or only the first or the second half of the prompts. Prompts that are longer than the model reads are cut
    at their beginning, responses at their end; `cut` counts the rankings.
    """
    chosen = [each for each in rankings if each.order and not each.excluded and is_meant(each.rater, raters)]
    if not chosen:
        raise NoRows(
            f"There are no rankings by {_named(raters)} to learn from; this workspace has {len(rankings)} in all. "
            "Rank some prompts on the Rank page, or import some: python -m lab import FILE"
        )
    part = [each for each in chosen if half in (ALL, half_of(each))]
    if not part:
        raise NoRows(
            f"None of the {len(chosen)} rankings by {_named(raters)} is of a prompt in the {half} half. Rank about ten "
            "more prompts, of which half will be, or learn from all rankings."
        )
    found, cut = [], 0
    for each in part:
        row, shortened = _ranked(text, each, longest)
        found.append(row)
        cut += shortened
    prompts = _for_scale(text, part, room)
    return {"rankings": found, "prompts": prompts, "cut": cut, "raters": raters, "newest": chosen[-1].seq}


def _for_scale(text: Text, rankings: Sequence[Ranking], room: int) -> list[Prompt]:
    """Prompts whose answers have a score of 0 on the mean: built-in ones while most that were ranked are such, else the
    ranked ones themselves, since what a reward model says of another kind of question is no measure for them."""
    foreign = [each for each in rankings if each.comparison.turns or recognise(each.comparison.prompt) is None]
    if 2 * len(foreign) > len(rankings):
        if found := [prompt for prompt in _once(foreign) if _fits(text, prompt, room)]:
            return found[:SCALE_PROMPTS]
    return corpus.prompts(SCALE_PROMPTS, 11)


def half_of(each: Ranking) -> str:
    """first or second: fixed by the prompt's own words, so it stays the same whatever else is ranked.

    Two reward models, one on each half, have no prompt in common, so the one can judge what PPO made of the other. A
    conversation goes where its first question goes.
    """
    return ("first", "second")[sha256(f"half {opening(each)}".encode()).digest()[0] % 2]


def opening(each: Ranking) -> str:
    """The first question of a ranking's conversation, however it is spelled: what it has in common with others."""
    said = (content for role, content in each.comparison.turns if role == "user")
    return " ".join(next(said, each.comparison.prompt).casefold().split())


def _named(raters: str) -> str:
    return {PERSON: "a person", ALL: "anybody"}.get(raters, raters)


def raters_of(rankings: Sequence[Ranking], asked: str) -> str:
    """Whose rankings are meant, by those that can be learned from."""
    return meant({each.rater for each in rankings if each.order and not each.excluded}, asked)


def _ranked(text: Text, each: Ranking, longest: int) -> tuple[list[Any], bool]:
    room = min(longest, text.context)
    answers, cut = [], False
    for candidate in each.comparison.candidates:
        ids = _ids_of(text, candidate)
        cut |= len(ids) > room // 2
        answers.append(ids[: room // 2])
    ids, shortened = fitted(text, messages_of(each), room - max(map(len, answers)))
    return [ids, answers, each.order, each.rater, each.seq, opening(each)], cut or shortened


def _ids_of(text: Text, candidate: Candidate) -> list[int]:
    """The ids that were sampled, if they say the same here: a file or another base may bring those of another model."""
    ids = list(candidate.ids)
    if ids and max(ids) < len(text.tokenizer) and text.decode(ids) == candidate.text:
        return ids
    return text.response_ids(candidate.text, candidate.ended)


def messages_of(each: Ranking) -> Prompt:
    """The prompt, as one message or as the turns of a conversation."""
    turns = each.comparison.turns
    return [{"role": role, "content": said} for role, said in turns] if turns else each.comparison.prompt


def asked_in(text: Text, rankings: Sequence[Ranking], room: int) -> tuple[list[Prompt], int]:
    """Every prompt that was ranked, once, conversations as turns, as the reward model reads them; and how many are left
    out because they leave no `room` for a response. PromptTooLong where those are all."""
    ranked = _once(rankings)
    found = [prompt for prompt in ranked if _fits(text, prompt, room)]
    if ranked and not found:
        raise PromptTooLong(
            f"None of the {len(ranked)} ranked prompts leaves room for a response of {room} tokens in the "
            f"{text.context} that this model reads. Shorten the longest response, or practise on the built-in prompts."
        )
    return found, len(ranked) - len(found)


def _once(rankings: Sequence[Ranking]) -> list[Prompt]:
    """The prompt of each, whatever was ranked of it how often."""
    return list({(each.comparison.prompt, each.comparison.turns): messages_of(each) for each in rankings}.values())


def fitted(text: Text, prompt: Prompt, room: int) -> tuple[list[int], bool]:
    """Prompt ids in at most `room` tokens, and whether its beginning had to go: whole turns first, then characters."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(each) for each in prompt]
    cut = False
    while True:
        try:
            return text.prompt_ids(messages, room=text.context - room), cut
        except PromptTooLong:
            cut = True
            if len(messages) > 1:
                later = [place for place, each in enumerate(messages) if place and each["role"] == "user"]
                messages = messages[later[0] if later else -1 :]
            else:
                said = messages[0]["content"]
                messages[0]["content"] = said[max(1, len(said) // 4) :]


def lengths(text: Text, material: dict[str, Any]) -> dict[str, int]:
    """The knobs of memory that the material decides: tokens of the longest prompt and answer, answers of a ranking.

    Of pairs and prompts, which are text, those with the most characters are turned into tokens: a micro-batch is made
    of pairs of alike length.
    """
    if "rankings" in material:
        prompts, answers = zip(*(row[:2] for row in material["rankings"]), strict=True)
        read = max(len(ids) for each in answers for ids in each)
        return {"prompt": max(map(len, prompts)), "read": read, "answers": max(map(len, answers))}
    if "pairs" in material:
        pairs = nlargest(LONGEST, material["pairs"], key=lambda pair: len(readable(pair[0])) + len(pair[1]))
        read = max(len(text.response_ids(answer)) for _, answer in pairs)
        return {"prompt": max(len(text.prompt_ids(prompt)) for prompt, _ in pairs), "read": read}
    prompts = nlargest(LONGEST, material["prompts"], key=lambda prompt: len(readable(prompt)))
    return {"prompt": max(len(text.prompt_ids(prompt)) for prompt in prompts)}


def rankings_in(material: dict[str, Any]) -> list[Ranked]:
    """The reward stage's rankings. Those of a run that an older lab began do not say what they are about."""
    return [
        Ranked(tuple(prompt), tuple(map(tuple, answers)), tuple(map(tuple, order)), *more)
        for prompt, answers, order, *more in material["rankings"]
    ]


def for_ppo(inputs: dict[str, Any], ranked: Sequence[Prompt], seed: int) -> dict[str, Any]:
    """Prompts to roll out and prompts to show again and again. `prompts`: built-in, ranked (by people) or a list."""
    wanted = inputs.get("prompts") or "built-in"
    if isinstance(wanted, list):
        prompts = [str(prompt) for prompt in wanted]
    elif wanted == "ranked":
        prompts = list(ranked)
    else:
        prompts = corpus.prompts(PPO_PROMPTS, seed)
    if not prompts:
        raise NoRows(
            "There is no prompt to answer, so there is nothing to roll out. Give some, or use the built-in ones."
        )
    pinned = [str(prompt) for prompt in inputs.get("pinned") or corpus.prompts(3, 1, held_out=True)][:5]
    return {"prompts": prompts, "pinned": pinned}


def for_compare(inputs: dict[str, Any], count: int, seed: int) -> dict[str, Any]:
    """Prompts that nothing was trained on, or the given ones."""
    given = inputs.get("prompts")
    prompts = given if isinstance(given, list) else corpus.prompts(count, COMPARE_SEED + seed, held_out=True)
    return {"prompts": [str(prompt) for prompt in prompts][:count]}


def cut_warning(found: dict[str, Any], longest: int, context: int) -> Iterator[Event]:
    """How many rankings were cut to `longest` tokens, where any was, and what to do about it."""
    if not found["cut"]:
        return
    text = (
        f"{found['cut']} of {len(found['rankings'])} rankings did not fit in {min(longest, context)} tokens, of which "
        "an answer gets at most half, and were cut."
    )
    if longest < context:
        yield Warned(0, "W_CUT", text, "Raise the length that the reward model reads, if memory allows.")
    else:
        yield Warned(0, "W_TOO_LONG", text, "This model reads no more. Choose a base that does, or leave it at that.")


def left_out_warning(found: dict[str, Any]) -> Iterator[Event]:
    """How many pairs or ranked prompts were left out because the model does not read so much, where any was."""
    if not found.get("left_out"):
        return
    if "pairs" in found:
        kept, way_out = len(found["pairs"]) + len(found["held_out"]), "Shorten them"
        what = "pairs are longer than the model reads"
    else:
        kept, way_out = len(found["prompts"]), "Ask for shorter responses"
        what = "ranked prompts leave no room for a response in what the model reads"
    text = f"{found['left_out']} of {found['left_out'] + kept} {what} and were left out."
    yield Warned(0, "W_TOO_LONG", text, f"{way_out}, or choose a base that reads more tokens.")
