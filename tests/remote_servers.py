"""HTTP and S3 on loopback, for stores of a folder."""

import contextlib
import http.server
import re
import threading
import urllib.parse
from functools import partial
from pathlib import Path


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files, parts of them by Range, and how many bytes were sent."""

    refusal = None  # the status for who sends no credentials

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if self.refusal is not None and "Authorization" not in self.headers:
            return self.send_error(self.refusal)
        if not path.is_file():
            return self.send_error(404)
        data, status = path.read_bytes(), 200
        size = len(data)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        headers = {}
        if asked:
            first = int(asked[1]) if asked[1] else size - int(asked[2])
            last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
            data, status = data[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.server.sent += len(data)
        self.send_response(status)
        for name, value in headers.items() | {
            ("Content-Length", str(len(data))),
            ("Accept-Ranges", "bytes"),
            ("ETag", f'"{hash(path)}"'),
            ("x-goog-generation", "1"),
        }:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return None

    def log_message(self, *arguments):
        pass


class GoogleStorage(Ranges):
    """Objects of Google's JSON interface too: /storage/v1/b/bucket/o/folder%2Fname?alt=media."""

    def translate_path(self, path):
        asked = re.match(r"/storage/v1/b/([^/]+)/o/([^?]+)", path)
        return super().translate_path(f"/{asked[1]}/{urllib.parse.unquote(asked[2])}" if asked else path)


@contextlib.contextmanager
def http_server(folder, refusal=None, kind=Ranges):
    """A server whose `sent` counts bytes, and its address. With a refusal only signed requests are answered."""
    handler = type("Handler", (kind,), {"refusal": refusal})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    server.sent = 0
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def s3_server(monkeypatch):
    """The client of an S3 server; the environment names its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    finally:
        server.stop()


def upload(client, bucket, folder, acl="private"):
    client.create_bucket(Bucket=bucket, ACL=acl)
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            client.put_object(Bucket=bucket, Key=name, Body=path.read_bytes(), ACL=acl)
