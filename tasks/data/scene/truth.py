"""What is known about a rendered frame, in the exchange form; and what every dataset.json of the renderer says."""

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from tasks.data.scene import world
from tasks.data.scene.view import View
from tasks.params import Crossing

LABEL_POLICY_VERSION: Final = "1"
LABEL_POLICY: Final = (
    "Boxes enclose what is visible of an object (its mask), 0-based pixels. Objects with fewer than 20 visible pixels "
    "or more than 80 % hidden are not annotated. A cyclist is rider and bicycle together; in the semantic map they are "
    "person and cycle. Poles, signals and pixels that no class fills to three quarters are 255. The frame's label is "
    "the signal's phase. occluded: at least 15 % hidden; small_object: shorter side under 12 px; low_contrast: mean "
    "luminance within 8 grey levels of the surroundings; edge_touching: the box meets the frame's border."
)
MIN_VISIBLE_PX: Final = 20
MAX_OCCLUSION: Final = 0.8
OCCLUDED: Final = 0.15
SMALL_SIDE_PX: Final = 12
LOW_CONTRAST_LEVELS: Final = 8.0


def annotate(
    seen: View, picture: npt.NDArray[np.uint8], *, classes: Sequence[str], first_track: int
) -> list[dict[str, Any]]:
    """COCO annotations of what `seen` shows, without ids of their own: boxes, masks, tracks, shares, tags."""
    luminance = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = luminance.shape
    annotations = []
    for thing in seen.things:
        area = int(thing.mask.sum())
        if area < MIN_VISIBLE_PX or thing.occlusion > MAX_OCCLUSION:
            continue
        rows, columns = np.flatnonzero(thing.mask.any(1)), np.flatnonzero(thing.mask.any(0))
        x0, x1, y0, y1 = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
        window = (slice(max(y0 - 4, 0), y1 + 4), slice(max(x0 - 4, 0), x1 + 4))
        mask = thing.mask[window]
        around = (cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0) & ~mask
        contrast = abs(float(luminance[window][mask].mean()) - float(luminance[window][around].mean()))
        tags = {
            "occluded": thing.occlusion >= OCCLUDED,
            "small_object": min(x1 - x0, y1 - y0) < SMALL_SIDE_PX,
            "low_contrast": contrast < LOW_CONTRAST_LEVELS,
            "edge_touching": x0 == 0 or y0 == 0 or x1 == width or y1 == height,
        }
        code = coco_mask.encode(np.asfortranarray(thing.mask, np.uint8))
        annotations.append(
            {
                "category_id": classes.index(thing.mover.kind.name) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": area,
                "segmentation": {"size": [height, width], "counts": code["counts"].decode("ascii")},
                "iscrowd": 0,
                "track_id": first_track + thing.mover.number,
                "occlusion": round(float(thing.occlusion), 4),
                "truncation": round(float(thing.truncation), 4),
                "attributes": {name: "yes" if value else "no" for name, value in tags.items()},
            }
        )
    return annotations


def document_head(crossing: Crossing, description: str) -> dict[str, Any]:
    """What every dataset.json of this renderer starts with."""
    return {
        "info": {
            "description": description,
            "version": "1",
            "rendered": True,
            "label_policy_version": LABEL_POLICY_VERSION,
            "label_policy": LABEL_POLICY,
            "split_unit": "clip",
            "frame_rate": world.FRAME_RATE,
            "seed": crossing.seed,
        },
        "licenses": [
            {"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"},
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(crossing.classes, start=1)],
        "semantic_classes": [{"id": i, "name": name} for i, name in enumerate(world.SEMANTIC)],
        "labels": [{"id": i, "name": name} for i, name in enumerate(world.PHASES)],
    }


def image_entry(index: int, label: str, *, split: str, attributes: dict[str, str], video_id: int) -> dict[str, Any]:
    """The fields of images[] that do not depend on how the pixels are stored."""
    return {
        "width": world.WIDTH_PX,
        "height": world.HEIGHT_PX,
        "license": 1,
        "video_id": video_id,
        "frame_index": index,
        "timestamp_s": round(index / world.FRAME_RATE, 3),
        "split": split,
        "label": label,
        "attributes": attributes,
    }
