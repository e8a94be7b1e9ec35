import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from tasks import models, tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.models import train as training
from tasks.models.augment import Augmenter
from tasks.models.samples import Samples, assemble, read_classes, read_samples
from tasks.models.validation import measure
from tasks.params import Mix, Model, Params, Train, load

CLASSES = {"object": {2: "square", 5: "bar"}, "semantic": {0: "ground", 4: "thing"}, "label": {1: "red", 3: "green"}}
SETTINGS = Train(epochs=2, batch_size=4, seed=1)


def picture(seed: int) -> tuple[np.ndarray, np.ndarray, list[tuple[int, float, float, float, float]], int]:
    """A frame 64 x 96 with one square or bar, its regions, its objects and its label (a coloured lamp)."""
    generator = np.random.default_rng(seed)
    frame = cv2.resize(generator.integers(0, 120, (8, 12, 3), dtype=np.uint8), (96, 64))
    regions = np.zeros((64, 96), np.uint8)
    class_id = int(generator.choice([2, 5]))
    width, height = (20, 20) if class_id == 2 else (32, 10)
    x, y = int(generator.integers(0, 96 - width)), int(generator.integers(12, 64 - height))
    frame[y : y + height, x : x + width] = (230, 210, 60) if class_id == 2 else (60, 160, 240)
    regions[y : y + height, x : x + width] = 4
    label = int(generator.choice([1, 3]))
    frame[2:8, 44:50] = (255, 0, 0) if label == 1 else (0, 255, 0)
    return frame, regions, [(class_id, x, y, x + width, y + height)], label


