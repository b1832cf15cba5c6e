"""Follows the control plane's catalogue: loads what is new beside what answers, then swaps."""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import httpx
import msgspec

from modelyard.core import Problem, ProjectId
from modelyard.core.files import whole_file
from modelyard.gateway.limits import Allowances
from modelyard.gateway.routes import RouteTable, Target
from modelyard.serving import Catalogue, ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion, Ports, content_file, load_version
from modelyard.serving.rules import answering

log = logging.getLogger(__name__)

CATALOGUE = "catalogue.json"
PACKAGES = "packages"
WAIT_S = 20.0  # how long the control plane may hold an unanswered question
RETRY_S = 5.0  # when a version did not load, or the control plane is away
FIRST_RETRY_S = 0.2

Key = tuple[str, str]


class Follower:
    """Keeps the route table at the catalogue.

    A version that cannot be loaded hurts nobody: its deployment goes on with what it had, the reason stands in `problems`,
    and it is tried again. `swap` is called with each new table, from this object's thread; it has to be one assignment.
    """

    def __init__(
        self,
        home: Path,
        ports: Ports,
        client: httpx.Client,
        swap: Callable[[RouteTable], None],
        allowances: Allowances | None = None,
    ) -> None:
        self._file = home / CATALOGUE
        self._packages = home / PACKAGES
        self._ports = ports
        self._client = client
        self._swap = swap
        self._allowances = allowances or Allowances()
        self._table = RouteTable()
        self._catalogue: Catalogue | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="catalogue", daemon=True)
        self.settled = Event()  # set after the first try to reach the control plane
        self.control_problem: str | None = "not asked yet"
        self.heard_at: float | None = None  # monotonic seconds
        self.problems: dict[str, str] = {}  # by project/deployment

    def start(self) -> None:
        """Take up the last catalogue from the disk, then follow; both in the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End. Does not wait for the question that is out."""
        self._stop.set()

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
        """Bring the table to `catalogue`, one deployment after the other, each swapped in as soon as it is loaded."""
        self._catalogue = catalogue
        access: dict[str, set[ProjectId]] = {}
        for project, hashes in catalogue.token_hashes.items():
            for one in hashes:
                access.setdefault(one, set()).add(ProjectId(project))
        named = {(one.project_name, one.name): one for one in catalogue.deployments}
        targets = {key: target for key, target in self._table.targets.items() if key in named}
        self.problems = {told: why for told, why in self.problems.items() if tuple(told.split("/")) in named}
        admitted = {token: frozenset(projects) for token, projects in access.items()}
        allowances = self._allowances.of(catalogue.token_limits)
        self._publish(RouteTable(self._table.position, dict(targets), admitted, allowances))
        for key, served in named.items():
            before = targets.get(key)
            if before is None or before.served != served:
                after = self._load(served, before)
                if after is not None:
                    targets[key] = after
                    self._publish(RouteTable(self._table.position, dict(targets), admitted, allowances))
        self._publish(RouteTable(catalogue.position, dict(targets), admitted, allowances))
        if not self.problems:
            self._clear(catalogue)

    def _load(self, served: ServedDeployment, before: Target | None) -> Target | None:
        told = f"{served.project_name}/{served.name}"
        old = before.versions if before is not None and before.served.project == served.project else {}
        try:
            heard = {route.version for route in answering(served.revision)}
            forms = {form.version: form for form in served.versions}
            versions = {
                number: self._version(served.project, form, old.get(number))
                for number, form in forms.items()
                if number in heard
            }
            absent = [version for version in heard if version not in versions]
            if absent:
                raise Problem("catalogue.invalid", f"{told} routes to version {absent[0]}", "the catalogue does not hold it")
        except Exception as error:  # a foreign package may raise anything; whatever it is, what answers now goes on
            self.problems[told] = str(error)[:2000]
            log.error("%s stays as it is: %s", told, error)
            return None
        self.problems.pop(told, None)
        for number, form in forms.items():
            if number not in heard:
                self._load_shadow(served, form, old.get(number), versions)
        return Target(served, versions)

    def _load_shadow(
        self, served: ServedDeployment, form: ServedForm, old: LoadedVersion | None, versions: dict[int, LoadedVersion]
    ) -> None:
        """Load a version that is only asked besides: where it cannot be, the deployment does without it, and says so."""
        try:
            versions[form.version] = self._version(served.project, form, old)
        except Exception as error:  # as above
            told = f"{served.project_name}/{served.name}"
            self.problems[told] = f"shadow of version {form.version}: {error}"[:2000]
            log.error("%s does without its shadow of version %s: %s", told, form.version, error)

    def _version(self, project: ProjectId, form: ServedForm, old: LoadedVersion | None) -> LoadedVersion:
        if old is not None and old.served == form:
            return old
        return load_version(self._ports, project, form, self._packages / project)

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
            self._take_up(heard)
            self.settled.set()
            if self.control_problem is not None:
                self._stop.wait(pause)
                pause = min(RETRY_S, pause * 2)

    def _take_up(self, heard: Catalogue | None) -> None:
        wanted = heard or (self._catalogue if self.problems else None)
        if wanted is None:
            return
        try:
            self.apply(wanted)
            self._keep(wanted)
        except Exception:  # the thread must live: without it no catalogue would ever come again
            log.exception("the catalogue could not be kept")

    def _ask(self) -> Catalogue | None:
        """Return the newer catalogue, None when nothing has changed while the control plane waited."""
        known = self._catalogue.position if self._catalogue is not None else -1
        first = not self.settled.is_set()
        wait_s = 0.0 if first else RETRY_S if self.problems else WAIT_S
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
