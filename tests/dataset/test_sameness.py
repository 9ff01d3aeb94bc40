"""Which answers say the same: real vectors of real sentences, half of the pairs equal, half opposite in one word."""

from __future__ import annotations

from support.embedders import sentence_encoder

from longvpo.dataset.sameness import TURNS, say_the_same, stem

EQUAL = [
    ("The man wears a red shirt.", "The man is wearing a red shirt."),
    ("A dog runs across the yard.", "The dog is running across a yard."),
    ("He picks up three apples.", "He picks up 3 apples."),
    ("She adds the onions after the garlic.", "After the garlic, she adds the onions."),
    ("She washes her hands before she eats.", "Before she eats, she washes her hands."),
    ("He opens the door before he turns on the light.", "He turns on the light after he opens the door."),
    ("First the red car passes, then the blue car.", "The red car passes, and then the blue car."),
    ("The ball is red.", "A red ball."),
    ("It's raining.", "It is raining."),
    ("The boy doesn't open the box.", "The boy does not open the box."),
    ("The car turns to the left.", "The car turns left."),
    ("They are playing soccer on a field.", "They play soccer on the field."),
    ("A woman cuts the tomatoes with a knife.", "The woman is cutting tomatoes with a knife."),
    ("The cat jumped onto the table.", "The cat jumps onto the table."),
    ("Two men carry a sofa.", "2 men are carrying a sofa."),
    ("The cook stirs the soup twice.", "The cook stirs the soup two times."),
    ("Yes, the lid is closed.", "yes - the lid was closed"),
    ("A man in a black hat is playing the guitar.", "A man in a black hat plays the guitar"),
    ("A boy throws a ball.", "A young boy throws a ball."),
    ("The lights go off and the music stops.", "The lights go off, and the music stops."),
    ("The runner stops at the bridge.", "The runner stopped at the bridge."),
    ("The girl waves before she walks away.", "The girl waves before walking away."),
    ("The man first checks the tires and then drives off.", "The man checks the tires, and then drives off."),
    ("The cat sits on the sill, then it jumps down.", "The cat sits on the sill and then jumps down."),
    ("There is a bird on the fence.", "A bird is on the fence."),
]
OPPOSITE = [
    ("He turns to the left.", "He turns to the right."),
    ("A dog runs across the yard.", "A dog jumps across the yard."),
    ("He picks up three apples.", "He picks up four apples."),
    ("The man opens the door.", "The man closes the door."),
    ("The boy opens the box.", "The boy does not open the box."),
    ("The ball is red.", "The ball is blue."),
    ("The woman walks up the stairs.", "The woman walks down the stairs."),
    ("The cup is on the table.", "The cup is under the table."),
    ("A man in a black hat plays the guitar.", "A woman in a black hat plays the guitar."),
    ("The dog chases the cat.", "The cat chases the dog."),
    ("A man in a red shirt and a blue hat.", "A man in a blue shirt and a red hat."),
    ("There are more people at the end.", "There are fewer people at the end."),
    ("The train moves from left to right.", "The train moves from right to left."),
    ("The door was never closed.", "The door was closed."),
    ("The cook stirs the soup twice.", "The cook stirs the soup three times."),
    ("The wheel turns clockwise.", "The wheel turns counterclockwise."),
    ("The boy is chased by the dog across the yard.", "The boy chased the dog across the yard."),
    ("The woman is looking for the keys on the table.", "The woman is looking at the keys on the table."),
    ("The man almost falls off the ladder.", "The man falls off the ladder."),
    ("There are more people on the platform.", "There are people on the platform."),
    ("The temperature displayed is 3.5 degrees.", "The temperature displayed is 35 degrees."),
    ("The score at the end of the game is 2-1.", "The score at the end of the game is 21."),
    ("लड़का दौड़ता है", "लड़की दौड़ती है"),
]
TEMPORAL = [
    ("She adds the onions after the garlic.", "She adds the garlic after the onions."),
    ("She washes her hands before she eats.", "She washes her hands after she eats."),
    ("First the red car passes, then the blue car.", "First the blue car passes, then the red car."),
    ("He opens the door before he turns on the light.", "He turns on the light before he opens the door."),
    ("After the rain, the children go outside.", "Before the rain, the children go outside."),
    ("The goal comes at the start of the game.", "The goal comes at the end of the game."),
    ("The lion appears first.", "The lion appears last."),
    ("He plates the fish, then the rice, then the sauce.", "He plates the rice, then the fish, then the sauce."),
    ("Red, blue, green.", "Green, blue, red."),
    ("The singer enters while the band plays.", "The singer enters after the band plays."),
    ("He puts on his coat and then his hat.", "He puts on his hat and then his coat."),
    ("The bus arrives earlier than the train.", "The bus arrives later than the train."),
    ("The man hands the cup to the woman, then sits down.", "The woman hands the cup to the man, then sits down."),
    ("She opens the window, then he turns off the light.", "He opens the window, then she turns off the light."),
    ("She gives him a book, then he gives her a pen.", "He gives her a book, then she gives him a pen."),
    ("After the woman hugs the man, she boards the train.", "After the man hugs the woman, she boards the train."),
    ("He pours milk before cereal, which he then stirs.", "He pours cereal before milk, which he then stirs."),
    ("The man will open the package.", "The man opened the package."),
]  # fmt: skip
THRESHOLD = 0.95


