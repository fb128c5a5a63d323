"""A web server for tests: the first component of the path says how it behaves.

Prints its port, then each request with its Range. Files are served with ranges; their size is
the parameter `size`, their bytes follow from the size and the version of the entity.
"""
import base64
import email.utils
import hashlib
import http.server
import ssl
import sys
import threading
import time
import urllib.parse

seen = {}
lock = threading.Lock()


def body(size, version=1):
    seed = hashlib.sha256(b"%d %d" % (size, version)).digest()
    return (seed * (size // len(seed) + 1))[:size]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parameters = dict(urllib.parse.parse_qsl(url.query))
        mode, _, rest = url.path.lstrip("/").partition("/")
        with lock:
            seen[self.path] = seen.get(self.path, 0) + 1
            print("GET", self.path, self.headers.get("Range", "-"), flush=True)
        self.is_first = seen[self.path] == 1
        size = int(parameters.get("size", "1000"))
        handler = getattr(self, "do_" + mode.replace("-", "_"), None)
        try:
            handler(rest, size) if handler else self.refuse(404)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.close_connection = True

    # Files, whole or in ranges

    def file(self, size, version=1, tag='"v%d"', date=None, ranges=True, limit=None, shift=0):
        content = body(size, version)
        tag = tag and (tag % version if "%d" in tag else tag)
        start = 0
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if ranges and wanted and condition in (None, tag, date):
            start = int(wanted[len("bytes="):].rstrip("-"))
        if start >= size > 0:
            return self.refuse(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start + shift}-{size - 1}/{size}")
        if tag:
            self.send_header("ETag", tag)
        if date:
            self.send_header("Last-Modified", date)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        self.wfile.write(content[start:limit])
        if limit:
            self.close_connection = True

    def cut(self, size, again, **how):
        """The first request ends in the middle; `again` says how the others are answered."""
        if self.is_first:
            self.file(size, limit=size // 2, **how)
        else:
            self.file(size, **{**how, **again})

    def do_file(self, _, size):
        self.file(size)

    def do_cut(self, _, size):
        self.cut(size, {})

    def do_cut_by_date(self, _, size):
        self.cut(size, {}, tag=None, date=email.utils.formatdate(1e9, usegmt=True))

    def do_cut_by_fresh_date(self, _, size):
        self.cut(size, {}, tag=None, date=email.utils.formatdate(time.time() + 9, usegmt=True))

    def do_cut_weak(self, _, size):
        self.cut(size, {}, tag='W/"v%d"')

    def do_cut_whole(self, _, size):
        self.cut(size, {"ranges": False})

    def do_cut_changed(self, _, size):
        self.cut(size, {"version": 2})

    def do_cut_shrunk(self, _, size):
        self.cut(size, {}) if self.is_first else self.file(size // 4, version=2)

    def do_cut_lying(self, _, size):
        self.cut(size, {"shift": 1} if "Range" in self.headers else {})

    def do_cut_refusing(self, _, size):
        if "Range" in self.headers:
            return self.refuse(416)
        self.cut(size, {})

    def do_cut_failing(self, _, size):
        if not self.is_first:
            return self.refuse(503)
        self.cut(size, {})

    def do_cut_stuck(self, _, size):
        self.file(size, limit=size // 2)
        self.close_connection = False
        self.wait()

    # Others

    def refuse(self, status):
        text = b"<html>no file, but a page that says so</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def wait(self):
        """Until the other side goes."""
        self.connection.settimeout(60)
        self.rfile.read(1)
        print("GONE", self.path, flush=True)
        self.close_connection = True

    def do_status(self, rest, _):
        self.refuse(int(rest.partition("/")[0]))

    def redirect(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_loop(self, _rest, _size):
        self.redirect(self.path)

    def do_hops(self, rest, _):
        count, _, name = rest.partition("/")
        self.redirect(f"../{int(count) - 1}/{name}" if int(count) > 1 else f"../../file/{name}")

    def do_to(self, rest, _):
        self.redirect(urllib.parse.unquote(rest.partition("/")[0]))

    def do_silent(self, _rest, _size):
        self.wait()

    def do_flood(self, _rest, _size):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        while True:
            self.wfile.write(chunk)

    def do_huge(self, _rest, _size):
        self.send_response(200)
        self.send_header("Content-Length", str(10**9))
        self.end_headers()
        self.wait()

    def do_drip(self, _rest, size):
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for byte in body(size):
            self.wfile.write(bytes([byte]))
            time.sleep(0.01)

    def do_gate(self, _rest, size):
        """Answers when as many as `size` wait at once."""
        with lock:
            seen["gate"] = seen.get("gate", 0) + 1
        while seen["gate"] < size:
            time.sleep(0.005)
        self.file(size)

    def do_auth(self, _rest, size):
        expected = "Basic " + base64.b64encode(b"user:secret").decode()
        if self.headers.get("Authorization") == expected:
            self.file(size)
        else:
            self.refuse(401)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 1:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("listens on port", server.server_address[1], flush=True)
server.serve_forever()
