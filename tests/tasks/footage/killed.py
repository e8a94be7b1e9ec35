"""Scan an inbox in processes that are killed with -9 at given moments: `killed.py INBOX FOLDER [MOMENT,MOMENT ...]`.

A moment is the number of an event: each file opened, folder listed, rename, removal, folder made, lock and connection
that Python's audit tells of in the inbox or FOLDER, and each statement given to SQLite, before it and after it. For
every word of moments a process is started for each of them, the first killed at the first moment and so on, and then
one that nobody kills; all in a folder of their own, FOLDER/<moments>. Without moments, prints how many events a scan
has. Otherwise prints a line of JSON: the ends of the processes (-9 or 0) by word.
"""

import json
import os
import signal
import sqlite3
import sys
from pathlib import Path

from tasks.footage import database
from tests import footage_scans

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "fcntl.flock", "sqlite3.connect"}
LOOKS = {"open", "os.listdir", "os.scandir"}
"""Those of Python's own modules are none of ours, and never the same number."""


class Counter:
    """Counts events, and kills the process at one of them."""

    def __init__(self, last: int | None, folders: tuple[Path, ...]) -> None:
        self.count, self.last = 0, last
        self.folders = tuple(map(str, folders))

    def event(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, words: tuple[object, ...]) -> None:
        if name in CHANGES or (name in LOOKS and str(words[0]).startswith(self.folders)):
            self.event()


def process(inbox: Path, root: Path, moment: int | None) -> tuple[int, int]:
    """Scan in a process of its own: its end and, where nobody killed it, the number of its events."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        counter = Counter(moment, (inbox, root))

        class Watched(sqlite3.Connection):
            def execute(self, *words: object) -> sqlite3.Cursor:
                counter.event()
                found = super().execute(*words)
                counter.event()
                return found

        connect = sqlite3.connect
        database.sqlite3.connect = lambda *words, **more: connect(*words, factory=Watched, **more)
        sys.addaudithook(counter.audit)
        footage_scans.scan(inbox, root)
        os.write(writer, str(counter.count).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    told = os.read(reader, 100).decode()
    os.close(reader)
    return os.waitstatus_to_exitcode(status), int(told or 0)


def main() -> None:
    inbox, folder, *words = sys.argv[1:]
    if not words:
        print(process(Path(inbox), Path(folder) / "counted", None)[1])
        return
    ends = {}
    for word in words:
        moments = [int(moment) for moment in word.split(",")]
        ends[word] = [process(Path(inbox), Path(folder) / word, moment)[0] for moment in [*moments, None]]
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
