"""The room that a container leaves: its limit, less what is held there but for files, and never less than nothing."""

from __future__ import annotations

from math import inf

import pytest

from lab import container, doctor
from lab.memory import room_of


def groups(folder, version, limit, held, files):
    """The files of a container's memory group, by the version of the kernel's interface."""
    names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
    inside = folder if version == 2 else folder / "memory"
    inside.mkdir(exist_ok=True)
    for name, number in zip(names, (limit, held), strict=True):
        (inside / f"memory.{name}").write_text(f"{number}\n")
    key = "inactive_file" if version == 2 else "total_inactive_file"
    (inside / "memory.stat").write_text(f"anon 5\n{key} {files}\n")
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_left_is_the_limit_less_what_is_held_but_for_files(tmp_path, version):
    assert container.left(groups(tmp_path, version, 1000, 700, 50)) == 350
    assert container.left(groups(tmp_path, version, 1000, 1700, 0)) == 0


def test_without_a_limit_or_without_groups_there_is_no_end(tmp_path):
    assert container.left(tmp_path) == inf
    assert container.left(groups(tmp_path, 2, "max", 700, 50)) == inf


def test_the_room_for_a_model_is_no_more_than_the_container_leaves(tmp_path, monkeypatch):
    before = room_of("cpu")
    monkeypatch.setattr(container, "GROUPS", groups(tmp_path, 2, 3 * 2**20, 2**20, 0))
    assert room_of("cpu") == 2 * 2**20 < before
    row = doctor._memory()
    assert not row["ok"] and row["found"].startswith("0.0 of")
