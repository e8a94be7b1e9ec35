"""Damaged streams: as many frames as went in whatever was lost, concealed, the same each time, worse with level."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.corruptions.codec import ENTRIES, damage
from tasks.corruptions.codec.coding import H264, Tally, nal_kind, nal_units, new_encoder
from tasks.corruptions.codec.colour import Colour, pyav
from tasks.corruptions.interface import Coding
from tasks.corruptions.seeds import streams

Frames = NDArray[np.uint8]
Through = Callable[..., tuple[Frames, dict[str, float]]]
NAMED = {entry.name: entry for entry in ENTRIES}
NAMES = ("packet_loss", "bit_errors")


def mean_error(truth: Frames, seen: Frames) -> float:
    return float(np.abs(truth.astype(int) - seen).mean())


@pytest.mark.parametrize("name", NAMES)
def test_untouched_at_zero(street: Frames, through: Through, name: str) -> None:
    out, facts = through(name, street, level=0)
    assert mean_error(street, out) < 4  # what coding at CRF 23 leaves
    assert facts["frames_lost"] == 0
    assert facts["packets_lost" if name == "packet_loss" else "packets_damaged"] == 0
    assert facts["packets"] >= len(street)
    for at in (0, 17, 49, 50, 59):  # each at its time
        assert int(np.argmin([mean_error(frame, out[at]) for frame in street])) == at


@pytest.mark.parametrize("name", NAMES)
def test_damage_rises_with_severity(street: Frames, through: Through, name: str) -> None:
    errors = []
    for severity in (1, 2, 3, 4, 5):
        errors.append(
            np.mean([mean_error(street, through(name, street, severity=severity, seed=s)[0]) for s in range(6)])
        )
    assert errors == sorted(set(errors))


def test_share_of_packets_lost_and_all_of_them(street: Frames, through: Through) -> None:
    lost = packets = 0.0
    for seed in range(8):
        facts = through("packet_loss", street, level=20, seed=seed)[1]
        lost, packets = lost + facts["packets_lost"], packets + facts["packets"]
    assert lost / packets == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / packets) ** 0.5)
    out, facts = through("packet_loss", street, level=100)
    assert facts["packets_lost"] == facts["packets"]
    assert facts["frames_lost"] == len(street)
    assert (out == damage.GREY).all()  # no frame came before the first


def test_bits_flipped_are_as_many_as_asked_for(street: Frames, through: Through) -> None:
    facts = through("bit_errors", street, level=1e-3)[1]
    bits = facts["bits_per_pixel"] * street[..., 0].size
    assert facts["bits_flipped"] == pytest.approx(bits * 1e-3, rel=0.3)
    assert 0 < facts["packets_damaged"] <= facts["packets"]


def test_losses_are_those_of_higher_levels_too() -> None:
    """Packets at packet_loss, bits at bit_errors; the packet's own first byte never."""
    packets = [bytes([65, *np.random.default_rng(at).integers(0, 256, 1300)]) for at in range(40)]
    key = streams(np.array([77], np.uint64), 3)
    gone: set[int] = set()
    for share in (0.01, 0.05, 0.2, 0.9):
        now = set(np.flatnonzero(damage._words(key, 4000) < damage._threshold(share)).tolist())
        assert gone < now
        gone = now
    before = [np.zeros(8 * 1301, bool)] * 40
    for rate in (1e-5, 1e-4, 1e-3, 1e-2):
        losses = damage.Losses(rate)
        after = [damage._flipped(packet, streams(key, at), losses) for at, packet in enumerate(packets)]
        flips = [
            np.unpackbits(np.frombuffer(old, np.uint8) ^ np.frombuffer(new, np.uint8)).astype(bool)
            for old, new in zip(packets, after, strict=True)
        ]
        assert not any(each[:8].any() for each in flips)
        assert all((each >= earlier).all() for each, earlier in zip(flips, before, strict=True))
        assert losses.bits_flipped == sum(int(each.sum()) for each in flips)
        before = flips


