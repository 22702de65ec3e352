"""The configuration of a node: `gateway.toml` and the environment, read once and checked.

The only reader of settings. Values come from `<home>/gateway.toml`, overridden by
``ENTENTE_<SECTION>__<KEY>``; secrets are named by ``*_file`` keys and never stand in the
configuration itself. Keys and variables it does not know are refused, and every error is
reported at once, by the name of its key.

Spec: docs/operating.md, "Configuration".
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from gateway.errors import ConfigError

PREFIX: Final = "ENTENTE_"
OTHER_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        # Options of commands.
        *("AS", "URL", "OPS_AS", "OPS_URL", "LANGUAGE"),
        # docker-compose.yml and the Dockerfile.
        *("IMAGE", "BASE", "UID", "GID", "HOMES", "MEMORY", "CPUS"),
        *("FR_PASSPHRASE_FILE", "FR_AGENCY_PORT", "FR_OPERATOR_PORT"),
        *("US_PASSPHRASE_FILE", "US_AGENCY_PORT", "US_OPERATOR_PORT"),
    )
)
"""Variables that begin like settings of a node and are none."""
LANGUAGE_VARIABLE: Final = f"{PREFIX}LANGUAGE"
_SERVICE_LINK: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)"
)
"""What Kubernetes puts into the environment for each service, also one named entente or entente-fr."""
_FORM: Final = f"{PREFIX}<SECTION>__<KEY>, with two underscores"
TOKEN_TIMEOUT_S: Final = 10.0

_EXPECTED: Final = {
    "listen": "address:port, such as 127.0.0.1:9441; several addresses of one port are separated by commas",
    "name": "a lower-case name with dots, such as fr.gateway.example",
    "url": "https://host:port",
}
MAX_PORT: Final = 65_535

NodeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$", max_length=100)]
Nation = Literal["FR", "US"]
_PASSWORD: Final = re.compile(r"[a-z0-9+]+://[^/@]*:[^/]*@")
_DATABASE: Final = re.compile(r"sqlite:///.+|postgresql://[^/]*/.+")
_ADDRESS: Final = r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)"
Listen = Annotated[str, StringConstraints(pattern=rf"^{_ADDRESS}(,{_ADDRESS})*:[0-9]{{1,5}}$")]
HttpsUrl = Annotated[
    str, StringConstraints(pattern=r"^https://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/?$")
]
AnyUrl = Annotated[
    str,
    StringConstraints(pattern=r"^https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[!-~]*)?$"),
]
PartyName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound="StampsSection | WitnessSection")


def _need_ca(section: S) -> S:
    """Refuse HTTPS without the authority of its certificate: those of the system are never loaded."""
    if section.url.startswith("https:") and section.ca_file is None:
        msg = "ca_file is needed for an https address"
        raise ValueError(msg)
    return section


class NodeSection(_Section):
    """Who this node is.

    Attributes:
        name: Lower-case DNS-like name; part of its logs' origins, so it never changes.
        nation: The nation it serves.
        mode: ``production`` refuses test keys.
    """

    name: NodeName
    nation: Nation
    mode: Literal["production", "test"] = "production"


class ListenSection(_Section):
    """Where a port listens; with which certificate is not set, it lies in the home.

    Attributes:
        listen: ``address:port``; several addresses of one port are separated by commas, and a
            name stands for each address that it resolves to.
    """

    listen: Listen

    @field_validator("listen")
    @classmethod
    def _has_a_port(cls, listen: str) -> str:
        """Refuse a number that is no port; the system would take what is left of it by division."""
        if int(listen.rpartition(":")[2]) > MAX_PORT:
            msg = f"the port is a number up to {MAX_PORT}"
            raise ValueError(msg)
        return listen

    @property
    def host(self) -> str:
        """Return the address without brackets; several are separated by commas."""
        addresses = self.listen.rpartition(":")[0].split(",")
        return ",".join(address.strip("[]") for address in addresses)

    @property
    def port(self) -> int:
        """Return the port number."""
        return int(self.listen.rpartition(":")[2])


class PeerSection(_Section):
    """The other nation's node.

    Attributes:
        name: Its node name, as in its key statement.
        url: Base address of its peer port.
    """

    name: NodeName
    url: HttpsUrl


class StoreSection(_Section):
    """Where the node keeps everything.

    Attributes:
        url: ``sqlite:///path`` (relative to the home) or ``postgresql://…``.
        password_file: File with the database password; PostgreSQL only.
        high_water_file: Path of the high-water file, best on another disk.
        orders_file: Path of the file of orders (erasures, holds), best beside the high-water file.
    """

    url: str = "sqlite:///data/gateway.db"
    password_file: Path | None = None
    high_water_file: Path = Path("data/high-water")
    orders_file: Path = Path("data/orders")

    @field_validator("url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        """Refuse another database, and a password where whoever reads the file would see it."""
        if _PASSWORD.match(url):
            msg = "holds a password: put it into a file and name that in store.password_file"
            raise ValueError(msg)
        if _DATABASE.fullmatch(url) is None:
            msg = "expected sqlite:///PATH or postgresql://HOST/NAME"
            raise ValueError(msg)
        return url


class TokenSection(_Section):
    """A PKCS#11 token that holds the classical half of the log and cosigner keys. See docs/token.md.

    Attributes:
        module: The maker's PKCS#11 library.
        label: Label of the token; one token has it.
        pin_file: File that holds the user PIN, readable by the node's user alone.
        timeout_s: Longest wait for one call, seconds.
    """

    module: Path
    label: str = Field(min_length=1, max_length=32)
    pin_file: Path
    timeout_s: float = Field(default=TOKEN_TIMEOUT_S, ge=0.1, le=120.0)


class KeysSection(_Section):
    """How sealed keys are opened.

    Attributes:
        passphrase_file: File that holds the passphrase, readable by the node's user alone.
        token: Where one half of the signing keys is; in the sealed files with the other one if absent.
    """

    passphrase_file: Path = Path("keys/passphrase")
    token: TokenSection | None = None


class LimitsSection(_Section):
    """What a node takes on.

    Attributes:
        max_waiting: Messages that may be in admission at once; beyond that, 429.
        connections: Open connections a port.
        connections_per_agency: Open connections of one certificate.
        requests_per_agency: Requests of one certificate in work at once.
        messages_per_minute: Messages that one agency may post in a minute; no limit if absent.
        waiting_per_agency: Messages of one agency that may wait to be sent; no limit if absent.
        disk_reserve_mib: Room on the disks, in MiB, below which nothing new is taken on; never
            more than an eighth of a file system.
    """

    max_waiting: int = Field(default=20_000, ge=100, le=1_000_000)
    connections: int = Field(default=1_000, ge=4, le=100_000)
    connections_per_agency: int = Field(default=256, ge=1, le=10_000)
    requests_per_agency: int = Field(default=512, ge=1, le=10_000)
    messages_per_minute: int | None = Field(default=None, ge=1, le=10_000_000)
    waiting_per_agency: int | None = Field(default=None, ge=1, le=100_000_000)
    disk_reserve_mib: int = Field(default=256, ge=16, le=1_000_000)


class CrewSection(_Section):
    """Processes beside the node that examine and open messages for it.

    Attributes:
        processes: How many; worth it on machines with more than two processors.
    """

    processes: int = Field(default=0, ge=0, le=64)


class BundleSection(_Section):
    """When a bundle is closed and how a failing peer is retried.

    Attributes:
        pace_ms: Least time between a bundle with messages and the next one, 0 to 100 ms.
        longest_wait_s: Upper bound of the wait between two tries.
    """

    pace_ms: int = Field(default=10, ge=0, le=100)
    longest_wait_s: float = Field(default=30.0, ge=1.0, le=600.0)


class RetentionSection(_Section):
    """How long what is not needed any more is kept.

    Attributes:
        idempotency_days: Days for which an idempotency key is remembered.
    """

    idempotency_days: int = Field(default=30, ge=1, le=366)


class BackupsSection(_Section):
    """When `entente doctor` warns of backups.

    Attributes:
        warn_after_hours: Age of the newest one from which it does.
    """

    warn_after_hours: int = Field(default=48, ge=1, le=8_784)


class ApprovalsSection(_Section):
    """Whether changes of the registry and of quotas need two operators.

    Attributes:
        two_operators: Whether they do.
        proposal_hours: How long the second one has to approve what the first has proposed.
    """

    two_operators: bool = False
    proposal_hours: int = Field(default=72, ge=1, le=720)


class AgreementSection(_Section):
    """Which catalogue is in force, and which one follows when.

    Attributes:
        catalogue: Folder laid out like ``schemas/``; that of the installation if absent.
        next_catalogue: Folder of the catalogue that follows.
        next_from: When it takes effect, at both nodes; with a time zone.
    """

    catalogue: Path | None = None
    next_catalogue: Path | None = None
    next_from: AwareDatetime | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.next_catalogue is None) != (self.next_from is None):
            msg = "next_catalogue and next_from go together"
            raise ValueError(msg)
        return self


class ListsSection(_Section):
    """Which reference lists a node looks values up in, to warn of those that are not there.

    Attributes:
        folder: Folder with lists, ``NAME.json``, that replace those of the installation; it may
            be absent. See docs/reference-lists.md.
    """

    folder: Path = Path("lists")


class StampsSection(_Section):
    """A time-stamp authority (RFC 3161) that stamps the checkpoints of this node's logs.

    Attributes:
        url: Where it is asked, by ``http`` or ``https``; what it answers is signed.
        certificate_file: PEM file with its root and what lies between that and its signing key.
        ca_file: PEM file with the authority of its HTTPS certificate; needed for ``https``.
        every_s: How often a log that has grown is stamped, seconds.
    """

    url: AnyUrl
    certificate_file: Path
    ca_file: Path | None = None
    every_s: int = Field(default=3_600, ge=1, le=86_400)

    _https = model_validator(mode="after")(_need_ca)


class WitnessSection(_Section):
    """A C2SP witness outside both nations that cosigns the checkpoints of this node's logs.

    Attributes:
        url: Its submission prefix, by ``http`` or ``https``; ``add-checkpoint`` is appended.
        key_file: File with its verifier key, one line (Ed25519, type 0x04).
        ca_file: PEM file with the authority of its HTTPS certificate; needed for ``https``.
        every_s: How often a log that has grown is shown to it, seconds.
    """

    url: AnyUrl
    key_file: Path
    ca_file: Path | None = None
    every_s: int = Field(default=3_600, ge=1, le=86_400)

    _https = model_validator(mode="after")(_need_ca)


class LogSection(_Section):
    """What the node says on standard error.

    Attributes:
        level: Least level of a line.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(BaseSettings):
    """Everything that can be set of a node."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    node: NodeSection
    agency_api: ListenSection
    peer_api: ListenSection
    ops_api: ListenSection
    peers: dict[Nation, PeerSection] = Field(min_length=1, max_length=1)
    store: StoreSection = StoreSection()
    keys: KeysSection = KeysSection()
    limits: LimitsSection = LimitsSection()
    crew: CrewSection = CrewSection()
    bundle: BundleSection = BundleSection()
    retention: RetentionSection = RetentionSection()
    approvals: ApprovalsSection = ApprovalsSection()
    backups: BackupsSection = BackupsSection()
    agreement: AgreementSection = AgreementSection()
    lists: ListsSection = ListsSection()
    log: LogSection = LogSection()
    stamps: StampsSection | None = None
    witnesses: dict[PartyName, WitnessSection] = Field(default_factory=dict, max_length=8)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file; read nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return _Upper(env_settings), init_settings

    @property
    def peer_nation(self) -> str:
        """Return the nation of the peer."""
        return next(iter(self.peers))

    @property
    def peer(self) -> PeerSection:
        """Return the peer."""
        return self.peers[next(iter(self.peers))]


class _Upper(PydanticBaseSettingsSource):
    """The environment, with nations in the upper case they have in the file."""

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = dict(self._source())
        peers = values.get("peers")
        if isinstance(peers, dict):
            values["peers"] = {str(nation).upper(): peer for nation, peer in peers.items()}
        return values


def load_config(home: Path) -> Config:
    """Return the checked configuration of a node home.

    Args:
        home: Folder that holds `gateway.toml`.

    Raises:
        ConfigError: No such file, not TOML, unknown keys or values out of range; the text
            names every key that has to be changed, never a value.
    """
    path = home / "gateway.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): create a node home with `entente init`"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not TOML: it is not UTF-8"
        raise ConfigError(msg) from error
    return parse_config(text, path=path)


def parse_config(text: str, *, path: Path) -> Config:
    """Return the checked configuration that a text holds, overridden by the environment.

    Args:
        text: What stands in `gateway.toml`, or will.
        path: Where; named in the errors.

    Raises:
        ConfigError: As `load_config` does.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not TOML: {error}"
        raise ConfigError(msg) from error
    unknown = [f"  {line}" for line in _unknown_variables()]
    first = f"{path}: the configuration cannot be used"
    try:
        config = Config(**values)
    except ValidationError as error:
        raise ConfigError("\n".join([first, *_errors(error), *unknown])) from error
    except SettingsError as error:
        # A variable for a whole section: pydantic reads it as JSON, here it is an unknown setting.
        raise ConfigError("\n".join([first, f"  {error}", *unknown])) from error
    if unknown:
        raise ConfigError("\n".join([first, *unknown]))
    if contradictions := list(_contradictions(config)):
        raise ConfigError("\n".join([first, *contradictions]))
    return config


