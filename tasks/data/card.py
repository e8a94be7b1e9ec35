"""The data set card: where the data come from, what is in it, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from tasks import tables

Entry = Mapping[str, Any]

_SOURCE_FIELDS: Final = ("attribution", "author", "source", "flickr_url", "coco_url", "url")
_LICENCE_FIELDS: Final = ("image_licence", "image_license", "licence")
_VALUES_SHOWN: Final = 20
SMALL_PX, LARGE_PX = 32**2, 96**2  # COCO's size ranges, by area


def describe(
    document: Entry,
    frames: pd.DataFrame,
    objects: pd.DataFrame,
    semantic: pd.DataFrame,
    classes: pd.DataFrame,
    problems: Sequence[str],
    dataset_dir: Path,
) -> dict[str, Any]:
    """The card as a JSON object: facts that do not change from run to run, and no path of this machine.

    Args:
        document: dataset.json.
        frames: the table made of it.
        objects: likewise.
        semantic: likewise.
        classes: likewise.
        problems: a sentence for each image that was left out.
        dataset_dir: its folder, which names the data set where nothing else does.
    """
    info = document.get("info") or {}
    files = attributions(document)
    sentences = [problem.replace(f"{dataset_dir}/", "") for problem in problems]
    return {
        "name": str(info.get("name") or dataset_dir.resolve().name),
        "description": str(info.get("description", "")),
        "version": str(info.get("version", "")),
        "rendered": info.get("rendered") is True,
        "label_policy": {
            "version": str(info.get("label_policy_version", "not stated")),
            "text": str(info.get("label_policy", "")),
        },
        "licences": _licences(document),
        "sources_named": f"{len(files)} of {len(document['images'])} images (attributions.csv)" if len(files) else "",
        "splits": {"unit": _unit(info, frames), "counts": _splits(frames, objects, semantic)},
        "attributes": {name: _values(frames[name]) for name in tables.attributes("frames", frames)},
        "object_tags": {name: _values(objects[name]) for name in tables.attributes("objects", objects)},
        "classes": _class_counts(frames, objects, classes),
        "labels": _label_counts(frames, classes),
        "semantic_classes": [str(name) for name in classes.loc[classes["kind"] == "semantic", "name"]],
        "image_sizes": _sizes(frames),
        "object_sizes": {
            "small (under 32x32 px)": int((objects["area_px"] < SMALL_PX).sum()),
            "medium": int(objects["area_px"].between(SMALL_PX, LARGE_PX, inclusive="left").sum()),
            "large (96x96 px and more)": int((objects["area_px"] >= LARGE_PX).sum()),
        },
        "images_left_out": len(problems),
        "problems": [*sentences, *_absent_classes(frames, objects, classes)],
    }


def attributions(document: Entry) -> pd.DataFrame:
    """One row per image that names its source: file_name, licence, source."""
    licences = {entry["id"]: str(entry.get("name", entry["id"])) for entry in document.get("licenses", [])}
    rows = []
    for image in document["images"]:
        named = [str(image[name]) for name in _SOURCE_FIELDS if image.get(name)]
        if named:
            rows.append({"file_name": image["file_name"], "licence": _licence(image, licences), "source": named[0]})
    return pd.DataFrame(rows, columns=["file_name", "licence", "source"])


def _licence(image: Entry, licences: Mapping[Any, str]) -> str:
    own = next((str(image[name]) for name in _LICENCE_FIELDS if image.get(name)), None)
    return own if own is not None else licences.get(image.get("license"), "not stated")


def _licences(document: Entry) -> list[dict[str, Any]]:
    licences = {entry["id"]: str(entry.get("name", entry["id"])) for entry in document.get("licenses", [])}
    links = {str(entry.get("name", entry["id"])): str(entry.get("url", "")) for entry in document.get("licenses", [])}
    counts = Counter(_licence(image, licences) for image in document["images"])
    return [{"licence": name, "images": counts[name], "url": links.get(name, "")} for name in sorted(counts)]


def _unit(info: Entry, frames: pd.DataFrame) -> str:
    stills = frames["clip_id"].nunique() == len(frames)
    return str(info.get("split_unit") or ("image" if stills else "clip"))


def _splits(frames: pd.DataFrame, objects: pd.DataFrame, semantic: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for name, chosen in _by_split(frames):
        ids = set(chosen["frame_id"])
        rows.append(
            {
                "split": name,
                "clips": int(chosen["clip_id"].nunique()),
                "frames": len(chosen),
                "objects": int(objects["frame_id"].isin(ids).sum()),
                "semantic_maps": int(semantic["frame_id"].isin(ids).sum()),
                "labels": int(chosen["label_id"].notna().sum()),
            }
        )
    return rows


def _by_split(frames: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    named = frames.assign(_split=frames["split"].fillna("all"))
    return [(str(name), rows) for name, rows in named.groupby("_split", sort=True)]


def _values(column: "pd.Series[Any]") -> dict[str, int]:
    """Counts of a tag's values; of the most frequent ones alone where there are many."""
    counts = Counter("not stated" if pd.isna(value) else str(value) for value in column)
    shown = sorted(counts, key=lambda value: (-counts[value], value))[:_VALUES_SHOWN]
    rest = sum(counts.values()) - sum(counts[value] for value in shown)
    return {value: counts[value] for value in sorted(shown)} | ({"(others)": rest} if rest else {})


def _class_counts(frames: pd.DataFrame, objects: pd.DataFrame, classes: pd.DataFrame) -> list[dict[str, Any]]:
    split = dict(zip(frames["frame_id"], frames["split"].fillna("all"), strict=True))
    counts = Counter(zip(objects["class_id"], objects["frame_id"].map(split), strict=True))
    names = sorted({str(name) for name in split.values()})
    rows = classes[classes["kind"] == "object"]
    return [
        {"class": name, **{part: counts[(key, part)] for part in names}}
        for key, name in zip(rows["class_id"], rows["name"], strict=True)
    ]


def _label_counts(frames: pd.DataFrame, classes: pd.DataFrame) -> dict[str, int]:
    rows = classes[classes["kind"] == "label"]
    counts = Counter(int(key) for key in frames["label_id"].dropna())
    return {str(name): counts[int(key)] for key, name in zip(rows["class_id"], rows["name"], strict=True)}


def _sizes(frames: pd.DataFrame) -> dict[str, int]:
    return _values(frames["width_px"].astype(str) + "x" + frames["height_px"].astype(str))


def _absent_classes(frames: pd.DataFrame, objects: pd.DataFrame, classes: pd.DataFrame) -> list[str]:
    """A sentence for each split in which a declared class has no truth."""
    named = classes[classes["kind"] == "object"]
    sentences = []
    for split, chosen in _by_split(frames):
        present = set(objects.loc[objects["frame_id"].isin(set(chosen["frame_id"])), "class_id"])
        absent = [str(name) for key, name in zip(named["class_id"], named["name"], strict=True) if key not in present]
        if absent:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if len(absent) > 10 else "")
            sentences.append(
                f"Split '{split}' has no truth for {len(absent)} of {len(named)} classes: {shown}. "
                "Their scores are not defined."
            )
    return sentences
