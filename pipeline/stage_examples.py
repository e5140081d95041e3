"""An example of each stage by itself, as its help shows it."""

EXAMPLES: dict[str, str] = {
    "url_filter": "crawl.warc.gz out/urls --banned-words casino poker --categories adult",
    "opt_out": "crawl.warc.gz out/allowed",
    "extract": "crawl.warc.gz out/texts --engine resiliparse",
    "language": "out/texts out/english --keep.en 0.65",
    "gopher_quality": "out/texts out/prose --min-words 200",
    "gopher_repetition": "out/texts out/varied --flavour datatrove",
    "pii": "out/texts out/masked",
    "roots": "out/texts out/french --language fr",
    "c4_lines": "out/texts out/sentences",
    "c4": "out/texts out/c4",
    "oscar": "out/texts out/annotated --min-lines 5",
    "fineweb": "out/texts out/fineweb --max-short-lines 0.5",
    "repeated_lines": "out/texts out/unrepeated",
    "code": "sources.jsonl.gz out/code --text-column content",
    "normalise": "out/texts out/normalised",
    "redpajama_v2": "out/texts out/signals --signals all",
    "line_corrections": "out/texts out/corrected",
    "madlad": "out/texts out/madlad --min-sentences 5",
    "decontaminate": "out/texts out/clean --benchmarks gsm8k.jsonl mmlu.jsonl",
    "quality_classifier": "out/texts out/best --model quality.bin --top 0.1",
    "domains": "out/texts out/labelled --model topics.bin --key topic",
    "percentile": "out/texts out/longer --signal word_count --top 0.5 --by language",
    "rules": "out/texts out/long --signals.word_count.at-least 50",
    "replace": "out/texts out/unlinked --pattern 'https?://\\S+'",
    "perplexity": "out/texts out/measured --model en.lm --buckets corpus",
    "lines": "out/texts out/lines --flavour llama3",
    "paragraphs": "out/texts out/paragraphs --flavour ccnet",
    "sentence_spans": "out/texts out/spans --keep longest",
    "importance": "out/texts out/chosen --weights books.weights.json --top 0.1",
    "edu_score": "out/texts out/educational --model fineweb-edu-classifier --at-least 3",
    "url_dedup": "out/texts out/pages",
    "exact": "out/texts out/unique",
    "minhash": "out/texts out/different --bands 14 --rows 8",
    "simhash": "out/texts out/different --distance 4",
    "semantic": "embedded.parquet out/different --embedding meta.embedding",
    "substring": "out/texts out/unrepeated --unit bytes --min-length 200 --keep first",
}
"""Stage -> what follows `gristmill stage NAME`."""


def example_of(name: str) -> str:
    """The command line of an example; for a user's own stage one without flags."""
    return f"gristmill stage {name} {EXAMPLES.get(name, 'out/texts out/' + name.rpartition(':')[2].lower())}"
