"""What the miniature study compares: its sizes, its datasets, its arms, and what the paper says of the same."""

from __future__ import annotations

from dataclasses import dataclass

from longvpo.tiny.architecture import BaseRecipe

CLIPS = (1, 2, 4, 8, 16, 32)  # clips of a needle's context
SHORT = (1, 2)  # the short ones among them
SCENES = (2, 4, 8, 16, 32)  # scenes of a long video


@dataclass(frozen=True)
class Size:
    """How much of everything a seed has."""

    clips: tuple[int, int]  # drawn for training, and for the test
    stories: tuple[int, int]  # long videos of each number of scenes, for training and for the test
    triplets: tuple[int, int]  # for stage 1 and for stage 2
    contexts: tuple[int, ...]  # numbers of clips
    scenes: tuple[int, ...]
    depths: int
    questions: int  # needles a cell of the grid; a long video of the test has four questions
    curve: tuple[int, ...]  # triplets of stage 1 in the arms that have fewer
    base: BaseRecipe | None  # None: the embedded one, for every seed
    order: BaseRecipe  # what the base of the order questions learns beyond


SIZES = {
    "study": Size(
        clips=(1000, 400),
        stories=(24, 30),
        triplets=(2400, 1800),  # as in the demo
        contexts=CLIPS,
        scenes=SCENES,
        depths=5,
        questions=24,
        curve=(300, 600, 1200),
        base=BaseRecipe(),
        order=BaseRecipe(clips=2000, language_steps=1200),
    ),
    # shows only that the program runs
    "smoke": Size(
        clips=(32, 24),
        stories=(3, 1),
        triplets=(16, 8),
        contexts=(1, 2, 4),
        scenes=(2, 4),
        depths=2,
        questions=2,
        curve=(8,),
        base=None,
        order=BaseRecipe(clips=40, language_steps=2),
    ),
}

# by name: overrides of tiny/dataset that make the rows of stage 1 otherwise; all share one journal
BUILT: dict[str, tuple[str, ...]] = {
    "no-visual-filter": ("filters.visual_threshold=null",),
    "no-specificity-filter": ("filters.specificity=false",),
    "no-filter": ("filters.visual_threshold=null", "filters.specificity=false"),
    "rejected-first": ("context.rejected_clip=first",),
    "no-short-rows": (),  # its numbers of clips leave out SHORT
}


@dataclass(frozen=True)
class Arm:
    """One adapter of every seed."""

    name: str
    group: str  # arms that are evaluated together
    title: str  # the first cell of its row
    paper: str
    dataset: str = "all"
    overrides: tuple[str, ...] = ()  # for tiny/stage1 or tiny/stage2
    stage: int = 1
    start: str | None = None  # the arm whose adapter training starts from
    against: str | None = "stage1"  # the arm that differs only in what the title says


NONE = "we know no figure"
ALL_WEIGHTS = "trains all weights"

ARMS = (
    Arm(
        "stage1",
        "main",
        "**stage 1**",
        "InternVL3-8B: MLVU 71.4 → 75.1, LongVideoBench 62.3 → 66.8, LVBench 48.8 → 52.4, MVBench 75.4 → 75.1",
        against="base",
    ),
    Arm(
        "no-visual-filter",
        "filters",
        "no visual filter",
        "worse: MLVU 72.9 → 69.8, LongVideoBench 66.1 → 64.2, LVBench 45.3 → 43.4",
        dataset="no-visual-filter",
    ),
    Arm("no-specificity-filter", "filters", "no specificity filter", NONE, dataset="no-specificity-filter"),
    Arm("no-filter", "filters", "neither filter", NONE, dataset="no-filter"),
    Arm(
        "anchor-first",
        "places",
        "anchor always first",
        "places it at random, against “lost in the middle”; we know no figure",
        dataset="anchor-first",
    ),
    Arm("rejected-first", "places", "rejected clip always first", "does not say", dataset="rejected-first"),
    Arm("no-short-rows", "places", "no contexts of 1 or 2 clips", "mixes none in", dataset="no-short-rows"),
    Arm(
        "reference-full",
        "losses",
        "reference on the whole context",
        "worse; with only the anchor, training takes about 70 % of the time",
        overrides=("reference=full",),
    ),
    Arm(
        "nll-only",
        "losses",
        "only NLL, which is SFT on chosen",
        NONE,
        overrides=("training.loss_type=[sft]", "training.loss_weights=null"),
    ),
    Arm(
        "dpo-only",
        "losses",
        "only DPO",
        NONE,
        overrides=("training.loss_type=[sigmoid]", "training.loss_weights=null"),
    ),
    Arm("rank-4", "rank", "LoRA of rank 4", ALL_WEIGHTS, overrides=("lora.r=4", "lora.lora_alpha=8")),
    Arm("rank-64", "rank", "LoRA of rank 64", ALL_WEIGHTS, overrides=("lora.r=64", "lora.lora_alpha=128")),
    Arm("no-nf4", "plain", "no NF4", ALL_WEIGHTS, overrides=("base.quantization=null",)),
    Arm("fewest", "number", "{} triplets", "10,000 triplets; we know no other number"),
    Arm("fewer", "number", "{} triplets", "as above"),
    Arm("few", "number", "{} triplets", "as above"),
    Arm(
        "stage2",
        "stages",
        "**stage 2**",
        "InternVL3-8B, after stage 1: MLVU 75.1 → 76.4, LongVideoBench 66.8 → 66.0, LVBench 52.4 → 53.6, "
        "MVBench 75.1 → 75.0",
        stage=2,
        start="stage1",
    ),
    Arm(
        "stage2-alone",
        "stages",
        "stage 2 without stage 1's rows",
        "mixes none in",
        overrides=("data.mix=[]",),
        stage=2,
        start="stage1",
        against="stage2",
    ),
    Arm("stage2-from-base", "stages", "stage 2 from the base", NONE, stage=2, against="stage2"),
    Arm("order", "order", "order questions, from a base taught them", NONE, dataset="order", stage=2, against="base"),
)
CURVE = ("fewest", "fewer", "few")  # the arms of Size.curve
GROUPS = tuple(dict.fromkeys(arm.group for arm in ARMS))
