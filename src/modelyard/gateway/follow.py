"""Follows the control plane's catalogue: loads what is new beside what answers, then swaps."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, Protocol

import httpx
import msgspec

from modelyard.core import ProjectId
from modelyard.core.files import whole_file
from modelyard.gateway.limits import Allowances
from modelyard.gateway.loads import Loads, Wanted
from modelyard.gateway.routes import RouteTable, Target
from modelyard.serving import Catalogue, ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, content_file
from modelyard.serving.rules import answering

log = logging.getLogger(__name__)

CATALOGUE = "catalogue.json"
PACKAGES = "packages"
WAIT_S = 20.0  # how long the control plane may hold an unanswered question
RETRY_S = 5.0  # when a version did not load, or the control plane is away
FIRST_RETRY_S = 0.2
AT_ONCE_READY = 64  # of more deployments, those that are new here are loaded when they are first asked
SLOW_S = 60.0  # what takes longer to load is told of as a problem, and the catalogue counts as taken up without it


class Versions(Protocol):
    """Where versions come from: `Residents`."""

    def load(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Return a version, loaded and warm."""
        ...

    def at_rest(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion:
        """Return a version that is loaded when it is first asked."""
        ...


class Follower:
    """Keeps the route table at the catalogue.

    A version that cannot be loaded hurts nobody: its deployment goes on with what it had, the reason stands in `problems`,
    and it is tried again. Neither does one that is slow to load: each deployment is switched as soon as all that it needs is
    there. `swap` is called with each new table, from threads of this object, one at a time; it has to be one assignment.
    """

    def __init__(
        self,
        home: Path,
        versions: Versions,
        client: httpx.Client,
        swap: Callable[[RouteTable], None],
        allowances: Allowances | None = None,
    ) -> None:
        self._file = home / CATALOGUE
        self._packages = home / PACKAGES
        self._versions = versions
        self._loads = Loads(versions.load, self._switch)
        self._client = client
        self._swap = swap
        self._allowances = allowances or Allowances()
        self._table = RouteTable()
        self._catalogue: Catalogue | None = None
        self._lock = Lock()  # over the table and the loads
        self._stop = Event()
        self._thread = Thread(target=self._run, name="catalogue", daemon=True)
        self._asked = False
        self.settled = Event()  # set when what the first try to reach the control plane gave is loaded
        self.control_problem: str | None = "not asked yet"
        self.heard_at: float | None = None  # monotonic seconds
        self.problems: dict[str, str] = {}  # by project/deployment

    def start(self) -> None:
        """Take up the last catalogue from the disk, then follow; both in the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End. Does not wait for the question that is out, nor for what is being loaded."""
        self._stop.set()
        self._loads.close()

    def status(self) -> dict[str, Any]:
        """Return what it knows, as JSON."""
        return {
            "position": self._table.position,
            "control": {
                "reachable": self.control_problem is None,
                "problem": self.control_problem,
                "heard_s_ago": None if self.heard_at is None else round(monotonic() - self.heard_at, 1),
            },
            "problems": dict(self.problems),
        }

    def apply(self, catalogue: Catalogue) -> None:
        """Bring the table to `catalogue`: each deployment is swapped in as soon as it is loaded. What failed is tried again."""
        access: dict[str, set[ProjectId]] = {}
        for project, hashes in catalogue.token_hashes.items():
            for one in hashes:
                access.setdefault(one, set()).add(ProjectId(project))
        named = {(one.project_name, one.name) for one in catalogue.deployments}
        with self._lock:
            self._catalogue = catalogue
            self._loads.forget_failures()
            targets = {key: target for key, target in self._table.targets.items() if key in named}
            self.problems = {told: why for told, why in self.problems.items() if tuple(told.split("/")) in named}
            admitted = {token: frozenset(projects) for token, projects in access.items()}
            allowances = self._allowances.of(catalogue.token_limits)
            self._publish(RouteTable(self._table.position, targets, admitted, allowances))
        self._switch()

    def _switch(self) -> None:
        """Swap in what has been loaded, have loaded what is wanted, and come to the catalogue's position when that is all."""
        if self._stop.is_set():
            return
        with self._lock:
            catalogue, table = self._catalogue, self._table
            if catalogue is None:
                return
            targets, wanted, open_ = dict(table.targets), set[Wanted](), False
            for served in catalogue.deployments:
                key = served.project_name, served.name
                before = targets.get(key)
                if before is not None and before.served == served and _is_whole(before):
                    self.problems.pop(f"{served.project_name}/{served.name}", None)
                    continue
                after, loading = self._target(served, before)
                if after is None or not _is_whole(after):
                    wanted.update((served.project, served.deployment, form) for form in served.versions)
                open_ = open_ or loading
                if after is not None and after != before:
                    targets[key] = after
            position = table.position if open_ else catalogue.position
            if targets != table.targets or position != table.position:
                self._publish(RouteTable(position, targets, table.access, table.allowances))
            self._loads.keep(wanted)
            if open_:
                return
            if self._asked:
                self.settled.set()
            if not self.problems:
                self._clear(catalogue)

    def _target(self, served: ServedDeployment, before: Target | None) -> tuple[Target | None, bool]:
        """Return the deployment with its versions, None while it has to stay as it is; and whether anything is being loaded.

        One that is only asked besides is not waited for, and where it cannot be loaded the deployment does without it.
        """
        told = f"{served.project_name}/{served.name}"
        heard = {route.version for route in answering(served.revision)}
        found = self._found(served, before)
        versions = {number: one for number, one in found.items() if isinstance(one, LoadedVersion)}
        slow = {number: one for number, one in found.items() if isinstance(one, float)}
        loading = any(seconds < SLOW_S for seconds in slow.values())
        reasons = [f"{_part(number, heard)}: {one}" for number, one in found.items() if isinstance(one, Exception)]
        reasons += [f"{_part(number, heard)} is slow to load" for number, one in slow.items() if one >= SLOW_S]
        reasons += [f"it routes to version {number}, which the catalogue does not hold" for number in heard - found.keys()]
        if reasons or not slow:
            self._tell(told, "; ".join(reasons)[:2000])
        return (Target(served, versions) if heard <= versions.keys() else None), loading

    def _found(self, served: ServedDeployment, before: Target | None) -> dict[int, LoadedVersion | Exception | float]:
        """Return what there is of each version: it, why it cannot be loaded, or for how long it is being loaded."""
        old = before.versions if before is not None and before.served.project == served.project else {}
        many = self._catalogue is not None and len(self._catalogue.deployments) > AT_ONCE_READY
        found: dict[int, LoadedVersion | Exception | float] = {}
        for form in served.versions:
            known = old.get(form.version)
            if known is not None and known.served == form:
                found[form.version] = known
            elif many and before is None:
                found[form.version] = self._at_rest(served, form)
            else:
                found[form.version] = self._loads.get(served, form, self._packages / served.project)
        return found

    def _at_rest(self, served: ServedDeployment, form: ServedForm) -> LoadedVersion | Exception:
        """Return a version that is loaded when it is first asked: there is none before it whom that could hurt."""
        try:
            return self._versions.at_rest(served, form, self._packages / served.project)
        except Exception as error:  # the signature may be one that this gateway does not know
            return error

    def _tell(self, deployment: str, problem: str) -> None:
        if not problem:
            self.problems.pop(deployment, None)
        elif self.problems.get(deployment) != problem:
            self.problems[deployment] = problem
            log.error("%s is not as it should be: %s", deployment, problem)

    def _clear(self, catalogue: Catalogue) -> None:
        """Remove the packages that no served version needs any more."""
        kept = {
            content_file(self._packages / served.project, digest)
            for served in catalogue.deployments
            for form in served.versions
            for digest in form.contents
        }
        for file in self._packages.glob("*/*"):
            if file not in kept:
                file.unlink(missing_ok=True)

    def _publish(self, table: RouteTable) -> None:
        self._table = table
        self._swap(table)

    def _run(self) -> None:
        self._take_up(self._read_kept())
        pause = FIRST_RETRY_S
        while not self._stop.is_set():
            try:
                heard = self._ask()
                self.control_problem, self.heard_at, pause = None, monotonic(), FIRST_RETRY_S
            except (httpx.HTTPError, msgspec.MsgspecError) as error:
                heard, self.control_problem = None, str(error) or type(error).__name__
            self._asked = True
            self._take_up(heard)
            if self.control_problem is not None:
                self._stop.wait(pause)
                pause = min(RETRY_S, pause * 2)

    def _take_up(self, heard: Catalogue | None) -> None:
        wanted = heard or (self._catalogue if self.problems else None)
        try:
            if wanted is None:
                self._switch()
                if self._asked and self._catalogue is None:
                    self.settled.set()
                return
            self.apply(wanted)
            self._keep(wanted)
        except Exception:  # the thread must live: without it no catalogue would ever come again
            log.exception("the catalogue could not be kept")

    def _ask(self) -> Catalogue | None:
        """Return the newer catalogue, None when nothing has changed while the control plane waited."""
        known = self._catalogue.position if self._catalogue is not None else -1
        wait_s = 0.0 if not self._asked else RETRY_S if self.problems else WAIT_S
        answer = self._client.get(
            "/v1/catalogue", params={"after": known, "wait_s": wait_s}, timeout=httpx.Timeout(5.0, read=wait_s + 10)
        )
        if answer.status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_MODIFIED):
            return None
        answer.raise_for_status()
        catalogue = msgspec.json.decode(answer.content, type=Catalogue)
        return None if catalogue == self._catalogue else catalogue

    def _keep(self, catalogue: Catalogue) -> None:
        with whole_file(self._file, mode=0o600) as write:
            write(msgspec.json.encode(catalogue))

    def _read_kept(self) -> Catalogue | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Catalogue)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, OSError) as error:
            log.error("the kept catalogue cannot be read, and is asked for anew: %s", error)
            return None


def _is_whole(target: Target) -> bool:
    return len(target.versions) == len(target.served.versions)


def _part(number: int, heard: Collection[int]) -> str:
    return f"version {number}" if number in heard else f"shadow of version {number}"
