"""A server for the person at this computer alone: two addresses, no file system behind them.

It listens on the loopback address, where other computers cannot reach it. Another site's page in
the person's own browser can: it may let its name point to the loopback address (DNS rebinding) and
then read what is served as its own. Such a request carries that site's name, and is refused.
"""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from losscape_mpi.errors import UserError
from losscape_mpi.live.source import Answer, Source

ADDRESS = "127.0.0.1"
HOSTS = frozenset({"127.0.0.1", "localhost"})  # at any port: ssh -L may lead from another one
REQUEST_S = 30.0  # a connection that says nothing for so long is closed
HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@contextmanager
def served(source: Source, port: int) -> Iterator[int]:
    """Serve a source until the block ends; gives the port.

    Args:
        source: What is shown.
        port: On the loopback address; 0 takes any that is free.

    Raises:
        UserError: If the port cannot be used.
    """
    try:
        server = _Server((ADDRESS, port), _Handler)
    except OSError as error:
        what = "in use" if error.errno == errno.EADDRINUSE else f"not to be had ({error.strerror})"
        raise UserError(
            f"port {port} is {what}, expected a free one: choose another by --port, 0 for any"
        ) from error
    server.source = source
    thread = threading.Thread(target=server.serve_forever, name="server", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a slow reader does not hold up the end
    source: Source

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that leaves is no news; anything else is a bug and has a traceback.
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_S
    server_version, sys_version = "losscape_mpi", ""

    def do_GET(self) -> None:
        answers = {"/": self.server.source.page, "/data.json": self.server.source.data}
        answer = answers.get(urlsplit(self.path).path)
        if not self._is_from_here():
            self._refuse(HTTPStatus.FORBIDDEN, "ask for this page as localhost or 127.0.0.1")
        elif answer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is / and /data.json, and nothing else")
        else:
            self._give(answer())

    def _refuse_method(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "GET alone is answered", Allow="GET")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _is_from_here(self) -> bool:
        hosts = self.headers.get_all("Host", [])
        try:
            return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in HOSTS
        except ValueError:
            return False

    def _give(self, answer: Answer) -> None:
        if self.headers.get("If-None-Match") == answer.mark:
            self._send(HTTPStatus.NOT_MODIFIED, Answer(b"", answer.kind), ETag=answer.mark)
        else:
            self._send(HTTPStatus.OK, answer, ETag=answer.mark)

    def _refuse(self, status: HTTPStatus, text: str, **headers: str) -> None:
        self._send(status, Answer(f"{text}\n".encode(), "text/plain; charset=utf-8"), **headers)

    def _send(self, status: HTTPStatus, answer: Answer, **headers: str) -> None:
        about = {"Content-Type": answer.kind, "Content-Length": str(len(answer.content))}
        self.send_response(status)
        for name, value in (HEADERS | about | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""
