"""What tests share: one torch thread a process, so that processes do not fight over two cores, and published files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start, too
# They are many: what the first has compiled serves the others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import pytest  # noqa: E402
import torch  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
ONE_APP = {
    group: [f"tests/browser/test_{name}.py" for name in names.split()]
    for group, names in {
        "app": "model ppo_trained rank",
        "quiet": "curves desk guard ppo rest runs sft words",
        "tuned": "compare reward steering",
    }.items()
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """For several processes (-n 2): each takes a file at a time, or a group of files that use one app in turn."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((group for group, files in ONE_APP.items() if file in files), file)

        def remove_node(self, node) -> str | None:
            """What a process had finished before it died is not handed out again: of a unit without a test that is
            left, xdist would wait for an end for ever."""
            work = self.assigned_work[node]
            self.assigned_work[node] = {scope: unit for scope, unit in work.items() if not all(unit.values())}
            return super().remove_node(node)

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


@pytest.fixture
def office(tmp_path):
    """A real office whose worker was never started: the test answers in its place."""
    from lab.ui.office import Office
    from lab.ui.supervisor import Supervisor

    made = Office(tmp_path, worker=Supervisor(tmp_path))
    yield made
    made.close()
