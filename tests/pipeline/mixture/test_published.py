"""The shipped mixtures print the published tables again, each cell within its rounding."""

import pytest

from gristmill.pipeline.mixture.planning import make_plan
from gristmill.pipeline.mixture.reading import load_mixture, shipped_mixtures

GIB = 2**30

# raw GiB, weight %, epochs, effective GiB: Gao et al. 2020, table 1 (effective sizes from memory; their sum is the printed one)
PILE = {
    "pile-cc": (227.12, 18.11, 1.0, 227.12),
    "pubmed-central": (90.27, 14.40, 2.0, 180.55),
    "books3": (100.96, 12.07, 1.5, 151.44),
    "openwebtext2": (62.77, 10.01, 2.0, 125.54),
    "arxiv": (56.21, 8.96, 2.0, 112.42),
    "github": (95.16, 7.59, 1.0, 95.16),
    "freelaw": (51.15, 6.12, 1.5, 76.73),
    "stack-exchange": (32.20, 5.13, 2.0, 64.39),
    "uspto": (22.90, 3.65, 2.0, 45.81),
    "pubmed-abstracts": (19.26, 3.07, 2.0, 38.53),
    "gutenberg-pg-19": (10.88, 2.17, 2.5, 27.19),
    "opensubtitles": (12.98, 1.55, 1.5, 19.47),
    "wikipedia-en": (6.38, 1.53, 3.0, 19.13),
    "dm-mathematics": (7.75, 1.24, 2.0, 15.49),
    "ubuntu-irc": (5.52, 0.88, 2.0, 11.03),
    "bookcorpus2": (6.30, 0.75, 1.5, 9.45),
    "europarl": (4.59, 0.73, 2.0, 9.17),
    "hackernews": (3.90, 0.62, 2.0, 7.80),
    "youtube-subtitles": (3.73, 0.60, 2.0, 7.47),
    "philpapers": (2.38, 0.38, 2.0, 4.76),
    "nih-exporter": (1.89, 0.30, 2.0, 3.79),
    "enron-emails": (0.88, 0.14, 2.0, 1.76),
}

# source: printed share, half a unit of its last digit, printed epochs or None
SHARES = {
    "llama": (
        100,
        {
            "commoncrawl": (67.0, 0.05, 1.10),
            "c4": (15.0, 0.05, 1.06),
            "github": (4.5, 0.05, 0.64),
            "wikipedia": (4.5, 0.05, 2.45),
            "books": (4.5, 0.05, 2.23),
            "arxiv": (2.5, 0.05, 1.06),
            "stackexchange": (2.0, 0.05, 1.03),
        },
    ),
    "palm": (
        100,
        {
            "social-media-conversations": (50, 0.5, None),
            "filtered-webpages": (27, 0.5, None),
            "books": (13, 0.5, None),
            "github": (5, 0.5, None),
            "wikipedia": (4, 0.5, None),
            "news": (1, 0.5, None),
        },
    ),
    "galactica": (
        99.9,
        {
            "papers": (83.0, 0.05, None),
            "code": (6.9, 0.05, None),
            "reference-material": (6.5, 0.05, None),
            "knowledge-bases": (2.0, 0.05, None),
            "filtered-commoncrawl": (1.0, 0.05, None),
            "prompts": (0.3, 0.05, None),
            "other": (0.2, 0.05, None),
        },
    ),
    "gpt3": (
        101,
        {
            "common-crawl": (60, 0.5, 0.44),
            "webtext2": (22, 0.5, 2.9),
            "books1": (8, 0.5, 1.9),
            "books2": (8, 0.5, 0.43),
            "wikipedia": (3, 0.5, 3.4),
        },
    ),
}

# language, pages in millions, printed share: Xue et al. 2021, table 6, from memory
MC4 = """
en 3067 5.67 ru 756 3.71 es 416 3.09 de 397 3.05 fr 333 2.89 it 186 2.43 pt 169 2.36 pl 126 2.15 nl 96 1.98
tr 88 1.93 ja 87 1.92 vi 79 1.87 id 70 1.80 cs 60 1.72 zh 55 1.67 fa 54 1.67 ar 53 1.66 sv 49 1.61 ro 46 1.58
el 42 1.54 uk 39 1.51 hu 37 1.48 da 29 1.38 fi 27 1.35 no 25 1.33 bg 23 1.29 hi 19 1.21 sk 18 1.19 ko 16 1.14
th 15 1.14 ca 14 1.12 ms 13 1.09 iw 12 1.06 lt 11 1.04 sl 8.5 0.95 mr 7.8 0.93 bn 7.4 0.91 et 6.9 0.89
lv 6.4 0.87 az 5.3 0.82 gl 4.6 0.79 cy 4.1 0.76 sq 4.1 0.76 ta 3.5 0.73
"""


