"""The architecture: imports point down, and no generator yields inside a `with`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LAB = Path(__file__).parent.parent / "lab"
MODEL = {"lab.text", "lab.models", "lab.generate"}
STAGES = {"lab.sft", "lab.reward", "lab.ppo", "lab.rollout", "lab.steps", "lab.rater", "lab.compare", "lab.loop"}
FILES = sorted(LAB.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, `from lab import x` as lab.x."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"lab.{alias.name}" for alias in node.names} if node.module == "lab" else {node.module}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LAB).as_posix())
def test_no_file_imports_from_a_layer_above(path):
    name = path.relative_to(LAB).as_posix()
    found = imports(path)
    if name.startswith("world/") or name in ("events.py", "config.py", "errors.py", "glossary.py"):
        assert not {
            each for each in found if each.split(".")[0] in ("torch", "transformers", "peft", "pandas", "numpy")
        }
    if name.startswith("world/"):
        assert all(each.startswith("lab.world") for each in found if each.startswith("lab"))
    if name == "losses.py":
        assert not {each for each in found if each.startswith("lab")}
    if name in ("text.py", "models.py", "generate.py"):
        assert not found & STAGES
    if name.startswith("formats/"):
        assert not found & (MODEL | STAGES) and "torch" not in found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LAB).as_posix())
def test_every_file_opens_with_a_sentence_and_keeps_to_400_lines(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 400


def test_no_generator_yields_inside_a_with_unless_it_is_a_context_manager():
    for path in FILES:
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or "contextmanager" in ast.dump(
                ast.Module(function.decorator_list, [])
            ):
                continue
            for block in (node for node in ast.walk(function) if isinstance(node, ast.With)):
                assert not any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(block)), path
