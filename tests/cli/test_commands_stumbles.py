"""Where people stumbled who tried the commands: each stumble is a line that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from support.commands import Capture, check_mistake, run

COLUMNS = ["prompt", "chosen", "rejected", "context", "anchors"]


@pytest.mark.parametrize(
    ("command", "choice", "other"),
    [
        (["build-dataset"], "tiny/dataset", "stage1"),
        (["build-dataset", "sources.0.folder=my-clips"], "longvpo-16k/dataset", "stage1"),
        (["build-dataset", "--push"], "tiny/dataset", "stage1"),
        (["train"], "tiny/stage2", "evaluate"),
        (["train", "data.dataset=mine", "--dry-run"], "tiny/stage1", "evaluate"),
        (["frames"], "tiny/stage1", "evaluate"),
        (["score"], "tiny/stage1", "evaluate"),
        (["evaluate"], "tiny/evaluate", "stage1"),
    ],
)
def test_a_command_without_a_recipe_asks_for_one(
    command: list[str], choice: str, other: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`build-dataset` took a recipe that downloads 200 GB."""
    assert run(monkeypatch, *command) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith(f"error: longvpo {command[0]} needs a recipe")
    assert choice in line
    assert other not in line


def rows_by_hand(folder: Path, dataset: Path) -> Path:
    """A dataset of two rows that a person wrote, the second of a whole video."""
    rows = Dataset.from_parquet(str(next((dataset / "stage1").iterdir()))).select_columns(COLUMNS).to_list()[:2]
    rows[1]["context"][0]["start"] = None
    (folder / "stage1").mkdir(parents=True)
    Dataset.from_list(rows).to_parquet(str(folder / "stage1" / "train.parquet"))
    (folder / "README.md").write_text("---\nconfigs:\n- {config_name: stage1, data_files: stage1/*.parquet}\n---\n")
    return folder


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["data.dataset=@/begun"],
            ["its build has not finished", "`longvpo build-dataset` again with --output @/begun"],
        ),
        (["data.dataset=@/datasett"], ["there is no such folder (did you mean @/dataset?)"]),
        (["data.dataset=@/dataset", "data.config=stage2"], ["it was built without stage2: choose stage1"]),
        (["data.dataset=@/dataset", "data.config=stage_1"], ["no config stage_1 (did you mean stage1?)", "dropped"]),
        (
            ["data.dataset=@/clips"],
            [
                "no column is known for",
                "it has video, caption",
                "Of captioned clips, build-dataset makes",
                "data.columns=",
            ],
        ),
        (
            ["data.dataset=@/hand"],
            ["row 1 of config stage1: clip 0", "from null to", "a whole video begins at 0.0", "mend that row"],
        ),
        (
            ["data.dataset=@/dataset", "data.videos.drawn=@/clps"],
            ["@/clps (did you mean @/clips?)", "data.videos.drawn"],
        ),
        (["data.dataset=@/dataset", "adapter=@/adaptr", "data.config=stage1"], ["(did you mean @/adapter?)"]),
    ],
)
def test_a_dataset_that_cannot_be_trained_on_is_one_clear_line(
    overrides: list[str],
    says: list[str],
    dataset: Path,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    (tmp_path / "begun" / "work").mkdir(parents=True)
    (tmp_path / "begun" / "work" / "key.json").write_text("{}")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "dataset").symlink_to(dataset)
    (tmp_path / "clips").symlink_to(world)
    rows_by_hand(tmp_path / "hand", dataset)
    recipe = "tiny/stage2" if any(one.startswith("adapter=") for one in overrides) else "tiny/stage1"
    given = [one.replace("@", str(tmp_path)) for one in [f"data.videos.drawn={world}", *overrides]]
    code = run(monkeypatch, "train", recipe, "data.mix=[]", *given, "--output", tmp_path / "out")
    check_mistake(code, capsys, [text.replace("@", str(tmp_path)) for text in says])


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            ["build-dataset", "tiny", "stage2=null", "sources.0.folder=@/clps"],
            "@/clps, which is not there (did you mean @/clips?)",
        ),
        (["evaluate", "tiny", "multi=null", "source.folder=@/clps"], "(did you mean @/clips?)"),
        (["push", "@/clps"], "(did you mean @/clips?)"),
        (["card", "@/begun"], "Its build has not finished: the same `longvpo build-dataset` resumes it"),
    ],
)
def test_a_mistyped_folder_is_told_from_one_beside_it(
    command: list[str], says: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "clips").symlink_to(world)
    (tmp_path / "begun" / "work").mkdir(parents=True)
    (tmp_path / "begun" / "work" / "key.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    code = run(monkeypatch, *[one.replace("@", str(tmp_path)) for one in command])
    check_mistake(code, capsys, [says.replace("@", str(tmp_path))])
