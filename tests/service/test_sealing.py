import base64
import os
import secrets
import stat
import threading
import uuid
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from service import database, sealing
from service.database import Store
from service.key_store import DataKeyRow
from service.sealing import (
    CHUNK,
    Erased,
    InstallationKeyProblem,
    InstallationKeys,
    SealBroken,
    Vault,
    prepare_installation_key,
    read_installation_keys,
)


def test_what_is_sealed_opens_again_and_shows_nothing(vault: Vault):
    key = vault.new_key()
    sealed = vault.seal(key, "Nguyễn Thị Lan".encode(), "identity")
    assert b"Lan" not in sealed
    assert vault.open(key.id, sealed, "identity").decode() == "Nguyễn Thị Lan"


def test_the_same_text_never_looks_the_same(vault: Vault):
    key = vault.new_key()
    assert vault.seal(key, b"x", "note") != vault.seal(key, b"x", "note")


def test_a_seal_opens_for_its_purpose_and_key_alone(vault: Vault):
    key, other = vault.new_keys(2)
    sealed = vault.seal(key, b"x", "note")
    for key_id, text, purpose in (
        (key.id, sealed, "identity"),
        (other.id, sealed, "note"),
        (key.id, sealed[:-1] + bytes([sealed[-1] ^ 1]), "note"),
        (key.id, b"\x02" + sealed[1:], "note"),
        (key.id, b"", "note"),
    ):
        with pytest.raises(SealBroken):
            vault.open(key_id, text, purpose)


def test_a_key_is_stored_before_anybody_uses_it(vault: Vault, keys_engine: Engine):
    made = vault.new_keys(3)
    with keys_engine.connect() as connection:
        stored = dict(connection.execute(select(DataKeyRow.id, DataKeyRow.wrapped)).all())
    assert stored.keys() >= {key.id for key in made}
    assert all(key.secret not in stored[key.id] for key in made)


def test_many_open_with_what_is_left(vault: Vault):
    one, gone = vault.new_keys(2)
    sealed = [(one.id, vault.seal(one, b"1", "xml")), (gone.id, vault.seal(gone, b"2", "xml"))]
    vault.forget([gone.id])
    assert vault.open_many(sealed, "xml") == [b"1", None]


def test_more_records_than_a_question_may_name_are_opened(vault: Vault):
    keys = vault.new_keys(1200)
    sealed = [(key.id, vault.seal(key, b"x", "xml")) for key in keys]
    assert vault.open_many(sealed, "xml") == [b"x"] * 1200


def test_a_forgotten_key_opens_nothing_any_more(vault: Vault, keys_engine: Engine, settings):
    key = vault.new_key()
    sealed = vault.seal(key, b"x", "xml")
    vault.open(key.id, sealed, "xml")
    assert vault.forget([key.id]) == 1
    with pytest.raises(Erased):
        vault.open(key.id, sealed, "xml")
    with pytest.raises(Erased):
        Vault(keys_engine, read_installation_keys(settings.data_dir)).open(key.id, sealed, "xml")


def test_a_forgotten_key_is_gone_from_the_files_of_the_store(tmp_path: Path):
    prepare_installation_key(tmp_path)
    engine = database.connect(f"sqlite:///{tmp_path / 'keys.db'}", erasable=True)
    database.migrate(engine, Store.KEYS)
    vault = Vault(engine, read_installation_keys(tmp_path))
    keys = vault.new_keys(20)
    with engine.connect() as connection:
        wrapped = connection.scalars(select(DataKeyRow.wrapped)).all()
    vault.forget(key.id for key in keys)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("keys.db*"))
    engine.dispose()
    assert not any(text in on_disk for text in wrapped)


def test_another_process_forgets_too_before_long(vault: Vault, keys_engine: Engine, settings):
    """Unwrapped keys are remembered for seconds only, and only so many of them."""
    for key in vault.new_keys(sealing._REMEMBERED + 50):
        vault.key(key.id)
    assert len(vault._remembered) == sealing._REMEMBERED
    assert sealing._REMEMBER_SECONDS <= 60


