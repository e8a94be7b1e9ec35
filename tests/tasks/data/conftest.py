import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tasks.data import crossing
from tasks.params import Crossing

TINY = Crossing(
    train_clips=2, train_frames=3, validation_clips=1, validation_frames=2, test_clips=2, unseen_clips=1, test_frames=3,
    footage_frames=3,
)  # fmt: skip


@pytest.fixture
def tiny() -> Crossing:
    """The sizes of `rendered`."""
    return TINY


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/, footage/ and truth/ of a tiny crossing."""
    folder = tmp_path_factory.mktemp("crossing")
    crossing.render(TINY, folder / "data", folder / "footage", folder / "truth", workers=1)
    return folder


Spoil = Callable[[dict[str, Any]], None]


@pytest.fixture
def small_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes a data set of two stills of 40x30 px with two boxes, after `spoil` has changed its description."""

    def write(spoil: Spoil = lambda document: None) -> Path:
        folder = tmp_path / "set"
        (folder / "images").mkdir(parents=True)
        (folder / "semantic").mkdir()
        rng = np.random.default_rng(4)
        for name in "ab":
            pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (40, 30))
            cv2.imwrite(str(folder / "images" / f"{name}.jpg"), pixels)
            cv2.imwrite(str(folder / "semantic" / f"{name}.png"), np.full((30, 40), 1, np.uint8))
        document = {
            "info": {"description": "two stills"},
            "images": [
                {"id": 7, "file_name": "images/b.jpg", "width": 40, "height": 30, "semantic_file": "semantic/b.png"},
                {"id": 3, "file_name": "images/a.jpg", "width": 40, "height": 30, "label": "wet",
                 "attributes": {"site": "x"}},
            ],
            "annotations": [
                {"id": 11, "image_id": 7, "category_id": 5, "bbox": [30, 20, 10.4, 10], "area": 70, "iscrowd": 0,
                 "attributes": {"occluded": "yes"}},
                {"id": 2, "image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4], "iscrowd": 1,
                 "segmentation": [[1, 2, 4, 2, 4, 6, 1, 6]]},
            ],
            "categories": [{"id": 5, "name": "car"}, {"id": 2, "name": "bus"}],
            "semantic_classes": [{"id": 1, "name": "road"}],
            "labels": [{"id": 0, "name": "dry"}, {"id": 1, "name": "wet"}],
        }  # fmt: skip
        spoil(document)
        (folder / "dataset.json").write_text(json.dumps(document))
        return folder

    return write
