"""ketnoi demo: the shipped programme with synthetic people, ready to try."""

from __future__ import annotations

import argparse

from forms.sheets import Text
from rules import durable
from service import clock, demo, installation, logs
from service.commands.device import server_url
from service.commands.serve import serve
from service.demo import Logins
from service.settings import Settings, from_environment

_SETTING_UP = Text(
    "Lần đầu: công bố biểu mẫu và quy tắc, nạp 24 người giả định. Chừng nửa phút.",
    "First run: publishing forms and rules, loading 24 synthetic people. About half a minute.",
)
_ALONE = Text(
    "Không có durable-rules: bộ so khớp tham chiếu tự quyết định.",
    "durable-rules is not installed: the reference matcher decides alone.",
)
_ADDRESS = Text("Trang web", "Pages")
_LOGINS = Text("Đăng nhập", "Logins")
_PASSWORD = Text("Mật khẩu", "Password")
_COLLECT = Text("Địa chỉ máy chủ cho ODK Collect", "Server URL for ODK Collect")
_STOP = Text("Dừng: Ctrl+C. Dữ liệu ở lại trong", "Stop: Ctrl+C. The data stays in")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set-up-only", action="store_true", help="prepare the data, do not serve")


def run(args: argparse.Namespace) -> int:
    settings = from_environment()
    logs.configure(settings)
    installation.prepare(settings)
    logins = demo.known_logins(settings.data_dir)
    if logins is None:
        print(_SETTING_UP.to(args.language), flush=True)
        with installation.opened(settings) as place:
            logins = demo.set_up(place, now=clock.now())
    _say(settings, logins, args.language)
    if not args.set_up_only:
        serve(settings)
    return 0


def _say(settings: Settings, logins: Logins, language: str) -> None:
    if not durable.available:
        print(_ALONE.to(language))
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    lines = (
        (_ADDRESS, base),
        (_LOGINS, ", ".join(logins.names)),
        (_PASSWORD, logins.password),
        (_COLLECT, server_url(settings, logins.token)),
    )
    width = max(len(words.to(language)) for words, _ in lines)
    print()
    for words, value in lines:
        print(f"  {words.to(language):<{width}}  {value}")
    print(f"\n  {_STOP.to(language)} {settings.data_dir}\n", flush=True)
