"""The recipe of a training."""

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
    """The name of a repository on the Hub. Raises ValueError where it has another form."""
    if not REPOSITORY.fullmatch(name):
        raise ValueError("must be an id on the Hub, such as OpenGVLab/InternVL3-1B-hf")
    return name


HubId = Annotated[str, AfterValidator(check_id)]
Reference = Literal["anchor", "relevant", "full"]


class BaseSection(ModelSection):
    """The base model, and where others find it."""

    speaking: ClassVar = {"model": (*ModelSection.speaking["model"], "hub_id"), "revision": ("license",)}
    later: ClassVar = (*ModelSection.later, "hub_id")
    hub_id: HubId | None = Field(
        None,
        description="where others find a base that you load from a folder: its id on the Hub, such as "
        "OpenGVLab/InternVL3-1B-hf. The card and the adapter name it; null: `model`",
    )

    @property
    def found_at(self) -> str:
        """The model that others load: its id on the Hub, or else `model`."""
        return self.hub_id or self.model


class MixSection(Section):
    """Rows of another config of the same dataset, so that the model keeps what it learned from them."""

    config: str = Field("stage1", description="the config whose rows are mixed in")
    share: float = Field(gt=0, lt=1, description="share of all training rows that come from it")
    reference: Reference = Field("anchor", description="what the frozen reference sees for these rows")


class DataSection(Section):
    """Which triplets, and where their videos are."""

    speaking: ClassVar = {"dataset": ("revision", "columns")}
    later: ClassVar = ("eval", "columns")
    dataset: IdOrFolder = Field(
        description="a folder that build-dataset made, or a Hub dataset id. It may also hold preference pairs from "
        "another tool: a folder, a Hub id, or a file .jsonl, .json, .csv or .parquet"
    )
    columns: PairSection | None = Field(
        None,
        description="columns of preference pairs from another tool; null: longvpo built the dataset, or knows its "
        "columns",
    )
    config: str = Field(
        "stage1",
        description="the triplets to train on: stage1 or stage2; for pairs from another tool, the name of their "
        "config",
    )
    revision: str = Field("main", description=REVISION)
    split: str = Field("train", description="split of the config")
    eval: str | float | None = Field(
        None,
        description="triplets for evaluation during training: the name of a split, or a share of the rows. Rows of "
        "the share are not trained on, and share no video with the rest. null: none",
    )
    mix: tuple[MixSection, ...] = Field((), description="rows of other configs that are trained on, too")
    videos: dict[str, FolderPath] = Field(
        {}, description="folder of each source's videos; for other sources, the frames in the dataset are read"
    )

    @field_validator("eval")
    @classmethod
    def _share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float | int) and not 0 < value < 1:
            raise ValueError("a share must be between 0 and 1")
        return value


class LoraSection(Section):
    """The names of peft.LoraConfig, and `vision`. By default the language model's linear layers get an adapter."""

    later: ClassVar = ("vision",)
    r: int = Field(16, gt=0, description="rank of the adapter's matrices")
    lora_alpha: int = Field(32, gt=0, description="the adapter's output is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="share of the adapter's inputs that is dropped at random")
    target_modules: str = Field(
        r".*\.(language_model|text_model)\..*\.(q|k|v|o|gate|up|down)_proj",
        description="a regular expression that matches the full names of the layers with an adapter",
    )
    vision: Literal["none", "connector", "all"] = Field(
        "none",
        description="linear layers on the vision side that get an adapter, too. connector: the layers that map "
        "features to the language model's width. all: every layer, as in the paper. The vision side then runs at "
        "every step, with gradients",
    )

    def of_peft(self) -> dict[str, Any]:
        """The values that peft.LoraConfig knows."""
        return self.model_dump(exclude={"vision"})


class TrainRecipe(Section):
    """A base model, triplets, and how an adapter is trained on them."""

    builtin = "stage1"
    speaking: ClassVar = {"adapter": ("adapter_revision",), "base": ("license",)}
    later: ClassVar = ("mlp_tokens", "sequence_parallel", "notes")
    name: ResultName = Field(description="name of the result: its folder, and its repository on the Hub")
    base: BaseSection = Field(description="the model that the adapter is for")
    adapter: IdOrFolder | None = Field(
        None,
        description="a folder or a Hub id: training starts from this adapter, and a frozen copy of it is the "
        "reference",
    )
    adapter_revision: str = Field("main", description=REVISION)
    data: DataSection = Field(description="the triplets, and where their videos are")
    video: VideoSection = Field(
        VideoSection(), description="how clips become frames; the dataset's recipe has the same section"
    )
    frame_budget: int | None = Field(
        None,
        gt=0,
        description="maximum number of frames per context; a longer context is thinned evenly; null: no limit",
    )
    token_budget: int | None = Field(
        None,
        gt=0,
        description="maximum tokens of a prompt with both answers; a longer row is an error; null: no limit",
    )
    lora: LoraSection = Field(LoraSection(), description="size of the adapter, and the layers that get one")
    reference: Reference = Field(
        "anchor",
        description="what the frozen reference sees. anchor: the first clip of `anchors`. relevant: all of them. "
        "full: the whole context",
    )
    reference_log_probs: Literal["each_step", "precomputed", "dataset"] = Field(
        "each_step",
        description="when the reference is scored. each_step: at each step. precomputed: once, before training. "
        "dataset: the dataset holds the scores",
    )
    mlp_tokens: int | None = Field(
        None,
        gt=0,
        description="tokens that go through an MLP at once, such as 8192. A long row then needs less memory, and its "
        "MLPs are computed once more; null: all tokens at once",
    )
    sequence_parallel: int = Field(
        1,
        gt=0,
        description="processes, with one GPU each, that share the computation of each row, for rows that are too long"
        " for one GPU. The number must divide the number of all processes, and that of the language model's heads",
    )
    vision_cache_gb: float = Field(
        0, ge=0, description="memory for the vision features of clips, in GB; 0: no features are kept"
    )
    training: JsonValues = Field(
        default_factory=dict,
        description="the names of trl.DPOConfig, such as learning_rate; TRL's documentation explains them",
    )
    license: str | None = Field(
        None, description="licence of the adapter, as an id of the Hub's list; null: `base.license`"
    )
    language: tuple[str, ...] = Field(("en",), description="languages, for the card")
    notes: str = Field("", description=NOTES)

    @property
    def references(self) -> dict[str, Reference]:
        """The configs that are trained on, each with what the reference sees."""
        return {self.data.config: self.reference} | {mix.config: mix.reference for mix in self.data.mix}

    @field_validator("training")
    @classmethod
    def _folders(cls, training: dict[str, Any]) -> dict[str, Any]:
        if "extends" in training:
            raise ValueError(
                "extends is not allowed here: the recipe that the whole recipe extends has its own `training`"
            )
        return {key: at_home(value) if isinstance(value, str) else value for key, value in training.items()}
