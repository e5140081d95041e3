import pytest

from gristmill.trainer.config import ConfigError, read_config, shipped


def write(tmp_path, text):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    return file


def test_a_file_and_what_is_set_on_top_of_it(tmp_path):
    file = write(tmp_path, "name: a\ndata: here\nsteps: 5\nmodel: {width: 64}\n")
    settings = read_config(file, ["steps=7", "model.heads=2", "mixture.web=0.5", "optimizer.learning_rate=1e-4"])
    assert (settings.steps, settings.model.width, settings.model.heads) == (7, 64, 2)
    assert settings.mixture == {"web": 0.5}
    assert settings.optimizer.learning_rate == 1e-4


def test_an_unset_value_is_null(tmp_path):
    assert read_config(write(tmp_path, "name: a\ndata: here\nsteps: 5\nthreads: 2\n"), ["threads=null"]).threads is None


@pytest.mark.parametrize("name", shipped())
def test_shipped_configurations_are_sound(name):
    assert read_config(name, ["data=somewhere"]).name == name


def test_a_value_may_hold_an_equals_sign(tmp_path):
    assert read_config("tiny", ["data=out/day=1/shards"]).data == "out/day=1/shards"


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path):
    file = write(tmp_path, "name: a\nsteps: 0\nmodel:\n  witdh: 64\n  layers: two\n")
    with pytest.raises(ConfigError) as caught:
        read_config(file, ["seed=-1", "nonsense"])
    assert str(caught.value).splitlines() == [
        "--set nonsense: has no path=value; write steps=100",
        f"{file}: data: is missing; set data=RUN/shards",
        f"{file}:2: steps: is 0; input should be greater than 0",
        "--set seed=-1: seed: is -1; input should be greater than or equal to 0",
        f"{file}:5: model.layers: is 'two'; input should be a valid integer, unable to parse string as an integer",
        f"{file}:4: model.witdh: unknown key; did you mean width?",
    ]


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["model.heads=3"], "--set model.heads=3: model: width 128 over 3 heads must give each an even number of dimensions"),
        (["model.kv_heads=3"], "--set model.kv_heads=3: model: kv_heads 3 must divide heads 4"),
        (["micro_windows=5"], "tiny.yaml: micro_windows 5 must divide windows 8"),
        (["steps.x=1"], "--set steps.x=1: steps holds 30, not further keys"),
        (["seq_len=[1"], "--set seq_len=[1: the value is not YAML; quote it"),
        (["device=gpu"], "--set device=gpu: device: is 'gpu'; string should match pattern"),
        (["optimizer.learning_rate=.nan"], "--set optimizer.learning_rate=.nan: optimizer.learning_rate: is nan"),
    ],
)
def test_a_mistake_that_was_set_is_told_as_such(sets, told):
    with pytest.raises(ConfigError) as caught:
        read_config("tiny", ["data=x", *sets])
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [1\n", "run.yaml:2: not YAML"), ("- 1\n", "run.yaml: holds CommentedSeq"), ("a: 1\na: 2\n", "run.yaml:2: not YAML")],
)
def test_a_file_that_is_no_configuration_is_told(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        read_config(write(tmp_path, text))


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match=r"small: no such file, and no shipped configuration; shipped are .*tiny"):
        read_config("small")
