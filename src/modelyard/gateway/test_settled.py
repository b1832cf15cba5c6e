"""Ledger lines that count only with their transaction: cut off, kept, settled after a crash."""

from itertools import count
from pathlib import Path

import pytest

from modelyard.gateway.settled import Mark, SettledSegments, settle

START = Mark("old", "seg_000000000004_a.jsonl", 20)


class Segments(SettledSegments):
    """The writer, given plain lines."""

    def put(self, line: bytes) -> None:
        with self._lock:
            if self._file is None:
                self._open()
            self._append(line)


def opened(folder: Path, mark: Mark | None = None) -> Segments:
    numbers = count()
    return Segments(folder, lambda prefix: f"{prefix}{next(numbers)}", "new", mark)


def held(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jsonl"))]


def committed(segments: Segments, *lines: bytes) -> Mark:
    segments.begin()
    for line in lines:
        segments.put(line)
    mark = segments.mark()
    segments.commit(mark)
    return mark


def test_what_was_committed_stays_and_what_was_undone_goes(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    first = committed(segments, b"a\n")
    segments.begin()
    segments.put(b"b\n")
    segments.undo()
    second = committed(segments, b"c\n")
    assert held(tmp_path) == [b"a\nc\n"]
    assert (first.segment, first.size, second.size) == (second.segment, 2, 4)


def test_a_transaction_that_was_undone_first_of_all_leaves_nothing(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    segments.begin()
    segments.put(b"a\n")
    segments.undo()
    assert held(tmp_path) == [b""]
    assert segments.mark() == Mark("new")


def test_a_segment_ends_only_between_two_transactions(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    segments.begin()
    segments.put(b"a\n")
    assert segments.rotate() is None
    assert segments.closed() == []
    segments.put(b"b\n")
    segments.commit(segments.mark())
    [closed] = segments.closed()
    assert closed.read_bytes() == b"a\nb\n"
    committed(segments, b"c\n")
    assert segments.rotate() is not None
    assert held(tmp_path) == [b"a\nb\n", b"c\n"]


def test_a_transaction_without_lines_marks_what_was_committed_before(tmp_path: Path) -> None:
    segments = opened(tmp_path, START)
    assert segments.mark() == Mark("new", START.segment, START.size)
    mark = committed(segments, b"a\n")
    segments.rotate()
    assert committed(segments) == mark


@pytest.mark.parametrize("rotated", [False, True])
def test_after_a_crash_lines_behind_the_last_mark_are_cut_off(tmp_path: Path, rotated: bool) -> None:
    segments = opened(tmp_path)
    mark = committed(segments, b"a\n")
    if rotated:
        segments.rotate()
    segments.begin()
    segments.put(b"lost\n")
    settle(tmp_path, mark)
    assert held(tmp_path) == [b"a\n"]


def test_after_a_crash_behind_the_commit_everything_stays(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    committed(segments, b"a\n")
    segments.begin()
    segments.put(b"b\n")
    settle(tmp_path, segments.mark())
    assert held(tmp_path) == [b"a\nb\n"]


def test_after_a_crash_in_the_first_transaction_nothing_stays(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    begun = committed(segments)
    segments.begin()
    segments.put(b"lost\n")
    settle(tmp_path, begun)
    assert held(tmp_path) == []


def test_a_forgotten_mark_costs_nothing(tmp_path: Path) -> None:
    segments = opened(tmp_path)
    committed(segments, b"a\n")
    settle(tmp_path, None)
    assert held(tmp_path) == [b"a\n"]


def test_names_go_on_from_the_mark_and_from_the_disk(tmp_path: Path) -> None:
    assert committed(opened(tmp_path, START), b"a\n").segment.startswith("seg_000000000005_")
    assert committed(opened(tmp_path, START), b"b\n").segment.startswith("seg_000000000006_")
