"""What is said when a model fails that nobody here wrote: one sentence with its name."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import InputError, WorkFailed, brief


@contextmanager
def named(name: str, seen: str) -> Iterator[None]:
    """Within it, a model is loaded and run.

    Args:
        name: in params.
        seen: what it is shown, in words.

    Raises:
        InputError: the model failed, in a library or in the user's own code.
        WorkFailed: as the model raised it.
    """
    try:
        yield
    except WorkFailed:
        raise
    except InputError as error:
        raise InputError(f"models.{name}: {error}") from None
    except Exception as error:
        raise InputError(f"models.{name} fails on {seen}: {type(error).__name__}: {brief(error, 400)}") from error
