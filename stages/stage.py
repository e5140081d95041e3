"""What every stage has in common: settings, a name in the recipe, what it needs, and how it is made ready."""

from abc import ABC
from typing import ClassVar, Literal

from gristmill.stages.settings import Settings


class StageUnavailable(Exception):
    """The stage itself cannot work here (a module or model is missing); the message says what to install or fetch.

    Never raised for a bad document: the run stops with this message and exit status 2.
    """


class Stage(Settings, ABC):
    """Something that can be done to documents. Its fields are its settings; its docstring is its help."""

    kind: ClassVar[str] = ""
    """Name in recipes and on the command line, e.g. `gopher_quality`; set by each stage."""
    needs: ClassVar[Literal["text", "html", "page", "url"]] = "text"
    """What the documents must carry: `url` works before and after extraction, `text` only after, `html` only before, and makes
    text of the pages. `page` works on the pages and leaves them: before extraction, or on documents that never were pages."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """Installed distributions whose version decides what the stage computes."""

    name: str | None = None
    """Name of this step in the recipe, its ledger and its funnel; the stage's own name unless given."""

    checkpoint: bool = False
    """Keep the documents as they are after this step, so that a change of a later step starts from here."""

    @property
    def label(self) -> str:
        """Name of the step: `name` where given, else the stage's own."""
        return self.name or self.kind

    @property
    def changes_text(self) -> bool:
        """Whether texts may be others after it: editors change them."""
        return False

    @property
    def masks_loss(self) -> bool:
        """Whether it says of characters of a text that they are read in training and not learned (`stages.loss_mask`)."""
        return False

    def library_names(self) -> tuple[str, ...]:
        """`libraries`, and those that only some settings bring in."""
        return self.libraries

    def set_up(self) -> None:
        """Load what the stage works with (modules, model files); called on each worker before the first document.

        Raises:
            StageUnavailable: something is missing; the message says what to do.
        """

    def doubts(self) -> list[str]:
        """What looks like a mistake in the settings or in the files that they name, though the stage can work; told with the run.

        Called after `set_up`, where the run is started.
        """
        return []

    def code(self) -> list[str]:
        """Modules beside the stage's own whose source decides what it computes (for the reuse of finished work)."""
        return []

    def files(self) -> list[str]:
        """Files (word lists, models) whose content decides what it computes, for the reuse of finished work.

        Raises:
            StageUnavailable: one is missing.
        """
        return []
