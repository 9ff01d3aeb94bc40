"""The recipe of a dataset."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from longvpo.recipe import prompts
from longvpo.recipe.sections import NOTES, SEEDS, FilterSection, ResultName, Section, VideoSection, WriterSection
from longvpo.recipe.sources import LongSourceSection, SourceSection


class PromptSection(Section):
    """What the models are asked. The defaults are in prompts.py."""

    later: ClassVar = ("clip_pair",)
    question: str = Field(
        prompts.QUESTION, description="stage 1: the writer asks a question about a clip and answers it"
    )
    answer: str = Field(prompts.ANSWER, description="both stages: how a question is put to a model that sees a video")
    judge: str = Field(prompts.JUDGE, description="stage 1: the judge says whether a question is only about its clip")
    caption: str = Field(prompts.CAPTION, description="stage 1, `captions: writer`: the writer describes a clip")
    scene: str = Field(
        prompts.SCENE,
        description="stage 2: the writer describes a scene; it is given the captions of the scenes before",
    )
    summary: str = Field(prompts.SUMMARY, description="stage 2: the writer shortens captions that became too long")
    scenes_question: str = Field(
        prompts.SCENES_QUESTION,
        description="stage 2: a language model asks a question about several scenes of a video",
    )
    pair: str = Field(prompts.PAIR, description="stage 2: the judge compares the chosen answer with the rejected one")
    clip_pair: str = Field(
        prompts.CLIP_PAIR, description="stage 1: the judge compares the chosen answer with the rejected one"
    )
    tasks: dict[str, str] = Field(prompts.TASKS, description="kinds of stage 2 questions, and what each kind asks for")

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
                    f"{name} holds {more:.60}, but a placeholder may only be a name, such as "
                    f"{{{filled[0]}}}; write {{{{ for a brace"
                )
            for key in filled:
                if f"<{key}>" not in said and (name, key) not in prompts.MAY_BE_LEFT_OUT:
                    raise ValueError(f"{name} must hold {{{key}}}")
        return self


class ContextSection(Section):
    """The clips that the policy sees."""

    later: ClassVar = ("rejected_clip", "fill")
    frame_budget: int = Field(
        128, gt=0, description="maximum number of frames in a context, for all its clips together"
    )
    clips: tuple[int, ...] | None = Field(
        None,
        description="possible numbers of clips per context, drawn evenly; a repeated number is drawn more often; "
        "null: from 2 to the frame budget",
    )
    fill: Literal["uniform", "full"] = Field(
        "uniform",
        description="used without `clips`. uniform: a context is filled to a random length, up to the frame budget. "
        "full: clips are added until the next one does not fit, as in the paper",
    )
    rejected_clip: Literal["random", "first"] = Field(
        "random",
        description="which distractor the rejected answer is written from. first: the first one in the context. It is"
        " only for ablations, because this place tells a model which answer is wrong",
    )

    @model_validator(mode="after")
    def _positive(self) -> ContextSection:
        if self.clips is not None and (not self.clips or min(self.clips) < 1):
            raise ValueError("clips must be positive numbers, such as [8, 16, 32]")
        return self


class Stage1Section(Section):
    """Questions about one short clip, the anchor, which is hidden among other clips. Section 3.3 of the paper."""

    later: ClassVar = ("rejected_from",)
    triplets: int = Field(10_000, gt=0, description="rows that you want")
    attempts: float = Field(3.0, ge=1, description="the build gives up after this many times `triplets` anchors")
    rejected_from: Literal["one", "all"] = Field(
        "one",
        description="distractors that the rejected answer is written from. one: one clip of the context. all: all of "
        "them; the context then comes from the same block of clips as the anchor",
    )


class Stage2Section(Section):
    """Self-reasoning: questions that need several scenes of a long video. Sections 3.4 and 4.1 of the paper."""

    speaking: ClassVar = {"sources": ()}
    later: ClassVar = ("writer",)
    sources: tuple[LongSourceSection, ...] = Field(
        min_length=1, description="long videos, or the scenes of long videos"
    )
    triplets: int = Field(6_000, gt=0, description="rows that you want")
    attempts: float = Field(5.0, ge=1, description="the build gives up after this many times `triplets` questions")
    min_scenes: int = Field(3, ge=2, description="minimum number of scenes per context; shorter videos are dropped")
    max_scenes: int = Field(
        64,
        ge=2,
        description="maximum number of scenes per context; a longer video is split, and questions are about one part",
    )
    questions: int = Field(
        4, gt=0, description="questions about one part of a video before the other videos have had their turn"
    )
    caption_tokens: int = Field(
        2048,
        gt=0,
        description="maximum tokens of the earlier captions that the writer reads; older captions are summarized",
    )
    tasks: dict[str, float] = Field(
        dict.fromkeys(prompts.TASKS, 1.0),
        description="kinds of questions (see prompts.tasks), and how often each is asked",
    )
    question_writer: WriterSection | None = Field(
        None,
        description="the language model that writes the questions; null: the judge, or the writer where there is no "
        "judge",
    )
    writer: WriterSection | None = Field(
        None,
        description="the model that captions the scenes and answers, such as the result of stage 1; null: the "
        "recipe's `writer`",
    )
    chosen: Literal["relevant", "full"] = Field(
        "relevant", description="scenes that the chosen answer is written from"
    )
    partial: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the rejected answers that are written from a part of the relevant scenes; the others "
        "are written from irrelevant scenes",
    )
    one_scene: bool = Field(True, description="drop a question that a single scene answers")
    needed: bool = Field(True, description="drop a question that is answered without one of its scenes")
    trace: bool = Field(True, description="drop a reasoning trace that cites other scenes than its question")

    @model_validator(mode="after")
    def _scenes(self) -> Stage2Section:
        if self.min_scenes > self.max_scenes:
            raise ValueError("min_scenes is above max_scenes")
        if not any(self.tasks.values()) or min(self.tasks.values()) < 0:
            raise ValueError("tasks need weights of 0 or more, one of them above 0")
        return self


class DatasetRecipe(Section):
    """Stage 1, stage 2, or both. `sources` holds the clips of stage 1; `stage2.sources` the long videos of stage 2."""

    builtin = "dataset"
    speaking: ClassVar = {"sources": ("license",), "stage2": ("license",)}
    later: ClassVar = ("notes",)
    name: ResultName = Field(description="name of the result: its folder, and its repository on the Hub")
    seed: int = Field(0, ge=0, le=SEEDS, description="seed of everything that is drawn at random")
    sources: tuple[SourceSection, ...] = Field((), description="captioned clips, for stage 1")
    video: VideoSection = Field(VideoSection(), description="how clips become frames")
    writer: WriterSection = Field(description="the model that writes questions, answers and captions")
    judge: WriterSection | None = Field(
        None,
        description="the model that checks whether a question is only about the anchor, and whether a rejected answer"
        " is wrong. null: no checks",
    )
    prompts: PromptSection = Field(PromptSection(), description="what the models are asked")
    filters: FilterSection = Field(FilterSection(), description="which rows and clips are dropped")
    context: ContextSection = Field(ContextSection(), description="the clips that the policy sees")
    stage1: Stage1Section | None = Field(Stage1Section(), description="null: only stage 2")
    stage2: Stage2Section | None = Field(None, description="null: only stage 1")
    embed: Literal["frames"] | None = Field(
        None,
        description="frames: store the sampled frames in `clips` and `scenes`; every source's licence must allow it",
    )
    text_only: int = Field(
        500,
        ge=0,
        description="rows per stage on which a model without video picks an answer, at the end of the build; 0: not "
        "run",
    )
    license: str | None = Field(
        None,
        description="licence of the dataset, as an id of the Hub's list; null: the licence of the sources, where all "
        "have the same",
    )
    language: tuple[str, ...] = Field(("en",), description="languages, for the card")
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
                f"embed: nothing says that the frames of source {closed[1]} may be published. If its licence allows "
                f"it, set {closed[0]}.redistribution=true; if not, leave `embed` out"
            )
        if self.stage2 and self.stage2.max_scenes > self.context.frame_budget:
            raise ValueError("stage2.max_scenes is above context.frame_budget: each scene needs at least one frame")
        unknown = sorted(set(self.stage2.tasks if self.stage2 else ()) - set(self.prompts.tasks))
        if unknown:
            raise ValueError(f"stage2.tasks: describe under prompts.tasks what {unknown[0]} asks for")
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
