"""What is printed to be typed next: each such line is run here as it stands, through a shell's eyes."""

from __future__ import annotations

import ast
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.commands import Capture, check_mistake, run
from support.world import SMALL, TESTS

from longvpo.cli.following import override, videos_of
from longvpo.errors import NothingLeftError
from longvpo.io.yaml_text import parse_value

SOURCES = TESTS.parent / "longvpo"


def printed(capsys: Capture, label: str = "next:") -> list[list[str]]:
    """The words that follow the program's name in the lines of this label, as a shell reads them."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(label)]
    words = [shlex.split(line.removeprefix(label)) for line in lines]
    assert all(one[0] == "longvpo" for one in words)
    return [one[1:] for one in words]


def test_what_follows_a_build_a_training_and_a_merge_runs_as_it_stands(
    dataset: Path, world: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    here = tmp_path / "it's here"
    here.mkdir()
    (here / "clips").symlink_to(world)
    monkeypatch.chdir(here)
    sources = [f"sources.0.folder={world}", *SMALL]  # of a dataset that is there: nothing is built
    assert run(monkeypatch, "build-dataset", "tiny/dataset", *sources, "--output", dataset) == 0
    (command,) = printed(capsys)
    assert command == ["train", "tiny/stage1", f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    assert run(monkeypatch, *command, "--dry-run") == 0
    capsys.readouterr()

    trainings = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "training.max_steps=2"]
    words = ["train", "tiny/stage1", *trainings, "training.logging_steps=1", "--output", trained]
    assert run(monkeypatch, *words) == 0
    captured = capsys.readouterr().err
    assert "next:    longvpo recipes tiny/evaluate\n" in captured
    assert [line for line in captured.splitlines() if line.startswith("then:")] == [
        "then:    longvpo init TEST_CLIPS --from tiny/evaluate --output test.yaml",
        f"then:    longvpo evaluate test.yaml --adapter {shlex.quote(str(trained))}",
    ]
    assert run(monkeypatch, "recipes", "tiny/evaluate") == 0
    capsys.readouterr()

    for name in ("clips-test", "stories-test"):  # where the recipe's folders are there, it is the evaluation itself
        (here / name).symlink_to(world)
    assert run(monkeypatch, *words) == 0
    assert printed(capsys) == [["evaluate", "tiny/evaluate", "--adapter", str(trained)]]

    monkeypatch.setattr("longvpo.training.merge.merge", lambda adapter, output: {"name": "it"})
    assert run(monkeypatch, "merge", trained, "--output", here / "a model") == 0
    assert printed(capsys) == [["push", f"{here}/a model"]]


def test_stage_2_follows_stage_1_and_is_trained_alone_where_nothing_else_was_built(
    second: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("longvpo.training.run.train", lambda recipe, output: dict.fromkeys(TOLD, 0))
    assert run(monkeypatch, "train", "tiny/stage1", f"data.dataset={second}", "--output", tmp_path / "one") == 0
    (command,) = printed(capsys)
    assert command[:4] == ["train", "tiny/stage2", f"adapter={tmp_path / 'one'}", f"data.dataset={second}"]
    assert f"data.videos.stories={stories}" in command

    only = ["sources=[]", "stage1=null", f"stage2.sources.0.folder={stories}"]
    monkeypatch.setattr("longvpo.dataset.run.build", lambda recipe, output, **more: FACTS)
    monkeypatch.setattr("longvpo.cli.commands.check_place", lambda *_, **__: None)  # it was built by another recipe
    assert run(monkeypatch, "build-dataset", "tiny", *only, "--output", second) == 0
    (command,) = printed(capsys)
    videos = f"data.videos.stories={stories}"
    assert command == ["train", "tiny/stage2", f"data.dataset={second}", "adapter=null", "data.mix=[]", videos]
    assert run(monkeypatch, *command, "--dry-run") == 0


TOLD = ("triplets", "steps", "trained_parameters", "seconds")
FACTS = {"stage1": None, "stage2": {"funnel": [], "triplets": 0}, "warnings": []}


def test_a_model_that_no_recipe_is_for_is_followed_by_the_list(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    facts = FACTS | {"stage1": FACTS["stage2"], "stage2": None}
    monkeypatch.setattr("longvpo.dataset.run.build", lambda recipe, output, **more: facts)
    arguments = [f"sources.0.folder={world}", "stage2=null", "writer.model=someone/else"]
    assert run(monkeypatch, "build-dataset", "tiny", *arguments) == 0
    assert printed(capsys) == [["recipes"]]


@pytest.mark.parametrize("folder", ["it's", "2", "null", "[1", "a: b", "#1", "x y ", "~", "yes"])
def test_an_argument_says_a_folder_whatever_its_name_is(folder: str) -> None:
    assert parse_value(override("data.dataset", folder).partition("=")[2]) == folder
    (argument,) = videos_of({"a.b": Path(folder)})
    assert parse_value(argument.removeprefix("data.videos=")) == {"a.b": str(Path(folder))}


def test_only_one_place_prints_what_to_type_next() -> None:
    """It quotes for a shell; a text with `next:` in it would be another one."""
    found = [
        path.name
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "next: " in node.value
    ]
    assert found == []


def killed(*given: Any, **options: Any) -> Any:
    raise KeyboardInterrupt


class Loading(ModuleType):
    """A module of the command line's, killed as it is loaded: the libraries below take seconds."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            raise KeyboardInterrupt
        raise AttributeError(name)


