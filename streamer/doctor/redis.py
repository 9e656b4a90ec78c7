"""Checks of Redis: address, login, version, clock, rights."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from streamer.doctor.finding import Finding, bad, note, ok
from streamer.errors import StreamerError
from streamer.mirror import Keys, connect_redis, redis_error
from streamer.settings import Settings

if TYPE_CHECKING:
    import redis

OLDEST = (6, 2)  # XTRIM MINID
_CLOCK_S = 1.0


def check_redis(settings: Settings, roles: set[str]) -> Iterator[Finding]:
    """From the address to the rights; ends where going on makes no sense.

    roles: those that this machine must be able to take.
    """
    import redis

    if not settings.redis.url:
        yield bad("no Redis: set redis.url, or start one with `streamer up`")
        return
    try:
        client = connect_redis(settings.redis)
        client.ping()
    except StreamerError as error:
        yield bad(str(error))
        return
    except redis.RedisError as error:
        yield bad(str(redis_error(settings.redis, error)))
        return
    with client:
        yield ok("Redis answers and lets us in")
        yield from _version(client)
        yield from _clock(client)
        yield from _rights(client, Keys(settings.redis.prefix), roles)


def _version(client: "redis.Redis") -> Iterator[Finding]:
    from redis.exceptions import NoPermissionError

    try:
        text = str(client.info("server")["redis_version"])
    except NoPermissionError:
        yield note("no right to INFO: the version of Redis is not known")
        return
    version = tuple(int(part) for part in text.split(".")[:2])
    if version < OLDEST:
        yield bad(f"Redis {text} is too old: take {OLDEST[0]}.{OLDEST[1]} or newer")
    else:
        yield ok(f"Redis {text}")


def _clock(client: "redis.Redis") -> Iterator[Finding]:
    from redis.exceptions import NoPermissionError

    before = time.time()
    try:
        seconds, microseconds = client.time()
    except NoPermissionError:
        return  # nothing of ours needs it
    after = time.time()
    theirs = seconds + microseconds / 1e6
    ahead = theirs - after if theirs > after else min(theirs - before, 0)
    if abs(ahead) > _CLOCK_S:
        yield note(f"Redis's clock is {ahead:+.1f} s from this machine's: ages are wrong by so much, set both by NTP")


def _rights(client: "redis.Redis", keys: Keys, roles: set[str]) -> Iterator[Finding]:
    """Tries each command on keys that no stream has; they are gone a second later."""
    for role, commands in _commands(client, keys).items():
        missing = [name for name, command in commands.items() if not _may(command)]
        if not missing:
            yield ok(f"rights in Redis are enough for a {role}")
        elif role in roles:
            yield bad(f"rights in Redis are missing for a {role}: {', '.join(missing)}; see docs/records.md")
        else:
            yield note(f"rights in Redis are not enough for a {role}, should this be one: {', '.join(missing)}")


def _commands(client: "redis.Redis", keys: Keys) -> dict[str, dict[str, Callable[[], Any]]]:
    names = ("doctor", "doctor")
    detections, latest, live = keys.detections(*names), keys.latest(*names), keys.live(*names)
    return {
        "worker": {
            "SCRIPT LOAD": lambda: client.script_load("return 1"),
            "EVALSHA": lambda: client.evalsha(client.script_load("return 1"), 0),
            "XADD": lambda: client.xadd(detections, {"record": ""}),
            "EXPIRE": lambda: client.expire(detections, 1),
            "XTRIM": lambda: client.xtrim(detections, maxlen=1),
            "XREVRANGE": lambda: client.xrevrange(detections, count=1),
            "SET": lambda: client.set(latest, "", ex=1),
            "PUBLISH": lambda: client.publish(live, ""),
        },
        "reader": {
            "XREVRANGE": lambda: client.xrevrange(detections, count=1),
            "XREAD": lambda: client.xread({detections: "0"}, count=1),
            "GET": lambda: client.get(latest),
            "SUBSCRIBE": lambda: _subscribe(client, live),
        },
    }


def _subscribe(client: "redis.Redis", channel: str) -> None:
    with client.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(channel)
        listener.get_message(timeout=1)


def _may(command: Callable[[], Any]) -> bool:
    from redis.exceptions import NoPermissionError

    try:
        command()
    except NoPermissionError:
        return False
    return True
