"""The house's form: ruff finds nothing to say about any file, prose included, and examples in docstrings hold."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "lab").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("what", [("check",), ("format", "--check")])
def test_ruff_has_nothing_to_say(what):
    found = subprocess.run(
        [sys.executable, "-m", "ruff", *what, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_the_examples_in_docstrings_hold(path):
    found = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)))
    assert found.attempted and not found.failed
