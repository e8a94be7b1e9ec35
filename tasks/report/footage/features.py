"""What features of footage are called on the page, in which unit, and what they mean."""

from collections.abc import Mapping
from typing import Final

from tasks.monitoring import outputs
from tasks.monitoring.outputs import Wording

INPUTS: Final[Mapping[str, tuple[str, str]]] = {
    "brightness": ("grey levels", "Mean luma."),
    "contrast": ("grey levels", "Standard deviation of luma."),
    "sharpness": ("", "Variance of the Laplacian: falls with blur, rises with noise."),
    "noise": ("grey levels", "Standard deviation of white noise; fine texture counts as well."),
    "blockiness": ("ratio", "Steps across the borders of 8x8 blocks over those within: rises with compression."),
    "blur": ("0 to 1", "How little a further blur would change."),
    "detail": ("", "Fine over coarse structure, as a logarithm: falls with blur, whatever the contrast."),
    "haze": ("0 to 1", "Mean of the dark channel: rises with fog, haze and glare."),
    "dark_share": ("share", "Pixels that are nearly black."),
    "bright_share": ("share", "Pixels that are nearly white."),
    "entropy": ("bits", "Of the histogram of luma: falls with fog and low light."),
    "cast_a": ("CIE Lab a*", "Mean colour from green (below 0) to red."),
    "cast_b": ("CIE Lab b*", "Mean colour from blue (below 0) to yellow."),
    "colourfulness": ("", "How strong and how varied the colours are."),
    "grain": ("grey levels", "Noise, by a median that texture moves little."),
    "impulses": ("share", "Pixels far from all around them: salt and pepper, rain, spatter."),
    "edge_density": ("share", "Pixels on edges: falls with blur and fog."),
    "local_contrast": ("grey levels", "Mean standard deviation within small blocks: falls with fog and blur."),
    "anisotropy": ("0 to 1", "How much all edges run the same way: rises with motion blur."),
    "flat_share": ("share", "Neighbours of the same level: rises with coding, clipping and darkness."),
    "bitrate_kbps": ("kbit/s", "Of the video stream."),
    "qp": ("", "Mean quantiser of the codec: the higher, the coarser."),
    "drop_share": ("share", "Frames missing of those due."),
    "freeze_share": ("share", "Time in which the picture stands still."),
    "duplicate_share": ("share", "Frames that are the same as the one before."),
    "decode_errors": ("count", "Damaged frames."),
    "cover": ("0 to 1", "How covered the lens looks against what the camera usually shows."),
    "defocus": ("0 to 1", "How out of focus it is against that."),
    "move": ("0 to 1", "How far the view has moved from that."),
}
"""Unit and meaning of what frames and streams look like."""

_SHORT: Final = {"qp": "QP", "bitrate_kbps": "Bitrate", "cast_a": "Cast a*", "cast_b": "Cast b*"}


def explain(kind: str, feature: str) -> Wording:
    """A feature's name for people, its unit and its meaning; of an unknown one the name alone.

    Args:
        kind: input or output.
        feature: its name in the tables.

    Examples:
        >>> explain("input", "dark_share").label, explain("output", "entropy").unit, explain("input", "entropy").unit
        ('Dark share', 'share', 'bits')
    """
    if kind == "output":
        return outputs.explain(feature)
    unit, text = INPUTS.get(feature, ("", ""))
    return Wording(_SHORT.get(feature, feature.replace("_", " ").capitalize()), unit, text)
