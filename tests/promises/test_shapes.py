"""No clip is known by its shape: neither the anchor nor a distractor is distorted, wherever it stands."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES
from support.trainers import train_recipe

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip
from longvpo.dataset.session import clip_request
from longvpo.evaluation.needle import Needle, needles
from longvpo.models.encode import encode
from longvpo.recipe.sections import Fit, VideoSection
from longvpo.training.collator import AnchoredCollator
from longvpo.training.tokens import row_lengths
from longvpo.video.frames import ClipFrames, write_video
from longvpo.video.joined import at_rate, canvas, join

SHAPES = {"wide": (128, 224), "wider": (128, 224), "square": (192, 192), "tall": (224, 128)}  # height and width
FITS: tuple[Fit, ...] = ("letterbox", "crop")


def picture(height: int, width: int) -> np.ndarray:
    """A white circle in the middle of a grey picture; its radius is a quarter of the shorter side."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 4) ** 2
    return np.where(inside, 255, 90).astype(np.uint8)[:, :, None].repeat(3, axis=2)


def clip(name: str, frames: int = 4) -> np.ndarray:
    return np.stack([picture(*SHAPES[name])] * frames)


def circle(frame: np.ndarray) -> tuple[int, int]:
    """Height and width of what is white."""
    white = frame[:, :, 0] > 172
    return int(white.any(axis=1).sum()), int(white.any(axis=0).sum())


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name in SHAPES:
        write_video(folder / f"{name}.mp4", clip(name), fps=1)
    return folder


@pytest.mark.parametrize("fit", FITS)
def test_a_circle_stays_a_circle_in_every_clip(fit: Fit) -> None:
    for names in permutations(["wide", "wider", "square", "tall"]):
        frames = join([clip(name) for name in names], fit)
        assert frames.shape == (16, *SHAPES["wide"], 3), "the size of most clips, in any order"
        for place, name in enumerate(names):
            height, width = circle(frames[4 * place])
            assert height == pytest.approx(width, abs=2), name
            assert (frames[4 * place, 0, 0] == 0).all() == (fit == "letterbox" and name in ("square", "tall"))
            # in a letterbox all of a clip is seen, a quarter of whose shorter side is the radius
            scale = (min if fit == "letterbox" else max)(128 / SHAPES[name][0], 224 / SHAPES[name][1])
            assert width == pytest.approx(min(SHAPES[name]) * scale / 2, abs=3)
            if SHAPES[name] == SHAPES["wide"]:
                assert (frames[4 * place] == picture(*SHAPES[name])).all(), "as it is"


def test_the_canvas_depends_on_no_order() -> None:
    sizes = [(128, 224), (224, 128), (192, 192), (64, 64)]
    assert {canvas(some) for some in permutations(sizes)} == {(192, 192)}, "the largest of as many"
    assert {canvas(some) for some in permutations([*sizes, (64, 64)])} == {(64, 64)}, "most clips have it"
    assert {canvas(some) for some in permutations(sizes[:2])} == {(224, 128)}


def test_clips_of_one_size_are_as_they_are() -> None:
    clips = [np.random.default_rng(seed).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8) for seed in range(3)]
    for fit in FITS:
        assert (join(clips, fit) == np.concatenate(clips)).all()


def test_a_build_and_an_evaluation_fit_alike(films: Path) -> None:
    clips = [Clip(name, "films", f"{name}.mp4", 0.0, 4.0, "a caption") for name in ("square", "wide", "wider")]
    media = set()
    for fit in FITS:
        frames_of = ClipFrames(VideoSection(fit=fit), {"films": films})
        recipe = SimpleNamespace(video=frames_of.section, context=SimpleNamespace(frame_budget=64))
        session: Any = SimpleNamespace(recipe=recipe, frames_of=frames_of)
        built = clip_request(clips, session, "what is white?")
        pool = Pool(clips, np.array([4, 4, 4]))
        ((one,),) = needles(pool, {3: [[Needle("what is white?", ("a circle",), [0, 1, 2], 0)]]}, frames_of)
        asked = one.request
        assert built.frames
        assert asked.frames
        assert (built.frames() == join([frames_of(clip.reference) for clip in clips], fit)).all()
        assert (built.frames() == asked.frames()).all()
        media |= {built.media, clip_request(clips[:1], session, "what is white?").media}
    assert len(media) == 3, "an answer from bars is none from a crop; of one clip both are the same"


def row(names: list[str], anchor: int, reference: str = "anchor") -> dict[str, Any]:
    context = [{"source": "films", "video": f"{name}.mp4", "start": 0.0, "end": 4.0} for name in names]
    texts = {"prompt": "what is white?", "chosen": "a circle", "rejected": "a square"}
    return texts | {"context": context, "anchors": [anchor], "reference": reference}


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "smolvlm2"])
@pytest.mark.parametrize("fit", FITS)
def test_a_model_sees_the_same_whichever_clip_is_the_anchor(name: str, fit: Fit, films: Path) -> None:
    processor = FAMILIES[name]()[1]
    frames_of = ClipFrames(VideoSection(fit=fit), {"films": films})
    collate = AnchoredCollator(processor, frames_of, fit=fit)
    names = ["square", "wide", "tall", "wider"]
    read = [frames_of(one) for one in row(names, 0)["context"]]
    batches = [collate([row(names, anchor)]) for anchor in range(4)]
    expected = encode(processor, ["what is white?"], [join(read, fit)], [at_rate(16, 1.0)])
    for anchor, batch in enumerate(batches):
        for key, value in batch["vision"][0].made.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(expected[key])), key
        # the reference sees the anchor as it stands in the context
        seen = join([read[anchor]], fit, SHAPES["wide"])
        assert seen.shape == (4, *SHAPES["wide"], 3)
        alone = encode(processor, ["what is white?"], [seen], [at_rate(4, 1.0)])
        pixels = next(key for key in alone if key.startswith("pixel_values"))
        assert torch.equal(batch["reference"]["vision"][0].made[pixels], alone[pixels])
        assert batch["reference"]["clips"][0] == batch["clips"][0][anchor : anchor + 1], "its features are kept once"
    other = AnchoredCollator(processor, frames_of, fit="crop" if fit == "letterbox" else "letterbox")
    assert other([row(names, 0)])["clips"] != batches[0]["clips"], "features of another fit are others"


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "smolvlm2"])
def test_tokens_are_counted_on_the_canvas(name: str, films: Path, dataset: Path) -> None:
    processor = FAMILIES[name]()[1]
    recipe = train_recipe(dataset, films, f"data.videos.films={films}", "video.short_side=448")
    contexts = [["square", "wide"], ["tall", "wide", "wider"], ["square"], ["wide", "tall"]]
    rows: Any = {key: [row(names, 0)[key] for names in contexts] for key in row(["wide"], 0)}
    for names, length in zip(contexts, row_lengths(recipe, rows, processor), strict=True):
        batch = AnchoredCollator(processor, ClipFrames(recipe.video, recipe.data.videos))([row(names, 0)])
        assert length.tokens == batch["attention_mask"][0].sum() + batch["completion_mask"][1].sum()
        assert length.size == canvas([SHAPES[one] for one in names])[::-1]