def test_keys_made_ahead_are_each_given_once(vault: Vault):
    given: list[uuid.UUID] = []
    threads = [threading.Thread(target=lambda: given.extend([vault.new_key().id for _ in range(50)])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 400


# ---- blind indexes and derived secrets ------------------------------------------------------------


def test_a_blind_index_finds_equal_texts_of_one_kind(vault: Vault):
    assert vault.blind("name", "lan") == vault.blind("name", "lan")
    assert len({vault.blind("name", "lan"), vault.blind("name", "lam"), vault.blind("name_word", "lan")}) == 3


def test_without_the_installation_a_blind_index_cannot_be_guessed(vault: Vault, tmp_path: Path):
    engine = database.connect(f"sqlite:///{tmp_path / 'other.db'}")
    database.migrate(engine, Store.KEYS)
    prepare_installation_key(tmp_path / "other")
    stranger = Vault(engine, read_installation_keys(tmp_path / "other"))
    engine.dispose()
    assert stranger.blind("name", "lan") != vault.blind("name", "lan")


def test_processes_that_start_together_share_their_secrets(keys_engine: Engine, settings):
    installation = read_installation_keys(settings.data_dir)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(Vault(keys_engine, installation).secret("x"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (8, 1)


# ---- rotation -------------------------------------------------------------------------------------


def keys_of(*secrets_: bytes, names: str = "abc") -> InstallationKeys:
    named = dict(zip(names, secrets_, strict=False))
    return InstallationKeys(next(iter(named)), named)


def test_after_rewrapping_the_old_installation_key_can_go(keys_engine: Engine):
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    before = Vault(keys_engine, keys_of(old, names="o"))
    key = before.new_key()
    sealed, blind = before.seal(key, b"x", "xml"), before.blind("name", "lan")
    both = Vault(keys_engine, keys_of(new, old, names="no"))
    assert both.open(key.id, sealed, "xml") == b"x"
    assert both.rewrap(batch=10) > 60
    assert both.rewrap() == 0
    after = Vault(keys_engine, keys_of(new, names="n"))
    assert (after.open(key.id, sealed, "xml"), after.blind("name", "lan")) == (b"x", blind)
    with pytest.raises(InstallationKeyProblem):
        Vault(keys_engine, keys_of(old, names="o"))


def test_a_key_that_was_taken_away_too_early_is_named(keys_engine: Engine):
    Vault(keys_engine, keys_of(secrets.token_bytes(32), names="o")).new_key()
    with pytest.raises(InstallationKeyProblem, match="installation key o"):
        Vault(keys_engine, keys_of(secrets.token_bytes(32), names="n"))


def test_rewrapping_keeps_every_key(keys_engine: Engine):
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    Vault(keys_engine, keys_of(old, names="o")).new_keys(30)
    Vault(keys_engine, keys_of(new, old, names="no")).rewrap()
    with keys_engine.connect() as connection:
        rows = connection.execute(select(DataKeyRow.wrapped_by, func.count()).group_by(DataKeyRow.wrapped_by))
        assert dict(rows.all()) == {"n": 30}


# ---- the installation key -------------------------------------------------------------------------


def test_the_key_file_is_made_once_and_for_us_alone(tmp_path: Path):
    folder = tmp_path / "data"
    prepare_installation_key(folder)
    first = (folder / sealing.KEY_FILE).read_text()
    prepare_installation_key(folder)
    assert (folder / sealing.KEY_FILE).read_text() == first
    assert stat.S_IMODE((folder / sealing.KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [sealing.KEY_FILE]


def test_processes_that_start_together_agree_on_the_key(tmp_path: Path):
    threads = [threading.Thread(target=prepare_installation_key, args=(tmp_path,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_installation_keys(tmp_path).secrets) == 1
    assert [path.name for path in tmp_path.iterdir()] == [sealing.KEY_FILE]


def test_a_lost_key_is_never_replaced_in_silence(tmp_path: Path):
    (tmp_path / "keys.db").touch()
    with pytest.raises(InstallationKeyProblem, match="Restore"):
        prepare_installation_key(tmp_path)


def test_keys_may_come_from_the_environment(tmp_path: Path):
    one, two = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    keys = read_installation_keys(tmp_path, f"new {one}, old {two}")
    assert (keys.current, list(keys.secrets)) == ("new", ["new", "old"])


@pytest.mark.parametrize(
    "written", ["", "only-one-word", "id not/base64!", "id c2hvcnQ=", f"a {'A' * 43}=,a {'A' * 43}="]
)
def test_a_key_file_that_cannot_be_used_says_why(tmp_path: Path, written: str):
    (tmp_path / sealing.KEY_FILE).write_text(written)
    with pytest.raises(InstallationKeyProblem) as problem:
        read_installation_keys(tmp_path)
    assert sealing.KEY_FILE in str(problem.value)


def test_secrets_do_not_show_when_keys_are_printed(vault: Vault, settings):
    key = vault.new_key()
    assert repr(key.secret)[2:-1] not in repr(key)
    assert "secrets" not in repr(read_installation_keys(settings.data_dir))


# ---- files ----------------------------------------------------------------------------------------


def sealed_file(vault: Vault, key, plain: bytes, step: int = 10_000) -> bytes:
    target = BytesIO()
    writer = vault.seal_file(key, target, "attachment")
    for start in range(0, len(plain), step):
        writer.write(plain[start : start + step])
    writer.close()
    return target.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_a_file_of_any_size_opens_again(vault: Vault, size: int):
    key, plain = vault.new_key(), os.urandom(size)
    sealed = sealed_file(vault, key, plain)
    assert b"".join(vault.open_file(key.id, BytesIO(sealed), "attachment")) == plain


def opens(vault: Vault, key, sealed: bytes) -> bool:
    try:
        b"".join(vault.open_file(key.id, BytesIO(sealed), "attachment"))
    except SealBroken:
        return False
    return True


def test_a_file_that_was_cut_moved_or_altered_is_noticed(vault: Vault):
    key = vault.new_key()
    sealed = sealed_file(vault, key, os.urandom(3 * CHUNK))
    head, part = 17, CHUNK + 16
    chunks = [sealed[head + n * part : head + (n + 1) * part] for n in range(3)]
    damaged = {
        "last chunk lost": sealed[: head + 2 * part],
        "cut inside": sealed[:-1],
        "swapped": sealed[:head] + chunks[1] + chunks[0] + chunks[2],
        "dropped": sealed[:head] + chunks[0] + chunks[2],
        "lengthened": sealed + chunks[2],
        "flipped": sealed[:-1] + bytes([sealed[-1] ^ 1]),
        "other salt": sealed[:1] + os.urandom(16) + sealed[head:],
        "only head": sealed[:head],
        "empty": b"",
    }
    unnoticed = [what for what, text in damaged.items() if opens(vault, key, text)]
    assert unnoticed == []


def test_a_file_whose_key_is_gone_says_so_before_anything_is_read(vault: Vault):
    key = vault.new_key()
    sealed = sealed_file(vault, key, b"x")
    vault.forget([key.id])
    with pytest.raises(Erased):
        vault.open_file(key.id, BytesIO(sealed), "attachment")


def test_parts_of_two_files_under_one_key_cannot_be_exchanged(vault: Vault):
    key = vault.new_key()
    one, two = (sealed_file(vault, key, os.urandom(2 * CHUNK)) for _ in range(2))
    mixed = one[: 17 + CHUNK + 16] + two[17 + CHUNK + 16 :]
    with pytest.raises(SealBroken):
        b"".join(vault.open_file(key.id, BytesIO(mixed), "attachment"))
