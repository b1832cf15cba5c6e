"""The online store in Redis or Valkey, `redis://[:password@]host:port/db` (`rediss://` by TLS): any number of hosts share it.

An entity's rows are one sorted set, by time in microseconds; a row is `number:time:values`, so that a script can tell, in one
step, whether the row that it holds is of a later version. The server must evict nothing (`maxmemory-policy noeviction`): an
entity that it forgot by itself would look like one that was never known.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from modelyard.core import Problem, ProjectId
from modelyard.data.features.online import (
    KEPT,
    Entity,
    FeatureRow,
    Published,
    moment_of,
    not_published,
    packed,
    store_away,
    ticks_of,
    unpacked,
)

_WAIT_S: Final = 2.0  # a request waits for no lookup longer
_PUT: Final = f"""
for _, held in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])) do
    if tonumber(string.match(held, '^%d+')) > tonumber(ARGV[2]) then return 0 end
    redis.call('ZREM', KEYS[1], held)
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[1] .. ':' .. ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -{KEPT + 1})
return 1
"""
_FORGET: Final = """
for _, held in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if tonumber(string.match(held, '^%d+')) < tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], held) end
end
"""
_KEYS_AT_ONCE: Final = 1_000
_PUBLISH: Final = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and tonumber(string.match(held, '^%d+')) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
return 1
"""


class RedisOnline:
    """`modelyard.data.features.online.OnlineStore` in a Redis server; nothing is connected before it is asked."""

    def __init__(self, url: str) -> None:
        try:
            self._client: Any = redis.Redis.from_url(
                url,
                socket_timeout=_WAIT_S,
                socket_connect_timeout=_WAIT_S,
                retry=Retry(NoBackoff(), 1),  # for a connection that was closed while nobody used it
            )
        except ValueError as error:  # the URL may hold a password: nothing of it is told
            step = "MODELYARD_ONLINE=redis://HOST:6379/0"
            raise Problem("online.invalid", "The online store cannot be opened", "its URL names no server", step) from error
        self._put = self._client.register_script(_PUT)
        self._forget = self._client.register_script(_FORGET)
        self._publish = self._client.register_script(_PUBLISH)

    def put(self, project: ProjectId, table: str, rows: Sequence[FeatureRow], *, number: int) -> None:
        """Keep rows; see the port."""
        with self._telling(), self._client.pipeline(transaction=False) as pipeline:
            for row in rows:
                key, told = _key(project, table, row.entity), (ticks_of(row.at), number, packed(row.values))
                self._put(keys=[key], args=told, client=pipeline)
            pipeline.execute()

    def forget(self, project: ProjectId, table: str, *, before: int) -> None:
        """Drop the rows that came with earlier versions; the server looks through all of its keys for those of the table."""
        with self._telling():
            keys = self._client.scan_iter(match=_key(project, table, "*"), count=_KEYS_AT_ONCE)
            while some := list(islice(keys, _KEYS_AT_ONCE)):
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in some:
                        self._forget(keys=[key], args=[before], client=pipeline)
                    pipeline.execute()

    def publish(self, project: ProjectId, table: str, published: Published) -> None:
        """Say that all rows of a version are there."""
        newest = "" if published.newest is None else ticks_of(published.newest)
        with self._telling():
            self._publish(keys=[_tables(project)], args=[table, published.number, newest])

    def published(self, project: ProjectId) -> Mapping[str, Published]:
        """Return the tables that can be looked up, by name."""
        with self._telling():
            held = self._client.hgetall(_tables(project))
        parts = {name.decode(): told.decode().partition(":") for name, told in held.items()}
        return {name: Published(int(one), moment_of(int(at)) if at else None) for name, (one, _, at) in parts.items()}

    def get(self, project: ProjectId, table: str, wanted: Sequence[tuple[Entity, datetime]]) -> list[FeatureRow | None]:
        """Return each entity's last row strictly before a moment, all by one round trip; see the port."""
        with self._telling(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hexists(_tables(project), table)
            for entity, before in wanted:
                key, below = _key(project, table, entity), f"({ticks_of(before)}"
                pipeline.zrange(key, below, "-inf", desc=True, byscore=True, offset=0, num=1)
            known, *found = pipeline.execute()
        if not known:
            raise not_published(table)
        return [_row(entity, held[0]) if held else None for (entity, _), held in zip(wanted, found, strict=True)]

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise store_away(error) from error


def _tables(project: ProjectId) -> str:
    return f"modelyard:online:{project}"


def _key(project: ProjectId, table: str, entity: Entity) -> str:
    return f"modelyard:online:{project}:{table}:{entity}"


def _row(entity: Entity, held: bytes) -> FeatureRow:
    _, at, content = held.split(b":", 2)
    return FeatureRow(entity, moment_of(int(at)), unpacked(content))
