"""Words of scripts without spaces: boundaries by hand, kernels equal to their plain definitions, no cluster parted."""

import sys
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniseg import graphemecluster

from gristmill.stages import segmentation
from gristmill.stages.features import TextFeatures
from gristmill.stages.segmentation import libraries, require, syllables_plainly
from gristmill.stages.segmentation_kernels import all_runs
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.unspaced_scripts import script_table
from gristmill.stages.words import split_words_plainly

SEGMENTED = ["segmented", "segmented_alphanumeric", "segmented_by_rules", "segmented_by_rules_alphanumeric"]
SCRIPTS = "的人民中国々〇私は東京です。カタカナーﾊﾞガกขคนรลวสหอเแโใไะาำๅๆฯิีุู่้็์ั๑ກຂຄນລວສຫເແໂະາຳໆິີຸົຽັ່້កខគនរលសអិីុូ្់៍ៗ។ាကခဂနမရလသအိီုူော့်္းျြွှ။བོདཀྱིསྐ་༌།ᥐᥑᦀᦁᨠᨡ᩠"
TEXTS = st.text(st.sampled_from(SCRIPTS + "aé1_ \n.,'\u200b\u200c\u200d\u0301\u00ad😀"), max_size=25)
LETTERS_ONLY = st.text(st.sampled_from(SCRIPTS), max_size=25)


def words_of(texts: list[str], splitter: str) -> list[list[str]]:
    features = TextFeatures(pa.array(texts, pa.large_string()))
    spans, data = features.words(splitter), features.data.tobytes()
    found = [data[start:end].decode() for start, end in zip(spans.starts, spans.ends, strict=True)]
    return [found[begin:end] for begin, end in zip(spans.offsets, spans.offsets[1:], strict=False)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们在学校学习中文。", "我们 在 学校 学习 中文 。"),
        ("私は東京で本を読みます。", "私 は 東京 で 本 を 読み ます 。"),
        ("คนไทยกินข้าว", "คน ไทย กิน ข้าว"),
        ("ປະເທດລາວສວຍງາມ", "ປະເທດ ລາວ ສວຍງາມ"),
        ("ខ្ញុំស្រឡាញ់ប្រទេសកម្ពុជា។", "ខ្ញុំ ស្រឡាញ់ ប្រទេស កម្ពុជា ។"),
        ("ကျွန်တော်စာဖတ်တယ်။", "ကျွန်တော် စာ ဖတ် တယ် ။"),
        ("བོད་ཀྱི་སྐད་ཡིག།", "བོད ཀྱི སྐད ཡིག །"),
        ("我们𠀀𠀁学校", "我们 𠀀 𠀁 学校"),
        ("iPhoneを買う, Москва和平3年", "iPhone を 買う , Москва 和平 3 年"),
    ],
)
def test_words_by_the_dictionary(text, words):
    assert words_of([text], "segmented") == [words.split()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("中文。カタカナです", "中 文 。 カタカナ で す"),
        ("คนไทยกินข้าวศุกร์ประ", "คน ไทย กิน ข้าว ศุกร์ ประ"),
        ("ປະເທດລາວກິນເຂົ້າ", "ປະ ເທດ ລາວ ກິນ ເຂົ້າ"),
        ("ខ្ញុំចាប់ប្រទេស។", "ខ្ញុំ ចាប់ ប្រ ទេស ។"),
        ("ကျွန်တော်မြန်မာနိုင်ငံသည်။", "ကျွန် တော် မြန် မာ နိုင် ငံ သည် ။"),
        ("བོད་ཀྱི་སྐད་ཡིག།", "བོད ཀྱི སྐད ཡིག །"),
        ("ᥐᥑ ᦀᦁ", "ᥐ ᥑ ᦀ ᦁ"),
    ],
)
def test_words_by_the_rules(text, words):
    assert words_of([text], "segmented_by_rules") == [words.split()]


def test_zero_width_spaces_of_the_text_part_words_and_are_none():
    assert words_of(["ខ្ញុំ\u200bមាន a\u200bb"], "segmented_by_rules") == [["ខ្ញុំ", "មាន", "a", "b"]]
    assert words_of(["ខ្ញុំ\u200bមាន a\u200bb"], "segmented") == [["ខ្ញុំ", "មាន", "a", "b"]]


def test_asat_after_a_vowel_mutes_no_consonant_and_below_a_dot_it_does():
    assert syllables_plainly("ကော်ခွင့်") == ["ကော်", "ခွင့်"]


@settings(deadline=None, max_examples=300)
@given(st.lists(TEXTS, max_size=4))
def test_kernels_find_what_the_plain_definitions_find(texts):
    for splitter in SEGMENTED:
        assert words_of(texts, splitter) == [split_words_plainly(text, splitter) for text in texts]


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_words_and_what_parts_them_make_up_the_text(text):
    for splitter in ("segmented", "segmented_by_rules"):
        left = Counter(text) - Counter("".join(words_of([text], splitter)[0]))
        assert not "".join(left).strip(" \n\u200b་༌\u0301\u200c\u200d\u00ad")  # marks may stand on white space
        at = 0
        for word in words_of([text], splitter)[0]:
            at = text.index(word, at) + len(word)


