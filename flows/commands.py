"""What each command does with its arguments; what it needs is loaded when it is asked for."""

import argparse
import contextlib
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flows import runtime
from flows.arguments import STAGES
from tasks import processes
from tasks.errors import InputError, WorkFailed

TRIAL = frozenset({"infer", "score", "realtime", "gallery", "publish"})
"""Stages that can be narrowed to some corruptions and clips."""


def _params(arguments: argparse.Namespace) -> "runtime.Run":
    """The run, after its params are checked: a typo costs no server."""
    out = getattr(arguments, "out", None)
    return runtime.open_run(str(arguments.params), None if out is None else str(out))


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """While libraries are loaded: they stay, and the garbage collector would go through them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _ahead(stages: Sequence[str], run: "runtime.Run") -> contextlib.AbstractContextManager[None]:
    """What the processes of these stages load is loaded meanwhile, where they have any."""
    adapters = {f"tasks.models.{model.adapter}" for model in run.params.models.values()}
    loaded = {
        "infer": ("tasks.inference.bench", *sorted(adapters)),
        "score": ("tasks.metrics.score", "scipy.special", "scipy.sparse"),
    }
    modules = [module for stage in stages for module in loaded.get(stage, ())]
    return processes.ahead(modules) if modules else contextlib.nullcontext()


def _stage(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    given = {key: getattr(arguments, key, None) for key in ("only", "limit", "to")}
    options = {key: value for key, value in given.items() if value is not None}
    if getattr(arguments, "out", None) is not None:
        options["out"] = str(run.layout.root)
    if arguments.command == "train":
        options["name"] = arguments.model
    with _ahead([arguments.command], run):
        ready = runtime.launch(run.layout.root, prefect=run.params.run.prefect)
        with _loading():
            flow = getattr(importlib.import_module(f"flows.{arguments.command}"), arguments.command)
        ready()
        with runtime.attended():
            flow(params=str(arguments.params), **options)


def _run(arguments: argparse.Namespace) -> int:
    run = _params(arguments)
    run.params.only(arguments.only)  # a glob that matches nothing is said at once
    trial = {"only": arguments.only, "limit": arguments.limit}
    status = 0
    names = STAGES[: STAGES.index(arguments.until or STAGES[-1]) + 1]
    with _ahead(names, run):
        ready = runtime.launch(run.layout.root, prefect=run.params.run.prefect)
        with _loading():  # as the server starts
            flows = {name: getattr(importlib.import_module(f"flows.{name}"), name) for name in names}
        ready()
        with runtime.attended():
            for name, flow in flows.items():
                print(f"stormglass: {name}", file=sys.stderr, flush=True)
                try:
                    flow(params=str(arguments.params), out=str(run.layout.root), **(trial if name in TRIAL else {}))
                except WorkFailed as error:
                    if name != "infer":
                        raise
                    print(f"stormglass: {error}", file=sys.stderr)  # the report shows which cells are missing
                    status = 1
    if name == STAGES[-1]:
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

    wanted = export.Wanted(**_asked(arguments))
    print(export.qa(_params(arguments), arguments.target, wanted, right_too=arguments.right_too))


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


def _track(arguments: argparse.Namespace) -> None:
    from flows import track

    asked = {name: getattr(arguments, name) for name in ("model", "log", "force")}
    print("\n".join(track.write(_params(arguments), arguments.source, arguments.target, **asked)))


def _version(arguments: argparse.Namespace) -> None:
    from flows import versions

    asked = {
        name: getattr(arguments, name)
        for name in ("form", "calibration", "slice_name", "count", "new")
        if hasattr(arguments, name)
    }
    make = getattr(versions, arguments.command)
    print("\n".join(make(_params(arguments), arguments.params, arguments.model, **asked)))


def _scan(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    ready = runtime.launch(run.layout.root, prefect=run.params.run.prefect)
    from flows import footage

    footage.retry(run, arguments.retry)
    ready()
    footage.scan(params=str(arguments.params), out=str(run.layout.root))


def _adopt(arguments: argparse.Namespace) -> None:
    from flows import adopt

    run = _params(arguments)
    if arguments.labels is None:
        lines = adopt.draw(run, arguments.scan, count=arguments.frames or adopt.FRAMES)
    elif arguments.frames is not None:
        raise InputError("adopt: expected --frames, to draw frames, or --labels, to take labels back, got both.")
    else:
        lines = adopt.score(run, arguments.scan, arguments.labels)
    print("\n".join(lines))


def _serve(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    ready = runtime.launch(run.layout.root)
    from flows import serve

    ready()
    serve.keep(run, arguments.params)


def _ui(arguments: argparse.Namespace) -> None:
    run = _params(arguments)
    ready = runtime.launch(run.layout.root)
    ready()
    print(f"Prefect: {os.environ['PREFECT_API_URL'].removesuffix('/api')} (kept up until Ctrl-C)", flush=True)
    signal.pause()


COMMANDS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "init": _init,
    "doctor": _doctor,
    "import": _import,
    "check": _check,
    "run": _run,
    "crossing": _stage,
    "prepare": _stage,
    "train": _stage,
    "infer": _stage,
    "score": _stage,
    "realtime": _stage,
    "gallery": _stage,
    "publish": _stage,
    "predictions": _predictions,
    "gate": _gate,
    "export-failures": _export_failures,
    "export-qa": _export_qa,
    "compare": _compare,
    "corruptions": _corruptions,
    "corrupt": _corrupt,
    "track": _track,
    "export": _version,
    "quantize": _version,
    "adapt": _version,
    "scan": _scan,
    "serve": _serve,
    "adopt": _adopt,
    "ui": _ui,
}
"""By name; an exit status, or None where the command is done."""
