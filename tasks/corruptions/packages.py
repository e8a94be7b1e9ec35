"""Packages that some corruptions need, imported when first used: the others run without them."""

import os
from typing import Any

from tasks.errors import InputError


def albumentations(wanted_by: str) -> Any:
    """The package albumentations.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks the network for a newer version on import
    try:
        import albumentations as package
    except ImportError:
        raise InputError(f"{wanted_by} needs the package albumentations, which is not installed: install it.") from None
    return package
