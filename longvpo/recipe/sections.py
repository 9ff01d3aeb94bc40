"""Sections that recipes share: each is a part of the YAML with its keys."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from longvpo.io.home import at_home
from longvpo.recipe.attention import Attention

AtHome = BeforeValidator(lambda value: at_home(value) if isinstance(value, str) else value)
FolderPath = Annotated[Path, AtHome]
IdOrFolder = Annotated[str, AtHome]
SEEDS = 10**18  # the largest seed; row numbers are added to it, and the sum must fit into 64 bits
Backend = Literal["auto", "decord", "pyav", "torchcodec"]
Fit = Literal["letterbox", "crop"]
JPEG_QUALITY = 90  # quality of frames that are kept or published
NOTES = "your own text for the card, in Markdown; it stands in the part of the card that is yours"
REVISION = "a branch, a tag or a commit on the Hub; only a commit never changes"


def _result_name(name: str) -> str:
    """A recipe may come from a stranger: its result must stay in the folder where the command runs."""
    parts = name.split("/")
    leaves = any(part in ("", ".", "..") or len(part.encode(errors="replace")) > 255 for part in parts)
    if leaves or not name.isprintable() or re.search(r"\\|^[A-Za-z]:|^~", name):
        raise ValueError("must be a name on one line, such as my-triplets; --output takes any path")
    return name


def _sendable(values: dict[str, Any]) -> dict[str, Any]:
    """Values that are not JSON would be changed on their way to the server, or refused."""
    if json.loads(json.dumps(values, allow_nan=False)) != values:
        raise ValueError("names must be texts: put numbers in quotes")
    return values


ResultName = Annotated[str, AfterValidator(_result_name)]
JsonValues = Annotated[dict[str, Any], AfterValidator(_sendable)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    builtin: ClassVar[str] = ""  # last name of the built-in recipes of this kind
    # keys that name something, such as a model, each with the keys that describe it, such as its licence
    speaking: ClassVar[dict[str, tuple[str, ...]]] = {}
    # keys that earlier versions did not have: the hash leaves such a key out at its default, so old work still fits
    later: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def said_of(cls, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """`speaking` for a section with these values of a recipe."""
        return cls.speaking


def section_in(annotation: Any) -> type[Section] | None:
    """The kind of section that a key holds: one section, or a list; None where it holds neither."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


class VideoSection(Section):
    """How clips become frames. The paper samples 1 frame per second, at most 64 frames per clip (section 4.1)."""

    later: ClassVar = ("fit", "frames", "frames_gb", "frames_quality")
    fps: float = Field(1.0, gt=0, le=1000, description="frames per second that are sampled from a clip")
    max_frames: int = Field(64, gt=0, description="maximum number of frames per clip")
    short_side: int = Field(
        448, ge=64, description="length of the shorter side in pixels; larger frames are scaled down to it"
    )
    fit: Fit = Field(
        "letterbox",
        description="how a clip of another shape fits into a context, whose size is that of most clips. letterbox: "
        "with black bars. crop: only its middle is shown",
    )
    backend: Backend = Field(
        "auto",
        description="decoder of videos; auto: decord where it is exact, PyAV elsewhere; torchcodec has to be "
        "installed",
    )
    cache_gb: float = Field(2.0, gt=0, description="decoded frames that are kept in memory, in GB")
    workers: int = Field(4, gt=0, le=1024, description="threads that decode ahead in a build")
    frames: FolderPath | None = Field(
        None,
        description="folder that keeps sampled frames, so that no video is decoded twice; builds, trainings and "
        "machines may share it; null: no frames are kept",
    )
    frames_gb: float | None = Field(
        50.0,
        gt=0,
        description="maximum size of that folder in GB; frames that were not read for the longest time are deleted; "
        "null: no limit",
    )
    frames_quality: int | None = Field(
        JPEG_QUALITY,
        ge=1,
        le=100,
        description="JPEG quality of the frames in that folder; models see the frames at this quality; null: PNG, "
        "without loss",
    )

    @property
    def jpeg_quality(self) -> int | None:
        """JPEG quality of the frames that models see; None: the decoded frames themselves."""
        return self.frames_quality if self.frames else None


class AttentionSection(Section):
    """sdpa, eager, flash_attention_2, flash_attention_3, or a kernel on the Hub such as kernels-community/flash-attn3.

    The last three need a GPU, and the package flash-attn or kernels.
    """

    language: Attention | None = Field(
        None,
        description="attention of the language model; null: transformers' choice; with eager, training computes a "
        "prompt twice, once per answer",
    )
    vision: Attention | None = Field(None, description="attention of the vision side; null: transformers' choice")


class ModelSection(Section):
    """A video-language model: a Hub id, a folder, or `tiny`, the embedded model."""

    speaking: ClassVar = {"model": ("revision", "license"), "revision": ("license",)}
    later: ClassVar[tuple[str, ...]] = ("attention",)
    model: IdOrFolder = Field(
        description="a Hub id, a folder, or tiny, the embedded model; behind a server: the model's name there"
    )
    revision: str = Field("main", description=REVISION)
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "bfloat16", description="type of the weights and of the computation"
    )
    quantization: Literal["nf4"] | None = Field(
        None,
        description="nf4: the language model is loaded in 4 bits, as in QLoRA; null: the whole model is in `dtype`",
    )
    attention: AttentionSection | None = Field(
        None, description="null: transformers' choice; other choices give slightly different numbers"
    )
    license: str = Field("unknown", description="licence of the model, as an id of the Hub's list; cards name it")


