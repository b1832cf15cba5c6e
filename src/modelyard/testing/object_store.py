"""What every object store must do. Subclass `ObjectStoreContract`, give its two fixtures, and run it with pytest.

A store with upload addresses subclasses `UploadContract`, which adds theirs.
"""

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from hashlib import shake_256
from http.client import HTTPConnection, HTTPSConnection
from multiprocessing import get_context
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelyard.core import Digest, ObjectStore, Problem, ProjectId, digest_bytes

Opener = Callable[[], ObjectStore]
Spoil = Callable[[ProjectId, Digest, bytes], None]

FLIGHTS = ProjectId("project_flights")
CHURN = ProjectId("project_churn")
NOWHERE = digest_bytes(b"never stored")
HOSTILE_DIGESTS = [
    "",
    "sha256:",
    "sha256:" + "a" * 63,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 64 + "\n",
    "sha256:" + "a" * 64 + "/../../x",
    "sha256:" + "../" * 21 + "a",
    "sha256:" + "\0" * 64,
    "md5:" + "a" * 64,
    "a" * 64,
]
HOSTILE_PROJECTS = ["", ".", "..", "../project_churn", "a/b", ".incoming", ".scratch", "a\0b", "project_flights\n", "x" * 500]
_MIB = 1 << 20


def content_of(seed: bytes, size_bytes: int) -> bytes:
    """Return `size_bytes` that look random and are the same each time."""
    return shake_256(seed).digest(size_bytes)


