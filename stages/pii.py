"""Personal data masked or taken out: e-mail and IP addresses, phone numbers, IBANs, credit cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import NonNegativeInt, field_validator

from gristmill.stages.editor import Edited, Editor, Loss

if TYPE_CHECKING:
    from gristmill.stages.documents import Batch
    from gristmill.stages.edits import Cut

Replacement = tuple[str, ...]

# [code: datatrove formatters/pii.py]
_DATATROVE_EMAILS = ("email@example.com", "firstname.lastname@example.org")
_DATATROVE_IPS = ("22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168")


class _Kind(NamedTuple):
    """A kind of personal data."""

    setting: str
    candidate: str
    """Its name in `pii_kernels`."""
    finder: str
    """Function of `pii_patterns`."""
    mask: Replacement


_OWN = (
    _Kind("emails", "EMAIL", "find_emails", ("<EMAIL>",)),
    _Kind("ipv6", "IPV6", "find_ipv6", ("<IP_ADDRESS>",)),
    _Kind("ipv4", "IPV4", "find_ipv4", ("<IP_ADDRESS>",)),
    _Kind("ibans", "IBAN", "find_ibans", ("<IBAN>",)),
    _Kind("credit_cards", "CARD", "find_credit_cards", ("<CREDIT_CARD>",)),
    _Kind("phone_numbers", "PHONE", "find_phone_numbers", ("<PHONE_NUMBER>",)),
)
_PUBLISHED: dict[str, tuple[_Kind, ...]] = {
    "datatrove": (
        _Kind("emails", "EMAIL", "find_emails_as_datatrove", _DATATROVE_EMAILS),
        _Kind("ipv4", "IPV4", "find_ipv4_as_datatrove", _DATATROVE_IPS),
    ),
    "datatrove_2024_04": (
        _Kind("emails", "EMAIL", "find_emails_as_datatrove_2024_04", _DATATROVE_EMAILS),
        _Kind("ipv4", "IPV4", "find_ipv4_as_datatrove", _DATATROVE_IPS),
    ),
    "dolma": (
        _Kind("emails", "EMAIL", "find_emails_as_dolma", (" |||EMAIL_ADDRESS||| ",)),
        _Kind("phone_numbers", "PHONE", "find_phone_numbers_as_dolma", (" |||PHONE_NUMBER||| ",)),
        _Kind("ipv4", "IPV4", "find_ipv4_as_dolma", (" |||IP_ADDRESS||| ",)),
    ),
}
_MOST_OF_DOLMA = 5


class Pii(Editor):
    """Mask personal data, or take it out.

    A kind that is neither turned on nor off is treated as the flavour has it. Where the replacement is a list, its entries take
    turns within each document, so that the result does not depend on the order of documents.
    """

    kind: ClassVar[str] = "pii"

    flavour: Literal["gristmill", "datatrove", "datatrove_2024_04", "dolma"] = "gristmill"
    """Whose patterns: ours (all kinds, with check digits and boundaries), FineWeb's (`datatrove`: e-mail, public IPv4;
    `datatrove_2024_04`, as for FineWeb 1.0: e-mail in lower case only) or Dolma's (e-mail, North American phone numbers, all
    IPv4; documents with more than 5 are dropped)."""

    mode: Literal["mask", "remove"] = "mask"
    """Put a replacement in its place, or nothing."""

    emails: bool | None = None
    """E-mail addresses."""

    ipv4: bool | None = None
    """Public IPv4 addresses; private, loopback and reserved ones stay."""

    ipv6: bool | None = None
    """Public IPv6 addresses."""

    phone_numbers: bool | None = None
    """Phone numbers."""

    ibans: bool | None = None
    """Bank account numbers (IBAN) whose check digits are right."""

    credit_cards: bool | None = None
    """Credit card numbers whose check digit is right."""

    emails_replacement: Replacement | None = None
    """What stands for an e-mail address; several take turns. Default: that of the flavour."""

    ipv4_replacement: Replacement | None = None
    """What stands for an IPv4 address."""

    ipv6_replacement: Replacement | None = None
    """What stands for an IPv6 address."""

    phone_numbers_replacement: Replacement | None = None
    """What stands for a phone number."""

    ibans_replacement: Replacement | None = None
    """What stands for an IBAN."""

    credit_cards_replacement: Replacement | None = None
    """What stands for a credit card number."""

    max_spans: NonNegativeInt | None = None
    """Drop documents with more pieces of personal data than this; without it none are dropped, but `dolma` drops those over 5."""

    @field_validator(*(f"{kind.setting}_replacement" for kind in _OWN), mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    def edit(self, batch: Batch) -> Edited:
        """Mask or remove what is found; a document over `max_spans`, or of which nothing is left, is lost."""
        import numpy as np

        from gristmill.stages import pii_kernels
        from gristmill.stages.edits import cuts_table, losses_of, text_of, with_texts

        kinds = self._kinds()
        wanted = 0
        for kind in kinds:
            wanted |= getattr(pii_kernels, kind.candidate)
        most = _MOST_OF_DOLMA if self.max_spans is None and self.flavour == "dolma" else self.max_spans
        marks = pii_kernels.candidates(batch.features) & np.uint8(wanted)
        texts: dict[int, str] = {}
        cuts: list[Cut] = []
        dropped: dict[int, Loss] = {}
        for row in map(int, np.flatnonzero(marks)):
            text = text_of(batch.features, row)
            possible = [kind for kind in kinds if marks[row] & getattr(pii_kernels, kind.candidate)]
            spans = self._find(text, possible)
            if most is not None and len(spans) > most:
                dropped[row] = Loss(row, "too_many_spans", float(len(spans)), float(most))
            elif spans:
                changed, made = self._replace(row, text, spans)
                texts[row] = changed if changed.strip() else ""
                cuts += made
        table = with_texts(batch.table, texts)
        lost = {loss.row: loss for loss in losses_of(batch.table, table)} | dropped
        return Edited(table, [lost[row] for row in sorted(lost)], cuts_table(cuts))

    def set_up(self) -> None:
        """Compile the kernel and the patterns, or find them compiled."""
        from gristmill.stages import pii_kernels, pii_patterns  # noqa: F401

    def code(self) -> list[str]:
        """The kernel and the patterns."""
        return [
            "gristmill.stages.pii_kernels",
            "gristmill.stages.pii_patterns",
            "gristmill.stages.edits",
            "gristmill.stages.features",
            "gristmill.stages.numba_cache",
        ]

    def _kinds(self) -> list[_Kind]:
        """The kinds that are on; those that the flavour lacks are found our way."""
        published = {kind.setting: kind for kind in _PUBLISHED.get(self.flavour, _OWN)}
        every = [*published.values(), *(kind for kind in _OWN if kind.setting not in published)]
        chosen = []
        for kind in every:
            on = getattr(self, kind.setting)
            if on or (on is None and kind.setting in published):
                chosen.append(kind)
        return chosen

    @staticmethod
    def _find(text: str, kinds: list[_Kind]) -> list[tuple[int, int, _Kind]]:
        """Spans of all kinds by their place; of those that overlap, the one of the earlier kind."""
        from gristmill.stages import pii_patterns

        taken = bytearray(len(text))
        found: list[tuple[int, int, _Kind]] = []
        for kind in kinds:
            for start, end in getattr(pii_patterns, kind.finder)(text):
                if not any(taken[start:end]):
                    taken[start:end] = b"\1" * (end - start)
                    found.append((start, end, kind))
        return sorted(found, key=lambda span: span[0])

    def _replace(self, row: int, text: str, spans: list[tuple[int, int, _Kind]]) -> tuple[str, list[Cut]]:
        from gristmill.stages.edits import Cut

        pieces: list[str] = []
        cuts: list[Cut] = []
        turns: dict[str, int] = {}
        done = 0
        for start, end, kind in spans:
            pieces.append(text[done:start])
            put = ""
            if self.mode == "mask":
                own = getattr(self, f"{kind.setting}_replacement")
                masks = kind.mask if own is None else own
                turn = turns.get(kind.setting, 0)
                turns[kind.setting] = turn + 1
                put = masks[turn % len(masks)] if masks else ""
            pieces.append(put)
            cuts.append(Cut(row, start, end, text[start:end], put or None))
            done = end
        return "".join([*pieces, text[done:]]), cuts
