"""Credentials in addresses: references resolved only where they are used, masked wherever they are shown."""

import os
import re
from pathlib import Path

from streamer.errors import UsageError

# user:password@ in any address, inside any text: FFmpeg, for one, puts whole addresses into its errors.
# Greedy up to the last @, because a password may hold a slash; masking too much is harmless.
_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<userinfo>[^\s'\"<>]*)@")
# Tokens in query strings: ?token=..., &X-Amz-Signature=...
_QUERY_SECRET = re.compile(
    r"(?P<name>[?&][\w.-]*(?:token|passw(?:or)?d|pwd|secret|signature|credential|api_?key|auth|sig)=)[^&\s'\"#<>]+",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$\{(?P<name>[^}]*)\}")
MASK = "***"


def mask(text: str) -> str:
    """`text` with the credentials of every address in it replaced by `***`.

    >>> mask("rtsp://admin:s3cret@10.0.0.7/live failed")
    'rtsp://***@10.0.0.7/live failed'
    """
    return _QUERY_SECRET.sub(rf"\g<name>{MASK}", _USERINFO.sub(rf"\g<scheme>{MASK}@", text))


def has_credentials(address: str) -> bool:
    """Whether `address` itself holds a password or token, rather than a reference (`${NAME}`) to one."""
    bare = _REFERENCE.sub("", address)
    userinfo = _USERINFO.search(bare)
    if userinfo and userinfo["userinfo"].partition(":")[2]:
        return True
    return _QUERY_SECRET.search(bare) is not None


def resolve(address: str) -> str:
    """`address` with every `${NAME}` replaced by that environment variable and `${file:PATH}` by that file's text.

    Raises:
        UsageError: a variable is not set or a file can't be read; the message never shows a value.
    """

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name.startswith("file:"):
            try:
                return Path(name.removeprefix("file:")).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise UsageError(f"can't read the secret ${{{name}}}: {error.strerror}") from None
        try:
            return os.environ[name]
        except KeyError:
            raise UsageError(f"{mask(address)} refers to ${{{name}}}: set the environment variable {name}") from None

    return _REFERENCE.sub(value, address)
