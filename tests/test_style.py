"""The house's form: ruff finds nothing to say about any file, prose included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("what", [("check",), ("format", "--check")])
def test_ruff_has_nothing_to_say(what):
    found = subprocess.run(
        [sys.executable, "-m", "ruff", *what, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout
