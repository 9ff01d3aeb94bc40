"""What the recipe of a dataset may say."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from longvpo.recipe import prompts
from longvpo.recipe.sections import NOTES, SEEDS, FilterSection, ResultName, Section, VideoSection, WriterSection
from longvpo.recipe.sources import LongSourceSection, SourceSection


class PromptSection(Section):
    """What the models are asked; the defaults stand in prompts.py."""

    later: ClassVar = ("clip_pair",)
    question: str = Field(prompts.QUESTION, description="stage 1: the writer asks about a clip, and answers")
    answer: str = Field(prompts.ANSWER, description="both stages: how a question is put to a model that sees a video")
    judge: str = Field(prompts.JUDGE, description="stage 1: the judge says whether a question is only about its clip")
    caption: str = Field(prompts.CAPTION, description="stage 1, `captions: writer`: the writer describes a clip")
    scene: str = Field(prompts.SCENE, description="stage 2: the writer describes a scene, after those before it")
    summary: str = Field(prompts.SUMMARY, description="stage 2: captions that are too long are folded into one text")
    scenes_question: str = Field(
        prompts.SCENES_QUESTION, description="stage 2: a language model asks about several scenes of a video"
    )
    pair: str = Field(prompts.PAIR, description="stage 2: the judge compares the chosen and the rejected answer")
    clip_pair: str = Field(prompts.CLIP_PAIR, description="stage 1: the judge compares chosen and rejected")
    tasks: dict[str, str] = Field(prompts.TASKS, description="kinds of questions of stage 2: what each asks for")

    @model_validator(mode="after")
    def _placeholders(self) -> PromptSection:
        for name, template in self:
            if name == "tasks":
                continue
            filled = prompts.placeholders(type(self).model_fields[name].default)
            try:
                more = prompts.filled_otherwise(template)
                said = "" if more else template.format(**{key: f"<{key}>" for key in filled})
            except (KeyError, ValueError) as error:
                raise ValueError(
                    f"{name} holds a placeholder that is not filled: {error}; write {{{{ for a brace"
                ) from None
            if more:
                raise ValueError(
                    f"{name} holds {more:.60}, and a placeholder is a name and nothing else, such as "
                    f"{{{filled[0]}}}; write {{{{ for a brace"
                )
            for key in filled:
                if f"<{key}>" not in said and (name, key) not in prompts.MAY_BE_LEFT_OUT:
                    raise ValueError(f"{name} must hold {{{key}}}")
        return self


class ContextSection(Section):
    """The clips that the policy sees."""

    later: ClassVar = ("rejected_clip", "fill")
    frame_budget: int = Field(128, gt=0, description="frames of a context at most, of all its clips together")
    clips: tuple[int, ...] | None = Field(
        None, description="numbers of clips a context, drawn evenly; repeats weigh; null: from 2 to the frame budget"
    )
    fill: Literal["uniform", "full"] = Field(
        "uniform",
        description="without `clips`: a context is filled to a length drawn evenly up to the frame budget, or, as in "
        "the paper, until the next clip does not fit",
    )
    rejected_clip: Literal["random", "first"] = Field(
        "random",
        description="place, among the distractors, of the clip that the rejected answer is written from; first is for "
        "ablations: the place then gives the answer away",
    )

    @model_validator(mode="after")
    def _positive(self) -> ContextSection:
        if self.clips is not None and (not self.clips or min(self.clips) < 1):
            raise ValueError("clips must be positive numbers, such as [8, 16, 32]")
        return self


class Stage1Section(Section):
    """Questions about one short clip, the anchor, which is hidden among others. Section 3.3 of the paper."""

    later: ClassVar = ("rejected_from",)
    triplets: int = Field(10_000, gt=0, description="rows that are wanted")
    attempts: float = Field(3.0, ge=1, description="gives up after this many times `triplets` anchors")
    rejected_from: Literal["one", "all"] = Field(
        "one",
        description="distractors that the rejected answer is written from: one of the context, or all; then the whole "
        "context is drawn from the anchor's block of clips",
    )


class Stage2Section(Section):
    """Self-reasoning: questions that need several scenes of a long video. Sections 3.4 and 4.1 of the paper."""

    speaking: ClassVar = {"sources": ()}
    later: ClassVar = ("writer",)
    sources: tuple[LongSourceSection, ...] = Field(min_length=1, description="long videos, or scenes of some")
    triplets: int = Field(6_000, gt=0, description="rows that are wanted")
    attempts: float = Field(5.0, ge=1, description="gives up after this many times `triplets` questions")
    min_scenes: int = Field(3, ge=2, description="scenes a context; shorter videos are dropped")
    max_scenes: int = Field(64, ge=2, description="scenes a context; a longer video is asked about part by part")
    questions: int = Field(4, gt=0, description="questions about a part, before all other videos had their turn")
    caption_tokens: int = Field(
        2048,
        gt=0,
        description="tokens of the captions before that a scene's caption is based on; older ones are folded",
    )
    tasks: dict[str, float] = Field(
        dict.fromkeys(prompts.TASKS, 1.0), description="kinds of questions (prompts.tasks) and how often each is asked"
    )
    question_writer: WriterSection | None = Field(
        None, description="the language model that writes the questions; null: the judge, or else the writer"
    )
    writer: WriterSection | None = Field(
        None,
        description="captions the scenes and answers, such as the model that stage 1 trained; null: the one above",
    )
    chosen: Literal["relevant", "full"] = Field(
        "relevant", description="scenes that the chosen answer is written from"
    )
    partial: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of rejected answers written from some of the relevant scenes, not from others",
    )
    one_scene: bool = Field(True, description="a question that one of its scenes answers is dropped")
    needed: bool = Field(True, description="a question that is answered without one of its scenes is dropped")
    trace: bool = Field(True, description="a reasoning trace that cites other scenes than the question is dropped")

    @model_validator(mode="after")
    def _scenes(self) -> Stage2Section:
        if self.min_scenes > self.max_scenes:
            raise ValueError("min_scenes is above max_scenes")
        if not any(self.tasks.values()) or min(self.tasks.values()) < 0:
            raise ValueError("tasks need weights of 0 or more, one of them above 0")
        return self


class DatasetRecipe(Section):
    """Stage 1, stage 2, or both. `sources` are stage 1's clips; stage 2 has long videos of its own."""

    builtin = "dataset"
    speaking: ClassVar = {"sources": ("license",), "stage2": ("license",)}
    later: ClassVar = ("notes",)
    name: ResultName = Field(description="of the result: its folder, and its repository on the Hub")
    seed: int = Field(0, ge=0, le=SEEDS, description="all that is drawn at random comes from it")
    sources: tuple[SourceSection, ...] = Field((), description="captioned clips, for stage 1")
    video: VideoSection = Field(VideoSection(), description="how clips become frames")
    writer: WriterSection = Field(description="the model that writes questions, answers and captions")
    judge: WriterSection | None = Field(
        None, description="asks whether a question is only about the anchor, and whether a rejected answer is wrong"
    )
    prompts: PromptSection = Field(PromptSection(), description="what the models are asked")
    filters: FilterSection = Field(FilterSection(), description="what is dropped")
    context: ContextSection = Field(ContextSection(), description="the clips that the policy sees")
    stage1: Stage1Section | None = Field(Stage1Section(), description="null: only stage 2")
    stage2: Stage2Section | None = Field(None, description="null: only stage 1")
    embed: Literal["frames"] | None = Field(
        None, description="frames: the sampled frames stand in `clips` and `scenes`, where every licence allows it"
    )
    text_only: int = Field(
        500,
        ge=0,
        description="rows a stage on which a model that sees no video picks an answer, at the end; 0: not run",
    )
    license: str | None = Field(
        None, description="the dataset's licence, an id of the Hub's list; null: the sources', where all have one"
    )
    language: tuple[str, ...] = Field(("en",), description="for the card")
    notes: str = Field("", description=NOTES)

    @model_validator(mode="after")
    def _stages(self) -> DatasetRecipe:
        if self.stage1 is None and self.stage2 is None:
            raise ValueError("give stage1, stage2 or both")
        if (self.stage1 is None) != (not self.sources):
            raise ValueError("`sources` and `stage1` belong together: give both, or no sources and `stage1: null`")
        names = [source.name for source in self.all_sources]
        if len(set(names)) < len(names):
            raise ValueError("two sources have the same name")
        closed = next(((key, s.name) for key, s in self.keyed_sources if not s.redistribution), None)
        if self.embed and closed:
            raise ValueError(
                f"embed: nothing says that the frames of source {closed[1]} may be published: if its licence lets "
                f"others publish its videos, set {closed[0]}.redistribution=true; else leave `embed` out"
            )
        if self.stage2 and self.stage2.max_scenes > self.context.frame_budget:
            raise ValueError("stage2.max_scenes is above context.frame_budget: a scene has one frame at least")
        unknown = sorted(set(self.stage2.tasks if self.stage2 else ()) - set(self.prompts.tasks))
        if unknown:
            raise ValueError(f"stage2.tasks: say under prompts.tasks what {unknown[0]} asks for")
        return self

    @property
    def all_sources(self) -> tuple[SourceSection, ...]:
        """The sources of both stages."""
        return tuple(source for _, source in self.keyed_sources)

    @property
    def keyed_sources(self) -> list[tuple[str, SourceSection]]:
        """The sources of both stages, each with its key in the recipe."""
        parts = {"sources": self.sources, "stage2.sources": self.stage2.sources if self.stage2 else ()}
        return [(f"{key}.{place}", source) for key, part in parts.items() for place, source in enumerate(part)]
