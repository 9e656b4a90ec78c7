"""What people and their files say: settings, addresses, options of the command line."""

import argparse
import os
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from hypothesis import strategies as st

from producers.sources.registry import GROUP, open_source
from streamer.addresses import has_credentials, mask, resolve
from streamer.commands.sources import expand_sources, name_streams, without_secrets
from streamer.commands.stream_options import add_treatment_options, treatment
from streamer.errors import SourceError, UsageError
from streamer.mirror import connect_redis
from streamer.moments import parse_moment
from streamer.records import check_name
from streamer.records.stream import StreamDefinition, parse_definition
from streamer.settings import ProduceSettings, RedisSettings, load
from tests.fuzz.limits import SECRET
from tests.fuzz.near import bytes_near, text_near
from tests.fuzz.target import Target

TOML = f"""
[kafka]
bootstrap_servers = "kafka1:9092,kafka2:9092"
sasl_password = "{SECRET}"
session_timeout_ms = 6000
[redis]
url = "redis://worker:{SECRET}@redis:6379/0"
[detect]
classes = ["person", "car"]
class_confidence = {{ person = 0.4 }}
confidence = 0.25
""".encode()
VARIABLES = {
    "STREAMER_KAFKA__SASL_PASSWORD": SECRET,
    "STREAMER_REDIS__URL": f"redis://worker:{SECRET}@redis:6379/0",
    "STREAMER_DETECT__CLASSES": "person,car",
    "STREAMER_DETECT__CLASS_CONFIDENCE": "{ person = 0.4 }",
    "STREAMER_DETECT__QUEUE": "16",
    "STREAMER_TELEMETRY__PORT": "-1",
}
ADDRESSES = (
    f"rtsp://admin:{SECRET}@10.0.0.7:554/live?channel=1",
    f"https://[2001:db8::1]:8443/clip.mp4?token={SECRET}",
    f"rtsp://10.0.0.7/user=admin_password={SECRET}_channel=1_stream=0.sdp",
    "rtsp://${FUZZ_USER}:${FUZZ_PASSWORD}@camera/live",
    "http://${file:FOLDER/secret}@camera/live",
    "file:///tmp/a%20clip.mp4",
    "udp://239.0.0.1:1234",
    "synthetic:seed=3,busy=2",
    "/dev/video0",
    "clips/a,b.mp4",
)
OPTIONS = (
    "--zone\nyard=0,0;10,0;10,10:60\n--line\nkerb=0,0;10,0\n--track",
    "--mask\n0,0;200,0;200,90:pixelate\n--crop\n0,0,100,100\n--fps\n5",
    "--transport\n640x360\n--freshness\nbounded:500\n--option\nrtsp_transport=udp\n--quality\n90",
)
TIMES = ("10m", "2h", "1.5d", "2026-01-31T12:00", "2026-01-31T12:00:00Z", "1700000000.25")


def read_toml(content: bytes) -> None:
    """A settings file, under variables of the environment and the command line's own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "streamer.toml")
        file.write_bytes(content)
        settings = load(file, {"detect": {"model": "x.onnx"}, "redis": {"prefix": "a:"}}, VARIABLES)
    assert SECRET not in repr(settings.kafka)


def read_environment(variables: dict[str, str]) -> None:
    """Settings in variables."""
    load(None, None, variables)


def read_address(address: str) -> None:
    """A source of a definition and of the command line, up to the point where it would be connected to."""
    if SECRET in mask(address):
        return  # nothing in it says which part of it is the password
    definition = parse_definition(StreamDefinition, {"id": "gate", "source": address})
    source = open_source(definition, ProduceSettings())
    source.close()


def read_sources(words: str) -> None:
    """Sources on a command line."""
    for name, source in name_streams([*expand_sources(words.split("\n")), *words.split("\n")]).items():
        check_name(name, "stream")
        assert not has_credentials(without_secrets(source, name))


def read_redis_url(url: str) -> None:
    """The address of a Redis."""
    connect_redis(RedisSettings(url=url)).close()


def read_reference(content: bytes) -> None:
    """A file that holds a password."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "secret").write_bytes(content)
        resolve(f"rtsp://${{file:{folder}/secret}}@camera/live")


class Parser(argparse.ArgumentParser):
    """argparse's errors as ours; that it has one line is argparse's own."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message)


def read_options(words: str) -> None:
    """Options of a stream, which make a definition."""
    parser = Parser(exit_on_error=False, add_help=False)
    add_treatment_options(parser)
    fields = treatment(parser.parse_args(words.split("\n")))
    definition = parse_definition(StreamDefinition, {"id": "gate", "source": "clip.mp4", **fields})
    assert parse_definition(StreamDefinition, definition.to_json()) == definition


def read_time(text: str) -> None:
    """--since and --until."""
    parse_moment(text, 1_700_000_000.0)


def _typed(text: str) -> str:
    """What can be an argument or a variable; an error shows it, so it is short."""
    return "\n".join(word[:300] for word in text.replace("\0", "").split("\n"))


# A first import, within the bounds on memory, would end the process.
FACTORIES = {point.name: point.load() for point in entry_points(group=GROUP)}
os.environ |= {"FUZZ_USER": "admin", "FUZZ_PASSWORD": SECRET}
texts = st.sampled_from(list(VARIABLES)) | text_near(list(VARIABLES)).map(_typed)
values = text_near([*VARIABLES.values(), "[[" * 500, "9" * 5000, "{a=1}"]).map(_typed)
some_variables = st.dictionaries(texts, values, max_size=3)
DIGITS = b"9" * 5000
DEEP = {"STREAMER_DETECT__CLASSES": "[" * 2000}
REDIS = f"rediss://u:{SECRET}@redis:6379/0?protocol=3"
TYPED = ["a.mp4,b.mp4", *(each.replace(SECRET, "x") for each in ADDRESSES)]
ODD_ADDRESSES = ["x" * 300, "http://[a", "a\0", "rtsp://a\nb", f"admin:{SECRET}@camera/live", f"rtsp://a:{SECRET} @b/c"]
TARGETS = (
    Target("settings file", bytes_near([TOML]), read_toml, (UsageError,), [b"kafka = 3", b"[redis]\nurl = " + DIGITS]),
    Target("settings in variables", some_variables, read_environment, (UsageError,), [DEEP, {"STREAMER_\n": ""}]),
    Target("addresses", text_near(ADDRESSES), read_address, (UsageError, SourceError), ODD_ADDRESSES),
    Target("sources", text_near(TYPED).map(_typed), read_sources, (UsageError,), ["x" * 300, "http://[a"]),
    Target("redis url", text_near([REDIS]), read_redis_url, (UsageError,), [REDIS.replace("@", "/@")]),
    Target("secret in a file", bytes_near([SECRET.encode()]), read_reference, (UsageError,), [b"\x80"]),
    Target("stream options", text_near(OPTIONS).map(_typed), read_options, (UsageError, argparse.ArgumentError)),
    Target("times", text_near(TIMES).map(_typed), read_time, (UsageError,)),
)
