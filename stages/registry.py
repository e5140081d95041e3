"""The stages by name. Importing this module imports no stage."""

from importlib import import_module

from gristmill.stages.stage import Stage

STAGES: dict[str, str] = {
    "url_filter": "gristmill.stages.url_filter:UrlFilter",
    "opt_out": "gristmill.stages.opt_out:OptOut",
    "extract": "gristmill.stages.extract:Extract",
    "language": "gristmill.stages.language:Language",
    "gopher_quality": "gristmill.stages.gopher_quality:GopherQuality",
    "gopher_repetition": "gristmill.stages.gopher_repetition:GopherRepetition",
    "pii": "gristmill.stages.pii:Pii",
    "roots": "gristmill.stages.roots:Roots",
    "c4_lines": "gristmill.stages.c4_lines:C4Lines",
    "c4": "gristmill.stages.c4:C4",
    "oscar": "gristmill.stages.oscar:Oscar",
    "fineweb": "gristmill.stages.fineweb:FineWeb",
    "repeated_lines": "gristmill.stages.repeated_lines:RepeatedLines",
    "code": "gristmill.stages.code:Code",
    "normalise": "gristmill.stages.normalise:Normalise",
    "replace": "gristmill.stages.replace:Replace",
    "redpajama_v2": "gristmill.stages.redpajama_v2:RedPajamaV2",
    "line_corrections": "gristmill.stages.line_corrections:LineCorrections",
    "madlad": "gristmill.stages.madlad:Madlad",
    "lines": "gristmill.stages.lines:Lines",
    "paragraphs": "gristmill.stages.paragraphs:Paragraphs",
    "sentence_spans": "gristmill.stages.sentence_spans_dedup:SentenceSpans",
    "decontaminate": "gristmill.stages.decontaminate:Decontaminate",
    "quality_classifier": "gristmill.stages.quality_classifier:QualityClassifier",
    "perplexity": "gristmill.stages.perplexity:Perplexity",
    "importance": "gristmill.stages.importance:Importance",
    "edu_score": "gristmill.stages.edu_score:EduScore",
    "domains": "gristmill.stages.domains:Domains",
    "percentile": "gristmill.stages.percentile:Percentile",
    "rules": "gristmill.stages.rules:Rules",
    "url_dedup": "gristmill.stages.url_dedup:UrlDedup",
    "exact": "gristmill.stages.exact:Exact",
    "minhash": "gristmill.stages.minhash:MinHash",
    "simhash": "gristmill.stages.simhash:SimHash",
    "semantic": "gristmill.stages.semantic:Semantic",
    "substring": "gristmill.stages.substring:Substring",
}
"""Name in recipes -> `module:Class`."""


def stage_class(name: str) -> type[Stage]:
    """Find a stage by its name, or a user's own by `module:Class`.

    Raises:
        KeyError: no stage has this name.
        ImportError: the user's module cannot be imported, or has no such class.
        TypeError: the user's class is no `Stage`.
    """
    target = STAGES.get(name, name if ":" in name else None)
    if target is None:
        raise KeyError(name)
    module, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"module {module} has no class {attribute}") from error
    if not (isinstance(found, type) and issubclass(found, Stage)):
        raise TypeError(f"{name} is no gristmill.stages.stage.Stage")
    if missing := sorted(found.__abstractmethods__):
        raise TypeError(f"{name} has no {', '.join(missing)}(), which a stage of its kind defines")
    return found
