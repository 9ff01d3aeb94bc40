"""lmms-eval's results in a card: whose they are, what stands side by side, and what is not run."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.lmms_results import results, write_results
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.io.files import BENCHMARKS as FILE
from longvpo.io.files import as_json, write_text
from longvpo.release import benchmarks as module
from longvpo.release.benchmarks import BENCHMARKS, entries, found_in, read_benchmarks
from longvpo.release.cards import card_of

SHA = "a" * 64
FACTS, RECIPE = {"weights_sha256": SHA}, {"base": {"model": "tiny"}}
BASE = {"lvbench": 0.488, "videomme": 66.5, "mvbench": 75.4}
ADAPTER = {"lvbench": 0.536, "videomme": 66.0, "mlvu_dev": 76.4, "local": 0.5}


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows by their task."""
    return {row["task"]: row for row in read_benchmarks(found_in(folder), FACTS, RECIPE)["rows"]}


def refused(folder: Path) -> str:
    with pytest.raises(LongVPOError) as error:
        read(folder)
    return str(error.value)


def test_base_and_adapter_stand_side_by_side_in_percent(tmp_path: Path) -> None:
    write_results(tmp_path / "base", results(BASE, None))
    write_results(tmp_path / "stage1", results(ADAPTER, SHA, date="2026-11-28"))
    write_results(tmp_path / "stage2", results(ADAPTER, "b" * 64))
    rows = read(tmp_path)
    assert list(rows) == ["lvbench", "mlvu_dev", "videomme", "mvbench", "local"], "in the order of a card"
    assert rows["lvbench"]["base"] == {"value": 48.8, "date": "2026-11-27"}
    assert rows["lvbench"]["adapter"] == {"value": 53.6, "date": "2026-11-28"}
    assert (rows["lvbench"]["interval"], rows["lvbench"]["model"]) == (3.6, "tiny@main")
    assert (rows["mlvu_dev"]["base"], rows["mlvu_dev"]["interval"]) == (None, None)
    assert (rows["mvbench"]["base"]["value"], rows["mvbench"]["questions"]) == (75.4, 20 * 1500)
    assert rows["local"]["adapter"]["value"] == 0.5, "of an unknown task the scale is unknown"


def test_of_a_task_of_others_the_first_number_is_shown(tmp_path: Path) -> None:
    values = results({"local": 0.5, "rest": 0.5}, SHA)
    values["results"]["local"] = {"alias": "local", "wer_stderr,strict": 0.1, "wer,strict": 0.25, "cer,none": 0.5}
    values["results"]["rest"] = {"alias": "rest", "submission,none": []}
    write_results(tmp_path, values)
    rows = read(tmp_path)
    assert list(rows) == ["local"], "one without a number is left out"
    assert (rows["local"]["metric"], rows["local"]["adapter"]["value"]) == ("wer,strict", 0.25)


def test_of_two_runs_the_later_counts(tmp_path: Path) -> None:
    write_results(tmp_path / "b", results({"lvbench": 0.6}, SHA), "20261127_070000")
    write_results(tmp_path / "a", results({"lvbench": 0.4}, SHA), "20261127_080000")
    assert read(tmp_path)["lvbench"]["adapter"]["value"] == 40.0
    assert read(tmp_path / "b" / "20261127_070000_results.json")["lvbench"]["adapter"]["value"] == 60.0


def test_a_try_of_a_few_questions_takes_no_whole_scores_place(tmp_path: Path) -> None:
    for hour, limit in enumerate((10, None, 10)):
        write_results(tmp_path, results({"lvbench": 0.4 if limit is None else 1.0}, SHA, limit=limit), f"2026_{hour}")
    row = read(tmp_path)["lvbench"]
    assert (row["adapter"]["value"], row["questions"]) == (40.0, 1500)


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ({"lvbench": math.nan}, "lvbench_score of lvbench comes to nan %, which is not a score"),
        ({"lvbench": 50.0}, "lvbench_score of lvbench comes to 5000.0 %, which is not a score"),
        ({"mvbench": math.nan}, "mvbench_accuracy of mvbench comes to nan %"),
        ({"local": math.inf}, "right of local comes to inf, which"),
    ],
)
def test_what_is_no_number_is_no_score(score: dict[str, float], said: str, tmp_path: Path) -> None:
    write_results(tmp_path, results(score, SHA))
    assert said in refused(tmp_path)


