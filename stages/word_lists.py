"""Lists of words for signals: stop words by language from a library that carries them, and words from the user's own files."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from gristmill.stages.file_cache import cached_by_files
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


@cache
def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language, from jusText's lists; empty for a language that has none."""
    import justext

    name = JUSTEXT_NAMES.get(language)
    return frozenset() if name is None else frozenset(justext.get_stoplist(name))


@cached_by_files
def words_in_file(path: str) -> frozenset[str]:
    """Words of a file, one a line, UTF-8, plain or gzip.

    Raises:
        StageUnavailable: the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StageUnavailable(f"{path}: cannot be read as a list of words, one a line, UTF-8 or gzip of it: {error}") from error
    return frozenset(stripped for line in text.splitlines() if (stripped := line.strip()))


def readable(*paths: str | None) -> list[str]:
    """Those of the paths that are given, each read once to see that it can be.

    Raises:
        StageUnavailable: one cannot be read.
    """
    given = [path for path in paths if path]
    for path in given:
        words_in_file(path)
    return given
