"""Throw-away keys and certificates."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    certificate: Path
    key: Path


def make_authority(folder: Path, name: str) -> Certificate:
    """An authority that signs itself."""
    need(shutil.which("openssl") is not None, "openssl")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj", f"/CN={name}", "-keyout", made.key, "-out", made.certificate
    )
    return made


def make_certificate(folder: Path, authority: Certificate, name: str, alternatives: str) -> Certificate:
    """A certificate signed by `authority`; alternatives: its host names, as in `DNS:localhost`."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={alternatives}\n")
    _openssl("req -newkey rsa:2048 -nodes -subj", f"/CN={name}", "-keyout", made.key, "-out", request)
    _openssl(
        *("x509 -req -days 2 -CAcreateserial -in", request, "-CA", authority.certificate, "-CAkey", authority.key),
        *("-extfile", extensions, "-out", made.certificate),
    )
    return made


def _openssl(words: str, *arguments: object) -> None:
    subprocess.run(["openssl", *words.split(), *map(str, arguments)], check=True, capture_output=True)
