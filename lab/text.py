"""Text to token ids and back: one template and one set of stop tokens for every stage."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jinja2 import TemplateError

from lab.errors import BadInput, BadText, EmptyPrompt, ModelIncomplete, NoEndToken, PromptTooLong, Unsupported
from lab.stem import Stem
from lab.store.records import readable

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% else %}\n\n{% endif %}{% endfor %}"
)
# A template with a switch for thinking aloud (Qwen 3, Kimi K2.5) would have it on, and no short answer would end.
QUIET = MappingProxyType({"enable_thinking": False, "thinking": False})
OPENED = re.compile(r"([<\[])((?:\w+:)?(?:think|thinking|thoughts?|reasoning))([>\]])\s*\Z", re.IGNORECASE)
Prompt = str | Sequence[Mapping[str, str]]


class Asked(NamedTuple):
    """A prompt as people read it, and its ids, those of its turns, up to where the response begins."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A tokenizer with its template, its stop tokens, the one that ends an answer first, and the context length.

    `lead`: what stands between a question and its answer, in words; `start`: what the template ends a prompt with, and
    what stands there instead, so that an answer begins and no thought; `rows` of the table of embeddings.
    """

    tokenizer: Any
    eos_ids: tuple[int, ...]
    pad_id: int
    context: int
    rows: int
    lead: str = ""
    start: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, tokenizer: Any, config: Any, generation_config: Any = None) -> Text:
        """The text rules of a loaded model; NoEndToken when nothing can end an answer, ModelIncomplete where the
        tokenizer has more tokens than the model, Unsupported where an answer could begin with nothing but a thought.

        All stop ids count (Qwen and Llama 3 have several); first comes the one by which the template ends an answer
        (Gemma's and Phi 3's is not the tokenizer's end token). A tokenizer without a pad token, or whose pad is its end
        token or beyond the model's table, pads with another id: pads are only ever found by masks, so which one does
        not matter.
        """
        if tokenizer.eos_token_id is None:
            raise NoEndToken(
                "This model's tokenizer has no end token, so an answer could never end and could not be scored. "
                "Choose a model whose tokenizer_config.json names an eos_token."
            )
        if not tokenizer.chat_template:
            tokenizer.chat_template = _beginning_token(tokenizer) + PLAIN_TEMPLATE
        more = getattr(generation_config, "eos_token_id", None) or ()
        between, behind = _around_answer(tokenizer)
        ids = (*_ending(tokenizer, behind), tokenizer.eos_token_id, *((more,) if isinstance(more, int) else more))
        config = config.get_text_config()
        _check_table(tokenizer, config.vocab_size)
        pad = tokenizer.pad_token_id
        if pad is None or pad in ids or pad >= config.vocab_size:
            pad = next(i for i in range(config.vocab_size) if i not in ids)
        context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", 1024)
        lead = _lead(tokenizer)
        start = _start(tokenizer, lead, between)
        return cls(tokenizer, tuple(dict.fromkeys(ids)), pad, context, config.vocab_size, _begun(lead, start), start)

    def prompt_ids(self, prompt: Prompt, room: int = 1) -> list[int]:
        """The ids of a prompt, up to where the response begins, leaving `room` tokens of the context for it.

        Raises EmptyPrompt, PromptTooLong, BadText, and BadInput for a token that the model has no row for.
        """
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
        if not any(message["content"].strip() for message in messages):
            raise EmptyPrompt("The prompt is empty, so there is nothing to answer. Write at least one word.")
        ids = self._ids(_begun(_rendered(self.tokenizer, messages), self.start))
        if len(ids) + room > self.context:
            advice = "Shorten the prompt." if len(ids) > room else "Shorten the answer, or allow fewer tokens for it."
            raise PromptTooLong(
                f"The prompt {_beginning(messages)} has {len(ids)} tokens and the answer needs room for {room}, but "
                f"this model reads {self.context} in all. {advice}"
            )
        return ids

    def asked(self, prompts: Sequence[Prompt], room: int = 1) -> list[Asked]:
        """Prompts with their ids."""
        return [Asked(readable(prompt), tuple(self.prompt_ids(prompt, room))) for prompt in prompts]

    def response_ids(self, response: str, ended: bool = True) -> list[int]:
        """The ids of a response as they stand behind a prompt, closed by the end token if it ended.

        A tokenizer may cut a text that stands alone otherwise than one that goes on (Llama's put a space before it).
        Raises BadInput as `prompt_ids` does.
        """
        before, whole = self._ids(self.lead), self._ids(self.lead + response)
        ids = whole[len(before) :] if whole[: len(before)] == before else self._ids(response)
        return [*ids, self.eos_ids[0]] if ended else ids

    def _ids(self, said: str) -> list[int]:
        if not said.isascii() and any("\ud800" <= letter <= "\udfff" for letter in said):
            raise BadText("The text has half of a surrogate pair, which is not valid Unicode. Delete that character.")
        ids = self.tokenizer(said, add_special_tokens=False, verbose=False)["input_ids"]
        strange = next((i for i in ids if i >= self.rows), None)
        if strange is not None:
            token = self.tokenizer.convert_ids_to_tokens(strange)
            raise BadInput(f"This model has never seen the special token {token}. Write the text without it.")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """A response in words, without its stop token or pads."""
        return self.tokenizer.decode([i for i in ids if i not in self.eos_ids], skip_special_tokens=True)


def _beginning_token(tokenizer: Any) -> str:
    """The token that the tokenizer itself puts before a text, in a template: Gemma and Llama were trained behind it."""
    first = tokenizer("a", verbose=False)["input_ids"][:1]
    return "{{ bos_token }}" if tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id] else ""


_ASKED, _ANSWERED = "lab-question", "lab-answer"


def _lead(tokenizer: Any) -> str:
    """What the template puts behind a question that is to be answered; '' where it does not show the question."""
    _, found, behind = _rendered(tokenizer, [{"role": "user", "content": _ASKED}]).rpartition(_ASKED)
    return behind if found else ""


def _around_answer(tokenizer: Any) -> tuple[str, str]:
    """What the template puts between a question and an answer, and behind that; '' where it shows no such turns."""
    turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _ANSWERED}]
    try:
        said = tokenizer.apply_chat_template(turns, tokenize=False, **QUIET)
    except TemplateError:
        return "", ""
    front, found, behind = said.rpartition(_ANSWERED)
    between = front.rpartition(_ASKED)
    return between[2] if between[1] else "", behind if found else ""


def _start(tokenizer: Any, lead: str, between: str) -> tuple[str, str]:
    """What the template ends a prompt with, and what has to stand there so that an answer begins.

    Where the template writes something more before its own answers (the channel of gpt-oss's), that; and a thought that
    it opens (DeepSeek-R1's) is closed at once. Raises Unsupported where nothing is known to close it.
    """
    shared = len(commonprefix([lead, between]))
    if between[shared:].strip():
        return lead[shared:], between[shared:].rstrip(" ")
    thought = OPENED.search(lead)
    if not thought:
        return "", ""
    opened, (bracket, name, end) = thought[0].rstrip(), thought.groups()
    closing = f"{bracket}/{name}{end}"
    if closing not in tokenizer.chat_template and closing not in tokenizer.get_vocab():
        raise Unsupported(
            f"This model's chat template begins every answer inside a thought, {opened}, and neither it nor the "
            f"tokenizer knows {closing}: the model thinks aloud, and a short answer would be a thought and no answer. "
            f"Choose another base, or take {opened} out of its chat template."
        )
    return thought[0], f"{opened}\n\n{closing}\n\n"


def _begun(prompt: str, start: tuple[str, str]) -> str:
    """The prompt with its end replaced, up to where an answer begins."""
    end, instead = start
    return prompt.removesuffix(end) + instead if prompt.endswith(end) else prompt


def _ending(tokenizer: Any, behind: str) -> tuple[int, ...]:
    """The special token that the template puts behind an answer; none where it puts none."""
    ids = tokenizer(behind, add_special_tokens=False, verbose=False)["input_ids"]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return tuple(i for i in ids if i in special)[:1]


def _check_table(tokenizer: Any, rows: int) -> None:
    """ModelIncomplete where a token that texts are made of has no row in the model's table of embeddings.

    Special tokens that nothing asks for may: Gemma 3 keeps one for images beyond the table of its text models.
    """
    known = tokenizer.get_vocab()
    if max(known.values()) < rows:
        return
    spare = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special} - {tokenizer.eos_token}
    spare = {token for token in spare if token not in tokenizer.chat_template}
    lost = [token for token, i in known.items() if i >= rows and token not in spare]
    if lost:
        first = min(lost, key=known.__getitem__)
        raise ModelIncomplete(
            f"The tokenizer has {len(lost)} tokens, {first!r} among them, beyond the {rows} that the model knows. One "
            "of the two belongs to another model: put the right tokenizer beside the weights."
        )


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The conversation in the model's template; a system message that it has no place for goes into the first question.

    Raises BadInput where the template refuses it all the same.
    """
    first, *others = messages
    tries = [messages]
    if first["role"] == "system" and others:
        tries.append([{**others[0], "content": f"{first['content']}\n\n{others[0]['content']}"}, *others[1:]])
    for said in tries:
        try:
            return tokenizer.apply_chat_template(said, add_generation_prompt=True, tokenize=False, **QUIET)
        except TemplateError as problem:
            refusal = problem
    raise BadInput(
        f"This model's chat template does not take the conversation {_beginning(messages)}: {refusal}. Leave it out, "
        "or choose another base."
    ) from refusal


def _beginning(messages: Sequence[dict[str, str]]) -> str:
    said = " ".join(messages[-1]["content"].split())
    return f"'{said}'" if len(said) <= 40 else f"'{said[:40]}...'"


@dataclass(frozen=True)
class Batch:
    """Prompts and responses side by side: prompts padded on the left, responses on the right.

    `ids`, `attention` [B, P+T]; `width` = P, so response token t stands at P+t and is predicted at P-1+t; `mask` [B, T]
    bool is True on response tokens, the end token included. `stem`: what roles have in common over these rows.
    """

    ids: torch.Tensor
    attention: torch.Tensor
    mask: torch.Tensor
    width: int
    stem: Stem | None = None

    @property
    def responses(self) -> torch.Tensor:
        return self.ids[:, self.width :]

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device), self.attention.to(device), self.mask.to(device), self.width)

    def rows(self, index: torch.Tensor) -> Batch:
        """Some rows, without the columns that none of them uses."""
        attention = self.attention[index]
        prompt, response = attention[:, : self.width], attention[:, self.width :]
        left = self.width - int(prompt.sum(1).max())
        right = self.width + int(response.sum(1).max())
        mask = self.mask[index, : right - self.width]
        stem = self.stem and self.stem.part(index, slice(left, right))
        return Batch(self.ids[index, left:right], attention[:, left:right], mask, self.width - left, stem)


def batch_of(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], pad: int) -> Batch:
    """A padded batch of prompt and response ids."""
    width, length = max(map(len, prompts)), max(map(len, responses))
    ids = torch.full((len(prompts), width + length), pad)
    attention = torch.zeros_like(ids)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        start, end = width - len(prompt), width + len(response)
        ids[row, start:end] = torch.tensor([*prompt, *response])
        attention[row, start:end] = 1
    return Batch(ids, attention, attention[:, width:].bool(), width)
