"""Against a Redis with TLS and ACLs: it works with them, and every refusal is named at once."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from streamer.errors import UsageError
from streamer.mirror import connect_redis, redis_error
from streamer.settings import RedisSettings
from streamer.stack import Addresses
from streamer.stack.ports import free_ports
from streamer.stack.process import launch, stop
from streamer.stack.redis_server import find_redis
from tests.conftest import need
from tests.integration.certificates import make_authority, make_certificate

PASSWORD = "right/one@home"


@dataclass(frozen=True)
class Secured:
    """A Redis on this machine and what one needs to get in."""

    port: int
    authority: Path
    stranger: Path

    def settings(self, **changes: Any) -> RedisSettings:
        """Those that let the mirror's user in, but for `changes`."""
        right = {
            "url": f"rediss://localhost:{self.port}/0",
            "username": "mirror",
            "password": PASSWORD,
            "ssl_ca_certs": self.authority,
        }
        return RedisSettings.model_validate(right | changes)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    binary = find_redis()
    folder = tmp_path_factory.mktemp("redis")
    authority, stranger = make_authority(folder, "authority"), make_authority(folder, "stranger")
    certificate = make_certificate(folder, authority, "redis", "DNS:localhost")
    (port,) = free_ports((0,))
    (folder / "redis.conf").write_text(f"""bind 127.0.0.1
port 0
tls-port {port}
tls-cert-file {certificate.certificate}
tls-key-file {certificate.key}
tls-ca-cert-file {authority.certificate}
tls-auth-clients no
save ""
user default off
user mirror on >{PASSWORD} ~det:* resetchannels -@all +xadd +ping
""")
    process = launch([str(binary), "redis.conf"], folder)
    try:
        secured = Secured(port, authority.certificate, stranger.certificate)
        wait_until_ready(process, secured, folder)
        yield secured
    finally:
        stop(process, 5)


def wait_until_ready(process: subprocess.Popen[bytes], secured: Secured, folder: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            need("tls-port" not in (folder / "console.log").read_text(), "a redis-server with TLS")
            pytest.fail(f"redis-server has ended: {(folder / 'console.log').read_text()}")
        try:
            ping(secured.settings())
            return
        except redis.ConnectionError:
            time.sleep(0.02)
    pytest.fail("redis-server is not ready")


def ping(settings: RedisSettings) -> None:
    with connect_redis(settings) as client:
        client.ping()


def test_works_with_a_login_over_tls(server: Secured) -> None:
    with connect_redis(server.settings()) as client:
        assert client.xadd("det:gate", {"record": "{}"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"password": "wrong"}, "login refused: check redis.username and redis.password"),
        ({"username": "nobody"}, "login refused"),
        ({"username": "", "password": ""}, "it wants a login: set redis.username and redis.password"),
        ({"ssl_ca_certs": "{stranger}"}, "its certificate is not signed by an authority in redis.ssl_ca_certs"),
        ({"ssl_ca_certs": None}, "its certificate is not signed by an authority in redis.ssl_ca_certs"),
        (
            {"url": "rediss://127.0.0.1:{port}/0"},
            "its certificate is for another host name: use that name in redis.url",
        ),
        (
            {"url": "redis://localhost:{port}/0"},
            "if it speaks TLS on this port, redis.url must begin with rediss:",
        ),
        ({"url": "rediss://localhost:1/0"}, "nothing listens there: check redis.url"),
        ({"url": "redis://no.such.machine.invalid/0"}, "no machine has this name: check redis.url"),
    ],
)
def test_a_refusal_is_named_at_once(server: Secured, changes: dict[str, Any], expected: str) -> None:
    words = {"port": server.port, "stranger": server.stranger}
    settings = server.settings(**{k: v.format(**words) if isinstance(v, str) else v for k, v in changes.items()})
    start = time.monotonic()
    with pytest.raises(redis.RedisError) as raised:
        ping(settings)
    message = str(redis_error(settings, raised.value))
    assert expected in message
    assert PASSWORD not in message
    assert time.monotonic() - start < 2, "redis-py repeats for seconds unless told not to"


def test_a_missing_right_is_named(server: Secured) -> None:
    with connect_redis(server.settings()) as client:
        with pytest.raises(redis.ResponseError) as key:
            client.xadd("other:gate", {"record": "{}"})
        with pytest.raises(redis.ResponseError) as command:
            client.xrange("det:gate")
    assert "no permissions to access one of the keys" in str(redis_error(server.settings(), key.value))
    assert "no permissions to run the 'xrange' command" in str(redis_error(server.settings(), command.value))


def test_tls_to_a_port_without_it(stack: Addresses) -> None:
    settings = RedisSettings(url=stack.redis.replace("redis:", "rediss:"))
    with pytest.raises(redis.RedisError) as raised:
        connect_redis(settings, socket_timeout=0.5, socket_connect_timeout=0.5).ping()
    message = str(redis_error(settings, raised.value))
    assert "if it does not speak TLS on this port, redis.url must begin with redis:" in message


def test_a_password_in_the_url_is_not_shown() -> None:
    settings = RedisSettings(url="redis://user:s3cret@localhost:1/0")
    with pytest.raises(redis.RedisError) as raised:
        ping(settings)
    assert "s3cret" not in str(redis_error(settings, raised.value))


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError, match=r"redis\.url"):
        connect_redis(RedisSettings(url=url))


def test_an_authority_file_that_is_not_there(server: Secured) -> None:
    with pytest.raises(UsageError, match=r"redis\.ssl_ca_certs: /nowhere/ca\.pem can't be used: No such file"):
        connect_redis(server.settings(ssl_ca_certs="/nowhere/ca.pem"))
