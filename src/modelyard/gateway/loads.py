"""The versions that are being loaded: several at once, so that nobody waits for a slow one of another deployment."""

import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from modelyard.core import ProjectId
from modelyard.serving import DeploymentId, ServedDeployment, ServedForm
from modelyard.serving.infer import LoadedVersion

log = logging.getLogger(__name__)

AT_ONCE = 8

Load: TypeAlias = Callable[[ServedDeployment, ServedForm, Path], LoadedVersion]
Wanted: TypeAlias = tuple[ProjectId, DeploymentId, ServedForm]


class Loads:
    """What is being loaded, and what came of it until it is forgotten. One thread at a time asks.

    Parameters
    ----------
    load
        Loads one version; called in threads.
    ended
        Called when one has been loaded, or could not be, in the thread that did it.
    """

    def __init__(self, load: Load, ended: Callable[[], None], clock: Callable[[], float] = monotonic) -> None:
        self._load = load
        self._ended = ended
        self._clock = clock
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="load")
        self._begun: dict[Wanted, float] = {}
        self._done: dict[Wanted, LoadedVersion | Exception] = {}

    def get(self, deployment: ServedDeployment, form: ServedForm, folder: Path) -> LoadedVersion | Exception | float:
        """Return a version, or why it could not be loaded; while it is being loaded, the seconds since it was first wanted."""
        wanted = deployment.project, deployment.deployment, form
        if wanted not in self._begun:
            self._begun[wanted] = self._clock()
            self._threads.submit(self._run, wanted, deployment, folder)
        return self._done.get(wanted, self._clock() - self._begun[wanted])

    def keep(self, wanted: Collection[Wanted]) -> None:
        """Forget all others: what was loaded for nobody is let go."""
        self._begun = {one: at for one, at in self._begun.items() if one in wanted}
        for one in list(self._done):
            if one not in self._begun:
                del self._done[one]

    def forget_failures(self) -> None:
        """Have those that could not be loaded be tried again."""
        failed = {one for one, found in list(self._done.items()) if isinstance(found, Exception)}
        self.keep(self._begun.keys() - failed)

    def close(self) -> None:
        """Begin no more. Waits for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, wanted: Wanted, deployment: ServedDeployment, folder: Path) -> None:
        try:
            self._done[wanted] = self._load(deployment, wanted[2], folder)
        except Exception as error:  # a foreign package may raise anything
            self._done[wanted] = error
        try:
            self._ended()
        except Exception:
            log.exception("what was loaded could not be taken up")
