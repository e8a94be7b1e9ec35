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
  c:
    adapter: onnx
    weights: c.onnx
  d: &d {adapter: onnx,
      weights: d.onnx}
  e: *d
  # not in use: {adapter: small}

severities: [1, 2]     # below
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(LINES)
    return tmp_path / "params.yaml"


@pytest.mark.parametrize("like", ["a", "b", "c", "d", "e"])
def test_everything_else_stays_to_the_letter(path: Path, like: str) -> None:
    said = add_model(path, like, "new", {"weights": "n.onnx"})
    text = path.read_text()
    assert text.replace(f"  {said}\n", "") == LINES
    read = yaml.safe_load(text)["models"]
    assert list(read) == [name for old in "abcde" for name in ([old, "new"] if old == like else [old])]
    assert read["new"] == {**yaml.safe_load(LINES)["models"][like], "weights": "n.onnx"}
    assert list(path.parent.iterdir()) == [path]


def test_what_is_none_goes(path: Path) -> None:
    add_model(path, "b", "new", {"weights": "n.onnx", "input": None})
    assert yaml.safe_load(path.read_text())["models"]["new"] == {"adapter": "onnx", "weights": "n.onnx"}


@pytest.mark.parametrize("name", ["on", "1.5", "2", "null", "new-2.1"])
def test_a_name_that_yaml_would_read_as_something_else_is_quoted(path: Path, name: str) -> None:
    add_model(path, "a", name, {"weights": "n"})
    assert list(yaml.safe_load(path.read_text())["models"])[:2] == ["a", name]


@pytest.mark.parametrize("lines", ["models:\n  a:\n    adapter: small\n    weights: a", "models:\n    a: {weights: a}"])
def test_a_last_line_may_end_with_the_file(path: Path, lines: str) -> None:
    path.write_text(lines)
    add_model(path, "a", "new", {"weights": "n"})
    assert yaml.safe_load(path.read_text())["models"]["new"]["weights"] == "n"


def test_a_file_that_cannot_be_added_to_is_left(path: Path) -> None:
    path.write_text("models: {a: {adapter: small, weights: a}}\n")
    with pytest.raises(InputError, match=r"cannot be added after 'a' as the file is written: give each model"):
        add_model(path, "a", "new", {"weights": "n"})
    assert path.read_text() == "models: {a: {adapter: small, weights: a}}\n"
