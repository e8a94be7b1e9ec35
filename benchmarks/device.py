"""How fast batches are corrupted where a model runs, with what share of the memory's bandwidth, and what bounds it."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tasks.corruptions import BENCHMARK, find
from tasks.corruptions.engine import Setting, corrupt_frames, on_device

Row = dict[str, Any]

ON_HOST: Final = {"jpeg_compression"}
"""Its codec runs on the host's processor: left out of the mean, as the bar says."""


def measure(
    frames: Sequence[NDArray[np.uint8]], severities: Sequence[int], device: torch.device, *, batch: int, repeats: int
) -> list[Row]:
    """The 15 of the benchmark at each severity: images a second in batches that lie on the device.

    - `images_per_s`: stills, a new clip each, so that all that belongs to a clip is made for every image;
      `kept_images_per_s`: the next frames of one clip.
    - `traffic_bytes_per_px`: what the operations read and write, counted operation by operation; 6 is the least.
    - `bandwidth_share`: that traffic a second, as a share of what a plain copy reaches.
    - `bound`: "host" where queueing the work takes most of the time; "memory" where most of the bandwidth is used;
      else "arithmetic".
    """
    stack = np.stack([frames[number % len(frames)] for number in range(batch)])
    on_it = torch.from_numpy(stack).to(device)
    arrays = on_device(device)
    copied = copy_bytes_per_s(device)
    rows = []
    for name in BENCHMARK:
        corruption = find(name)
        for severity in severities:
            setting = Setting(corruption, corruption.at(severity, None))

            def stills(number: int, chosen: Setting = setting) -> torch.Tensor:
                clips = [f"still {number} {place}" for place in range(batch)]
                out: torch.Tensor = corrupt_frames(on_it, chosen, clips=clips, first_frame=0, arrays=arrays)
                return out

            def kept(number: int, chosen: Setting = setting) -> torch.Tensor:
                out: torch.Tensor = corrupt_frames(
                    on_it, chosen, clips="clip", first_frame=number * batch, arrays=arrays
                )
                return out

            stills(-1)
            with Traffic() as traffic:
                stills(-2)
            whole_s, queued_s = timed(stills, device, repeats)
            kept(0)
            kept_s, _ = timed(kept, device, repeats)
            share = traffic.bytes / whole_s / copied
            bound = "host" if queued_s > 0.8 * whole_s else "memory" if share > 0.5 else "arithmetic"
            rows.append(
                {
                    "name": name,
                    "severity": severity,
                    "images_per_s": batch / whole_s,
                    "kept_images_per_s": batch / kept_s,
                    "operations": traffic.operations,
                    "traffic_bytes_per_px": traffic.bytes / (batch * stack.shape[1] * stack.shape[2]),
                    "bandwidth_share": share,
                    "bound": "codec on the host" if name in ON_HOST else bound,
                }
            )
    return rows


def totals(rows: Sequence[Row], reference_ms: dict[tuple[str, int], float]) -> dict[str, float]:
    """Over all but JPEG: images a second as the harmonic mean, and beside one core of the reference.

    Args:
        rows: `measure`'s.
        reference_ms: The reference's milliseconds an image by name and severity; may be empty.
    """
    counted = [row for row in rows if row["name"] not in ON_HOST]
    seconds = [1 / row["images_per_s"] for row in counted]
    found = {
        "device_images_per_s": len(seconds) / sum(seconds),
        "device_kept_images_per_s": len(counted) / sum(1 / row["kept_images_per_s"] for row in counted),
    }
    known = {(row["name"], row["severity"]) for row in counted} & reference_ms.keys()
    if known:
        theirs = sum(reference_ms[key] for key in known) / 1e3
        ours = sum(1 / row["images_per_s"] for row in counted if (row["name"], row["severity"]) in known)
        found["device_ratio"] = theirs / ours
    return found


def timed(call: Callable[[int], object], device: torch.device, repeats: int) -> tuple[float, float]:
    """Median seconds of a call until the device has done it, and until it is queued."""
    whole, queued = [], []
    for number in range(repeats):
        _wait(device)
        start = perf_counter()
        call(number)
        queued.append(perf_counter() - start)
        _wait(device)
        whole.append(perf_counter() - start)
    return median(whole), median(queued)


def copy_bytes_per_s(device: torch.device, size: int = 2**28) -> float:
    """Bytes a second that a plain copy reads and writes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds, _ = timed(lambda _: target.copy_(source), device, 9)
    return 2 * size / seconds


class Traffic(TorchDispatchMode):
    """Counts what operations read and write: the bytes of the tensors that they take and give, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        taken = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
        made = [value for value in tree_flatten(given)[0] if isinstance(value, torch.Tensor)]
        places = {value.untyped_storage().data_ptr() for value in taken}
        aliases = bool(made) and all(value.untyped_storage().data_ptr() in places for value in made)
        if not (aliases and not func._schema.is_mutable):
            self.bytes += sum(min(value.nbytes, value.untyped_storage().nbytes()) for value in taken + made)
            self.operations += 1
        return given


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
