"""Models that run elsewhere and cost money while they do: begun before the work, ended after it, however it ends."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import WorkFailed
from tasks.models import MODELS, settle
from tasks.params import Model

LOGGER = logging.getLogger(__name__)


def is_there(model: Model) -> bool:
    """Whether a model runs elsewhere."""
    return MODELS[model.adapter].ready is not None


def ready(model: Model) -> None:
    """Start a model that runs elsewhere, and wait until it answers; nothing to do for any other. Within `services`.

    Raises:
        InputError: it cannot run, or may not be started.
        WorkFailed: it does not answer in time.
    """
    begin = MODELS[model.adapter].ready
    if begin is not None:
        begin(settle(model))


@contextmanager
def services() -> Iterator[None]:
    """Within the block such models may be used; what was started for it is ended with it.

    Raises:
        WorkFailed: something could not be ended.
    """
    try:
        yield
    except BaseException:
        try:
            _release()
        except WorkFailed as error:  # beside the error that ended the block
            LOGGER.error("%s", error)
        raise
    _release()


def _release() -> None:
    for adapter in MODELS.loaded.values():
        adapter.release()
