"""`stormglass init`: a folder for a user's own data and model."""

from pathlib import Path
from typing import Final

from tasks.errors import InputError

PARAMS: Final = """\
# Every choice of a run, one section per stage. Relative paths start from this file's folder.

dataset:
  path: data                    # a folder with dataset.json: stormglass import coco SRC --images DIR data
  split: null                   # null: every frame
  validation: validation        # once `split` is set: fit temperatures and abstention on this one, if it is there
  limit: null                   # a trial: the first clips that hold at least this many frames

models:
  mine:                         # as for a YOLOX-nano trained on COCO: correct it for another network
    adapter: onnx
    weights: model.onnx
    decoder: yolox
    class_map: coco80
    input: {size: [416, 416], resize: letterbox_top_left, channels: bgr, scale: 1}
    score_threshold: 0.01
    nms_iou: 0.65

baseline: null                  # with two models: the one that differences are taken against

corruptions:                    # family -> names (`stormglass corruptions` lists them); a name may carry own levels
  blur: [defocus_blur, motion_blur]
  low_light: [low_light]
  weather: [fog, rain, snow]
  compression: [jpeg_compression, {h264: {crf: [23, 30, 37, 44, 51]}}]
  # Several at once, in the order of the light's way (low_light stays at 2), and a burst: frames 4 to 7 of each clip.
  # composed: [low_light 2 + rain + h264, fog during 4:8, {low_light + rain: {severity: [2, 4]}}]
severities: [1, 2, 3, 4, 5]
scale_to: null                  # e.g. 480: parameters in px are meant for that shorter side, scaled to the frame's

slices:
  attributes: []                # columns of your frames, e.g. [camera, time_of_day]
  crossed: []
  derived: [brightness, crowding]   # low, mid and high third of what is measured on your frames
  object: [size]
  query: {}
  shifted: {}                   # really other data, e.g. {night: {where: "time_of_day == 'night'", like: [low_light]}}

metrics:                        # every score has an interval: a bootstrap over images, or over clips of video
  resamples: 1000
  confidence: 0.95
  break_at: 0.5                 # break points: the strength at which a figure falls below this share of the clean one
  answer_accuracy: 0.95         # abstain below the confidence from which on a label is this often right on validation
  min_units: 10                 # fewer images or clips than this give a number without an interval

policy:                         # how boxes are used: reports/policy.json says what that gives
  act_precision: 0.9            # an event may rest on boxes that score enough for this precision on clean frames
  observe_precision: 0.6        # somebody should look; conditions below this are to fall back
  evidence: [3, 5]              # an event needs a track's box in 3 of the last 5 frames
  mix: {}                       # class -> share, where classes will come in another mix

latency:                        # what a frame costs: each model alone, a frame at a time; null: not measured
  frames: 72                    # spread over the scored clips; 72 bound a p95 from above, 368 a p99
  cells: []                     # corrupted frames beside clean ones, e.g. [rain 5]: more boxes take longer
  threads: 1                    # on the CPU
  take: 1                       # another number measures again, say after the machine was busy

realtime:                       # HOTA of models that have to keep up with their clips; null: not computed
  latency_ms: null              # what a frame takes, for all or {model: ms}; null: as measured above, on this machine
  percentile: 50                # of what was measured: 50, 95 or 99
  frames_per_s: null            # at which frames arrive; null: as timestamp_s in dataset.json says
  keep_newest: false            # true: the newest frame that arrives while a model is busy waits, instead of none

gates: []                       # e.g. {metric: map, family: weather, severity: 3, min: 0.25}
failures: {}                    # e.g. blind: {task: detection, max_score: 0.3, severity: [4, 5]}; see failure_cases.md

report: {form: file, pictures: 240, directory_pictures: 2000}   # directory: a folder with more pictures, too

footage: null                   # new footage, looked at by `stormglass serve` (docs/footage.md of stormglass), e.g.
  # inbox: footage/inbox
  # model: mine
  # cron: "*/15 * * * *"

run:
  device: auto                  # auto, cpu, cuda or cuda:N
  workers: auto
  batch_size: auto
  precision: float32            # of networks that torch runs: bfloat16, on CUDA also float16
  compile: false                # true: such networks through torch.compile
  unit_limit_s: 1800
  retries: 2
  prefect: true                 # false: the same work without a server
  strict: false                 # true: a corrupt image among good ones stops the run
  seed: 0
  store: .stormglass/parts
"""