class ObjectStoreContract:
    """The verbs, their promises, and what must not happen. Each test gets an empty store."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens the store under test; each call a new one on the same place. It must survive pickling."""
        raise NotImplementedError

    @pytest.fixture
    def spoil(self) -> Spoil:
        """Return what replaces the stored bytes of a digest behind the store's back."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Opener) -> ObjectStore:
        return opener()

    def test_what_was_put_is_got_in_the_order_asked_for(self, store: ObjectStore) -> None:
        one, two = store.put(FLIGHTS, [b"one", b"two"])
        assert (one, two) == (digest_bytes(b"one"), digest_bytes(b"two"))
        assert store.get(FLIGHTS, [two, one, two]) == [b"two", b"one", b"two"]

    def test_nothing_asked_is_nothing_done(self, store: ObjectStore) -> None:
        assert store.put(FLIGHTS, []) == store.put_files(FLIGHTS, []) == []
        assert store.get(FLIGHTS, []) == []
        assert store.absent(FLIGHTS, []) == []
        store.accept(FLIGHTS, [])

    def test_another_store_on_the_same_place_sees_it(self, store: ObjectStore, opener: Opener) -> None:
        [digest] = store.put(FLIGHTS, [b"shared"])
        assert opener().get(FLIGHTS, [digest]) == [b"shared"]

    def test_an_empty_content_is_a_content(self, store: ObjectStore, tmp_path: Path) -> None:
        [digest] = store.put(FLIGHTS, [b""])
        assert store.absent(FLIGHTS, [digest]) == []
        assert store.get(FLIGHTS, [digest]) == [b""]
        store.fetch(FLIGHTS, digest, tmp_path / "empty")
        assert (tmp_path / "empty").read_bytes() == b""
        assert store.put_files(CHURN, [tmp_path / "empty"]) == [digest]

    def test_twenty_megabytes_go_in_and_out_unchanged(self, store: ObjectStore, tmp_path: Path) -> None:
        content = content_of(b"large", 20_000_000)
        (tmp_path / "in").write_bytes(content)
        [digest] = store.put_files(FLIGHTS, [tmp_path / "in"])
        assert digest == digest_bytes(content)
        assert store.get(FLIGHTS, [digest]) == [content]
        store.fetch(FLIGHTS, digest, tmp_path / "deep" / "out")
        assert (tmp_path / "deep" / "out").read_bytes() == content
        assert store.put(CHURN, [content]) == [digest]
        assert store.get(CHURN, [digest]) == [content]

    def test_memory_is_bounded_whatever_the_size_of_a_file(self, store: ObjectStore, tmp_path: Path) -> None:
        with (tmp_path / "in").open("wb") as stream:
            stream.write(b"begin")
            stream.truncate(160 * _MIB)
        tracemalloc.start()
        try:
            [digest] = store.put_files(FLIGHTS, [tmp_path / "in"])
            store.fetch(FLIGHTS, digest, tmp_path / "out")
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (tmp_path / "out").stat().st_size == 160 * _MIB
        assert peak_bytes < 128 * _MIB

    def test_duplicates_in_one_call_are_one_content(self, store: ObjectStore, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(b"same")
        digest = digest_bytes(b"same")
        assert store.put(FLIGHTS, [b"same", b"other", b"same"]) == [digest, digest_bytes(b"other"), digest]
        assert store.put_files(CHURN, [tmp_path / "a", tmp_path / "b"]) == [digest, digest]
        assert store.absent(FLIGHTS, [NOWHERE, digest, NOWHERE]) == [NOWHERE]

    def test_putting_again_changes_nothing(self, store: ObjectStore) -> None:
        assert store.put(FLIGHTS, [b"again"]) == store.put(FLIGHTS, [b"again"])
        assert store.get(FLIGHTS, [digest_bytes(b"again")]) == [b"again"]

    def test_absent_keeps_the_order(self, store: ObjectStore) -> None:
        digests = [digest_bytes(bytes([number])) for number in range(20)]
        store.put(FLIGHTS, [bytes([number]) for number in range(0, 20, 3)])
        assert store.absent(FLIGHTS, digests) == [digest for number, digest in enumerate(digests) if number % 3]

    def test_a_digest_that_is_not_stored_is_missing(self, store: ObjectStore, tmp_path: Path) -> None:
        [digest] = store.put(FLIGHTS, [b"there"])
        with pytest.raises(Problem, match=NOWHERE) as got:
            store.get(FLIGHTS, [digest, NOWHERE])
        with pytest.raises(Problem) as fetched:
            store.fetch(FLIGHTS, NOWHERE, tmp_path / "out")
        with pytest.raises(Problem) as accepted:
            store.accept(FLIGHTS, [digest, NOWHERE])
        assert [told.value.code for told in (got, fetched, accepted)] == ["object.missing"] * 3
        assert list(tmp_path.rglob("*out*")) == []

    def test_a_file_that_is_not_there_is_told_by_its_name(self, store: ObjectStore, tmp_path: Path) -> None:
        for path in (tmp_path / "no_such_file", tmp_path):
            with pytest.raises(Problem, match=path.name) as told:
                store.put_files(FLIGHTS, [path])
            assert told.value.code == "file.missing"

    def test_projects_do_not_see_each_other(self, store: ObjectStore, tmp_path: Path) -> None:
        [digest] = store.put(FLIGHTS, [b"theirs"])
        assert store.absent(CHURN, [digest]) == [digest]
        for attempt in (
            lambda: store.get(CHURN, [digest]),
            lambda: store.fetch(CHURN, digest, tmp_path / "out"),
            lambda: store.accept(CHURN, [digest]),
        ):
            with pytest.raises(Problem) as told:
                attempt()
            assert told.value.code == "object.missing"
        assert store.put(CHURN, [b"theirs"]) == [digest]
        assert store.get(FLIGHTS, [digest]) == store.get(CHURN, [digest])

    @pytest.mark.parametrize("stored", [b"spoilt bytes", b"spoilt", b""], ids=["same size", "cut short", "empty"])
    def test_spoilt_bytes_are_never_handed_out(self, store: ObjectStore, spoil: Spoil, tmp_path: Path, stored: bytes) -> None:
        [digest] = store.put(FLIGHTS, [b"proper bytes"])
        (tmp_path / "out").write_bytes(b"what was here")
        spoil(FLIGHTS, digest, stored)
        for attempt in (lambda: store.get(FLIGHTS, [digest]), lambda: store.fetch(FLIGHTS, digest, tmp_path / "out")):
            with pytest.raises(Problem, match=digest) as told:
                attempt()
            assert told.value.code == "object.invalid"
        assert (tmp_path / "out").read_bytes() == b"what was here"
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]

    def test_storing_again_mends_what_was_cut_short(self, store: ObjectStore, spoil: Spoil) -> None:
        [digest] = store.put(FLIGHTS, [b"proper bytes"])
        spoil(FLIGHTS, digest, b"proper")
        store.put(FLIGHTS, [b"proper bytes"])
        assert store.get(FLIGHTS, [digest]) == [b"proper bytes"]

    def test_threads_may_store_the_same_content_at_once(self, store: ObjectStore) -> None:
        contents = [content_of(bytes([number]), 50_000) for number in range(4)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: store.put(FLIGHTS, contents), range(8)))
        assert answers == [[digest_bytes(content) for content in contents]] * 8
        assert store.get(FLIGHTS, answers[0]) == contents

    def test_processes_may_store_the_same_content_at_once(self, store: ObjectStore, opener: Opener) -> None:
        contents = [content_of(bytes([number]), 50_000) for number in range(4)]
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            answers = list(pool.map(_put_elsewhere, [opener] * 6, [contents] * 6))
        assert answers == [[digest_bytes(content) for content in contents]] * 6
        assert store.get(FLIGHTS, answers[0]) == contents

    @pytest.mark.parametrize("text", HOSTILE_DIGESTS)
    def test_a_hostile_digest_is_refused_by_every_verb(self, store: ObjectStore, tmp_path: Path, text: str) -> None:
        digest = Digest(text)
        for attempt in (
            lambda: store.get(FLIGHTS, [digest]),
            lambda: store.fetch(FLIGHTS, digest, tmp_path / "out"),
            lambda: store.absent(FLIGHTS, [digest]),
            lambda: store.upload_url(FLIGHTS, digest, 1),
            lambda: store.accept(FLIGHTS, [digest]),
        ):
            with pytest.raises(Problem) as told:
                attempt()
            assert told.value.code == "digest.invalid"

    @pytest.mark.parametrize("text", HOSTILE_PROJECTS)
    def test_a_hostile_project_is_refused_by_every_verb(self, store: ObjectStore, tmp_path: Path, text: str) -> None:
        project, source = ProjectId(text), tmp_path / "in"
        source.write_bytes(b"x")
        for attempt in (
            lambda: store.put(project, [b"x"]),
            lambda: store.put_files(project, [source]),
            lambda: store.get(project, [NOWHERE]),
            lambda: store.fetch(project, NOWHERE, tmp_path / "out"),
            lambda: store.absent(project, [NOWHERE]),
            lambda: store.upload_url(project, NOWHERE, 1),
            lambda: store.accept(project, [NOWHERE]),
        ):
            with pytest.raises(Problem) as told:
                attempt()
            assert told.value.code == "project.invalid"

    def test_sweeping_keeps_what_is_stored(self, store: ObjectStore) -> None:
        digests = store.put(FLIGHTS, [b"one", b"two"])
        assert store.sweep(timedelta(0)) == 0
        assert store.get(FLIGHTS, digests) == [b"one", b"two"]

    def test_a_client_brings_what_is_absent(self, store: ObjectStore) -> None:
        contents = {digest_bytes(content): content for content in (b"one", b"", content_of(b"large", 3 * _MIB))}
        store.put(FLIGHTS, [b"one"])
        for digest in store.absent(FLIGHTS, list(contents)):
            url = store.upload_url(FLIGHTS, digest, len(contents[digest]))
            if url is None:
                store.put(FLIGHTS, [contents[digest]])
            else:
                assert send(url, contents[digest])
        store.accept(FLIGHTS, list(contents))
        assert store.absent(FLIGHTS, list(contents)) == []
        assert store.get(FLIGHTS, list(contents)) == list(contents.values())


class UploadContract(ObjectStoreContract):
    """What a store with upload addresses promises besides."""

    def test_an_upload_is_seen_only_once_it_is_accepted(self, store: ObjectStore) -> None:
        digest = upload(store, FLIGHTS, b"mine")
        assert store.absent(FLIGHTS, [digest]) == [digest]
        with pytest.raises(Problem) as told:
            store.get(FLIGHTS, [digest])
        assert told.value.code == "object.missing"
        store.accept(FLIGHTS, [digest])
        store.accept(FLIGHTS, [digest])
        assert store.get(FLIGHTS, [digest]) == [b"mine"]

    def test_wrong_bytes_are_never_accepted(self, store: ObjectStore) -> None:
        digest = upload(store, FLIGHTS, b"proper", sent=b"wicked")
        with pytest.raises(Problem) as told:
            store.accept(FLIGHTS, [digest])
        assert told.value.code == "object.invalid"
        with pytest.raises(Problem) as again:
            store.accept(FLIGHTS, [digest])
        assert again.value.code == "object.missing"
        upload(store, FLIGHTS, b"proper")
        store.accept(FLIGHTS, [digest])
        assert store.get(FLIGHTS, [digest]) == [b"proper"]

    def test_one_bad_upload_does_not_keep_the_others_out(self, store: ObjectStore) -> None:
        digests = [upload(store, FLIGHTS, b"proper", sent=b"wicked"), upload(store, FLIGHTS, b"good")]
        with pytest.raises(Problem):
            store.accept(FLIGHTS, digests)
        assert store.absent(FLIGHTS, digests) == digests[:1]

    def test_another_size_than_was_asked_for_is_refused(self, store: ObjectStore) -> None:
        digest = digest_bytes(b"short")
        url = store.upload_url(FLIGHTS, digest, len(b"short"))
        assert url is not None
        assert not send(url, b"much longer than said")

    def test_an_upload_of_one_project_is_not_accepted_in_another(self, store: ObjectStore) -> None:
        digest = upload(store, FLIGHTS, b"mine")
        with pytest.raises(Problem) as told:
            store.accept(CHURN, [digest])
        assert told.value.code == "object.missing"

    def test_accepting_at_once_is_accepting_once(self, store: ObjectStore) -> None:
        digests = [upload(store, FLIGHTS, bytes([number])) for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: store.accept(FLIGHTS, digests), range(4)))
        assert store.get(FLIGHTS, digests) == [bytes([number]) for number in range(4)]

    def test_uploads_that_nobody_accepts_are_swept_by_age(self, store: ObjectStore) -> None:
        digest = upload(store, FLIGHTS, b"forgotten")
        assert store.sweep(timedelta(days=1)) == 0
        assert store.sweep(timedelta(0)) == 1
        with pytest.raises(Problem) as told:
            store.accept(FLIGHTS, [digest])
        assert told.value.code == "object.missing"


def upload(store: ObjectStore, project: ProjectId, content: bytes, sent: bytes | None = None) -> Digest:
    """PUT `sent` (the content itself when None) to the upload address of `content`, and return its digest."""
    digest = digest_bytes(content)
    url = store.upload_url(project, digest, len(content))
    assert url is not None
    assert send(url, content if sent is None else sent)
    return digest


def send(url: str, body: bytes) -> bool:
    """PUT a body as any HTTP client would, and return whether it was taken."""
    parts = urlsplit(url)
    connection = (HTTPSConnection if parts.scheme == "https" else HTTPConnection)(parts.netloc, timeout=30)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", body=body)
        return connection.getresponse().status < 300
    finally:
        connection.close()


def _put_elsewhere(opener: Opener, contents: list[bytes]) -> list[Digest]:
    return opener().put(FLIGHTS, contents)
