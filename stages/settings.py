"""The base of everything a user can set."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Values that a user sets: frozen once read, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
