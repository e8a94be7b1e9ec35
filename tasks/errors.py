"""The one error that a user causes."""


class InputError(ValueError):
    """What the user gave is wrong: one sentence with what was expected, what came, where (file and row), what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


class WorkFailed(RuntimeError):
    """Some of the work failed though the input is right: what was done is written; exit status 1."""
