"""What a user hears of a model that fails."""

import pytest
import torch

from tasks.errors import InputError, WorkFailed, brief
from tasks.models import failures


def fails(error: Exception) -> None:
    with failures.named("mine", "frame 3"):
        raise error


def test_a_failure_is_one_sentence_with_the_model_and_what_it_saw() -> None:
    with pytest.raises(InputError, match=r"^models\.mine fails on frame 3: ZeroDivisionError: by zero$") as told:
        fails(ZeroDivisionError("by zero"))
    assert isinstance(told.value.__cause__, ZeroDivisionError)  # --traceback shows it
    with pytest.raises(InputError, match=r"^models\.mine: a wrong file$"):
        fails(InputError("a wrong file"))


def test_work_that_failed_though_the_input_is_right_stays_that() -> None:
    with pytest.raises(WorkFailed, match=r"^no answer$"):
        fails(WorkFailed("no answer"))


@torch.jit.script
def wrong_size(pixels: torch.Tensor) -> torch.Tensor:
    return pixels + torch.zeros([1, 3, 64, 64])


@torch.jit.script
def in_lines(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.dim() == 4:
        raise ValueError("expected 5 rows,\n got another")
    return pixels


def test_of_torchscript_s_message_the_error_itself_is_told() -> None:
    for network, words in (
        (wrong_size, "size of tensor a (48) must match"),
        (in_lines, "expected 5 rows, got another"),
    ):
        with pytest.raises(Exception, match="Traceback of TorchScript") as told:
            network(torch.zeros(1, 3, 32, 48))
        said = brief(told.value)
        assert words in said
        assert "Traceback" not in said
