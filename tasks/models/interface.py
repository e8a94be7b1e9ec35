"""What a kind of model is: its entry in the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.models.outputs import Description, Predictor
from tasks.params import Model


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One kind of model.

    Attributes:
        version: Rises with every change that can alter an output: stored predictions of other versions are not reused.
        check: Raises InputError for settings (params) that this kind cannot follow.
        describe: (model, weights) -> the model's own classes and tasks, without running it.
        load: (model, *, weights, device, threads) -> the model ready to predict; `device` is 'cpu' or 'cuda[:N]'.
        settle: The model with what params leave open filled in as this kind does it: that is hashed and printed.
        digest: (model, folder of params) -> what decides the outputs of a kind that has no file of weights; None: the
            weights are a file, and its content decides.
        library: The distribution whose code prepares frames and reads outputs: its version decides as well.
        folder: The weights may be a folder; of one all files decide.
        beside: The weights' file -> further files that hold tensors of the network, which decide as well.
        asides: Those of its options that change no output.
        torch: Torch runs its networks, so that `load` also takes `execution`: precision, and whether they are compiled.
            Of others both are without effect, and no part of what decides their outputs.
        ready: Of a kind that runs elsewhere: start the model there, where params allow that, and wait until it answers.
        release: End what `ready` or a first frame started, once the last process is done with it.
    """

    version: int
    check: Callable[[Model], None]
    describe: Callable[[Model, Path], Description]
    load: Callable[..., Predictor]
    settle: Callable[[Model], Model] = lambda model: model
    digest: Callable[[Model, Path], str] | None = None
    library: str | None = None
    folder: bool = False
    beside: Callable[[Path], Sequence[Path]] = lambda weights: ()
    asides: frozenset[str] = frozenset()
    torch: bool = False
    ready: Callable[[Model], None] | None = None
    release: Callable[[], None] = lambda: None
