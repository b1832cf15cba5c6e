from dataclasses import replace

from modelyard.core import ManualClock
from modelyard.runner.lines import MAX_LINE, LineBatch
from modelyard.runner.masking import Mask


def batch() -> LineBatch:
    return LineBatch(ManualClock(), Mask({"API_KEY": "12345678", "SHORT_TOKEN": "abc", "KEY_TOKEN_FILE": "/run/secret-file"}))


def texts(lines: LineBatch) -> list[tuple[str, str]]:
    return [(stream, text) for _, stream, text in lines.lines]


def test_lines_come_in_any_parts_and_streams_do_not_mix() -> None:
    lines = batch()
    for stream, part in (
        ("stdout", b"on"),
        ("stderr", b"err\n"),
        ("stdout", b"e\ntw"),
        ("stdout", b"o\n\n"),
        ("stdout", b"end"),
    ):
        lines.print(stream, part)
    assert texts(lines) == [("stderr", "err"), ("stdout", "one"), ("stdout", "two"), ("stdout", "")]
    lines.end()
    assert texts(lines)[-1] == ("stdout", "end")


def test_a_character_in_two_parts_is_whole() -> None:
    lines = batch()
    lines.print("stdout", "ä".encode()[:1])
    lines.print("stdout", "ä".encode()[1:] + b"\n")
    assert texts(lines) == [("stdout", "ä")]


def test_a_long_line_goes_on_in_further_ones() -> None:
    lines = batch()
    lines.print("stdout", b"x" * (2 * MAX_LINE + 1))
    lines.end()
    assert [len(text) for _, text in texts(lines)] == [MAX_LINE, MAX_LINE, 1]


def test_secrets_are_hidden_and_other_words_are_not() -> None:
    lines = batch()
    lines.print("stdout", b"12345678 abc /run/secret-file s3://key:word@host/x\n")
    assert texts(lines) == [("stdout", "… abc /run/secret-file s3://key:…@host/x")]


def test_the_password_of_a_secret_url_is_hidden_alone_too() -> None:
    mask = Mask({"MODELYARD_SECRET_SHOP": "postgresql://ann:hidden%20word@db.example"})
    assert mask("ann may not enter with 'hidden word'") == "ann may not enter with '…'"


def test_a_flood_is_cut_off_and_said_to_be() -> None:
    lines = replace(batch(), most_bytes=10_000)
    for _ in range(3):
        lines.print("stdout", (b"x" * 99 + b"\n") * 50)
    assert texts(lines)[-1][0] == "worker"
    assert [stream for stream, _ in texts(lines)].count("worker") == 1
    assert [stream for stream, _ in texts(lines)].count("stdout") == 100


def test_lines_stay_until_they_are_kept() -> None:
    lines = batch()
    lines.print("stdout", b"a\nb\nc\n")
    assert lines.take(2) == lines.take(2)
    lines.drop(2)
    assert [text for _, _, text in lines.take(2)] == ["c"]


def test_secrets_in_what_a_problem_tells_are_hidden() -> None:
    mask = Mask({"DB_PASSWORD": "lovelace"})
    told = {"why": "lovelace", "detail": {"traceback": "x lovelace y", "rows": [1, "lovelace"]}}
    assert mask.all_in(told) == {"why": "…", "detail": {"traceback": "x … y", "rows": [1, "…"]}}
