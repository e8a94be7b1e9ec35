"""`stormglass compare`: two revisions of a project side by side, read from git and from DVC's local cache."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from flows.runtime import Run
from tasks import params as parameters
from tasks import tables
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.report import latency_changes, revision_page, revision_summary, revisions
from tasks.report.shared import Revision

WORKSPACE: Final = "WORKSPACE"
"""In the place of a revision: what lies in the run's folders now, committed or not."""

FILES: Final = {
    "scores": ("scores.parquet", "replicates.parquet", "examples.parquet"),
    "tables": ("frames.parquet", "objects.parquet", "classes.parquet"),
}
"""What is read of the outputs of a revision and must be there."""

OPTIONAL: Final = {"scores": (), "tables": ("semantic.parquet", "quality.parquet")}


def write(run: Run, path: Path, *, a: str, b: str, models: Sequence[str] = (), target: Path | None = None) -> str:
    """Compare revision `b` with revision `a`, write it as Markdown and as a page; what it comes to, and where it is.

    Args:
        run: of the checkout.
        path: its params file.
        a: a git revision or WORKSPACE.
        b: likewise.
        models: pairs `A=B` of models; none: those of the same name.
        target: where, as `_targets` reads it.

    Raises:
        InputError: a revision is unknown, its outputs are not in the cache, or the two cannot be compared.
    """
    if a == b:
        raise InputError(f"Expected two revisions to compare, got {a} twice.")
    pairs = [_pair(text) for text in models]
    markdown, page = _targets(target, run.layout.reports)
    project = _Project(run, path)
    change = project.change(a, b)
    if WORKSPACE not in (a, b) and project.resolve(a) == project.resolve(b):
        raise InputError(
            f"Expected two revisions to compare, got two names of commit {change.ends[0].commit}: {a}, {b}."
        )
    with tempfile.TemporaryDirectory() as scratch:
        one, other = (project.read(name, Path(scratch) / str(place)) for place, name in enumerate((a, b)))
        found = revisions.compare(one, other, pairs)
        told = latency_changes.latency_changes(one, other, found.pairs)
        made = {page: revision_page.render(one, other, found, change)}  # pictures lie in the scratch folder
    confidence = other.params.metrics.confidence
    made[markdown] = revision_summary.summary(a, b, found, change, confidence, page.name, told)
    markdown.parent.mkdir(parents=True, exist_ok=True)
    temporary = {target: target.with_name(f".{target.name}.{os.getpid()}") for target in made}
    try:
        for target, text in made.items():
            temporary[target].write_text(text, encoding="utf-8", newline="\n")
        for target in made:
            temporary[target].replace(target)
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
    return f"{revision_summary.verdict(found)}\n{markdown}\n{page}"


def _targets(target: Path | None, reports: Path) -> tuple[Path, Path]:
    """The Markdown file and the page: two files of one name in one folder.

    Args:
        target: a file that ends in .md or .html, whichever: the other stands beside it; or else a folder, in which they
            are called comparison; None: reports/.
        reports: that folder.
    """
    target = reports if target is None else target
    if target.suffix in (".md", ".html") and not target.is_dir():
        return target.with_suffix(".md"), target.with_suffix(".html")
    if target.exists() and not target.is_dir():
        raise InputError(
            f"--to {target}: expected a file that ends in .md or .html, or a folder; this is another file."
        )
    return target / "comparison.md", target / "comparison.html"


def _pair(text: str) -> tuple[str, str]:
    one, equals, other = text.partition("=")
    if not (one and equals and other):
        raise InputError(f"--model {text}: expected A=B, a model of the first revision and one of the second.")
    return one, other


