"""What training costs, held against real processors, real batches, loaded weights and what training steps allocate."""

from __future__ import annotations

import json
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import bitsandbytes
import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from support.families import FAMILIES
from support.released import RELEASED, table
from support.world import ROOT
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig

from longvpo.cli import commands as cli
from longvpo.errors import LongVPOError
from longvpo.models.encode import encode
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.file import builtin_recipes, load_recipe
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import LoraSection, TrainRecipe
from longvpo.training.collator import AnchoredCollator
from longvpo.training.memory import Skeleton, adapter_parameters, step_memory, vision_bytes, weight_bytes
from longvpo.training.plan import estimate, plan_training
from longvpo.training.rows import training_rows
from longvpo.training.run import training_arguments
from longvpo.training.step.packing import install, pack
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.training.step.vision import Vision
from longvpo.training.tokens import RowLength, check_budget, longest, picture_size, row_lengths, video_row
from longvpo.video.frames import ClipFrames

Capture = pytest.CaptureFixture[str]
QUESTION = "what color is the ring?"


def lora(**options: Any) -> LoraConfig:
    """The recipes' adapter; PEFT writes into what it is given."""
    return LoraConfig(**LoraSection().model_dump() | options, task_type="CAUSAL_LM")


def train_recipe(dataset: Path, world: Path, *overrides: str) -> TrainRecipe:
    return load_recipe(
        TrainRecipe, "tiny/stage1", [f"data.dataset={dataset}", f"data.videos.drawn={world}", *overrides]
    )


# tokens


@pytest.mark.parametrize("size", [(96, 96), (150, 70)])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 64, 128])
def test_tokens_are_those_of_real_frames(name: str, frames: int, size: tuple[int, int]) -> None:
    _, processor = FAMILIES[name]()
    video = np.random.default_rng(0).integers(0, 256, (frames, size[1], size[0], 3), dtype=np.uint8)
    real = encode(processor, [QUESTION], [video], 0.7)
    row = video_row(processor, frames, size, 0.7, QUESTION)
    pixels = sum(value.numel() for name, value in real.items() if name.startswith("pixel_values"))
    assert (row.frames, row.tokens, row.pixels) == (frames, real["input_ids"].shape[1], pixels)


class Watched:
    """A processor, and what it was given as frames."""

    def __init__(self, processor: Any, refused: type | None = None) -> None:
        self.processor, self.refused, self.seen = processor, refused, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **inputs: Any) -> Any:
        self.seen += inputs.get("videos", [])
        if self.refused and any(isinstance(video, self.refused) for video in inputs.get("videos", [])):
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return self.processor(**inputs)


def test_no_pixel_is_made_unless_a_processor_looks_at_them() -> None:
    _, processor = FAMILIES["internvl"]()
    watched, picky = Watched(processor), Watched(processor, refused=torch.Tensor)
    assert video_row(watched, 9, (96, 96), 1.0) == video_row(picky, 9, (96, 96), 1.0)
    assert [video.device.type for video in watched.seen] == ["meta"]
    assert picky.seen[-1].shape == (9, 96, 96, 3)


@pytest.mark.parametrize("overrides", [[], ["frame_budget=9"], ["video.fps=2.5", "video.max_frames=7"]])
def test_rows_are_as_long_as_training_makes_them(
    name: str, base: Path, dataset: Path, world: Path, overrides: list[str]
) -> None:
    recipe = train_recipe(dataset, world, f"base.model={base}", *overrides)
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    frames_of = ClipFrames(recipe.video, recipe.data.videos)
    collator = AnchoredCollator(processor, frames_of, recipe.video.fps, recipe.frame_budget)
    lengths = row_lengths(recipe, rows, processor)
    for number in range(0, len(rows), 5):
        batch, row = collator([rows[number]]), lengths[number]
        places = torch.arange(batch["input_ids"].shape[1]).expand(1, 2, -1)
        packed = pack(batch["input_ids"], batch["completion_mask"], batch["attention_mask"], places)
        assert row.frames == sum(count for _, count in batch["clips"][0])
        assert row.answers == batch["completion_mask"].sum()
        tokens = packed["input_ids"].shape[1] + 1  # no answer's end is an input, and each begins with a prompt's token
        # times between the frames of a thinned context may be a digit off
        assert row.tokens == (pytest.approx(tokens, rel=0.02) if recipe.frame_budget else tokens)
        pixels = {key: value for key, value in batch["vision"][0].items() if key.startswith("pixel_values")}
        assert row.pixels == sum(value.numel() for value in pixels.values())
    assert lengths[longest(lengths)].tokens == max(row.tokens for row in lengths)