def test_each_frame_of_the_clip_has_its_own_losses(street: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys hang on the clip's seed and the frame's index in it, and on nothing else."""
    entry, real = NAMED["packet_loss"], damage._words
    assert entry.clip is not None

    def keys(seed: int, first_frame: int, level: float) -> list[int]:
        seen: list[int] = []

        def words(key: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
            seen.append(int(key[0]))
            return real(key, count)

        monkeypatch.setattr(damage, "_words", words)
        list(entry.clip(iter(street[:20]), entry.at(None, level), Coding(seed, first_frame)))  # type: ignore[misc]
        return seen

    whole = keys(3, 0, 5)
    assert len(set(whole)) == 20
    assert keys(3, 0, 50) == whole
    assert keys(3, 12, 5)[:8] == whole[12:]
    assert not set(keys(4, 0, 5)) & set(whole)


def test_packets_fit_and_key_frames_return(street: Frames) -> None:
    av = pyav("packet_loss")
    large = np.repeat(np.repeat(street, 3, axis=1), 3, axis=2)
    large = large + np.random.default_rng(0).integers(0, 30, large.shape, dtype=np.uint8)  # frames of many packets
    encoder = new_encoder(av, damage._CAMERA, large[0].shape, crf=23)
    packets = list(damage._sent(av, encoder, large, Colour(av), Tally(damage._CAMERA)))
    assert [packet.pts for packet in packets] == list(range(60))  # no frame waits for a later one: no B-frames
    units = [nal_units(bytes(packet)) for packet in packets]
    slices = [[unit for unit in each if nal_kind(unit) in (1, 5)] for each in units]
    assert max(len(unit) for each in slices for unit in each) <= damage.PACKET_BYTES
    assert min(len(each) for each in slices) > 3
    assert [at for at, each in enumerate(slices) if nal_kind(each[0]) == 5] == [0, 50]
    assert damage._CAMERA.encoder == H264.encoder


def test_a_missed_frame_leaves_its_neighbours(street: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame in turn loses all it has: that one shows the one before, and the next are shown at their time."""
    entry = NAMED["packet_loss"]
    assert entry.clip is not None
    small = street[:52, :48, :64]  # a frame is a packet

    def no_word(lost: int) -> Callable[..., NDArray[np.uint64]]:
        frame = iter(range(1000))
        return lambda _key, count: np.full(count, 0 if next(frame) == lost else 2**63, np.uint64)

    for lost in (*range(14, 20), 31, 32, 33, 50):
        records: list[Any] = []
        monkeypatch.setattr(damage, "_words", no_word(lost))
        out = list(entry.clip(iter(small), entry.at(None, 10), Coding(0, 0, records.append)))
        assert len(out) == len(small)
        assert records[0]["frames_lost"] == 1
        np.testing.assert_array_equal(out[lost], out[lost - 1])
        assert (out[51] != out[50]).any()


def test_missing_parts_are_guessed(street: Frames, through: Through) -> None:
    """Lost parts are guessed from the frames before, not left grey or black."""
    out, facts = through("packet_loss", np.repeat(np.repeat(street, 2, axis=1), 2, axis=2), level=10, seed=2)
    assert facts["packets_lost"] > 5
    assert mean_error(np.repeat(np.repeat(street, 2, axis=1), 2, axis=2), out) < 25
    moves = [(later != earlier).any() for earlier, later in itertools.pairwise(out)]
    assert np.mean(moves) > 0.8  # no slide show


@pytest.mark.parametrize("name", NAMES)
def test_no_damage_loses_the_count(street: Frames, name: str) -> None:
    """Sizes, lengths, seeds and levels at random, beyond what anybody would send."""
    random = np.random.default_rng(8)
    entry = NAMED[name]
    assert entry.clip is not None
    for turn in range(40):
        height, width, count = (int(random.integers(32, most)) for most in (97, 129, 61))
        level = float(random.choice((10, 50, 90) if name == "packet_loss" else (1e-4, 1e-3, 1e-2)))
        frames = street[-min(count, 60) :, :height, :width]
        facts: dict[str, float] = {}
        out = list(entry.clip(iter(frames), entry.at(None, level), Coding(turn, turn, facts.update)))
        assert len(out) == len(frames), (turn, height, width, level)
        assert all(frame.shape == frames[0].shape and frame.dtype == np.uint8 for frame in out)
        assert 0 <= facts["frames_lost"] <= len(frames)


@pytest.mark.parametrize("name", NAMES)
def test_same_pixels_on_a_used_heap_and_others_with_another_seed(street: Frames, through: Through, name: str) -> None:
    """What the decoder makes up for missing parts comes from the frames before, not from memory never written."""
    random, seen = np.random.default_rng(1), set()
    for _ in range(4):
        used = [random.integers(0, 255, int(random.integers(1_000, 300_000)), dtype=np.uint8) for _ in range(12)]
        del used[::2]
        seen.add(hashlib.sha256(through(name, street, severity=5, seed=6)[0].tobytes()).hexdigest())
    assert len(seen) == 1
    assert hashlib.sha256(through(name, street, severity=5, seed=7)[0].tobytes()).hexdigest() not in seen


@pytest.mark.parametrize("name", NAMES)
def test_stream_holds_a_bounded_number_of_frames(name: str) -> None:
    entry, taken, held = NAMED[name], 0, []
    assert entry.clip is not None

    def source() -> Iterator[Frames]:
        nonlocal taken
        for at in range(400):
            taken += 1
            yield np.full((32, 34, 3), at % 250, np.uint8)

    for given, _ in enumerate(entry.clip(source(), entry.at(5, None), Coding(0)), start=1):
        held.append(taken - given)
    assert len(held) == 400
    assert max(held) <= 24


@pytest.mark.parametrize("name", NAMES)
def test_stills_and_odd_sizes(street: Frames, through: Through, name: str) -> None:
    still = np.tile(street[:1], (1, 3, 3, 1))[:, :287, :381]
    out, facts = through(name, still, level=30 if name == "packet_loss" else 1e-4, seed=1)
    assert out.shape == still.shape
    assert facts["packets"] > 4  # an intra frame of several slices: a part of it is missing
    assert facts["frames_lost"] == 0
    assert 1 < mean_error(still, out) < 60


def test_broken_real_footage(cars: Frames, through: Through) -> None:
    for name in NAMES:
        out, facts = through(name, cars, severity=3)
        whole, _ = through(name, cars, level=0)
        assert len(out) == len(cars)
        assert facts["frames_lost"] == 0
        assert 0.1 < mean_error(whole, out) < 20
