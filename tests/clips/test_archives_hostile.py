"""Archives that want to write elsewhere, or to fill disk or memory: what is refused is dropped with its reason."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from longvpo.clips import archives
from longvpo.clips.archives import fetch_archives
from longvpo.clips.sources import list_candidates, prepare
from longvpo.errors import LongVPOError
from longvpo.recipe.sources import SourceSection

Members = Callable[[tarfile.TarFile], None]


def source_of(folder: Path, videos: str) -> SourceSection:
    return SourceSection(
        name="s", folder=folder / "deep" / "kept", dataset=str(folder / "repository"), videos=videos, tars="*.*"
    )


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tuple):
                info, content = tarfile.TarInfo(member[0]), member[1]
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                archive.addfile(member)


def special(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_no_member_of_a_tar_is_anything_but_a_file_inside(tmp_path: Path) -> None:
    outside = ["../out.mp4", "/out.mp4", "a/../../out.mp4", "C:\\out.mp4", "C:/out.mp4", "a\nb.mp4", "\x1b[31m.mp4"]
    kinds = {
        "link.mp4": (tarfile.SYMTYPE, "/etc/passwd"),
        "hard.mp4": (tarfile.LNKTYPE, "/etc/passwd"),
        "device.mp4": (tarfile.CHRTYPE, ""),
        "pipe.mp4": (tarfile.FIFOTYPE, ""),
        "folder.mp4": (tarfile.DIRTYPE, ""),
    }
    members = [special(name, *of) for name, of in kinds.items()]
    files = [(name, b"outside") for name in outside] + [("twice.mp4", b"first"), ("twice.mp4", b"second")]
    tar(tmp_path / "repository" / "a.tar.gz", *members, *files, ("good.mp4", b"good"))
    missing = fetch_archives(source_of(tmp_path, "tar"), {*kinds, "good.mp4", "twice.mp4", "none.mp4"})
    assert missing == {
        "device.mp4": "device.mp4 is no plain file in a.tar.gz",
        "folder.mp4": "folder.mp4 is no plain file in a.tar.gz",
        "hard.mp4": "hard.mp4 is a link in a.tar.gz",
        "link.mp4": "link.mp4 is a link in a.tar.gz",
        "none.mp4": "none.mp4 is in no archive *.*",
        "pipe.mp4": "pipe.mp4 is no plain file in a.tar.gz",
    }
    kept = {path.name: path.read_bytes() for path in (tmp_path / "deep").rglob("*.*")}
    assert kept == {"good.mp4": b"good", "twice.mp4": b"first"}
    assert not list(tmp_path.rglob("*out*"))


def huge_name(path: Path) -> None:
    """A name of 8 GB, as a header says, of which a part follows."""
    info = special("@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 2**33
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**16)))


def holes(path: Path) -> None:
    info = tarfile.TarInfo("a.mp4")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.mp4"}
    info.size = 512
    path.write_bytes(gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + b"9" * 512 + bytes(1024)))


def old_holes(path: Path) -> None:
    path.write_bytes(gzip.compress(special("a.mp4", tarfile.GNUTYPE_SPARSE).tobuf() + bytes(2048)))


def grows(path: Path) -> None:
    tar(path, *((f"{number}.bin", bytes(200_000)) for number in range(6)), ("a.mp4", b"a"))


def many(path: Path) -> None:
    tar(path, *((f"{number}.bin", b"") for number in range(60)), ("a.mp4", b"a"))


BOMBS = {
    huge_name: "of more than 1 MiB",
    holes: "it holds a file with holes",
    old_holes: "it holds a file with holes",
    grows: "MB would become more than 0 GB",
    many: "it has more than 50 members",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_tar_beyond_a_bound_is_left_and_the_next_is_read(
    bomb: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ROOM", 10**6)
    monkeypatch.setattr(archives, "MEMBERS", 50)
    tar(tmp_path / "repository" / "b.tar", ("b.mp4", b"b"), mode="w")
    bomb(tmp_path / "repository" / "a.tar.gz")
    missing = fetch_archives(source_of(tmp_path, "tar"), {"a.mp4", "b.mp4"})
    assert list(missing) == ["a.mp4"]
    assert missing["a.mp4"].startswith("a.mp4 is not among what was read of a.tar.gz: ")
    assert BOMBS[bomb] in missing["a.mp4"]


def test_a_zip_that_grows_or_is_ambiguous_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repository").mkdir()
    with zipfile.ZipFile(tmp_path / "repository" / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("twice.mp4", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice.mp4", b"second")
        archive.writestr("good.mp4", b"good")
        archive.writestr("bomb.mp4", bytes(10**6))
    source = source_of(tmp_path, "zip")
    monkeypatch.setattr(archives, "ROOM", 10**5)
    missing = fetch_archives(source, {"twice.mp4", "good.mp4", "bomb.mp4"})
    assert missing["twice.mp4"] == "twice.mp4 is there more than once in a.zip"
    assert "MB would become more than" in missing["bomb.mp4"]
    assert [path.name for path in source.folder.iterdir()] == ["good.mp4"]
    monkeypatch.setattr(archives, "DIRECTORY", 100)
    assert "its table of contents has more than" in fetch_archives(source, {"bomb.mp4"})["bomb.mp4"]
    (tmp_path / "repository" / "a.zip").write_bytes(b"PK\x05\x06" + b"\xff" * 18)
    with pytest.raises(LongVPOError, match=r"cannot read a\.zip"):
        fetch_archives(source, {"bomb.mp4"})


def test_rows_of_refused_members_are_dropped_with_the_reason(tmp_path: Path) -> None:
    tar(tmp_path / "repository" / "a.tar", special("l.mp4", tarfile.SYMTYPE, "/etc/passwd"), mode="w")
    row = {"file_name": "l.mp4", "caption": "red"}
    (tmp_path / "repository" / "train.jsonl").write_text(json.dumps(row) + "\n")
    source = source_of(tmp_path, "tar").model_copy(update={"tars": "*.tar"})
    _, dropped = prepare(source, list_candidates(source)[0], tmp_path)
    assert [(item.filter, item.reason) for item in dropped] == [("table", "l.mp4 is a link in a.tar")]
