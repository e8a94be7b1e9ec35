"""What the embedded models must reach on a finished run of the shipped params: `make floors`."""

from pathlib import Path

import pandas as pd
import pytest

from tasks import params, tables
from tasks.layout import Layout
from tasks.models.augment import RESEMBLED

ROOT = Path(__file__).parent.parent
CLEAN = {"detection": 0.45, "semantic": 0.70, "tracking": 0.45, "classification": 0.85}
GAIN = 0.02

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Headline figures of every cell over the whole test split."""
    scores = tables.read("scores", Layout(ROOT).scores / "scores.parquet")
    headline = scores["metric"] == scores["task"].map(tables.HEADLINE)
    own = scores["baseline"].isna() & (scores["model"] != params.TRIVIAL)
    whole = (scores["slice"] == tables.ALL) & (scores["class"] == tables.ALL) & own
    return scores[headline & whole & scores["severity"].notna()]


def test_the_run_is_whole(cells: pd.DataFrame) -> None:
    shipped = params.load(ROOT / "params.yaml")
    asked = 1 + sum(len(choice.severities(shipped.severities)) for choice in shipped.choices())
    assert (cells.groupby(["model", "task"]).size() == asked).all()
    assert set(cells["status"]) == {"ok"}
    assert set(cells["model"]) == set(shipped.models)


@pytest.mark.parametrize("task", CLEAN)
@pytest.mark.parametrize("model", ["crossing-v1", "crossing-v2"])
def test_clean(cells: pd.DataFrame, model: str, task: str) -> None:
    chosen = cells[(cells["model"] == model) & (cells["task"] == task) & (cells["severity"] == 0)]
    assert chosen["value"].item() >= CLEAN[task]


@pytest.mark.parametrize("task", CLEAN)
def test_v2_gains_where_its_augmentation_does_not_resemble(cells: pd.DataFrame, task: str) -> None:
    foreign = cells[(cells["task"] == task) & (cells["severity"] > 0) & ~cells["corruption"].isin(RESEMBLED)]
    mean = foreign.groupby(["model", "corruption"])["value"].mean().groupby("model").mean()
    assert mean["crossing-v2"] - mean["crossing-v1"] >= GAIN
