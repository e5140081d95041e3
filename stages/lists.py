"""Lists that recipes may call by name, `ut1:adult` or `ldnoobw:en`: which there are, where they are kept, how they get there."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from gristmill.stages.stage import StageUnavailable

CONNECT_SECONDS = 5.0
"""Longest wait for a publisher's address, and for each further piece of what it sends."""
MOST_BYTES = 4_000_000_000
"""Most that is taken out of an archive."""
NO_CHECKSUM = "no sha256 is published for it, since it changes daily"

_UT1 = "https://dsi.ut-capitole.fr/blacklists/download"
_LDNOOBW_COMMIT = "5faf2ba42d7b1c0977169ec3611df25a3c08eb13"
_LDNOOBW = "https://raw.githubusercontent.com/LDNOOBW/List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words/" + _LDNOOBW_COMMIT
_LDNOOBW_SHA256 = {
    "ar": "23dbd9c55257bf2a4965f46664dc7eac04b61ff4eb3571e41f7e964c7c3ed96b",
    "cs": "90706df86709bade1ca39cf9f9d9836409c674fc3bffcb7525bdd20e59b596bc",
    "da": "ddb46ab67e955d1a5f49c89c18497d23c3d8d6d2522f3740a5d7583f90e434c6",
    "de": "ebe44d7772897390e27f7bec412fdcdf0efc294e4db157f8487c4cd8d4fabd55",
    "en": "af851ecef1d5f212caba17339b12ac39cc2fef7d78c74876f67237644fcee8bd",
    "eo": "0374d76be1dbc77c61362d6e51305e1e4c546b7f734eb96e0bdbad7fd2a6ace1",
    "es": "073334261cc2e7c08339faefd2f19f9623e8240a0ac18fe2a26c368b897496ce",
    "fa": "85828629b90fd18a3f6f6efb1934c1294103c33d1c28c0653970adfa179169e9",
    "fi": "3e0b35b2533ba22fb526d882bea250ddfad907ee7548aacbe15db17e21034c62",
    "fil": "fb4b43691b1249fee2eca1e66795daedda8e7366d42abcde6553dce611d23d99",
    "fr": "79763a705e08256b393952852bb63aa903f4485e0ef02f70735f5e50efff213c",
    "fr-CA-u-sd-caqc": "4a0ef5d55921c91df26676b214d3ac648deef11cfbc4587159ee9aab4085b09a",
    "hi": "83636e9b7a5260451e09e9e471f81dad9f082d107a82da77047e57d7856ed0cc",
    "hu": "a6943a971496f16e9a9d59ba6fde146d229699600e9636828d8d34ed9160aff5",
    "it": "d413f41018d58aa79d2c4809d0161f29ffd5652c4dc34c5b7b9ade680ee5599a",
    "ja": "f83c4d0843ea6474c17bf171edd72b616b3af403f8613f2cde1bd841faf6f316",
    "kab": "df7be2ce4a0c80ee717cd7134c90645a8a0f0c0c458a61f927934dbd50eac96d",
    "ko": "0dd4b74ffea6e3bb35d658e6d8262b53ee99281eaa48ecb515a2065bfcc7f69d",
    "nl": "8298ba0cdc3ca9a1989c349b8ad0148e4504c2804f2f2fb6c2f52bfb39c5ae71",
    "no": "e55b46bcec1ea288256924523a997d8d99e124c9aa3e61cbbbfaeca294f745b4",
    "pl": "98cf824e3692255645c5a72d5913f26fd4f20930f725683b4c96bb312ca5d9b3",
    "pt": "05ef524b0bb7f83f87257f6ec4dabf70e16b8bb6930f769fb93deaf608ff196d",
    "ru": "2598adabd2b761733d72a68d8ee4fcc1d2c38f2f85b6ff489985c6ce1d93bf75",
    "sv": "77f3f99a89bd3b2bde6a654741bacfcb3acca3f5c804af4d8d3fea11e09ea562",
    "th": "835036d87a3a67738e388cd6de92e3c995c186a1427b4e830fe7b85483c257e7",
    "tlh": "3c19004e338c0d91d19ba419185279145848b75b2327aa0e3a752c604ad9f59d",
    "tr": "6c7ae03baee0f3fdc22eed169030567669005dad9a1923e0b571c4bd4f2f2ab5",
    "zh": "a1d9aa037c8b039ef3b40148b3364ce2ca62ce4a955b7082a16ad99f6cbd1bc0",
}
"""sha256 of the lists at that commit, by language."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class MissingList(StageUnavailable):
    """A list that settings name is not here; the message says how to get it."""


@dataclass(frozen=True)
class Collection:
    """Lists of one publisher."""

    name: str
    about: str
    parts: str
    """What stands behind the colon."""
    licence: str
    publisher: str
    checksum: str
    """Against what a fetched list is checked."""

    @property
    def folder(self) -> Path:
        """Where its lists are kept on this machine, whether there are any or not."""
        return cache_folder() / self.name

    def here(self) -> list[str]:
        """Its lists that are here."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in self.folder.iterdir() if not entry.name.startswith("."))


