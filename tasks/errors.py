"""The errors that users see, and what others' errors say in them."""

import re
import textwrap


class InputError(ValueError):
    """What the user gave is wrong: one sentence with what was expected, what came, where (file and row), what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


class WorkFailed(RuntimeError):
    """Some of the work failed though the input is right: what was done is written; exit status 1."""


def brief(error: object, most: int = 200) -> str:
    """What a library's error says, on one line without colours, cut between words.

    Of a message that tells of a traceback, as TorchScript's does, what follows that: the error itself.

    Example:
        >>> brief(ValueError("no  such file"), 60), brief("it ends in the middle", 20)
        ('no such file', 'it ends in the ...')
    """
    said = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if "Traceback" in said:
        said = said[max((found.start() for found in re.finditer(r"^[\w.]+: ", said, re.MULTILINE)), default=0) :]
    return textwrap.shorten(said, most, placeholder=" ...")
