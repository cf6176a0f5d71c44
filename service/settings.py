"""What an installation may choose. Built once at each entry point and passed down; the core never reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.problems import Mendable


class SettingsProblem(Mendable):
    """A variable of the environment that cannot be used."""


class Settings(BaseSettings):
    """Each is read from the environment as `KETNOI_` and its name in capitals: KETNOI_PORT, KETNOI_DATA_DIR."""

    model_config = SettingsConfigDict(env_prefix="KETNOI_", extra="ignore", frozen=True, str_strip_whitespace=True)

    #: Folder of the databases, the sealed media and the installation key. Made at the first run, readable by us alone.
    data_dir: Path = Path(".data")
    #: Address to listen on. The default is reached from this machine only.
    host: str = "127.0.0.1"
    #: TCP port.
    port: int = Field(default=8000, ge=0, le=65535)
    #: `postgresql://…` or `sqlite:///…`. None: the file ketnoi.db in the data folder.
    database_url: str | None = Field(default=None, repr=False)
    #: Database of the wrapped data keys, backed up apart. None: the file keys.db in the data folder.
    keys_url: str | None = Field(default=None, repr=False)
    #: Installation keys, `id base64` each, separated by commas; the first one wraps. None: the file in the data folder.
    installation_keys: SecretStr | None = None
    #: Celery's broker, which only wakes workers sooner. None: `serve` runs one worker child by itself.
    broker_url: SecretStr | None = None
    #: Address under which phones and browsers reach us, behind a proxy. None: taken from each request.
    public_url: str | None = None
    #: Language of pages and messages until somebody chooses.
    language: Literal["vi", "en"] = "vi"
    #: Zone in which the programme's days begin and end, until its workbook says another.
    timezone: str = "Asia/Ho_Chi_Minh"
    #: Bytes, announced as X-OpenRosa-Accept-Content-Length; beyond it Collect spreads attachments over more requests.
    max_submission_bytes: int = Field(default=10_000_000, gt=0)
    #: Bytes of one request that we read at all. One file above the announced size is still sent whole, hence larger.
    max_body_bytes: int = Field(default=100_000_000, gt=0)
    #: Submissions that may wait for the writer before we answer "busy"; Collect tries again later.
    writer_queue: int = Field(default=256, gt=0)
    #: Seconds that a request waits for the database before it gives up.
    lock_timeout: float = Field(default=30.0, gt=0)
    #: Hours without a request after which a browser must sign in again.
    session_hours: float = Field(default=12.0, gt=0)
    #: True: publishing a form without ODK Validate (Java) is an error, not a warning.
    require_validate: bool = False
    #: Path of the Java program for ODK Validate. None: looked for on the PATH.
    java: str | None = None
    #: How often the chaining engine is checked against the reference matcher: every decision, some, or none.
    rules_crosscheck: Literal["always", "sample", "off"] = "always"
    #: Log lines for people, or one JSON object a line for machines.
    log_format: Literal["plain", "json"] = "plain"
    #: Least grave level that is logged.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone. Write one such as Asia/Ho_Chi_Minh.") from None
        return name

    @field_validator("public_url")
    @classmethod
    def _plain_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address. Write it whole, such as https://ketnoi.example.org.")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _keys_apart(self) -> Settings:
        if self.keys_url and self.keys_url == self.database_url and self.keys_url.startswith("sqlite"):
            raise ValueError("KETNOI_KEYS_URL is the file of KETNOI_DATABASE_URL. Keys need a database of their own.")
        return self

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'ketnoi.db').absolute()}"

    @property
    def keys(self) -> str:
        """URL of the key store."""
        return self.keys_url or f"sqlite:///{(self.data_dir / 'keys.db').absolute()}"

    @property
    def media_dir(self) -> Path:
        """Folder of sealed attachments."""
        return self.data_dir / "media"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def from_environment() -> Settings:
    """The settings of this process. Raises SettingsProblem with every variable that is wrong; values are not quoted."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_url=False):
            name = "KETNOI_" + "_".join(str(part) for part in item["loc"]).upper() if item["loc"] else "KETNOI_…"
            lines.append(f"{name}: {item['msg']}")
        raise SettingsProblem("\n".join(lines)) from None
