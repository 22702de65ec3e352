"""Third parties that are not ours: a time-stamp authority that is OpenSSL, and a witness from the C2SP text.

Each is a small HTTP server in a thread. The witness is written from C2SP tlog-witness,
tlog-cosignature and RFC 6962 alone, and imports nothing of the project.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Answer = tuple[int, str, bytes]
"""Status, media type, body."""

_CONFIG = """
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/root.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """Answer every POST by a function of path and body; yield the base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, media_type, data = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class OpensslAuthority:
    """``openssl ts`` behind HTTP, with a root of its own and a certificate for time stamps."""

    def __init__(self, folder: Path, *, may_stamp: bool = True) -> None:
        """Make keys and certificates in ``folder``; without ``may_stamp`` it is for other purposes."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.away = False
        self.asked = 0
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root_name = _name("Test root of time")
        root = _certificate(root_name, root_name, root_key.public_key(), root_key, ca=True)
        purposes = [ExtendedKeyUsageOID.TIME_STAMPING if may_stamp else ExtendedKeyUsageOID.SERVER_AUTH]
        own = _certificate(
            _name("Test time-stamp authority"), root_name, key.public_key(), root_key, purposes=purposes
        )
        (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        (folder / "tsa.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))
        (folder / "tsa.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / "serial").write_text("1000\n", encoding="ascii")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder), encoding="utf-8")

    @property
    def certificates(self) -> bytes:
        """Return its root and the certificate that stamps, as PEM."""
        return (self.folder / "root.pem").read_bytes() + (self.folder / "tsa.pem").read_bytes()

    def reply(self, query: bytes) -> bytes:
        """Return the response of OpenSSL to a request."""
        (self.folder / "query").write_bytes(query)
        subprocess.run(
            [
                *("openssl", "ts", "-reply", "-config", self.folder / "tsa.cnf"),
                *("-queryfile", self.folder / "query", "-out", self.folder / "reply"),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return (self.folder / "reply").read_bytes()

    def answer(self, _path: str, body: bytes) -> Answer:
        """Answer a call as RFC 3161 Section 3.4 says."""
        self.asked += 1
        if self.away:
            return 503, "text/plain", b"later"
        return 200, "application/timestamp-reply", self.reply(body)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    purposes: list[x509.ObjectIdentifier] | None = None,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3_650))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    return builder.sign(signer, hashes.SHA256())


# --- a witness -------------------------------------------------------------------------


@dataclass(slots=True)
class SpecWitness:
    """A witness of C2SP tlog-witness with one Ed25519 key, and a log key that it was told.

    Attributes:
        name: Its name in notes.
        log_key: Verifier key line of the log (Ed25519, type 0x01).
        known: Size and root that it signed last, by origin.
        away: Whether it answers 503.
    """

    name: str
    log_key: str
    known: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    away: bool = False
    statuses: list[int] = field(default_factory=list)
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    now_s: int = 1_800_000_000

    @property
    def vkey(self) -> str:
        """Return its verifier key: type 0x04."""
        public = b"\x04" + self.private.public_key().public_bytes_raw()
        return f"{self.name}+{_key_id(self.name, public).hex()}+{base64.b64encode(public).decode()}"

    def answer(self, path: str, body: bytes) -> Answer:
        """Answer ``add-checkpoint``."""
        status, media_type, data = self._answer(path, body)
        self.statuses.append(status)
        return status, media_type, data

    def _answer(self, path: str, body: bytes) -> Answer:
        if self.away:
            return 503, "text/plain", b""
        if not path.endswith("/add-checkpoint"):
            return 404, "text/plain", b""
        head, _, note = body.partition(b"\n\n")
        first, *proof_lines = head.decode().split("\n")
        match = re.fullmatch(r"old (0|[1-9][0-9]*)", first)
        if match is None or len(proof_lines) > 63:
            return 400, "text/plain", b""
        old, proof = int(match[1]), [base64.b64decode(line, validate=True) for line in proof_lines]
        text, _, lines = note.rpartition(b"\n\n")
        text += b"\n"
        origin, size_text, root_text, rest = text.decode().split("\n")
        size, root = int(size_text), base64.b64decode(root_text, validate=True)
        if rest or not self._signed(text, lines):
            return 403, "text/plain", b""
        known = self.known.get(origin, (0, hashlib.sha256().digest()))
        if old > size:
            return 400, "text/plain", b""
        if old != known[0]:
            return 409, "text/x.tlog.size", f"{known[0]}\n".encode()
        if not _is_consistent(old, size, proof, known[1], root):
            return 422, "text/plain", b""
        self.known[origin] = (size, root)
        message = f"cosignature/v1\ntime {self.now_s}\n".encode() + text
        blob = self.now_s.to_bytes(8, "big") + self.private.sign(message)
        return 200, "text/plain; charset=utf-8", self._line(blob)

    def _line(self, blob: bytes) -> bytes:
        public = b"\x04" + self.private.public_key().public_bytes_raw()
        encoded = base64.b64encode(_key_id(self.name, public) + blob).decode()
        return f"\u2014 {self.name} {encoded}\n".encode()

    def _signed(self, text: bytes, lines: bytes) -> bool:
        """Verify the one line of the log that a witness with classical keys knows."""
        name, key_id, encoded = self.log_key.split("+", 2)
        material = base64.b64decode(encoded)
        assert material[0] == 1
        public = Ed25519PublicKey.from_public_bytes(material[1:])
        for line in lines.decode().split("\n"):
            if not line.startswith(f"\u2014 {name} "):
                continue
            blob = base64.b64decode(line.split(" ")[2])
            if blob[:4].hex() != key_id:
                continue
            try:
                public.verify(blob[4:], text)
            except InvalidSignature:
                return False
            return True
        return False


def _key_id(name: str, material: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]


def _is_consistent(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    """RFC 9162 Section 2.1.4.2, as it stands there."""
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof
    if not proof:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for node in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = _pair(node, fr), _pair(node, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _pair(sr, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def _pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
