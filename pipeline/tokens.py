"""Tokenization as the driver sees it: a tokenizer, tokens in hash order, shards."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gristmill.pipeline import token_tasks
from gristmill.pipeline.code_hash import code_hash
from gristmill.pipeline.errors import UserError
from gristmill.pipeline.exchange import Sent, received
from gristmill.pipeline.identity import platform_identity
from gristmill.pipeline.parts import Part
from gristmill.pipeline.recipe import Tokenize, TrainTokenizer
from gristmill.pipeline.runner import Runner
from gristmill.pipeline.shard_cuts import bucket_count, cut_shards, joined
from gristmill.pipeline.state import RunState
from gristmill.pipeline.steps import Manifest, Task, file_entry, step_key
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.loading import load_tokenizer
from gristmill.tokenizers.model_settings import END_OF_TEXT, TokenizerModel
from gristmill.tokenizers.shards import write_manifest

SHARDS, HELD_OUT = "shards", "held_out"
"""Folders of a run: what is trained on, and what a model is judged by."""


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
        encoder = Encoder(content, self._eos, self.settings.bos)
        manifests = []
        for folder, shards in self._shards(name, encoder).items():
            entries = {source: [one["entry"] for one in written] for source, written in shards.items()}
            manifests += [one for written in shards.values() for one in written]
            manifests.append(self._manifest(folder, entries, content, encoder, recipe_hash))
        return manifests

    @property
    def _eos(self) -> str:
        return self.settings.eos or END_OF_TEXT

    def _tokenizer(self) -> str:
        """The tokenizer.json in the work folder."""
        if self.settings.tokenizer is not None:
            return _given(self.runner, self.settings)
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
        settings = TokenizerModel.model_validate({name: getattr(train, name) for name in TokenizerModel.model_fields})
        asked = {"settings": settings, "eos": self._eos, "fewer": train.fewer}
        done = self.runner.run(
            "train tokenizer",
            [
                Task(
                    step_key("train", files=files, **asked | {"settings": settings.model_dump()}, **self._base),
                    token_tasks.train_tokenizer,
                    {"files": files, **asked},
                    "training of the tokenizer",
                )
            ],
        )
        return str(done[0]["files"][0]["file"])

    def _shards(self, tokenizer: str, encoder: Encoder) -> dict[str, dict[str, list[Manifest]]]:
        """Shards by the folder that they are published in and by source."""
        token_bytes = 2 if encoder.dtype == "uint16" else 4
        buckets = {source: self._buckets(source, token_bytes) for source in self.state.versions}
        encoded = self.runner.run(
            "tokenize", [self._encode(part, tokenizer, encoder, *buckets[part.source]) for part in self.state.parts]
        )
        tasks: list[Task] = []
        owners: list[tuple[str, str]] = []
        for source, (kept, outside) in buckets.items():
            own = [manifest for part, manifest in zip(self.state.parts, encoded, strict=True) if part.source == source]
            places = received(own)
            sizes = [0] * (kept + outside)
            for manifest in own:
                for bucket, tokens in manifest["tokens"].items():
                    sizes[int(bucket)] += tokens * token_bytes
            for folder, first, stop in ((SHARDS, 0, kept), (HELD_OUT, kept, kept + outside)):
                for number, cut in enumerate(cut_shards(sizes[first:stop], self.settings.shard_bytes)):
                    sent = joined(places, range(first + cut.start, first + cut.stop))
                    tasks.append(self._shard(sent, f"{source}/{number:05d}", encoder.dtype, folder))
                    owners.append((folder, source))
        folders = (SHARDS, HELD_OUT) if self.settings.held_out else (SHARDS,)
        found: dict[str, dict[str, list[Manifest]]] = {folder: {} for folder in folders}
        for (folder, source), manifest in zip(owners, self.runner.run("write shards", tasks), strict=True):
            found[folder].setdefault(source, []).append(manifest)
        return found

    def _buckets(self, source: str, token_bytes: int) -> tuple[int, int]:
        """How many buckets a source's documents are sent to, and how many its held-out ones."""
        text_bytes = sum(part.bytes for part in self.state.parts if part.source == source)
        most, held_out = self.settings.shard_bytes, self.settings.held_out
        return bucket_count(text_bytes * (1 - held_out), token_bytes, most), bucket_count(
            text_bytes * held_out, token_bytes, most
        )

    def _shard(self, sent: list[Sent], path: str, dtype: str, folder: str) -> Task:
        arguments = {"sent": sent, "path": path, "dtype": dtype, "folder": folder}
        stretches = [[one.file, one.first, one.stop] for one in sent]
        key = step_key("shard", **arguments | {"sent": stretches}, **self._base)
        return Task(key, token_tasks.shard, arguments, f"shard {path}")

    def _encode(self, part: Part, tokenizer: str, encoder: Encoder, buckets: int, held_out_buckets: int) -> Task:
        how = {"buckets": buckets, "held_out": self.settings.held_out, "held_out_buckets": held_out_buckets}
        ends = {"eos": encoder.eos_id, "bos": encoder.bos_id}
        return Task(
            step_key("encode", part=part.identity(), tokenizer=encoder.sha256, **ends, **how, **self._base),
            token_tasks.encode,
            {"part": part, "tokenizer": tokenizer, "eos": self._eos, "bos": self.settings.bos, **how},
            f"tokens of {part.file}",
            part.kept,
        )

    def _manifest(
        self, folder_name: str, entries: dict[str, list[dict[str, Any]]], content: str, encoder: Encoder, recipe_hash: str
    ) -> Manifest:
        work = self.runner.work
        identity = json.dumps(
            [folder_name, entries, encoder.bos_id, encoder.sha256, recipe_hash, self.seed, self.mixture], sort_keys=True
        )
        folder = f"data/manifests/{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
        write_manifest(
            work.fs,
            work.path(folder),
            entries,
            tokenizer_json=content,
            eos_id=encoder.eos_id,
            bos_id=encoder.bos_id,
            vocab_size=encoder.vocab_size,
            dtype=encoder.dtype,
            seed=self.seed,
            recipe_hash=recipe_hash,
            mixture=self.mixture,
        )
        published = [
            file_entry(work, f"{folder}/{name}") | {"name": f"{folder_name}/{name}"}
            for name in ("tokenizer.json", "manifest.json")
        ]
        return {"files": [], "published": published}


def _given(runner: Runner, settings: Tokenize) -> str:
    """Copy the user's tokenizer into the work folder, where all workers see it."""
    path = str(settings.tokenizer)
    try:
        text = load_tokenizer(path)
        found = Encoder(text, settings.eos or END_OF_TEXT, settings.bos).sha256
    except ValueError as error:
        at = "" if str(error).startswith(path) else f"{path}: "
        raise UserError(f"tokenize.tokenizer: {at}{error}") from error
    if settings.sha256 not in (None, found):
        raise UserError(
            f"tokenize.tokenizer: {path}: its sha256 is {found}, the recipe says {settings.sha256}; another tokenizer"
        )
    content = text.encode()
    name = f"data/tokenizers/{hashlib.sha256(content).hexdigest()[:32]}.json"
    if runner.work.size(name) != len(content):
        runner.work.put(name, content)
    return name
