"""An agency's folder: certificate, key, trust anchor, and where its node is.

::

    DIR/client.pem    certificate chain
    DIR/client.key    its private key
    DIR/ca.pem        root of the own nation, the only one that is trusted
    DIR/url           optional: base address of the node, one line
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from gateway.client.errors import IdentityError

URL_FILE = "url"


def open_context(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of an agency.

    TLS 1.3 only, mutual, and no trust but in ``ca.pem``.

    Raises:
        IdentityError: A file is absent, or is not what its name says.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    for name in ("ca.pem", "client.pem", "client.key"):
        if not (folder / name).is_file():
            msg = f"{folder / name} is missing: {folder} has to hold client.pem, client.key and ca.pem"
            raise IdentityError(msg)
    try:
        context.load_verify_locations(cafile=folder / "ca.pem")
    except (ssl.SSLError, OSError) as error:
        msg = f"{folder / 'ca.pem'} holds no certificate in PEM"
        raise IdentityError(msg) from error
    try:
        # An encrypted key would make OpenSSL ask on the terminal; refuse it instead.
        context.load_cert_chain(folder / "client.pem", folder / "client.key", password=_refuse_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        msg = f"client.pem and client.key in {folder} are no certificate with its unencrypted key"
        raise IdentityError(msg) from error
    return context


def known_url(folder: Path, url: str | None) -> str:
    """Return the address that was given, or else the one that the folder names.

    Raises:
        IdentityError: There is none.
    """
    address = url or stored_url(folder)
    if address is None:
        msg = f"no address of the node: give one, or write it to {folder / URL_FILE}"
        raise IdentityError(msg)
    return address


def verify_address(address: str) -> None:
    """Verify that an address is ``https://host:port`` and nothing more: the calls bring their paths.

    Raises:
        IdentityError: It is another. What is posted could leave in the clear, for somebody who shows no
            certificate.
    """
    if not _is_base(address):
        msg = "the address of the node is not of the form https://host:port; nothing was sent"
        raise IdentityError(msg)


def _is_base(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    bare = {f"https://{parts.netloc}", f"https://{parts.netloc}/"}
    return parts.hostname is not None and port != 0 and "@" not in parts.netloc and address in bare


def stored_url(folder: Path) -> str | None:
    """Return the address that the folder names, or None."""
    try:
        # Editors of Windows put a byte order mark before what they save as UTF-8.
        return (folder / URL_FILE).read_text(encoding="utf-8-sig").strip() or None
    except (OSError, ValueError):
        return None


def _refuse_password() -> str:
    msg = "encrypted keys are not opened here"
    raise ValueError(msg)
