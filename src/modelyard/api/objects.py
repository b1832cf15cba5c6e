"""Routes of the object store: what is missing, upload, download."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from modelyard.api.callers import InProject
from modelyard.api.reading import SnapshotRoute
from modelyard.core import Digest, Problem, digest_bytes
from modelyard.tenancy import authorise

router = APIRouter(prefix="/v1/projects/{project}/objects", tags=["objects"], route_class=SnapshotRoute)


@dataclass(frozen=True)
class Wanted:
    """Contents that a client has, by digest, with their sizes."""

    digests: tuple[Digest, ...]
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Absent:
    """A content that is not stored; `upload_url` takes it without a token where the store has such addresses."""

    digest: Digest
    upload_url: str | None


@router.post("/absent")
def absent(call: InProject, wanted: Wanted) -> list[Absent]:
    """Return those contents that still have to be uploaded."""
    authorise(call.actor, "object.write", call.project)
    sizes = dict(zip(wanted.digests, wanted.sizes, strict=False))
    objects = call.platform.objects
    return [
        Absent(digest, objects.upload_url(call.project, digest, sizes.get(digest, 0)))
        for digest in objects.absent(call.project, wanted.digests)
    ]


@router.post("/accept")
def accept(call: InProject, wanted: Wanted) -> list[Digest]:
    """Take in what was uploaded straight to the store, each held against its digest."""
    authorise(call.actor, "object.write", call.project)
    call.platform.objects.accept(call.project, wanted.digests)
    return list(wanted.digests)


@router.put("/{digest}", status_code=201)
async def put(call: InProject, digest: Digest, request: Request) -> dict[str, str]:
    """Store a content under its digest.

    Raises
    ------
    Problem
        `object.invalid` when the bytes have another digest.
    """
    authorise(call.actor, "object.write", call.project)
    content = await request.body()
    found = digest_bytes(content)
    if found != digest:
        raise Problem("object.invalid", "The content is not what its digest says", f"it is {found}", "upload it again")
    call.platform.objects.put(call.project, [content])
    return {"digest": digest}


@router.get("/{digest}")
def get(call: InProject, digest: Digest) -> Response:
    """Return a content."""
    authorise(call.actor, "object.read", call.project)
    [content] = call.platform.objects.get(call.project, [digest])
    return Response(content, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"})
