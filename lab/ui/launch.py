"""Opens the app: the worker first, so that it warms while Gradio is being imported; then the page on a free port."""

from __future__ import annotations

import argparse
import atexit
import os
import re
import secrets
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import BadInput, BadNumber, Busy, LabError
from lab.ui.roles import SHARED_MODES

PORT, TRIES, LAST, SHORTEST = 7860, 20, 65535, 16
MARK = re.compile("[0-9a-f]{8}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# All addresses of this machine, and one that is reserved for documents, so that nobody has it.
ANYWHERE = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
NAME = re.compile("[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
MODES = ("solo", "workshop", "demo")


@dataclass(frozen=True, slots=True)
class Options:
    """What `python app.py` and `lab.launch()` may be told; `port` None takes the next free one from 7860.

    `names`: more names under which people ask for the app, such as a proxy's.
    """

    workspace: Path = Path("workspace")
    port: int | None = None
    host: str = "127.0.0.1"
    mode: str = "solo"
    share: bool = False
    inline: bool = False
    new_links: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadInput(f"There is no mode {self.mode!r}. Choose one of {', '.join(MODES)}.")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # A service manager ends the app with this signal; the worker must end with it, not half a minute later.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        serve(options, block=True)
    except LabError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python app.py", description="See RLHF work: rank, teach, tune and watch, live."
    )
    usual = Options()
    parser.add_argument(
        "--workspace", type=Path, default=usual.workspace, help="the folder that holds all work (%(default)s)"
    )
    parser.add_argument("--port", type=int, help=f"the port; without it the next free one from {PORT}")
    parser.add_argument("--host", default=usual.host, help="the address to listen on (%(default)s: this machine only)")
    parser.add_argument("--mode", choices=MODES, default=usual.mode, help="for one person, a workshop or a public demo")
    parser.add_argument("--share", action="store_true", help="also open a public link through Gradio's tunnel")
    parser.add_argument("--inline", action="store_true", help="run the model in this process, not in one of its own")
    parser.add_argument(
        "--new-links",
        action="store_true",
        help="change the words in the guests' and the host's link, which locks out all",
    )
    parser.add_argument(
        "--name",
        dest="names",
        action="append",
        type=host_name,
        default=[],
        metavar="NAME",
        help="a further name under which people reach it, such as a proxy's; may be given several times",
    )
    given = vars(parser.parse_args(arguments))
    return Options(**given | {"names": tuple(given["names"])})


def host_name(text: str) -> str:
    """The name of a machine in small letters; ArgumentTypeError for an address with more in it."""
    if not NAME.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name. Give it without https://, port and path, such as lab.example.org."
        )
    return text.lower()


def serve(options: Options, *, block: bool) -> Any:
    """Start everything. With `block`, return when the server has been stopped; else return Gradio's Blocks at once."""
    port = find_port(options.host, options.port)
    from lab.ui.looked_at import own_folder
    from lab.ui.office import Office
    from lab.ui.supervisor import Supervisor
    from lab.workspace import Workspace

    workspace = Workspace(options.workspace.expanduser().resolve(), looking=True)
    root, url = workspace.root, address(options, port)
    with ExitStack() as ending:
        own = ending.enter_context(own_folder(workspace))
        ending.callback(only_one(own, url).release)
        # The office makes the database, which the worker only reads; Gradio is imported while the model loads.
        key, host_key = words(options, own)
        worker = Supervisor(root, inline=options.inline)
        office = Office(root, mode=options.mode, host_key=host_key, mark=mark(own), worker=worker)
        ending.callback(office.close)
        office.worker.start()
        demo = _open(office, options, port, key)
        if block:
            demo.block_thread()
        else:
            _close_with(demo, ending.pop_all())
    return demo


def _close_with(demo: Any, ending: ExitStack) -> None:
    """A notebook goes on, and may use the workspace, once the page is closed; else all ends with its process."""
    close_page = demo.close

    def close(verbose: bool = True) -> None:
        close_page(verbose)
        ending.close()

    demo.close = close
    atexit.register(ending.close)