class EndpointSection(Section):
    """A server with the OpenAI chat protocol: vLLM, SGLang, llama.cpp, Inference Providers."""

    url: str | None = Field(None, description="address of the server, such as http://localhost:8000/v1")
    provider: str | None = Field(None, description="name of an Inference Provider, in place of a url")
    api_key_env: str | None = Field(
        None, description="environment variable that holds the key; null: the Hub's token is used"
    )
    frames_as: Literal["images", "video_jpeg", "video_url"] = Field(
        "images",
        description="how frames are sent. images: each after its time; every server takes this. video_jpeg: only vLLM"
        " takes it, and early versions take no times. video_url: an mp4 of the true length",
    )
    concurrency: int = Field(
        16, gt=0, description="maximum number of requests that wait for an answer at the same time"
    )
    timeout: float = Field(120.0, gt=0, description="seconds to wait for an answer")
    retries: int = Field(
        6, ge=0, description="how often a request is sent again after 408, 429, 5xx or a broken connection"
    )
    parameters: JsonValues = Field(
        {},
        description="values that are sent with every request, such as {reasoning_effort: low} or "
        "{chat_template_kwargs: {enable_thinking: false}}. null leaves one out, such as {seed: null}. Where a server "
        "refuses max_tokens, temperature or seed by name, longvpo renames it or leaves it out itself",
    )
    max_cost: float | None = Field(None, gt=0, description="cost at which a run stops, in the currency of the prices")
    price_in: float = Field(0.0, ge=0, description="price per million prompt tokens")
    price_out: float = Field(0.0, ge=0, description="price per million completion tokens")

    @model_validator(mode="after")
    def _one_place(self) -> EndpointSection:
        if (self.url is None) == (self.provider is None):
            raise ValueError("give either url or provider")
        ours = sorted({"messages", "model", "n", "stream"} & set(self.parameters))
        if ours:
            raise ValueError(f"parameters may not hold {', '.join(ours)}: longvpo sets them")
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise ValueError("max_cost needs price_in and price_out")
        return self


class WriterSection(ModelSection):
    """The model that writes questions and answers. In the paper it is the model that will be trained."""

    speaking: ClassVar = {**ModelSection.speaking, "adapter": ("adapter_revision",)}
    later: ClassVar = (*ModelSection.later, "adapter", "adapter_revision")
    batch_size: int = Field(
        8,
        gt=0,
        description="requests that this machine answers together; fewer where a request has more than 64 frames",
    )
    max_new_tokens: int = Field(
        256, gt=0, description="maximum tokens per answer; an answer that is truncated there is dropped"
    )
    temperature: float = Field(
        0.7, ge=0, description="temperature for questions and captions; answers and verdicts are greedy"
    )
    endpoint: EndpointSection | None = Field(
        None, description="the server that runs the model; null: the model runs on this machine"
    )
    adapter: IdOrFolder | None = Field(
        None, description="a folder that train made, or a Hub id: the model writes with this adapter, on this machine"
    )
    adapter_revision: str = Field("main", description=REVISION)

    @model_validator(mode="after")
    def _adapter_here(self) -> WriterSection:
        if self.adapter is not None and self.endpoint is not None:
            raise ValueError("a server has its own names for adapters: give that name as `model`, and no adapter")
        return self


class FilterSection(Section):
    """Which clips may share a context, and which answers make a pair. Sections 3.3 and 4.1 of the paper.

    Each filter can be switched off for an ablation, with null or false.
    """

    speaking: ClassVar = {"visual_model": ("visual_revision",), "text_model": ("text_revision",)}
    later: ClassVar = ("balance", "judge_rejected", "visual_pooling")
    visual_model: IdOrFolder = Field("facebook/dinov2-base", description="encoder of frames: a Hub id, or a folder")
    visual_revision: str = Field("main", description=REVISION)
    visual_threshold: float | None = Field(
        0.6, description="a distractor whose cosine with the anchor is above this is replaced; null: off"
    )
    visual_frames: int = Field(8, gt=0, description="frames per clip that the encoder sees")
    visual_pooling: Literal["cls", "mean"] | None = Field(
        None,
        description="vector of a frame. cls: its first token. mean: the mean of all tokens. null: as the encoder is "
        "configured, or else mean",
    )
    text_model: IdOrFolder = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="encoder of sentences: a Hub id, or a folder"
    )
    text_revision: str = Field("main", description=REVISION)
    specificity: bool = Field(
        True, description="replace a distractor whose caption is as close to the question as the anchor's caption is"
    )
    answer_threshold: float | None = Field(
        0.95,
        description="drop a row whose chosen and rejected answers are closer than this cosine; null: only equal "
        "answers are dropped",
    )
    refusals: bool = Field(True, description="drop an answer such as `I cannot tell`")
    length_ratio: float | None = Field(
        4.0,
        ge=1,
        description="drop a row whose longer answer has more than this many times the words of the shorter one; null:"
        " off",
    )
    question_threshold: float | None = Field(
        0.95, description="drop a question that is closer than this cosine to an earlier one; null: off"
    )
    judge_rejected: bool = Field(
        True, description="ask the judge whether the rejected answer is right, too; such a row is dropped"
    )
    balance: bool = Field(
        True,
        description="drop rows with an answer that is much more often chosen than rejected, or the other way round",
    )
    overlap: FolderPath | None = Field(
        None,
        description="a text file with one video name or sha256 per line, such as the videos of a benchmark; these "
        "videos are left out",
    )


def __getattr__(name: str) -> Any:
    """Older code imports the sections of sources from here."""
    if name.endswith(("SourceSection", "SceneSection", "ColumnSection")):
        return getattr(import_module("longvpo.recipe.sources"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
