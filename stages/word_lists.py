"""Lists of words for signals: stop words by language from a library that carries them, and words from the user's own files."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from gristmill.stages.file_cache import cached_by_files
from gristmill.stages.lists import path_of
from gristmill.stages.stage import StageUnavailable

JUSTEXT_NAMES: dict[str, str] = {
    "af": "Afrikaans", "ar": "Arabic", "ast": "Asturian", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian",
    "bn": "Bengali", "br": "Breton", "bs": "Bosnian", "ca": "Catalan", "ceb": "Cebuano", "cs": "Czech", "cv": "Chuvash",
    "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "fy": "West_Frisian", "ga": "Irish",
    "gl": "Galician", "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "ht": "Haitian", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "ig": "Igbo", "io": "Ido", "is": "Icelandic", "it": "Italian", "jv": "Javanese",
    "ka": "Georgian", "kk": "Kazakh", "kn": "Kannada", "ko": "Korean", "ku": "Kurdish", "ky": "Kyrgyz", "la": "Latin",
    "lb": "Luxembourgish", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi",
    "ms": "Malay", "mt": "Maltese", "nb": "Norwegian_Bokmal", "nds": "Low_Saxon", "ne": "Nepali", "nl": "Dutch",
    "nn": "Norwegian_Nynorsk", "no": "Norwegian_Bokmal", "oc": "Occitan", "pl": "Polish", "pt": "Portuguese", "qu": "Quechua",
    "ro": "Romanian", "ru": "Russian", "sh": "Serbo_Croatian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian",
    "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "tk": "Turkmen",
    "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "yo": "Yoruba",
}  # fmt: skip
"""Language code -> name of jusText's list of its stop words."""

_STOPWORDS_ISO = (
    "af ar bg bn br ca cs da de el en eo es et eu fa fi fr ga gl gu ha he hi hr hu hy id it ja ko ku la lt lv mr ms nl no pl pt "
    "ro ru sk sl so st sv sw th tl tr uk ur vi yo zh zu"
)
STOPWORDS_ISO = tuple(_STOPWORDS_ISO.split())
"""Codes of the languages that stopwords-iso has a list for (the extra `words`)."""
_ENGLISH_IN_OTHERS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})


def is_file(name: str) -> bool:
    """Whether the name of a list is that of a file, and not the code of a language."""
    return "/" in name or "." in name


@cache
def stop_words_of(language: str) -> frozenset[str]:
    """Stop words of a language, from stopwords-iso, or from jusText's lists for what that has not.

    Not jusText's first: its lists are the frequent words of web pages, thousands for some languages, and nearly all hold the, of
    and and, by which an English page would pass for any language. Gopher's eight English words are taken out of them here.

    Raises:
        StageUnavailable: there is no list for the language, or its library is not there.
    """
    if language not in STOPWORDS_ISO:
        if language in JUSTEXT_NAMES:
            return frozenset(word for word in stop_words(language) if word.lower().strip('«»"“”') not in _ENGLISH_IN_OTHERS)
        there = ", ".join(sorted({*JUSTEXT_NAMES, *STOPWORDS_ISO}))
        raise StageUnavailable(f"stop_words: no list for {language}; give a file, or one of: {there}")
    try:
        import stopwordsiso
    except ImportError as error:
        raise StageUnavailable(
            f"stop_words: the list for {language} needs the library stopwordsiso: pip install 'gristmill[words]', or give a file"
        ) from error
    return frozenset(stopwordsiso.stopwords(language))


@cache
def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language, from jusText's lists; empty for a language that has none."""
    import justext

    name = JUSTEXT_NAMES.get(language)
    return frozenset() if name is None else frozenset(justext.get_stoplist(name))


@cached_by_files
def words_in_file(path: str) -> frozenset[str]:
    """Words of a file, one a line, UTF-8, plain or gzip; or of a fetched list, `ldnoobw:en`.

    Raises:
        StageUnavailable: the file cannot be read, or the list has not been fetched.
    """
    try:
        content = Path(path_of(path)).read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageUnavailable(f"{path}: cannot be read as a list of words, one a line, UTF-8 or gzip of it: {error}") from error
    return frozenset(stripped for line in text.splitlines() if (stripped := line.strip()))


def readable(*paths: str | None) -> list[str]:
    """The files of those of the paths or names that are given, each read once to see that it can be.

    Raises:
        StageUnavailable: one cannot be read.
    """
    given = [path for path in paths if path]
    for path in given:
        words_in_file(path)
    return [path_of(path) for path in given]
