"""Bad input to `build-dataset`: what each kind of it says, and that it leaves nothing behind.

This is input that is bad as a whole; test_bad_rows.py has the rows and the videos that are dropped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import datasets  # noqa: F401  its log keeps the stderr of the moment of its import, which must not be that of a test
import pytest
from support.commands import Capture, check_mistake
from support.spoils import (
    ROW,
    Spoil,
    all_of,
    archive,
    build,
    build_of,
    build_of_other_table,
    closed,
    dataset,
    few,
    file,
    files,
    no_videos,
    nothing,
    recipe,
    table,
    text_model,
    truncated_archive,
    truncated_videos,
)

from longvpo import TINY
from longvpo.clips.sources import fingerprint
from longvpo.models.embed import EMBEDDED
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash

as_user = pytest.mark.skipif(os.getuid() == 0, reason="root may read and write everything")


class Bad(NamedTuple):
    """A kind of bad input; in both lists, `@` stands for the folder that holds `clips`."""

    spoil: Spoil  # is given that folder
    arguments: list[str]
    says: list[str]


HUB = ["cannot load no/where", "Give a Hub id that you can reach"]
REPOSITORY = ["sources.0.dataset=@/repository", "sources.0.folder=@/kept"]
TAR = [*REPOSITORY, "sources.0.videos=tar"]
GOOD = {"file_name": "a.mp4", "caption": "a red disc"}
TEXT_ENCODER, VISUAL_ENCODER = (TINY.with_name(EMBEDDED[takes]) for takes in ("text", "image"))

BAD: dict[str, Bad] = {
    # recipes
    "no such recipe": Bad(nothing, ["recipe=tiny/dataste"], ["no recipe tiny/dataste", "did you mean tiny/dataset?"]),
    "no such recipe file": Bad(nothing, ["recipe=@/my.yaml"], ["no recipe @/my.yaml", "`longvpo recipes` lists"]),
    "a folder as recipe": Bad(nothing, ["recipe=@/clips"], ["@/clips is a folder", "give a YAML file"]),
    "broken YAML": Bad(recipe("name: [a\nseed: 1\n"), [], ["recipe.yaml is not YAML", "line 2, column 5", "','"]),
    "a list as recipe": Bad(recipe("- a\n- b\n"), [], ["holds no recipe", "expected sections such as name, seed"]),
    "an empty recipe": Bad(recipe(""), [], ["recipe.yaml holds no recipe", "expected sections"]),
    "a binary recipe": Bad(recipe(b"\xff\xfe\x9c"), [], ["recipe.yaml is not YAML", "not a text in UTF-8"]),
    "an incomplete recipe": Bad(recipe("name: a"), [], ["writer is missing"]),
    "a closed recipe": Bad(all_of(recipe(""), closed("recipe.yaml")), [], ["recipe.yaml: Permission denied"]),
    # keys and values
    "unknown key": Bad(nothing, ["seeed=2"], ["unknown key seeed (did you mean seed?)"]),
    "unknown key in a section": Bad(nothing, ["video.fsp=2"], ["unknown key video.fsp (did you mean fps?)"]),
    "unknown key in an item": Bad(nothing, ["sources.0.licence=x"], ["sources.0.licence (did you mean license?)"]),
    "unknown key deep inside": Bad(nothing, ["sources.0.columns.vidoe=a"], ["columns.vidoe (did you mean video?)"]),
    "a word for a number": Bad(nothing, ["stage1.triplets=many"], ["stage1.triplets: must be a", "(got 'many')"]),
    "a number for a section": Bad(nothing, ["video=5"], ["video: must be a section with keys of its own (got 5)"]),
    "a word for a list": Bad(nothing, ["sources=clips"], ["sources: must be a list (got 'clips')"]),
    "no such choice": Bad(nothing, ["video.backend=opencv"], ["video.backend", "'decord', 'pyav'", "(got 'opencv')"]),
    "a negative number": Bad(nothing, ["video.fps=-1"], ["video.fps: must be greater than 0 (got -1)"]),
    "negative clips": Bad(nothing, ["context.clips=[2,-3]"], ["clips must be positive numbers, such as [8, 16, 32]"]),
    "no sources": Bad(nothing, ["sources=[]"], ["`sources` and `stage1` belong together: give both"]),
    "two sources of one name": Bad(
        nothing, ["sources=[{name: a, folder: b}, {name: a, folder: c}]"], ["dataset: two sources have the same name"]
    ),
    "a source's name": Bad(nothing, ["sources.0.name=a b"], ["name may hold only letters, digits", "(got 'a b')"]),
    "tar without tars": Bad(nothing, TAR, ["`videos: tar` and `tars` belong together"]),
    "tars without tar": Bad(nothing, ["sources.0.tars=a.tar"], ["`videos: tar` and `tars` belong together"]),
    "bytes in a folder": Bad(nothing, ["sources.0.videos=bytes"], ["`videos: bytes` needs `dataset`"]),
    "scenes with captions": Bad(nothing, ["sources.0.scenes={}"], ["with `scenes`, set `captions: writer`"]),
    "scenes of no length": Bad(
        nothing,
        ["sources.0.captions=writer", "sources.0.scenes.max_seconds=4"],
        ["sources.0.scenes", "max_seconds must be at least twice min_seconds"],
    ),
    "an endpoint nowhere": Bad(nothing, ["writer.endpoint={}"], ["writer.endpoint: give either url or provider"]),
    "an endpoint at two places": Bad(
        nothing, ["writer.endpoint={url: http://a, provider: b}"], ["writer.endpoint: give either url or provider"]
    ),
    "a limit without prices": Bad(
        nothing, ["writer.endpoint={url: http://a, max_cost: 5}"], ["max_cost needs price_in and price_out"]
    ),
    "an unknown placeholder": Bad(nothing, ["prompts.question='{capt}'"], ["'capt'", "write {{ for a brace"]),
    "a dotted placeholder": Bad(
        nothing,
        ["prompts.question='{caption.text}'"],
        ["question holds {caption.text}, but a placeholder"],
    ),
    "a prompt that asks nothing": Bad(nothing, ["prompts.answer=What?"], ["prompts: answer must hold {question}"]),
    "an open brace": Bad(nothing, ["prompts.question='{caption'"], ["prompts", "expected '}'", "write {{"]),
    # overrides
    "no =": Bad(nothing, ["seed"], ["cannot read the override 'seed'", "write it as section.key=value"]),
    "nowhere": Bad(nothing, ["sources.7.name=x"], ["cannot set sources.7.name", "no such place"]),
    "into a number": Bad(nothing, ["seed.x=1"], ["cannot set seed.x", "no such place"]),
    "no YAML": Bad(nothing, ["sources.0.tars=[a.tar"], ["[a.tar is not YAML", """write 'sources.0.tars="[a.tar"'"""]),
    # tables
    "no folder": Bad(nothing, ["sources.0.folder=@/x"], ["no metadata.jsonl", "in @/x", "set the source's folder"]),
    "a file as folder": Bad(file("x"), ["sources.0.folder=@/x"], ["no metadata.jsonl", "set the source's folder"]),
    "no table": Bad(lambda at: (at / "clips" / "metadata.jsonl").unlink(), [], ["no metadata.jsonl", "@/clips"]),
    "an empty table": Bad(table(""), [], ["metadata.jsonl has no rows: give each video one"]),
    "only a header": Bad(table("file_name,caption\n", "metadata.csv"), [], ["metadata.csv has no rows"]),
    "no caption": Bad(
        table('{"file_name": "a.mp4", "text": "b"}'),
        [],
        ["has no column caption (it has file_name, text)", "name it under the source's `columns`"],
    ),
    "semicolons": Bad(
        table("file_name;caption\na;b\n", "metadata.csv"),
        [],
        ["no column file_name and no column caption (it has file_name;caption)"],
    ),
    "more cells than columns": Bad(
        table("file_name,text\na,b,c\n", "metadata.csv"), [], ["no column caption (it has file_name, text)"]
    ),
    "half a line": Bad(table(ROW + '\n{"file_name": "vi'), [], ["metadata.jsonl: line 2 is not a JSON object"]),
    "a list in a line": Bad(
        table('[["file_name", "a.mp4"]]\n'), [], ['line 1 is not a JSON object, such as {"file_name": ..., "caption"']
    ),
    "CSV in Latin-1": Bad(
        table("file_name,caption\na.mp4,café\n".encode("latin-1"), "metadata.csv"),
        [],
        ["cannot read @/clips/metadata.csv: save it as text in UTF-8"],
    ),
    "JSON in UTF-16": Bad(table(ROW.encode("utf-16")), [], ["metadata.jsonl: save it as text in UTF-8"]),
    "two columns of one name": Bad(
        table("file_name,caption,caption\na,b,c\n", "metadata.csv"), [], ["two columns caption: rename one"]
    ),
    "no Parquet": Bad(table("PAR1 and no more", "metadata.parquet"), [], ["cannot read", "not a parquet file"]),
    "a closed table": Bad(closed("clips/metadata.jsonl"), [], ["metadata.jsonl: Permission denied"]),
    # datasets
    "no such dataset": Bad(nothing, REPOSITORY, ["the dataset @/repository", "check the source's dataset"]),
    "not on the Hub": Bad(nothing, ["sources.0.dataset=no/where"], ["dataset no/where", "on the Hub"]),
    "no such config": Bad(
        dataset(GOOD), [*REPOSITORY, "sources.0.config=x"], ["config (x)", "'x' not found. Available: ['default']"]
    ),
    "no such split": Bad(
        dataset(GOOD), [*REPOSITORY, "sources.0.split=x"], ["split (x)", "Available splits: ['train']"]
    ),
    "an empty dataset": Bad(dataset(), REPOSITORY, ["the dataset @/repository has no rows in split train"]),
    "a dataset without captions": Bad(dataset({"file_name": "a"}), REPOSITORY, ["no column caption (it has file"]),
    "a dataset of one clip": Bad(
        all_of(dataset(GOOD), file("repository/a.mp4")), REPOSITORY, ["1 readable clips", "needs 2", "Add clips"]
    ),
    "a truncated dataset": Bad(file("repository/train.jsonl", '{"a'), REPOSITORY, ["cannot read the dataset", "JSON"]),
    "a truncated archive": Bad(
        all_of(dataset(GOOD), truncated_archive),
        [*TAR, "sources.0.tars='*.tar'"],
        ["cannot read videos.tar: unexpected end of data; fetch it again"],
    ),
    "no such archive": Bad(
        dataset(GOOD), [*TAR, "sources.0.tars='*.zip'"], ["no file of @/repository matches *.zip; set `tars`"]
    ),
    "a file where videos go": Bad(
        all_of(dataset(GOOD), archive, file("kept")),
        [*TAR, "sources.0.tars=videos.tar"],
        ["@/kept: File exists", "the same command resumes"],
    ),
    # videos
    "no videos": Bad(no_videos, [], ["0 readable clips", "no such video: videos/00000.mp4", "Add clips"]),
    "truncated videos": Bad(truncated_videos, [], ["4 cannot be used, the first: cannot read 00000.mp4"]),
    "too few videos": Bad(nothing, ["context.clips=[8]"], ["4 readable clips", "needs 8", "lower context.clips"]),
    "all on the overlap list": Bad(
        file("list", "00000\n00001\n00002\n00003\n"), ["filters.overlap=@/list"], ["is on the overlap list as 00000"]
    ),
    "no overlap list": Bad(nothing, ["filters.overlap=@/x"], ["filters.overlap: cannot read @/x: No such file"]),
    "a binary overlap list": Bad(
        file("x", b"\xff\x00"), ["filters.overlap=@/x"], ["it is not in UTF-8; give a text of video names or sha256"]
    ),
    "a folder as overlap list": Bad(nothing, ["filters.overlap=@/clips"], ["filters.overlap", "Is a directory"]),
    # models
    "no such writer": Bad(nothing, ["writer.model=@/x/y"], ["cannot load @/x/y: no such folder. Give a Hub id"]),
    "no writer on the Hub": Bad(nothing, ["writer.model=no/where"], HUB),
    "no checkpoint": Bad(nothing, ["writer.model=@/clips"], ["cannot load @/clips", "config.json", "Give a Hub id"]),
    "a writer without eyes": Bad(text_model, ["writer.model=@/text"], ["@/text takes no video: choose a model"]),
    "no judge on the Hub": Bad(nothing, ["judge={model: no/where}"], HUB),
    "no such encoder": Bad(nothing, ["filters.text_model=@/x"], ["cannot load the encoder @/x", "not found"]),
    "an encoder without eyes": Bad(
        nothing, [f"filters.visual_model={TEXT_ENCODER}"], ["no image: set filters.visual_model"]
    ),
    "an encoder of only pictures": Bad(
        nothing, [f"filters.text_model={VISUAL_ENCODER}"], ["no text: set filters.text_model"]
    ),
    "no encoder on the Hub": Bad(nothing, ["filters.visual_model=no/where"], ["cannot load the encoder no/where"]),
    # outputs
    "a file as output": Bad(file("out"), [], ["@/out is a file: give another --output"]),
    "other things in the output": Bad(file("out/thesis.tex"), [], ["@/out is not empty: give another --output"]),
    "another recipe's build": Bad(
        build_of("0123456789ab"), [], ["its hash is 0123456789ab, this one's ", "Give another --output"]
    ),
    "another table's build": Bad(
        build_of_other_table, [], ["holds a build of this recipe", "from other tables", "give another --output"]
    ),
    "a damaged build": Bad(
        file("out/work/key.json", "{"), [], ["key.json is damaged", "--output", "--journal @/out/work/journal"]
    ),
    "an output in a file": Bad(file("x"), ["--output", "@/x/y"], ["cannot write into @/x/y: Not a directory"]),
    "an output in a closed folder": Bad(
        all_of(file("x/y"), closed("x")), ["--output", "@/x/z"], ["@/x/z", "Permission denied"]
    ),
    "a file as journal": Bad(file("x"), ["--journal", "@/x"], ["the journal @/x is a file: give --journal a folder"]),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=as_user) if "closed" in n else n for n in BAD])
def test_bad_input_is_one_line_that_says_what_to_do(
    name: str, at: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    bad = BAD[name]
    bad.spoil(at)
    before, output = files(at), (at / "out").exists()
    code = build(at, monkeypatch, bad.arguments)
    check_mistake(code, capsys, [text.replace("@", str(at)) for text in bad.says])
    assert files(at) == before
    assert (at / "out").exists() == output


def test_what_others_put_into_the_output_stays(at: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """A build was killed before it had done anything, and a file was put beside its work."""
    made = load_recipe(DatasetRecipe, "tiny/dataset", [*few(at), "writer.model=no/where"])
    key = recipe_hash(made)
    build_of(key, fingerprint(made.sources[0]))(at)
    file("out/thesis.tex")(at)
    check_mistake(build(at, monkeypatch, ["writer.model=no/where"]), capsys, HUB)
    assert [path.name for path in (at / "out").iterdir()] == ["thesis.tex"]


def test_there_are_many_kinds() -> None:
    assert len(BAD) >= 88
