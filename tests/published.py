"""Preference files that others published; small rows of their shape stand in where the files are not at hand."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

DATA = Path(os.environ.get("LAB_DATA", Path(__file__).parents[2] / "shared" / "data"))
MARK = "\n\nAssistant: "


def turn(role, words):
    return {"role": role, "content": [{"type": "text", "value": words}], "loss_weight": 0.0}


STAND_INS = {
    "dpo_en_demo.json": [
        {
            "conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": f"Question {n}?"}],
            "chosen": {"from": "gpt", "value": "Yes."},
            "rejected": {"from": "gpt", "value": "No."},
        }
        for n in range(3)
    ],
    "v1_dpo_demo.jsonl": [
        {
            "chosen_messages": [turn("user", "a"), turn("assistant", "b")],
            "rejected_messages": [turn("user", "a"), turn("assistant", "c")],
        }
    ],
    "alpaca_en_demo.json": [{"instruction": "Add.", "input": "1, 2", "output": "3"}],
    "hh_harmless_test.jsonl.gz": [
        {"chosen": f"\n\nHuman: a{MARK}b\n\nHuman: c{MARK}{x}", "rejected": f"\n\nHuman: a{MARK}b\n\nHuman: c{MARK}no"}
        for x in ("yes", "maybe", "well", "so", "", "fine")
    ],
}


def published(name: str, folder: Path) -> Path:
    """The published file, or its stand-in, written into the folder."""
    if (DATA / name).exists():
        return DATA / name
    rows = STAND_INS[name]
    words = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name).write_bytes(gzip.compress(words.encode()) if name.endswith(".gz") else words.encode())
    return folder / name