def test_equal_and_opposite_pairs_are_told_apart() -> None:
    vectors = sentence_encoder()

    def cosine(one: str, other: str) -> float:
        first, second = vectors.encode([one, other], normalize_embeddings=True, show_progress_bar=False)
        return float(first @ second)

    same = [say_the_same(one, other, cosine(one, other), THRESHOLD) for one, other in EQUAL]
    apart = [not say_the_same(one, other, cosine(one, other), THRESHOLD) for one, other in OPPOSITE]
    kept = [not say_the_same(one, other, cosine(one, other), THRESHOLD) for one, other in TEMPORAL]
    wrong = [
        pair for pair, right in zip([*EQUAL, *OPPOSITE, *TEMPORAL], [*same, *apart, *kept], strict=True) if not right
    ]
    assert all(kept), wrong
    assert len(wrong) <= 0.05 * len([*same, *apart, *kept]), wrong
    assert sum(same) >= 0.95 * len(same), wrong
    # what the cosine by itself did
    lost = [pair for pair in [*OPPOSITE, *TEMPORAL] if cosine(*pair) > THRESHOLD]
    assert len(lost) >= 10, "the encoder hardly sees these differences"


def test_words_are_a_hint_only_where_they_are_known() -> None:
    assert say_the_same("Er läuft nach links.", "er läuft nach links", 1.0, 0.95)
    assert not say_the_same("Er läuft nach links.", "Er läuft nach rechts.", 0.99, 0.95)
    assert not say_the_same("L'homme ouvre la porte.", "L'homme n'ouvre pas la porte.", 0.97, 0.95)
    assert not say_the_same("Er öffnet die Tür.", "Er öffnet die Tür nicht.", 0.97, 0.95)
    assert not say_the_same("A red ball.", "The ball is red", 0.99, None), "switched off"
    assert not say_the_same("A boy throws a ball.", "A young boy throws a ball.", 0.7, 0.95), "the hint is missing"
    assert not say_the_same("", "a ball", 1.0, 0.95)
    assert not say_the_same("...", "the", 1.0, 0.95)


def test_stems() -> None:
    for group in (
        "move moves moved moving",
        "run runs running",
        "carry carries carried carrying",
        "stop stops stopped",
    ):
        assert len({stem(word) for word in group.split()}) == 1, group
    assert len({stem(word) for word in ["red", "bed", "ring", "king", "bus", "gas", "is"]}) == 7


def test_every_word_that_turns_a_meaning_is_known_by_its_stem() -> None:
    for word in TURNS:
        assert not say_the_same("people there", f"{word} people there", 1.0, 0.95), word