def test_the_size_of_pictures_is_that_of_the_sampled_frames(dataset: Path, world: Path) -> None:
    recipe = train_recipe(dataset, world, "video.short_side=64")
    clip = training_rows(recipe, 0)[0]["context"][0]
    width, height = picture_size(recipe, clip["source"], clip["video"])
    assert ClipFrames(recipe.video, recipe.data.videos)(clip).shape[1:3] == (height, width) == (64, 64)
    for gone in (("drawn", "videos/gone.mp4"), ("elsewhere", clip["video"])):
        assert picture_size(recipe, *gone) == (114, 64), "wide, and scaled down"


# the budget of tokens


def test_a_row_beyond_the_token_budget_is_named(name: str, base: Path, dataset: Path, world: Path) -> None:
    def recipe(*overrides: str) -> TrainRecipe:
        return train_recipe(dataset, world, f"base.model={base}", *overrides)

    rows, processor = training_rows(recipe(), 0), load_processor(recipe().base)
    lengths = row_lengths(recipe(), rows, processor)
    place = longest(lengths)
    tokens = lengths[place].tokens
    check_budget(recipe(), rows, lengths, processor)
    check_budget(recipe(f"token_budget={tokens}"), rows, lengths, processor)
    budget = tokens - lengths[place].video // 2
    with pytest.raises(LongVPOError) as raised:
        check_budget(recipe(f"token_budget={budget}"), rows, lengths, processor)
    said = str(raised.value)
    over = sum(row.tokens > budget for row in lengths)
    assert said.startswith(f"{over} of {len(rows)} triplets have more tokens than the token_budget of {budget}")
    assert f'row {place} ("{rows[place]["prompt"]}", config stage1): {tokens} tokens, 32 frames' in said
    assert said.endswith(f"token_budget to {tokens}")
    # what it says helps
    frames = said.split("frame_budget to ")[1].split(" ")[0]
    followed = recipe(f"token_budget={budget}", f"frame_budget={frames}")
    check_budget(followed, rows, row_lengths(followed, rows, processor), processor)


def test_no_frame_budget_helps_against_long_texts(dataset: Path, world: Path) -> None:
    recipe = train_recipe(dataset, world, "token_budget=10")
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    lengths = [RowLength(frames=4, size=(64, 64), pixels=0, video=8, tokens=40)] * len(rows)
    with pytest.raises(LongVPOError, match=r"4 frames\. Set token_budget to 40$"):
        check_budget(recipe, rows, lengths, processor)


# memory


def test_bytes_of_weights_are_those_of_a_loaded_model(name: str, base: Path) -> None:
    config = AutoConfig.from_pretrained(base)
    for dtype in ("float32", "bfloat16"):
        plain = ModelSection(model=str(base), dtype=dtype)
        section = plain.model_copy(update={"quantization": "nf4"})
        loaded = sum(parameter.nbytes for parameter in load_model(plain).parameters())
        assert weight_bytes(Skeleton(config), plain) == loaded
        model = load_model(section)
        assert weight_bytes(Skeleton(config), section) == nf4_bytes(model)


def nf4_bytes(model: Any) -> int:
    """Of parameters, and of the constants that NF4 keeps beside them, without its lookup tables."""
    found: int = sum(parameter.nbytes for parameter in model.parameters())
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            state = module.weight.quant_state
            found += state.absmax.nbytes + state.state2.absmax.nbytes
    return found


