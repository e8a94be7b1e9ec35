"""Training of the embedded models, on the CPU in minutes."""

import copy
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import torch
import yaml

from tasks.errors import InputError
from tasks.layout import Layout
from tasks.models import resolve_device, small
from tasks.models.augment import RESEMBLED, Augmenter
from tasks.models.losses import losses
from tasks.models.network import SmallNetwork
from tasks.models.samples import Batch, Samples, assemble, read_classes, read_samples
from tasks.models.validation import measure
from tasks.params import Model, Params, Train

logger = logging.getLogger(__name__)

VARIANTS: Final = {"crossing-v1": False, "crossing-v2": True}
"""Embedded models by name: whether training frames are altered by `train.mix`."""

THREADS: Final = 2
"""Threads of torch: weights repeat to the last digit for the same number alone, so it does not follow the machine."""

WEIGHT_DECAY: Final = 1e-2
"""AdamW's own default."""

LARGEST_GRADIENT: Final = 10.0
"""Norm that gradients are cut to; reached in the first steps alone."""

AVERAGED_STEPS: Final = 150
"""Steps over which weights are averaged (exponentially); the average is what is validated and kept."""


@dataclass(frozen=True)
class Trained:
    """What training leaves: the averaged network after the best and the last epoch, and a row of figures an epoch."""

    best: SmallNetwork
    last: SmallNetwork
    best_epoch: int
    curves: pd.DataFrame


def train(name: str, params: Params, layout: Layout) -> None:
    """Train one embedded model on the splits `train` and `validation` of the data set.

    Writes the best checkpoint to where params want the model's weights, and beside it a folder of the same name with
    last.safetensors, curves.csv and config.yaml; all of them, or none.

    Raises:
        InputError: the name is not an embedded model of params, or the data set lacks what training needs.
    """
    if name not in VARIANTS:
        raise InputError(f"There is no training for '{name}'; embedded models: {', '.join(VARIANTS)}.")
    if name not in params.models or params.models[name].adapter != "small":
        raise InputError(f"params.models has no '{name}' with adapter 'small': add it before training.")
    weights = params.models[name].weights
    if weights is None:
        raise InputError(f"models.{name} has no weights: say which file the trained ones go to.")
    classes = read_classes(layout.tables)
    if not any(classes.values()):
        raise InputError(f"{layout.tables}/classes.parquet names no class: there is nothing to learn.")
    dataset_dir = params.resolve(params.dataset.path)
    training, validation = (
        read_samples(split, dataset_dir=dataset_dir, tables_dir=layout.tables, classes=classes)
        for split in ("train", "validation")
    )
    augmenter = Augmenter(params.train.mix) if VARIANTS[name] else None
    device = resolve_device(params.run.device)
    trained = fit(training, validation, classes, params.train, augmenter=augmenter, device=device)
    config = {
        "model": name,
        "augmented": VARIANTS[name],
        "resembles": list(RESEMBLED) if VARIANTS[name] else [],
        **params.train.model_dump(mode="json", exclude=None if VARIANTS[name] else {"mix"}),
        "frames": len(training),
        "parameters": sum(tensor.numel() for tensor in trained.best.parameters()),
        "classes": classes,
        "best_epoch": trained.best_epoch,
    }
    _write(trained, classes, config, params.resolve(weights))


