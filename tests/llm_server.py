"""A server with OpenAI's API on loopback that writes what it is told to, or fails in the way it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = b"<!doctype html><html><body><h1>It works!</h1><script>alert(1)</script></body></html>"


@dataclass
class LlmServer:
    """Its replies: `pieces` of text, in the way of `behaviour`; `requests` are the paths, headers and bodies it received."""

    pieces: list[str] = field(default_factory=list)
    behaviour: str = "well"
    models: list[str] = field(default_factory=lambda: ["small", "large"])
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    body: tuple[str, bytes] = ("text/event-stream", b"")  # content type and body of the behaviour "raw"

    def chunk(self, text: str | None, finish: str | None = None) -> bytes:
        delta = {} if text is None else {"content": text}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        whole = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "small", "choices": [choice]}
        return b"data: " + json.dumps(whole).encode() + b"\n\n"


class Handler(BaseHTTPRequestHandler):
    """One request. HTTP/1.0: what ends the reply is the end of the connection."""

    server: "Server"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def named(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def do_GET(self) -> None:
        told = self.server.told
        told.requests.append((self.path, self.named(), None))
        if told.behaviour == "not-models":
            self.reply(200, b'"nothing"', "application/json")
        else:
            data = {"object": "list", "data": [{"id": name, "object": "model"} for name in told.models]}
            self.reply(200, json.dumps(data).encode(), "application/json")

    def do_POST(self) -> None:
        told = self.server.told
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told.requests.append((self.path, self.named(), body))
        with suppress(OSError):  # the client has gone
            getattr(self, f"do_{told.behaviour.replace('-', '_')}")(told)

    def reply(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def write_pieces(self, told: LlmServer) -> None:
        self.start_stream()
        for piece in told.pieces:
            self.wfile.write(told.chunk(piece))
            self.wfile.flush()

    def do_well(self, told: LlmServer) -> None:
        self.write_pieces(told)
        self.wfile.write(told.chunk(None, "stop") + b"data: [DONE]\n\n")

    do_not_models = do_well

    def do_question(self, told: LlmServer) -> None:
        """Ask what the title of the passage is, which the last message begins with."""
        _, _, body = told.requests[-1]
        title = body["messages"][-1]["content"].removeprefix("Passage: ").partition(":")[0].partition(" › ")[0]
        told.pieces = ["Question: what is ", title.lower(), "?", "\nAnswer: none"]
        self.do_well(told)

    def do_length(self, told: LlmServer) -> None:
        self.write_pieces(told)
        self.wfile.write(told.chunk(None, "length") + b"data: [DONE]\n\n")

    def do_cut(self, told: LlmServer) -> None:
        self.write_pieces(told)

    def do_cut_chunk(self, told: LlmServer) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"ffff\r\n" + told.chunk("Dropout"))
        self.close_connection = True

    def do_loading(self, told: LlmServer) -> None:
        if len(told.requests) > 3:
            return self.do_well(told)
        body = {
            "error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}
        }  # as llama.cpp's server
        return self.reply(503, json.dumps(body).encode(), "application/json")

    def do_always_loading(self, told: LlmServer) -> None:
        told.requests.clear()
        self.do_loading(told)

    def do_silent(self, told: LlmServer) -> None:
        told.ended.wait(20)

    def do_slow_first(self, told: LlmServer) -> None:
        self.start_stream()
        told.ended.wait(20)

    def do_slow_between(self, told: LlmServer) -> None:
        self.write_pieces(told)
        told.ended.wait(20)

    def do_drip(self, told: LlmServer) -> None:
        self.start_stream()
        while not told.ended.wait(0.05):
            self.wfile.write(b"d")

    def do_drip_headers(self, told: LlmServer) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        while not told.ended.wait(0.05):
            self.wfile.write(b"d")

    def do_drip_pieces(self, told: LlmServer) -> None:
        self.start_stream()
        while not told.ended.wait(0.05):
            self.wfile.write(told.chunk("so "))

    def do_repeating(self, told: LlmServer) -> None:
        self.start_stream()
        while not told.ended.wait(0.02):
            self.wfile.write(told.chunk(told.pieces[0]))

    def do_endless(self, told: LlmServer) -> None:
        self.start_stream()
        while not told.ended.is_set():
            self.wfile.write(told.chunk("and so on " * 50))

    def do_thinking(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(told.chunk("<think>"))
        while not told.ended.is_set():
            self.wfile.write(told.chunk("hm " * 2000))

    def do_html(self, told: LlmServer) -> None:
        self.reply(200, HTML, "text/html")

    def do_wrong_json(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(b'data: {"choices": [{"delta": \n\n')

    def do_other_json(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(b'data: {"choices": {"a": 7}}\n\ndata: 3\n\ndata: [DONE]\n\n')

    def do_other_content(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(b'data: {"choices": [{"delta": {"content": ["so", 7]}}]}\n\n')

    def do_plain_json(self, told: LlmServer) -> None:
        self.reply(200, b'{"choices": []}', "application/json")

    def do_not_utf8(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n')

    def do_error_chunk(self, told: LlmServer) -> None:
        self.start_stream()
        self.wfile.write(b'data: {"error": {"message": "out of memory\\nTraceback"}}\n\n')

    def do_raw(self, told: LlmServer) -> None:
        kind, body = told.body
        self.reply(200, body, kind)

    def do_line(self, told: LlmServer) -> None:
        self.start_stream()
        while not told.ended.is_set():
            self.wfile.write(b"data: " + bytes(1_000_000))

    def do_404(self, told: LlmServer) -> None:
        self.do_status(404)

    def do_redirect(self, told: LlmServer) -> None:
        self.reply(307, b"", "text/plain", Location="http://203.0.113.1/v1/chat/completions")

    def do_status(self, status: int) -> None:
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        body = json.dumps({"error": {"message": f"refused the key {key}\nand more"}}).encode()
        self.reply(status, body, "application/json")

    def do_401(self, told: LlmServer) -> None:
        self.do_status(401)

    def do_429(self, told: LlmServer) -> None:
        self.do_status(429)

    def do_500(self, told: LlmServer) -> None:
        self.do_status(500)

    def do_502(self, told: LlmServer) -> None:
        self.reply(502, HTML, "text/html")


class Server(ThreadingHTTPServer):
    """Threads of their own, which end when they have been told that all has ended."""

    daemon_threads = True

    def __init__(self, told: LlmServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.told = told

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def run_llm() -> Iterator[LlmServer]:
    told = LlmServer()
    with Server(told) as server:
        told.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield told
        finally:
            told.ended.set()
            server.shutdown()
            serving.join()
