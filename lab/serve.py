"""Answers requests between two events of a run: candidates, chat, scores; answers grow line by line in served.jsonl."""

from __future__ import annotations

import logging
from bisect import bisect, bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, time
from typing import Any

from lab import reward as reward_stage
from lab.config import TEMPERATURE
from lab.errors import BadInput, BadNumber, BadText, DiskFull, LabError, PromptTooLong
from lab.generate import stream
from lab.journal import append_json
from lab.policies import Policies
from lab.text import Text

PARTIAL_SECONDS = 0.08
MOST_CANDIDATES, MOST_TOKENS, MOST_RESCORED, MOST_TURNS = 8, 512, 256, 64
# How often an answer that another one has given already is drawn anew where answers are to be ranked: two that are the
# same teach nothing. A policy that has only one thing to say is allowed to say it.
REDRAWN = 2
# Seeds between two draws, and between two of the eight policies that a request has at most: none has another's luck.
BY_DRAW, BY_POLICY = 7919, 101
Answer = Iterator[dict[str, Any]]
log = logging.getLogger("lab.serve")


class Server:
    """Knows how to answer each kind of request but runs, which are the worker's."""

    def __init__(self, policies: Policies):
        self.policies, self.path = policies, policies.workspace.served
        self.kinds: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "candidates": self._candidates,
            "chat": self._chat,
            "score": self._score,
            "rescore": self._rescore,
            "foretell": self._foretell,
        }

    def answer(self, request_id: str, kind: str, payload: dict[str, Any]) -> None:
        """Write the answer, or the refusal, of one request."""
        try:
            if kind not in self.kinds:
                raise BadInput(f"There is no request {kind!r}. Known: {', '.join(self.kinds)}, run, resume, forget.")
            for found in self.kinds[kind](payload):
                self.say(request_id, found)
        except LabError as problem:
            self.refuse(request_id, problem)

    def say(self, request_id: str, found: dict[str, Any]) -> None:
        """One line more for whoever asked; where the disk is full that is logged, and everything else goes on."""
        try:
            append_json(self.path, {"id": request_id, "at": time(), "done": False} | found)
        except DiskFull as problem:
            log.error("request %s: %s", request_id, problem)

    def refuse(self, request_id: str, problem: LabError) -> None:
        self.say(request_id, {"done": True, "error": {"code": problem.code, "message": str(problem)}})

    def _candidates(self, payload: dict[str, Any]) -> Answer:
        policies, text = self.policies, self.policies.roles.text
        names = payload.get("policies")
        if not isinstance(names, list) or not 1 <= len(names) <= MOST_CANDIDATES:
            raise BadInput(f"Candidates need 1 to {MOST_CANDIDATES} policies, one for each; got {names!r}.")
        roles = policies.roles_of([str(name) for name in names])
        tokens, temperature = _tokens(payload), _number(payload, "temperature", TEMPERATURE, 0.0, 5.0)
        prompt = text.prompt_ids(_prompt(payload), room=tokens)
        ids: list[list[int]] = [[] for _ in roles]
        finished, seed = [False] * len(roles), int(payload.get("seed") or 0)
        draws = 1 + (REDRAWN if payload.get("distinct") is True and temperature else 0)
        for draw in range(draws):
            again = twins([text.decode(each) for each in ids]) if draw else list(range(len(roles)))
            for row in again:
                ids[row], finished[row] = [], False
            said = monotonic()
            speaking = [roles[row] for row in again]
            for place, token, last in _together(policies, speaking, prompt, tokens, temperature, seed + BY_DRAW * draw):
                ids[again[place]].append(token)
                finished[again[place]] = last
                if monotonic() - said > PARTIAL_SECONDS:
                    yield self._said(ids, finished, roles)
                    said = monotonic()
        found = self._said(ids, [True] * len(roles), roles)
        yield found | {"done": True, "scores": self._guess(payload, prompt, ids), "ids": ids}

    def _said(self, ids: Sequence[Sequence[int]], finished: Sequence[bool], roles: Sequence[str]) -> dict[str, Any]:
        text = self.policies.roles.text
        return {
            "texts": [text.decode(each) for each in ids],
            "finished": list(finished),
            "ended": [bool(each) and each[-1] in text.eos_ids for each in ids],
            "policies": [self.policies.speaker(role) for role in roles],
            "steps": [self.policies.step_of(role) for role in roles],
            "scores": None,
        }

    def _guess(
        self, payload: dict[str, Any], prompt: Sequence[int], ids: Sequence[Sequence[int]]
    ) -> list[float] | None:
        """Scores by the reward model that the request names; None without one, or where it cannot be read.

        The answers are what was asked for: a reward model that is gone by now must not take them along.
        """
        if not payload.get("guess"):
            return None
        try:
            return self._scores(str(payload["guess"]), prompt, ids)
        except LabError:
            return None

    def _scores(self, reward: str, prompt: Sequence[int], ids: Sequence[Sequence[int]]) -> list[float]:
        cast = self.policies.cast(reward)
        raw = reward_stage.raw_scores(self.policies.roles, cast.reward, [prompt] * len(ids), ids)
        return [cast.scale.of(each) for each in raw.tolist()]

    def _chat(self, payload: dict[str, Any]) -> Answer:
        policies, text = self.policies, self.policies.roles.text
        messages = payload.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadInput("A chat needs at least one message. Write something.")
        tokens, temperature = _tokens(payload), _number(payload, "temperature", TEMPERATURE, 0.0, 5.0)
        turns = _turns(messages[-MOST_TURNS:])
        [role] = policies.roles_of([str(payload.get("policy") or "sft")])
        prompt, ids, said = _newest(text, turns, tokens), [], monotonic()
        for _, drawn in stream(
            policies.roles, role, [prompt], tokens=tokens, temperature=temperature, seed=_seed(payload)
        ):
            ids += drawn
            if monotonic() - said > PARTIAL_SECONDS:
                yield {"text": text.decode(ids)}
                said = monotonic()
        yield {"text": text.decode(ids), "done": True}

    def _score(self, payload: dict[str, Any]) -> Answer:
        text, responses = self.policies.roles.text, payload.get("responses")
        if not isinstance(responses, list) or not 1 <= len(responses) <= 64:
            raise BadInput("A score needs 1 to 64 responses.")
        ids = [text.response_ids(_clean(each)) for each in responses]
        prompt = text.prompt_ids(_prompt(payload), room=max(map(len, ids)))
        cast = self.policies.cast(str(payload.get("reward") or ""))
        scores = self._scores(cast.reward, prompt, ids)
        quantiles = self.policies.facts[cast.reward].get("quantiles") or []
        percentiles = [100 * bisect(quantiles, each) / len(quantiles) for each in scores] if quantiles else None
        yield {"scores": scores, "percentiles": percentiles, "reward": cast.reward, "done": True}

    def _rescore(self, payload: dict[str, Any]) -> Answer:
        """What a reward model thinks of answers to different prompts, which another one may have trained."""
        text, samples = self.policies.roles.text, payload.get("samples")
        if not isinstance(samples, list) or not 1 <= len(samples) <= MOST_RESCORED:
            raise BadInput(f"Scoring again takes 1 to {MOST_RESCORED} answers.")
        responses = [text.response_ids(_clean(response)) for _, response in samples]
        prompts = [
            text.prompt_ids(_turns(prompt) if isinstance(prompt, list) else _clean(prompt), room=len(ids))
            for (prompt, _), ids in zip(samples, responses, strict=True)
        ]
        cast = self.policies.cast(str(payload.get("reward") or ""))
        raw = reward_stage.raw_scores(self.policies.roles, cast.reward, prompts, responses)
        yield {"scores": cast.scale.of(raw).tolist(), "reward": cast.reward, "done": True}

    def _foretell(self, payload: dict[str, Any]) -> Answer:
        from lab.fit import foretell_request

        yield foretell_request(payload) | {"done": True}


