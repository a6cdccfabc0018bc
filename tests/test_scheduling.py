"""A test process that dies is a failure with its test's name, and all other tests still run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DIES_ONCE = """
import os, signal, pathlib

def test_dies_once():
    died = pathlib.Path(__file__).with_name("died")
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)

def test_after_it(): pass
def test_last(): pass
"""


@pytest.mark.slow  # three processes and a fourth for the one that dies, each with torch
def test_a_process_that_dies_late_is_no_wait_without_end(tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(HERE / "conftest.py", tests)
    for number in range(40):
        quick = "".join(f"def test_{each}(): pass\n" for each in range(4))
        (tests / f"test_{number:02}.py").write_text(quick + (DIES_ONCE if number == 25 else ""))
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert re.search(r"crashed while running 'tests/test_25.py::test_dies_once'", found.stdout)
    assert re.search(r"1 failed, 163 passed", found.stdout), found.stdout[-2000:]
