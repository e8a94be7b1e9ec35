"""The arguments of the command `stormglass`, and what `--help` says of them."""

import argparse
from collections.abc import Callable
from pathlib import Path

STAGES = ("prepare", "infer", "score", "realtime", "gallery", "publish")
"""What `run` does, in order; `crossing` and `train` belong to the embedded data set and models."""


def parser() -> argparse.ArgumentParser:
    """Of every command; what it parses names the command as `command`."""
    whole = argparse.ArgumentParser(
        prog="stormglass", description="How a vision model's accuracy falls as its input gets worse."
    )
    whole.add_argument("--traceback", action="store_true", help="show where an error comes from (for developers)")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, about: str, *, params: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=name)
        if params:
            told = "params.yaml by default"
            added.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE", help=told)
        return added

    def trial(added: argparse.ArgumentParser) -> None:
        added.add_argument("--only", metavar="GLOB", help="only corruptions whose name or family matches")
        added.add_argument("--limit", type=_positive, metavar="N", help="only the first clips that hold N frames")

    def of_run(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--out", type=Path, metavar="DIR", help="the folder of a `stormglass run`")
        return added

    start = add("init", "Write params.yaml and dvc.yaml for your own data and model.", params=False)
    start.add_argument("folder", type=Path, metavar="DIR", help="a folder that has no such files yet")
    add("doctor", "Try everything a run needs on this machine.", params=False)
    coco = add("import", "Bring annotations of another format into the form that runs read.", params=False)
    coco.add_argument("format", choices=["coco"], metavar="FORMAT", help="coco")
    coco.add_argument("source", type=Path, metavar="SRC", help="the annotation file")
    coco.add_argument("--images", type=Path, required=True, metavar="DIR", help="the folder its file names start from")
    coco.add_argument("--semantic", type=Path, metavar="DIR", help="PNG maps of category ids, named as the images")
    coco.add_argument("--semantic-classes", type=Path, metavar="FILE", help="YAML that names their classes")
    coco.add_argument("destination", type=Path, metavar="DEST", help="a new folder for the data set")
    add("check", "Check params and data set, and let every model see one frame; nothing is written.")
    everything = add("run", "All stages on your own data and models, into one folder.")
    everything.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where all of it goes; what was killed goes on there"
    )
    everything.add_argument("--until", choices=STAGES, metavar="STAGE", help=f"the last one: {', '.join(STAGES)}")
    trial(everything)
    add("crossing", "Render the embedded data set.")
    of_run(add("prepare", "Check the data set and write its tables."))
    training = add("train", "Train an embedded model.")
    training.add_argument("model", metavar="NAME", help="its name in params: crossing-v1 or crossing-v2")
    trial(of_run(add("infer", "Predict on clean and corrupted frames, then measure latency.")))
    of_run(add("score", "Measure the predictions that are there; no model runs."))
    of_run(add("realtime", "HOTA of models that have to keep up: frames that arrive meanwhile are skipped."))
    of_run(add("gallery", "Draw the report's pictures."))
    page = of_run(add("publish", "Write the report, and bring a copy to a folder or bucket."))
    trial(page)
    page.add_argument(
        "--to", metavar="DIR|URL", help="a new folder, or one written by this before; or s3://bucket/prefix"
    )
    said = of_run(add("predictions", "Write what the models said to a CSV file."))
    said.add_argument("--model", metavar="M", help="only what this one said")
    said.add_argument("--corruption", metavar="C", help="only under this one")
    said.add_argument("--severity", type=int, metavar="S", help="0 is clean")
    said.add_argument("--to", type=Path, required=True, metavar="FILE.csv")
    of_run(add("gate", "Judge the scores by the gates of params; status 1 when one fails."))
    hard = add("export-failures", "Write frames that models failed on as a data set of their own.")
    _add_failures(of_run(hard), "images")
    hard.add_argument("--corrupted", action="store_true", help="the pictures as corrupted, not the clean frames")
    shown = add("export-qa", "Write pictures, maps and a summary of what models made of frames.")
    _add_failures(of_run(shown), "answers of models")
    shown.add_argument("--right-too", action="store_true", help="answers with nothing wrong, too")
    both = add("compare", "Compare two revisions of this project: paired differences, regressions first.")
    both.add_argument("a", metavar="REV_A", help="a git revision, or WORKSPACE for what lies here now")
    both.add_argument("b", metavar="REV_B", help="likewise; every figure is B minus A")
    both.add_argument(
        "--model", action="append", default=[], metavar="A=B", help="models of other names to pair; several times"
    )
    both.add_argument(
        "--to",
        type=Path,
        metavar="FILE.md",
        help="FILE.md and FILE.html (name either); or a folder, for comparison.md and comparison.html in it (reports/)",
    )
    listed = add("corruptions", "List the corruptions.", params=False)
    listed.add_argument("globs", nargs="*", metavar="GLOB", help="only those whose name or family matches")
    listed.add_argument("--json", action="store_true", help="everything that is stated of each, as JSON")
    _add_corrupt(add("corrupt", "Corrupt an image, a folder of images or a video.", params=False))
    followed = add("track", "Follow what a model detects in a video: annotated video, MOT text and JSON.")
    followed.add_argument("source", type=Path, metavar="IN", help="a video")
    followed.add_argument("target", type=Path, metavar="OUT.mp4", help="OUT.txt and OUT.json are put beside it")
    followed.add_argument("--model", metavar="M", help="its name in params; not needed where there is just one")
    followed.add_argument("--log", action="store_true", help="add to the JSON, frame by frame, what became of each box")
    followed.add_argument("--force", action="store_true", help="write over what is there")
    _add_versions(add)
    look = of_run(add("scan", "Look once at what has arrived in footage.inbox, and say what accuracy to expect there."))
    look.add_argument(
        "--retry",
        action="append",
        default=[],
        metavar="CLIP_ID",
        help="a broken or failed clip to try again; several times",
    )
    of_run(add("serve", "Scan by the schedule of params until Ctrl-C, and alert when no scan completes."))
    taken = of_run(add("adopt", "Draw frames of a scan for labelling, and score the model on them once labelled."))
    taken.add_argument("scan", metavar="RUN", help="the scan's name, such as 20261122T031500Z")
    taken.add_argument("--frames", type=_positive, metavar="N", help="how many to draw (100)")
    taken.add_argument("--labels", type=Path, metavar="FILE.json", help="COCO labels of frames drawn before")
    of_run(add("ui", "Keep the run's Prefect server up and print its address."))
    return whole


def _add_versions(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands that make a further version of a model and name it in params."""
    written = add("export", "Write a model's network in another form, checked on real frames, as a further version.")
    written.add_argument("--to", choices=["onnx", "torchscript"], required=True, dest="form")
    small = add("quantize", "Write the int8 version of a model that runs in onnxruntime.")
    small.add_argument(
        "--calibration",
        action="append",
        default=[],
        metavar="SLICE",
        help="an attribute to take calibration frames evenly over, or a slice such as time_of_day=night; several times "
        "(slices.attributes of params)",
    )
    fitted = add("adapt", "Write a version whose batch norms are fitted to a slice, without labels.")
    fitted.add_argument("--slice", required=True, dest="slice_name", metavar="SLICE", help="such as time_of_day=night")
    for added, frames in ((written, None), (small, 64), (fitted, 256)):
        added.add_argument("model", metavar="MODEL", help="its name in params")
        added.add_argument("--as", dest="new", metavar="NAME", help="the further version's name")
        if frames is not None:
            added.add_argument(
                "--frames",
                type=_positive,
                default=frames,
                dest="count",
                metavar="N",
                help=f"at most N frames ({frames})",
            )


def _add_corrupt(added: argparse.ArgumentParser) -> None:
    added.description = (
        "Corrupt an image, a folder of images or a video, which is written as near-lossless H.264 at its own frame "
        "rate, without sound; or draw a contact sheet of all severities. `stormglass corruptions` lists the names; "
        "`a + b` composes them, `a during 4:8` is a burst."
    )
    added.add_argument("source", type=Path, metavar="IN", help="an image, a folder of images or a video")
    added.add_argument(
        "target", type=Path, metavar="OUT", nargs="?", help="of the same kind; written whole or not at all"
    )
    added.add_argument(
        "--name", action="append", default=[], metavar="NAME", help="for a sheet also a glob or a family, several times"
    )
    amount = added.add_mutually_exclusive_group()
    amount.add_argument("--severity", type=int, metavar="N", help="1 to 5")
    amount.add_argument("--level", type=float, metavar="X", help="a strength of your own, in the corruption's unit")
    added.add_argument("--seed", type=int, default=0, metavar="N", help="the same one gives the same pixels (0)")
    added.add_argument(
        "--scale-to", type=_positive, metavar="PX", help="parameters in px are meant for frames of this shorter side"
    )
    added.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="a contact sheet of all severities: of the image or middle frame"
    )
    added.add_argument("--force", action="store_true", help="write over what is there")


def _add_failures(added: argparse.ArgumentParser, unit: str) -> None:
    """Which failures: frames on which a task of the run has something wrong."""
    added.add_argument("target", type=Path, metavar="OUT", help="a new folder; written whole or not at all")
    added.add_argument("--model", metavar="M", help="only failures of this one")
    added.add_argument("--task", metavar="T", help="such as detection")
    added.add_argument("--corruption", metavar="GLOB", help="only corruptions whose name or family matches")
    added.add_argument(
        "--severity", type=int, action="append", default=[], metavar="S", help="0 is clean; several times"
    )
    added.add_argument(
        "--where",
        metavar="QUERY",
        help="a pandas expression over the columns of examples, frames and quality, such as "
        "\"score < 0.3 and camera == 'north'\"",
    )
    added.add_argument(
        "--worst", type=_positive, default=100, metavar="N", help=f"at most N {unit}, the worst of each task (100)"
    )


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text}'")
    return int(text)
