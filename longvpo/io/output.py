"""Where a result goes: proved and locked before any work, and whole when it is there.

The rule: what is not finished lies in a folder of work that one process holds. It lies beside an output that is new,
which then appears by one rename. Where the folder exists already (empty, a link to one, or a mount), it is `work`
inside it. The files are moved up one by one, facts.json or results.json last.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from longvpo.errors import LongVPOError, first_line, say
from longvpo.io.disk import OTHERWISE, check_on_disk, not_written, writing
from longvpo.io.files import KEY, WORK, open_to_others, write_text
from longvpo.io.records import read_record

LOCK, FINAL = "lock", "final"
STRAY = ("lost+found", ".DS_Store", "Thumbs.db", "desktop.ini")  # file systems and file managers leave them
LAST = ("facts.json", "results.json", "view.json", "export.json")  # a result with one of them is finished


@dataclass(frozen=True)
class Place:
    output: Path  # as the user named it
    path: Path  # with links followed
    work: Path  # the folder of work

    @property
    def inside(self) -> bool:
        return self.work.parent == self.path

    @property
    def checkpoints(self) -> Path:
        """The folder of a training run's checkpoints; they stay when the run fails."""
        beside = self.path.parent / f"{self.path.name}.checkpoints"
        return self.work / "checkpoints" if self.inside and not beside.is_dir() else beside

    @property
    def beside(self) -> Path:
        """The folder of work of a run that found no folder at the output."""
        return self.path.parent / f"{self.path.name}.unfinished"


def place_of(output: Path, inside: bool = False) -> Place:
    """Where the result and the work for it go; nothing is written.

    Args:
        inside: the folder of work is part of the result.

    Raises:
        LongVPOError: `output` is a file or in object storage, or no folder can have that name.
    """
    check_on_disk(output)
    with writing(output):
        try:
            path = output.resolve()
            if path.is_symlink():  # links in a circle, which Python 3.13 resolves to one of them
                path.stat()
            there = path.is_dir()
            if path.exists() and not there:
                raise LongVPOError(f"{output} is a file: {OTHERWISE}, or delete it")
        except (RuntimeError, ValueError) as error:  # links that lead to each other; letters that the locale lacks
            raise LongVPOError(f"cannot write into {output}: {first_line(error)}; {OTHERWISE}") from error
    return Place(output, path, path / WORK if there or inside else Place(output, path, path).beside)


def finished(place: Place, name: str, key: str) -> dict[str, Any] | None:
    """What the JSON file `name` of a finished run with this key says; None where none has finished.

    Args:
        key: changes with everything that decides the result.

    Raises:
        LongVPOError: the result of another run is there.
    """
    with writing(place.output):
        if not (place.path / name).is_file():
            return None
    values: dict[str, Any] = read_record(place.path / name)
    if values.get("key") == key:
        say(f"{place.output} is finished already: nothing to do")
        for left in (place.beside, place.work):
            if (left / KEY).is_file():  # a kill just at the end left it
                shutil.rmtree(left, ignore_errors=True)
        return values
    raise LongVPOError(
        f"{place.output} holds the result of another recipe or of other input: {OTHERWISE}, or delete it"
    )


@contextmanager
def claimed(place: Place, key: str, recipe: str = "", keep: bool = False) -> Iterator[Path]:
    """The folder of work, for a run that may be killed and started again; another process is kept out.

    Once it is claimed, files can be written there. It goes away at the end where no work was kept in it.

    Args:
        key: changes with everything that decides the result.
        recipe: the recipe's hash, for the message.
        keep: it is part of the result.

    Raises:
        LongVPOError: the output holds something else or cannot be written, or another process is at work in it.
    """
    check_place(place, key, recipe, keep)
    with _locked(place):
        try:
            with writing(place.output):
                check_place(place, key, recipe, keep)  # another process may have ended just now
                write_text(place.work / KEY, json.dumps({"key": key, "recipe": recipe}))
            yield place.work
        except BaseException:
            _tidy(place)
            raise
        if not keep:
            _tidy(place)


def _tidy(place: Place) -> None:
    """Delete the folder of work, unless there is work in it."""
    if place.work.is_dir() and all(
        _ours(place, path) or not any(one.is_file() for one in (path, *path.rglob("*")))
        for path in place.work.iterdir()
    ):
        shutil.rmtree(place.work, ignore_errors=True)


def check_place(place: Place, key: str | None, recipe: str = "", keep: bool = False) -> None:
    """Raises LongVPOError where the output or the folder of work holds something else; see claimed. With no key,
    which is not known yet, only where it is of another recipe."""
    with writing(place.output):
        if not place.inside and place.path.exists():
            raise LongVPOError(f"another process has just made {place.output}: run the same command again")
        for folder in (place.path, place.work):
            others = [path for path in folder.iterdir() if not _ours(place, path)] if folder.is_dir() else []
            if others:
                break
        if not (place.work / KEY).is_file():
            if others and key is not None:
                where = place.output if folder == place.path else folder
                raise LongVPOError(f"{where} is not empty: {OTHERWISE}, or delete it")
            return
    if others or keep:
        _check_key(place, key, recipe, "build" if keep else "run")