def test_a_group_without_one_of_its_parts_has_no_score(tmp_path: Path) -> None:
    values = results({"mvbench": 75.0, "lvbench": 0.5}, SHA)
    del values["results"]["mvbench_action_count"]
    write_results(tmp_path, values)
    assert list(read(tmp_path)) == ["lvbench"]


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ({"frames": 64}, ["lvbench: frames is", "128 in", "64 in"]),
        ({"quantization": "nf4"}, ["quantization is", "None in", "nf4 in"]),
        ({"limit": 8}, ["questions is", "1500 in", "8 in"]),
        ({"offset": 8}, ["offset is", "0 in", "8 in"]),
        ({"longvpo": "0.9.0"}, ["longvpo is", "0.1.0 in", "0.9.0 in"]),
        ({"fit": "crop"}, ["fit is", "letterbox in", "crop in"]),
        ({"frames_quality": 60}, ["frames_quality is", "None in", "60 in"]),
        ({"lmms_eval": "0.8"}, ["lmms_eval is", "0.7.3 in", "0.8 in"]),
        ({"model": "tiny@other"}, ["model is", "tiny@main in", "tiny@other in"]),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_was_asked_otherwise_stands_in_no_table(
    tmp_path: Path, base: dict[str, Any], says: list[str], first: bool
) -> None:
    write_results(tmp_path / "base", results(BASE, None, **base), "20261127_010000" if first else "20261127_090000")
    write_results(tmp_path / "stage1", results(ADAPTER, SHA))
    said = refused(tmp_path)
    assert all(word in said for word in says), said
    assert "were asked in the same way: run one of them again" in said


def test_files_of_earlier_versions_say_less_of_frames(tmp_path: Path) -> None:
    for name, sha256 in (("base", None), ("it", SHA)):
        values = results(BASE, sha256)
        for key in ("attention", "fit", "backend", "frames_quality"):
            del values["config"]["batch_sizes"][0][key]
        write_results(tmp_path / name, values)
    assert read(tmp_path)["lvbench"]["fit"] is None


def test_results_of_others_are_refused(tmp_path: Path) -> None:
    write_results(tmp_path / "base", results(BASE, None))
    assert "nothing there is of this adapter; run lmms-eval with it, as `longvpo evaluate" in refused(tmp_path)
    write_results(tmp_path / "other", results(ADAPTER, SHA, model="InternVL3-1B-hf@abc"))
    assert "is of InternVL3-1B-hf@abc, and the adapter's base is tiny: leave it out" in refused(tmp_path)
    values = results(ADAPTER, SHA)
    values["config"]["batch_sizes"] = []
    write_results(tmp_path / "other", values)
    assert "is of another model class of lmms-eval: give only what --model longvpo measured" in refused(tmp_path)
    write_results(tmp_path / "other", {"needle": {}})
    assert "is not of lmms-eval: give its DATE_results.json, or the folder that `longvpo" in refused(tmp_path)
    (tmp_path / "other" / "20261127_061500_results.json").write_text("{")
    assert refused(tmp_path).endswith("run lmms-eval again")


def card(tmp_path: Path, base: str, *runs: dict[str, Any]) -> list[str]:
    """The lines of a card with these results, of an adapter of this base."""
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter"))
    for number, values in enumerate(runs):
        write_results(tmp_path / "runs" / str(number), values)
    of = {"base": {"model": base}}
    write_text(folder / FILE, as_json(read_benchmarks(found_in(tmp_path / "runs"), FACTS, of)))
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("model: tiny", f"model: {base}"))
    return card_of(folder).splitlines()


