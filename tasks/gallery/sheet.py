"""Contact sheets: one frame under each corruption, a row for each with all its severities, labelled."""

from collections.abc import Iterable, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tasks import corruptions
from tasks.gallery import pictures

Frame = npt.NDArray[np.uint8]

GAP_PX: Final = 6
LABEL_PX: Final = 20
HEAD_PX: Final = 26
PAPER: Final = (255, 255, 255)
INK: Final = (17, 24, 39)
SOFT: Final = (75, 85, 99)


def draw(frames: Sequence[Frame], names: Iterable[str], *, seed: int, clip: str, first_frame: int = 0,
         scale_to: int | None = None) -> Frame:  # fmt: skip
    """The sheet: rows of the clean frame and severities 1 to 5, each with its level and unit above it.

    The frame is corrupted at its own size, as a run with this seed does, and only then scaled down.

    Args:
        frames: The frame shown, uint8 RGB (H, W, 3), and before it those that came before it in its clip, which codecs
            are given too.
        names: Of corruptions, as `corruptions.find` takes them.
        seed: The run's seed.
        clip: The clip's id.
        first_frame: The index in its clip of the first of `frames`.
        scale_to: As in `corruptions.corrupt`.

    Returns:
        uint8 RGB.

    Raises:
        InputError: an unknown name, or a frame that is too small.
    """
    clean = frames[-1]
    width, height = pictures.size(clean.shape[1], clean.shape[0])
    found = [corruptions.find(name) for name in names]
    columns = 1 + len(corruptions.SEVERITIES)
    sheet = Image.new(
        "RGB",
        (GAP_PX + columns * (width + GAP_PX), HEAD_PX + len(found) * (height + LABEL_PX + GAP_PX) + GAP_PX),
        PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    small, bold = ImageFont.load_default(12), ImageFont.load_default(14)
    for column in range(columns):
        heading = f"severity {column}" if column else "clean"
        pen.text((GAP_PX + column * (width + GAP_PX), GAP_PX), heading, fill=SOFT, font=small)
    for row, corruption in enumerate(found):
        top = HEAD_PX + row * (height + LABEL_PX + GAP_PX)
        pen.text((GAP_PX, top), _shortened(corruption.name, width, pen, bold), fill=INK, font=bold)
        sheet.paste(Image.fromarray(_scaled(clean, width, height)), (GAP_PX, top + LABEL_PX))
        for severity in corruptions.SEVERITIES:
            left = GAP_PX + severity * (width + GAP_PX)
            pen.text((left, top + 2), level_label(corruption, severity), fill=SOFT, font=small)
            shown = corrupted(
                frames, corruption, severity, seed=seed, clip=clip, first_frame=first_frame, scale_to=scale_to
            )
            sheet.paste(Image.fromarray(_scaled(shown, width, height)), (left, top + LABEL_PX))
    return np.asarray(sheet, dtype=np.uint8)


def corrupted(
    frames: Sequence[Frame],
    corruption: corruptions.Corruption,
    severity: int,
    *,
    seed: int,
    clip: str,
    first_frame: int,
    scale_to: int | None,
) -> Frame:
    """The last of `frames` as it comes out; what needs the whole clip is given those before it."""
    needed = frames if corruption.whole_clip else frames[-1:]
    made = corruptions.corrupt_stream(
        iter(needed),
        name=corruption.name,
        severity=severity,
        seed=seed,
        clips=clip,
        first_frame=first_frame + len(frames) - len(needed),
        scale_to=scale_to,
    )
    last = needed[-1]
    for last in made:  # noqa: B007 - the last one is wanted
        pass
    return last


def level_label(corruption: corruptions.Corruption, severity: int) -> str:
    """The level that a severity stands for, with its unit.

    Example:
        >>> level_label(corruptions.find("low_light"), 2)
        'exposure_ev 2'
    """
    return f"{corruption.parameter} {corruption.levels[severity - 1]:g}"


def _scaled(frame: Frame, width: int, height: int) -> Frame:
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _shortened(
    text: str, width: int, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    while pen.textlength(text, font=font) > width and len(text) > 4:
        text = text.removesuffix("...")[:-1] + "..."
    return text
