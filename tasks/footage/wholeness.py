"""Whether a file that has settled is whole: nobody has it open for writing, and an MP4 holds what it says it holds.

That a file has not changed for a while says nothing of a writer that pauses, or of a copy that makes room first and
fills it later. What is found here is a reason to wait, never to throw a file away.
"""

import fcntl
import os
import signal
import struct
from pathlib import Path
from typing import BinaryIO, Final

BOXED: Final = frozenset({".mp4", ".m4v", ".mov"})
"""Files made of boxes (ISO 14496-12, section 4.2), which begin with their length."""

PATIENCE: Final = 30
"""After so many times `settle_s` without a change, a file that is not whole stays so: a recorder that died."""


def unfinished(path: Path, *, unchanged_s: float, settle_s: float) -> str | None:
    """Why a file should be left to its writer; None: it is whole, or will not become so any more.

    Raises:
        OSError: it is gone or may not be read.
    """
    if _written(path):
        return "still being written: another process has it open"
    if path.suffix.lower() in BOXED and unchanged_s < PATIENCE * settle_s:
        with path.open("rb") as file:
            lack = _lacking(file)
        return f"not whole yet: {lack}" if lack else None
    return None


def _written(path: Path) -> bool:
    """Whether a process of this machine has the file open for writing, as far as the system tells.

    The kernel grants a lease for reading only while nobody writes. It is given back at once; should a writer come just
    then, the signal that tells of it is one that does nothing.
    """
    if not hasattr(fcntl, "F_SETLEASE"):  # Linux alone has leases
        return False
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # somebody else's file, or a file system without leases
        return False
    finally:
        os.close(file)
    return False


def _lacking(file: BinaryIO) -> str | None:
    """What a file of boxes lacks; None: nothing, or it is no file of boxes at all."""
    size = file.seek(0, os.SEEK_END)
    kinds: set[bytes] = set()
    at = 0
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            return f"from byte {at} of {size} on there is only room for it" if kinds else None
        if length == 1:  # the length follows in 64 bits
            long = file.read(8)
            length = int.from_bytes(long, "big") if len(long) == 8 else 16
        elif length == 0:  # to the end of the file
            length = size - at
        kinds.add(kind)
        if length < 8:
            return f"the length of its part '{kind.decode('latin-1')}' at byte {at} makes no sense"
        at += length
        if at > size:
            return f"its part '{kind.decode('latin-1')}' goes on to byte {at}, and the file ends at {size}"
    return None if b"moov" in kinds or not kinds else "its index ('moov') is missing"
