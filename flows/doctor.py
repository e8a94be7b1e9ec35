"""`stormglass doctor`: everything a run needs, tried on this machine."""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flows import server
from tasks.errors import InputError, WorkFailed

PACKAGES: Final = (
    "numpy", "pandas", "pyarrow", "pydantic", "scipy", "skimage", "PIL", "torch", "torchvision", "torchmetrics",
    "faster_coco_eval", "pycocotools", "trackeval", "trackers", "imagecorruptions", "albumentations", "plotly",
    "jinja2", "fsspec", "safetensors",
)  # fmt: skip

CODECS: Final = {"h264": "libx264", "h265": "libx265", "av1": "libsvtav1"}

FREE_GB: Final = 5.0
"""A run of the embedded set leaves about 1 GB of parts, outputs and DVC's copies of them; a real one several."""

INSTALL: Final = "`make setup`, or `pip install -e .` in stormglass's folder, installs it"


class Missing(RuntimeError):
    """A check that failed; the message says what to do."""


def examine() -> int:
    """Print a line for each check; 1 when one failed, else 0."""
    checks: dict[str, Callable[[], str]] = {
        "python": _python,
        "packages": _packages,
        "opencv": _opencv,
        "onnxruntime": _onnxruntime,
        "adapters": _adapters,
        "rekognition": _rekognition,
        "device": _device,
        "image": _image,
        **{f"video {name}": lambda name=name: _video(name) for name in CODECS},  # type: ignore[misc]
        "prefect": _prefect,
        "dvc": _dvc,
        "disk": _disk,
    }
    failed = 0
    for name, check in checks.items():
        try:
            print(f"ok      {name:<12} {check()}", flush=True)
        except Missing as error:
            failed += 1
            print(f"failed  {name:<12} {error}", flush=True)
        except Exception as error:
            failed += 1
            print(f"failed  {name:<12} {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
    return 1 if failed else 0


def _python() -> str:
    return sys.version.split()[0]  # pip refuses versions that are too old


def _packages() -> str:
    wrong = []
    for name in PACKAGES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except Exception as error:
            wrong.append(_explain(name, error))
    if wrong:
        raise Missing("; ".join(wrong))
    return f"{len(PACKAGES)} import"


def _explain(name: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "libGL" in text:
        return f"{name}: {text}; the Debian package libgl1 has it: apt-get install libgl1"
    if "libgthread" in text or "libglib" in text:
        return f"{name}: {text}; the Debian package libglib2.0-0 has it: apt-get install libglib2.0-0"
    if isinstance(error, ModuleNotFoundError):
        return f"{name}: not installed ({text}); {INSTALL}"
    return f"{name}: {type(error).__name__}: {text}"


def _opencv() -> str:
    try:
        import cv2
    except ImportError as error:
        raise Missing(_explain("cv2", error)) from None
    return str(cv2.__version__)


def _onnxruntime() -> str:
    try:
        import onnxruntime
    except ImportError:
        return "not installed: only models with `adapter: onnx` need it (pip install -e '.[onnx]')"
    return f"{onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}"


def _adapters() -> str:
    from tasks.models import MODELS  # those of installed packages too

    return ", ".join(MODELS)


def _rekognition() -> str:
    from tasks.models.rekognition_version import stop_left_behind

    try:
        stopped = stop_left_behind()
    except (InputError, WorkFailed) as error:
        raise Missing(str(error)) from None
    return f"stopped {', '.join(stopped)}, left running by a run that was killed" if stopped else "nothing left running"


def _device() -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ones = torch.ones(64, 64, device=device)
    if float((ones @ ones).sum()) != 64**3:
        raise Missing(f"a product of matrices on {device} is wrong: check the driver, or set run.device: cpu")
    return f"{torch.cuda.get_device_name()} ({device})" if device == "cuda" else "cpu (no CUDA device)"


def _image() -> str:
    import cv2
    import numpy as np

    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (48, 1, 3))
    for ending, most in ((".png", 0), (".jpg", 8)):
        done, data = cv2.imencode(ending, ramp)
        back = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if not done or back is None or int(np.abs(back.astype(int) - ramp).max()) > most:
            raise Missing(f"OpenCV does not read back its own {ending}: reinstall opencv-python")
    return "png, jpeg"


def _video(name: str) -> str:
    """Encode and decode eight grey frames."""
    os.environ["SVT_LOG"] = "0"  # before the library is loaded: it writes to stderr past any logger
    import av
    import numpy as np

    from tasks.corruptions.codec import priority

    if CODECS[name] not in av.codecs_available:
        raise Missing(f"this build of PyAV has no {CODECS[name]}: `pip install --force-reinstall av` takes its wheel")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "trial.mkv")
        with priority.kept(), av.open(path, "w") as container:
            stream = container.add_stream(CODECS[name], rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            if name == "h265":
                stream.options = {"x265-params": "log-level=none"}  # it writes to stderr past any logger
            for value in range(0, 160, 20):
                picture = np.full((64, 64, 3), value, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with av.open(path) as container:
            count = sum(1 for _ in container.decode(video=0))
    if count != 8:
        raise Missing(f"{CODECS[name]}: 8 frames went in, {count} came out")
    return CODECS[name]


def _prefect() -> str:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "prefect"
        try:
            started = server.start(home)
            server.wait(started, home)
        except Exception as error:
            log = (home / "server.log").read_text(errors="replace").strip().splitlines()
            raise Missing(f"{error} Last line of the log: {log[-1] if log else 'none'}") from None
        finally:
            server.stop(home)
    return "a server starts and answers"


def _dvc() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "--version"], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise Missing(f"{done.stderr.strip().splitlines()[-1] if done.stderr else 'it does not start'}; {INSTALL}")
    beside = "" if shutil.which("dvc") else "; not on PATH: `source .venv/bin/activate`"
    return done.stdout.strip() + beside


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < FREE_GB:
        raise Missing(f"{free:.1f} GB free in {Path.cwd()}; a run wants {FREE_GB:g} GB")
    return f"{free:.0f} GB free"
