"""Tokenization as the driver sees it: a tokenizer, tokens in hash order, shards."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gristmill.pipeline import token_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import received, sent_identity
from gristmill.pipeline.identity import platform_identity
from gristmill.pipeline.parts import Part
from gristmill.pipeline.recipe import Tokenize, TrainTokenizer
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import Manifest, Task, file_entry, step_key
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.shards import write_manifest
from gristmill.tokenizers.training import END_OF_TEXT

TOKEN_BYTES_PER_TEXT_BYTE = 0.6
"""Guess at 2-byte tokens of 3.5 bytes each; the number of shards is decided before a token is counted, from this alone."""


class Tokenization:
    """Writes the token shards of a run."""

    def __init__(
        self, runner: Runner, state: RunState, settings: Tokenize, seed: int, mixture: dict[str, float] | None = None
    ) -> None:
        """Prepare to tokenize the documents of `state`; `mixture` goes into the manifest, for the trainer."""
        self.runner, self.state, self.settings, self.seed, self.mixture = runner, state, settings, seed, mixture
        self._base = {"code": code_hash("gristmill.pipeline.token_tasks"), "platform": platform_identity(), "seed": seed}

    def run(self, recipe_hash: str) -> list[Manifest]:
        """Manifests whose `published` files are the shards, tokenizer.json and manifest.json."""
        name = self._tokenizer()
        with self.runner.work.open(name) as file:
            content = file.read().decode()
        encoder = Encoder(content, self.settings.eos or END_OF_TEXT)
        shards = self._shards(name, encoder)
        entries = {source: [one["entry"] for one in manifests] for source, manifests in shards.items()}
        summary = self._manifest(entries, content, encoder, recipe_hash)
        return [*(one for manifests in shards.values() for one in manifests), summary]

    def _tokenizer(self) -> str:
        """The tokenizer.json in the work folder."""
        if self.settings.tokenizer is not None:
            return _given(self.runner, self.settings.tokenizer)
        if self.settings.train is None:
            raise ValueError("tokenize names neither a tokenizer nor how to train one")
        return self._trained(self.settings.train)

    def _trained(self, train: TrainTokenizer) -> str:
        """Train on a hash sample of the documents."""
        text_bytes = sum(part.bytes for part in self.state.parts)
        if not text_bytes:
            raise UserError(
                "tokenize.train: no document is left to train a tokenizer on; see the funnel, or give tokenize.tokenizer"
            )
        fraction = min(1.0, train.sample_bytes / text_bytes)
        drawn = self.runner.run(
            "draw tokenizer sample",
            [
                Task(
                    step_key("draw", part=part.identity(), fraction=fraction, **self._base),
                    token_tasks.draw,
                    {"part": part, "fraction": fraction, "seed": self.seed},
                    f"sample of {part.file}",
                    part.kept,
                )
                for part in self.state.parts
            ],
        )
        files = [manifest["files"][0]["file"] for manifest in drawn]
        special = [self.settings.eos or END_OF_TEXT]
        done = self.runner.run(
            "train tokenizer",
            [
                Task(
                    step_key("train", files=files, vocab_size=train.vocab_size, special=special, **self._base),
                    token_tasks.train_tokenizer,
                    {"files": files, "vocab_size": train.vocab_size, "special_tokens": special},
                    "training of the tokenizer",
                )
            ],
        )
        return str(done[0]["files"][0]["file"])

    def _shards(self, tokenizer: str, encoder: Encoder) -> dict[str, list[Manifest]]:
        shard_count: dict[str, int] = {}
        for source in self.state.versions:
            text_bytes = sum(part.bytes for part in self.state.parts if part.source == source)
            size = text_bytes * TOKEN_BYTES_PER_TEXT_BYTE * (1 if encoder.dtype == "uint16" else 2)
            shard_count[source] = max(1, -(-int(size) // self.settings.shard_bytes))
        encoded = self.runner.run(
            "tokenize", [self._encode(part, tokenizer, encoder, shard_count[part.source]) for part in self.state.parts]
        )
        tasks: list[Task] = []
        owners: list[str] = []
        for source in shard_count:
            own = [manifest for part, manifest in zip(self.state.parts, encoded, strict=True) if part.source == source]
            for number, sent in enumerate(received(own).values()):
                path = f"{source}/{number:05d}"
                key = step_key("shard", sent=sent_identity(sent), path=path, dtype=encoder.dtype, **self._base)
                tasks.append(Task(key, token_tasks.shard, {"sent": sent, "path": path, "dtype": encoder.dtype}, f"shard {path}"))
                owners.append(source)
        by_source: dict[str, list[Manifest]] = {}
        for owner, manifest in zip(owners, self.runner.run("write shards", tasks), strict=True):
            by_source.setdefault(owner, []).append(manifest)
        return by_source

    def _encode(self, part: Part, tokenizer: str, encoder: Encoder, shards: int) -> Task:
        return Task(
            step_key("encode", part=part.identity(), tokenizer=encoder.sha256, eos=encoder.eos_id, shards=shards, **self._base),
            token_tasks.encode,
            {"part": part, "tokenizer": tokenizer, "eos": self.settings.eos or END_OF_TEXT, "shards": shards},
            f"tokens of {part.file}",
            part.kept,
        )

    def _manifest(self, entries: dict[str, list[dict[str, Any]]], content: str, encoder: Encoder, recipe_hash: str) -> Manifest:
        work = self.runner.work
        identity = json.dumps([entries, encoder.sha256, recipe_hash, self.seed, self.mixture], sort_keys=True)
        folder = f"data/manifests/{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        write_manifest(
            work.fs,
            work.path(folder),
            entries,
            tokenizer_json=content,
            eos_id=encoder.eos_id,
            vocab_size=encoder.vocab_size,
            dtype=encoder.dtype,
            seed=self.seed,
            recipe_hash=recipe_hash,
            mixture=self.mixture,
        )
        published = [
            file_entry(work, f"{folder}/{name}") | {"name": f"shards/{name}"} for name in ("tokenizer.json", "manifest.json")
        ]
        return {"files": [], "published": published}


def _given(runner: Runner, path: str) -> str:
    """Copy the user's tokenizer into the work folder, where all workers see it."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UserError(f"tokenize.tokenizer: {path}: {error.strerror}; give the path of a tokenizer.json") from error
    try:
        Encoder(content.decode())
    except ValueError as error:
        raise UserError(f"tokenize.tokenizer: {path}: {error}") from error
    name = f"data/tokenizers/{hashlib.sha256(content).hexdigest()[:32]}.json"
    if runner.work.size(name) != len(content):
        runner.work.put(name, content)
    return name
