"""Taking footage in: once, whatever it is called; in order; and all of a run or nothing."""

import fcntl
import os
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from tasks import tables
from tasks.data.frames import UnreadableFrame
from tasks.errors import InputError, WorkFailed
from tasks.footage import database, facts
from tasks.footage.inbox import Left, listing
from tasks.footage.ledger import Backlog, Clip
from tasks.footage.runs import CRASHES, Runs
from tests.footage_scans import NOW, agreement, digests, leftovers, minute, names, scan, write_video

NO_SIGNALS = pd.DataFrame({"camera": [], "signal": [], "value": []})


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Three files of next to nothing, from the oldest to the newest."""
    for at, name in enumerate(("north/a.mp4", "south/b.mp4", "c.mp4")):
        path = tmp_path / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"film {at}".encode())
        os.utime(path, (1e9 + at, 1e9 + at))
    return tmp_path / "inbox"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def statuses(root: Path) -> dict[str, str]:
    clips = Runs(root).ledger.clips()
    return dict(zip(clips["file"], clips["status"], strict=True))


def whole(path: Path) -> facts.Facts:
    if path.read_bytes() == b"film 1":
        raise UnreadableFrame(f"{path} is broken.")
    return minute(path)


def test_a_run_and_nothing_again(inbox: Path, root: Path) -> None:
    place = scan(inbox, root)
    assert place == root / "20261122T031500Z"
    table = tables.read("footage_clips", place / "clips.parquet")
    assert table["status"].tolist() == ["ok"] * 3
    assert set(zip(table["camera"], table["file"], strict=True)) == {
        ("north", "north/a.mp4"), ("south", "south/b.mp4"), ("all", "c.mp4")
    }  # fmt: skip
    assert table[["bytes", "duration_s", "n_frames", "width_px", "frame_rate", "codec"]].iloc[0].tolist() == [
        6, 60.0, 600, 64, 10.0, "h264"
    ]  # fmt: skip
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")
    assert {digest[:16] for digest in digests(inbox)} == set(table["clip_id"])
    assert scan(inbox, root) is None  # a scan that finds nothing leaves no folder
    assert Runs(root).ledger.last_completed() == "2026-11-22T03:15:00Z"
    assert leftovers(root) == set()


def test_a_renamed_or_copied_file_is_not_new_and_a_replaced_one_is(inbox: Path, root: Path) -> None:
    scan(inbox, root)
    (inbox / "north/a.mp4").rename(inbox / "south/renamed.mp4")
    shutil.copyfile(inbox / "c.mp4", inbox / "north/copy.mp4")
    shutil.copyfile(inbox / "c.mp4", inbox / "c2.mp4")
    assert scan(inbox, root) is None
    (inbox / "c.mp4").write_bytes(b"another film")
    place = scan(inbox, root)
    assert place is not None
    assert tables.read("footage_clips", place / "clips.parquet")["file"].tolist() == ["c.mp4"]
    assert place.name == "20261122T031500Z-3"  # the names of this second are used up
    assert set(agreement(root).values()) == {"ok"}
    assert len(agreement(root)) == 4


def test_copies_that_come_together_are_one(inbox: Path, root: Path) -> None:
    shutil.copyfile(inbox / "c.mp4", inbox / "again.mp4")
    seen: list[str] = []
    scan(inbox, root, work=lambda clip: seen.append(clip.sha256) or 0)
    assert len(seen) == len(set(seen)) == 3


def test_what_has_not_changed_is_not_read_again(inbox: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(inbox, root)
    opened: list[Path] = []
    monkeypatch.setattr(Path, "open", lambda path, *_, **__: opened.append(path) or 1 / 0)
    assert scan(inbox, root) is None
    assert opened == []
    monkeypatch.undo()
    os.utime(inbox / "c.mp4")  # read again, and found to be the same
    assert scan(inbox, root) is None


def test_broken_files_are_quarantined_with_the_reason_and_may_be_tried_again(inbox: Path, root: Path) -> None:
    def work(clip: Clip) -> int:
        if clip.camera == "all":
            raise UnreadableFrame(f"The video {clip.path} does not decode\n after frame 7.")
        return 0

    place = scan(inbox, root, examine=whole, work=work)
    assert place is not None
    table = tables.read("footage_clips", place / "clips.parquet").set_index("file")
    assert table["status"].to_dict() == {"north/a.mp4": "ok", "south/b.mp4": "quarantined", "c.mp4": "quarantined"}
    assert table["reason"].to_dict() == {
        "north/a.mp4": None,
        "south/b.mp4": "south/b.mp4 is broken.",
        "c.mp4": "The video c.mp4 does not decode after frame 7.",
    }
    assert pd.isna(table.loc["south/b.mp4", "duration_s"])
    assert sorted(path.name for path in inbox.rglob("*.mp4")) == ["a.mp4", "b.mp4", "c.mp4"]  # left where they are
    assert scan(inbox, root) is None
    ledger = Runs(root).ledger
    quarantined = ledger.clips(status="quarantined")
    assert set(quarantined["reason"]) == set(table["reason"].dropna())
    done = ledger.clips(status="ok")["clip_id"].tolist()
    assert ledger.retry([*done, *quarantined["clip_id"], "0" * 16]) == 2
    assert statuses(root) == {"north/a.mp4": "ok", "south/b.mp4": "open", "c.mp4": "open"}
    scan(inbox, root)
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")


def test_work_that_fails_is_not_the_files_fault(inbox: Path, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    def work(clip: Clip) -> int:
        if clip.camera == "south":
            raise RuntimeError
        return 0

    scan(inbox, root, work=work)
    failed = Runs(root).ledger.clips(status="failed")
    assert failed[["file", "reason"]].to_numpy().tolist() == [["south/b.mp4", "RuntimeError"]]
    assert "Traceback" in caplog.text
    assert Runs(root).ledger.retry(failed["clip_id"].tolist()) == 1


@pytest.mark.parametrize("error", [InputError("The weights are missing."), KeyboardInterrupt()])
def test_wrong_settings_end_the_scan_and_give_everything_back(inbox: Path, root: Path, error: BaseException) -> None:
    def work(clip: Clip) -> int:
        if clip.camera == "south":
            raise error
        return 0

    with pytest.raises(type(error)):
        scan(inbox, root, work=work)
    assert set(statuses(root).values()) == {"open"}
    assert names(root) == {"ledger.sqlite"}
    assert Runs(root).ledger.last_completed() is None
    scan(inbox, root)
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")


def test_a_week_that_lands_at_once_is_taken_oldest_first(inbox: Path, root: Path) -> None:
    runs = Runs(root)
    taken: list[list[str]] = []
    backlogs: list[Backlog] = []
    for _ in range(3):
        with runs.begin(NOW) as run:
            batch = run.take(listing(inbox, settle_s=0), minutes=2, examine=minute)
            taken.append([clip.file for clip in batch.clips])
            backlogs.append(batch.backlog)
            for clip in batch.clips:
                run.process(clip, lambda clip: 0)
            run.finish(NO_SIGNALS)
    assert taken == [["north/a.mp4", "south/b.mp4"], ["c.mp4"], []]
    assert [one.n_files for one in backlogs] == [1, 0, 0]
    assert backlogs[0].oldest_s is not None
    assert 0 <= backlogs[0].oldest_s < 60  # since it lies there; that it was written in 2001 makes no backlog old
    assert backlogs[1].oldest_s is None


@pytest.mark.parametrize(("minutes", "expected"), [(0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2)])
def test_one_is_taken_however_long_and_no_minute_too_much(
    inbox: Path, root: Path, minutes: float, expected: int
) -> None:
    with Runs(root).begin(NOW) as run:
        batch = run.take(listing(inbox, settle_s=0), minutes=minutes, examine=minute)
        assert (len(batch.clips), batch.backlog.n_files) == (expected, 3 - expected)
    assert "claimed" not in statuses(root).values()


def test_files_that_vanish_change_or_are_written_are_left(inbox: Path, root: Path) -> None:
    found = listing(inbox, settle_s=0)
    (inbox / "north/a.mp4").unlink()
    (inbox / "south/b.mp4").write_bytes(b"other film")
    with (inbox / "c.mp4").open("ab"), Runs(root).begin(NOW) as run:
        batch = run.take(found, minutes=9, examine=minute)
        assert batch.clips == ()
        since = {one.name: one.received_utc for one in found.arrivals}
        assert batch.left == (
            Left("north/a.mp4", "gone since it was listed", since["north/a.mp4"]),
            Left("south/b.mp4", "still being written: it changed while it was read", since["south/b.mp4"]),
            Left("c.mp4", "still being written: another process has it open", since["c.mp4"]),
        )
        assert {one.kind for one in batch.left} == {"gone since it was listed", "still being written"}
        assert run.table().empty
        tables.to_arrow("footage_clips", run.table())
    scan(inbox, root)
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")


@pytest.mark.parametrize("happens", ["vanishes", "grows"])
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_what_vanishes_or_changes_under_work_comes_again(inbox: Path, root: Path, happens: str, ends: str) -> None:
    def work(clip: Clip) -> int:
        if clip.camera == "south":
            clip.path.unlink() if happens == "vanishes" else clip.path.write_bytes(b"film 1 and more")
            if ends == "badly":
                raise UnreadableFrame("It does not decode.")
        return 0

    place = scan(inbox, root, work=work)
    assert place is not None
    assert tables.read("footage_clips", place / "clips.parquet")["file"].tolist() == ["north/a.mp4", "c.mp4"]
    again = scan(inbox, root)
    assert (again is None) is (happens == "vanishes")
    assert agreement(root) == dict.fromkeys(digests(inbox), "ok")


def test_two_scans_at_once_share_the_work(inbox: Path, root: Path) -> None:
    """The second begins while the first has everything in hand, and takes what came since."""
    runs = Runs(root)
    with runs.begin(NOW) as first:
        mine = first.take(listing(inbox, settle_s=0), minutes=9, examine=minute).clips
        (inbox / "late.mp4").write_bytes(b"late film")
        assert Runs(root).recover() == []  # the first is alive
        place = scan(inbox, root)
        assert place is not None
        assert place.name == f"{first.name}-2"
        assert tables.read("footage_clips", place / "clips.parquet")["file"].tolist() == ["late.mp4"]
        for clip in mine:
            assert first.process(clip, lambda clip: 7) == 7
        tables.write("footage_clips", first.table(), first.folder / "clips.parquet")
        first.finish(NO_SIGNALS)
    assert set(statuses(root).values()) == {"ok"}
    assert len(statuses(root)) == 4


def test_the_dead_are_told_from_the_living_by_their_locks(inbox: Path, root: Path) -> None:
    runs = Runs(root)
    run = runs.begin(NOW)
    clip, *_ = run.take(listing(inbox, settle_s=0), minutes=9, examine=minute).clips
    run.process(clip, lambda clip: 0)
    assert set(statuses(root).values()) == {"claimed"}
    assert Runs(root).recover() == []
    assert Runs(root).under_way() == NOW
    with Runs(root).begin(NOW):
        assert Runs(root).under_way() == NOW
    os.close(run._lock)  # what its death would do
    assert Runs(root).under_way() is None
    assert Runs(root).recover() == [run.name]
    assert set(statuses(root).values()) == {"open"}
    assert names(root) == {"ledger.sqlite"}


def test_a_run_whose_folder_has_its_name_is_completed(inbox: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(root)
    monkeypatch.setattr(runs.ledger, "complete", lambda run: 1 / 0)
    with runs.begin(NOW) as run:
        for clip in run.take(listing(inbox, settle_s=0), minutes=9, examine=minute).clips[:2]:
            run.process(clip, lambda clip: 0)
        tables.write("footage_clips", run.table(), run.folder / "clips.parquet")
        with pytest.raises(ZeroDivisionError):
            run.finish(pd.DataFrame({"camera": ["all"], "signal": ["backlog"], "value": [float("nan")]}))
    assert Runs(root).ledger.history().empty
    assert Runs(root).recover() == [run.name]
    assert Runs(root).recover() == []
    history = Runs(root).ledger.history()
    assert history[["run", "camera", "signal"]].to_numpy().tolist() == [[run.name, "all", "backlog"]]
    assert history["value"].isna().all()
    assert sorted(statuses(root).values()) == ["ok", "ok", "open"]  # what it had not come to is given back


def test_a_clip_that_kills_its_process_does_not_hold_up_the_others(inbox: Path, root: Path) -> None:
    for _ in range(CRASHES):
        runs = Runs(root)
        runs.recover()
        run = runs.begin(NOW)
        clips = run.take(listing(inbox, settle_s=0), minutes=9, examine=minute).clips
        assert len(clips) == 3
        run.process(clips[0], lambda clip: 0)
        runs.ledger.work(run.name, clips[1].sha256, begins=True)
        os.close(run._lock)  # killed while at the second
    scan(inbox, root)
    assert statuses(root) == {"north/a.mp4": "ok", "south/b.mp4": "quarantined", "c.mp4": "ok"}
    (reason,) = Runs(root).ledger.clips(status="quarantined")["reason"]
    assert reason == f"The process that worked on south/b.mp4 was killed {CRASHES} times."


def test_old_folders_go_and_old_clips_do_not_come_back(inbox: Path, root: Path) -> None:
    first = scan(inbox, root)
    (inbox / "late.mp4").write_bytes(b"late film")
    second = scan(inbox, root, now=NOW + timedelta(days=20))
    (root / "notes").mkdir()
    (root / "20200101T000000Z").mkdir()  # somebody else's
    under_way = Runs(root).begin(NOW - timedelta(days=90))
    assert Runs(root).prune(keep_days=None) == []
    assert Runs(root).prune(keep_days=30, now=NOW + timedelta(days=31)) == [first.name if first else None]
    assert under_way.folder.is_dir()
    with under_way:
        pass
    kept = {"20200101T000000Z", "ledger.sqlite", "notes", second.name if second else None}
    assert names(root) == kept
    assert scan(inbox, root) is None
    history = Runs(root).ledger.history()
    assert history.groupby("run", sort=False).size().tolist() == [3, 1]
    assert Runs(root).ledger.history(days=5, now=NOW + timedelta(days=21))["run"].tolist() == [second and second.name]


def test_a_removal_that_was_cut_short_is_finished(inbox: Path, root: Path) -> None:
    place = scan(inbox, root)
    assert place is not None
    place.rename(root / f".{place.name}")  # killed between the two steps of a removal
    (root / ".20261122T031501Z.lock").touch()  # and one before its run was in the ledger
    assert Runs(root).recover() == []
    assert names(root) == {"ledger.sqlite"}
    assert agreement(root, removed=True) == dict.fromkeys(digests(inbox), "ok")


def test_signals_are_checked_before_anything_counts(inbox: Path, root: Path) -> None:
    twice = pd.DataFrame({"camera": ["a", "a"], "signal": ["x", "x"], "value": [1.0, 2.0]})
    for signals, told in ((twice, "each signal of a camera once, got 'x' of 'a' twice"), (twice[["camera"]], "lacks")):
        with pytest.raises(InputError, match=told), Runs(root).begin(NOW) as run:
            run.finish(signals)
    assert names(root) == {"ledger.sqlite"}
    with Runs(root).begin(NOW) as run:
        run.process(run.take(listing(inbox, settle_s=0), minutes=9, examine=minute).clips[0], lambda clip: 0)
        with pytest.raises(ValueError, match=r"keeps its folder"):
            run.finish(NO_SIGNALS, keep_folder=False)


def test_runs_do_not_lie_in_the_inbox(inbox: Path) -> None:
    write_video(inbox / "runs/20260101T000000Z/clips/a.mp4")
    with pytest.raises(InputError, match=r"lies in footage.inbox"):
        scan(inbox, inbox / "runs")


def test_places_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"footage.runs: the folder .* cannot be made"):
        Runs(tmp_path / "file/runs")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/ledger.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match=r"ledger.sqlite is not a readable ledger \(file is not a database\)"):
        Runs(tmp_path / "runs")
    (tmp_path / "other/ledger.sqlite").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written"):
        Runs(tmp_path / "other")
    monkeypatch.setattr(database, "FORM", 2)
    Runs(tmp_path / "newer")
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"another version \(form 2, expected 1\)"):
        Runs(tmp_path / "newer")


def test_a_ledger_that_stays_locked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(root)
    monkeypatch.setattr(database, "WAIT_S", 0.05)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with runs.ledger._db.changing():
            held.set()
            over.wait(30)

    other = threading.Thread(target=hold)
    other.start()
    held.wait(30)
    try:
        with pytest.raises(WorkFailed, match=r"another process has kept it locked"):
            runs.begin(NOW)
    finally:
        over.set()
        other.join()


def test_a_disk_without_locks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: int, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(InputError, match=r"keeps no locks .No locks available."):
        Runs(root).begin(NOW)