def planned(name):
    plan = make_plan(load_mixture(name), "published").plan
    return plan, {source.source: source for source in plan.sources}


def test_every_shipped_mixture_is_planned_from_its_published_sizes():
    assert shipped_mixtures() == ["galactica", "gpt3", "llama", "mc4", "palm", "pile", "redpajama"]
    for name in shipped_mixtures():
        plan, sources = planned(name)
        assert (plan.mixture, sum(source.tokens for source in sources.values())) == (name, plan.tokens)


def test_every_cell_of_the_piles_table():
    _, sources = planned("pile")
    assert list(sources) == list(PILE)
    for name, (raw, weight, epochs, effective) in PILE.items():
        source = sources[name]
        assert source.epochs == pytest.approx(epochs, abs=1e-6)
        # the printed sizes are rounded to 0.01 before they are multiplied here, and again when printed
        assert source.effective_bytes / GIB == pytest.approx(effective, abs=0.005 * epochs + 0.005)
        assert 100 * source.weight == pytest.approx(weight, abs=0.005 + 0.5 * epochs / 1254.20)
        assert source.bytes / GIB == pytest.approx(raw, abs=1e-6)
    assert sum(source.effective_bytes for source in sources.values()) / GIB == pytest.approx(1254.20, abs=0.05)
    assert sum(source.bytes for source in sources.values()) / GIB == pytest.approx(825.18, abs=0.05)


@pytest.mark.parametrize("name", SHARES)
def test_every_share_of_the_other_tables(name):
    _, sources = planned(name)
    printed_sum, table = SHARES[name]
    assert list(sources) == list(table)
    for source, (share, rounding, _) in table.items():
        assert sources[source].weight * printed_sum == pytest.approx(share, abs=rounding)


def test_every_epoch_of_llamas_table():
    _, sources = planned("llama")
    assert {name: round(source.epochs, 2) for name, source in sources.items()} == {
        name: epochs for name, (_, _, epochs) in SHARES["llama"][1].items()
    }


def test_gpt3s_printed_epochs_follow_from_its_shares_and_sizes_but_for_webtext2():
    _, sources = planned("gpt3")
    for name, (share, rounding, epochs) in SHARES["gpt3"][1].items():
        size = sources[name].available_tokens / 1e9
        # sizes are printed in whole billions, shares in whole percents
        least, most = 3 * (share - rounding) / (size + 0.5), 3 * (share + rounding) / (size - 0.5)
        assert least <= 1.01 * sources[name].epochs <= most
        assert (least - 0.05 <= epochs <= most + 0.05) == (name != "webtext2")
    assert sources["webtext2"].epochs == pytest.approx(300 * 22 / 101 / 19)


def test_galacticas_sizes_sum_to_its_corpus_within_their_rounding():
    plan, sources = planned("galactica")
    assert sum(source.available_tokens for source in sources.values()) == pytest.approx(plan.tokens, abs=2e9)


def test_redpajama_reads_each_source_once():
    _, sources = planned("redpajama")
    assert {name: source.epochs for name, source in sources.items()} == dict.fromkeys(sources, 1.0)
    assert [source.tokens // 10**9 for source in sources.values()] == [878, 175, 59, 28, 26, 24, 20]


def test_mc4s_languages_have_the_shares_that_mt5_gave_them():
    _, sources = planned("mc4")
    cells = MC4.split()
    table = {cells[i]: (float(cells[i + 1]), float(cells[i + 2])) for i in range(0, len(cells), 3)}
    assert list(sources) == list(table)
    listed = sum(share for _, share in table.values())
    for language, (pages, share) in table.items():
        assert sources[language].documents == round(pages * 1e6)
        # the shares of the listed languages among themselves; pages are rounded to a million, or to a tenth below 10
        rounding = 0.005 + 0.303 * share * (0.5 if pages >= 10 else 0.05) / pages
        assert 100 * sources[language].weight * listed / 100 == pytest.approx(share, abs=rounding)