def test_bytes_of_the_embedded_models_weights() -> None:
    section = ModelSection(model="tiny", dtype="float32", quantization="nf4")
    model = load_model(section)
    assert weight_bytes(Skeleton(model.config), section) == nf4_bytes(model)


def test_the_adapter_has_as_many_parameters_as_peft_makes(name: str) -> None:
    model, _ = FAMILIES[name]()
    skeleton = Skeleton(model.config)
    for config in (
        lora(),
        LoraConfig(r=3, target_modules=["q_proj", "down_proj"]),
        LoraConfig(r=8, target_modules=r".*language_model.*\.(k|v)_proj|.*text_model.*\.(k|v)_proj"),
    ):
        fresh, _ = FAMILIES[name]()
        adapted = get_peft_model(fresh, config)
        trained = sum(parameter.numel() for parameter in adapted.parameters() if parameter.requires_grad)
        assert adapter_parameters(skeleton, config) == trained


def test_memory_by_hand() -> None:
    """The embedded model: every part from the numbers in its configuration."""
    section = ModelSection(model="tiny", dtype="bfloat16")
    config = AutoConfig.from_pretrained(ROOT / "longvpo" / "tiny" / "checkpoint")
    text = config.text_config
    widths = (text.hidden_size, text.intermediate_size, text.num_attention_heads, text.num_key_value_heads)
    assert (*widths, text.num_hidden_layers) == (128, 256, 4, 4, 3)
    tokens, answers, pixels = 1000, 20, 5000
    skeleton = Skeleton(config)

    def parts(**options: Any) -> dict[str, int]:
        return step_memory(skeleton, section, lora(), tokens, answers, pixels, **{"checkpointing": True} | options)

    layer = tokens * (8 * 128 + 2 * (2 * 128 + 5 * 128 + 4 * 256 + 7 * 16 + answers))
    both = tokens * 2 * 2 * 128  # embeddings and features
    gradients, head = tokens * 2 * 2 * 256, 20 * text.vocab_size * (4 + 2)
    checked, kept = parts(), parts(checkpointing=False)
    assert checked["activations"] == tokens * 2 * 128 * 3 + both + max(layer + gradients, head)
    assert gradients > head
    assert kept["activations"] == 3 * layer + both + gradients
    assert checked["pixels"] == 4 * 5000
    parameters = 3 * 16 * (4 * (128 + 128) + 3 * (128 + 256))
    assert checked["adapter"] == 16 * parameters
    assert parts(frozen_copy=True)["adapter"] == 20 * parameters
    fixed = checked["weights"] + checked["adapter"] + checked["pixels"]
    assert checked["total"] == fixed + max(checked["vision"], checked["activations"])
    # two heads of queries share one of keys: keys and values are narrower, but a GPU repeats them for the answers
    text.num_key_value_heads = 2
    shared = step_memory(Skeleton(config), section, lora(), tokens, answers, pixels, checkpointing=True)
    assert shared["activations"] == checked["activations"] + tokens * 2 * (2 * 128 - 2 * (128 - 64))
    assert parts(batch=3)["activations"] > 2.9 * checked["activations"]
    assert parts(batch=3)["weights"] == checked["weights"]
    assert parts(encoded=0.25)["vision"] == pytest.approx(checked["vision"] / 4, abs=1)


