"""Video codecs, what a channel does to their streams, and frames that do not come.

Through real encoders and decoders. A still is a clip of one frame: it becomes an intra frame.
"""

from tasks.corruptions.codec.bitrate import STRETCH, by_bitrate
from tasks.corruptions.codec.coding import AV1, FRAME_RATE, H264, H265, Codec, by_crf
from tasks.corruptions.codec.damage import CRF, KEYFRAME_EVERY, PACKET_BYTES, bit_errors, packet_loss
from tasks.corruptions.codec.timing import FREEZE_EVERY, frame_drop, frame_freeze
from tasks.corruptions.interface import Corruption

__all__ = ["ENTRIES"]

_PICTURE = f"{FRAME_RATE} frames/s, 4:2:0, BT.709"
_HOW = {
    "h264": f"preset medium, no macroblock tree, {_PICTURE}",
    "h265": f"preset veryfast, no macroblock tree, {_PICTURE}",
    "av1": f"preset 8, {_PICTURE}",
}
_SOURCE = {"h264": "x264 through PyAV", "h265": "x265 through PyAV", "av1": "SVT-AV1 and dav1d through PyAV"}
_STREAM = (
    f"x264 at CRF {CRF}, no B-frames, one reference, a key frame every {KEYFRAME_EVERY} frames, slices of at most "
    f"{PACKET_BYTES} bytes, one to a packet; parameter sets arrive; decoded with FFmpeg's error concealment"
)


def _at_crf(codec: Codec, levels: tuple[float, ...], version: int, *, least: float = 0) -> Corruption:
    return Corruption(
        name=codec.name,
        family="compression",
        table={"crf": levels},
        measure="constant rate factor",
        bounds=(least, codec.worst_crf),
        version=version,
        temporal="coded",
        stage="codec",
        source=_SOURCE[codec.name],
        clip=by_crf(codec),
        note=f"{_HOW[codec.name]}; stills: an intra frame",
    )


def _at_bitrate(codec: Codec) -> Corruption:
    return Corruption(
        name=f"{codec.name}_bitrate",
        family="compression",
        # Halves, from half to 1/32 of 0.32: 8.3 Mbit/s to 0.5 at 1080p and 25 frames/s. In bits a pixel, since stills
        # and rendered clips have no source's bit rate to be measured by.
        table={"bits_per_pixel": (0.16, 0.08, 0.04, 0.02, 0.01)},
        measure="coded bits per pixel",
        bounds=(0.0005, 8.0),
        version=1,
        temporal="coded",
        stage="codec",
        source=_SOURCE[codec.name],
        clip=by_bitrate(codec),
        note=(
            f"{_HOW[codec.name]}; met within 10 % by search, over stretches of {STRETCH} frames, where the codec's "
            f"scale of quality allows: stills, intra frames alone, end at its worst (tier_met says)"
        ),
    )


ENTRIES = (
    _at_crf(H264, (23, 30, 37, 44, 51), 2),
    _at_crf(H265, (27, 33, 39, 45, 51), 1),
    # h264's levels x 63/51: the same shares of the coder's scale. It has no 0: that asks for its default.
    _at_crf(AV1, (28, 37, 46, 54, 63), 1, least=1),
    _at_bitrate(H264),
    _at_bitrate(H265),
    _at_bitrate(AV1),
    Corruption(
        name="bit_errors",
        family="compression",
        table={"bit_error_rate": (1e-6, 3e-6, 1e-5, 3e-5, 1e-4)},
        measure="share of bits flipped",
        bounds=(0, 0.01),
        version=1,
        temporal="coded",
        stage="codec",
        source="x264 and FFmpeg through PyAV",
        clip=bit_errors,
        note=f"{_STREAM}; packet headers are spared",
    ),
    Corruption(
        name="packet_loss",
        family="compression",
        # The last four: VCEG-N79, common conditions for H.264 over IP (Wenger 2001).
        table={"lost_percent": (1, 3, 5, 10, 20)},
        measure="% of packets lost",
        bounds=(0, 100),
        version=1,
        temporal="coded",
        stage="codec",
        source="x264 and FFmpeg through PyAV; shares of VCEG-N79",
        clip=packet_loss,
        note=f"{_STREAM}; packets are lost each by itself",
    ),
    Corruption(
        name="frame_drop",
        family="compression",
        table={"dropped_percent": (10, 25, 50, 75, 90)},
        measure="% of frames dropped",
        bounds=(0, 100),
        version=1,
        temporal="coded",
        stage="codec",
        source="own",
        clip=frame_drop,
        note="the frame before is shown instead, the truth goes on; stills stay as they are",
    ),
    Corruption(
        name="frame_freeze",
        family="compression",
        table={"frozen_frames": (5, 10, 20, 30, 40)},
        measure=f"frames frozen of every {FREEZE_EVERY}",
        bounds=(0, FREEZE_EVERY - 1),
        version=1,
        temporal="coded",
        stage="codec",
        source="own",
        clip=frame_freeze,
        whole_levels=True,
        note="the frame before is shown instead, the truth goes on; short clips may meet none, stills stay as they are",
    ),
)
