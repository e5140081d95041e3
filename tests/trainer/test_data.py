"""What a training run reads, settled from its settings."""

import json

import pytest

from gristmill.tokenizers.mixture_plan import MixturePlan
from gristmill.tokenizers.shards import open_shards
from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.data import settle

LENGTH = 16


@pytest.fixture(scope="module")
def shards(make_corpus, tmp_path_factory):
    texts = {name: [f"{name} {' mill' * (n % 40)} {n}" for n in range(60)] for name in ("web", "books")}
    return open_shards(make_corpus(tmp_path_factory.mktemp("short"), texts))


def planned(shards, folder, phases, max_epochs=4.0):
    """The file of a mixture's plan: tokens of each source by phase."""
    sources = [
        {
            "source": entry.name, "weight": 0.5, "available_tokens": entry.tokens,
            "tokens": sum(phase.get(entry.name, 0) for phase in phases), "epochs": 0, "effective_bytes": None, "unique_share": 1,
            "documents": entry.docs, "bytes": None, "counted": "exact", "max_epochs": max_epochs,
            "shards": [
                {
                    "folder": str(shards.folder), "source": entry.name,
                    "shards": [
                        {"path": one.path, "tokens": one.tokens, "sha256": one.sha256.model_dump()} for one in entry.shards
                    ],
                }
            ],
        }
        for entry in shards.manifest.sources
    ]  # fmt: skip
    starts = [sum(sum(phase.values()) for phase in phases[:n]) for n in range(len(phases))]
    plan = {
        "mixture": "small",
        "tokens": sum(sum(phase.values()) for phase in phases),
        "tokenizer_sha256": shards.tokenizer.sha256,
        "sources": sources,
        "phases": [
            {"name": f"phase{n}", "start": start, "tokens": sum(phase.values()), "sources": phase}
            for n, (start, phase) in enumerate(zip(starts, phases, strict=True))
        ],
    }
    MixturePlan.model_validate(plan)
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    return file


def settled(data, *sets):
    told = []
    settings = read_config("tiny", [f"data={data}", f"seq_len={LENGTH}", "windows=8", *sets])
    _, plan, steps = settle(settings, told.append)
    return plan, steps, told


PHASES = [{"web": 2000, "books": 2000}, {"books": 1000}]


def test_a_mixture_plan_by_full_windows(shards, tmp_path):
    plan, _, told = settled(planned(shards, tmp_path, PHASES), "steps=39")
    # 4,000 tokens are 250 windows of 16; 39 steps of 8 are 4,992
    assert ([begin for begin, _ in plan.later], told) == ([250], [])
    with pytest.raises(ConfigError, match="plans 5,000 tokens, 40 steps of 128 read 5,120; set steps=39 or less"):
        settled(planned(shards, tmp_path, PHASES), "steps=40")


def test_a_mixture_plan_in_batches_that_grow(shards, tmp_path):
    file = planned(shards, tmp_path, PHASES)
    ramp = "batch_ramp=[{tokens: 500, windows: 2}]"
    # 16 batches of 2 windows, then of 8: 32 + 8 n windows up to 312.5
    plan, _, told = settled(file, "steps=51", ramp)
    assert (plan.windows_before(51), told) == (312, [])
    with pytest.raises(ConfigError, match="plans 5,000 tokens, 52 steps read 5,120; set steps=51 or less"):
        settled(file, "steps=52", ramp)
    assert settled(file, "steps=30", ramp)[2] == ["30 steps end before phase1; the whole plan has 51"]


def test_a_mixture_plan_by_padded_windows_gives_the_tokens_that_it_says(shards, tmp_path):
    plan, steps, told = settled(planned(shards, tmp_path, PHASES), "steps=39", "packing=best_fit")
    assert [line.split(":")[0] for line in told] == ["books", "web"]
    [(begin, _)] = plan.later
    # the phase begins after 4,000 targets: more windows than 250, as some are padded
    assert begin > 250
    assert begin * plan.window_targets(plan.weights) == pytest.approx(4000, abs=LENGTH)
    assert plan.targets_before(steps) <= 5000


def test_a_source_that_cropping_makes_too_small_is_told(shards, tmp_path):
    web = shards.manifest.sources[1]
    assert web.name == "web"
    plan, _, told = settled(
        planned(shards, tmp_path, [{"web": web.tokens, "books": 10}], max_epochs=1), "steps=1", "packing=crop"
    )
    epochs = web.tokens / plan.targets[1]
    assert epochs > 1.2
    assert told[2:] == [
        f"web: {web.tokens:,} tokens are {epochs:.2f} epochs of what crop leaves of it, the mixture allows 1; "
        "plan again with a larger max_epochs or fewer tokens, unless that is meant"
    ]
    assert settled(planned(shards, tmp_path, [{"web": web.tokens, "books": 10}], max_epochs=1), "steps=1")[2] == []


def test_a_folder_of_shards_by_its_tokens_and_what_packing_makes_of_a_shortage(shards):
    plan, steps, told = settled(shards.folder, "steps=5", "packing=crop")
    assert (steps, len(told), plan.sources) == (5, 2, ("books", "web"))
    with pytest.raises(ConfigError, match="too few tokens for 60 steps"):
        settled(shards.folder, "steps=60", "packing=crop", "max_epochs=1")
    fewer = settled(shards.folder, "steps=60", "packing=crop", "max_epochs=1", "on_shortage=cap")
    more = settled(shards.folder, "steps=60", "packing=best_fit", "max_epochs=1", "on_shortage=cap")
    assert fewer[1] < more[1] < 60
    assert fewer[2][-1].splitlines()[-1] == f"training {fewer[1]} of 60 steps"
