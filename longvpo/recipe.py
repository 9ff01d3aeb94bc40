"""Recipes: one YAML file says everything that decides a dataset, an adapter or an evaluation.

The rule: an unknown key is an error, never ignored, and all problems of a recipe are reported at once.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from longvpo.errors import LongVPOError
from longvpo.folder import shipped

Backend = Literal["auto", "decord", "pyav"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VideoSection(Section):
    """How clips become frames. The paper samples 1 frame a second, at most 64 a clip (section 4.1)."""

    fps: float = Field(1.0, gt=0)
    max_frames: int = Field(64, gt=0, description="a clip")
    short_side: int = Field(448, ge=64, description="larger frames are scaled down to it, in pixels")
    backend: Backend = "auto"
    cache_gb: float = Field(2.0, gt=0, description="decoded frames kept in memory")


class ModelSection(Section):
    """A video-language model: a Hub id, a folder, or `tiny`, the embedded one."""

    model: str
    revision: str = "main"
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    quantization: Literal["nf4"] | None = None


class SourceSection(Section):
    """A folder of videos with a table metadata.jsonl, .csv or .parquet that has `file_name` and `caption`."""

    name: str
    folder: Path
    license: str = "unknown"


class WriterSection(ModelSection):
    """The model that writes questions and answers. The paper lets the model that will be trained do it."""

    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(256, gt=0)
    temperature: float = Field(0.7, ge=0, description="for questions; answers are greedy")
    question_prompt: str = (
        "The video's caption: {caption}\n"
        "Write one question about this video that only someone who has seen this very video can answer. It must need "
        "several distinct things that are seen in it, and nobody may be able to answer it from the question alone. "
        "Then write the answer in one or two sentences. Use exactly this form:\n"
        "Question: ...\nAnswer: ..."
    )
    answer_prompt: str = "{question}"

    @model_validator(mode="after")
    def _placeholders(self) -> WriterSection:
        try:
            said = self.question_prompt.format(caption="a caption"), self.answer_prompt.format(question="a question")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"a prompt holds a placeholder that is not filled: {error}; write {{{{ for a brace"
            ) from None
        if "a question" not in said[1]:
            raise ValueError("answer_prompt must hold {question}")
        return self


class FilterSection(Section):
    """Which clips may stand beside an anchor, and which answers make a pair. Sections 3.3 and 4.1 of the paper."""

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
    seed: int = 0
    sources: tuple[SourceSection, ...] = Field(min_length=1)
    video: VideoSection = VideoSection()
    writer: WriterSection
    filters: FilterSection = FilterSection()
    context: ContextSection = ContextSection()
    stage1: Stage1Section = Stage1Section()


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
    source: SourceSection = Field(description="its table has `question` and `answer` beside `caption`")
    video: VideoSection = VideoSection()
    filters: FilterSection = FilterSection()
    grid: GridSection = GridSection()
    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(32, gt=0)


RecipeType = TypeVar("RecipeType", bound=Section)


def builtin_recipes() -> list[str]:
    """Names of the built-in recipes, such as `tiny/dataset`."""
    folder = shipped("recipes")
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """A path, or the name of a built-in recipe.

    Raises:
        LongVPOError: neither is there.
    """
    for path in (Path(name), shipped("recipes") / f"{name}.yaml"):
        if path.is_file():
            return path
    raise LongVPOError(
        f"no recipe {name}{_did_you_mean(name, builtin_recipes())}; built in: {', '.join(builtin_recipes())}"
    )


def load_recipe(kind: type[RecipeType], name: str, overrides: list[str] | None = None) -> RecipeType:
    """Read a recipe and check it.

    Args:
        name: a path or a built-in name.
        overrides: `section.key=value`, the value in YAML; a number in the key picks an item of a list.

    Raises:
        LongVPOError: every problem, each with its dotted key.
    """
    path = find_recipe(name)
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise LongVPOError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise LongVPOError(f"{path} holds no recipe: expected sections such as {', '.join(kind.model_fields)}")
    for override in overrides or []:
        _override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [_problem(kind, problem) for problem in error.errors()]
        raise LongVPOError(f"recipe {name}: " + "; ".join(problems)) from None


def recipe_hash(recipe: Section) -> str:
    """Twelve hexadecimal digits that change with every value of the recipe."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def dump_recipe(recipe: Section) -> str:
    """The resolved recipe, defaults included, as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise LongVPOError(f"cannot read the override {override!r}: write it as section.key=value")
    *parents, last = key.split(".")
    node: Any = values
    try:
        for parent in parents:
            node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        value = yaml.safe_load(text)
        if isinstance(node, list):
            node[int(last)] = value
        else:
            node[last] = value
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError):
        raise LongVPOError(f"cannot set {key}: there is no such place in the recipe") from None


def _problem(kind: type[Section], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{_did_you_mean(str(problem['loc'][-1]), _sibling_keys(kind, problem['loc']))}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})"


def _sibling_keys(kind: type[Section], location: tuple[Any, ...]) -> list[str]:
    """The keys that the section at this place knows."""
    section: Any = kind
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        options = [annotation, *get_args(annotation)]
        section = next((o for o in options if isinstance(o, type) and issubclass(o, Section)), section)
    return list(section.model_fields)


def _did_you_mean(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
