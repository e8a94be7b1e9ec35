"""Imported by a process that others are forked from: loads what `tasks.processes.ahead` was given, and settles it.

What is loaded is never looked through for garbage again: the pages that forked processes share with it stay shared, and
its end takes no second (Python's manual, `gc.freeze`).
"""

import contextlib
import gc
import importlib
import os

from tasks.processes import MODULES

for name in os.environ.get(MODULES, "").split():
    with contextlib.suppress(Exception):  # who needs it loads it again, and says what is wrong
        importlib.import_module(name)
gc.freeze()