def twins(texts: Sequence[str]) -> list[int]:
    """The rows that say what an earlier one says."""
    return [row for row, text in enumerate(texts) if text.strip() in {each.strip() for each in texts[:row]}]


def _together(
    policies: Policies, roles: Sequence[str], prompt: Sequence[int], tokens: int, temperature: float, seed: int
) -> Iterator[tuple[int, int, bool]]:
    """(candidate, token, whether it was its last): every policy says one token in turn, so that all grow at once."""
    rows = {role: [i for i, each in enumerate(roles) if each == role] for role in dict.fromkeys(roles)}
    speaking = {
        role: stream(
            policies.roles,
            role,
            [prompt] * len(mine),
            tokens=tokens,
            temperature=temperature,
            seed=seed + BY_POLICY * number,
        )
        for number, (role, mine) in enumerate(rows.items())
    }
    stops = frozenset(policies.roles.text.eos_ids)
    while speaking:
        for role in list(speaking):
            step = next(speaking[role], None)
            if step is None:
                del speaking[role]
                continue
            for row, token in zip(*step, strict=True):
                yield rows[role][row], token, token in stops


def _newest(text: Text, turns: Sequence[dict[str, str]], room: int) -> list[int]:
    """The ids of as much of a conversation's end as leaves room to answer: its oldest questions go first.

    Turning text into ids takes the worker's time from everybody, so the oldest question that fits is found by halving,
    among the newest MOST_TURNS turns.
    """
    oldest = max(0, len(turns) - MOST_TURNS)
    starts = [at for at in range(oldest, len(turns)) if not at or turns[at]["role"] == "user"] or [oldest]
    fitting = bisect_left(starts[:-1], True, key=lambda start: _fits(text, turns[start:], room))
    return text.prompt_ids(turns[starts[fitting] :], room=room)


def _fits(text: Text, turns: Sequence[dict[str, str]], room: int) -> bool:
    try:
        text.prompt_ids(turns, room=room)
    except PromptTooLong:
        return False
    return True


def _prompt(payload: dict[str, Any]) -> str:
    return _clean(payload.get("prompt"))


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{"role": str(each["role"]), "content": _clean(each["content"])} for each in messages]


def _clean(text: Any) -> str:
    """Text without NUL; BadText for anything else than valid Unicode."""
    if not isinstance(text, str):
        raise BadText(f"A text was expected, not {type(text).__name__}.")
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise BadText("The text has half of a surrogate pair, which is not valid Unicode. Delete that character.")
    return text.replace("\0", "")


def _tokens(payload: dict[str, Any]) -> int:
    return int(_number(payload, "tokens", 72, 1, MOST_TOKENS))


def _seed(payload: dict[str, Any]) -> int:
    return int(_number(payload, "seed", 0, 0, 2**62))


def _number(payload: dict[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = payload.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadNumber(f"{key} must be a number from {low:g} to {high:g}, not {value!r}.")
    return value
