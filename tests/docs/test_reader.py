"""The runner of code blocks does what a document trusts it to do."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.docs.blocks import Block, BlockError, Reader, blocks, fault


def written(folder: Path, text: str) -> list[Block]:
    document = folder / "document.md"
    document.write_text(textwrap.dedent(text))
    return list(blocks(document))


def read(folder: Path, text: str) -> Reader:
    """Run a document, whole."""
    with Reader(folder) as reader:
        for block in written(folder, text):
            reader.run(block)
    return reader


def test_python_blocks_share_a_namespace_and_may_await(tmp_path: Path) -> None:
    reader = read(
        tmp_path,
        """
        ```python
        import asyncio
        number = 40
        ```
        Then:
        ```python
        await asyncio.sleep(0)
        number += 2
        ```
        """,
    )

    assert reader.module.__dict__["number"] == 42


def test_a_named_block_is_a_file_for_the_others(tmp_path: Path) -> None:
    reader = read(
        tmp_path,
        """
        1. In a list, with more ticks:
           ````python
           # tools/made_by_a_block.py
           answer = 42
           ````
        ```python
        from tools.made_by_a_block import answer
        ```
        ```console
        $ python -c 'import tools.made_by_a_block as made; print(made.answer, "it is")'
        42 … is
        $ true
        ```
        """,
    )

    assert reader.module.__dict__["answer"] == 42


def test_a_console_block_fails_when_it_shows_something_else(tmp_path: Path) -> None:
    with pytest.raises(BlockError, match=r"document\.md:3: `echo two` prints\ntwo\n"):
        read(
            tmp_path,
            """
            ```console
            $ echo one
            one
            $ echo two
            three
            ```
            """,
        )


def test_a_failing_command_fails_its_block(tmp_path: Path) -> None:
    with pytest.raises(BlockError, match="exit code 3"):
        read(tmp_path, "```bash\n(exit 3)\necho on\n```\n")


def test_a_python_error_points_into_the_document(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        read(tmp_path, "\n```python\n\n1 / 0\n```\n")

    last = caught.traceback[-1]
    assert (Path(last.path).name, last.lineno + 1) == ("document.md", 4)


def test_what_runs_in_the_background_ends_with_the_document(tmp_path: Path) -> None:
    waits = "```bash background\ntrap 'touch ended; exit 0' TERM\ntouch began\nwhile :; do sleep 0.02; done\n```\n"

    read(tmp_path, waits + "```bash\nuntil [ -e began ]; do sleep 0.02; done\n```\n")

    assert (tmp_path / "ended").exists()


def test_what_runs_in_the_background_may_not_end_by_itself(tmp_path: Path) -> None:
    with pytest.raises(BlockError, match="ended too early"):
        read(tmp_path, "```bash background\ntouch gone\n```\n```bash\nuntil [ -e gone ]; do :; done; sleep 0.3\n```\n")


@pytest.mark.parametrize(
    "info, complaint",
    [("", "the language ''"), ("pyhton", "the language"), ("bash no-run", "wants a reason"), ("bash quick", "'quick'")],
)
def test_an_info_string_that_says_too_little_is_refused(tmp_path: Path, info: str, complaint: str) -> None:
    [block] = written(tmp_path, f"```{info}\n```\n")

    assert complaint in (fault(block) or "")


def test_a_block_that_is_not_run_says_why(tmp_path: Path) -> None:
    [block] = written(tmp_path, "```python no-run: needs a Redis server\n1 / 0\n```\n")

    assert block.not_run == "needs a Redis server"
    assert fault(block) is None
