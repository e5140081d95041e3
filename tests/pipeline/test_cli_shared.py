"""What the commands have in common."""

import pytest

from gristmill.pipeline.cli import exit_status


@pytest.mark.parametrize(
    ("given", "example"),
    [
        (["perplexity", "train", "--on", "nowhere"], "en.lm"),
        (["importance", "train", "--target", "nowhere", "--raw", "nowhere"], "books.weights.json"),
    ],
)
@pytest.mark.parametrize("ending", ["", "/"])
def test_a_folder_is_no_file_to_write_which_is_told_before_documents_are_read(tmp_path, capsys, given, example, ending):
    assert exit_status([*given, "--output", f"{tmp_path}{ending}"]) == 2
    assert (
        capsys.readouterr().err
        == f"--output {tmp_path}{ending}: is a folder; give the file to write, e.g. {tmp_path}/{example}\n"
    )
    assert list(tmp_path.iterdir()) == []
