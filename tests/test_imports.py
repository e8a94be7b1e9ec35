"""Imports run one way through the house; a wrong arrow fails here."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYBODY = {"errors", "layout", "params", "tables", "terms"}
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "layout": set(),
    "params": {"errors"},
    "tables": {"errors"},
    "terms": set(),
    "processes": set(),
    "settled": {"processes"},
    "quality": EVERYBODY,
    "class_map": EVERYBODY,
    "displacement": EVERYBODY,
    "data": EVERYBODY | {"quality"},
    "corruptions": EVERYBODY,
    "store": EVERYBODY,
    "models": EVERYBODY | {"data", "class_map"},
    "inference": EVERYBODY | {"corruptions", "data", "displacement", "models", "quality", "store", "processes"},
    "query": EVERYBODY,
    "thirds": EVERYBODY,
    "slices": EVERYBODY | {"query", "thirds"},
    "metrics": EVERYBODY | {"slices", "class_map", "displacement", "processes"},
    "gates": EVERYBODY | {"metrics", "slices"},
    "gallery": EVERYBODY | {"corruptions", "data", "class_map", "displacement"},
    "exports": EVERYBODY | {"corruptions", "data", "gallery", "metrics", "query"},
    "footage": EVERYBODY | {"data", "store"},
    "monitoring": EVERYBODY | {"data", "metrics", "quality", "slices"},
    "report": EVERYBODY | {"gates", "metrics", "monitoring", "slices", "thirds", "class_map"},
}
MODULES = sorted((ROOT / "tasks").rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def imported(path: Path) -> set[str]:
    """Absolute names of the modules that a file imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "tasks" else {node.module}
            )
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_of_tasks(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    here = room(module)
    if here == "__init__":
        return
    assert here in ARROWS, f"a new room: give tasks/{here} its arrows here and in the design"
    for name in imported(path):
        top = name.split(".")[0]
        assert top not in {"prefect", "dvc", "flows", "tests"}, f"{module} imports {name}"
        if top == "tasks":
            assert room(name) in ARROWS[here] | {here}, f"{module} imports {name}: not an arrow of the house"


def test_arrows_have_no_circle() -> None:
    seen: set[str] = set()
    while len(seen) < len(ARROWS):
        free = {name for name, below in ARROWS.items() if name not in seen and below <= seen}
        assert free, f"a circle among {set(ARROWS) - seen}"
        seen |= free


def test_a_command_loads_no_torch_by_itself() -> None:
    """Its seconds are for the processes that need it."""
    code = "import sys, flows.infer, flows.score; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["tasks.corruptions", "tasks.models", "tasks.inference"])
def test_imports_on_a_bare_machine(module: str) -> None:
    """GPU machines may have torch alone: the rest is imported when used."""
    absent = ["av", "trackers", "trackeval", "albumentations", "supervision", "prefect", "dvc", "imagecorruptions"]
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\nimport {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
