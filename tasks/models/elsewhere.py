"""Models that run elsewhere and cost money while they do: begun before the work, ended after it, however it ends."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tasks.errors import InputError, WorkFailed
from tasks.models import MODELS, settle
from tasks.params import Model

LOGGER = logging.getLogger(__name__)


def is_there(model: Model) -> bool:
    """Whether a model runs elsewhere."""
    return MODELS[model.adapter].ready is not None


def check(given: Mapping[str, Model]) -> None:
    """Refuse models that share what runs elsewhere, and differ in how it is used: the first of them would decide.

    Args:
        given: models by name, each of them checked.

    Raises:
        InputError: with both names and what differs; nothing was started yet.
    """
    first: dict[tuple[str, str], str] = {}
    for name, model in given.items():
        if not is_there(model):
            continue
        other = first.setdefault((model.adapter, str(model.weights)), name)
        theirs, ours = settle(given[other]).options, settle(model).options
        differing = [
            f"options.{option} ({theirs.get(option)} and {ours.get(option)})"
            for option in sorted(MODELS[model.adapter].asides)
            if theirs.get(option) != ours.get(option)
        ]
        if differing:
            raise InputError(
                f"models.{other} and models.{name} share {model.weights}, which runs once for both: give both the same "
                f"{', '.join(differing)}."
            )


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
