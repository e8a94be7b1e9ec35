import io
import tarfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.data.frames import FrameReader, UnreadableFrame


def rows(*sources: tuple[str, str | None, int | None]) -> pd.DataFrame:
    table = pd.DataFrame(sources, columns=["source_file", "source_member", "source_index"])
    table["source_index"] = table["source_index"].astype("Int32")
    return table


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_image_files_of_every_kind_come_as_rgb(tmp_path: Path, pixels: np.ndarray) -> None:
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "plain.png")
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.convert("P").save(tmp_path / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    names = ("plain.png", "grey.png", "alpha.png", "palette.png", "turned.jpg")
    plain, grey, alpha, palette, turned = FrameReader(tmp_path).read(rows(*((name, None, None) for name in names)))
    assert np.array_equal(plain, pixels)
    assert np.array_equal(alpha, pixels)
    assert np.array_equal(grey, np.repeat(np.asarray(picture.convert("L"))[..., None], 3, axis=2))
    assert np.array_equal(palette, np.asarray(picture.convert("P").convert("RGB")))
    assert turned.shape == (20, 30, 3)
    assert all(frame.dtype == np.uint8 and frame.flags.c_contiguous for frame in (plain, grey, alpha, palette, turned))


def test_members_of_an_archive(tmp_path: Path, pixels: np.ndarray) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, value in (("a/0.png", pixels), ("a/1.png", 255 - pixels)):
            data = cv2.imencode(".png", value[:, :, ::-1])[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    reader = FrameReader(tmp_path)
    second, first = reader.read(rows(("set.tar", "a/1.png", None), ("set.tar", "a/0.png", None)))
    assert np.array_equal(first, pixels)
    assert np.array_equal(second, 255 - pixels)
    with pytest.raises(UnreadableFrame, match=r"set\.tar has no member a/2\.png"):
        reader.read(rows(("set.tar", "a/2.png", None)))


def test_frames_of_a_video_by_index_in_any_order(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 32, 16, "bgr0"
        for value in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 20 * value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reader = FrameReader(tmp_path)
    order = [0, 1, 5, 5, 2, 11, 10]
    found = reader.read(rows(*(("v.mkv", None, index) for index in order)))
    assert [int(frame.mean()) for frame in found] == [20 * index for index in order]
    assert found[2] is not found[3]
    with pytest.raises(UnreadableFrame, match=r"v\.mkv has no frame 12: it ends after 12"):
        reader.read(rows(("v.mkv", None, 12)))
    reader.close()


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"rubbish")
    (tmp_path / "bad.mp4").write_bytes(b"rubbish")
    (tmp_path / "bad.tar").write_bytes(b"rubbish")
    reader = FrameReader(tmp_path)
    for source in (
        ("gone.jpg", None, None), ("bad.jpg", None, None), ("bad.mp4", None, 0), ("bad.tar", "x", None),
        ("gone.mp4", None, 0),
    ):  # fmt: skip
        with pytest.raises(UnreadableFrame, match=source[0]):
            reader.read(rows(source))