DVC: Final = """\
# `git init && dvc init && dvc repro`. DVC reruns a stage when what is listed for it changes; what a stage computed
# before is found again in the part store. After a new version of stormglass: `dvc repro -f`.
stages:
  prepare:
    cmd: stormglass prepare
    params: [dataset.path, run.strict]
    deps:
      - ${dataset.path}
    outs:
      - tables
  infer:
    cmd: stormglass infer
    params: [dataset, models, corruptions, severities, scale_to, latency, run.seed, run.precision,
             run.compile]
    deps:
      - ${dataset.path}
      - tables
      - ${models.mine.weights}   # one line a model
    outs:
      - predictions
      - latency
  score:
    cmd: stormglass score
    params: [dataset, models, baseline, corruptions, severities, slices, metrics, policy]
    deps:
      - tables
      - predictions
    outs:
      - scores
  realtime:
    cmd: stormglass realtime
    params: [dataset, models, baseline, corruptions, severities, scale_to, slices, metrics, policy, realtime, run.seed]
    deps:
      - ${dataset.path}
      - tables
      - predictions
      - latency
      - scores/replicates.parquet
      - scores/scores.parquet
    outs:
      - realtime
  gallery:
    cmd: stormglass gallery
    params: [dataset, models, baseline, corruptions, severities, scale_to, report.form, report.pictures,
             report.directory_pictures, run.seed]
    deps:
      - ${dataset.path}
      - tables
      - predictions
      - scores
    outs:
      - gallery
  publish:
    cmd: stormglass publish
    params: [dataset, models, baseline, corruptions, severities, scale_to, slices, metrics, latency, realtime, gates,
             failures, report]
    deps:
      - tables
      - latency
      - scores
      - realtime
      - gallery
    outs:
      - reports/robustness.html
      - reports/summary.md:
          cache: false
      - reports/failure_cases.md:
          cache: false
      - reports/junit.xml:
          cache: false
      - reports/policy.json:
          cache: false
      - reports/slices.csv:
          cache: false
    metrics:
      - reports/metrics.json:
          cache: false
    plots:
      - reports/curves:
          cache: false
          template: plots/curves.json
          x: severity
          y: value
"""

GITIGNORE: Final = """\
.stormglass/
dvc_plots/
/footage/
/adopted/*/images/
/adopted/*/labelled/scored/
"""

DVCIGNORE: Final = """\
.stormglass
__pycache__
/footage
"""

FILES: Final = {"params.yaml": PARAMS, "dvc.yaml": DVC, ".gitignore": GITIGNORE, ".dvcignore": DVCIGNORE} | {
    name: (Path(__file__).parent / name).read_text(encoding="utf-8")
    for name in ("plots/curves.json", "plots/page.html", "plots/LICENSE-vega.txt")
}


def write(folder: Path) -> list[str]:
    """Write the files into `folder`; lines that say what to do next.

    Raises:
        InputError: one of them is there already, or `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected a folder to write to, {folder} is a file.")
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise InputError(f"{folder} has {', '.join(there)} already: nothing was written; choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [
        f"Wrote {', '.join(FILES)} to {folder}. Next, in that folder:",
        "  stormglass import coco instances.json --images IMAGES data   # your annotations and images",
        "  put your network at model.onnx and describe it in params.yaml under models",
        "  stormglass check                                             # params, model and data fit",
        "  git init && dvc init && dvc repro                            # reports/robustness.html",
        "  dvc config plots.html_template ../plots/page.html            # `dvc plots show` opens without a network",
        "  (without git and DVC: stormglass run --params params.yaml --out OUT)",
    ]
