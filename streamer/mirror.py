"""Layout of Redis: the keys of one stream in one pipeline. The worker writes them, anyone may read them.

`{pipeline:stream}` is literally in braces: a hash tag, so that a cluster keeps a stream's keys together.
"""

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamer.errors import ServiceError, UsageError
from streamer.settings import RedisSettings
from streamer.tls import certificate_advice, trusting

if TYPE_CHECKING:
    import redis


@dataclass(frozen=True)
class Keys:
    """Names in Redis under a prefix."""

    prefix: str

    def detections(self, pipeline: str, stream: str) -> str:
        """Redis stream: ids `epoch-sequence`, field `record` = the JSON of topic `detections`."""
        return f"{self.prefix}detections:{{{pipeline}:{stream}}}"

    def latest(self, pipeline: str, stream: str) -> str:
        """String with a TTL: the newest result's JSON."""
        return f"{self.prefix}latest:{{{pipeline}:{stream}}}"

    def preview(self, pipeline: str, stream: str) -> str:
        """String with a TTL: a small JPEG of the newest result, while somebody watches."""
        return f"{self.prefix}preview:{{{pipeline}:{stream}}}"

    def preview_wanted(self, pipeline: str, stream: str) -> str:
        """String with a TTL, set by whoever watches: as long as it is there, previews are made."""
        return f"{self.prefix}preview-wanted:{{{pipeline}:{stream}}}"

    def events(self, pipeline: str, stream: str) -> str:
        """Redis stream: ids `epoch-number`, field `record` = the JSON of topic `events`."""
        return f"{self.prefix}events:{{{pipeline}:{stream}}}"

    def live_events(self, pipeline: str, stream: str) -> str:
        """Pub/Sub channel: every event's JSON, at most once."""
        return f"{self.prefix}live.events:{{{pipeline}:{stream}}}"

    def live(self, pipeline: str, stream: str) -> str:
        """Pub/Sub channel: every record's JSON, at most once."""
        return f"{self.prefix}live:{{{pipeline}:{stream}}}"


def connect_redis(settings: RedisSettings, **options: Any) -> "redis.Redis":
    """A client; binary replies; it connects on first use and does not retry by itself.

    Raises:
        UsageError: the address is none, or the authority's file can't be used.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if not settings.url:
        raise UsageError("no Redis: set redis.url (STREAMER_REDIS__URL), or start one with `streamer up`")
    shared: dict[str, Any] = {
        "username": settings.username or None,
        "password": settings.password.get_secret_value() or None,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        # redis-py repeats even a refused login for seconds; whoever can wait does so itself.
        "retry": Retry(NoBackoff(), 0),
    }
    if settings.url.startswith("rediss:"):
        trusting(settings.ssl_ca_certs, "redis.ssl_ca_certs")  # redis-py would say it later, and worse
        shared["ssl_ca_certs"] = str(settings.ssl_ca_certs) if settings.ssl_ca_certs else None
    given = {key: value for key, value in {**shared, **options}.items() if value is not None}
    try:
        return redis.Redis.from_url(settings.url, **given)
    except ValueError:
        # Not in the words of urllib, which show what it takes for the port: the end of a password with a slash in it.
        raise UsageError(
            "redis.url is not redis://HOST:PORT/NUMBER, rediss:// for TLS; in a name or password in it, write what is "
            "neither letter nor digit as % and two hexadecimal digits, or set redis.username and redis.password"
        ) from None


def redis_error(settings: RedisSettings, error: Exception) -> ServiceError:
    """What a failed Redis command means for the user."""
    from streamer.addresses import mask

    return ServiceError(f"Redis at {mask(settings.url)}: {mask(_advice(settings, error))}")


def is_away(error: BaseException | None) -> bool:
    """Whether a failed Redis command means no more than that nothing answers now: it may be restarting."""
    import redis

    if isinstance(error, redis.AuthenticationError) or not isinstance(
        error, redis.ConnectionError | redis.TimeoutError
    ):
        return isinstance(error, redis.exceptions.BusyLoadingError)
    return isinstance(error.__context__, ConnectionRefusedError | ConnectionResetError | TimeoutError)


def _advice(settings: RedisSettings, error: Exception) -> str:
    import redis

    if isinstance(error, redis.AuthenticationError):
        if settings.password.get_secret_value():
            return "login refused: check redis.username and redis.password"
        return "it wants a login: set redis.username and redis.password"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return f"{error}; give this user the rights in docs/records.md"
    # redis-py puts its own error over the socket's, which knows more.
    cause = error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return certificate_advice(cause, "redis.url", "redis.ssl_ca_certs")
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there: check redis.url, or start one with `streamer up`"
    if isinstance(cause, socket.gaierror):
        return f"no machine has this name: check redis.url ({cause.strerror})"
    if isinstance(error, redis.TimeoutError) and settings.url.startswith("rediss:"):
        return f"{error}: if it does not speak TLS on this port, redis.url must begin with redis:"
    if isinstance(error, redis.ConnectionError) and settings.url.startswith("redis:"):
        return f"{error}: if it speaks TLS on this port, redis.url must begin with rediss:"
    return str(error)
