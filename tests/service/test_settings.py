import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_without_any_setting_everything_lives_in_one_folder():
    settings = Settings(data_dir=Path("/x"))
    assert (settings.database, settings.keys) == ("sqlite:////x/ketnoi.db", "sqlite:////x/keys.db")


def test_the_environment_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The one place where the environment itself is what is tested.
    monkeypatch.setenv("KETNOI_PORT", "8123")
    monkeypatch.setenv("KETNOI_DATA_DIR", str(tmp_path))
    settings = Settings()
    assert (settings.port, settings.data_dir) == (8123, tmp_path)


def test_a_zone_that_nobody_knows_is_refused_with_an_example():
    with pytest.raises(ValidationError, match="Asia/Ho_Chi_Minh"):
        Settings(timezone="Hanoi")


def test_a_public_address_must_be_whole():
    with pytest.raises(ValidationError, match="https://"):
        Settings(public_url="ketnoi.example.org")
    assert Settings(public_url="https://ketnoi.example.org/").public_url == "https://ketnoi.example.org"


def test_keys_never_share_a_file_with_what_they_seal():
    with pytest.raises(ValidationError, match="of their own"):
        Settings(database_url="sqlite:///a.db", keys_url="sqlite:///a.db")


def test_secrets_do_not_show_when_settings_are_printed():
    settings = Settings(
        database_url="postgresql://u:hush@h/d", installation_keys="k hush", broker_url="redis://:hush@h"
    )
    assert "hush" not in repr(settings)


def test_a_wrong_variable_is_named_without_its_value_and_without_a_traceback(tmp_path):
    environment = {
        **os.environ,
        "KETNOI_PORT": "s3cret",
        "KETNOI_TIMEZONE": "Nowhere",
        "KETNOI_DATA_DIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "service.cli", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["KETNOI_PORT", "KETNOI_TIMEZONE"]
    assert "s3cret" not in done.stderr
