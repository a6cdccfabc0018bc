"""The Model page: what is being tuned, whether another base would fit, and a chat with any policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from html import escape, unescape
from typing import Any

import gradio as gr

from lab.config import PRECISIONS, Sft
from lab.errors import BadInput, Busy, LabError
from lab.store.records import PROMPT_CHARACTERS
from lab.ui.naming import run_called
from lab.ui.notes import lead, told
from lab.ui.office import Office
from lab.ui.policies import offered
from lab.ui.theme import STATIC

EMBEDDED = "tiny"
KNOWN = (
    EMBEDDED,
    "small",
    "Qwen/Qwen2.5-0.5B-Instruct",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "Qwen/Qwen2.5-1.5B-Instruct",
)
# In the world of the built-in model, which knows no other; any larger one can answer them too.
SUGGESTIONS = (
    "How do I make pancakes?",
    "Plan a quiz night for old friends on a rainy day.",
    "Which is faster, a horse or a snail?",
    "Tell me a story about a fox and a lantern.",
)
CHARACTERS, TOKENS = 300, 160
Turns = list[dict[str, Any]]


def page(office: Office) -> None:
    office.action("model-load", lambda body, rater: load(office, body))
    office.action("model-foretell", lambda body, rater: foretell(office, body))
    lead(
        "What is being tuned?",
        "The built-in model is ready at once and needs no network. Any other one can take its place.",
    )
    with gr.Row(elem_classes="model-columns"):
        with gr.Column(scale=2, min_width=320):
            Base(elem_id="base")
        with gr.Column(scale=3, min_width=340, elem_classes="needs-model"):
            chat(office)


class Base(gr.HTML):
    """The facts of the base that is loaded, the form for another one, and what it would need."""

    def __init__(self, **more: Any) -> None:
        rank = next(each for each in fields(Sft) if each.name == "rank")
        super().__init__(
            "",
            html_template=(STATIC / "model.html").read_text(encoding="utf-8"),
            js_on_load=(STATIC / "model.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            known=list(KNOWN),
            precisions=list(PRECISIONS),
            rank={"value": rank.default, "high": rank.metadata["high"]},
            **more,
        )


def load(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Another base for this workspace; the worker starts anew with it."""
    name = base_name(body.get("base"))
    busy = (office.workspace.worker() or {}).get("busy")
    if busy:
        raise Busy(f"{run_called(office.workspace, busy)} is being trained. Stop it first, then load another model.")
    _look_at(office, name, precision(body))
    office.workspace.set_base({"base": name, "precision": precision(body), "fit": body.get("fit") is True})
    office.worker.restart()
    return {"base": name}


def _look_at(office: Office, name: str, kept: str) -> None:
    """Raises what the worker says of a base that it cannot find, while another one is still loaded."""
    if (office.workspace.worker() or {}).get("ready"):
        office.wait(office.ask("foretell", {"base": name, "precision": kept, "rank": 1, "fit": False}), timeout=60)


def foretell(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """What the worker expects a base to need, role by role."""
    rank = body.get("rank")
    if type(rank) is not int or not 1 <= rank <= 512:
        raise BadInput("The LoRA rank is a whole number from 1 to 512.")
    asked = {"base": base_name(body.get("base")), "precision": precision(body), "rank": rank}
    asked["fit"] = body.get("fit") is True
    answer = office.wait(office.ask("foretell", asked), timeout=60)
    return {key: value for key, value in answer.items() if key not in ("id", "at", "done")}


def precision(body: dict[str, Any]) -> str:
    found = body.get("precision") or PRECISIONS[0]
    if found not in PRECISIONS:
        raise BadInput(f"The weights are kept in one of {', '.join(PRECISIONS)}.")
    return str(found)


def base_name(value: object) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not 0 < len(name) <= CHARACTERS or not name.isprintable():
        raise BadInput("Name a model: tiny, small, a Hugging Face id such as Qwen/Qwen2.5-0.5B-Instruct, or a folder.")
    return name


def chat(office: Office) -> None:
    """A conversation with one policy; only the browser keeps it."""
    with gr.Row(equal_height=True):
        policy = gr.Dropdown(choices(office), value="sft", label="Chat with", interactive=True, elem_id="chat-policy")
        heat = gr.Slider(
            0.05, 2, 0.8, step=0.05, label="Temperature", info="How varied the answers are", interactive=True
        )
    talk = gr.Chatbot(
        height=380,
        show_label=False,
        render_markdown=False,
        feedback_options=None,
        buttons=[],
        placeholder="Ask something, or take one of these.",
        examples=[{"text": text} for text in SUGGESTIONS],
        elem_id="chat",
    )
    with gr.Row():
        words = gr.Textbox(
            label="Message",
            placeholder="Write to the model",
            show_label=False,
            container=False,
            scale=5,
            max_length=PROMPT_CHARACTERS,
            elem_id="chat-words",
        )
        send = gr.Button("Send", variant="primary", scale=0, min_width=100)

    refused = gr.State("")

    def ask(said: str, turns: Turns) -> tuple[str, Turns]:
        return "", [*turns, shown("user", said.strip())]

    def take(turns: Turns, picked: gr.SelectData) -> Turns:
        return [*turns, shown("user", picked.value["text"])]

    @told(office)
    def answer(turns: Turns, name: str, temperature: float, request: gr.Request) -> Iterator[tuple[Turns, str]]:
        try:
            for grown in reply(office, turns, name, temperature, office.guest(request)):
                yield grown, ""
        except LabError:
            # Else what was refused would be said again with every later message.
            yield turns[:-1], plain(turns[-1]["content"]) if turns else ""
            raise

    def give_back(before: str, now: str) -> tuple[str, str]:
        """What was refused goes back into the field, unless the next message is being written there."""
        return now or before, ""

    private = {"api_visibility": "private", "show_progress": "hidden"}
    streamed = {**private, "concurrency_id": "chat", "concurrency_limit": 4}
    begun = [begin(ask, [words, talk], [words, talk], queue=False, **private) for begin in (words.submit, send.click)]
    for each in (*begun, talk.example_select(take, talk, talk, queue=False, **private)):
        answered = each.then(answer, [talk, policy, heat], [talk, refused], **streamed)
        answered.then(give_back, [refused, words], [words, refused], queue=False, **private)
    policy.focus(lambda: gr.update(choices=choices(office)), None, policy, queue=False, **private)
    # When the page opens, with the value: the field else shows the name that this had when the app started.
    gr.on(None, lambda: gr.update(choices=choices(office), value="sft"), None, policy, queue=False, **private)


def reply(office: Office, turns: Turns, policy: str, temperature: float, guest: str = "") -> Iterator[Turns]:
    """The conversation with the model's answer growing at its end."""
    said = [{"role": turn["role"], "content": plain(turn["content"])} for turn in turns]
    request = office.chat(policy, said, guest, temperature=float(temperature), tokens=TOKENS)
    for found in office.follow(request):
        yield [*turns, shown("assistant", found.get("text") or "…")]


def shown(role: str, text: str) -> dict[str, str]:
    """A message for the Chatbot, which takes markup for markup even where it renders no Markdown."""
    return {"role": role, "content": escape(text, quote=False)}


def plain(content: Any) -> str:
    """A message's text as it was written; Gradio hands it back as a list of parts."""
    parts = (
        [content] if isinstance(content, str) else [part.get("text", "") for part in content if isinstance(part, dict)]
    )
    return unescape("".join(parts))


def choices(office: Office) -> list[tuple[str, str]]:
    return [(each["label"], each["value"]) for each in offered(office)]
