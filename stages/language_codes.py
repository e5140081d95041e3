"""Codes of languages and the scripts they are written in, and how a key of a table meets the label of a model."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

# ISO 639-1 code where there is one, else 639-3; then the 639-3 codes that models use for it (a macrolanguage has several), a
# slash, and the scripts (ISO 15924) that its texts are commonly written in. Hani stands for Hans and Hant, Jpan for
# Hani+Hira+Kana, Kore for Hang+Hani. Written from general knowledge, after the likely scripts of Unicode's CLDR; scripts of small
# or past use are left out, so the table is for catching errors, not for linguistics.
_LANGUAGES = """
af afr/Latn als gsw/Latn am amh/Ethi an arg/Latn ar ara arb/Arab arz/Arab as asm/Beng ast/Latn av ava/Cyrl
az aze azj/Latn,Cyrl azb/Arab ba bak/Cyrl bar/Latn bcl/Latn be bel/Cyrl,Latn bg bul/Cyrl bh bih bho/Deva bn ben/Beng
bo bod/Tibt bpy/Beng br bre/Latn bs bos/Latn,Cyrl bxr/Cyrl ca cat/Latn cbk/Latn ce che/Cyrl ceb/Latn ckb/Arab co cos/Latn
cs ces/Latn cv chv/Cyrl cy cym/Latn da dan/Latn de deu/Latn diq/Latn dsb/Latn dty/Deva dv div/Thaa el ell/Grek eml egl/Latn
en eng/Latn eo epo/Latn es spa/Latn et est ekk/Latn eu eus/Latn fa fas pes prs/Arab fi fin/Latn fr fra/Latn frr/Latn
fy fry/Latn ga gle/Latn gd gla/Latn gl glg/Latn gn grn gug/Latn gom/Deva,Latn gu guj/Gujr gv glv/Latn he heb/Hebr
hi hin/Deva hif/Latn,Deva hr hrv/Latn hsb/Latn ht hat/Latn hu hun/Latn hy hye/Armn ia ina/Latn id ind/Latn ie ile/Latn
ilo/Latn io ido/Latn is isl/Latn it ita/Latn ja jpn/Jpan jbo/Latn jv jav/Latn ka kat/Geor kk kaz/Cyrl,Arab,Latn km khm/Khmr
kn kan/Knda ko kor/Kore krc/Cyrl ku kur kmr/Latn,Arab kv kom kpv/Cyrl kw cor/Latn ky kir/Cyrl,Arab la lat/Latn
lb ltz/Latn lez/Cyrl li lim/Latn lmo/Latn lo lao/Laoo lrc/Arab lt lit/Latn lv lav lvs/Latn mai/Deva mg mlg plt/Latn
mhr/Cyrl min/Latn,Arab mk mkd/Cyrl ml mal/Mlym mn mon khk/Cyrl,Mong mr mar/Deva mrj/Cyrl ms msa zsm/Latn,Arab mt mlt/Latn
mwl/Latn my mya/Mymr myv/Cyrl mzn/Arab nah nhe nhn/Latn nap/Latn nds/Latn ne nep npi/Deva new/Deva nl nld/Latn
nn nno/Latn no nor nob nb/Latn oc oci/Latn or ori ory/Orya os oss/Cyrl pa pan/Guru pam/Latn pfl/Latn pl pol/Latn pms/Latn
pnb/Arab ps pus pbt/Arab pt por/Latn qu que quz/Latn rm roh/Latn ro ron/Latn,Cyrl ru rus/Cyrl rue/Cyrl sa san/Deva
sah/Cyrl sc srd/Latn scn/Latn sco/Latn sd snd/Arab,Deva sh hbs/Latn,Cyrl si sin/Sinh sk slk/Latn sl slv/Latn so som/Latn
sq sqi als_Latn/Latn sr srp/Cyrl,Latn su sun/Latn sv swe/Latn sw swa swh/Latn ta tam/Taml te tel/Telu tg tgk/Cyrl
th tha/Thai tk tuk/Latn,Cyrl tl tgl fil/Latn tr tur/Latn tt tat/Cyrl,Latn tyv/Cyrl ug uig/Arab,Cyrl uk ukr/Cyrl ur urd/Arab
uz uzb uzn/Latn,Cyrl,Arab vec/Latn vep/Latn vi vie/Latn vls/Latn vo vol/Latn wa wln/Latn war/Latn wuu/Hani xal/Cyrl,Mong
xmf/Geor yi yid ydd/Hebr yo yor/Latn yue/Hani zh zho cmn/Hani
aa aar/Latn ab abk/Cyrl ak aka twi tw/Latn ay aym ayr/Latn bi bis/Latn bm bam/Latn ch cha/Latn chr/Cher crh/Latn,Cyrl csb/Latn
dz dzo/Tibt ee ewe/Latn fj fij/Latn fo fao/Latn fur/Latn gaa/Latn ha hau/Latn,Arab haw/Latn hil/Latn ig ibo/Latn
iu iku/Cans,Latn kab/Latn kg kon/Latn kl kal/Latn lad/Latn,Hebr lfn/Latn lg lug/Latn ln lin/Latn mi mri/Latn nr nbl/Latn
nso/Latn nv nav/Latn ny nya/Latn om orm gaz/Latn rn run/Latn rw kin/Latn sat/Olck se sme/Latn sg sag/Latn sm smo/Latn
sn sna/Latn ss ssw/Latn st sot/Latn syr/Syrc szl/Latn tet/Latn ti tir/Ethi tn tsn/Latn to ton/Latn tpi/Latn ts tso/Latn
ty tah/Latn tzm/Tfng,Latn,Arab ve ven/Latn wo wol/Latn xh xho/Latn za zha/Latn zu zul/Latn
"""

_GROUPS = {"Hans": "Hani", "Hant": "Hani", "Jpan": "Hani,Hira,Kana", "Kore": "Hang,Hani"}
LONGEST = 10
"""Characters of a language's code that count; a number of type float64 holds no more."""
_LETTERS = "-abcdefghijklmnopqrstuvwxyz0123456789_"


