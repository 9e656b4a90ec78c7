"""Credentials in addresses and options: what counts as one, and that none is shown or gets into a definition."""

import time

import pytest

from producers.sources.registry import open_source
from streamer.addresses import has_credentials, mask
from streamer.errors import SourceUnusableError, UsageError
from streamer.records.stream import StreamDefinition, parse_definition
from tests.clips import definition, quick_settings

IN_CLEAR = [
    "rtsp://admin:hunter2@10.0.0.7/live",
    "rtsp://${USER}:hunter2@10.0.0.7/live",
    "https://hunter2@host/live.m3u8",
    "https://hunter2:@host/live.m3u8",
    "http://h/live?token=hunter2",
    "http://h/live?pass=hunter2",
    "http://h/cgi?loginuse=a&loginpas=hunter2",
    "http://h/cgi?my_api_key=hunter2",
    "http://h/live?X-Amz-Signature=hunter2",
    "rtsp://h/user=admin_password=hunter2_channel=1_stream=0.sdp",
    "rtsp://h/user=${USER}_password=hunter2_channel=1_stream=0.sdp",
    "srt://h:9000?passphrase=hunter2",
]
FINE = [
    "rtsp://${USER}:${PASSWORD}@10.0.0.7/live",
    "rtsp://viewer:${file:/run/a@b}@10.0.0.7/live",
    "https://${TOKEN}@host/live.m3u8",
    "http://h/live?token=${TOKEN}",
    "rtsp://h/user=${USER}_password=${PASSWORD}_channel=1_stream=0.sdp",
    "http://h/pictures/@2x/clip.mp4",
    "clips/a@b.mp4",
    "synthetic:?frames=200&seed=7",
]


@pytest.mark.parametrize("address", IN_CLEAR)
def test_credentials_in_an_address_are_masked_and_refused_in_definitions(address: str) -> None:
    assert "hunter2" not in mask(f"{address} failed")
    assert has_credentials(address)
    with pytest.raises(UsageError, match=r"^source: it holds a password or token.* write \$\{NAME\}") as refused:
        parse_definition(StreamDefinition, {"id": "gate", "source": address})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("address", FINE)
def test_references_and_plain_addresses_are_taken(address: str) -> None:
    assert parse_definition(StreamDefinition, {"id": "gate", "source": address}).source == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("headers", "Authorization: Bearer hunter2"),
        ("headers", "User-Agent: x\r\nCookie: hunter2"),
        ("headers", "X-Api-Key: hunter2"),
        ("http_proxy", "http://u:hunter2@proxy:3128"),
        ("cookies", "id=hunter2; path=/"),
        ("passphrase", "hunter2hunter2"),
        ("decryption_key", "hunter2"),
    ],
)
def test_credentials_in_options_are_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"^options: {name} holds a password.* write \$\{{NAME\}}") as refused:
        parse_definition(StreamDefinition, {"id": "gate", "source": "http://h/live", "options": {name: value}})
    assert "hunter2" not in str(refused.value)


def test_references_and_plain_options_are_taken() -> None:
    options = {
        "headers": "Authorization: Bearer ${TOKEN}\r\nUser-Agent: x",
        "http_proxy": "http://u:${PROXY}@proxy:3128",
        "passphrase": "${file:/run/secrets/srt}",
        "rtsp_transport": "udp",
        "key_file": "/etc/client.key",
        "auth_type": "basic",
    }
    values = {"id": "gate", "source": "http://h/live", "options": options}
    assert parse_definition(StreamDefinition, values).options == options


@pytest.mark.parametrize("piece", ["_", "?", "&a", "/pass", "_x.", "://", "@", "a"])
def test_a_long_line_is_masked_at_once(piece: str) -> None:
    began = time.process_time()
    mask(piece * 100_000)
    assert time.process_time() - began < 1


def test_a_missing_reference_of_an_option_is_one_line() -> None:
    stream = definition("http://h/live", options={"headers": "A: b\r\nCookie: ${NO_SUCH_VARIABLE}"})
    with pytest.raises(SourceUnusableError, match=r"^A: b Cookie: .* set the environment variable NO_SUCH_VARIABLE$"):
        open_source(stream, quick_settings())
