"""Writing what was rendered."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a picture, BGR or one channel, losslessly."""
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise RuntimeError(f"could not encode {path}")
    path.write_bytes(data.tobytes())


def write_json(document: dict[str, Any], path: Path) -> None:
    """Write `document`, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    temporary.replace(path)