@settings(deadline=None, max_examples=200)
@given(LETTERS_ONLY)
def test_no_grapheme_cluster_is_parted(text):
    clusters = list(graphemecluster.grapheme_clusters(text)) if text else []
    inner = {sum(map(len, clusters[:index])) for index in range(len(clusters) + 1)}
    for splitter in ("segmented", "segmented_by_rules"):
        at = 0
        for word in words_of([text], splitter)[0]:
            begin = text.index(word, at)
            at = begin + len(word)
            assert {begin, at} <= inner


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(max_codepoint=0xDFF, exclude_categories=["Cs", "Cn"]), max_size=40))
def test_scripts_with_spaces_are_left_to_uax29(text):
    for splitter in ("", "_alphanumeric"):
        expected = words_of([text], f"uax29{splitter}")
        assert words_of([text], f"segmented{splitter}") == expected
        assert words_of([text], f"segmented_by_rules{splitter}") == expected


def test_a_text_has_the_same_words_in_every_batch(monkeypatch):
    texts = ["私は東京で本を読みます。" * 3, "", "no such script", "คนไทยกินข้าว", "我们在学校学习中文" * 5]
    whole = words_of(texts, "segmented")
    assert whole == [words_of([text], "segmented")[0] for text in texts]
    monkeypatch.setattr(segmentation, "_AT_ONCE", 30)
    assert words_of(texts, "segmented") == whole


def test_a_batch_without_such_scripts_is_not_copied():
    features = TextFeatures(pa.array(["plain words", "größer — как"], pa.large_string()))
    assert features.word_view("segmented").data is features.data
    assert features.word_view("segmented_by_rules").data is features.data


def test_a_part_of_an_arrow_array_is_looked_at_alone():
    array = pa.array(["คนไทย", "中文", "คนไทยกินข้าว", "中"], pa.large_string())[1:3]
    features = TextFeatures(array)
    spans, data = features.words("segmented"), features.data.tobytes()
    assert [data[start:end].decode() for start, end in zip(spans.starts, spans.ends, strict=True)] == [
        "中文", "คน", "ไทย", "กิน", "ข้าว",
    ]  # fmt: skip
    assert features.word_statistics("segmented")[:, 0].tolist() == [1, 4]


def test_long_runs_are_looked_at_in_pieces_that_part_no_cluster(monkeypatch):
    monkeypatch.setattr(segmentation, "LONGEST_RUN", 20)
    text = "น้ำที่สิบสี่" * 20
    words = words_of([text], "segmented")[0]
    assert "".join(words) == text
    clusters = set(graphemecluster.grapheme_clusters(text))
    assert all(set(graphemecluster.grapheme_clusters(word)) <= clusters for word in words)


def test_ten_megabytes_on_one_line_are_parted():
    text = "大学的生活" * 200_000 + "คนไทยกินข้าว" * 200_000
    features = TextFeatures(pa.array([text], pa.large_string()))
    assert features.word_statistics("segmented_by_rules")[0, 0] == 1_000_000 + 4 * 200_000
    # each of ICU's pieces of a long run begins anew, so that words at their seams may differ
    assert features.word_statistics("segmented")[0, 0] == pytest.approx(3 * 200_000 + 4 * 200_000, rel=0.01)


def test_without_the_library_the_message_names_the_extra_and_the_rules(monkeypatch):
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    segmentation._word_breaker.cache_clear()
    try:
        with pytest.raises(StageUnavailable, match=r"gristmill\[words\].*segmented_by_rules"):
            require("uax29", "segmented")
        require("uax29", "segmented_by_rules", None)
        assert words_of(["คนไทย"], "segmented_by_rules") == [["คน", "ไทย"]]
    finally:
        segmentation._word_breaker.cache_clear()


def test_the_library_is_part_of_what_the_words_stand_on():
    assert libraries("uax29", None, "segmented_by_rules_alphanumeric") == ()
    assert libraries("segmented_alphanumeric") == ("icu4py",)


def test_one_character_is_found_wherever_it_stands_in_a_long_text():
    texts = ["“" * (at % 3) + "é" + "a" * at + "中" + "b" * (40 - at) for at in range(40)]
    assert [len(words) for words in words_of(texts, "segmented_alphanumeric")] == [3] * 40
    features = TextFeatures(pa.array(["a" * 30 + "“é”—" * 9, "中"], pa.large_string()))
    starts, ends = all_runs(features.data, features.offsets, 1 << 16, script_table(True))
    assert (ends - starts).tolist() == [3]