def _check_key(place: Place, key: str | None, recipe: str, what: str) -> None:
    mark = place.work / KEY
    try:
        theirs = json.loads(mark.read_bytes())
        other_recipe, other_key = theirs["recipe"] != recipe, key is not None and theirs["key"] != key
    except (ValueError, TypeError, KeyError):
        raise LongVPOError(
            f"{mark} is damaged: {OTHERWISE}"
            + (f", and --journal {place.work / 'journal'} for its answers" if what == "build" else "")
        ) from None
    if other_recipe:
        raise LongVPOError(
            f"{place.output} holds a {what} of another recipe: its hash is {theirs['recipe']}, this one's {recipe}. "
            "Give another --output, or delete it"
        )
    if other_key:
        inputs = "tables" if what == "build" else "input"
        raise LongVPOError(
            f"{place.output} holds a {what} of this recipe ({recipe}) from other {inputs}: {OTHERWISE}, or delete it"
        )


def _ours(place: Place, path: Path) -> bool:
    """Whether a file or folder is of the claim itself, or was put there by no person."""
    return (
        path == place.work
        or path.name in STRAY
        or (path.parent == place.work and (path.name in (LOCK, KEY, FINAL) or path.match(f"{KEY}.*.unfinished")))
    )


@contextmanager
def _locked(place: Place) -> Iterator[None]:
    """A lock that ends with this process, whatever ends it; with it, the folder of work is proved writable."""
    if place.inside and (place.beside / LOCK).is_file():
        _lock(place, place.beside / LOCK).close()
    path = place.work / LOCK
    made = [folder for folder in (place.work, *place.work.parents) if not folder.exists()]
    try:
        with writing(place.output):
            while True:
                place.work.mkdir(parents=True, exist_ok=True)
                file = _lock(place, path)
                if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break
                file.close()  # its process has ended just now, and deleted it
            try:
                file.truncate(0)
                file.write(f"{os.getpid()} on {platform.node()}\n".encode().ljust(4096))
                file.flush()
                os.fsync(file.fileno())  # some file systems say only now that there is no space
            except OSError:
                path.unlink()
                raise
        with file:
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _lock(place: Place, path: Path) -> IO[bytes]:
    file = path.open("a+b")
    try:
        import fcntl  # not on Windows

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().decode(errors="replace").strip()
        file.close()
        raise LongVPOError(
            f"another process is at work in {place.output} ({who}): wait for it, or {OTHERWISE}"
        ) from None
    except (ImportError, OSError):
        say(f"{place.output}: there are no locks here, so start no second run in it")
    return file


@contextmanager
def whole_folder(place: Place) -> Iterator[Path]:
    """A folder in a claimed place; its files become the output when the block ends well, and are gone otherwise."""
    final = place.work / FINAL
    shutil.rmtree(final, ignore_errors=True)
    final.mkdir()
    try:
        yield final
        open_to_others(final)
        if place.inside:
            for item in sorted(final.iterdir(), key=lambda item: item.name in LAST):
                target = place.path / item.name
                if target.is_dir():
                    shutil.rmtree(target)
                item.replace(target)
            final.rmdir()
        else:
            final.rename(place.path)
    except BaseException:
        shutil.rmtree(final, ignore_errors=True)
        raise


@contextmanager
def whole_output(output: Path, key: str = "") -> Iterator[Path]:
    """A folder that becomes `output` when the block ends well; the output is claimed meanwhile."""
    place = place_of(output)
    with claimed(place, key), writing(output), whole_folder(place) as folder:
        yield folder


def write_whole(place: Place, write: Callable[[Path], None], resumes: bool = False) -> None:
    """Write a result of hours into a place that is claimed; where that fails, it is kept elsewhere.

    Args:
        resumes: the same command will only write the result again, so that nothing need be kept.

    Raises:
        LongVPOError: the place can no longer be written; the text says why, and where the result is.
    """
    try:
        with whole_folder(place) as folder:
            write(folder)
    except Exception as error:
        said = not_written(error, place.work)
        if said is None:
            raise
        kept = None if resumes else _kept(write)
        again = "the same command only writes the result again" if resumes else "run again"
        then = f"the result is whole in {kept}: move it to where it belongs" if kept else f"mend that, and {again}"
        raise LongVPOError(f"cannot write into {place.output}: {said}; {then}") from error


def _kept(write: Callable[[Path], None]) -> Path | None:
    """A folder for temporary files with the result, where that can be."""
    with suppress(Exception):  # errors of the libraries that write have no common base
        folder = Path(tempfile.mkdtemp(prefix="longvpo-kept-"))
        try:
            write(folder)
            return folder
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return None
