"""What TLS connections are made with, and what a failed one means for the user."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import UsageError

# OpenSSL's X509_V_ERR_*
_EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 10, 62, 64


def trusting(authority: Path | None, setting: str) -> ssl.SSLContext:
    """A client's context that trusts this authority alone, or, without one, those of the machine.

    setting: what the file is called in the settings, for the message.

    Raises:
        UsageError: the file can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.load_default_certs()
        return context
    with file_named(setting, authority):
        context.load_verify_locations(authority)
    return context


@contextmanager
def file_named(setting: str, file: Path) -> Iterator[None]:
    """Turns what goes wrong with a file of the settings into a UsageError that names both."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"{setting}: {file} can't be used: {error.strerror or error}") from None


def certificate_advice(error: ssl.SSLCertVerificationError, address: str, authority: str) -> str:
    """What to change; `address` and `authority` are the names of the two settings."""
    if error.verify_code in (_OTHER_HOST, _OTHER_ADDRESS):
        return f"its certificate is for another host name: use that name in {address}"
    if error.verify_code == _EXPIRED:
        return "its certificate has expired: renew it, or check this machine's clock"
    return f"its certificate is not signed by an authority in {authority} ({error.verify_message})"
