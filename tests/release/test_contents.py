"""What a release holds: the files that longvpo makes, whole, and nothing else of a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from longvpo.errors import LongVPOError
from longvpo.io.records import read_record
from longvpo.io.weights import check_weights
from longvpo.release.cards import card_of
from longvpo.release.corrected import correct
from longvpo.release.staging import check_files, staged
from longvpo.release.target import Target

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def held(folder: Path, kind: str = "dataset") -> set[str]:
    """The files of the folder's release."""
    with staged(folder, Target(kind, "alice/data", "v1")) as release:  # type: ignore[arg-type]
        return set(release.files)


def test_stray_files_and_links_stay_here(dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    own = held(folder)
    assert capfd.readouterr().err == ""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "secret.txt").write_text("mine")
    (shard,) = (folder / "stage1").iterdir()
    shutil.copy(shard, elsewhere / "deep" / "train-00000-of-00001-0123456789abcdef.parquet")
    for name in (".DS_Store", "Thumbs.db", "facts.json~", "#recipe.yaml#", "notes.ipynb", "recipe.yaml.bak", ".env"):
        (folder / name).write_text("x")
    (folder / "stage1" / ".DS_Store").write_text("x")
    (folder / "stage1" / f"{shard.stem} (copy).parquet").write_bytes(shard.read_bytes())
    (folder / "notes").mkdir()
    (folder / "secret.txt").symlink_to(elsewhere / "secret.txt")
    (folder / "scenes").symlink_to(elsewhere / "deep")
    (folder / "contact_sheet_stage2.png").symlink_to(elsewhere / "secret.txt")
    assert held(folder) == own
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "longvpo did not make" in line]
    assert said.startswith("left out, as longvpo did not make it here: #recipe.yaml#, .DS_Store, .env, Thumbs.db, ")
    assert said.endswith("and 8 more")


def test_a_table_of_another_name_is_no_part_of_a_config(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import pyarrow
    from pyarrow import parquet

    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    own, card = held(folder), card_of(folder)
    parquet.write_table(pyarrow.table({"password": ["mine"]}), folder / "stage1" / "secret.parquet")
    (folder / "stage1" / "broken.parquet").write_text("none")
    assert card_of(folder) == card
    assert held(folder) == own
    assert "did not make it here: stage1/broken.parquet, stage1/secret.parquet" in capfd.readouterr().err


def test_pictures_of_videos_that_may_not_be_published_stay_here(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    own = held(folder)
    assert "contact_sheet.png" in own
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    facts["sources"][0]["redistribution"] = False
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    capfd.readouterr()
    with staged(folder, Target("dataset", "alice/data", "v1", overwrite_card=True)) as release:
        assert set(release.files) == own - {"contact_sheet.png"}
        assert "contact_sheet" not in release.files["README.md"].path.read_text(encoding="utf-8")
    said = capfd.readouterr().err
    assert "left out: contact_sheet.png, as the frames of source drawn may not be" in said
    assert f"`longvpo card {folder} sources.drawn.redistribution=true`" in said


def test_frames_in_the_rows_of_a_source_that_was_closed_afterwards_are_refused(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import pyarrow
    from pyarrow import parquet

    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    for shard in (folder / "clips").iterdir():
        table = parquet.read_table(shard)
        pictures = pyarrow.array([[{"bytes": b"x", "path": None}]] * len(table))
        parquet.write_table(table.append_column("frames", pictures), shard)
    facts = read_record(folder / "facts.json")
    check_files(folder, facts)
    correct(folder, ["sources.drawn.redistribution=false"])
    assert "the sampled frames stand in clips (embed: frames)" in capfd.readouterr().err
    facts = read_record(folder / "facts.json")
    with pytest.raises(LongVPOError, match=r"in clips .* source drawn may not .* sources.drawn.redistribution=true"):
        check_files(folder, facts)
    with pytest.raises(LongVPOError, match="stand in clips"), staged(folder, Target("dataset", "alice/data", "v1")):
        pass


def test_a_link_inside_the_folder_is_its_own(dataset: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    own = held(folder)
    (shard,) = (folder / "stage1").iterdir()
    (folder / "work" / shard.name).write_bytes(shard.read_bytes())
    shard.unlink()
    shard.symlink_to(Path("..") / "work" / shard.name)
    (tmp_path / "another name").symlink_to(folder)
    assert held(tmp_path / "another name") == own


def test_a_config_of_which_files_are_missing(dataset: Path, tmp_path: Path) -> None:
    for number, (change, says) in enumerate(
        [
            (lambda shard: shutil.rmtree(shard.parent), "stage1 has not all of its rows: 0 of 1 files are there"),
            (lambda shard: shard.unlink(), "stage1 has not all of its rows: 0 of 1 files are there"),
            (
                lambda shard: shard.rename(shard.with_name("train-00000-of-00003-0123456789abcdef.parquet")),
                "stage1 has not all of its rows: 1 of 3 files are there",
            ),
            (lambda shard: shard.write_bytes(shard.read_bytes()[:-9]), "is damaged: it is not parquet"),
            (lambda shard: shard.write_bytes(b""), "is damaged: it is not parquet"),
            (lambda shard: shard.write_bytes(POINTER), "is damaged: it is not parquet"),
        ]
    ):
        folder = Path(shutil.copytree(dataset, tmp_path / str(number)))
        (shard,) = (folder / "stage1").iterdir()
        change(shard)
        with pytest.raises(LongVPOError, match=rf"build the dataset again|make {folder} again") as caught:
            held(folder)
        assert says in str(caught.value)
    folder = Path(shutil.copytree(dataset, tmp_path / "two"))
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps(facts | {"stage2": facts["stage1"]}))
    with pytest.raises(LongVPOError, match="two/stage2 has not all of its rows"):
        held(folder)


def cut(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "has no weights of its own: adapter_model.safetensors is not there"),
        (cut(lambda content: POINTER), "it is a pointer of git-lfs"),
        (cut(lambda content: b""), "it is empty"),
        (cut(lambda content: content[:5]), "no header of safetensors, or is truncated"),
        (cut(lambda content: content[:50]), "no header of safetensors, or is truncated"),
        (cut(lambda content: content[:-1]), "it is truncated"),
        (cut(lambda content: content + b"\0"), "it has more bytes than tensors"),
        (cut(lambda content: b"\x02\0\0\0\0\0\0\0{}"), "it holds no tensor"),
        (cut(lambda content: b"\x02\0\0\0\0\0\0\0[]"), "it has no header of safetensors"),
        (cut(lambda content: b"<!DOCTYPE html><html>Not found</html>"), "no header of safetensors"),
        (lambda path: path.rename(path.with_suffix(".bin")), "has no weights of its own"),
    ],
)
def test_an_adapter_without_weights_is_refused(
    change: Callable[[Path], object], says: str, trained: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "adapter"))
    change(folder / "adapter_model.safetensors")
    with pytest.raises(LongVPOError) as caught:
        held(folder, "model")
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)


def test_weights_that_are_a_link_to_elsewhere(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "adapter"))
    shutil.move(folder / "adapter_model.safetensors", tmp_path / "weights")
    check_weights(tmp_path / "weights")
    (folder / "adapter_model.safetensors").symlink_to(tmp_path / "weights")
    with pytest.raises(LongVPOError, match="has no weights of its own"):
        held(folder, "model")


def test_an_adapter_has_what_loads_it(trained: Path) -> None:
    files = held(trained, "model")
    assert files >= {path.name for path in trained.iterdir() if path.is_file()}
