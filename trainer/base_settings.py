"""What all settings of the trainer share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Values that a user sets: frozen once read, and a misspelt key is an error."""

    # the twin of gristmill.stages.settings.Settings: the trainer stands without the stages
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )
