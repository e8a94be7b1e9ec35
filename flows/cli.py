"""The command `stormglass`: what a user types, and what errors look like.

Exit status: 0 done; 1 the work failed or a gate did; 2 the user's input is wrong; 130 interrupted.
"""

import argparse
import importlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows import runtime
from tasks.errors import InputError, WorkFailed

STAGES = ("prepare", "infer", "score", "gallery", "publish")
"""What `run` does, in order; `crossing` and `train` belong to the embedded data set and models."""

TRIAL = frozenset({"infer", "score", "gallery", "publish"})
"""Stages that can be narrowed to some corruptions and clips."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    arguments = _parser().parse_args(argv)
    _show_logs()
    developer = arguments.traceback or os.environ.get("STORMGLASS_TRACEBACK") == "1"
    try:
        return int(arguments.command(arguments) or 0)
    except (InputError, WorkFailed) as error:
        if developer:
            traceback.print_exc()
        print(f"stormglass: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("stormglass: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output left, `stormglass gate | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if developer:
            traceback.print_exc()
        print(
            f"stormglass: an error of stormglass itself, {type(error).__name__}: {error} "
            "(`stormglass --traceback ...` shows where)",
            file=sys.stderr,
        )
        return 1


def _show_logs() -> None:
    """What tasks have to say while they work goes to stderr, whatever Prefect makes of logging."""
    told = logging.getLogger("tasks")
    if not told.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        told.addHandler(handler)
        told.setLevel(logging.INFO)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stormglass", description="How a vision model's accuracy falls as its input gets worse."
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from (for developers)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: object, about: str, *, params: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(command=command, name=name)
        if params:
            added.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
        return added

    def trial(added: argparse.ArgumentParser) -> None:
        added.add_argument("--only", metavar="GLOB", help="only corruptions whose name or family matches")
        added.add_argument("--limit", type=_positive, metavar="N", help="only the first clips that hold N frames")

    def of_run(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument("--out", type=Path, metavar="DIR", help="the folder of a `stormglass run`")
        return added

    start = add("init", _init, "Write params.yaml and dvc.yaml for your own data and model.", params=False)
    start.add_argument("folder", type=Path, metavar="DIR")
    add("doctor", _doctor, "Try everything a run needs on this machine.", params=False)
    coco = add("import", _import, "Bring annotations of another format into the form that runs read.", params=False)
    coco.add_argument("format", choices=["coco"], metavar="FORMAT", help="coco")
    coco.add_argument("source", type=Path, metavar="SRC", help="the annotation file")
    coco.add_argument("--images", type=Path, required=True, metavar="DIR", help="the folder its file names start from")
    coco.add_argument("--semantic", type=Path, metavar="DIR", help="PNG maps of category ids, named as the images")
    coco.add_argument("--semantic-classes", type=Path, metavar="FILE", help="YAML that names their classes")
    coco.add_argument("destination", type=Path, metavar="DEST")
    add("check", _check, "Check params, models and data set without running anything.")
    whole = add("run", _run, "All stages on your own data and models, into one folder.")
    whole.add_argument("--out", type=Path, required=True, metavar="DIR")
    trial(whole)
    add("crossing", _stage, "Render the embedded data set.")
    of_run(add("prepare", _stage, "Check the data set and write its tables."))
    training = add("train", _stage, "Train an embedded model.")
    training.add_argument("model", metavar="NAME")
    trial(of_run(add("infer", _stage, "Predict on clean and corrupted frames.")))
    of_run(add("score", _stage, "Measure the predictions that are there; no model runs."))
    of_run(add("gallery", _stage, "Draw the report's pictures."))
    of_run(add("publish", _stage, "Write the report."))
    said = of_run(add("predictions", _predictions, "Write what the models said to a CSV file."))
    said.add_argument("--model", metavar="M")
    said.add_argument("--corruption", metavar="C")
    said.add_argument("--severity", type=int, metavar="S", help="0 is clean")
    said.add_argument("--to", type=Path, required=True, metavar="FILE.csv")
    of_run(add("gate", _gate, "Judge the scores by the gates of params; status 1 when one fails."))
    hard = add("export-failures", _export_failures, "Write frames that models failed on as a data set of their own.")
    _add_failures(of_run(hard), "images")
    hard.add_argument("--corrupted", action="store_true", help="the pictures as corrupted, not the clean frames")
    shown = add("export-qa", _export_qa, "Write pictures, maps and a summary of what models made of frames.")
    _add_failures(of_run(shown), "answers of models")
    both = add("compare", _compare, "Compare two revisions of this project: paired differences, regressions first.")
    both.add_argument("a", metavar="REV_A", help="a git revision, or WORKSPACE for what lies here now")
    both.add_argument("b", metavar="REV_B", help="likewise; every figure is B minus A")
    both.add_argument(
        "--model", action="append", default=[], metavar="A=B", help="models of other names to pair; several times"
    )
    both.add_argument("--to", type=Path, metavar="FILE.md", help="reports/comparison.md unless given")
    listed = add("corruptions", _corruptions, "List the corruptions.", params=False)
    listed.add_argument("globs", nargs="*", metavar="GLOB", help="only those whose name or family matches")
    listed.add_argument("--json", action="store_true", help="everything that is stated of each, as JSON")
    _add_corrupt(add("corrupt", _corrupt, "Corrupt an image, a folder of images or a video.", params=False))
    of_run(add("ui", _ui, "Keep the run's Prefect server up and print its address."))
    return parser


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
    added.add_argument("--seed", type=int, default=0, metavar="N")
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
    added.add_argument("--model", metavar="M")
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


def _params(arguments: argparse.Namespace) -> "runtime.Run":
    """The run, after its params are checked: a typo costs no server."""
    out = getattr(arguments, "out", None)
    return runtime.open_run(str(arguments.params), None if out is None else str(out))


def _stage(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    ready = runtime.launch(run.layout.root, prefect=run.params.run.prefect)
    options = {key: getattr(arguments, key) for key in ("only", "limit") if getattr(arguments, key, None) is not None}
    if getattr(arguments, "out", None) is not None:
        options["out"] = str(run.layout.root)
    if arguments.name == "train":
        options["name"] = arguments.model
    flow = getattr(importlib.import_module(f"flows.{arguments.name}"), arguments.name)
    ready()
    flow(params=str(arguments.params), **options)


def _run(arguments: argparse.Namespace) -> int:
    run = _params(arguments)
    run.params.only(arguments.only)  # a glob that matches nothing is said at once
    ready = runtime.launch(run.layout.root, prefect=run.params.run.prefect)
    trial = {"only": arguments.only, "limit": arguments.limit}
    status = 0
    for name in STAGES:
        flow = getattr(importlib.import_module(f"flows.{name}"), name)
        ready()
        print(f"stormglass: {name}", file=sys.stderr, flush=True)
        try:
            flow(params=str(arguments.params), out=str(run.layout.root), **(trial if name in TRIAL else {}))
        except WorkFailed as error:
            if name != "infer":
                raise
            print(f"stormglass: {error}", file=sys.stderr)  # the report shows which cells are missing
            status = 1
    print(run.layout.reports / "robustness.html")
    return status


def _init(arguments: argparse.Namespace) -> None:
    from flows import init

    for line in init.write(arguments.folder):
        print(line)


def _doctor(arguments: argparse.Namespace) -> int:
    from flows import doctor

    return doctor.examine()


def _import(arguments: argparse.Namespace) -> None:
    from tasks.data.coco import import_coco

    import_coco(
        arguments.source,
        arguments.images,
        arguments.destination,
        semantic_dir=arguments.semantic,
        semantic_classes=arguments.semantic_classes,
    )
    print(f"Wrote {arguments.destination / 'dataset.json'}; name the folder in params.yaml under dataset.path.")


def _check(arguments: argparse.Namespace) -> None:
    from flows import check

    for line in check.examine(_params(arguments)):
        print(line)


def _gate(arguments: argparse.Namespace) -> int:
    from flows import gate

    return gate.judge(_params(arguments))


def _predictions(arguments: argparse.Namespace) -> None:
    from flows import predictions

    asked = {name: getattr(arguments, name) for name in ("model", "corruption", "severity")}
    print(predictions.write(_params(arguments), arguments.to, **asked))


def _compare(arguments: argparse.Namespace) -> None:
    from flows import compare

    asked = {"a": arguments.a, "b": arguments.b, "models": arguments.model, "target": arguments.to}
    print(compare.write(_params(arguments), arguments.params, **asked))


def _export_failures(arguments: argparse.Namespace) -> None:
    from flows import export

    run, wanted = _params(arguments), export.Wanted(**_asked(arguments))
    print("\n".join(export.failures(run, arguments.target, wanted, corrupted=arguments.corrupted)))


def _export_qa(arguments: argparse.Namespace) -> None:
    from flows import export

    print(export.qa(_params(arguments), arguments.target, export.Wanted(**_asked(arguments))))


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    asked = {name: getattr(arguments, name) for name in ("model", "task", "corruption", "where", "worst")}
    return {**asked, "severities": tuple(arguments.severity)}


def _corruptions(arguments: argparse.Namespace) -> None:
    from tasks.corruptions import CORRUPTIONS, listing

    chosen = listing.select(CORRUPTIONS, arguments.globs)
    if arguments.json:
        print(json.dumps([listing.facts(corruption) for corruption in chosen], indent=1, ensure_ascii=False))
    else:
        print("\n".join(listing.table(chosen)))


def _corrupt(arguments: argparse.Namespace) -> None:
    from flows import corrupt

    if arguments.target is None and arguments.sheet is None:
        raise InputError("corrupt: expected OUT, or --sheet FILE.png for a contact sheet.")
    common = {"seed": arguments.seed, "scale_to": arguments.scale_to}
    if arguments.target is not None:
        if len(arguments.name) != 1:
            raise InputError(f"corrupt: expected one --name (`a + b` composes several), got {len(arguments.name)}.")
        if arguments.severity is None and arguments.level is None:
            raise InputError("corrupt: expected --severity 1 to 5, or --level with a strength of your own.")
        amount = corrupt.Amount(arguments.name[0], arguments.severity, arguments.level, **common)
        print(corrupt.write(arguments.source, arguments.target, amount, force=arguments.force))
    if arguments.sheet is not None:
        print(corrupt.write_sheet(arguments.source, arguments.sheet, arguments.name, **common, force=arguments.force))


def _ui(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    ready = runtime.launch(run.layout.root)
    ready()
    print(f"Prefect: {os.environ['PREFECT_API_URL'].removesuffix('/api')} (kept up until Ctrl-C)", flush=True)
    signal.pause()


if __name__ == "__main__":
    sys.exit(main())
