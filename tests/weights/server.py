"""A file server on this machine that misbehaves as told."""

import http.server
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Answer:
    """How to answer one path.

    Attributes:
        body: of the file.
        faults: taken from the front, one a request: ``'reset'``, ``'truncate'``, ``'redirect'``,
            ``'shift'`` (another range than asked for) or a status code; when they are used
            up the file is sent.
        etag: of the file; None sends none and ignores ranges.
        kind: content type.
    """

    body: bytes = b''
    faults: list = field(default_factory=list)
    etag: str | None = '"1"'
    kind: str = 'application/octet-stream'


class FileServer:
    """Serves ``files`` ({path: Answer}) and keeps ``requests``, (path, range asked for)."""

    def __init__(self) -> None:
        self.files: dict[str, Answer] = {}
        self.requests: list[tuple[str, str | None]] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            do_GET: Callable[..., None] = lambda self: owner.answer(self)

            def log_message(self, *words: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        asked = request.headers.get('Range')
        self.requests.append((request.path, asked))
        file = self.files.get(request.path)
        fault = file.faults.pop(0) if file and file.faults else None
        request.close_connection = True
        if file is None or isinstance(fault, int):
            request.send_response(fault or 404)
            request.send_header('Content-Length', '0')
            request.end_headers()
            return
        if fault == 'redirect':
            request.send_response(302)
            request.send_header('Location', f'{self.url}{request.path}')
            request.send_header('Content-Length', '0')
            request.end_headers()
            return
        start = 0
        if asked and file.etag and request.headers.get('If-Range') in (None, file.etag):
            start = int(asked.removeprefix('bytes=').removesuffix('-'))
            if fault == 'shift':
                start -= 10
            if start >= len(file.body):
                request.send_response(416)
                request.send_header('Content-Length', '0')
                request.end_headers()
                return
        rest = file.body[start:]
        request.send_response(206 if start else 200)
        if start:
            size = len(file.body)
            request.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
        request.send_header('Content-Length', str(len(rest)))
        request.send_header('Content-Type', file.kind)
        if file.etag:
            request.send_header('ETag', file.etag)
        request.end_headers()
        request.wfile.write(rest[: len(rest) // 2] if fault in ('reset', 'truncate') else rest)
        if fault == 'reset':
            request.wfile.flush()
            request.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)
            )
            request.connection.close()
