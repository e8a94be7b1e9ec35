"""The command `stormglass`: what a user types, and what errors look like.

Exit status: 0 done; 1 the work failed or a gate did; 2 the user's input is wrong; 130 interrupted.
"""

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from flows import arguments
from flows.commands import COMMANDS
from tasks.errors import InputError, WorkFailed

UNFIT: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG}
)
"""What the system says of a place that the user named and that cannot be read or written."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    asked = arguments.parser().parse_args(argv)
    _show_logs()
    developer = asked.traceback or os.environ.get("STORMGLASS_TRACEBACK") == "1"
    try:
        return int(COMMANDS[asked.command](asked) or 0)
    except (InputError, WorkFailed) as error:
        if developer:
            traceback.print_exc()
        print(f"stormglass: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("stormglass: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left, `stormglass gate | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if developer:
            traceback.print_exc()
        sentence, status = _unforeseen(error)
        print(f"stormglass: {sentence}", file=sys.stderr)
        return status


def _unforeseen(error: Exception) -> tuple[str, int]:
    """What is said of an error that the commands do not tell in words of their own, and the exit status."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"The disk is full ({error}): make room, then run it again.", 1
    if isinstance(error, OSError) and error.errno in UNFIT and error.filename is not None:
        return f"Cannot read or write {error.filename} ({error.strerror}): name another place or change its rights.", 2
    told = f"an error of stormglass itself, {type(error).__name__}: {error}"
    return f"{told} (`stormglass --traceback ...` shows where)", 1


def _show_logs() -> None:
    """What tasks have to say while they work goes to stderr, whatever Prefect makes of logging."""
    told = logging.getLogger("tasks")
    if not told.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        told.addHandler(handler)
        told.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
