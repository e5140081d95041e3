"""The script that runs the README's code blocks, and the README's links. The blocks themselves run in `make check`."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run_readme():
    spec = importlib.util.spec_from_file_location("run_readme", ROOT / "tools" / "run_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_are_found_with_their_lines_and_without_make_and_other_languages(run_readme):
    page = "# A\n\n```bash\nmake demo\necho 1\n```\n\n"
    page += "```yaml\na: 1\n```\n\n```python\nprint(2)\n```\n\n```bash\nmake test  # all\n```\n"
    assert list(run_readme.blocks(page)) == [(3, "bash", "\necho 1\n"), (12, "python", "print(2)\n")]


def test_a_block_marked_as_not_run_is_left_out(run_readme):
    assert list(run_readme.blocks("<!-- not run: needs a cluster -->\n```bash\nfalse\n```\n")) == []


def test_blocks_share_a_folder_and_a_pipe_that_fails_stops_the_page(run_readme, tmp_path, capsys):
    page = tmp_path / "page.md"
    blocks = "```bash\necho 5 > n\n```\n```python\nassert open('n').read() == '5\\n'\n```\n"
    page.write_text(blocks + "```bash\nfalse | cat\n```\n```bash\ntouch never\n```\n")
    assert run_readme.main([str(page)]) == 1
    said = capsys.readouterr().out
    assert [f"{line}:" in said for line in ("page.md:1", "page.md:4", "page.md:7", "page.md:10")] == [True, True, True, False]


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_to_a_file_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
