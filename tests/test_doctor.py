"""The list of known bases says of each what `lab models NAME` says of it."""

from __future__ import annotations

from shown import newer
from transformers import AutoConfig

from lab import doctor, fit
from lab.doctor import OPEN_BASES, SHAPE, known_bases
from lab.memory import GIB
from lab.workspace import Workspace

# As their pages on Hugging Face give them, embeddings included.
PUBLISHED = {
    "HuggingFaceTB/SmolLM2-135M": 0.135,
    "Qwen/Qwen2.5-0.5B": 0.494,
    "Qwen/Qwen2.5-1.5B": 1.544,
    "Qwen/Qwen2.5-3B": 3.086,
    "Qwen/Qwen2.5-7B": 7.616,
}


def test_a_listed_base_fits_as_its_own_forecast_says(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "room_of", lambda device: 12 * GIB)
    monkeypatch.setattr(fit, "held_here", lambda device: 0)
    listed = {row["name"]: row for row in known_bases()}
    assert all(abs(listed[name]["parameters"] / 1e9 - count) < 1e-3 for name, count in PUBLISHED.items())
    for name in ("Qwen/Qwen2.5-1.5B", "Qwen/Qwen2.5-7B"):
        kind, *sizes = OPEN_BASES[name]
        AutoConfig.for_model(kind, **dict(zip(SHAPE, sizes, strict=True))).save_pretrained(tmp_path / name)
        alone = fit.foretell_request({"base": str(tmp_path / name)})
        turned = ", ".join(f"{turn['knob']} {turn['value']}" for turn in alone["turns"])
        said = "does not fit" if not alone["fits"] else f"fits with {turned}" if turned else "fits"
        assert listed[name]["fits"] == said
    assert len({listed[name]["fits"] for name in OPEN_BASES}) > 1, "rooms that tell them apart"


def test_a_workspace_of_a_newer_lab_is_not_well_and_the_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_DISK", 0)
    Workspace(tmp_path).store().close()
    assert doctor._disk(tmp_path)["ok"]
    row = doctor._disk(newer(tmp_path))
    assert not row["ok"] and "Update the lab" in row["found"]


def test_a_workspace_that_is_a_file_or_would_be_inside_one_is_not_well(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_DISK", 0)
    file = tmp_path / "notes.txt"
    file.write_text("x")
    for wanted in (file, file / "inside"):
        row = doctor._disk(wanted)
        assert not row["ok"] and row["found"].endswith(f"{file} is no folder") and "another folder" in row["do"]
    for wanted in (tmp_path, tmp_path / "new" / "inside"):
        assert doctor._disk(wanted)["ok"]
