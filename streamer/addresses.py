"""Credentials in addresses and options: references resolved only where they are used, masked where they are shown."""

import os
import re
from pathlib import Path

from streamer.errors import UsageError

# user:password@ in any address, inside any text: FFmpeg, for one, puts whole addresses into its errors.
# Up to the word's last @, because a password may hold a slash; masking too much is harmless. The word is taken whole
# and once, and the scheme is none of the pattern, or a line of 100 kB that somebody else wrote takes seconds.
_WORD = re.compile(r"\S+")
_SCHEME = "://"
# Tokens and passwords by name, in query strings and in paths: ?token=..., &X-Amz-Signature=..., /user=a_password=...
# A name begins at one of the characters that it can't go on with, or a long line of them takes seconds.
_NAMED_SECRET = re.compile(
    r"(?P<name>[?&/;_][a-z0-9.-]*(?:token|pass?|passw(?:or)?d|passphrase|pwd|psw|secret|signature|credential"
    r"|(?:api|access)[_-]?key|auth|sig)=)[^&\s'\"#<>\0]+",
    re.IGNORECASE,
)
_SECRET_OPTION = re.compile(
    r".*(pass|secret|token|cookie|credential|cryptokey|decryption_key).*|key|srtp_.*_params", re.IGNORECASE | re.DOTALL
)
_SECRET_HEADER = re.compile(r"[^:]*(auth|cookie|token|secret|passw|key)[^:]*:", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{(?P<name>[^}]*)\}")
_HIDDEN = "\0"  # stands for a reference; no address holds one
MASK = "***"
_LONGEST_SECRET = 65_536  # bytes: whoever names a device instead of a file gets no endless one


def mask(text: str) -> str:
    """`text` with the credentials of every address in it replaced by `***`.

    >>> mask("rtsp://admin:s3cret@10.0.0.7/live failed")
    'rtsp://***@10.0.0.7/live failed'
    """
    return _NAMED_SECRET.sub(rf"\g<name>{MASK}", _WORD.sub(_without_userinfo, text))


def _without_userinfo(word: re.Match[str]) -> str:
    before, userinfo, after = _at_userinfo(word[0])
    return f"{before}{MASK}@{after}" if userinfo is not None else word[0]


def _at_userinfo(word: str) -> tuple[str, str | None, str]:
    """What stands before user and password in an address, these, and what stands behind; None: there are none.

    An address whose scheme was forgotten is one if it has a password.
    """
    scheme, found, rest = word.partition(_SCHEME) if _SCHEME in word else ("", "", word)
    userinfo, sign, host = rest.rpartition("@")
    if not sign or (not found and ":" not in userinfo):
        return word, None, ""
    return scheme + found, userinfo, host


def has_credentials(address: str) -> bool:
    """Whether `address` itself holds a password or token, rather than a reference (`${NAME}`) to one.

    A user without a password may be a token.
    """
    bare = _REFERENCE.sub(_HIDDEN, address)
    user, _, password = (_at_userinfo(bare)[1] or "").partition(":")
    alone = "" if "/" in user else user  # with a slash, the @ belongs to the path
    return bool((password or alone).replace(_HIDDEN, "")) or _NAMED_SECRET.search(bare) is not None


def option_has_credentials(name: str, value: str) -> bool:
    """Whether FFmpeg's option `name` with this value holds a password, token or key that is no reference."""
    if has_credentials(value):
        return True
    if name.lower() == "headers":
        return any(_SECRET_HEADER.match(line) and not _REFERENCE.search(line) for line in value.splitlines())
    return bool(value) and not _REFERENCE.search(value) and _SECRET_OPTION.fullmatch(name) is not None


def resolve(address: str) -> str:
    """`address` with every `${NAME}` replaced by that environment variable and `${file:PATH}` by that file's text.

    Raises:
        UsageError: a variable is not set or a file can't be read; the message never shows a value.
    """

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name.startswith("file:"):
            return _secret(name)
        try:
            return os.environ[name]
        except KeyError:
            shown = " ".join(mask(address).split())  # options may hold lines
            raise UsageError(f"{shown} refers to ${{{name}}}: set the environment variable {name}") from None

    return _REFERENCE.sub(value, address)


def _secret(name: str) -> str:
    try:
        with Path(name.removeprefix("file:")).open("rb") as file:
            return file.read(_LONGEST_SECRET).decode().strip()
    except OSError as error:
        raise UsageError(f"can't read the secret ${{{name}}}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"the secret ${{{name}}} is not UTF-8 text") from None
