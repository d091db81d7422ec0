"""`hf://` through huggingface_hub, against a small hub on this machine."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
from bad_images import encode, make_picture
from PIL import Image
from pyarrow import parquet

PNG = encode(Image.fromarray(make_picture()), "PNG")
COMMIT = "c" * 40
READ = """
import sys
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.sources.listing import list_images
for source in sys.argv[1:]:
    try:
        for record in list_images([source]):
            print(record.file_name, decode_image(record).shape)
    except SourceError as error:
        print(f"refused: {error}")
"""


def make_parquet(*names: str) -> bytes:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = pa.array([{"bytes": PNG, "path": name} for name in names], kind)
    stream = io.BytesIO()
    parquet.write_table(pa.table({"image": cells, "label": range(len(names))}), stream)
    return stream.getvalue()


FILES = {
    "README.md": b"a data set",
    "data/test-00000.parquet": make_parquet("t.png"),
    "data/train-00000.parquet": make_parquet("a.png", "b.png"),
    "folder/photo.png": PNG,
}


class SmallHub(BaseHTTPRequestHandler):
    """The three questions that a file system over the hub asks: revision, tree, bytes."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if re.fullmatch(r"/api/datasets/user/name(/revision/\w+)?", path):
            self.answer({"id": "user/name", "sha": COMMIT, "private": False, "tags": []})
        elif tree := re.fullmatch(r"/api/datasets/user/name/tree/\w+/?(.*)", path):
            self.answer(self.list_folder(tree.group(1)))
        elif file := re.fullmatch(r"/datasets/user/name/resolve/\w+/(.+)", path):
            self.send_range(FILES[file.group(1)])
        else:
            self.send(b"", 404, {"X-Error-Code": "RepoNotFound"})

    def list_folder(self, folder: str) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        inside = [name for name in FILES if name.startswith(prefix)]
        paths = {prefix + name.removeprefix(prefix).split("/")[0] for name in inside}
        return [
            {"type": "file", "path": path, "size": len(FILES[path]), "oid": "0" * 40}
            if path in FILES
            else {"type": "directory", "path": path, "size": 0, "oid": "1" * 40}
            for path in sorted(paths)
        ]

    def answer(self, value: object) -> None:
        self.send(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})

    def send_range(self, content: bytes) -> None:
        headers = {"ETag": '"x"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        first, last = re.findall(r"\d+", self.headers.get("Range", f"0-{len(content) - 1}"))
        body = content[int(first) : int(last) + 1]
        end = int(first) + len(body) - 1
        headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
        self.send(body, 206 if "Range" in self.headers else 200, headers)

    def send(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), SmallHub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_data_sets_of_the_hub_are_folders_of_parquet_or_images(hub_url, tmp_path):
    # In a process of its own: huggingface_hub takes the address when it is imported.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "*",
    }
    sources = ["/data", "/data/train-*.parquet", "@v1/folder", "/none"]
    found = subprocess.run(
        [sys.executable, "-c", READ, *(f"hf://datasets/user/name{source}" for source in sources)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    shape = "(40, 60, 3)"
    *images, refused = found.stdout.splitlines()
    assert images == [
        f"test-00000.parquet/t.png {shape}",
        f"train-00000.parquet/a.png {shape}",
        f"train-00000.parquet/b.png {shape}",
        f"train-00000.parquet/a.png {shape}",
        f"train-00000.parquet/b.png {shape}",
        f"photo.png {shape}",
    ]
    assert refused.startswith("refused: expected a folder, file or glob, got hf://datasets")
