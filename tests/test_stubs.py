"""Gradio starts without writing stubs for editors, and is otherwise what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.ui import stubs

ROOT = Path(__file__).parent.parent
OWN = """import gradio as gr

class Own(gr.Textbox):
    EVENTS = ["change"]
"""


def test_a_component_is_made_without_a_stub_beside_it_and_has_its_events(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    for first, left in (("lab.ui.theme", []), ("gradio", ["own.pyi"])):
        code = f"import sys, {first}; sys.path.insert(0, {str(tmp_path)!r}); from own import Own; Own.change; Own()"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
        assert [each.name for each in tmp_path.glob("*.pyi")] == left


def test_once_gradio_is_imported_nothing_is_left_to_find():
    import gradio  # noqa: F401

    before = list(sys.meta_path)
    stubs.leave_out()
    assert sys.meta_path == before
