"""What a recipe may say: one YAML file decides a dataset, an adapter or an evaluation; recipe_file.py reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from longvpo import prompts

Backend = Literal["auto", "decord", "pyav", "torchcodec"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VideoSection(Section):
    """How clips become frames. The paper samples 1 frame a second, at most 64 a clip (section 4.1)."""

    fps: float = Field(1.0, gt=0)
    max_frames: int = Field(64, gt=0, description="a clip")
    short_side: int = Field(448, ge=64, description="larger frames are scaled down to it, in pixels")
    backend: Backend = "auto"
    cache_gb: float = Field(2.0, gt=0, description="decoded frames kept in memory")
    workers: int = Field(4, gt=0, description="threads that decode ahead in a build")


class ModelSection(Section):
    """A video-language model: a Hub id, a folder, or `tiny`, the embedded one."""

    model: str
    revision: str = "main"
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    quantization: Literal["nf4"] | None = None


class ColumnSection(Section):
    """Names of a table's columns; a dot goes into what a cell holds, as in `conversations.1.value`."""

    video: str = "file_name"
    caption: str = "caption"
    start: str = Field("start", description="seconds; a table may have none")
    end: str = Field("end", description="seconds; a table may have none")


class SceneSection(Section):
    """Long videos are cut where PySceneDetect sees a cut. Lengths in seconds."""

    detector: Literal["adaptive", "content"] = "adaptive"
    threshold: float | None = Field(None, gt=0, description="null: the detector's own")
    min_seconds: float = Field(3.0, gt=0, description="a shorter scene joins the one before it")
    max_seconds: float = Field(60.0, gt=0, description="a longer scene is cut into equal parts")

    @model_validator(mode="after")
    def _order(self) -> SceneSection:
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError("max_seconds must be at least twice min_seconds, or parts would be too short")
        return self


class SourceSection(Section):
    """Captioned videos: a folder with a table metadata.jsonl, .csv or .parquet, or a dataset in the Hub's form.

    Where `dataset` is given, its rows are streamed and `folder` is where the videos that are fetched stay: training
    needs them.
    """

    name: str
    folder: Path
    dataset: str | None = Field(None, description="a Hub id, or a folder that load_dataset reads")
    config: str | None = None
    split: str = "train"
    revision: str = "main"
    videos: Literal["files", "bytes", "urls", "tar"] = Field(
        "files",
        description="what the video column holds: paths in the repository, the file itself, addresses, or members of "
        "the archives `tars`",
    )
    tars: str | None = Field(None, description="pattern of paths in the repository, such as train/*.tar.gz")
    columns: ColumnSection = ColumnSection()
    captions: Literal["table", "writer"] = Field("table", description="writer: the writer captions each clip first")
    scenes: SceneSection | None = Field(None, description="cut every video into clips; null: as the table says")
    clips: int | None = Field(None, gt=0, description="rows of the table that are used, drawn at random; null: all")
    weight: float = Field(1.0, gt=0, description="share of the anchors, against the other sources' weights")
    license: str = "unknown"
    redistribution: bool = Field(False, description="whether the licence lets others publish the videos")
    about: str = Field("", description="a text for the card")

    @model_validator(mode="after")
    def _together(self) -> SourceSection:
        if not re.fullmatch(r"[\w.-]+", self.name):
            raise ValueError(f"name may hold letters, digits, `_`, `.` and `-` alone (got {self.name!r})")
        if (self.videos == "tar") != (self.tars is not None):
            raise ValueError("`videos: tar` and `tars` belong together: give both or none")
        if self.dataset is None and self.videos != "files":
            raise ValueError(f"`videos: {self.videos}` needs `dataset`: a folder holds files")
        if self.scenes is not None and self.captions == "table":
            raise ValueError("a table's caption is about a whole video: with `scenes`, set `captions: writer`")
        return self


class EndpointSection(Section):
    """A server with the OpenAI chat protocol: vLLM, SGLang, llama.cpp, Inference Providers."""

    url: str | None = Field(None, description="such as http://localhost:8000/v1")
    provider: str | None = Field(None, description="an Inference Provider by name, instead of a url")
    api_key_env: str | None = Field(None, description="environment variable that holds the key; null: the Hub's token")
    frames_as: Literal["images", "video_jpeg", "video_url"] = Field(
        "images", description="images is the portable one; video_jpeg is vLLM's; video_url sends an mp4"
    )
    concurrency: int = Field(16, gt=0)
    timeout: float = Field(120.0, gt=0, description="seconds an answer")
    retries: int = Field(6, ge=0, description="after 408, 429, 5xx and broken connections")
    max_cost: float | None = Field(None, gt=0, description="stop there; in the unit of the prices")
    price_in: float = Field(0.0, ge=0, description="a million prompt tokens")
    price_out: float = Field(0.0, ge=0, description="a million completion tokens")

    @model_validator(mode="after")
    def _one_place(self) -> EndpointSection:
        if (self.url is None) == (self.provider is None):
            raise ValueError("give either url or provider")
        if self.max_cost is not None and not (self.price_in or self.price_out):
            raise ValueError("max_cost needs price_in and price_out")
        return self


