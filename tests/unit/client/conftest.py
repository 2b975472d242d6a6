"""A real HTTP server on loopback that says what a test has written down."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture
def server():
    """An HTTP server with answers put into `answers`; what it was asked is in `requests`.

    An answer is a status and a body (text, or what becomes JSON), or a function that is given the handler and does what
    it likes with the connection. After the last one, every request is hung up on.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            self.server.requests.append((self.command, self.path, dict(self.headers), body))
            answer = self.server.answers.pop(0) if self.server.answers else hang_up
            if callable(answer):
                answer(self)
                return
            status, content, *headers = answer
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write((content if isinstance(content, str) else json.dumps(content)).encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.requests = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def hang_up(handler):
    """Close the connection without a word."""
    handler.close_connection = True


@pytest.fixture
def hung_up():
    """See `hang_up`."""
    return hang_up


@pytest.fixture
def stream():
    """Makes an answer: server-sent events as they come over the wire, in chunks, broken off after `upto` bytes."""

    def stream(*records, upto=None, retry=5):
        lines = [f"retry: {retry}", ""]
        for record in records:
            lines += [f"id: {record['id']}", f"event: {record['type']}", f"data: {json.dumps(record)}", ""]
            lines += [": keep-alive", ""]
        content = "".join(f"{line}\n" for line in lines).encode()

        def answer(handler):
            handler.protocol_version = "HTTP/1.1"
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            sent = content[:upto]
            for start in range(0, len(sent), 100):
                chunk = sent[start : start + 100]
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if upto is None:
                handler.wfile.write(b"0\r\n\r\n")
            handler.close_connection = True

        answer.length = len(content)
        return answer

    return stream


@pytest.fixture
def record():
    """Makes a record of an event as it is on the wire."""

    def record(number, type="state", **data):
        return {"id": number, "infrastructure": "id-1", "time": 1.5, "type": type, "data": data}

    return record
