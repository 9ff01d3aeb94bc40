"""Nothing private is published: not what a build and a training put into files, nor what users write into theirs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longvpo.errors import LongVPOError
from longvpo.release import leaks
from longvpo.release.leaks import _values, check_private, private_texts
from longvpo.release.staging import staged
from longvpo.release.target import Target
from longvpo.release.words import BEGIN, END

TOKEN = "hf_" + "aB3" * 9


def found(content: bytes | str, name: str, tmp_path: Path, folders: list[str], keys: list[str] | None = None) -> str:
    """What is said of a file; empty where nothing is found."""
    file = tmp_path / "release" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        check_private({name: file}, private_texts(folders, keys or []))
    except LongVPOError as error:
        return str(error)
    return ""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PATH = "/data/John Doe/my clips"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("facts.json", json.dumps({"a": [f"cannot read '{PATH}/a.mp4': no such file"]})),
        ("facts.json", json.dumps({PATH: 1})),
        ("facts.json", '{"a": "\\/data\\/John Doe\\/my clips"}'),
        ("facts.json", '{"a": "file:///data/John%20Doe/my%20clips/a.mp4"}'),
        ("facts.json", '{"a": "x\\n/data/John Doe/my clips"}'),
        ("recipe.yaml", f"about: the videos are in {PATH}\n"),
        ("recipe.yaml", 'about: "the videos are in /data/John\n  Doe/my clips"\n'),
        ("README.md", f"# Data\n\nThey are in `{PATH}`.\n"),
        ("README.md", "# Data\n\nThey are in `/data/John\nDoe/my clips`.\n"),
        ("chat_template.jinja", f"{{# {PATH} #}}"),
        ("curves.png", PNG + chunk(b"tEXt", b"Software\0" + PATH.encode())),
        ("curves.png", PNG + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(PATH.encode()))),
        ("curves.png", PNG + chunk(b"iTXt", b"Comment\0\1\0en\0\0" + zlib.compress(PATH.encode()))),
        ("curves.png", PNG + chunk(b"eXIf", PATH.encode())),
        ("curves.png", PNG + chunk(b"IEND", b"") + PATH.encode()),
    ],
)
def test_a_path_is_found_in_every_kind_of_file(name: str, content: bytes | str, tmp_path: Path) -> None:
    said = found(content, name, tmp_path, [PATH])
    assert said.startswith(f"nothing was published: {name} holds the path {PATH}, which is nobody's business")
    assert found(content, name, tmp_path, ["/data/another"]) == ""


def test_advice_on_a_hit_names_the_part_that_is_the_users(tmp_path: Path) -> None:
    page = f"# Data\n\n{BEGIN}\n%s\n{END}\n\n%s\n"
    said = found(page % (TOKEN, "Rest."), "README.md", tmp_path, [])
    assert "It stands in the words between the markers of the card: take it out there" in said
    said = found(page % ("Words.", TOKEN), "README.md", tmp_path, [])
    assert "words between" not in said
    assert "Take it out of where it comes from" in said


def test_a_file_whose_aliases_are_without_bound_is_searched_in_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    assert _values(tmp_path / "bomb.yaml", (tmp_path / "bomb.yaml").read_bytes()) is None


def test_a_path_is_found_in_the_header_of_weights(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save

    content = save({"a": torch.zeros(3)}, metadata={"from": PATH})
    assert "model.safetensors holds the path" in found(content, "model.safetensors", tmp_path, [PATH])
    pixels = save({"a": torch.tensor(list(PATH.encode()), dtype=torch.uint8)})
    assert found(pixels, "model.safetensors", tmp_path, [PATH]) == "", "numbers say nothing"


def test_in_a_table_row_and_column_are_named(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    jpeg = b"\xff\xd8\xff\xfe\0\x20" + PATH.encode() + b"\xff\xda pixels"
    schema = {"caption": pyarrow.string(), "context": pyarrow.list_(pyarrow.struct([("video", pyarrow.string())]))}
    schema |= {"frames": pyarrow.list_(pyarrow.binary())}
    rows: list[dict[str, Any]] = [{"caption": f"clip {n}", "context": [{"video": "a.mp4"}]} for n in range(7)]

    def said(change: Callable[[list[dict[str, Any]]], object], **more: Any) -> str:
        copies = [dict(row, frames=[b"\xff\xd8\xff\xda" + PATH.encode()]) for row in rows]
        change(copies)
        table = pyarrow.Table.from_pylist(copies, pyarrow.schema(schema, **more))
        (tmp_path / "t").mkdir(exist_ok=True)
        parquet.write_table(table, tmp_path / "t" / "t.parquet", row_group_size=3)
        return found((tmp_path / "t" / "t.parquet").read_bytes(), "t.parquet", tmp_path, [PATH])

    assert said(lambda rows: None) == ""
    assert "t.parquet, row 4, column caption, holds the path" in said(lambda rows: rows[4].update(caption=PATH))
    assert "row 6, column context, " in said(lambda rows: rows[6].update(context=[{"video": f"{PATH}/a.mp4"}]))
    assert "row 5, column frames, " in said(lambda rows: rows[5].update(frames=[jpeg]))
    assert "t.parquet, its footer, holds" in said(lambda rows: None, metadata={"huggingface": PATH})


def test_names_of_columns_and_columns_of_every_type_are_searched(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {
        PATH: pyarrow.array(["a"]),
        "inner": pyarrow.array([{PATH: 1}]),
        "map": pyarrow.array([[("a", PATH)]], pyarrow.map_(pyarrow.string(), pyarrow.string())),
        "key": pyarrow.array([[(PATH, 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        "view": pyarrow.array([PATH], pyarrow.string_view()),
        "bytes": pyarrow.array([PATH.encode()], pyarrow.binary_view()),
    }
    for number, (name, column) in enumerate(columns.items()):
        file = tmp_path / f"{number}.parquet"
        parquet.write_table(pyarrow.table({name: column}), file)
        assert f"holds the path {PATH}" in found(file.read_bytes(), "t.parquet", tmp_path, [PATH]), name
        assert found(file.read_bytes(), "t.parquet", tmp_path, ["/data/another"]) == ""


@pytest.mark.parametrize(
    ("folder", "content", "hit"),
    [
        ("John Doe/my clips", "in John Doe/my clips there", True),  # as it was given
        ("my clips", "my clips", False),  # the last name of a folder is published
        ("/data", "it is in /data/clips", True),
        ("/data", "a token /data is a word", False),
        ("/data/clips", "/data/clips2 and /mydata/clips and https://host/data/clips", False),
        ("/data/Jörg", '{"a": "/data/J\\u00f6rg/x"}', True),
        ("/data/Jo\u0308rg", "/data/J\u00f6rg/x", True),
        ("C:\\Users\\John Doe\\clips", '{"a": "C:\\\\Users\\\\John Doe\\\\clips"}', True),
        ("~/some clips", f"{Path.home()}/some clips", True),
        (".", f"{os.getcwd()}/x", True),
        ("/data/x", f"{Path.home()}/work.txt", True),
    ],
)
def test_what_counts_as_the_folder(folder: str, content: str, hit: bool, tmp_path: Path) -> None:
    name = "facts.json" if content.startswith("{") else "README.md"
    assert bool(found(content, name, tmp_path, [folder])) == hit


@pytest.mark.parametrize(
    ("user", "content", "hit"),
    [
        ("alice", "/home/alice/clips", True),
        ("alice", "/mnt/disk/alice/clips", True),
        ("alice", "D:\\work\\alice\\clips", True),
        ("alice", "\\\\server\\alice\\clips", True),
        ("alice", "file:///Users/alice/clips", True),
        ("alice", "https://huggingface.co/alice/data and datasets/alice/data, alice/model, and/or alice/you", False),
        ("alice", "Alice asks alice; /home/alicea/x", False),
        ("root", "/home/root/x", True),
        ("root", "the folder /sys/root/x", False),
        ("video", "/some/video/a.mp4", False),
        ("video", "/home/video/a.mp4", True),
        ("jo", "/kit/jo/x", False),
        ("", "/home/x/y", False),
        ("jdoe", "~jdoe/x", True),
        ("jdoe", "see jdoe@host:/x", True),
        ("jdoe", "jdoe@host:~/x", True),
        ("jdoe", "it is in /mnt/jdoe", True),
        ("jdoe", "'/mnt/disk/jdoe'", True),
        ("jdoe", "/home/jdoe", True),
        ("jdoe", "C:/Users/JDOE", True),
        ("jdoe", '"c:\\\\users\\\\Jdoe\\\\x"', True),
        ("jdoe", "jdoe@host.net and /jdoe and data/jdoe or /mnt/jdoe2, https://host/mnt/jdoe", False),
        ("data", "in /home/data and /mnt/data; ~data/x", False),
    ],
)
def test_the_name_of_the_user_is_found_as_a_part_of_a_path(
    user: str, content: str, hit: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "_user", lambda: user)
    assert bool(found(content, "README.md", tmp_path, [])) == hit


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (TOKEN, "a token of the Hub"),
        (f"Bearer {TOKEN}.", "a token of the Hub"),
        ("sk-proj-abcdefghij0123456789", "an API key"),
        ("AKIAIOSFODNN7EXAMPLE", "an API key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("https://b/x.mp4?X-Amz-Signature=0123456789abcdef0123", "a signed address"),
        ("the-key-of-mine", "the value of MY_KEY"),
        ("hf_alice_write_mine", "your token of the Hub"),
        ("hf_short sk-learn ask-me-anything-about-this-film task-force", ""),
        ("a risk-free sk-is-no-key-without-digits", ""),
        ("EMPTY is not a secret", ""),
    ],
)
def test_tokens_are_found_and_never_shown(
    content: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_alice_write_mine")
    monkeypatch.setenv("MY_KEY", "the-key-of-mine")
    monkeypatch.setenv("NO_KEY", "EMPTY")
    said = found(f"see {content}", "README.md", tmp_path, [], ["MY_KEY", "NO_KEY", "NOT_SET"])
    assert what in said if what else said == ""
    assert not what or content not in said


def test_the_words_of_a_vocabulary_are_no_paths(tmp_path: Path) -> None:
    words = json.dumps({"added_tokens": [], "model": {"vocab": {"/data/clips": 1, "Ġ/data/clips/": 2}}})
    assert found(words, "tokenizer.json", tmp_path, ["/data/clips"]) == ""
    assert found(words.replace("[]", '["/data/clips"]'), "tokenizer.json", tmp_path, ["/data/clips"]) != ""


def test_a_release_is_searched_before_the_first_request(dataset: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "data"))
    facts = json.loads((folder / "facts.json").read_text())
    facts["sources"][0]["about"] = f"ask {TOKEN}"
    (folder / "facts.json").write_text(json.dumps(facts))
    with (
        pytest.raises(LongVPOError, match=r"(README.md|facts.json) holds a token of the Hub") as caught,
        staged(folder, Target("dataset", "alice/data", "v1")),
    ):
        pass
    assert TOKEN not in str(caught.value)


def test_a_folder_with_blanks_and_films_that_are_missing_or_broken(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build, a training and their releases: no published byte has the path, absolute or as it was given."""
    from longvpo.dataset.run import build
    from longvpo.recipe.dataset import DatasetRecipe
    from longvpo.recipe.file import load_recipe
    from longvpo.recipe.training import TrainRecipe
    from longvpo.training.run import train

    monkeypatch.chdir(tmp_path)
    clips = Path("John Doe/my clips")
    (clips / "videos").mkdir(parents=True)
    rows = [json.loads(line) for line in (world / "metadata.jsonl").read_text().splitlines()][:10]
    for row in rows[:8]:
        shutil.copy(world / row["file_name"], clips / row["file_name"])
    (clips / rows[8]["file_name"]).write_bytes(b"no film")  # the tenth is missing
    (clips / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    small = ["stage1.triplets=6", "context.clips=[2]", "stage2=null", "text_only=0"]
    made = Path("John Doe/my triplets")
    facts = build(load_recipe(DatasetRecipe, "tiny/dataset", [f"sources.0.folder={clips}", *small]), made)
    assert sum(facts["stage1"]["dropped"].values()) >= 2
    data = [f"data.dataset={made}", f"data.videos.drawn={tmp_path / clips}", "training.max_steps=1"]
    train(load_recipe(TrainRecipe, "tiny", data), Path("John Doe/my adapter"))
    with pytest.raises(LongVPOError, match=r"not stated: .* as in --license cc-by-4\.0"):
        staged(made, Target("dataset", "alice/data", "v1")).__enter__()
    for folder, kind, license in ((made, "dataset", "cc-by-4.0"), (Path("John Doe/my adapter"), "model", None)):
        target = Target(kind, "alice/data", "v1")  # type: ignore[arg-type]
        with staged(folder, target, license=license) as release:
            for name, file in release.files.items():
                for _, text in leaks._texts(file.path):
                    assert b"John" not in text, name
                assert b"John" not in file.path.read_bytes(), name
                assert str(tmp_path).encode() not in file.path.read_bytes(), name
