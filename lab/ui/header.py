"""The strip over all tabs: what the model process does, and the one next step for a newcomer."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lab.ui.looked_at import banner
from lab.ui.naming import without_folder
from lab.ui.office import Office, checked_name
from lab.ui.roles import RATER, marked
from lab.ui.state import AGE, snapshot
from lab.ui.theme import STATIC

TEMPLATE = """
<header class="lab-head">
  <div class="lab-brand"><b>RLHF Lab</b><span>rank answers, teach a reward model, tune with PPO</span></div>
  <div class="lab-right">
    <div class="lab-worker" role="status" aria-live="polite"><i></i><span>Starting</span>
      <button type="button" class="lab-plain" hidden>Start it again</button></div>
    <span class="lab-guest">Guest: the host starts and stops runs</span>
    <form class="lab-name"><label>Ranking as <input type="text" maxlength="64" autocomplete="off"></label></form>
  </div>
</header>
<p class="lab-fault" role="alert" hidden></p>
<div class="lab-next" hidden><span></span><button type="button" class="lab-go"></button></div>
"""


class Header(gr.HTML):
    """Its script asks /lab/state about once a second, less often while the tab is hidden."""

    def __init__(self, banner: str, **more: Any) -> None:
        script = (STATIC / "header.js").read_text(encoding="utf-8")
        super().__init__("", html_template=TEMPLATE + banner, js_on_load=script, apply_default_css=False, **more)


def header(office: Office) -> None:
    def restart(_: dict[str, Any], __: str) -> dict[str, Any]:
        office.worker.restart()
        return {"ok": True}

    office.action("state", lambda body, rater: seen_by(office, body["host"], rater))
    office.action("restart", restart)
    office.action("name", lambda body, _: name(office, body))
    Header(banner(office.workspace.barred), elem_id="header")


def name(office: Office, body: dict[str, Any]) -> dict[str, str]:
    """A name that somebody may rank under, and the cookie that keeps it."""
    found = checked_name(str(body.get("name", "")), bool(body["host"]))
    return {"name": found, "cookie": marked(RATER, office.mark)}


def seen_by(office: Office, host: bool, rater: str) -> dict[str, Any]:
    """How the work stands; a guest is led to ranking and not to what only the host may start, or mend, and sees none of
    the host's folders."""
    state = {**snapshot(office), "rater": rater, "host": host}
    if host:
        return state
    return state | {
        "next": None if (state["next"] or {}).get("start") else state["next"],
        "fault": "",
        "sentence": office.remembered("sentence", AGE, lambda: office.worker.sentence(whole=False)),
        "base": without_folder(state["base"]) if state["base"] else None,
    }
