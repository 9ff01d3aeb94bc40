"""What the recipe of a training may say."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator

from longvpo.io.home import at_home
from longvpo.recipe.pairs import PairSection
from longvpo.recipe.sections import (
    NOTES,
    REVISION,
    FolderPath,
    IdOrFolder,
    JsonValues,
    ModelSection,
    ResultName,
    Section,
    VideoSection,
)

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def check_id(name: str) -> str:
    """The name of a repository on the Hub. Raises ValueError when it is none."""
    if not REPOSITORY.fullmatch(name):
        raise ValueError("must be an id on the Hub, such as OpenGVLab/InternVL3-1B-hf")
    return name


HubId = Annotated[str, AfterValidator(check_id)]
Reference = Literal["anchor", "relevant", "full"]


class BaseSection(ModelSection):
    """The base, and where others find it."""

    speaking: ClassVar = {"model": (*ModelSection.speaking["model"], "hub_id"), "revision": ("license",)}
    later: ClassVar = (*ModelSection.later, "hub_id")
    hub_id: HubId | None = Field(
        None,
        description="where others find a base that is loaded from a folder: its id on the Hub, such as "
        "OpenGVLab/InternVL3-1B-hf; card and adapter name it; null: `model`",
    )

    @property
    def found_at(self) -> str:
        """What others load: the id on the Hub, or else `model`."""
        return self.hub_id or self.model


class MixSection(Section):
    """Rows of another config of the same dataset, so that what was learnt from them is kept."""

    config: str = Field("stage1", description="the config whose rows are mixed in")
    share: float = Field(gt=0, lt=1, description="share of all rows that are trained on")
    reference: Reference = Field("anchor", description="what the frozen reference is scored on, of these rows")


class DataSection(Section):
    """Which triplets, and where their videos are."""

    speaking: ClassVar = {"dataset": ("revision", "columns")}
    later: ClassVar = ("eval", "columns")
    dataset: IdOrFolder = Field(
        description="a folder that build-dataset made, or a Hub dataset id; or pairs of others: a folder, an id, or a "
        "file .jsonl, .json, .csv or .parquet"
    )
    columns: PairSection | None = Field(
        None, description="the columns of pairs of others; null: the dataset is ours, or of a shape that is known"
    )
    config: str = Field(
        "stage1", description="stage1 or stage2: the triplets that are trained on; of pairs of others, their config"
    )
    revision: str = Field("main", description=REVISION)
    split: str = Field("train", description="of the config")
    eval: str | float | None = Field(
        None,
        description="triplets to evaluate on while training: the name of a split, or a share of the rows, which are "
        "then not trained on, drawn so that no video is on both sides; null: none",
    )
    mix: tuple[MixSection, ...] = Field((), description="rows of other configs that are trained on as well")
    videos: dict[str, FolderPath] = Field(
        {}, description="folder of the videos of each source; of others the frames that the dataset published are read"
    )

    @field_validator("eval")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float | int) and not 0 < value < 1:
            raise ValueError("a share lies between 0 and 1")
        return value


class LoraSection(Section):
    """peft.LoraConfig's own names, and `vision`. The default targets are the linear layers of the language model."""

    later: ClassVar = ("vision",)
    r: int = Field(16, gt=0, description="rank of the adapter's matrices")
    lora_alpha: int = Field(32, gt=0, description="what they add is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of their inputs that is left out at random")
    target_modules: str = Field(
        r".*\.(language_model|text_model)\..*\.(q|k|v|o|gate|up|down)_proj",
        description="a regular expression of the whole names of the layers that get an adapter",
    )
    vision: Literal["none", "connector", "all"] = Field(
        "none",
        description="linear layers of the vision side that get an adapter too: those that map features to the "
        "language model's width, or all, as the paper trains; the vision side then runs at every step, with gradients",
    )

    def of_peft(self) -> dict[str, Any]:
        """The values that peft.LoraConfig knows."""
        return self.model_dump(exclude={"vision"})


class TrainRecipe(Section):
    """A base, triplets, and how an adapter is trained on them."""

    builtin = "stage1"
    speaking: ClassVar = {"adapter": ("adapter_revision",), "base": ("license",)}
    later: ClassVar = ("mlp_tokens", "sequence_parallel", "notes")
    name: ResultName = Field(description="of the result: its folder, and its repository on the Hub")
    base: BaseSection = Field(description="the model that the adapter is for")
    adapter: IdOrFolder | None = Field(
        None, description="a folder or a Hub id: training starts from it, and its frozen copy is the reference"
    )
    adapter_revision: str = Field("main", description=REVISION)
    data: DataSection = Field(description="the triplets, and where their videos are")
    video: VideoSection = Field(VideoSection(), description="how clips become frames, as the dataset's recipe says")
    frame_budget: int | None = Field(
        None, gt=0, description="frames a context; one with more is thinned evenly; null: all"
    )
    token_budget: int | None = Field(
        None, gt=0, description="tokens of a prompt with both answers; one with more is an error; null: no limit"
    )
    lora: LoraSection = Field(LoraSection(), description="size and places of the adapter")
    reference: Reference = Field(
        "anchor",
        description="what the frozen reference is scored on: the first clip of `anchors`, all of them, or the context",
    )
    reference_log_probs: Literal["each_step", "precomputed", "dataset"] = Field(
        "each_step",
        description="when the reference is scored: at each step; once, before training; or when the dataset was made",
    )
    mlp_tokens: int | None = Field(
        None,
        gt=0,
        description="tokens that go through a layer's MLP at once, such as 8192: less memory for long rows, and the "
        "MLPs are computed once more; null: all",
    )
    sequence_parallel: int = Field(
        1,
        gt=0,
        description="processes, a GPU each, that compute each row together, where rows are too long for one: a number "
        "that divides all processes, and the language model's heads",
    )
    vision_cache_gb: float = Field(0, ge=0, description="memory for the vision features of clips; 0: none are kept")
    training: JsonValues = Field(
        default_factory=dict,
        description="trl.DPOConfig's own names, such as learning_rate; TRL's documentation has them all",
    )
    license: str | None = Field(
        None, description="the adapter's licence, an id of the Hub's list; null: `base.license`, which it changes"
    )
    language: tuple[str, ...] = Field(("en",), description="for the card")
    notes: str = Field("", description=NOTES)

    @property
    def references(self) -> dict[str, Reference]:
        """The configs that are trained on, each with what the reference sees of it."""
        return {self.data.config: self.reference} | {mix.config: mix.reference for mix in self.data.mix}

    @field_validator("training")
    @classmethod
    def _folders(cls, training: dict[str, Any]) -> dict[str, Any]:
        if "extends" in training:
            raise ValueError("extends cannot stand here: what the whole recipe extends has its own `training`")
        return {key: at_home(value) if isinstance(value, str) else value for key, value in training.items()}