def samples(n: int, start: int = 0) -> Samples:
    made = [picture(start + index) for index in range(n)]
    return Samples(
        frames=np.stack([frame for frame, *_ in made]),
        boxes=[np.array([row[1:] for row in objects], np.float32) for _, _, objects, _ in made],
        channels=[np.array([[2, 5].index(row[0]) for row in objects]) for _, _, objects, _ in made],
        ignored=[np.zeros(len(objects), bool) for _, _, objects, _ in made],
        semantic=np.stack([regions // 4 for _, regions, _, _ in made]),
        labels=np.array([[1, 3].index(label) for *_, label in made]),
    )


@pytest.fixture
def project(tmp_path: Path) -> tuple[Params, Layout]:
    """Params, pictures and tables of a data set with 12 training and 4 validation frames."""
    rows, objects, semantic = [], [], []
    for index in range(16):
        split = "train" if index < 12 else "validation"
        frame, regions, found, label = picture(index)
        name = f"images/{index}.png"
        (tmp_path / "data/images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "data" / name), frame[:, :, ::-1])
        rows.append((index + 1, f"clip-{index // 4}", index % 4, split, name, None, None, 96, 64, label, index / 30))
        semantic.append((index + 1, tables.encode_label_map(regions)))
        for class_id, *box in found:
            area = (box[2] - box[0]) * (box[3] - box[1])
            objects.append((len(objects) + 1, index + 1, class_id, *box, area, None, None, False, False, None, None))
    layout = Layout(tmp_path)
    for name, values in (("frames", rows), ("objects", objects), ("semantic", semantic)):
        table = pd.DataFrame(values, columns=tables.SCHEMAS[name].names)
        tables.write(name, table, layout.tables / f"{name}.parquet")
    listed = [(kind, key, name) for kind, names in CLASSES.items() for key, name in names.items()]
    tables.write(
        "classes", pd.DataFrame(listed, columns=["kind", "class_id", "name"]), layout.tables / "classes.parquet"
    )
    params = {
        "dataset": {"path": "data"},
        "train": {"epochs": 1, "batch_size": 4},
        "models": {
            name: {"adapter": "small", "weights": f"models/{name}.safetensors"} for name in ("crossing-v1", "mine")
        },
        "run": {"device": "cpu"},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load(tmp_path / "params.yaml"), layout


def test_loss_falls_and_the_same_seed_gives_the_same_weights() -> None:
    material, held_out = samples(24), samples(6, start=100)
    threads = torch.get_num_threads()
    torch.manual_seed(9)
    before = torch.random.get_rng_state()
    settings = SETTINGS.model_copy(update={"epochs": 3})
    first = training.fit(material, held_out, CLASSES, settings, augmenter=None)
    again = training.fit(material, held_out, CLASSES, settings, augmenter=None)
    assert list(first.curves["epoch"]) == [1, 2, 3]
    assert first.curves["train_loss"].iloc[2] < 0.8 * first.curves["train_loss"].iloc[0]
    assert first.curves["train_loss"].is_monotonic_decreasing
    parts = [name for name in first.curves if name.endswith("_loss") and name != "train_loss"]
    np.testing.assert_allclose(first.curves[parts].sum(axis=1), first.curves["train_loss"])
    assert {"val_map", "val_miou", "val_accuracy"} <= set(first.curves)
    assert first.best_epoch in (1, 2, 3)
    pd.testing.assert_frame_equal(first.curves, again.curves)
    for one, other in zip(first.last.state_dict().values(), again.last.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    other = SETTINGS.model_copy(update={"epochs": 1, "seed": 2})
    other_seed = training.fit(material, held_out, CLASSES, other, augmenter=None)
    assert first.curves["train_loss"].iloc[0] != other_seed.curves["train_loss"].iloc[0]
    # The process's own state is as it was.
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)


def test_augmented_training_repeats_and_differs_from_plain() -> None:
    material, held_out = samples(8), samples(2, start=100)
    settings = SETTINGS.model_copy(update={"epochs": 1})
    runs = [
        training.fit(material, held_out, CLASSES, settings, augmenter=augmenter).last.heat.weight
        for augmenter in (Augmenter(Mix()), Augmenter(Mix()), None)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_batches_leave_samples_as_they_are_and_follow_their_seeds() -> None:
    material = samples(3)
    before = material.frames.copy(), [boxes.copy() for boxes in material.boxes]
    with ThreadPoolExecutor(2) as pool:
        whole = assemble(material, [0, 1, 2], [5, 6, 7], augmenter=None, n_classes=2, pool=pool)
        part = assemble(material, [2], [7], augmenter=None, n_classes=2, pool=pool)
    for field in dataclasses.fields(whole):
        assert torch.equal(getattr(whole, field.name)[2:], getattr(part, field.name))
    np.testing.assert_array_equal(material.frames, before[0])
    for boxes, copy in zip(material.boxes, before[1], strict=True):
        np.testing.assert_array_equal(boxes, copy)
    assert whole.pixels.shape == (3, 3, 64, 96)
    assert whole.heat.shape == (3, 2, 16, 24)


def test_validation_figures_are_those_of_a_perfect_and_a_blind_model() -> None:
    material = samples(5)

    class Oracle:
        tasks = frozenset({"detection"})

        def __init__(self, right: bool) -> None:
            self.right = right

        def predict(self, frames: list[np.ndarray]) -> list[models.Output]:
            return [
                models.Output(
                    boxes=material.boxes[i] if self.right else np.zeros((0, 4), np.float32),
                    scores=np.full(len(material.boxes[i]) if self.right else 0, 0.9, np.float32),
                    class_ids=np.array([2, 5])[material.channels[i]] if self.right else np.zeros(0, np.int64),
                    label_map=material.semantic[i] * 4 if self.right else np.zeros((64, 96), np.uint8),
                    probabilities=np.eye(2, dtype=np.float32)[
                        material.labels[i] if self.right else 1 - material.labels[i]
                    ],
                )
                for i in range(len(frames))
            ]

    assert measure(Oracle(True), material, CLASSES) == {"map": pytest.approx(1), "miou": 1, "accuracy": 1}
    blind = measure(Oracle(False), material, CLASSES)
    ground = (material.semantic == 0).mean()
    assert blind == {"map": 0, "miou": pytest.approx(ground / 2), "accuracy": 0}


def test_train_reads_tables_and_writes_a_model_that_loads(project: tuple[Params, Layout]) -> None:
    params, layout = project
    training.train("crossing-v1", params, layout)
    folder = layout.root / "models"
    assert sorted(path.name for path in folder.iterdir()) == ["crossing-v1", "crossing-v1.safetensors"]
    assert sorted(path.name for path in (folder / "crossing-v1").iterdir()) == [
        "config.yaml",
        "curves.csv",
        "last.safetensors",
    ]
    curves = pd.read_csv(folder / "crossing-v1/curves.csv")
    assert list(curves["epoch"]) == [1]
    config = yaml.safe_load((folder / "crossing-v1/config.yaml").read_text())
    assert (config["seed"], config["augmented"], config["frames"], config["classes"]) == (0, False, 12, CLASSES)
    model = params.models["crossing-v1"]
    assert models.describe(model, folder=params.folder)["object"] == CLASSES["object"]
    last = Model(adapter="small", weights=Path("models/crossing-v1/last.safetensors"))
    for one in (model, last):
        (output,) = models.load(one, folder=params.folder, device="cpu").predict([picture(50)[0]])
        assert output.label_map is not None


def test_truth_arrives_in_the_networks_channels(project: tuple[Params, Layout]) -> None:
    params, layout = project
    classes = read_classes(layout.tables)
    assert classes == CLASSES
    found = read_samples(
        "validation", dataset_dir=params.resolve(params.dataset.path), tables_dir=layout.tables, classes=classes
    )
    expected = samples(4, start=12)
    np.testing.assert_array_equal(found.frames, expected.frames)
    np.testing.assert_array_equal(found.semantic, expected.semantic)
    np.testing.assert_array_equal(found.labels, expected.labels)
    for one, other in zip(found.boxes + found.channels, expected.boxes + expected.channels, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_failure_leaves_nothing_behind(project: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    params, layout = project

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(yaml, "safe_dump", fail)
    with pytest.raises(OSError, match="disk full"):
        training.train("crossing-v1", params, layout)
    assert list((layout.root / "models").iterdir()) == []


def test_mistakes_are_one_sentence(project: tuple[Params, Layout]) -> None:
    params, layout = project
    with pytest.raises(InputError, match=r"no training for 'mine'.*crossing-v1, crossing-v2"):
        training.train("mine", params, layout)
    with pytest.raises(InputError, match=r"params\.models has no 'crossing-v2'"):
        training.train("crossing-v2", params, layout)
    frames = tables.read("frames", layout.tables / "frames.parquet")
    frames.loc[0, "width_px"] = 90
    tables.write("frames", frames, layout.tables / "frames.parquet")
    with pytest.raises(InputError, match="frames of one size"):
        training.train("crossing-v1", params, layout)
    (layout.tables / "frames.parquet").unlink()
    with pytest.raises(InputError, match="table 'frames'"):
        training.train("crossing-v1", params, layout)
