import pytest

from gristmill.stages.fasttext_file import check_file


@pytest.fixture(scope="module")
def models(tmp_path_factory, fasttext_model):
    """Small models of the forms that the library reads and writes."""
    import fasttext

    folder = tmp_path_factory.mktemp("models")
    words = {f"w{number}": ("eng_Latn", "deu_Latn")[number % 2] for number in range(400)}
    plain = fasttext_model(folder / "plain.bin", words, ["eng_Latn", "deu_Latn"])
    (folder / "text.txt").write_text("__label__eng_Latn w1 w2\n" * 20)
    for norms in (False, True):
        model = fasttext.load_model(plain)
        model.quantize(input=str(folder / "text.txt"), qnorm=norms, retrain=False)
        model.save_model(str(folder / f"{'with' if norms else 'without'}_norms.ftz"))
    fasttext_model(folder / "vectors.bin", words, ["eng_Latn", "deu_Latn"], kind=2)
    return folder


@pytest.mark.parametrize("name", ["plain.bin", "without_norms.ftz", "with_norms.ftz"])
def test_whole_models_pass_and_every_shorter_or_longer_file_is_refused(models, tmp_path, name):
    whole = (models / name).read_bytes()
    check_file(str(models / name))
    other = tmp_path / name
    for size in [0, 7, 60, 80, 90, 100, len(whole) // 2, len(whole) - 1]:
        other.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"too short|cut off"):
            check_file(str(other))
    other.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match=f"should have {len(whole):,} bytes and has {len(whole) + 1:,}"):
        check_file(str(other))


def test_word_vectors_have_no_labels(models):
    with pytest.raises(ValueError, match="holds word vectors"):
        check_file(str(models / "vectors.bin"))


def test_other_files_and_other_formats_are_refused(tmp_path):
    (tmp_path / "page.bin").write_bytes(b"<html>" * 100)
    with pytest.raises(ValueError, match="does not begin as one does"):
        check_file(str(tmp_path / "page.bin"))
    (tmp_path / "old.bin").write_bytes((793712314).to_bytes(4, "little") + (11).to_bytes(4, "little") + bytes(200))
    with pytest.raises(ValueError, match="has format 11"):
        check_file(str(tmp_path / "old.bin"))
