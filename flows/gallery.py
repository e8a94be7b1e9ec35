"""Draw the pictures that the page shows."""

from flows import runtime
from tasks import gallery as drawing


@runtime.stage
def gallery(
    params: str = "params.yaml", out: str | None = None, only: str | None = None, limit: int | None = None
) -> None:
    """Write gallery/."""
    run = runtime.open_run(params, out, only, limit)
    drawing.draw(run.params, run.layout)