@pytest.mark.parametrize("when", ["loading", "at work"])
@pytest.mark.parametrize(
    ("replaced", "command", "leave", "kept"),
    [
        (
            "dataset.run.build",
            ["build-dataset", "tiny"],
            "out/work/journal/a.jsonl",
            "answers and finished blocks in @/out/work",
        ),
        ("dataset.run.build", ["build-dataset", "tiny"], "", "nothing is kept yet"),
        (
            "training.run.train",
            ["train", "tiny/stage1"],
            "out.checkpoints/checkpoint-20/whole",
            "@/out.checkpoints/checkpoint-20",
        ),
        ("training.run.train", ["train", "tiny/stage1"], "", "no checkpoint was written"),
        (
            "evaluation.run.evaluate",
            ["evaluate", "tiny"],
            "out.unfinished/journal/a.jsonl",
            "answers in @/out.unfinished",
        ),
        ("training.score.score_dataset", ["score", "tiny/stage1"], "", "nothing is kept"),
        ("training.filling.fill_frames", ["frames", "tiny/stage1", "video.frames=@/it's"], "", "are in @/it's"),
        ("release.push.push_folder", ["push", "@/out"], "", "stays on the Hub; the tag is set"),
    ],
)
def test_ctrl_c_says_what_is_kept_and_the_command_that_resumes(
    replaced: str,
    command: list[str],
    leave: str,
    kept: str,
    when: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    if when == "at work":
        monkeypatch.setattr(f"longvpo.{replaced}", killed)
    else:
        module = f"longvpo.{replaced}".rpartition(".")[0]
        monkeypatch.setitem(sys.modules, module, Loading(module))
    if leave:
        (tmp_path / leave).parent.mkdir(parents=True)
        (tmp_path / leave).touch()
    words = [word.replace("@", str(tmp_path)) for word in command]
    words += [] if command[0] in ("push", "frames") else ["--output", str(tmp_path / "out")]
    assert run(monkeypatch, *words) == 130
    captured = capsys.readouterr()
    assert kept.replace("@", str(tmp_path)) in captured.err
    assert f"\nresume:  {shlex.join(['longvpo', *words])}\n" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("more", [[], ["--journal", "mine"]])
def test_a_build_that_left_nothing_says_the_command_that_loosens_it(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def nothing(*given: Any, **options: Any) -> Any:
        raise NothingLeftError("no triplet was left", "filters.specificity=false")

    monkeypatch.setattr("longvpo.dataset.run.build", nothing)
    monkeypatch.chdir(tmp_path)
    Path("o ut-2").mkdir()
    given = ["build-dataset", "tiny", "filters.specificity=true", "--output", "o ut", "seed=3", *more]
    assert run(monkeypatch, *given) == 1
    (words,) = printed(capsys)
    kept = ["build-dataset", "tiny", "seed=3", *more, "filters.specificity=false", "--output", "o ut-3"]
    assert words == [*kept, *([] if more else ["--journal", "o ut/work/journal"])]


def test_a_build_of_another_recipe_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "longvpo.dataset.run", Loading("longvpo.dataset.run"))
    (tmp_path / "out" / "work" / "journal").mkdir(parents=True)
    (tmp_path / "out" / "work" / "key.json").write_text('{"key": "a,b", "recipe": "a"}')
    code = run(monkeypatch, "build-dataset", "tiny", "--output", tmp_path / "out")
    check_mistake(code, capsys, ["holds a build of another recipe: its hash is a, this one's "])
