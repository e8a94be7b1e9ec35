"""The part store: whole parts or none."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import tables
from tasks.errors import InputError
from tasks.store import DamagedPart, Store, part_key
from tasks.store.files import STALE_S

DECIDED_BY = {"model": {"weights_sha256": "ab"}, "corruption": {"name": "fog", "severity": 3}, "seed": 0}
KEY = part_key(DECIDED_BY)
TIMINGS = pd.DataFrame({"frame_id": [1], "n_frames": [8], "stage": ["infer"], "ms": [2.5]})


def predictions(rows: int = 3, seed: int = 0) -> pd.DataFrame:
    score = np.sort(np.random.default_rng(seed).random(rows).astype(np.float32))[::-1]
    box = {name: np.arange(rows, dtype=np.float32) for name in ("x0_px", "y0_px", "x1_px", "y1_px")}
    table = {"prediction_id": np.arange(rows), "frame_id": 1, "class_id": 1, "score": score, **box}
    return pd.DataFrame({**table, "mask": None, "track_id": None, "label_map": None, "probabilities": None})


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(params=["local", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = {"local": tmp_path / "parts", "file": f"file://{tmp_path}/parts", "memory": f"memory://{tmp_path.name}"}
    return Store(url[request.param])


def test_a_place_where_nothing_can_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"run\.store: cannot make the folder .*file/parts in .*/file: name another"):
        Store(tmp_path / "file/parts")
    (tmp_path / "file").unlink()
    store = Store(tmp_path / "file/parts")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"run\.store: cannot write parts to .*file/parts \(Not a directory\)"):
        store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    assert [place.name for place in tmp_path.iterdir()] == ["file"]


def test_key_is_of_content_not_of_order() -> None:
    assert part_key(dict(reversed(DECIDED_BY.items()))) == KEY
    assert part_key({**DECIDED_BY, "seed": 1}) != KEY
    assert len(KEY) == 64
    with pytest.raises(ValueError, match="float"):
        part_key({"level": float("nan")})


def test_what_is_put_is_got(store: Store, tmp_path: Path) -> None:
    assert not store.has(KEY)
    with pytest.raises(FileNotFoundError):
        store.get(KEY)
    store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    assert store.has(KEY, verify=True)
    assert store.get(KEY)["score"].tolist() == predictions()["score"].tolist()
    assert store.timings(KEY)["ms"].tolist() == [2.5]
    store.link(KEY, tmp_path / "out/part.parquet")
    assert tables.read("predictions", tmp_path / "out/part.parquet")["frame_id"].tolist() == [1, 1, 1]
    with pytest.raises(FileNotFoundError):
        store.link("0" * 64, tmp_path / "out/other.parquet")


def test_layout_and_record(tmp_path: Path) -> None:
    Store(tmp_path).put(KEY, predictions(), TIMINGS, DECIDED_BY)
    folder = tmp_path / KEY[:2]
    assert files(folder) == {f"{KEY}.parquet", f"{KEY}.json", f"{KEY}.timings.parquet"}
    record = json.loads((folder / f"{KEY}.json").read_text())
    data = (folder / f"{KEY}.parquet").read_bytes()
    assert record == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "decided_by": DECIDED_BY}


def test_local_parts_are_linked_not_copied(tmp_path: Path) -> None:
    store = Store(tmp_path / "parts")
    store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    store.link(KEY, tmp_path / "part.parquet")
    assert (tmp_path / "part.parquet").stat().st_nlink == 2


def test_a_link_across_file_systems_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    store = Store(tmp_path / "parts")
    store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    store.link(KEY, tmp_path / "part.parquet")
    assert len(tables.read("predictions", tmp_path / "part.parquet")) == 3


@pytest.mark.parametrize("harm", ["shorter", "changed", "gone", "record"])
def test_a_damaged_part_is_removed_and_said(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    part, record = (tmp_path / KEY[:2] / f"{KEY}{ending}" for ending in (".parquet", ".json"))
    data = part.read_bytes()
    if harm == "shorter":
        part.write_bytes(data[:-1])
    elif harm == "changed":
        part.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    elif harm == "gone":
        part.unlink()
    else:
        record.write_text('{"sha256": ')
    assert store.has(KEY) == (harm == "changed")  # a size can be looked up always, a checksum has to read
    if harm == "changed":
        with pytest.raises(DamagedPart, match="damaged"):
            store.get(KEY)
    assert not store.has(KEY)
    assert "damaged" in caplog.text
    assert files(tmp_path) == set()
    store.put(KEY, predictions(), TIMINGS, DECIDED_BY)
    assert store.has(KEY, verify=True)


def test_facts_lie_beside_the_parts_and_are_none_of_them(store: Store) -> None:
    assert store.kept("timings", KEY) is None
    store.keep("timings", KEY, TIMINGS)
    pd.testing.assert_frame_equal(store.kept("timings", KEY), TIMINGS, check_dtype=False)
    store.keep("timings", KEY, TIMINGS.assign(ms=9.0))
    assert store.kept("timings", KEY)["ms"].tolist() == [2.5]  # type: ignore[index]
    assert not store.has(KEY)


def test_facts_that_were_damaged_are_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "parts")
    store.keep("timings", KEY, TIMINGS)
    (file,) = (tmp_path / "parts").rglob("*.timings.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    assert store.kept("timings", KEY) is None
    store.keep("timings", KEY, TIMINGS)
    assert store.kept("timings", KEY) is not None


def test_of_two_writers_the_first_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(KEY, predictions(seed=1), TIMINGS, DECIDED_BY)
    store.put(KEY, predictions(seed=2), TIMINGS, DECIDED_BY)
    assert store.get(KEY)["score"].tolist() == predictions(seed=1)["score"].tolist()
    assert len(files(tmp_path)) == 3


def test_a_dead_writers_temporaries_are_cleared_later(tmp_path: Path) -> None:
    young, old = (tmp_path / f"aa/.{name}.parquet.part" for name in ("young", "old"))
    young.parent.mkdir()
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - STALE_S - 60,) * 2)
    Store(tmp_path)
    assert files(tmp_path) == {young.name}


def hammer(folder: Path, seed: int) -> None:
    store = Store(folder)
    for number in range(120):
        decided_by = {"part": number % 40}
        store.put(part_key(decided_by), predictions(500, seed), TIMINGS, decided_by)


def test_writers_at_once_and_killed_leave_whole_parts(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=hammer, args=(tmp_path, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    while len(files(tmp_path)) < 12:
        assert any(writer.is_alive() for writer in writers)
        time.sleep(0.02)
    os.kill(writers[0].pid or 0, signal.SIGKILL)
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [-signal.SIGKILL, 0, 0]
    store = Store(tmp_path)
    for number in range(40):
        assert store.has(part_key({"part": number}), verify=True)
