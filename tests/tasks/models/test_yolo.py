"""YOLOv8's and YOLO11's outputs, through both adapters, against their description followed step by step."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tasks import models
from tasks.errors import InputError
from tasks.models import masks as run_length
from tasks.models.decoded import predictor
from tasks.models.decoders import DECODERS, described
from tests.exported_networks import boxes_back, least_iou, letterboxed, model, predict, same_finds, suppressed, write
from tests.photographs import photographs
from tests.tasks.models.test_torchvision import made_up

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

K = 5
HEIGHT, WIDTH = 192, 256
INPUT = {"resize": "letterbox", "size": [HEIGHT, WIDTH], "scale": 1 / 255}
THRESHOLD = 0.88
NAMES = [f"class {place}" for place in range(K)]


class Yolo(nn.Module):
    """A box, K probabilities and maybe 32 coefficients at each cell, all read off its mean colour; prototypes."""

    def __init__(self, masks: bool, stride: int = 8) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.masks = masks
        self.strides = [stride, stride * 2, stride * 4]
        self.heads = nn.ModuleList(nn.Conv2d(3, 4 + K + 32, 1) for _ in self.strides)
        self.prototypes = nn.Conv2d(3, 32, 4, 4)
        with torch.no_grad():
            for head in self.heads:
                head.weight[4 : 4 + K] *= 4
                head.bias[4 : 4 + K] -= 1
                head.bias[2:4] += 1

    def forward(self, pixels: torch.Tensor) -> Any:
        found = []
        for head, stride in zip(self.heads, self.strides, strict=True):
            raw = head(functional.avg_pool2d(pixels, stride))
            ys, xs = torch.meshgrid(torch.arange(raw.shape[2]), torch.arange(raw.shape[3]), indexing="ij")
            centres = (raw[:, :2].sigmoid() + torch.stack([xs, ys])[None]) * stride
            sizes = functional.softplus(raw[:, 2:4]) * stride * 3
            chances = (raw[:, 4 : 4 + K] + torch.sin(1.7 * xs + 2.3 * ys + stride)).sigmoid()  # no two alike
            parts = [centres, sizes, chances, *([raw[:, 4 + K :].tanh()] if self.masks else [])]
            found.append(torch.cat(parts, dim=1).flatten(2))
        rows = torch.cat(found, dim=2)
        if not self.masks:
            return rows
        colours = functional.avg_pool2d(self.prototypes(pixels), 5, 1, 2)
        return rows, colours - 0.3 * torch.linspace(-1, 1, 32)[None, :, None, None]


class EndToEnd(nn.Module):
    """The same, its cells as corners, score and class, the best 50 and then rows of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Yolo(masks=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows = self.inner(pixels)[0].T
        scores, class_ids = rows[:, 4:].max(dim=1)
        best, order = scores.topk(50)
        centres, half = rows[order, :2], rows[order, 2:4] / 2
        finds = torch.cat([centres - half, centres + half, best[:, None], class_ids[order, None].float()], dim=1)
        return torch.cat([finds, torch.zeros(10, 6)])[None]


def by_hand(said: Any, threshold: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, scores, classes and coefficients, column by column in plain Python."""
    boxes, scores, class_ids, coefficients = [], [], [], []
    for cx, cy, w, h, *rest in said.T.tolist():
        best = max(range(K), key=rest[:K].__getitem__)
        if rest[best] > threshold:
            boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            scores.append(rest[best])
            class_ids.append(best)
            coefficients.append(rest[K:])
    return torch.tensor(boxes), torch.tensor(scores), torch.tensor(class_ids), torch.tensor(coefficients)


def drawn(
    coefficients: torch.Tensor, prototypes: torch.Tensor, where: tuple[int, ...], boxes: np.ndarray, frame: np.ndarray
) -> np.ndarray:
    """Masks: probabilities brought to the input, its padding cut off, then to the frame, and kept inside the boxes."""
    top, left, height, width = where
    masks = np.zeros((len(coefficients), *frame.shape[:2]), bool)
    for mask, weights, (x0, y0, x1, y1) in zip(masks, coefficients, boxes, strict=True):
        logits = sum(weight * prototype for weight, prototype in zip(weights, prototypes, strict=True))
        whole = functional.interpolate(logits[None, None], size=(HEIGHT, WIDTH), mode="bilinear")
        inner = whole[:, :, top : top + height, left : left + width]
        sized = functional.interpolate(inner, size=frame.shape[:2], mode="bilinear")[0, 0].sigmoid().numpy()
        rows, columns = (slice(max(ceil(a), 0), max(ceil(b), 0)) for a, b in ((y0, y1), (x0, x1)))
        mask[rows, columns] = sized[rows, columns] > 0.5
    return masks


@torch.inference_mode()
def as_by_hand(folder: Path, adapter: str, frames: list[np.ndarray], *, masks: bool) -> None:
    network = Yolo(masks)
    write(network, folder, adapter, torch.zeros(1, 3, HEIGHT, WIDTH), ["output0", "output1"] if masks else ["output0"])
    decoder = "yolo11_masks" if masks else "yolo11"
    ready = model(adapter, decoder=decoder, classes=NAMES, input=INPUT, score_threshold=THRESHOLD, nms_iou=0.5)
    assert models.describe(ready, folder=folder)["tasks"] == ["detection", *(["instance"] if masks else [])]
    several = partial = hidden = 0
    for frame, ours in zip(frames, predict(ready, folder, frames), strict=True):
        pixels, where = letterboxed(frame, HEIGHT, WIDTH)
        said = network(pixels)
        boxes, scores, class_ids, coefficients = by_hand(said[0][0] if masks else said[0], THRESHOLD)
        kept = suppressed(boxes, scores, class_ids, 0.5)
        several += len(kept) > 10
        found = boxes_back(boxes[kept], where, frame).clip(0, [frame.shape[1], frame.shape[0]] * 2)
        if masks:
            theirs = drawn(coefficients[kept], said[1][0], where, found, frame)
            seen = theirs.any(axis=(1, 2))
            hidden += int((~seen).sum())
            kept, found, theirs = kept[seen], found[seen], theirs[seen]
        order = same_finds(ours, found, scores[kept], class_ids[kept])
        if masks:
            theirs = theirs[order]
            assert least_iou(ours, theirs) > 0.99
            partial += sum(bool(one.sum() > 400) for one in theirs)
        else:
            assert ours.masks is None
    assert several > len(frames) / 2
    assert partial > len(frames) or not masks
    assert hidden > 0 or not masks  # without a pixel, and so no finds


ADAPTERS = pytest.mark.parametrize("adapter", ["onnx", "torchscript"])


@ADAPTERS
@pytest.mark.parametrize("masks", [False, True])
def test_equals_its_description_on_made_up_frames(tmp_path: Path, adapter: str, masks: bool) -> None:
    as_by_hand(tmp_path, adapter, [made_up(90, 160), made_up(160, 90, 1), made_up(300, 280, 2)], masks=masks)


@ADAPTERS
@pytest.mark.real
@pytest.mark.slow
def test_equals_its_description_on_photographs(tmp_path: Path, adapter: str) -> None:
    as_by_hand(tmp_path, adapter, photographs(20), masks=False)
    as_by_hand(tmp_path, adapter, photographs(20), masks=True)


@ADAPTERS
def test_what_is_suppressed_inside_is_taken_as_it_is(tmp_path: Path, adapter: str) -> None:
    network = EndToEnd()
    write(network, tmp_path, adapter, torch.zeros(1, 3, HEIGHT, WIDTH), ["output0"])
    frame = made_up(160, 90)
    ready = model(adapter, decoder="yolo_end_to_end", classes=NAMES, input=INPUT, score_threshold=0.5, nms_iou=0.1)
    (ours,) = predict(ready, tmp_path, [frame])
    pixels, where = letterboxed(frame, HEIGHT, WIDTH)
    with torch.inference_mode():
        rows = [row for row in network(pixels)[0].tolist() if row[4] > 0.5]
    assert len(rows) > 10
    boxes, scores, class_ids = [row[:4] for row in rows], [row[4] for row in rows], [int(row[5]) for row in rows]
    assert boxes_back(boxes, where, frame).min() < -1
    inside = boxes_back(boxes, where, frame).clip(0, [frame.shape[1], frame.shape[0]] * 2)
    same_finds(ours, inside, scores, class_ids)


def given_by(said: Any, **changes: Any) -> Any:
    """A detector whose network says `said` of any frame."""
    ready = model("onnx", classes=NAMES, score_threshold=0.1, **changes)
    description = described(DECODERS[str(ready.decoder)], dict(enumerate(NAMES)))
    return predictor(lambda pixels: said, ready, description, who="net.onnx", device="cpu")


@settings(max_examples=60, deadline=None)
@given(
    sides=st.tuples(st.integers(2, 8), st.integers(2, 8)),
    factor=st.integers(1, 3),
    resize=st.sampled_from(["stretch", "letterbox", "letterbox_top_left"]),
    more=st.tuples(st.integers(0, 3), st.booleans()),
    data=st.data(),
)
def test_boxes_and_masks_come_back_to_the_pixel(
    sides: tuple[int, int], factor: int, resize: str, more: tuple[int, bool], data: st.DataObject
) -> None:
    """An object that is the left half of the frame, in a box anywhere: its mask is what lies in both."""
    height, width = sides[0] * 8, sides[1] * 8
    inner = (height * factor, width * factor)
    margin = 0 if resize == "stretch" else more[0] * 8
    size = (inner[0] + margin, inner[1]) if more[1] else (inner[0], inner[1] + margin)
    left, top = ((size[1] - inner[1]) // 2, (size[0] - inner[0]) // 2) if resize == "letterbox" else (0, 0)
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    rows = torch.zeros(1, 4 + K + 32, sum((size[0] // s) * (size[1] // s) for s in (8, 16, 32)))
    middle = torch.tensor([x0 + x1 - 0.5, y0 + y1 - 0.5]) / 2  # a quarter of a pixel before the lines between them
    rows[0, :4, 0] = torch.cat([middle, torch.tensor([x1 - x0, y1 - y0])]) * factor
    rows[0, :2, 0] += torch.tensor([left, top])
    rows[0, 4 + 2, 0], rows[0, 4 + K, 0] = 0.9, 1.0
    prototypes = torch.zeros(1, 32, size[0] // 4, size[1] // 4)
    prototypes[0, 0] = -1
    prototypes[0, 0, :, : (left + inner[1] // 2) // 4] = 1
    detector = given_by(
        (rows, prototypes), decoder="yolo11_masks", input={"resize": resize, "size": list(size)}, nms_iou=0.5
    )
    (output,) = detector.predict([np.zeros((height, width, 3), np.uint8)])
    expected = np.zeros((1, height, width), bool)
    expected[0, y0:y1, x0 : min(x1, width // 2)] = True
    expected = expected[expected.any(axis=(1, 2))]
    box = np.maximum(np.array([x0, y0, x1, y1]) - 0.25, 0)
    np.testing.assert_allclose(output.boxes, np.tile(box, (len(expected), 1)), atol=1e-4)
    assert (output.class_ids.tolist(), output.scores.tolist()) == (
        [2] * len(expected),
        pytest.approx([0.9] * len(expected)),
    )
    found = run_length.decode(output.masks, height_px=height, width_px=width)
    np.testing.assert_array_equal(found, expected)


CELLS = HEIGHT * WIDTH * 21 // 1024
GRID = torch.zeros(1, 32, HEIGHT // 4, WIDTH // 4)


@pytest.mark.parametrize(
    ("decoder", "said", "words"),
    [
        ("yolo11", torch.zeros(1, 4 + K, CELLS + 1), r"expected one output of shape \(1, 9, 1008\) for 5 classes"),
        ("yolo11", torch.zeros(1, CELLS, 4 + K), r"an input of 256x192 px.*gave a tensor \(1, 1008, 9\)"),
        ("yolo11", torch.zeros(1, 5 + K, CELLS), r"gave a tensor \(1, 10, 1008\)"),
        (
            "yolo11",
            (torch.zeros(1, 4 + K, CELLS), GRID),
            r"no prototypes of masks, which decoder 'yolo11_masks' reads, .*'1', a tensor",
        ),
        (
            "yolo11_masks",
            torch.zeros(1, 36 + K, CELLS),
            r"\(1, 41, 1008\).*prototypes of masks of shape \(1, 32, 48, 64\)",
        ),
        ("yolo11_masks", (torch.zeros(1, 36 + K, CELLS), GRID[:, :, 1:]), r"'1', a tensor \(1, 32, 47, 64\)"),
        ("yolo_end_to_end", torch.zeros(1, 30, 7), r"expected one output of shape \(1, N, 6\).*\(1, 30, 7\)"),
        ("yolo_end_to_end", (torch.zeros(1, 30, 6), GRID), r"one output of shape \(1, N, 6\)"),
    ],
)
def test_other_shapes_are_one_sentence_with_the_file(decoder: str, said: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^net\.onnx: the output does not fit decoder '{decoder}': .*{words}"):
        given_by(said, decoder=decoder, input=INPUT).predict([made_up(90, 160)])


@pytest.mark.parametrize("decoder", ["yolo11", "yolo_end_to_end"])
def test_sides_below_0_are_no_area(decoder: str) -> None:
    """As heads without distributions may say them, which the library takes."""
    rows = torch.zeros(1, 4 + K, CELLS)
    rows[0, :6, 3] = torch.tensor([20.0, 20.0, -4.0, 10.0, 0.9, 0.0])
    finds = torch.tensor([[[22.0, 15.0, 18.0, 25.0, 0.9, 0.0]]])
    said = rows if decoder == "yolo11" else finds
    (output,) = given_by(said, decoder=decoder, input=INPUT).predict([made_up(HEIGHT, WIDTH)])
    np.testing.assert_allclose(output.boxes, [[22, 15, 22, 25]])


def test_all_sizes_of_grids_are_taken_and_logits_are_not() -> None:
    for strides in ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64)):
        rows = torch.zeros(1, 4 + K, sum((HEIGHT // s) * (WIDTH // s) for s in strides))
        (output,) = given_by(rows, decoder="yolo11", input=INPUT).predict([made_up(90, 160)])
        assert len(output.boxes) == 0
    rows[0, 6, 3] = 3.0
    with pytest.raises(InputError, match=r"net\.onnx: scores should lie between 0 and 1, got 3: logits want a sigmoid"):
        given_by(rows, decoder="yolo11", input=INPUT).predict([made_up(90, 160)])
