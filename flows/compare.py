"""`stormglass compare`: two revisions of a project side by side, read from git and from DVC's local cache."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from flows.runtime import Run
from tasks import params as parameters
from tasks.errors import InputError
from tasks.layout import Layout
from tasks.report import revision_summary, revisions
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
    """Compare revision `b` with revision `a` and write comparison.md; what it comes to, and where it is.

    Args:
        run: of the checkout.
        path: its params file.
        a: a git revision or WORKSPACE.
        b: likewise.
        models: pairs `A=B` of models; none: those of the same name.
        target: the file; None: reports/comparison.md.

    Raises:
        InputError: a revision is unknown, its outputs are not in the cache, or the two cannot be compared.
    """
    if a == b:
        raise InputError(f"Expected two revisions to compare, got {a} twice.")
    pairs = [_pair(text) for text in models]
    project = _Project(run, path)
    with tempfile.TemporaryDirectory() as scratch:
        one, other = (project.read(name, Path(scratch) / str(place)) for place, name in enumerate((a, b)))
    found = revisions.compare(one, other, pairs)
    text = revision_summary.summary(a, b, found, project.change(a, b), other.params.metrics.confidence)
    target = run.layout.reports / "comparison.md" if target is None else target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)
    return f"{revision_summary.verdict(found)}\n{target}"


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
            return Revision.read(name, self.run.params, layout.scores, layout.tables)
        layout = Layout(folder)
        with self._switched(name):
            for out in FILES:
                self._link(name, out, folder / out)
            (folder / self.params).write_text(self._params(name), encoding="utf-8")
        try:
            return Revision.read(name, parameters.load(folder / self.params), layout.scores, layout.tables)
        except InputError as error:  # names files of a folder that is gone when it is read
            raise InputError(str(error).replace(f"{folder}/", f"revision {name}, ")) from None

    @contextmanager
    def _switched(self, name: str) -> Any:
        from dvc.exceptions import NotDvcRepoError
        from dvc.repo.brancher import switch
        from dvc.scm import RevError

        try:
            with switch(self.repo, self.resolve(name)):
                yield
        except (NotDvcRepoError, RevError):
            raise InputError(f"Revision {name} does not hold this project.") from None

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
        from dvc.exceptions import OutputNotFoundError

        place = self.repo.fs.join(self.repo.root_dir, *self.inside.parts, out)
        try:
            (output,) = self.repo.find_outs_by_path(place)
        except OutputNotFoundError:
            raise InputError(f"Revision {name} has no stage of DVC that writes {out}/.") from None
        if not output.hash_info:
            raise InputError(f"Revision {name} was committed before its {out}/ were made: run `dvc repro` there.")
        tree = output.get_obj()
        held = {} if tree is None else {"/".join(key): hash_info.value for key, _, hash_info in tree}
        folder.mkdir(parents=True)
        for file in (*FILES[out], *OPTIONAL[out]):
            if tree is not None and file not in held:
                if file in OPTIONAL[out]:
                    continue
                raise InputError(
                    f"The {out}/ of revision {name} lack {file}: made by an earlier version; run it again."
                )
            cached = Path(output.cache.oid_to_path(held[file])) if file in held else None
            if cached is None or not cached.exists():
                raise InputError(
                    f"The {out}/ of revision {name} are not in the local cache: `git checkout {name}` and `dvc pull`, "
                    "or `dvc repro`, bring them there."
                )
            (folder / file).symlink_to(cached.resolve())

    def change(self, a: str, b: str) -> revision_summary.Change:
        """What lies between two revisions, as git tells it."""
        ends = [None if name == WORKSPACE else self.resolve(name) for name in (a, b)]
        one, other = (end or "HEAD" for end in ends)
        commits = (self._git("log", "--format=%h %s", f"{one}..{other}") or "").splitlines()
        missing = len((self._git("log", "--format=%h", f"{other}..{one}") or "").splitlines())
        files = (self._git("diff", "--name-only", "--relative", *filter(None, ends)) or "").splitlines()
        before, after = (self._raw(name) for name in (a, b))
        return revision_summary.Change(
            commits=commits,
            missing=missing,
            params=revisions.changed_params(before, after),
            files=[name for name in files if name not in (self.params, "dvc.lock")],
        )

    def _raw(self, name: str) -> dict[str, Any]:
        """A revision's params as they are written."""
        if name == WORKSPACE:
            text = (self.folder / self.params).read_text(encoding="utf-8")
        else:
            with self._switched(name):
                text = self._params(name)
        found: dict[str, Any] = yaml.safe_load(text)
        return found

    def _git(self, *arguments: str) -> str | None:
        """What git says; None where it fails."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, text=True, encoding="utf-8", check=False
        )
        return done.stdout if done.returncode == 0 else None
