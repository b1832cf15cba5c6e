"""The project that a command works on."""

from typing import TYPE_CHECKING

from modelyard.core import Problem

if TYPE_CHECKING:
    from modelyard.client import Connection, ProjectClient


def connection() -> "Connection":
    """Return the connection to the server of MODELYARD_URL, or to the platform in this process."""
    from modelyard.embedded.door import connection as open_connection

    return open_connection()


def open_project(name: str | None) -> "ProjectClient":
    """Return a project that is there; None: the only one.

    Raises
    ------
    Problem
        `project.missing` with the nearest names; `project.invalid` when none was named and there are several.
    """
    from modelyard.client import ProjectClient
    from modelyard.core import missing
    from modelyard.tenancy import Project

    found = connection()
    projects = found.get("/v1/projects", list[Project])
    if name is None:
        if len(projects) == 1:
            return ProjectClient(found, projects[0])
        names = ", ".join(project.name for project in projects)
        if not projects:
            raise Problem("project.missing", "There is no project yet", "nothing was made here", "yard project create NAME")
        why = f"there is {names}"
        raise Problem("project.invalid", "Which project?", why, "--project NAME, or set MODELYARD_PROJECT")
    for project in projects:
        if name in (project.name, project.id):
            return ProjectClient(found, project)
    raise missing("project", name, [project.name for project in projects], f"yard project create {name}")