COLLECTIONS: dict[str, Collection] = {
    "ut1": Collection(
        "ut1",
        "domains and URLs by category (adult, gambling, phishing, ...), 4.6 million of them adult",
        "a category, e.g. ut1:adult",
        "CC-BY-SA-4.0",
        "Université Toulouse Capitole (https://dsi.ut-capitole.fr/blacklists/index_en.php)",
        f"none: {NO_CHECKSUM}",
    ),
    "ldnoobw": Collection(
        "ldnoobw",
        "words one would not want in a text, 28 languages; the list of C4",
        "a language, e.g. ldnoobw:en",
        "CC-BY-4.0",
        f"LDNOOBW, as of 2020-07-13 (https://github.com/LDNOOBW, commit {_LDNOOBW_COMMIT[:7]})",
        "sha256",
    ),
}


def cache_folder() -> Path:
    """Folder of fetched lists: under GRISTMILL_CACHE where that is set, else under the user's cache folder."""
    if chosen := os.environ.get("GRISTMILL_CACHE"):
        return Path(chosen) / "lists"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gristmill" / "lists"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gristmill" / "lists"


def is_name(value: str) -> bool:
    """Whether a setting names a list that can be fetched, and is neither an entry nor a path."""
    return value.partition(":")[0] in COLLECTIONS and ":" in value


def check_name(name: str) -> tuple[str, str]:
    """Collection and part of a name, `ut1:adult`; the part is empty where the name is that of the collection.

    Raises:
        StageUnavailable: there is no such list.
    """
    collection, _, part = name.partition(":")
    if collection not in COLLECTIONS:
        raise StageUnavailable(f"{name}: no such list; there is {', '.join(one.parts for one in COLLECTIONS.values())}")
    if (part or ":" in name) and not _PART.fullmatch(part):
        raise StageUnavailable(f"{name}: no such list; after the colon stands {COLLECTIONS[collection].parts}")
    if collection == "ldnoobw" and part and part not in _LDNOOBW_SHA256:
        raise StageUnavailable(f"{name}: no such list; its languages are {', '.join(_LDNOOBW_SHA256)}")
    return collection, part


def locate(name: str, kind: Literal["domains", "urls", "words"]) -> Path | None:
    """The file of a fetched list.

    Args:
        name: e.g. `ut1:adult`.
        kind: what the entries shall be.

    Returns:
        Its path; None where the list is here and holds nothing of that kind (a UT1 category without URLs, say).

    Raises:
        MissingList: it has not been fetched.
        StageUnavailable: there is no such list, or it holds entries of other kinds.
    """
    collection, part = check_name(name)
    holds = "words" if collection == "ldnoobw" else "domains or urls"
    if not part or kind not in holds:
        raise StageUnavailable(f"{name}: a list of {kind} is wanted here; {collection}:... are lists of {holds}")
    place = COLLECTIONS[collection].folder / part
    if not place.exists():
        raise MissingList(f"{name}: not fetched ({place} does not exist); get it with: gristmill lists fetch {name}")
    return file_of_category(place, kind) if place.is_dir() else place


def path_of(value: str) -> str:
    """The path that a setting of words means: its own, or that of the fetched list that it names.

    Raises:
        MissingList: the list has not been fetched.
        StageUnavailable: there is no such list of words.
    """
    return str(locate(value, "words")) if is_name(value) else value


def file_of_category(folder: Path, kind: str) -> Path | None:
    """`domains` or `urls` of a UT1 category, plain or gzip; None where the category has none."""
    return next((path for path in (folder / kind, folder / f"{kind}.gz") if path.is_file()), None)