@cache
def _table() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each known code -> the code that stands first for its language, and its scripts."""
    table: dict[str, tuple[str, tuple[str, ...]]] = {}
    codes: list[str] = []
    for word in _LANGUAGES.split():
        code, slash, scripts = word.partition("/")
        codes.append(code.lower())
        if slash:
            single = ",".join(_GROUPS.get(script, script) for script in scripts.split(","))
            for known in codes:
                table.setdefault(known, (codes[0], tuple(single.split(","))))
            codes = []
    return table


def scripts_of(label: str) -> tuple[str, ...]:
    """Scripts (ISO 15924) that texts of a label are written in: that of the label itself (`deu_Latn`), else the language's.

    Returns:
        Empty for a language that is not known here.
    """
    language, _, script = label.partition("_")
    if len(script) == 4:
        return tuple(_GROUPS.get(script.title(), script.title()).split(","))
    return _table().get(language.lower(), ("", ()))[1]


def folded(code: str) -> str:
    """A code as it is compared: its first ten characters in lower case; what is no ASCII letter, digit or `_` becomes `-`."""
    return "".join(letter if letter in _LETTERS else "-" for letter in code.lower()[:LONGEST])


def language_number(code: str) -> float:
    """A code as a whole number that float64 holds: how `signals/`, which holds numbers only, says a document's language."""
    number = 0
    for letter in folded(code):
        number = number * (len(_LETTERS) + 1) + _LETTERS.index(letter) + 1
    return float(number)


def language_of(number: float) -> str:
    """The code, as `folded` has it, that `language_number` made a number of."""
    left, letters = int(number), []
    while left:
        left, letter = divmod(left, len(_LETTERS) + 1)
        letters.append(_LETTERS[letter - 1])
    return "".join(reversed(letters))


def matching_key(label: str, keys: Collection[str]) -> str | None:
    """The key of a table that is meant for documents with this label.

    That is the label itself (`deu_Latn`); else the label without its script (`deu`); else the key whose code is another of the
    same language (`de`, where a model says `deu_Latn`; `zh` for `cmn_Hani`).

    Returns:
        None where there is no such key.
    """
    by_code = {folded(key): key for key in keys}
    if (key := by_code.get(folded(label))) is not None:
        return key
    language = folded(label).partition("_")[0]
    if (key := by_code.get(language)) is not None:
        return key
    # Tosk Albanian in GlotLID, Alemannic in lid.176
    known = _table().get(folded(label)) or _table().get(language)
    if known is None:
        return None
    same = [key for code, key in by_code.items() if "_" not in code and _table().get(code, ("",))[0] == known[0]]
    return min(same, default=None)
