"""Lays out the Rank page: the board, and below it the prompts of one's own."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from lab.ui import together
from lab.ui.board import Board
from lab.ui.notes import lead, told
from lab.ui.office import Office
from lab.ui.prompts import OWN, from_file
from lab.ui.rank.desk import Desk
from lab.ui.roles import check

HOW = "Order the answers from best to worst. Who wrote them is hidden until you submit."
FILES = [".txt", ".jsonl", ".json", ".csv", ".parquet"]


def page(office: Office) -> None:
    Desk(office).open()

    @told(office)
    def upload(path: str, request: gr.Request) -> str:
        check(office.is_host(request), "prompts from a file")
        texts, left = from_file(path)
        office.store.add_prompts(texts, f"{OWN}:{Path(path).name[:80]}")
        office.feed.own_came()
        one = len(texts) == 1
        added = "1 prompt added. It comes next." if one else f"{len(texts):,} prompts added. They come next."
        return f"{added} {left}".strip()

    if not office.workspace.barred:  # else the shell says why nothing can be ranked
        lead("Which answer is better?", HOW)
        Board("rank", elem_id="board")
    together.panel(office)
    with gr.Accordion("Prompts from a file", open=False, elem_classes="host-only"):
        gr.Markdown("A .txt file with one prompt a line, or a table (JSON, CSV, parquet) with a field `prompt`.")
        with gr.Row():
            pick = gr.UploadButton("Choose a file", file_types=FILES, scale=0)
            said = gr.Markdown(elem_id="prompts-said")
    private = {"api_visibility": "private", "show_progress": "hidden"}
    pick.upload(lambda: "", None, said, queue=False, **private).then(upload, pick, said, **private)
