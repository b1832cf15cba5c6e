"""Several gateways that answer on one port: each has a folder and a ledger of its own, and whoever is asked tells for all.

A replica's folder is `HOME/gateway` for the first, `HOME/gateway/NUMBER` for the others. In it stands the address of its own
loopback door, by which the others ask it for its status, its figures, and to ship its ledger.
"""

import fcntl
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from statistics import fmean
from time import monotonic, sleep
from typing import Any, TextIO

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from modelyard.core import Problem
from modelyard.core.files import whole_file
from modelyard.gateway.fullness import LOAD
from modelyard.gateway.segments import SUFFIX

log = logging.getLogger(__name__)

DOOR = "door"
COUNTED = "counted"
COUNTING = frozenset({"counter", "histogram"})  # types of figures that only grow
LOCK = "lock"
ALONE = "alone=1"  # the query by which a replica is asked for itself only
TIMEOUT_S = 30.0
ADOPTING_S = 1.0  # in which a ledger is moved: so long a folder may be held by a gateway that does not work in it
LOCK_LOOK_S = 0.02
_LEAST = frozenset({"modelyard_catalogue_position"})
_MOST = frozenset({"modelyard_ledger_backlog_oldest_seconds"})


def replica_folder(home: Path, number: int) -> Path:
    """Return where a replica keeps what is its own.

    >>> str(replica_folder(Path("/yard"), 1)), str(replica_folder(Path("/yard"), 2))
    ('/yard/gateway', '/yard/gateway/2')
    """
    return home / "gateway" if number == 1 else home / "gateway" / str(number)


@contextmanager
def alone_in(folder: Path, patience_s: float = 0.0) -> Iterator[None]:
    """Hold the folder for this process. Problem `gateway.conflict` when another one has it for longer than `patience_s`."""
    until = monotonic() + patience_s
    with (folder / LOCK).open("w") as lock:
        while not _locked(lock):
            if monotonic() >= until:
                why, step = "two would ship one ledger", "end it, or use another --home"
                raise Problem("gateway.conflict", f"Another gateway works in {folder}", why, step)
            sleep(LOCK_LOOK_S)
        yield


def _locked(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def adopt(home: Path, into: Path) -> int:
    """Move ledger segments of replicas that do not run into the folder `into`, and return how many: nobody else ships them."""
    moved = 0
    for folder in _folders(home):
        waiting = sorted((folder / "ledger").glob("*" + SUFFIX))
        if not waiting or folder / "ledger" == into:
            continue
        with suppress(Problem), alone_in(folder):
            for segment in waiting:
                segment.replace(into / segment.name)
                moved += 1
    if moved:
        log.warning("%d ledger segments of replicas that do not run are shipped here", moved)
    return moved


@dataclass(frozen=True)
class Siblings:
    """The other replicas of a home."""

    home: Path
    number: int  # of this replica

    @property
    def own(self) -> Path:
        """Where it keeps what is its own."""
        return replica_folder(self.home, self.number)

    def begin(self) -> None:
        """Forget what earlier ones have counted, if none of them runs: all begin anew."""
        folders = _folders(self.home)
        if not any(_is_held(folder) for folder in folders if folder != self.own):
            for folder in folders:
                (folder / COUNTED).unlink(missing_ok=True)

    def tell(self, address: str) -> None:
        """Let the others know where this one is asked."""
        (self.own / DOOR).write_text(address)

    def leave(self, figures: bytes) -> None:
        """Be asked no more; what this one and its earlier lives have counted stays among the figures of all."""
        try:
            with whole_file(self.own / COUNTED) as write:
                write(together([figures, *self._counted(self.own)], only=COUNTING))
        except Problem as problem:
            log.warning("what this gateway has counted goes with it: %s", problem)
        (self.own / DOOR).unlink(missing_ok=True)

    def counted(self) -> list[bytes]:
        """Return what those have counted that ended: without them a sum would fall, which counters must not."""
        return [text for folder in _folders(self.home) for text in self._counted(folder)]

    def _counted(self, folder: Path) -> list[bytes]:
        with suppress(FileNotFoundError):
            return [(folder / COUNTED).read_bytes()]
        return []

    def ask(self, method: str, path: str, authorization: bytes | None) -> list[httpx.Response]:
        """Return what the others say of themselves; who does not answer is left out."""
        headers = {} if authorization is None else {"authorization": authorization.decode("latin-1")}
        no_tls = SSLContext(PROTOCOL_TLS_CLIENT)  # reading the system's certificates for nothing would take 17 ms
        answers = []
        for folder in _folders(self.home):
            if folder == self.own:
                continue
            try:
                url = (folder / DOOR).read_text()
                asked = f"{url}{path}?{ALONE}"
                answers.append(httpx.request(method, asked, headers=headers, timeout=TIMEOUT_S, trust_env=False, verify=no_tls))
            except (OSError, httpx.HTTPError):
                continue
        return answers


def added_up(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return numbers added up by name, through all depths; of what is no number the first that is there."""
    found = dict(own)
    for other in others:
        for name, value in other.items():
            mine = found.get(name)
            if isinstance(value, Mapping) and isinstance(mine, Mapping):
                found[name] = added_up(mine, [value])
            elif isinstance(value, int | float) and isinstance(mine, int | float) and not isinstance(mine, bool):
                found[name] = mine + value
            elif mine is None:
                found[name] = value
    return found


def together(texts: Sequence[bytes], only: Collection[str] | None = None) -> bytes:
    """Return the figures of several replicas as those of one, in Prometheus' text form: counted together, most of it.

    `only` names the types of figures that are kept.
    """
    families: dict[str, Metric] = {}
    values: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[float]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text.decode()):
            if only is not None and family.type not in only:
                continue
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                key = family.name, sample.name, tuple(sorted(sample.labels.items()))
                values.setdefault(key, []).append(sample.value)
    for (family_name, name, labels), told in values.items():
        families[family_name].add_sample(name, dict(labels), _joined(name)(told))
    registry = CollectorRegistry()
    registry.register(_Families(list(families.values())))
    return generate_latest(registry)


def _joined(name: str) -> Callable[[Sequence[float]], float]:
    if name.startswith(LOAD):
        return fmean
    if name in _LEAST:
        return min
    return max if name in _MOST else sum


def _is_held(folder: Path) -> bool:
    try:
        with alone_in(folder):
            return False
    except Problem:
        return True


def _folders(home: Path) -> list[Path]:
    first = home / "gateway"
    return [first, *sorted(path for path in first.glob("[0-9]*") if path.is_dir())]


class _Families(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families

    def describe(self) -> Iterator[Metric]:
        return iter(())
