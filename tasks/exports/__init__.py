"""What leaves a run for other tools: frames that models failed on, as a data set of their own or with the evidence."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import InputError

__all__ = ["staged"]


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder to write to that becomes `out` when the block ends without an error, and goes away with one.

    Raises:
        InputError: there is something at `out` already, but for an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not an empty folder: give a new folder to write to.")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder.chmod(0o755)  # mkdtemp's are for their owner alone
        yield folder
        if out.exists():
            out.rmdir()
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
