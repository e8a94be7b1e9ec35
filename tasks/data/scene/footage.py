"""New footage: three raw video clips as a camera delivers them, one of them out of focus and one in fog.

Both are made from the scene's depth by `optics`, before exposure and compression. The truth is kept apart.
"""

import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.data.scene import files, optics, truth, world
from tasks.data.scene.clips import Clip, Frame, frames_of
from tasks.data.scene.view import View
from tasks.params import Crossing

FOG_PER_M: Final = 0.055  # a visibility of 71 m
AIRLIGHT: Final = (0.60, 0.63, 0.66)  # linear
FOCUS_M: Final = 4.0  # jammed near: everything on the road is behind it
BLUR_PX: Final = 13.0  # the disc's diameter at infinity, in subsamples (6.5 pixels)

_CAMERAS: Final = {"clear": "north", "defocused": "east", "foggy": "west"}
NAMES: Final = tuple(_CAMERAS)


def clip_named(crossing: Crossing, name: str) -> Clip:
    """The clip of new footage of that name."""
    place = NAMES.index(name)
    return Clip(9000 + place, "footage", place, _CAMERAS[name], "day", "busy", crossing.footage_frames)


def untouched(seen: View) -> View:
    """The view as it is."""
    return seen


def out_of_focus(seen: View) -> View:
    """The view through a lens that is focused too near."""
    blurred = optics.defocus(seen.colour, seen.depth_m, focus_m=FOCUS_M, strength_px=BLUR_PX)
    return replace(seen, colour=blurred)


def in_fog(seen: View) -> View:
    """The view through fog; lamps lose their halo with it."""
    veiled = optics.fog(seen.colour, seen.range_m, beta_per_m=FOG_PER_M, airlight=AIRLIGHT)
    through = np.exp(-np.float32(FOG_PER_M) * seen.range_m)[..., None]
    return replace(seen, colour=veiled, glow=np.asarray(seen.glow * through, np.uint8))


EFFECTS: Final = {"clear": untouched, "defocused": out_of_focus, "foggy": in_fog}


def render(crossing: Crossing, name: str, footage_dir: Path, truth_dir: Path) -> None:
    """Write the clip `name` of `NAMES` to `footage_dir` and its truth to a folder of its own in `truth_dir`.

    The video is replaced whole; other files stay.
    """
    footage_dir.mkdir(parents=True, exist_ok=True)
    truth_dir.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    clip = clip_named(crossing, name)
    frames = list(frames_of(crossing, clip, effect=EFFECTS[name]))
    video = footage_dir / f"{name}.mp4"
    _encode([frame.picture for frame in frames], video)
    _write_truth(crossing, name, clip, frames, video, truth_dir)


def _encode(pictures: list[npt.NDArray[np.uint8]], path: Path) -> None:
    import av

    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        with av.open(str(temporary), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(world.FRAME_RATE))
            stream.width, stream.height, stream.pix_fmt = world.WIDTH_PX, world.HEIGHT_PX, "yuv420p"
            stream.thread_count = 1  # the same bytes on any machine
            # mbtree=0: its assembly reads memory that nothing wrote, so files would differ from run to run
            stream.options = {"crf": "17", "preset": "medium", "x264-params": "mbtree=0"}
            for picture in pictures:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_truth(crossing: Crossing, name: str, clip: Clip, frames: list[Frame], video: Path, truth_dir: Path) -> None:
    folder = truth_dir / name
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "semantic").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, frame in enumerate(frames):
        files.write_png(folder / "semantic" / f"{index:06d}.png", frame.semantic)
        images.append(
            {
                "id": index + 1,
                "file_name": os.path.relpath(video, folder),
                "index": index,
                "semantic_file": f"semantic/{index:06d}.png",
                **truth.image_entry(index, frame.label, split=clip.split, attributes=clip.attributes, video_id=1),
            }
        )
        for annotation in frame.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **annotation})
    document = truth.document_head(crossing, f"Crossing: the truth of the new footage '{name}'")
    document |= {"videos": [{"id": 1, "name": name}], "images": images, "annotations": annotations}
    files.write_json(document, folder / "dataset.json")
