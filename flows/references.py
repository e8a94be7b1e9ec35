"""What the clips of a camera are compared with, to tell what they look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from flows.runtime import Run
from tasks.errors import InputError
from tasks.footage import inbox
from tasks.monitoring.forecast import Reference
from tasks.monitoring.memory import Memory
from tasks.monitoring.rehearsal import LEAST_REFERENCE
from tasks.params import Footage


@dataclass(frozen=True, eq=False)
class References:
    """Of each camera the clips that somebody gave, else those of the validated run, else its own first ones.

    Attributes:
        section: `footage` of params.
        validated: the run's clean frames.
        given: the clips in `footage.reference`, by camera.
    """

    section: Footage
    validated: pd.DataFrame
    given: Mapping[str, Sequence[inbox.Arrival]]
    _known: dict[str, Reference] = field(default_factory=dict)

    def of(self, camera: str, memory: Memory) -> Reference | None:
        """What a clip of the camera is compared with now; None where nothing of the camera is known.

        Raises:
            InputError: a clip that was given is broken, or those of the camera are too short.
        """
        if self.checked(camera):
            if camera not in self._known:
                self._known[camera] = self._checked(camera, memory)
            return self._known[camera]
        first = memory.first(camera)
        if len(first) < LEAST_REFERENCE:
            return None
        date = first["received_utc"].iloc[0][:10]
        return Reference(first, f"its own first clips of {date}, which nobody has checked", checked=False)

    def checked(self, camera: str) -> bool:
        """Whether somebody has said what the camera looks like when all is well."""
        return camera in self.given or self._validated(camera).any()

    def learns(self, camera: str) -> bool:
        """Whether its own first clips are to be its reference; files in no folder may be of several cameras."""
        return camera != inbox.TOP and not self.checked(camera)

    def _validated(self, camera: str) -> "pd.Series[bool]":
        return (self.validated["camera"] == camera) & (camera != inbox.TOP)

    def _checked(self, camera: str, memory: Memory) -> Reference:
        if camera not in self.given:
            frames = self.validated[self._validated(camera)]
            return Reference(frames, "this camera's clean frames in the validated run", checked=True)
        clips = [
            memory.given(
                Path(one.place),
                camera=camera,
                received_utc=one.received_utc,
                stamp=one.stamp,
                sample_per_s=self.section.sample_per_s,
                window_s=self.section.window_s,
            )
            for one in self.given[camera]
        ]
        frames = pd.concat(clips, ignore_index=True)
        if len(frames) < LEAST_REFERENCE:
            raise InputError(
                f"footage.reference: the clips of the camera '{camera}' give {len(frames)} frames, "
                f"{self.section.sample_per_s:g} a second; expected {LEAST_REFERENCE} or more: add longer ones."
            )
        return Reference(frames, "this camera's clips in footage.reference", checked=True)


def given(run: Run, section: Footage) -> dict[str, list[inbox.Arrival]]:
    """The clips in `footage.reference` by camera; none where params name no such folder.

    Raises:
        InputError: there is no such folder, it holds no clip, or it lies in the inbox.
    """
    if section.reference is None:
        return {}
    folder = run.params.resolve(section.reference)
    if "://" not in section.inbox and folder.resolve().is_relative_to(run.params.resolve(section.inbox).resolve()):
        raise InputError(f"footage.reference: {folder} lies in footage.inbox: its clips would be taken as new footage.")
    if not folder.is_dir():
        raise InputError(f"footage.reference: expected a folder at {folder}, with a folder of clips for each camera.")
    found: dict[str, list[inbox.Arrival]] = {}
    for arrival in inbox.listing(folder, settle_s=0).arrivals:
        found.setdefault(arrival.camera, []).append(arrival)
    if not found:
        raise InputError(f"footage.reference: {folder} holds no clip: expected a folder of clips for each camera.")
    return found