class Live(TorchDispatchMode):
    """Bytes of all tensors that operations have made and that are still there, and the most that there were."""

    def __init__(self, known: list[torch.Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._there: dict[int, Any] = {}
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or key in self._there:
            return

        def gone(_: Any) -> None:
            self.now -= size
            del self._there[key]

        self._there[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def wider(name: str, layers: int) -> tuple[Any, Any]:
    """The family's small model with a language model so wide that it decides the memory, and its processor."""
    model, processor = FAMILIES[name]()
    config = model.config
    text = config.text_config
    # as many heads of keys as of queries: a GPU repeats shared ones for the answers, a CPU does not
    text.hidden_size, text.intermediate_size, text.num_attention_heads, text.num_key_value_heads = 256, 1024, 4, 4
    text.num_hidden_layers = layers
    if hasattr(config.vision_config, "out_hidden_size"):
        config.vision_config.out_hidden_size = 256
        text.rope_parameters = text.rope_parameters | {"mrope_section": [12, 10, 10]}
    if getattr(text, "head_dim", None):
        text.head_dim = 64
    if getattr(text, "layer_types", None):
        text.layer_types = ["full_attention"] * layers
    torch.manual_seed(0)
    return type(model)(config), processor


@pytest.mark.parametrize("checkpointing", [True, False])
def test_activations_are_what_a_training_step_allocates(name: str, checkpointing: bool, tmp_path: Path) -> None:
    """In float32, on a CPU: up to a tenth off."""
    model, processor = wider(name, layers=4)
    frames, skeleton = 96, Skeleton(model.config)
    clip = {"source": "drawn", "video": "any", "start": 0.0, "end": float(frames)}
    texts = {"prompt": QUESTION, "chosen": "red", "rejected": "blue"}
    row = texts | {"context": [clip], "anchors": [0], "reference": "full"}
    pictures = np.random.default_rng(0).integers(1, 256, (frames, 96, 96, 3), dtype=np.uint8)
    section = {"bf16": False, "gradient_checkpointing": checkpointing, "max_steps": 1}
    trainer = AnchoredDPOTrainer(
        model=model,
        args=training_arguments(section, tmp_path),
        train_dataset=Dataset.from_list([row]),
        processing_class=processor,
        data_collator=AnchoredCollator(processor, lambda _: pictures, 1.0),
        peft_config=lora(),
    )
    if checkpointing:
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    batch = trainer._prepare_inputs(trainer.data_collator([row]))
    trainer.model.train()
    answers = int(batch["completion_mask"].sum())
    one = video_row(processor, frames, (96, 96), 1.0, QUESTION)
    base = ModelSection(model=name, dtype="float32")
    tokens = one.tokens + answers
    expected = step_memory(skeleton, base, lora(), tokens, answers, one.pixels, checkpointing=checkpointing)
    known = [*trainer.model.parameters(), *trainer.model.buffers(), *tree_leaves(batch["vision"])]
    with Live([tensor for tensor in known if isinstance(tensor, torch.Tensor)]) as live:
        trainer.compute_loss(trainer.model, batch).backward()
    assert expected["activations"] > expected["vision"]
    assert live.peak == pytest.approx(expected["activations"], rel=0.1)


def test_a_layer_keeps_what_the_formula_says_in_nf4_under_autocast(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # PEFT asks for the GPU's autocast alone, and keeps copies in float32 where there is none
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: asked("cpu"))
    kept, expected = {}, {}
    for layers in (3, 4):
        for part in wider(name, layers):
            part.save_pretrained(tmp_path / f"{layers}")
        section = ModelSection(model=str(tmp_path / f"{layers}"), dtype="bfloat16", quantization="nf4")
        model = load_model(section)
        adapted = get_peft_model(model, lora())
        assert install(model) is None
        for tokens in (16, 400, 800):  # first, bitsandbytes lays NF4 out anew for the CPU
            ids = torch.ones((2, tokens - 3), dtype=torch.long)
            answers = torch.zeros_like(ids)
            answers[:, -4:] = 1
            packed = pack(ids, answers, torch.ones_like(ids), torch.arange(tokens - 3).expand(1, 2, -1))
            assert packed["input_ids"].shape == (1, tokens + 1 - 1)
            live = Live([*adapted.parameters(), *adapted.buffers()])
            with torch.autocast("cpu", torch.bfloat16), live:
                result = model.base_model(**packed, use_cache=False)
            kept[layers, tokens] = live.now
            del result
            expected[layers, tokens] = step_memory(
                Skeleton(model.config), section, lora(), tokens, 8, 0, checkpointing=False
            )["activations"]

    def a_token_and_layer(count: dict[tuple[int, int], int]) -> float:
        return (count[4, 800] - count[3, 800] - count[4, 400] + count[3, 400]) / 400

    assert a_token_and_layer(kept) == pytest.approx(a_token_and_layer(expected), rel=0.01)


@pytest.mark.parametrize("width", [1024, 2048])  # of the MLP: with rotary positions, 1024 leaves the peak to attention
def test_the_vision_side_takes_what_the_formula_says(name: str, width: int) -> None:
    """Under autocast to bfloat16: up to 15 % off."""
    model, processor = FAMILIES[name](112) if name == "internvl" else FAMILIES[name]()
    vision = model.config.vision_config
    vision.hidden_size, vision.intermediate_size = 256, width
    model = type(model)(model.config).to(torch.bfloat16).eval()
    peaks, pixels = [], []
    for frames in (16, 48):
        video = np.random.default_rng(0).integers(1, 256, (frames, 96, 96, 3), dtype=np.uint8)
        inputs = encode(processor, [QUESTION], [video], 1.0)
        ids = inputs.pop("input_ids")[0]
        given = {key: value for key, value in inputs.items() if "mask" not in key or "pixel" in key}
        live = Live([*model.parameters(), *model.buffers(), *given.values()])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), live:
            Vision(model).encode(given, [(("any",), frames)], ids)
        peaks.append(live.peak)
        pixels.append(video_row(processor, frames, (96, 96), 1.0).pixels)
    measured = (peaks[1] - peaks[0]) / (pixels[1] - pixels[0])
    assert vision_bytes(Skeleton(model.config), 2) == pytest.approx(measured, rel=0.15)


# the dry run


def run(monkeypatch: pytest.MonkeyPatch, capsys: Capture, *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `longvpo train tiny/stage1 --dry-run`."""
    monkeypatch.setattr("sys.argv", ["longvpo", "train", "tiny/stage1", *map(str, arguments), "--dry-run"])
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def no_weights(*_: Any, **__: Any) -> None:
    raise AssertionError("a dry run loads no weights")


def test_a_dry_run_says_what_training_costs(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("longvpo.training.run.load_model", no_weights)
    monkeypatch.setattr("safetensors.safe_open", no_weights)
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    code, out, _ = run(monkeypatch, capsys, *arguments, "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["triplets"], said["steps"], said["frames_longest"], said["tokens_a_frame"]) == (40, 3, 32, 1.0)
    assert 0 < said["tokens_mean"] < said["tokens_longest"]
    memory = said["memory_gb_estimate"]
    parts = ["weights", "adapter", "pixels", "vision", "activations", "total", "total_with_checkpointing"]
    assert list(memory) == parts
    fixed = memory["weights"] + memory["adapter"] + memory["pixels"]
    assert memory["total"] == pytest.approx(fixed + max(memory["vision"], memory["activations"]), rel=0.01)
    assert memory["total_with_checkpointing"] < memory["total"]

    code, out, _ = run(monkeypatch, capsys, *arguments, "training.gradient_checkpointing=true", "video.fps=0.5")
    lines = out.splitlines()
    assert "frames longest:             16" in lines
    place = lines.index("memory gb estimate:")
    assert [line.split(":")[0].strip("- ") for line in lines[place + 1 :]] == [
        *(part.replace("_", " ") for part in parts[:-1]),
        "total without checkpointing",
    ]


def test_a_dry_run_finds_rows_beyond_the_token_budget(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", "token_budget=30"]
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (1, "")
    assert "have more tokens than the token_budget of 30. The longest is row" in err.splitlines()[-1]


@pytest.mark.parametrize("missing", ["someone/base", "/no/where"])
def test_a_base_out_of_reach_leaves_the_rest_of_the_plan(
    dataset: Path, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, missing: str
) -> None:
    arguments = [f"data.dataset={dataset}", f"data.videos.drawn={world}", f"base.model={missing}"]
    code, out, _ = run(monkeypatch, capsys, *arguments)
    lines = out.splitlines()
    assert code == 0
    assert "triplets:                   40" in lines
    assert "steps:                      3" in lines
    assert lines[-1].startswith(f"cost:                       not estimated: cannot load {missing}: ")


def test_without_the_dataset_a_full_frame_budget_stands_for_it(dataset: Path, world: Path, tmp_path: Path) -> None:
    recipe = train_recipe(tmp_path / "not-here", world)
    assert "no frame_budget is set" in plan_training(recipe)["cost"]
    said = plan_training(recipe.model_copy(update={"frame_budget": 48}))
    assert (said["triplets"], said["frames_longest"], said["tokens_a_frame"]) == (None, 48, 1.0)
    assert said["memory_gb_estimate"]["total"] > 0


def test_without_the_videos_their_pictures_are_taken_to_be_wide(name: str, base: Path, dataset: Path) -> None:
    recipe = train_recipe(dataset, Path("/no/where"), f"base.model={base}")
    rows, processor = training_rows(recipe, 0), load_processor(recipe.base)
    row = max(row_lengths(recipe, rows, processor), key=lambda row: row.tokens)
    assert row.pixels == video_row(processor, 32, (796, 448), 1.0).pixels


def test_what_changes_the_estimate(dataset: Path, world: Path, tmp_path: Path) -> None:
    def memory(*overrides: str, **options: Any) -> dict[str, float]:
        recipe = train_recipe(dataset, world, *overrides)
        rows = training_rows(recipe, 0)
        found: dict[str, float] = estimate(recipe, rows, **{"batch": 1, "checkpointing": True} | options)[
            "memory_gb_estimate"
        ]
        return found

    usual = memory()
    assert memory(batch=4)["pixels"] == pytest.approx(4 * usual["pixels"], rel=0.01)
    assert memory("base.quantization=null")["weights"] > usual["weights"]
    assert memory("lora.r=32")["adapter"] == pytest.approx(2 * usual["adapter"], rel=0.01)
    assert memory("vision_cache_gb=1", "video.max_frames=1")["vision"] < usual["vision"] / 4
    lora(r=8).save_pretrained(tmp_path)
    on = train_recipe(dataset, world).model_copy(update={"adapter": str(tmp_path)})
    found = estimate(on, None, 1, True) | estimate(on, training_rows(on, 0), 1, True)
    # half the rank, and a frozen copy
    assert found["memory_gb_estimate"]["adapter"] == pytest.approx(usual["adapter"] / 2 * 20 / 16, rel=0.01)


# the page


def test_the_page_of_the_recipes_says_what_is_computed() -> None:
    page = (ROOT / "recipes" / "README.md").read_text().splitlines()
    start = next(number for number, line in enumerate(page) if line.startswith("| base |"))
    written = page[start : page.index("", start)]
    assert written == table()


def test_the_page_names_every_recipe() -> None:
    page = (ROOT / "recipes" / "README.md").read_text()
    assert [name for name in builtin_recipes() if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        # the files' sizes on the Hub, in GB, and bytes a parameter
        ("OpenGVLab/InternVL3-1B-hf", 1.88 / 2),
        ("HuggingFaceTB/SmolVLM2-2.2B-Instruct", (4.96 + 4.03) / 4),
        ("Qwen/Qwen2.5-VL-3B-Instruct", (3.98 + 3.53) / 2),
    ],
)
def test_released_configurations_have_as_many_parameters_as_the_released_weights(
    model: str, parameters: float
) -> None:
    config, _ = RELEASED[model]()
    section = ModelSection(model=model, dtype="bfloat16")
    assert weight_bytes(Skeleton(config), section) / 2e9 == pytest.approx(parameters, rel=0.003)


@pytest.mark.parametrize("model", RELEASED)
def test_what_the_page_says_of_frames(model: str) -> None:
    _, processor = RELEASED[model]()
    small, large = (video_row(processor, 32, size, 1.0).video for size in ((398, 224), (796, 448)))
    assert (small < large) == model.startswith("Qwen/")
    a_frame = [video_row(processor, frames, (796, 448), 1.0).video / frames for frames in (32, 64, 128, 256)]
    shrinks = any(later < 0.9 * earlier for earlier, later in pairwise(a_frame))
    assert shrinks == model.startswith("Qwen/Qwen3")
