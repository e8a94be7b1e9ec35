"""Train one of the embedded models."""

from flows import runtime
from tasks.models import train as training


@runtime.stage
def train(name: str, params: str = "params.yaml", out: str | None = None) -> None:
    """Write models/NAME.safetensors and models/NAME/."""
    run = runtime.open_run(params, out)
    training.train(name, run.params, run.layout)
