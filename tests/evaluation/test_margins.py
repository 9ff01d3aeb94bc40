"""Scores of single triplets are those that evaluations and trainings count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.world import TINY

import longvpo
from longvpo.errors import LongVPOError
from longvpo.evaluation.likelihoods import Likelihoods
from longvpo.evaluation.preference import HeldOut, margins
from longvpo.models.local import LocalWriter
from longvpo.recipe.evaluation import TripletSection
from longvpo.recipe.sections import WriterSection


def test_scores_are_those_of_an_evaluation(dataset: Path, world: Path, trained: Path, tmp_path: Path) -> None:
    rows = longvpo.load_triplets(str(dataset), videos={"drawn": world})[:4]
    found = longvpo.score_triplets(rows, adapter=str(trained), frame_budget=8)
    section = TripletSection(dataset=str(dataset), configs={"stage1": "anchor"}, frame_budget=8)
    held = HeldOut(section, rows[0].source.frames_of, [*map(dict, rows)], ["stage1"] * len(rows))
    views = {}
    for name, adapter in (("base", None), ("adapter", str(trained))):
        writer = LocalWriter(WriterSection(**TINY.model_dump() | {"quantization": "nf4"}, adapter=adapter))
        views[name] = margins(writer, held, Likelihoods(tmp_path / name), name, reference=adapter is None)
    told = {key: np.array([row[key] for row in found]) for key in found[0]}
    np.testing.assert_allclose(told["margin"], views["adapter"]["context"], atol=1e-4)
    np.testing.assert_allclose(told["reference_margin"], views["base"]["reference"], atol=1e-4)
    np.testing.assert_allclose(told["reward"], told["margin"] - told["reference_margin"])
    np.testing.assert_allclose(told["margin"], told["chosen"] - told["rejected"])
    assert (told["chosen"] < 0).all()
    assert not np.allclose(told["margin"], told["reference_margin"])


def test_a_base_must_be_named(dataset: Path) -> None:
    with pytest.raises(LongVPOError, match="no base is named"):
        longvpo.score_triplets([])
