"""What displaces the picture by a known amount, so that the truth can move with it."""

import math

import numpy as np
from numpy.typing import NDArray

from tasks.corruptions.arrays import Array, Arrays
from tasks.corruptions.interface import Corruption, Level
from tasks.corruptions.seeds import Moments, uniform

CYCLES = (1.0, 3.0)
"""Vibrations while one frame is read out: 50 to 150 Hz at a read-out of 20 ms, as rotors and engines shake a camera."""

READ_OUT = 0.7
"""Share of the time between frames in which rows are read, one after the other."""

STEP_PX = 1 / 32
"""Shifts are whole multiples of this: interpolation weights that every device has alike."""


def rolling_shutter_waves(level: Level, moments: Moments, height: int, width: int) -> NDArray[np.float64]:
    """The sideways waves of frames, (N, 3): amplitude_px, period_px and phase_rad, as `Corruption.waves` says.

    A camera that vibrates sideways at one frequency while its rows are read from top to bottom. Frequency and first
    phase belong to the clip; from frame to frame the phase goes on by what the vibration did meanwhile.
    """
    low, high = CYCLES
    cycles = low + (high - low) * uniform(moments.clip_seeds, stream=0)
    phase = 2 * math.pi * (uniform(moments.clip_seeds, stream=1) + cycles / READ_OUT * moments.frame_indices)
    amplitude = np.full(len(cycles), level["amplitude_px"])
    return np.stack([amplitude, height / cycles, np.mod(phase, 2 * math.pi)], axis=1)


def shifts(waves: NDArray[np.float64], height: int) -> NDArray[np.float64]:
    """How far each row is moved to the right, px: (N, height)."""
    amplitude, period, phase = (column[:, None] for column in waves.T)
    return np.asarray(amplitude * np.sin(2 * math.pi * np.arange(height) / period + phase))


def rolling_shutter(arrays: Arrays, frames: Array, level: Level, moments: Moments) -> Array:
    """Each row moved sideways by the wave at it; what comes in from outside is the row's last pixel."""
    height, width = frames.shape[1:3]
    moved = shifts(rolling_shutter_waves(level, moments, height, width), height)
    moved = np.rint(moved / STEP_PX) * STEP_PX
    columns = np.arange(width) - moved[:, :, None]
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], columns.shape)
    seen = arrays.sample(
        frames,
        arrays.array(np.ascontiguousarray(rows)),
        arrays.array(columns.astype(np.float32)),
        "edge",
    )
    return arrays.to_codes(seen)


ENTRIES = (
    Corruption(
        name="rolling_shutter",
        family="digital",
        table={"amplitude_px": (1.0, 2.0, 4.0, 6.0, 8.0)},
        measure="px",
        bounds=(0.0, 200.0),
        version=1,
        temporal="falling",
        stage="optics",
        source="own: rows read one after the other by a camera that vibrates sideways",
        batch=rolling_shutter,
        moves_pixels=True,
        waves=rolling_shutter_waves,
        note="1 to 3 waves in a frame, which belong to the clip and run on from frame to frame; the truth moves too",
    ),
)