class _Project:
    """The git and DVC repository that a run lies in."""

    def __init__(self, run: Run, path: Path) -> None:
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo import Repo

        self.run = run
        self.folder = run.params.folder
        self.params = path.name
        try:
            self.repo = Repo(str(self.folder))
        except NotDvcRepoError:
            raise InputError(
                f"{self.folder} is no DVC project, so there are no revisions to compare: `git init && dvc init`."
            ) from None
        self.inside = self.folder.relative_to(Path(self.repo.root_dir).resolve())

    def read(self, name: str, folder: Path) -> Revision:
        """A revision's tables; of one in git, links to them in DVC's cache are put into `folder`.

        Raises:
            InputError: git does not know it, or the cache does not have its outputs.
        """
        if name == WORKSPACE:
            layout = self.run.layout
            held = (layout.gallery / "gallery.parquet").exists()
            lacking = "" if held else f"{name} has no gallery/: `stormglass gallery` draws it."
            found = Revision.read(name, self.run.params, layout.scores, layout.tables)
            measured = (layout.latency / "latency.parquet").exists()
            slow = "" if measured else f"{name} has no latency/latency.parquet: `stormglass infer` measures it."
            return _with_latency(_with_pictures(found, layout, lacking), layout, slow)
        layout = Layout(folder)
        with self._switched(name):
            for out in FILES:
                self._link(name, out, folder / out)
            lacking, slow = (self._link_all(name, place) for place in (layout.gallery, layout.latency))
            (folder / self.params).write_text(self._params(name), encoding="utf-8")
        try:
            found = Revision.read(name, parameters.load(folder / self.params), layout.scores, layout.tables)
        except InputError as error:  # names files of a folder that is gone when it is read
            raise InputError(str(error).replace(f"{folder}/", f"revision {name}, ")) from None
        return _with_latency(_with_pictures(found, layout, lacking), layout, slow)

    @contextmanager
    def _switched(self, name: str) -> Any:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo.brancher import switch
        from dvc.scm import RevError

        try:
            with switch(self.repo, self.resolve(name)):
                yield
        except (NotDvcRepoError, RevError):
            raise InputError(f"Revision {name} does not hold this project.") from None
        except DvcException as error:
            raise InputError(f"DVC cannot read revision {name}: {error}") from None

    def resolve(self, name: str) -> str:
        """The hash of a revision's commit."""
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if done is None:
            raise InputError(
                f"'{name}' is no revision that git knows in {self.folder}; {WORKSPACE} is what lies there."
            )
        return done.strip()

    def _params(self, name: str) -> str:
        place = self.repo.fs.join(self.repo.root_dir, *self.inside.parts, self.params)
        try:
            return str(self.repo.fs.read_text(place, encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"Revision {name} has no {self.params}.") from None

    def _link(self, name: str, out: str, folder: Path) -> None:
        """Links in `folder` to what the revision's output `out` holds."""
        held = self._held(name, out)
        folder.mkdir(parents=True)
        for file in (*FILES[out], *OPTIONAL[out]):
            if file not in held:
                if file in OPTIONAL[out]:
                    continue
                raise InputError(
                    f"The {out}/ of revision {name} lack {file}: made by an earlier version; run it again."
                )
            if not held[file].exists():
                raise InputError(_absent(name, out))
            (folder / file).symlink_to(held[file].resolve())

    def _link_all(self, name: str, folder: Path) -> str:
        """Links to all of the revision's output of the folder's name; if not all is at hand none, and why not."""
        try:
            held = self._held(name, folder.name)
        except InputError as error:
            return str(error)
        if not all(file.exists() for file in held.values()):
            return _absent(name, folder.name)
        for file, cached in held.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).symlink_to(cached.resolve())
        return ""

    def _held(self, name: str, out: str) -> dict[str, Path]:
        """The files of the revision's output `out` with their places in DVC's cache, there or not."""
        from dvc.exceptions import OutputNotFoundError

        place = self.repo.fs.join(self.repo.root_dir, *self.inside.parts, out)
        try:
            (output,) = self.repo.find_outs_by_path(place)
        except OutputNotFoundError:
            raise InputError(f"Revision {name} has no stage of DVC that writes {out}/.") from None
        if not output.hash_info:
            raise InputError(f"Revision {name} was committed before its {out}/ were made: run `dvc repro` there.")
        tree = output.get_obj()
        if tree is None:
            raise InputError(_absent(name, out))
        return {"/".join(key): Path(output.cache.oid_to_path(info.value)) for key, _, info in tree}

    def change(self, a: str, b: str) -> revision_summary.Change:
        """What lies between two revisions, as git tells it."""
        ends = [None if name == WORKSPACE else self.resolve(name) for name in (a, b)]
        one, other = (end or "HEAD" for end in ends)
        commits = (self._git("log", "--format=%h %s", f"{one}..{other}") or "").splitlines()
        missing = len((self._git("log", "--format=%h", f"{other}..{one}") or "").splitlines())
        files = (self._git("diff", "--name-only", "--relative", *filter(None, ends)) or "").splitlines()
        texts = [self._text(name) for name in (a, b)]
        before, after = (yaml.safe_load(text) for text in texts)
        return revision_summary.Change(
            commits=commits,
            missing=missing,
            params=revisions.changed_params(before, after),
            files=[name for name in files if name not in (self.params, "dvc.lock")],
            ends=[self._end(name, text) for name, text in zip((a, b), texts, strict=True)],
        )

    def _end(self, name: str, params: str) -> revision_summary.End:
        at = "HEAD" if name == WORKSPACE else self.resolve(name)
        told = (self._git("log", "-1", "--format=%h%n%cs%n%s", at) or "").splitlines()
        commit, date, subject = [*told, "", "", ""][:3]
        return revision_summary.End(name, commit, subject, date, params)

    def _text(self, name: str) -> str:
        """A revision's params as they are written."""
        if name == WORKSPACE:
            return (self.folder / self.params).read_text(encoding="utf-8")
        with self._switched(name):
            return self._params(name)

    def _git(self, *arguments: str) -> str | None:
        """What git says; None where it fails."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, text=True, encoding="utf-8", check=False
        )
        return done.stdout if done.returncode == 0 else None


def _absent(name: str, out: str) -> str:
    return (
        f"The {out}/ of revision {name} are not in the local cache: `git checkout {name}` and `dvc pull`, "
        "or `dvc repro`, bring them there."
    )


def _with_pictures(found: Revision, layout: Layout, lacking: str) -> Revision:
    """A revision with its gallery, or with the sentence that says why it has none."""
    return replace(found, gallery=None if lacking else layout.gallery, no_gallery=lacking)


def _with_latency(found: Revision, layout: Layout, lacking: str) -> Revision:
    """A revision with its table of latency, or with the sentence that says why it has none."""
    if lacking:
        return replace(found, no_latency=lacking)
    try:
        return replace(found, latency=tables.read("latency", layout.latency / "latency.parquet"), no_latency="")
    except InputError:
        return replace(found, no_latency="Its latency/latency.parquet was written by another version.")
