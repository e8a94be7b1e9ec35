"""The third-party corruption of docs/corruptions.md, installed as pip leaves a package, used by the command line."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.flows.conftest import ROOT, Command

DOCUMENT = (ROOT / "docs/corruptions.md").read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with the document's module and the entry point that it tells of."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    (points,) = re.findall(r"```toml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    group, line = re.fullmatch(r'\[project\.entry-points\."([\w.]+)"\]\n(.+)\n', points).groups()
    folder = tmp_path / "site"
    information = folder / "veil-1.0.dist-info"
    information.mkdir(parents=True)
    (folder / "veil.py").write_text(code)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: veil\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    return folder


def test_it_is_listed_and_used(site: Path, tmp_path: Path, command: Command) -> None:
    listed = command("corruptions", "veil", "--json", PYTHONPATH=str(site))
    assert listed.returncode == 0, listed.stderr
    (facts,) = json.loads(listed.stdout)
    assert (facts["name"], facts["levels"], facts["temporal"]) == ("veil", [0.1, 0.2, 0.35, 0.5, 0.7], "clip")
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((40, 48, 3), np.uint8))
    for name, words in {"veil": ["--level", 0.6], "veil + gamma": ["--severity", 5]}.items():
        done = command("corrupt", "in.png", "out.png", "--name", name, *words, "--force", PYTHONPATH=str(site))
        assert done.returncode == 0, done.stderr
        made = cv2.imread(str(tmp_path / "out.png"))
        assert made.min() == made.max()
        if name == "veil":
            assert 180 * 0.6 - 1 <= made.max() <= 240 * 0.6


def test_without_its_package_it_is_unknown(tmp_path: Path, command: Command) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((40, 48, 3), np.uint8))
    done = command("corrupt", "in.png", "out.png", "--name", "veil", "--severity", 1)
    assert (done.returncode, "Unknown corruption 'veil'" in done.stderr) == (2, True)


def test_one_that_does_not_load_is_named(site: Path, command: Command) -> None:
    (site / "veil.py").write_text("import nothing_of_this_name\n")
    done = command("corruptions", PYTHONPATH=str(site))
    assert done.returncode == 2
    assert "The corruption 'veil' (veil:VEIL) does not load: No module named" in done.stderr
    assert done.stderr.count("\n") == 1