def fetch(name: str, progress: Callable[[str], object] = print) -> list[Path]:
    """Bring lists into the user's cache; those that are there are fetched anew.

    Args:
        name: `ut1` or `ldnoobw` for all of a collection, `ut1:adult` or `ldnoobw:en` for one list.
        progress: told in a line what is done.

    Returns:
        The folder of each category, or the file of each language.

    Raises:
        StageUnavailable: there is no such list, its address is out of reach, or what came is something else.
    """
    collection, part = check_name(name)
    try:
        if collection == "ldnoobw":
            return [_fetch_words(language, progress) for language in ([part] if part else _LDNOOBW_SHA256)]
        return _fetch_ut1(part, progress)
    except (OSError, ValueError, EOFError, tarfile.TarError) as error:
        folder = COLLECTIONS[collection].folder
        wanted = part or ("en" if collection == "ldnoobw" else "adult")
        by_hand = f"{folder / wanted}" if collection == "ldnoobw" else f"{folder / wanted}/domains and .../urls"
        raise StageUnavailable(
            f"{name} could not be fetched: {error}. On a machine without a network put the files of "
            f"{COLLECTIONS[collection].publisher} at {by_hand}, or set GRISTMILL_CACHE to a folder that has lists/"
        ) from error


def _fetch_words(language: str, progress: Callable[[str], object]) -> Path:
    address, wanted = f"{_LDNOOBW}/{language}", _LDNOOBW_SHA256[language]
    target = COLLECTIONS["ldnoobw"].folder / language
    progress(f"ldnoobw:{language}: fetching {address}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _downloaded(address, target.parent) as (partial, digest):
        if digest != wanted:
            raise ValueError(f"{address}: another file than expected (sha256 {digest}; expected {wanted})")
        partial.replace(target)
    progress(f"ldnoobw:{language}: kept at {target}, sha256 as expected ({COLLECTIONS['ldnoobw'].licence})")
    return target


def _fetch_ut1(category: str, progress: Callable[[str], object]) -> list[Path]:
    folder = COLLECTIONS["ut1"].folder
    address = f"{_UT1}/{category or 'blacklists'}.tar.gz"
    progress(f"ut1: fetching {address}")
    folder.mkdir(parents=True, exist_ok=True)
    with _downloaded(address, folder) as (partial, digest), tempfile.TemporaryDirectory(prefix=".", dir=folder) as unpacked:
        names = _unpack(partial, Path(unpacked))
        if not names or (category and category not in names):
            raise ValueError(f"{address}: holds no {category or '.../domains and .../urls'}")
        for name in names:
            for file in (Path(unpacked) / name).iterdir():
                (folder / name).mkdir(exist_ok=True)
                file.replace(folder / name / file.name)
    progress(f"ut1: {NO_CHECKSUM}; what came has sha256 {digest} ({COLLECTIONS['ut1'].licence})")
    for name in names:
        progress(f"ut1:{name}: kept at {folder / name}")
    return [folder / name for name in names]


def _unpack(archive: Path, target: Path) -> list[str]:
    """Take `<category>/domains` and `<category>/urls` out of an archive, whatever folders they lie in; the categories."""
    found: set[str] = set()
    total = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            *_, category, kind = ("", "", *member.name.split("/"))
            # links are the old names of some categories
            if not member.isfile() or kind not in ("domains", "urls") or not _PART.fullmatch(category):
                continue
            total += member.size
            if total > MOST_BYTES:
                raise ValueError(f"{archive.name}: unpacks to more than {MOST_BYTES:,} bytes")
            content = tar.extractfile(member)
            if content is None:
                continue
            (target / category).mkdir(exist_ok=True)
            with (target / category / kind).open("wb") as file:
                while piece := content.read(1 << 20):
                    file.write(piece)
            found.add(category)
    return sorted(found)


@contextmanager
def _downloaded(address: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """A file from an address in a folder, and its sha256; gone afterwards unless it was moved."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _copy(address, file)
        partial.chmod(0o644)
        yield partial, digest
    finally:
        partial.unlink(missing_ok=True)


def _copy(address: str, file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    taken = 0
    try:
        with urllib.request.urlopen(address, timeout=CONNECT_SECONDS) as answer:
            while piece := answer.read(1 << 20):
                taken += len(piece)
                if taken > MOST_BYTES:
                    raise ValueError(f"{address}: more than {MOST_BYTES:,} bytes")
                digest.update(piece)
                file.write(piece)
    except OSError as error:
        raise OSError(f"{address}: {getattr(error, 'reason', None) or error}") from error
    return digest.hexdigest()
