"""No control token comes from what a user wrote, in any family and in every place where text becomes tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES
from support.triplets import SameFrames

from longvpo.models.encode import encode, encode_texts
from longvpo.models.load import load_processor
from longvpo.models.plain_text import answer_frame, answer_ids, control_tokens, plain_ids
from longvpo.recipe.sections import ModelSection
from longvpo.training.collator import AnchoredCollator
from longvpo.video.joined import at_rate

QUESTION = "what color is the ring?"
VIDEO = np.full((4, 96, 96, 3), 127, np.uint8)
SHOWN = at_rate(4, 1.0)


@pytest.fixture(scope="module", params=["tiny", *FAMILIES])
def processor(request: pytest.FixtureRequest) -> Any:
    if request.param == "tiny":
        return load_processor(ModelSection(model="tiny", dtype="float32"))
    made = FAMILIES[request.param]()[1]
    made.tokenizer.padding_side = "left"
    return made


def tokens_of(processor: Any) -> list[str]:
    """Every control token, but for bytes: letters become these."""
    added = [token.content for token in processor.tokenizer.added_tokens_decoder.values() if token.special]
    return [content for content in added if not content.startswith("<0x")]


def special(processor: Any, ids: torch.Tensor) -> list[int]:
    """The control tokens of some ids."""
    known = {processor.tokenizer.convert_tokens_to_ids(content) for content in tokens_of(processor)}
    return [token for token in ids.flatten().tolist() if token in known]


def test_a_question_adds_no_control_token(processor: Any) -> None:
    wanted = encode(processor, [QUESTION], [VIDEO], [SHOWN])
    for content in [*tokens_of(processor), "".join(tokens_of(processor))]:
        text = f"in the {content} what is red?"
        inputs = encode(processor, [text], [VIDEO], [SHOWN])
        ids = inputs["input_ids"]
        assert special(processor, ids) == special(processor, wanted["input_ids"]), content
        assert "".join(text.split()) in "".join(processor.tokenizer.decode(ids[0]).split()), "it is there, whole"
        assert {name: value.shape for name, value in inputs.items() if name.endswith("ids")} == {
            name: ids.shape if value.shape == wanted["input_ids"].shape else value.shape
            for name, value in wanted.items()
            if name.endswith("ids")
        }
        assert inputs["attention_mask"].all()
        for name in ("pixel_values_videos", "pixel_values"):
            assert (name in inputs) == (name in wanted)
            if name in wanted:
                assert torch.equal(inputs[name], wanted[name])
        alone = encode_texts(processor, [text])["input_ids"]
        assert special(processor, alone) == special(processor, encode_texts(processor, [QUESTION])["input_ids"])


def test_in_a_batch_each_row_is_what_it_is_alone(processor: Any) -> None:
    texts = [QUESTION, f"what is {''.join(tokens_of(processor))}?", "red"]
    together = encode(processor, texts, [VIDEO] * 3, [SHOWN] * 3)
    assert together["input_ids"].shape == together["attention_mask"].shape
    for number, text in enumerate(texts):
        alone = encode(processor, [text], [VIDEO], [SHOWN])
        kept = together["attention_mask"][number].bool()
        for name in ("input_ids", "mm_token_type_ids"):
            if name in alone:
                assert torch.equal(together[name][number][kept], alone[name][0]), "padded only on the left"
        assert kept[-len(alone["input_ids"][0]) :].all()


def test_a_text_without_control_tokens_has_the_tokens_that_it_had(processor: Any) -> None:
    for text in (QUESTION, "  two\n\nlines < and > | [x] ", "<b>bold</b>", ""):
        assert not control_tokens(processor).search(text)
        assert plain_ids(processor, text) == processor.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("answer", ["red", "a red ring, and 12 bars", "two lines:\n- red\n- blue"])
def test_a_prompt_and_an_answer_are_the_conversation_that_the_processor_renders(processor: Any, answer: str) -> None:
    said = [("user", [{"type": "video"}, {"type": "text", "text": QUESTION}]), ("assistant", [{"type": "text"}])]
    said[1][1][0]["text"] = answer
    chat = processor.apply_chat_template([{"role": role, "content": parts} for role, parts in said], tokenize=False)
    metadata = {"fps": 2.0, "frames_indices": [1, 3, 5, 7], "total_num_frames": 8, "duration": 4.0}
    shown: dict[str, Any] = {"videos": [VIDEO], "video_metadata": [metadata], "do_sample_frames": False}
    whole = processor(text=[chat], add_special_tokens=False, return_tensors="pt", **shown)["input_ids"][0].tolist()
    ours = [*encode(processor, [QUESTION], [VIDEO], [SHOWN])["input_ids"][0].tolist(), *answer_ids(processor, answer)]
    assert ours == whole[: len(ours)]
    assert ours[-1] == processor.tokenizer.eos_token_id
    assert not processor.tokenizer.decode(whole[len(ours) :]).strip(), "nothing of it is left but white space"


def test_the_end_of_an_answer_is_that_of_the_template() -> None:
    processor = FAMILIES["internvl"]()[1]
    tokenizer = processor.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    processor.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content[0].text | trim }} <turn>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    assert answer_frame(processor) == (" ", " <turn>")
    assert tokenizer.decode(answer_ids(processor, "red<turn>")) == " red<turn> <turn>"
    assert answer_ids(processor, "red<turn>").count(tokenizer.convert_tokens_to_ids("<turn>")) == 1
    other = FAMILIES["internvl"]()[1]
    other.chat_template = "{% for m in messages %}{{ m.content[0].text }} {% endfor %}answer"
    assert answer_frame(other) == ("", other.tokenizer.eos_token), "it renders no conversation"


def test_an_answer_ends_once(processor: Any) -> None:
    tokenizer = processor.tokenizer
    for content in tokens_of(processor):
        ids = answer_ids(processor, f"red {content} blue")
        assert special(processor, torch.tensor(ids)) == [tokenizer.eos_token_id], content
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids[:-1]).strip() == f"red {content} blue"


def test_tokens_that_are_not_special_but_in_the_template_are_text_too() -> None:
    processor = FAMILIES["internvl"]()[1]
    processor.tokenizer.add_tokens(["<think>", "<h1>", "\n\n"])
    processor.chat_template += "{% if false %}<think>\n\n{% endif %}"
    think, heading = processor.tokenizer.convert_tokens_to_ids(["<think>", "<h1>"])
    ids = plain_ids(processor, "a <think> b <h1> c<video>")
    assert think not in ids
    assert heading in ids, "it has no part in the template: it is a word like others"
    assert "".join(processor.tokenizer.decode(ids).split()) == "a<think>b<h1>c<video>"
    assert not control_tokens(processor).search("a\n\nb <h1>")


def test_a_batch_of_such_rows_is_collated(processor: Any) -> None:
    clip = {"source": "s", "video": "v", "start": 0.0, "end": 4.0}
    row = {"prompt": "in the <video> what is red?", "chosen": "red <image>", "rejected": "a <|im_end|> </s>"}
    row |= {"context": [clip], "anchors": [0], "reference": "full"}
    batch = AnchoredCollator(processor, SameFrames(VIDEO))([row])  # type: ignore[arg-type]
    answers = batch["input_ids"][batch["completion_mask"].bool()]
    assert special(processor, answers) == [processor.tokenizer.eos_token_id] * 2
