"""The rows that we publish: clips, triplets and dropped triplets, with their datasets.Features.

Every clip is stored once; a triplet names the clips of its context. `prompt`, `chosen` and `rejected` are TRL's three
columns, as plain strings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datasets

TEXTS = ("prompt", "chosen", "rejected")
COLUMNS = [*TEXTS, "context", "anchors"]  # the columns of triplets that training reads
NO_ANSWER = ("writer", "cut", "empty", "caption")  # filters of what a model did not write


@dataclass(frozen=True)
class Clip:
    """The span [start, end), in seconds, of a source video."""

    clip_id: str
    source: str
    video: str  # path relative to the source's folder
    start: float
    end: float
    caption: str
    license: str = "unknown"
    sha256: str = ""  # the video file's

    @cached_property
    def reference(self) -> dict[str, Any]:
        """What a triplet keeps of a clip: one object for all triplets, which nobody changes."""
        return {name: getattr(self, name) for name in CLIP_REFERENCE}


@dataclass(frozen=True)
class Scene(Clip):
    """A clip of a long video, in order, with what was written about it."""

    long_video: str = ""  # its name in the source: a file, or what groups the files of its scenes
    scene: int = 0  # from 1
    summary: str = ""  # says what came before the captions that `caption` was written beside; empty where all were
    writer: str = ""  # model@revision


CLIP_REFERENCE = ("clip_id", "source", "video", "start", "end")


@dataclass(frozen=True)
class Triplet:
    """One preference pair over a context of clips."""

    id: str
    stage: int
    prompt: str
    chosen: str
    rejected: str
    rejection: str  # distractor | partial | irrelevant
    context: list[dict[str, Any]]
    anchors: list[int]  # places in the context that hold the answer
    rejected_clips: list[dict[str, Any]]  # what the writer saw when it wrote `rejected`
    writer: str  # model@revision
    judge: str  # model@revision; empty without a judge
    seed: int
    recipe: str  # hash of the recipe
    # stage 1
    similarity: list[float] = field(default_factory=list)  # cosine of the anchor's frames to each clip of the context
    specificity: list[float] = field(default_factory=list)  # cosine of the prompt to each clip's caption
    # stage 2
    task: str = ""  # kind of question
    answer_type: str = ""
    trace: str = ""  # how the answer follows; its "Scene #1" is the first of the context
    scenes: list[int] = field(default_factory=list)  # numbers of the context's scenes in their long video
    question_writer: str = ""  # model@revision


@dataclass(frozen=True)
class Dropped:
    """A triplet, or a video, that a filter refused."""

    id: str
    filter: str
    reason: str
    score: float | None = None
    triplet: dict[str, Any] = field(default_factory=dict)  # as far as it was made

    def row(self) -> dict[str, Any]:
        """A row of the config `dropped`; what was not made is empty, and null where a video was dropped."""
        triplet = {name: self.triplet.get(name) for name in ("prompt", "chosen", "rejected", "context", "anchors")}
        return {"id": self.id, "filter": self.filter, "reason": self.reason, "score": self.score, **triplet}


@dataclass(frozen=True)
class Refusal:
    """Which filter refused, why, and by which score where there is one."""

    filter: str
    reason: str
    score: float | None = None

    def dropped(self, id: str, triplet: dict[str, Any] | None = None) -> Dropped:
        """What it refuses, as a row; `triplet` as far as it was made."""
        return Dropped(id, self.filter, self.reason, self.score, triplet or {})


def unanswered(dropped: Sequence[Dropped]) -> str:
    """What the models did, where most drafts and captions have no answer that can be used; else nothing."""
    drafts = [item for item in dropped if item.triplet or item.filter in NO_ANSWER]
    silent = [item for item in drafts if item.filter in NO_ANSWER]
    if not silent or 2 * len(silent) < len(drafts):
        return ""
    (often, _), *_ = Counter(item.reason for item in silent).most_common(1)
    return f"the models gave no answer that can be used {len(silent)} times of {len(drafts)}, most often: {often}"


def features(config: str, frames: bool = False) -> datasets.Features:
    """The columns of a config: `clips`, `scenes`, `stage1`, `stage2` or `dropped`.

    Args:
        frames: the clips' sampled frames are in it.
    """
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("float32")
    clip = {"clip_id": text, "source": text, "video": text, "start": Value("float64"), "end": Value("float64")}
    pair = {"prompt": text, "chosen": text, "rejected": text}
    where = {"context": List(clip), "anchors": List(Value("int32"))}
    about = clip | {"caption": text, "license": text, "sha256": text}
    about |= {"frames": List(Image())} if frames else {}
    origin = {"writer": text, "judge": text, "seed": Value("int64"), "recipe": text}
    triplet = (
        {"id": text, "stage": Value("int8")} | pair | {"rejection": text} | where | {"rejected_clips": List(clip)}
    )
    match config:
        case "clips":
            return Features(about)
        case "scenes":
            return Features(about | {"long_video": text, "scene": Value("int32"), "summary": text, "writer": text})
        case "stage1":
            return Features(triplet | {"similarity": List(number), "specificity": List(number)} | origin)
        case "stage2":
            task = {"task": text, "answer_type": text, "trace": text, "scenes": List(Value("int32"))}
            return Features(triplet | task | {"question_writer": text} | origin)
        case "dropped":
            return Features({"id": text, "filter": text, "reason": text, "score": number} | pair | where)
        case _:
            raise ValueError(f"no config {config}")
