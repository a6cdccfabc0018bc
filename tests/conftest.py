"""What tests share: one torch thread a process, so that processes do not fight over two cores, and published files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start, too

import pytest  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of several processes (-n 2) one has all of the browser's tests, in their order and first; others take files."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def source(tmp_path):
    """Finds a published file, or writes its stand-in."""
    from published import published

    return lambda name: published(name, tmp_path)


@pytest.fixture
def in_float32(monkeypatch):
    """Products are computed in float32, whatever this processor is faster in."""
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
