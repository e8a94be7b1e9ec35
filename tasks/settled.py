"""Imported by a process that others are forked from: loads what `tasks.processes.ahead` was given, and settles it.

What is loaded is never looked through for garbage again: the pages that forked processes share with it stay shared
(Python's manual, `gc.freeze`). At the end nothing is taken down, for who reads the command's output waits for it.
"""

import atexit
import contextlib
import gc
import importlib
import os

from tasks.processes import MODULES

gc.disable()  # the collector would go through what is loaded again and again
for name in os.environ.get(MODULES, "").split():
    with contextlib.suppress(Exception):  # who needs it loads it again, and says what is wrong
        importlib.import_module(name)
gc.freeze()
gc.enable()
atexit.register(os._exit, 0)
