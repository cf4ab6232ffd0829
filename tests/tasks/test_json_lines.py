"""JSON lines as people have them: gzip members, encodings, marks of byte order, and line ends."""

import gzip
import json
import time
from pathlib import Path

import pytest

from quantbench.tasks.json_lines import Lines, read_lines

ROWS = [{"task_id": f"T/{number}", "text": f"größer {number}\u2028\u0085"} for number in range(40)]


def lines_of(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(path: Path, content: bytes) -> Lines:
    path.write_bytes(content)
    return read_lines(path)


def rows(lines: Lines) -> list[object]:
    return [json.loads(line) for _, line in lines.numbered]


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_encoding_of_json_is_read(tmp_path: Path, encoding: str, packed: bool) -> None:
    content = lines_of(*ROWS).encode(encoding)
    lines = read(tmp_path / "x", gzip.compress(content) if packed else content)
    assert rows(lines) == ROWS and lines.damage == ()


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_files_that_were_joined_with_their_marks_are_read(tmp_path: Path, mark: str) -> None:
    parts = [lines_of(row).encode(mark) for row in ROWS]
    assert rows(read(tmp_path / "x", b"".join(parts))) == ROWS


def test_line_ends_of_windows_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    assert rows(read(tmp_path / "x", b'{"a": 1}\r\n\r\n  \n{"a": 2}\r\n')) == [{"a": 1}, {"a": 2}]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    assert [number for number, _ in read(tmp_path / "x", b"\n1\n\n2").numbered] == [2, 4]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_members_may_end_anywhere_in_a_line(tmp_path: Path, size: int) -> None:
    content = lines_of(*ROWS).encode()
    members = [gzip.compress(content[start : start + size]) for start in range(0, len(content), size)]
    assert rows(read(tmp_path / "x", b"".join(members))) == ROWS


@pytest.mark.parametrize("ended", [True, False])
def test_plain_lines_before_between_and_behind_members_are_kept(tmp_path: Path, ended: bool) -> None:
    texts = [lines_of(row).encode().removesuffix(b"" if ended else b"\n") for row in ROWS[:5]]
    packed = [gzip.compress(text) if number % 2 else text for number, text in enumerate(texts)]
    lines = read(tmp_path / "x", b"".join(packed))
    assert rows(lines) == ROWS[:5] and lines.damage == ()


def test_zeros_behind_a_member_are_padding(tmp_path: Path) -> None:
    lines = read(tmp_path / "x", gzip.compress(lines_of(*ROWS).encode()) + bytes(512))
    assert rows(lines) == ROWS and lines.damage == ()


def test_a_member_without_its_end_costs_its_own_end_alone(tmp_path: Path) -> None:
    first, second = (gzip.compress(lines_of(*part).encode()) for part in (ROWS[:20], ROWS[20:]))
    lines = read(tmp_path / "x", first[:-20] + second)
    assert [
        row
        for row in ROWS[20:]
        if json.dumps(row, ensure_ascii=False).encode() not in dict(lines.numbered).values()
    ] == []
    assert len(lines.damage) == 1 and "gzip part at byte 0" in lines.damage[0]


def test_a_wrong_checksum_costs_no_line(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(lines_of(*ROWS).encode()))
    packed[-8] ^= 1
    lines = read(tmp_path / "x", bytes(packed))
    assert rows(lines) == ROWS and len(lines.damage) == 1


def test_wide_text_that_breaks_off_inside_a_character_is_named(tmp_path: Path) -> None:
    lines = read(tmp_path / "x", lines_of(*ROWS).encode("utf-16-le") + b"\x00")
    assert rows(lines) == ROWS and "utf-16-le" in lines.damage[0]


def test_time_grows_with_the_number_of_members_not_with_its_square(tmp_path: Path) -> None:
    member = gzip.compress(lines_of(ROWS[0]).encode())

    def seconds(count: int) -> float:
        started = time.process_time()
        assert len(read(tmp_path / "x", member * count).numbered) == count
        return time.process_time() - started

    seconds(1000)
    assert seconds(16_000) < 64 * max(seconds(1000), 0.004)
