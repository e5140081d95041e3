"""What tells texts that may hold a phrase from the rest never misses one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages.rare_parts import may_have, rare_parts

PHRASES = ("sign-in", "read more...", "items in cart")


def found(text: str, phrases: tuple[str, ...]) -> bool:
    data = np.frombuffer(text.encode() + b" " * 12, np.uint8).copy()
    answer: bool = may_have(data, 0, len(text.encode()), rare_parts(phrases))
    return answer


@given(st.text(max_size=80), st.sampled_from(PHRASES), st.booleans(), st.text(max_size=80))
def test_a_text_that_holds_a_phrase_is_never_passed_over(before, phrase, upper, after):
    assert found(before + (phrase.upper() if upper else phrase) + after, PHRASES)


def test_a_text_without_rare_letters_is_passed_over():
    assert not found("The cat sat on the mat, and that was that.", PHRASES)


@pytest.mark.parametrize("phrase", ["abc", "kkkk", "éàüö"])
def test_a_phrase_without_four_rare_characters_passes_nothing_over(phrase):
    assert rare_parts((phrase,)).size == 0
    assert found("The cat sat.", (phrase,))
