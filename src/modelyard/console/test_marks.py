"""Marks and labels on a time axis."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelyard.console.marks import GAP, LETTER, LOUDNESS, Mark, draw_marks, place_labels
from modelyard.console.scale import TimeScale

SPRING = datetime(2013, 4, 1, tzinfo=UTC)
SCALE = TimeScale(SPRING, SPRING + timedelta(days=270), 56, 966)
MARKS = st.lists(
    st.builds(
        Mark,
        at=st.integers(0, 270).map(lambda day: SPRING + timedelta(days=day)),
        kind=st.sampled_from(sorted(LOUDNESS)),
        text=st.text("abc 12", min_size=1, max_size=16),
        told=st.just("told"),
    ),
    max_size=60,
)


@given(MARKS)
def test_labels_of_one_row_never_overlap(marks: list[Mark]) -> None:
    rows = place_labels(marks, SCALE)
    extents: dict[int, list[tuple[float, float]]] = {}
    for n, row in rows.items():
        width = len(marks[n].text) * LETTER
        middle = min(max(SCALE(marks[n].at), SCALE.start + width / 2), SCALE.stop - width / 2)
        extents.setdefault(row, []).append((middle - width / 2, middle + width / 2))
    for spans in extents.values():
        ordered = sorted(spans)
        assert all(after[0] - before[1] >= GAP - 1e-6 for before, after in itertools.pairwise(ordered))


@given(MARKS)
def test_a_louder_mark_never_loses_its_label_to_a_quieter_one_at_the_same_time(marks: list[Mark]) -> None:
    rows = place_labels(marks, SCALE)
    for n, mark in enumerate(marks):
        if n not in rows and mark.kind != "quiet":
            alike = [m for m, other in enumerate(marks) if m in rows and other.at == mark.at and other.text == mark.text]
            assert all(LOUDNESS[marks[m].kind] >= LOUDNESS[mark.kind] for m in alike)


def test_a_mark_says_its_time_and_sentence_and_leads_to_its_evidence() -> None:
    mark = Mark(SPRING + timedelta(days=9), "bad", "roll back v3", "worse by <0.04>", "/react/decisions/dec_1")
    [drawn], _ = draw_marks([mark], SCALE, top=20, axis=200)
    assert '<a href="/react/decisions/dec_1" aria-label="roll back v3, 10 Apr 2013">' in drawn
    assert "10 Apr 2013 00:00 UTC: worse by &lt;0.04&gt;" in drawn
    assert "<rect" in drawn


def test_marks_outside_the_range_are_left_out() -> None:
    assert draw_marks([Mark(SPRING - timedelta(days=1), "act", "x", "x")], SCALE, top=0, axis=1)[0] == []
