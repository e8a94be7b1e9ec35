"""How torch runs a network, as params say: its precision, and whether it is compiled; `steering` does it.

For adapters whose network torch runs (`Adapter.torch`); of the others a file or a service decides the precision.
"""

from dataclasses import dataclass
from typing import Any, Final

from tasks.errors import InputError
from tasks.params.sections import Run


@dataclass(frozen=True)
class Execution:
    """What params say of it.

    Attributes:
        precision: float32, or what autocast may use in its place: bfloat16, float16.
        compile: Whether networks go through torch.compile.
    """

    precision: str = "float32"
    compile: bool = False

    @classmethod
    def of(cls, run: Run) -> "Execution":
        """That of a run."""
        return cls(run.precision, run.compile)

    def check(self, device: str) -> None:
        """Refuse what the kind of device cannot do.

        Raises:
            InputError: float16 on a processor.
        """
        if self.precision == "float16" and device == "cpu":
            raise InputError("run.precision float16 needs a CUDA device: use bfloat16 or float32 on the CPU.")

    @property
    def decisive(self) -> dict[str, Any]:
        """What of it decides a part; `compile` only where it is set, for it came later than the parts."""
        return {"precision": self.precision} | ({"compile": True} if self.compile else {})


PLAIN: Final = Execution()
"""float32, not compiled."""
