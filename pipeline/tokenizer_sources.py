"""The sources of a mixture, for those who learn from their documents."""

from __future__ import annotations

from pathlib import Path

from gristmill.pipeline.errors import UserError


def mixture_sources(path: str) -> dict[str, tuple[str, float]]:
    """Documents and weight of each source of a mixture; relative paths are sought beside the file first.

    Raises:
        UserError: the file is no mixture, or a source has no documents or no weight of its own, or takes a part of its documents.
    """
    from pydantic import ValidationError
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from gristmill.pipeline.mixture.settings import Mixture

    file = Path(path)
    try:
        given = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
        mixture = Mixture.model_validate(given)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; give the file of a mixture") from error
    except YAMLError as error:
        raise UserError(f"{path}: is no YAML: {error}") from error
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())) from error
    found = {}
    for name, source in mixture.sources.items():
        if source.documents is None or source.weight is None:
            missing = "documents" if source.documents is None else "weight"
            raise UserError(
                f"{path}: sources.{name} has no {missing}; a tokenizer learns from documents, each with a weight given"
            )
        if taken := [key for key in ("where", "only", "quality_buckets") if getattr(source, key) is not None]:
            raise UserError(
                f"{path}: sources.{name} has {', '.join(taken)}, which tokenizers do not know; "
                "name the documents themselves, with --weights"
            )
        beside = file.parent / source.documents
        found[name] = (str(beside) if beside.exists() else source.documents, source.weight)
    return found
