"""Video codecs, through a real encoder and decoder. A still is a clip of one frame: it becomes an intra frame."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from tasks.corruptions.interface import Corruption, Level, Pixels
from tasks.errors import InputError

# The encoder weighs its bits by how long a frame is shown, so that a rate has to be stated; it is that of no file.
FRAME_RATE = 25
PRESET = "medium"


def h264(frames: Iterable[Pixels], level: Level) -> Iterator[Pixels]:
    """H.264 by x264 (preset medium, 25 frames/s, 4:2:0) at a constant rate factor, decoded again.

    As many frames come out as go in; at most some sixty are held. One thread in coder and decoder: the same bits
    everywhere. Colour is BT.709, limited range, both ways. Odd sizes are padded by repeating the last row and column,
    and cut again.

    Raises:
        InputError: PyAV is not installed; frames of several sizes.
    """
    av = _av()
    paths: _Colour | None = None
    encoder = decoder = None
    shape: tuple[int, ...] = ()
    taken = given = 0
    for frame in frames:
        if encoder is None or decoder is None or paths is None:
            shape = frame.shape
            encoder, decoder, paths = _encoder(av, shape, crf=level.strength), _decoder(av), _Colour(av)
        if frame.shape != shape:
            raise InputError(f"h264: expected frames of one size in a clip, got {shape} and then {frame.shape}.")
        picture = paths.to_yuv(frame)
        picture.pts = taken
        taken += 1
        for packet in encoder.encode(picture):
            for decoded in decoder.decode(packet):
                given += 1
                yield paths.to_rgb(decoded, shape)
    if encoder is None or decoder is None or paths is None:
        return
    for packet in [*encoder.encode(None), None]:  # None: what both still hold
        for decoded in decoder.decode(packet):
            given += 1
            yield paths.to_rgb(decoded, shape)
    if given != taken:
        raise RuntimeError(f"h264: {taken} frames went in and {given} came out")


class _Colour:
    """RGB to 4:2:0 and back by swscale, with the flags without which it is off by one to two levels."""

    def __init__(self, av: Any) -> None:
        self._av = av
        names = av.video.reformatter
        flags = names.Interpolation
        # BITEXACT: the same pixels on every kind of CPU; the others: rounded, and chroma at full width.
        how = flags.BICUBIC | flags.ACCURATE_RND | flags.BITEXACT | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP
        both = {
            "interpolation": how,
            "src_colorspace": names.Colorspace.ITU709,
            "dst_colorspace": names.Colorspace.ITU709,
            "threads": 1,
        }
        full, limited = names.ColorRange.JPEG, names.ColorRange.MPEG
        self._forth = {**both, "format": "yuv420p", "src_color_range": full, "dst_color_range": limited}
        self._back = {**both, "format": "rgb24", "src_color_range": limited, "dst_color_range": full}
        self._reformatters = names.VideoReformatter(), names.VideoReformatter()

    def to_yuv(self, frame: Pixels) -> Any:
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        return self._reformatters[0].reformat(self._av.VideoFrame.from_ndarray(even, format="rgb24"), **self._forth)

    def to_rgb(self, picture: Any, shape: tuple[int, ...]) -> Pixels:
        # The decoder says where H.264's chroma samples lie (left), the way forth took them as centred: without a fresh
        # frame, which says nothing, colour would come back half a pixel aside.
        unsaid = self._av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
        rgb = self._reformatters[1].reformat(unsaid, **self._back).to_ndarray()
        return np.ascontiguousarray(rgb[: shape[0], : shape[1]])


def _encoder(av: Any, shape: tuple[int, ...], *, crf: float) -> Any:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = FRAME_RATE
    encoder.time_base = Fraction(1, FRAME_RATE)
    encoder.thread_count = 1
    # Without macroblock-tree rate control, as in cameras, which cannot look ahead: with it, x264's AVX-512 code gives
    # other bits for the same frames on a used heap.
    encoder.options = {"crf": f"{crf:g}", "preset": PRESET, "x264-params": "mbtree=0"}
    return encoder


def _decoder(av: Any) -> Any:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    return decoder


def _av() -> Any:
    try:
        import av
        import av.video.reformatter
    except ImportError:
        raise InputError("h264 needs the package av (PyAV), which is not installed: install it.") from None
    return av


ENTRIES = (
    Corruption(
        name="h264",
        family="compression",
        parameter="crf",
        measure="constant rate factor",
        levels=(23, 30, 37, 44, 51),
        bounds=(0, 51),
        version=2,
        temporal="coded",
        stage="coding",
        source="x264 through PyAV",
        clip=h264,
        note=f"preset {PRESET}, no macroblock tree, {FRAME_RATE} frames/s, 4:2:0, BT.709; stills: an intra frame",
    ),
)
