"""What all recipes are made of: sections of their YAML, each with what it may say."""

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
SEEDS = 10**18  # the largest; numbers of rows are added to it, and tables keep the sum in 64 bits
Backend = Literal["auto", "decord", "pyav", "torchcodec"]
Fit = Literal["letterbox", "crop"]
JPEG_QUALITY = 90  # of frames that are kept or published
NOTES = "your words for the card: paragraphs of Markdown, in the part of it that is yours"
REVISION = "a branch, a tag or a commit of the Hub; only a commit is the same tomorrow"


def _result_name(name: str) -> str:
    """A recipe may be a stranger's: the folder of its result lies in the one in which it is run."""
    parts = name.split("/")
    leaves = any(part in ("", ".", "..") or len(part.encode(errors="replace")) > 255 for part in parts)
    if leaves or not name.isprintable() or re.search(r"\\|^[A-Za-z]:|^~", name):
        raise ValueError("must be a name on one line, such as my-triplets; --output takes any path")
    return name


def _sendable(values: dict[str, Any]) -> dict[str, Any]:
    """What is no JSON is read otherwise than it was meant, or not at all."""
    if json.loads(json.dumps(values, allow_nan=False)) != values:
        raise ValueError("names must be texts: put numbers in quotes")
    return values


ResultName = Annotated[str, AfterValidator(_result_name)]
JsonValues = Annotated[dict[str, Any], AfterValidator(_sendable)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    builtin: ClassVar[str] = ""  # the file of a built-in recipe of this kind
    # keys that name something, such as a model, each with the keys that speak of what it names
    speaking: ClassVar[dict[str, tuple[str, ...]]] = {}
    # keys that earlier versions did not have: at its default one is not in the recipe's hash, so that work is resumed
    later: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def said_of(cls, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """`speaking` of a section with these values, as they stand in a recipe."""
        return cls.speaking


def section_in(annotation: Any) -> type[Section] | None:
    """The kind of section that a key holds, be it one or a list of them, or may hold beside null."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


class VideoSection(Section):
    """How clips become frames. The paper samples 1 frame a second, at most 64 a clip (section 4.1)."""

    later: ClassVar = ("fit", "frames", "frames_gb", "frames_quality")
    fps: float = Field(1.0, gt=0, le=1000, description="frames a second that are sampled of a clip")
    max_frames: int = Field(64, gt=0, description="frames a clip")
    short_side: int = Field(448, ge=64, description="larger frames are scaled down to it, in pixels")
    fit: Fit = Field(
        "letterbox",
        description="how clips of other shapes stand in a context, which has the size of most of its clips: "
        "letterbox, with black bars; crop, only their middle",
    )
    backend: Backend = Field(
        "auto", description="decoder; auto: decord where it is exact, PyAV where it is not; torchcodec is an extra"
    )
    cache_gb: float = Field(2.0, gt=0, description="decoded frames kept in memory")
    workers: int = Field(4, gt=0, le=1024, description="threads that decode ahead in a build")
    frames: FolderPath | None = Field(
        None,
        description="folder in which sampled frames are kept, so that no video is decoded twice; builds, trainings "
        "and machines may share it; null: none are kept",
    )
    frames_gb: float | None = Field(
        50.0, gt=0, description="size of that folder; the frames that were not read for longest leave; null: no bound"
    )
    frames_quality: int | None = Field(
        JPEG_QUALITY,
        ge=1,
        le=100,
        description="JPEG quality of the frames in that folder: all are seen so; null: without loss, as PNG",
    )

    @property
    def jpeg_quality(self) -> int | None:
        """The quality at which the frames of videos are seen; None: as they were decoded."""
        return self.frames_quality if self.frames else None


class AttentionSection(Section):
    """sdpa, eager, flash_attention_2 or _3 (a GPU, and the package flash-attn or kernels), or a kernel of the Hub such
    as kernels-community/flash-attn3 (the package kernels)."""

    language: Attention | None = Field(
        None, description="null: transformers' choice; with eager, training computes a prompt twice, once an answer"
    )
    vision: Attention | None = Field(None, description="null: transformers' choice")


class ModelSection(Section):
    """A video-language model: a Hub id, a folder, or `tiny`, the embedded one."""

    speaking: ClassVar = {"model": ("revision", "license"), "revision": ("license",)}
    later: ClassVar[tuple[str, ...]] = ("attention",)
    model: IdOrFolder = Field(
        description="a Hub id, a folder, or tiny, the embedded one; behind a server its name there"
    )
    revision: str = Field("main", description=REVISION)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("bfloat16", description="of the weights and of the work")
    quantization: Literal["nf4"] | None = Field(
        None, description="nf4: the language model in 4 bits, as QLoRA has it; null: in `dtype`"
    )
    attention: AttentionSection | None = Field(
        None, description="null: transformers' choice; others differ by rounding"
    )
    license: str = Field("unknown", description="an id of the Hub's list; cards name it")


class EndpointSection(Section):
    """A server with the OpenAI chat protocol: vLLM, SGLang, llama.cpp, Inference Providers."""

    url: str | None = Field(None, description="such as http://localhost:8000/v1")
    provider: str | None = Field(None, description="an Inference Provider by name, instead of a url")
    api_key_env: str | None = Field(None, description="environment variable that holds the key; null: the Hub's token")
    frames_as: Literal["images", "video_jpeg", "video_url"] = Field(
        "images",
        description="images is the portable one, each after its time; video_jpeg is vLLM's, and an "
        "early one takes no times; video_url sends an mp4 of the true length",
    )
    concurrency: int = Field(16, gt=0, description="requests that wait for an answer at once")
    timeout: float = Field(120.0, gt=0, description="seconds an answer")
    retries: int = Field(6, ge=0, description="after 408, 429, 5xx and broken connections")
    parameters: JsonValues = Field(
        {},
        description="sent with every request as they are, such as {reasoning_effort: low} or {chat_template_kwargs: "
        "{enable_thinking: false}}; null leaves one out, such as {seed: null}; max_tokens, temperature and seed "
        "are renamed or left out without it, where the server refuses them by name",
    )
    max_cost: float | None = Field(None, gt=0, description="cost at which a run stops, in the unit of the prices")
    price_in: float = Field(0.0, ge=0, description="price of a million prompt tokens")
    price_out: float = Field(0.0, ge=0, description="price of a million completion tokens")

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
    """The model that writes questions and answers. The paper lets the model that will be trained do it."""

    speaking: ClassVar = {**ModelSection.speaking, "adapter": ("adapter_revision",)}
    later: ClassVar = (*ModelSection.later, "adapter", "adapter_revision")
    batch_size: int = Field(
        8, gt=0, description="requests that this machine answers together; of more than 64 frames each, fewer"
    )
    max_new_tokens: int = Field(256, gt=0, description="tokens of an answer; one that is cut there is dropped")
    temperature: float = Field(0.7, ge=0, description="for questions and captions; answers and verdicts are greedy")
    endpoint: EndpointSection | None = Field(None, description="null: the model runs on this machine")
    adapter: IdOrFolder | None = Field(
        None, description="a folder that training made, or a Hub id: the model writes with it, on this machine"
    )
    adapter_revision: str = Field("main", description=REVISION)

    @model_validator(mode="after")
    def _adapter_here(self) -> WriterSection:
        if self.adapter is not None and self.endpoint is not None:
            raise ValueError("a server has its adapters under names of its own: give that as `model`, and no adapter")
        return self


class FilterSection(Section):
    """Which clips may stand beside an anchor, and which answers make a pair. Sections 3.3 and 4.1 of the paper.

    Each can be switched off for an ablation: null or false.
    """

    speaking: ClassVar = {"visual_model": ("visual_revision",), "text_model": ("text_revision",)}
    later: ClassVar = ("balance", "judge_rejected", "visual_pooling")
    visual_model: IdOrFolder = Field("facebook/dinov2-base", description="encoder of frames: a Hub id, or a folder")
    visual_revision: str = Field("main", description=REVISION)
    visual_threshold: float | None = Field(0.6, description="cosine above it: the distractor is replaced; null: off")
    visual_frames: int = Field(8, gt=0, description="frames a clip")
    visual_pooling: Literal["cls", "mean"] | None = Field(
        None, description="a frame's vector: of its first token, or the mean of all; null: the encoder's own, or mean"
    )
    text_model: IdOrFolder = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="encoder of sentences: a Hub id, or a folder"
    )
    text_revision: str = Field("main", description=REVISION)
    specificity: bool = Field(
        True, description="a distractor whose caption is as close to the question as the anchor's is replaced"
    )
    answer_threshold: float | None = Field(
        0.95, description="chosen and rejected closer than this cosine are dropped; null: only equal ones are"
    )
    refusals: bool = Field(True, description="an answer such as `I cannot tell` is dropped")
    length_ratio: float | None = Field(4.0, ge=1, description="words of the longer answer to the shorter; null: off")
    question_threshold: float | None = Field(
        0.95, description="a question closer than this cosine to one before it is dropped; null: off"
    )
    judge_rejected: bool = Field(
        True, description="the judge is asked whether a rejected answer is right as well; its pair is then dropped"
    )
    balance: bool = Field(
        True, description="an answer that is right much more often than wrong, or the other way round, is dropped"
    )
    overlap: FolderPath | None = Field(
        None, description="a text file of video names or sha256, one a line: the videos of a benchmark, left out"
    )


def __getattr__(name: str) -> Any:
    """Sources are found here too, where they stood before they had a module of their own."""
    if name.endswith(("SourceSection", "SceneSection", "ColumnSection")):
        return getattr(import_module("longvpo.recipe.sources"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
