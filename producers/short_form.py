"""A source named on the command line: its password must not get into the definition, which many can read."""

import os
import re

from streamer.addresses import has_credentials


def without_secrets(source: str, stream: str) -> str:
    """`source`, if it holds credentials itself as a reference to a variable of this process that holds all of it.

    The variable is set here: the source is opened in this process only.
    """
    if not has_credentials(source):
        return source
    name = "STREAM_ADDRESS_" + re.sub(r"[^A-Z0-9]", "_", stream.upper())
    while name in os.environ:
        name += "_"
    os.environ[name] = source
    return f"${{{name}}}"
