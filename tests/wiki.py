"""A real MediaWiki on loopback, and small servers that answer like a broken one.

The wiki is Debian's package; `make debian` installs it. `wiki_pages.py` has its contents.
"""

import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from wiki_pages import dump

MEDIAWIKI = Path("/usr/share/mediawiki")

SETTINGS = """
$wgArticlePath = '/wiki/$1';
$wgCacheDirectory = $wgTmpDirectory = '{folder}';
$wgMainCacheType = $wgMessageCacheType = $wgParserCacheType = CACHE_NONE;
$wgJobRunRate = 0;
wfLoadExtension( 'TextExtracts' );
define( 'NS_HANDBOOK', 3000 );
$wgExtraNamespaces[3000] = 'Handbook';
$wgContentNamespaces[] = 3000;
$wgNamespaceAliases['Kategorie'] = NS_CATEGORY;
$wgHooks['ParserAfterParse'][] = function ( $parser, $text ) {
    if ( strpos( $text, 'may mean:' ) ) { $parser->getOutput()->setPageProperty( 'disambiguation', '' ); }
};  // as the extension Disambiguator does for pages that a template marks
"""


class Wiki:
    """A MediaWiki in `folder`, with SQLite and PHP's own server, in one process group."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.api_url = f"http://127.0.0.1:{self.port}/api.php"
        self._server: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        self._maintain(
            *("install", "--dbtype=sqlite", "--dbname=wiki", f"--dbpath={self.folder}", f"--confpath={self.folder}"),
            *(
                f"--server=http://127.0.0.1:{self.port}",
                "--scriptpath=",
                "--pass=for-loopback-only",
                "Testwiki",
                "Admin",
            ),
            env={},
        )
        with (self.folder / "LocalSettings.php").open("a") as settings:
            settings.write(SETTINGS.replace("{folder}", str(self.folder)))
        (self.folder / "dump.xml").write_text(dump(), encoding="utf-8")
        self._maintain("importDump", str(self.folder / "dump.xml"))
        self._maintain("runJobs")  # fills the category lists

    def edit(self, title: str, text: str) -> None:
        self._maintain("edit", "--user=Admin", title, stdin=text)

    def delete(self, title: str) -> None:
        self._maintain("deleteBatch", stdin=title)

    def move(self, title: str, to: str, *options: str) -> None:
        self._maintain("moveBatch", *options, stdin=f"{title}|{to}")

    @contextmanager
    def set_up(self, settings: str) -> Iterator[None]:
        """Run the block with additional settings, given as lines of PHP."""
        path = self.folder / "LocalSettings.php"
        before = path.read_text()
        path.write_text(f"{before}\n{settings}\n")
        try:
            yield
        finally:
            path.write_text(before)

    def add_user(self, name: str, password: str) -> None:
        self._maintain("createAndPromote", name, password)

    def add_bot_password(self, name: str, bot: str, password: str) -> None:
        self._maintain("createBotPassword", f"--appid={bot}", "--grants=basic", name, password)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo all changes to pages after the block."""
        with tempfile.TemporaryDirectory() as safe:
            for path in self.folder.glob("*.sqlite"):
                shutil.copy(path, safe)
            try:
                yield
            finally:
                for path in Path(safe).iterdir():
                    shutil.copy(path, self.folder)

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                # else old settings stay in use for two seconds after a change
                ["php", "-d", "opcache.revalidate_freq=0", "-S", f"127.0.0.1:{self.port}", "-t", str(MEDIAWIKI)],
                env=os.environ | self._config,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not _answers(f"{self.api_url}?action=query&meta=siteinfo&format=json"):
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self.folder / "server.log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    @property
    def _config(self) -> dict[str, str]:
        return {"MW_CONFIG_FILE": str(self.folder / "LocalSettings.php")}

    def _maintain(self, script: str, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> None:
        done = subprocess.run(
            ["php", str(MEDIAWIKI / "maintenance" / f"{script}.php"), *arguments],
            env=os.environ | (self._config if env is None else env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{script}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


@contextmanager
def run_wiki(folder: Path) -> Iterator[Wiki]:
    """Serve a wiki with `PAGES` until the block ends. Skip the test if MediaWiki is not installed."""
    if not (MEDIAWIKI / "api.php").exists() or shutil.which("php") is None:
        pytest.skip("MediaWiki is not installed: make debian")
    wiki = Wiki(folder)
    wiki.build()
    try:
        wiki.start()
        yield wiki
    finally:
        wiki.stop()


Reply = tuple[int, dict[str, str], bytes]  # status, headers, body
Behaviour = Callable[[BaseHTTPRequestHandler], None]  # of a server that does more than reply


@contextmanager
def serve(reply: Callable[[str, Mapping[str, str]], Reply | Behaviour | None]) -> Iterator[str]:
    """Yield the URL of a server that answers with `reply(path with query, headers)`; None hangs up.

    The body of a POST request is in the header `Form`.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.headers["Form"] = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.do_GET()

        def do_CONNECT(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            answer = reply(self.path, dict(self.headers.items()))
            if answer is None:
                self.close_connection = True
                return
            if callable(answer):
                answer(self)
                self.close_connection = True
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/w/api.php"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def relay(wiki: Wiki, path: str) -> Reply | None:
    """Return the wiki's own answer to a request, or None if it does not answer."""
    try:
        with urllib.request.urlopen(f"{wiki.api_url}?{path.partition('?')[2]}", timeout=20) as response:
            return 200, {"Content-Type": "application/json"}, response.read()
    except (urllib.error.URLError, ConnectionError):
        return None


relay_unchanging = functools.cache(relay)  # asks only once for each path; for tests that do not change the wiki


def skip_waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Move the crawler's clock forward instead of waiting. The returned list collects the skipped seconds."""
    waits: list[int] = []
    ahead = 0.0

    def rest(_: threading.Event, seconds: float) -> bool:
        nonlocal ahead
        waits.append(round(seconds))
        ahead += seconds
        return False

    now = time.monotonic
    monkeypatch.setattr("ragqa.wiki.retries._rest", rest)
    monkeypatch.setattr("ragqa.wiki.retries.monotonic", lambda: now() + ahead)
    return waits


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as response:
            return b"query" in response.read()
    except (urllib.error.URLError, ConnectionError):
        return False