class WriterSection(ModelSection):
    """The model that writes questions and answers. The paper lets the model that will be trained do it."""

    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(256, gt=0)
    temperature: float = Field(0.7, ge=0, description="for questions and captions; answers and verdicts are greedy")
    endpoint: EndpointSection | None = Field(None, description="null: the model runs on this machine")


class PromptSection(Section):
    """What the models are asked; the defaults stand in prompts.py."""

    question: str = prompts.QUESTION
    answer: str = prompts.ANSWER
    judge: str = prompts.JUDGE
    caption: str = prompts.CAPTION

    @model_validator(mode="after")
    def _placeholders(self) -> PromptSection:
        for name, filled in prompts.PLACEHOLDERS.items():
            template = getattr(self, name)
            try:
                said = template.format(**{key: f"<{key}>" for key in filled})
            except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
                why = "one with a dot or brackets" if isinstance(error, AttributeError | TypeError) else error
                raise ValueError(
                    f"{name} holds a placeholder that is not filled: {why}; write {{{{ for a brace"
                ) from None
            for key in filled:
                if f"<{key}>" not in said and (name, key) != ("question", "caption"):
                    raise ValueError(f"{name} must hold {{{key}}}")
        return self


class FilterSection(Section):
    """Which clips may stand beside an anchor, and which answers make a pair. Sections 3.3 and 4.1 of the paper.

    Each can be switched off for an ablation: null or false.
    """

    visual_model: str = "facebook/dinov2-base"
    visual_revision: str = "main"
    visual_threshold: float | None = Field(0.6, description="cosine above it: the distractor is replaced; null: off")
    visual_frames: int = Field(8, gt=0, description="a clip")
    text_model: str = "sentence-transformers/all-MiniLM-L6-v2"
    text_revision: str = "main"
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
    overlap: Path | None = Field(
        None, description="a text file of video names or sha256, one a line: the videos of a benchmark, left out"
    )


class ContextSection(Section):
    """The clips that the policy sees."""

    frame_budget: int = Field(128, gt=0)
    clips: tuple[int, ...] | None = Field(
        None, description="numbers of clips a context, drawn evenly; repeats weigh; null: from 2 to the frame budget"
    )

    @model_validator(mode="after")
    def _positive(self) -> ContextSection:
        if self.clips is not None and (not self.clips or min(self.clips) < 1):
            raise ValueError("clips must be positive numbers, such as [8, 16, 32]")
        return self


class Stage1Section(Section):
    triplets: int = Field(10_000, gt=0)
    attempts: float = Field(3.0, ge=1, description="gives up after this many times `triplets` anchors")


class DatasetRecipe(Section):
    name: str
    seed: int = Field(0, ge=0)
    sources: tuple[SourceSection, ...] = Field(min_length=1)
    video: VideoSection = VideoSection()
    writer: WriterSection
    judge: WriterSection | None = Field(None, description="asks whether a question is about the anchor alone")
    prompts: PromptSection = PromptSection()
    filters: FilterSection = FilterSection()
    context: ContextSection = ContextSection()
    stage1: Stage1Section = Stage1Section()

    @model_validator(mode="after")
    def _names(self) -> DatasetRecipe:
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        return self


class DataSection(Section):
    """Which triplets, and where their videos are."""

    dataset: str = Field(description="a folder that build-dataset made, or a Hub dataset id")
    config: str = "stage1"
    revision: str = "main"
    split: str = "train"
    videos: dict[str, Path] = Field(description="folder of the videos of each source")


class LoraSection(Section):
    """peft.LoraConfig's own names. The default targets are the linear layers of the language model alone."""

    r: int = Field(16, gt=0)
    lora_alpha: int = Field(32, gt=0)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str = r".*\.(language_model|text_model)\..*\.(q|k|v|o|gate|up|down)_proj"


class TrainRecipe(Section):
    name: str
    base: ModelSection
    data: DataSection
    video: VideoSection = VideoSection()
    lora: LoraSection = LoraSection()
    reference: Literal["anchor", "full"] = Field("anchor", description="what the frozen reference is scored on")
    training: dict[str, Any] = Field(default_factory=dict, description="trl.DPOConfig's own names")


class GridSection(Section):
    """The needle grid: questions about one clip, hidden at several depths among more and more others."""

    clips: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    depths: int = Field(5, ge=2, description="bins from the first place to the last")
    questions: int = Field(60, gt=0, description="a cell")


class EvaluateRecipe(Section):
    name: str
    seed: int = 0
    base: ModelSection
    source: SourceSection = Field(description="a folder whose table has `question` and `answer` beside `caption`")
    video: VideoSection = VideoSection()
    filters: FilterSection = FilterSection()
    grid: GridSection = GridSection()
    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(32, gt=0)
