"""The README's promises that a machine can check."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_names_every_file_once() -> None:
    tree = README.split("## The tree")[1].split("```")[1]
    listed = re.findall(r"^ *([\w./-]+\.py)\b", tree, flags=re.MULTILINE)
    there = [p.name for top in ("flows", "tasks") for p in (ROOT / top).rglob("*.py") if p.name != "__init__.py"]
    assert sorted(listed) == sorted(there)


def test_targets_and_links_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