def test_a_card_says_not_run_and_marks_a_change_outside_its_interval(tmp_path: Path) -> None:
    lines = card(tmp_path, "tiny", results(BASE, None), results(ADAPTER | {"mvbench": 70.0}, SHA, limit=None))
    table = [line for line in lines if line.startswith(("| LVBench", "| Video-MME", "| MVBench", "| MLVU", "| local"))]
    asked = "at most 128 frames, 1 a second, short side 448; float32; lmms-eval 0.7.3, 2026-11-27"
    assert table == [
        f"| LVBench | 48.8 | 53.6 | +4.8 ±3.6 ▲ | 1,500 | {asked} |",
        f"| MLVU, dev | not run | 76.4 | not run | 1,500 | {asked} |",
        f"| Video-MME | 66.5 | 66.0 | -0.5 ±3.4 | 1,500 | {asked} |",
        "| Video-MME, subtitles | not run | not run | not run | not run | not run |",
        f"| MVBench | 75.4 | 70.0 | -5.4 ±0.7 ▼ | 30,000 | {asked} |",
        f"| local | not run | 0.5 | not run | 1,500 | {asked} |",
    ]
    assert "the paper's own" not in "\n".join(lines)


def test_a_model_of_another_name_has_no_scores_of_the_paper(tmp_path: Path) -> None:
    model = "me/my-InternVL3-8B"
    lines = card(tmp_path, model, results({"lvbench": 0.5}, SHA, model=f"{model}@abc"))
    assert "the paper's own" not in "\n".join(lines)


def test_the_papers_scores_stand_beside_those_of_its_base(tmp_path: Path) -> None:
    model = "OpenGVLab/InternVL3-8B-hf"
    lines = card(tmp_path, model, results({"lvbench": 0.5, "local": 0.5}, SHA, model=f"{model}@abc", limit=8))
    assert (
        "| benchmark | base | this one | change | questions | asked with | the paper's own: base, stage 1, stage 2 |"
        in lines
    )
    (row,) = [line for line in lines if line.startswith("| LVBench")]
    assert "| 8 of 1,500 |" in row
    assert row.endswith("| 48.8, 52.4, 53.6 |")
    assert next(line for line in lines if line.startswith("| local")).endswith("| none |")


def test_only_whole_scores_on_registered_benchmarks_go_to_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, results(ADAPTER, SHA))
    measured = read_benchmarks(found_in(tmp_path), FACTS, RECIPE)
    assert entries(measured) == [], "none of the six is known to be registered"
    first, *rest = BENCHMARKS
    monkeypatch.setattr(
        module, "BENCHMARKS", (first.__class__(**vars(first) | {"registered": ("someone/LVBench", "mcq")}), *rest)
    )
    assert entries(measured) == [
        {
            "dataset": {"id": "someone/LVBench", "task_id": "mcq"},
            "value": 53.6,
            "date": "2026-11-27",
            "notes": "lmms-eval 0.7.3, at most 128 frames",
        }
    ]
    write_results(tmp_path, results(ADAPTER, SHA, limit=100))
    assert entries(read_benchmarks(found_in(tmp_path), FACTS, RECIPE)) == []


def test_nothing_of_this_machine_is_kept(tmp_path: Path) -> None:
    write_results(tmp_path, results(ADAPTER, SHA))
    said = json.dumps(read_benchmarks(found_in(tmp_path), FACTS, RECIPE))
    assert "alice" not in said
    assert str(tmp_path) not in said


def test_a_damaged_file_beside_an_adapter_is_one_line(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter"))
    for text in ("{", "{}", '{"rows": [{"task": 1}]}', '{"rows": 5}'):
        (folder / FILE).write_text(text)
        with pytest.raises(LongVPOError, match="delete it, and give lmms-eval's results"):
            card_of(folder)