def _contradictions(config: Config) -> Iterator[str]:
    """Yield a line for each setting that another one rules out."""
    if config.peer_nation == config.node.nation:
        yield f"  peers: the peer is of the other nation, not of {config.node.nation}"
    taken: dict[tuple[str, int], str] = {}
    for section, port in (
        ("agency_api", config.agency_api),
        ("peer_api", config.peer_api),
        ("ops_api", config.ops_api),
    ):
        for address in dict.fromkeys(port.host.split(",")):
            other = taken.setdefault((address, port.port), section)
            # Port 0 lets the system choose, each time another one.
            if other != section and port.port != 0:
                yield f"  {section}.listen: names an address and port of {other}.listen"


def resolve(home: Path, path: Path) -> Path:
    """Return a path of the configuration; relative ones are relative to the home."""
    return path if path.is_absolute() else home / path


def _unknown_variables() -> Iterator[str]:
    """Yield a line for each variable that begins like a setting and is none, or has no known language."""
    known = set(Config.model_fields)
    for name in sorted(os.environ):
        if not name.upper().startswith(PREFIX) or name.upper() in OTHER_VARIABLES:
            continue
        section, separator, _ = name[len(PREFIX) :].lower().partition("__")
        if (section in known and separator) or _SERVICE_LINK.fullmatch(name):
            continue
        meant = max((one for one in known if section.startswith(one)), key=len, default="")
        form = f"{PREFIX}{meant.upper()}__<KEY>" if meant else _FORM
        yield f"{name}: unknown setting in the environment; expected {form}"
    if (os.environ.get(LANGUAGE_VARIABLE) or "en") not in {"en", "fr"}:
        # Commands refuse it, and with them the health check of a container, for ever.
        yield f"{LANGUAGE_VARIABLE}: expected en or fr"


def _hint(key: str, kind: str, message: str) -> str:
    """Return what is expected of a key; of what has to fit a pattern, in words instead of the pattern."""
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "is missing"
    if kind == "string_pattern_mismatch" and key in _EXPECTED:
        return f"expected {_EXPECTED[key]}"
    return message.removeprefix("Value error, ")


def _errors(error: ValidationError) -> Iterator[str]:
    """Yield a line for each error, by the name of the key; never a value."""
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in item["loc"])
        yield f"  {key}: {_hint(str(item['loc'][-1]), item['type'], item['msg'])}"
