"""The fuzz targets themselves: what they begin with passes, and they do notice a decoder that breaks."""

import pytest

from modelyard.gateway import oip
from tests.fuzz.targets import seeds, targets


def test_every_target_takes_its_seeds_and_what_is_left_of_them_when_cut() -> None:
    for name, target in targets().items():
        for seed in seeds(name):
            for end in {0, 1, len(seed) // 2, len(seed)}:
                target(seed[:end])


def test_a_decoder_that_breaks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(oip, "decode", broken)
    with pytest.raises(KeyError):
        targets()["oip-prepared"](b"{}")
