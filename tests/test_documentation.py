"""What exists is documented: commands, settings, dependencies."""

import re
import tomllib
from pathlib import Path

from service.cli import COMMANDS
from service.settings import Settings

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_stands_in_the_readme():
    assert [name for name in COMMANDS if f"ketnoi {name}" not in _README] == []


def test_every_setting_stands_in_the_service_readme():
    text = (_ROOT / "service" / "README.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`KETNOI_{name.upper()}`" not in text] == []


def test_every_dependency_says_what_it_is_for():
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *optional["durable"], *optional["postgres"]]
    names = [re.match(r"[\w-]+", item)[0].lower() for item in wanted]
    assert [name for name in names if name not in _README.lower()] == []


def test_every_folder_of_code_has_a_readme():
    folders = ("forms", "rules", "integrations/odk", "service", "forms/xlsform")
    assert [name for name in folders if not (_ROOT / name / "README.md").exists()] == []
