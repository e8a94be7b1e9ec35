"""Check the data set and turn it into tables."""

from flows import runtime
from tasks.data import prepare as preparing


@runtime.stage
def prepare(params: str = "params.yaml", out: str | None = None) -> None:
    """Write tables/."""
    run = runtime.open_run(params, out)
    preparing.prepare(run.params.resolve(run.params.dataset.path), run.layout.tables, strict=run.params.run.strict)
