"""What every test shares: one torch thread, so that two processes of a test do not fight over two cores."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)