def words(options: Options, root: Path) -> tuple[str, str]:
    """The words in the guests' link and in the host's, '' where there is no such link.

    They are kept in the workspace, for its owner's eyes: after a restart, open pages go on with what they have.
    """
    from lab.journal import read_json, replace_json

    kept = read_json(root / "links.json") or {}
    found = {name: None if options.new_links else kept.get(name) for name in ("key", "host")}
    if not all(isinstance(word, str) and len(word) >= SHORTEST for word in found.values()):
        found = {name: secrets.token_urlsafe(12) for name in found}
        replace_json(root / "links.json", kept | found, mode=0o600)
    return found["key"] if needs_key(options) else "", found["host"] if options.mode in SHARED_MODES else ""


def mark(root: Path) -> str:
    """What tells a workspace's cookies from those of other labs on this machine, kept beside the words of its links."""
    from lab.journal import read_json, replace_json

    kept = read_json(root / "links.json") or {}
    found = kept.get("mark")
    if not isinstance(found, str) or not MARK.fullmatch(found):
        found = secrets.token_hex(4)
        replace_json(root / "links.json", kept | {"mark": found}, mode=0o600)
    return found


def _open(office: Any, options: Options, port: int, key: str) -> Any:
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
    from lab.ui.server import start

    demo = start(office, options, port, key)
    url = address(options, port)
    if office.store.recovered:
        print(office.store.recovered, flush=True)
    if office.workspace.barred:
        print(office.workspace.barred.why, flush=True)
    print(f"RLHF Lab is open at {url}{f'?key={key}' if key else ''}", flush=True)
    if office.host_key:
        print(f"Keep this link: it alone can start, stop and delete runs: {url}?host={office.host_key}", flush=True)
    return demo


def address(options: Options, port: int) -> str:
    name = outward(options.host) if options.host in ANYWHERE else options.host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def outward(host: str) -> str:
    """This machine's address where its way to others begins, which a telephone finds better than its name; the name
    where there is no such way. A connection of UDP sends nothing."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((ANYWHERE[host], 9))
            return probe.getsockname()[0]
    except OSError:
        return socket.gethostname()


def only_one(root: Path, url: str) -> Any:
    """The lock of the app on its workspace; Busy, with the address of the other one, where there is one."""
    from lab.journal import read_json, replace_json
    from lab.locks import HERE, Lock

    lock = Lock(root / "app.lock", thread_local=False)
    try:
        lock.acquire()
    except Busy:
        there = (read_json(root / "app.json") or {}).get("url") or "another address"
        end = "close() what lab.launch returned" if lock.whose() == HERE else "end that app"
        raise Busy(
            f"This workspace is open already, at {there}. Use that page, {end}, or give another --workspace."
        ) from None
    replace_json(root / "app.json", {"url": url})
    return lock


def needs_key(options: Options) -> bool:
    """Where others can reach the port, the link carries a key; a hosted demo is open to all by intention."""
    reached = options.host not in LOOPBACK or options.share or options.names
    return bool(reached) and options.mode != "demo"


def find_port(host: str, wanted: int | None) -> int:
    """The wanted port, or Busy, or BadNumber for what is none; without a wish the first free one of twenty."""
    if wanted is not None and not 1 <= wanted <= LAST:
        raise BadNumber(
            f"--port is {wanted}, and ports are 1 to {LAST}. Give one of those, or leave it out for the next free one."
        )
    for port in [wanted] if wanted is not None else range(PORT, PORT + TRIES):
        if is_free(host, port):
            return port
    if wanted is not None:
        raise Busy(f"Port {wanted} is taken. Give another one with --port, or leave it out to get the next free one.")
    raise Busy(f"All ports from {PORT} to {PORT + TRIES - 1} are taken. Give a free one with --port.")


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
