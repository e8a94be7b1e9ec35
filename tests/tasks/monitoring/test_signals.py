"""What a scan says of everything that alerts watch, from tables made by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks import params, tables
from tasks.monitoring.alert_records import INBOX, Signal
from tasks.monitoring.signals import Bound, Scan, allowed, bounds, gather, missed
from tasks.params.alerts import SIGNALS, Alerts
from tasks.quality import tampering

ROOT = Path(__file__).parents[3]
START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def table(name: str, *rows: dict[str, Any], **same: Any) -> pd.DataFrame:
    """Rows of a table of footage; what they leave out is empty."""
    columns = tables.SCHEMAS[name].names
    return pd.DataFrame([{**dict.fromkeys(columns), **same, **row} for row in rows], columns=columns)


def clips(*rows: dict[str, Any]) -> pd.DataFrame:
    return table("footage_clips", *rows, run="r", status="ok", duration_s=10.0)


def scan(**given: Any) -> Scan:
    empty = {name: table(f"footage_{name}") for name in ("clips", "input", "drift", "forecast", "nearest", "decisions")}
    return Scan(**{**empty, **given})


def said(found: list[Signal], name: str, camera: str = "north") -> Signal:
    (signal,) = [signal for signal in found if (signal.name, signal.camera) == (name, camera)]
    return signal


def of(one: Scan, **given: Any) -> list[Signal]:
    return gather(one, Alerts(), **{"gates": {}, "clean_abstention": {}, **given})


def test_a_scan_that_finds_nothing_tells_of_the_inbox_alone() -> None:
    (signal,) = of(scan())
    assert (signal.name, signal.camera, signal.value) == ("backlog", INBOX, 0)


def test_every_signal_of_a_camera_is_there_and_unknown_where_nothing_was_measured() -> None:
    found = of(scan(clips=clips({"clip_id": "a", "camera": "north"})))
    assert {signal.name for signal in found} == set(SIGNALS) - {"missed_scans"}
    assert {signal.name for signal in found if signal.value is None} == {
        "input_drift", "output_drift", "tampering", "forecast", "outside_validated", "abstention",
    }  # fmt: skip
    assert all(signal.status != "ok" and signal.evidence for signal in found if signal.value is None)


def test_backlog() -> None:
    signal = said(of(scan(waiting_files=7, waiting_s=300 * 60)), "backlog", INBOX)
    assert signal.over
    assert signal.value == 300
    assert signal.evidence == "7 files wait for a later scan, the oldest for 300 min"


def test_files_that_could_not_be_used() -> None:
    bad = {"camera": "south", "status": "quarantined", "reason": "no moov atom"}
    rows = clips(
        {"clip_id": "a", "camera": "north", "file": "north/a.mp4"},
        *[{"clip_id": str(n), "file": f"south/{n}.mp4", **bad} for n in range(4)],
        {"clip_id": "f", "camera": "south", "file": "south/f.mp4", "status": "failed", "reason": "x" * 500},
    )
    found = of(scan(clips=rows))
    assert said(found, "quarantined").value == 0
    south = said(found, "quarantined", "south")
    assert (south.value, south.over) == (5, True)
    assert south.evidence.startswith("5 of 5 files could not be used: south/0.mp4 (no moov atom), south/1.mp4")
    assert south.evidence.endswith("and 2 more")
    assert [signal.name for signal in found if signal.camera == "south"] == ["quarantined"], "nothing else was measured"


def test_drift_names_the_features() -> None:
    same = {"camera": "north", "kind": "input", "low": 10.0, "high": 20.0, "n": 9}
    rows = [
        {"feature": "haze", "statistic": "wasserstein", "status": "outside", "share_outside": 0.5},
        {"feature": "blur", "statistic": "wasserstein", "status": "outside", "share_outside": 1.0},
        {"feature": "grain", "statistic": "wasserstein", "status": "inside", "share_outside": 0.0},
        {"feature": "noise", "statistic": "wasserstein", "status": "inside", "share_outside": 0.0},
        {"feature": "qp", "statistic": "wasserstein", "status": "no_reference"},
        {"feature": "noise", "statistic": "ks", "status": "outside", "share_outside": 0.0},
    ]
    found = of(scan(clips=clips({"clip_id": "a", "camera": "north"}), drift=table("footage_drift", *rows, **same)))
    signal = said(found, "input_drift")
    assert (signal.value, signal.over) == (0.5, True)
    assert signal.evidence == (
        "2 of 4 features of the input differ from the reference: blur (100% of windows outside 10 to 20), "
        "haze (50% of windows outside 10 to 20)"
    )
    assert said(found, "output_drift").status == "insufficient"


def test_windows_that_look_tampered_with() -> None:
    limit = tampering.THRESHOLD["cover"]
    rows = [{"t_s": 10.0 * n, "feature": "cover", "value": limit if n == 3 else 0.0} for n in range(10)]
    rows += [{"t_s": 30.0, "feature": "defocus", "value": 1.0}, {"t_s": 0.0, "feature": "haze", "value": 1.0}]
    same = {"clip_id": "a", "camera": "north"}
    signal = said(of(scan(clips=clips(same), input=table("footage_input", *rows, **same))), "tampering")
    assert (signal.value, signal.over) == (0.1, True)
    assert "1 of 10 windows look tampered with: defocus 1.00 at 30 s of clip a" in signal.evidence


def forecast(*rows: dict[str, Any]) -> pd.DataFrame:
    return table("footage_forecast", *rows, camera="north", status="ok", metric="map", naive=0.5, low=0.0, high=1.0)


def test_forecast_is_the_worst_metrics_mean_over_the_footage() -> None:
    seen = forecast(
        {"clip_id": "a", "value": 0.5}, {"clip_id": "b", "value": 0.3},
        {"clip_id": "a", "metric": "hota", "value": 0.45}, {"clip_id": "b", "metric": "hota", "value": 0.45},
    )  # fmt: skip
    rows = clips(
        {"clip_id": "a", "camera": "north", "duration_s": 10.0}, {"clip_id": "b", "camera": "north", "duration_s": 30.0}
    )
    nearest = table("footage_nearest", *[
        {"clip_id": clip, "camera": "north", "rank": rank, "corruption": name, "severity": 3}
        for clip, name, rank in (("a", "defocus_blur", 1), ("b", "defocus_blur", 1), ("a", "snow", 2))
    ])  # fmt: skip
    one = scan(clips=rows, forecast=seen, nearest=nearest)
    signal = said(of(one), "forecast")
    assert signal.value == pytest.approx(0.15)
    assert signal.limit == 0.1
    assert signal.over
    assert signal.evidence == (
        "expected mAP 0.350 [0.000, 1.000], 0.150 below clean 0.500, where 0.100 is allowed by alerts.limits; it looks "
        "most like defocus blur 3"
    )
    signal = said(of(one, gates={"map": Bound(floors=(0.1,))}), "forecast")
    assert signal.evidence.startswith("expected HOTA 0.450"), "half of what is allowed against 0.15 of 0.4"
    assert not signal.over


def test_what_is_allowed_below_clean() -> None:
    gates = {"map": Bound(floors=(0.2, 0.35), drops=(0.2,))}
    assert allowed("map", 0.5, gates, Alerts()) == (pytest.approx(0.15), "gates")
    assert allowed("map", 0.9, gates, Alerts()) == (0.2, "gates")
    assert allowed("map", 0.1, {"map": Bound(floors=(0.2,))}, Alerts()) == (0.1, "alerts.limits")
    assert allowed("miou", 0.5, gates, Alerts()) == (0.1, "alerts.limits")
    assert allowed("map", 0.5, gates, Alerts(floors={"map": 0.1})) == (0.4, "alerts.floors")


def test_footage_that_looks_like_nothing_validated() -> None:
    out = {"status": "outside_validated", "note": "haze is far off"}
    seen = forecast({"clip_id": "a", "value": 0.5}, {"clip_id": "b", **out}, {"clip_id": "b", "metric": "hota", **out})
    rows = clips(
        {"clip_id": "a", "camera": "north", "duration_s": 10.0}, {"clip_id": "b", "camera": "north", "duration_s": 30.0}
    )
    found = of(scan(clips=rows, forecast=seen))
    signal = said(found, "outside_validated")
    assert (signal.value, signal.over) == (0.75, True)
    assert signal.evidence == "75% of the footage looks like nothing that was validated: haze is far off"
    assert said(found, "forecast").value == 0, "of the clip that something is known of"
    alone = of(scan(clips=rows.iloc[1:], forecast=seen.iloc[1:]))
    assert (said(alone, "forecast").value, said(alone, "forecast").status) == (None, "outside_validated")
    assert said(alone, "outside_validated").value == 1


def test_abstention_is_a_rise_over_the_cameras_reference() -> None:
    rows = [
        {"clip_id": clip, "advice": advice, "n_frames": n, "n_boxes": 0}
        for clip, counts in (("a", (10, 0, 0, 0)), ("b", (0, 10, 15, 5)))
        for advice, n in zip(("act", "observe", "abstain", "fall_back"), counts, strict=True)
    ]
    one = scan(
        clips=clips({"clip_id": "a", "camera": "north"}), decisions=table("footage_decisions", *rows, camera="north")
    )
    signal = said(of(one, clean_abstention={"all": 0.25}), "abstention")
    assert (signal.value, signal.over) == (0.25, True)
    assert signal.evidence == "nothing may rest on 50% of 40 frames; on clean ones of the validated run it is 25%"
    assert said(of(one, clean_abstention={"all": 0.0, "north": 0.4}), "abstention").value == pytest.approx(0.1)
    assert said(of(one), "abstention").status == "not_applicable"


def test_missed_scans() -> None:
    late = {"since": START, "interval_s": 900, "missed_scans": 3}
    assert missed(START, START + timedelta(minutes=44), **late).over is False
    assert missed(START, START + timedelta(minutes=45), **late).over is True
    assert missed(None, START + timedelta(minutes=90), **late).value == 6
    assert missed(START - timedelta(days=9), START + timedelta(minutes=9), **late).value == pytest.approx(0.6)
    assert missed(START, START - timedelta(minutes=9), **late).value == 0
    assert "none has ever" in missed(None, START, **late).evidence


def test_bounds_of_the_gates(tmp_path: Path) -> None:
    found = tmp_path / "params.yaml"
    found.write_text("""
models: {one: {adapter: small, weights: one.safetensors}, two: {adapter: small, weights: two.safetensors}}
corruptions: {weather: [fog]}
footage: {model: two, interval_s: 60}
gates:
  - {metric: map, family: weather, severity: 3, min: 0.25}
  - {metric: map, min: 0.3, model: two}
  - {metric: map, min: 0.9, model: one}
  - {metric: map, min: 0.8, severity: 0}
  - {metric: map, min: 0.7, slice: camera=north}
  - {metric: map, min: 0.6, class: car}
  - {metric: hota, against: clean, max_drop: 0.1}
  - {metric: ap50, min: 0.5}
""")
    assert bounds(params.load(found)) == {"map": Bound(floors=(0.25, 0.3)), "hota": Bound(drops=(0.1,))}


def test_bounds_of_our_own_params() -> None:
    assert bounds(params.load(ROOT / "params.yaml"))["map"] == Bound(floors=(0.25,))
