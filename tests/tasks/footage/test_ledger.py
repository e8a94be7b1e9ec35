"""Whatever happens to an inbox and its scans, in whatever order: each content is taken once, and none is lost."""

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasks.data.frames import UnreadableFrame
from tasks.footage.inbox import listing
from tasks.footage.ledger import Clip
from tasks.footage.runs import Run, Runs
from tests.footage_scans import NOW, agreement, digests, fill, leftovers, minute, scan

CONTENTS = st.sampled_from([b"film 1", b"film 2", b"film 3", b"film 4", b"broken 1", b"broken 2", b"failing"])
PLACES = st.sampled_from(["a.mp4", "b.mp4", "north/a.mp4", "north/c.mp4", "north/deep/d.mp4", "south/a.mp4"])


def work(clip: Clip) -> int:
    content = clip.path.read_bytes()
    if content.startswith(b"broken"):
        raise UnreadableFrame("It is broken.")
    if content == b"failing":
        raise RuntimeError("It fails.")
    return len(content)


class Footage(RuleBasedStateMachine):
    """Files come, move, change and go; scans run to their end, die, or overlap; old folders are removed."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.inbox, self.root = self.folder / "inbox", self.folder / "runs"
        self.inbox.mkdir()
        self.other: tuple[Run, tuple[Clip, ...]] | None = None
        self.done: dict[str, str] = {}
        self.days = 0

    def teardown(self) -> None:
        """In the end the machine is left in peace, and a scan takes what is left to take."""
        if not hasattr(self, "folder"):
            return
        if self.other:
            os.close(self.other[0]._lock)  # killed
        scan(self.inbox, self.root, work=work)
        found = agreement(self.root, removed=True)
        assert self.done.items() <= found.items()
        assert digests(self.inbox) <= set(found)
        assert not leftovers(self.root)
        assert scan(self.inbox, self.root, work=work) is None
        shutil.rmtree(self.folder)

    @rule(place=PLACES, content=CONTENTS)
    def write(self, place: str, content: bytes) -> None:
        (self.inbox / place).parent.mkdir(parents=True, exist_ok=True)
        (self.inbox / place).write_bytes(content)

    @rule(old=PLACES, new=PLACES, keep=st.booleans())
    def copy_or_rename(self, old: str, new: str, keep: bool) -> None:
        if (self.inbox / old).exists() and old != new:
            (self.inbox / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.inbox / old, self.inbox / new)
            if not keep:
                (self.inbox / old).unlink()

    @rule(place=PLACES)
    def delete(self, place: str) -> None:
        (self.inbox / place).unlink(missing_ok=True)

    @rule(minutes=st.integers(1, 3), keep_days=st.sampled_from([None, 1.0]))
    def scan(self, minutes: int, keep_days: float | None) -> None:
        self.days += 1
        now = NOW + timedelta(days=self.days)
        scan(self.inbox, self.root, minutes=minutes, work=work, keep_days=keep_days, now=now)

    @rule(steps=st.integers(0, 4))
    def die(self, steps: int) -> None:
        """A scan that is killed after so many clips."""
        runs = Runs(self.root)
        run = runs.begin(NOW)
        for clip in run.take(listing(self.inbox, settle_s=0), minutes=9, examine=minute).clips[:steps]:
            run.process(clip, work)
        os.close(run._lock)

    @precondition(lambda self: self.other is None)
    @rule(minutes=st.integers(1, 2))
    def overlap(self, minutes: int) -> None:
        """A second scan claims what there is, and is slow."""
        run = Runs(self.root).begin(NOW)
        self.other = run, run.take(listing(self.inbox, settle_s=0), minutes=minutes, examine=minute).clips

    @precondition(lambda self: self.other is not None)
    @rule(finishes=st.booleans())
    def overlap_ends(self, finishes: bool) -> None:
        assert self.other is not None
        (run, clips), self.other = self.other, None
        with run:
            if finishes:
                results = {clip.clip_id: run.process(clip, work) for clip in clips}
                run.finish(fill(run, results), now=NOW)

    @rule()
    def retry(self) -> None:
        ledger = Runs(self.root).ledger
        clips = ledger.clips()
        bad = clips[clips["status"].isin(["quarantined", "failed"])]
        assert ledger.retry(clips["clip_id"].tolist()) == len(bad)
        for sha256 in bad["sha256"]:
            del self.done[sha256]

    @invariant()
    def nothing_is_twice_and_nothing_is_forgotten(self) -> None:
        if hasattr(self, "root"):
            found = agreement(self.root, removed=True)
            assert self.done.items() <= found.items()
            self.done = dict(found)


TestFootage = Footage.TestCase
TestFootage.settings = settings(max_examples=12, stateful_step_count=12, deadline=None, derandomize=True)
