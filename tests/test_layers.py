"""The architecture: imports point down, and no generator yields inside a `with`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).parent.parent / "lab"
# From below to above; a file imports from its own row and those before it.
LAYERS = [
    # words and formulas
    "errors events config glossary words losses stem allocator container shortage world",
    # the disk
    "folders disk journal locks served store barred formats workspace exchange excerpt trust",
    # the model
    "arithmetic quantised float16 hub backward trunk folding decode text tokens models speakers generate parity "
    "loading logprobs adapters merged facts activations memory peak fit",
    # the stages
    "steps state checkpoint samples cast rollout diagnose evaluate probe rater sft reward on_policy ppo rloo_grpo dpo "
    "compare",
    # what runs them
    "calibrate material runner policies stages studio refresh serve worker loop quality",
    # what people see
    "bars notebook given verbs doctor bench ui __main__ __init__",
]
LAYER = {name: number for number, row in enumerate(LAYERS) for name in row.split()}
PAGE = 1  # the highest layer that the page's process imports beside itself
HEAVY = {"torch", "transformers", "peft", "pandas", "numpy"}
# Layer 1, the disk: what each may import of the lab, and of other libraries beside the standard one.
WORDS = {"lab.events", "lab.config", "lab.glossary", "lab.errors"}
DISK = {
    "folders.py": set(),
    "disk.py": {"lab.errors"},
    "journal.py": WORDS | {"lab.folders"},
    "served.py": WORDS | {"lab.folders", "lab.journal"},
    "locks.py": {"lab.errors", "filelock"},
    "store/": WORDS | {"lab.folders", "lab.journal", "lab.store"},
    "barred.py": {"lab.errors", "lab.store"},
    "formats/": WORDS | {"lab.folders", "lab.formats"},
    "workspace.py": WORDS
    | {"lab.barred", "lab.disk", "lab.folders", "lab.journal", "lab.locks", "lab.served", "lab.store", "filelock"},
    "excerpt.py": {"lab.store", "lab.formats"},
    "exchange.py": WORDS | {"lab.journal", "lab.store", "lab.formats"},
}
FILES = sorted(LAB.rglob("*.py"))
PAGES = [path for path in FILES if (LAB / "ui") in path.parents]
STATIC = sorted(path for path in (LAB / "ui" / "static").iterdir() if path.suffix in (".js", ".css"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, `from lab import x` as lab.x, and so of lab.ui."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} imports by a relative path"
            inside = node.module in ("lab", "lab.ui")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if inside else {node.module}
    return found


def part_of(module: str) -> str:
    """The file or folder of lab/ that a module of it is in: store of lab.store.people."""
    return (module.split(".") + ["__init__"])[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LAB).as_posix())
def test_no_file_imports_from_a_layer_above(path):
    part, found = path.relative_to(LAB).parts[0].removesuffix(".py"), imports(path)
    assert part in LAYER, f"{part} is in no row of LAYERS: put it in the lowest that it can be in"
    ours = {part_of(each) for each in found if each.split(".")[0] == "lab"}
    assert not {each for each in ours if LAYER[each] > (PAGE if part == "ui" and each != "ui" else LAYER[part])}
    if part == "world":
        assert ours <= {"world"}
    if part == "losses":
        assert not ours
    if part in ("world", "events", "config", "errors", "glossary", "words"):
        assert not {each for each in found if each.split(".")[0] in HEAVY}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(LAB).as_posix())
def test_no_page_imports_from_another_page(path):
    from lab.ui.shell import TABS

    own = path.relative_to(LAB / "ui").parts[0].removesuffix(".py")
    ours = {each.split(".")[2] for each in imports(path) if each.startswith("lab.ui.")}
    assert not ours & set(TABS) - {own}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(LAB).as_posix())
def test_every_file_opens_with_a_sentence_and_keeps_to_400_lines(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 400


@pytest.mark.parametrize("path", STATIC, ids=lambda path: path.name)
def test_every_script_and_style_says_what_it_is_and_keeps_to_400_lines(path):
    text = path.read_text()
    assert text.startswith({".js": "// ", ".css": "/* "}[path.suffix])
    assert text.count("\n") <= 400


@pytest.mark.parametrize("part", DISK)
def test_the_disk_layer_imports_only_words_and_the_disk(part):
    for path in (path for path in FILES if path.relative_to(LAB).as_posix().startswith(part)):
        for name in imports(path) - {"__future__"}:
            allowed = any(name == each or name.startswith(f"{each}.") for each in DISK[part])
            library = name.split(".")[0] in sys.stdlib_module_names
            assert allowed or library or (part == "formats/" and name.startswith("pyarrow")), (path, name)


def test_the_disk_layer_loads_no_model_library():
    code = "import sys, lab.workspace, lab.exchange; print({'torch', 'numpy', 'pandas', 'gradio'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=LAB.parent, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_no_generator_yields_inside_a_with_unless_it_is_a_context_manager():
    for path in FILES:
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or "contextmanager" in ast.dump(
                ast.Module(function.decorator_list, [])
            ):
                continue
            for block in (node for node in ast.walk(function) if isinstance(node, ast.With)):
                assert not any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(block)), path
