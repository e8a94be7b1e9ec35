"""Fog, defocus and a camera's encoder made here, by other means than the product's corruptions."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np


def fog(frame: np.ndarray, beta: float) -> np.ndarray:
    """Koschmieder's law in linear light, over a road that recedes to the top of the picture, with drifting banks."""
    height, width = frame.shape[:2]
    depth = 1 / (0.12 + np.linspace(0, 1, height))[:, None]
    banks = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    banks = cv2.resize(banks, (width, height), interpolation=cv2.INTER_CUBIC)
    passed = np.exp(-beta * depth * (1 + 0.15 * banks))[..., None]
    veiled = (frame / 255.0) ** 2.2 * passed + np.array([0.75, 0.77, 0.8]) ** 2.2 * (1 - passed)
    return np.round(255 * np.clip(veiled, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def defocus(frame: np.ndarray, radius_px: float) -> np.ndarray:
    """A disc of its own making, by OpenCV."""
    side = int(2 * radius_px) + 3
    y, x = np.mgrid[:side, :side] - side // 2
    disc = np.clip(radius_px + 0.5 - np.hypot(x, y), 0, 1)
    return cv2.filter2D(frame, -1, (disc / disc.sum()).astype(np.float32))


def through_an_encoder(frames: Sequence[np.ndarray], path: Path, *, crf: int = 24) -> list[np.ndarray]:
    """The frames as they come back out of an mp4 in H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
