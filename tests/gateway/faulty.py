"""Function steps that do what no version should; each in a process of its own, in the folder of its gateway's world."""

import ctypes
import os
import sys
import time
from pathlib import Path

import polars as pl

MB = 1 << 20
LEAK_MB = 50


def takes_its_time(rows: pl.DataFrame) -> pl.DataFrame:
    """Wait as many seconds as the wind blows, beyond 1000."""
    if rows["wind"].max() > 1000:  # type: ignore[operator]  # numbers
        time.sleep(rows["wind"].max() - 1000)  # type: ignore[operator, arg-type]
    return rows


def does_as_told(rows: pl.DataFrame) -> pl.DataFrame:
    """Do what the carrier says."""
    told = set(rows["carrier"])
    if "segfault" in told:
        ctypes.string_at(0)
    if "exit" in told:
        os._exit(3)
    if "leave" in told:
        sys.exit(4)
    if "kill" in told:
        os.kill(os.getpid(), 9)
    if "raise" in told:
        raise RuntimeError("as told")
    if "hang" in told:
        time.sleep(1e6)
    if "hoard" in told:
        bytearray(1 << 40)
    if "leak" in told:
        vars(sys).setdefault("leaked", []).append(b"x" * (LEAK_MB * MB))
    return rows


def loads_when_it_may(rows: pl.DataFrame) -> pl.DataFrame:
    """Wait for the file `go` where it runs for the first time in a gateway: that is when it is loaded."""
    while Path("home").exists() and not Path("go").exists():
        time.sleep(0.01)
    return rows


def ends_when_loaded(rows: pl.DataFrame) -> pl.DataFrame:
    """End the process where it runs in a gateway."""
    if Path("home").exists():
        ctypes.string_at(0)
    return rows


def is_very_large(rows: pl.DataFrame) -> pl.DataFrame:
    """Hold half a gigabyte, once it has run."""
    if Path("home").exists() and not hasattr(sys, "ballast"):
        vars(sys)["ballast"] = b"x" * (512 * MB)
    return rows