def fit(
    training: Samples,
    validation: Samples,
    classes: dict[str, dict[int, str]],
    settings: Train,
    *,
    augmenter: Augmenter | None,
    device: str = "cpu",
) -> Trained:
    """Train a network; the same arguments give the same weights on the same kind of machine.

    AdamW under a one-cycle schedule (Smith and Topin 2018). All but the heads
    is computed in bfloat16 where the processor multiplies it, which takes two thirds of the time; weights stay float32.
    The best epoch is that with the highest mean of the validation figures.
    """
    with _reproducible(settings.seed), ThreadPoolExecutor(max_workers=THREADS) as pool:
        brief = _multiplies_bfloat16(device)
        network = small.build(classes).to(device).to(memory_format=torch.channels_last)
        average = copy.deepcopy(network)
        steps = -(-len(training) // settings.batch_size) * settings.epochs
        rate, weights = settings.learning_rate, network.parameters()
        optimiser = torch.optim.AdamW(weights, rate, weight_decay=WEIGHT_DECAY, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2), pct_start=0.15)
        batches = _batches(training, settings, augmenter, len(classes["object"]), pool)
        rows: list[dict[str, Any]] = []
        best, best_epoch, highest = average, 0, -1.0
        done = 0
        for epoch in range(1, settings.epochs + 1):
            totals: dict[str, float] = {}
            network.train()
            for _ in range(steps // settings.epochs):
                batch = next(batches)
                with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=brief):
                    heads = network(batch.pixels.to(device))
                parts = losses(heads, **batch.targets(device))
                optimiser.zero_grad(set_to_none=True)
                torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
                done += 1
                _blend(average, network, min(1 - 1 / AVERAGED_STEPS, done / (done + 10)))
                for part, value in parts.items():
                    totals[part] = totals.get(part, 0.0) + float(value.detach())
            mean = {f"{part}_loss": total / (steps // settings.epochs) for part, total in totals.items()}
            model = Model(adapter="small", weights=Path("unsaved"))
            judged = small.SmallModel(copy.deepcopy(average), classes, model, device)
            figures = {f"val_{key}": value for key, value in measure(judged, validation, classes).items()}
            rows.append({"epoch": epoch, "train_loss": sum(mean.values()), **mean, **figures})
            logger.info("epoch %d: %s", epoch, ", ".join(f"{key} {value:.3f}" for key, value in rows[-1].items()))
            if float(np.mean(list(figures.values()))) > highest:
                highest = float(np.mean(list(figures.values())))
                best, best_epoch = copy.deepcopy(average), epoch
        return Trained(best=best, last=average, best_epoch=best_epoch, curves=pd.DataFrame(rows))


def _batches(
    samples: Samples, settings: Train, augmenter: Augmenter | None, n_classes: int, pool: Executor
) -> Iterator[Batch]:
    """All batches of all epochs.

    They are not prepared ahead: a thread beside torch's own makes those wait for one another and costs more than it
    gains (23 % on two cores).
    """
    orders = [
        np.random.default_rng([settings.seed, epoch]).permutation(len(samples)) for epoch in range(settings.epochs)
    ]
    plan = [
        (epoch, order[start : start + settings.batch_size])
        for epoch, order in enumerate(orders)
        for start in range(0, len(samples), settings.batch_size)
    ]

    for epoch, indices in plan:
        seeds = [int(np.random.SeedSequence([settings.seed, epoch, int(i)]).generate_state(1)[0]) for i in indices]
        yield assemble(samples, indices.tolist(), seeds, augmenter=augmenter, n_classes=n_classes, pool=pool)


@torch.no_grad()
def _blend(average: SmallNetwork, network: SmallNetwork, keep: float) -> None:
    """Move the average towards the network, `keep * average + (1 - keep) * network`, batch statistics included."""
    for ours, theirs in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - keep)
        else:
            ours.copy_(theirs)


def _multiplies_bfloat16(device: str) -> bool:
    """Whether the device has instructions for bfloat16; emulated, it would be slower than float32."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in the oldest torch that is accepted
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch, fix its threads and keep OpenCV, which is called from several, to one; put all back after."""
    before, beside = torch.get_num_threads(), cv2.getNumThreads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(THREADS)
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            cv2.setNumThreads(beside)


def _write(trained: Trained, classes: dict[str, dict[int, str]], config: dict[str, Any], weights: Path) -> None:
    """The weights, and the folder beside them: both staged under temporary names and then renamed."""
    folder = weights.with_suffix("")
    weights.parent.mkdir(parents=True, exist_ok=True)
    staged = weights.parent / f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        staged.mkdir()
        small.save(trained.last, classes, staged / "last.safetensors")
        small.save(trained.best, classes, staged / "best")
        trained.curves.round(6).to_csv(staged / "curves.csv", index=False, lineterminator="\n")
        (staged / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        (staged / "best").replace(weights)
        if folder.exists():
            shutil.rmtree(folder)
        staged.replace(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
