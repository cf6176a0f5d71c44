"""The key store: wrapped data keys, in a database of its own that is backed up apart.

Erasing a person rewrites this store and its backups; what remains elsewhere can then be read by nobody.
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from sqlalchemy import LargeBinary, MetaData, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class KeyBase(DeclarativeBase):
    metadata = MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"})
    type_annotation_map: ClassVar[dict[Any, Any]] = {uuid.UUID: Uuid()}


class DataKeyRow(KeyBase):
    """A data key, wrapped by the installation key `wrapped_by`."""

    __tablename__ = "data_keys"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_by: Mapped[str] = mapped_column(String(32), index=True)


class StandingKeyRow(KeyBase):
    """A secret that lives as long as the installation: blind indexes must outlive a change of installation key."""

    __tablename__ = "standing_keys"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    wrapped: Mapped[bytes] = mapped_column(LargeBinary)
    wrapped_by: Mapped[str] = mapped_column(String(32))
