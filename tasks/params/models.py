"""The section `models` of params.yaml: what a model is, what it is given, and how its boxes are followed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tasks.params.section import Name, Section

_Positive = Annotated[float, Field(gt=0)]


class ModelInput(Section):
    """How a frame becomes a network's input."""

    size: tuple[int, int] | None = None  # height, width
    resize: Literal["none", "stretch", "letterbox", "letterbox_top_left", "shorter_side"] = "none"
    shorter_side: int | None = Field(None, ge=1)  # with that resize: pixels of the shorter side
    longer_side_at_most: int | None = Field(None, ge=1)  # and a bound on the longer one, where there is any
    crop: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None  # after it, from the centre
    antialias: bool = False  # smooth before making smaller
    channels: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(1.0, gt=0)  # multiplies uint8 values
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[_Positive, _Positive, _Positive] = (1.0, 1.0, 1.0)
    pad: int = Field(114, ge=0, le=255)
    # Each frame as overlapping tiles of this height and width, each of them put through all of the above on its own.
    tile: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = None
    overlap: float = Field(0.2, ge=0, lt=1)  # of neighbouring tiles at least, as a share of their side

    @model_validator(mode="after")
    def _of_tiles(self) -> "ModelInput":
        if self.tile is None and self.overlap != ModelInput.model_fields["overlap"].default:
            raise ValueError("overlap is that of tiles: give tile: [height, width] too, or remove it")
        return self


class Tracker(Section):
    """Tracking over a model's stored boxes; omitted settings are the tracker's own."""

    name: Literal["bytetrack", "sort", "ocsort", "botsort"] = "bytetrack"
    boxes: Literal["model", "masks"] = "model"  # masks: the boxes around a model's masks
    # Of the boxes of a track: how much of each is the one before, already smoothed; 0: they stay as they are.
    smooth: float = Field(0, ge=0, lt=1)
    track_activation_threshold: float | None = Field(None, ge=0, le=1)
    high_conf_det_threshold: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold_first_assoc: float | None = Field(None, ge=0, le=1)
    minimum_iou_threshold_second_assoc: float | None = Field(None, ge=0, le=1)
    minimum_consecutive_frames: int | None = Field(None, ge=1)
    lost_track_buffer: int | None = Field(None, ge=0)  # frames of the clip as they come, whatever their rate
    direction_consistency_weight: float | None = Field(None, ge=0)


class Model(Section):
    """One model version."""

    adapter: Name
    # A file; of the adapter 'recorded' also a folder with a file for each cell, of 'python' python:module:function.
    weights: Path | None = None
    variant: Name | None = None  # which of the adapter's networks, or which of its methods
    decoder: Name | None = None
    classes: tuple[str, ...] | str | None = None  # the names of its classes by rising id: a list, a file or a known set
    options: dict[Name, bool | int | float | str | tuple[float, ...]] = Field(
        default={}
    )  # what this adapter alone knows
    # The name of a built-in map, or model class -> data-set class (null drops it); omitted: the same names.
    class_map: Name | dict[int | str, int | str | None] | None = None
    input: ModelInput = ModelInput()
    score_threshold: float = Field(0.01, ge=0, le=1)
    nms_iou: float = Field(0.65, gt=0, le=1)
    # Between boxes of one class, between all, or lowering the scores of what overlaps (soft, Gaussian of nms_sigma).
    nms: Literal["class_wise", "agnostic", "soft"] = "class_wise"
    nms_sigma: float = Field(0.5, gt=0)
    tracker: Tracker | None = None

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        listed = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        if value is not None and not isinstance(value, str) and not listed:
            raise ValueError(f"expected a list of names, a text file with one a line or a known set, got {value!r}")
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        for name, one in value.items() if isinstance(value, dict) else ():
            numbers = isinstance(one, list | tuple) and all(isinstance(number, int | float) for number in one)
            if not isinstance(one, bool | int | float | str) and not numbers:
                raise ValueError(f"options.{name}: expected a number, a word, true, false or numbers, got {one!r}")
        return value

    @property
    def weights_path(self) -> Path:
        """The weights; of a model that needs none the empty path, which is the folder it is resolved against."""
        return self.weights or Path()
