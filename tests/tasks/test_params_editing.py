from pathlib import Path

import pytest
import yaml

from tasks.errors import InputError
from tasks.params.editing import add_model

LINES = """\
# above
models:                # the versions
  a: {adapter: small, weights: a.safetensors}   # first

  # about b
  b:
    adapter: onnx      # runs anywhere
    weights: b.onnx

    input: {size: [4, 4]}
  # not in use: {adapter: small}

severities: [1, 2]     # below
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(LINES)
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("like", ["a", "b"])
def test_everything_else_stays_to_the_letter(path: Path, like: str) -> None:
    said = add_model(path, like, "new", {"weights": "n.onnx"})
    text = path.read_text()
    assert text.replace(f"  {said}\n", "") == LINES
    read = yaml.safe_load(text)["models"]
    assert list(read) == (["a", "new", "b"] if like == "a" else ["a", "b", "new"])
    assert read["new"] == {**yaml.safe_load(LINES)["models"][like], "weights": "n.onnx"}
    assert list(path.parent.iterdir()) == [path]


def test_what_is_none_goes(path: Path) -> None:
    add_model(path, "b", "new", {"weights": "n.onnx", "input": None})
    assert yaml.safe_load(path.read_text())["models"]["new"] == {"adapter": "onnx", "weights": "n.onnx"}


def test_a_file_that_cannot_be_added_to_is_left_and_the_line_is_said(path: Path) -> None:
    path.write_text("models: {a: {adapter: small, weights: a.safetensors}}\n")
    with pytest.raises(InputError, match=r"add under models: new: \{adapter: small, weights: n\}"):
        add_model(path, "a", "new", {"weights": "n"})
    assert path.read_text() == "models: {a: {adapter: small, weights: a.safetensors}}\n"
