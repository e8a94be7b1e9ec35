"""Render the embedded data set, its new footage and that footage's truth."""

from flows import runtime
from tasks.data import crossing as rendering


@runtime.stage
def crossing(params: str = "params.yaml", out: str | None = None) -> None:
    """Write data/crossing, data/footage and data/footage_truth."""
    run = runtime.open_run(params, out)
    data = run.layout.root / "data"
    rendering.render(
        run.params.crossing,
        data / "crossing",
        data / "footage",
        data / "footage_truth",
        workers=runtime.workers(run.params),
    )
