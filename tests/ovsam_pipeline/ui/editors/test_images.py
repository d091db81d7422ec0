"""Which addresses of an editor's task are read; all others may be anybody's."""

import base64
import io

import numpy as np
import pytest
from file_server import run_file_server
from PIL import Image

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.ui.editors.images import AllowedImages, allow_images, take_bytes
from ovsam_pipeline.ui.editors.web_origin import WebOrigin


def make_png(value=9, size=(4, 3)):
    stream = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a b.png").write_bytes(make_png())
    (tmp_path / "secret.png").write_bytes(make_png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "up").symlink_to(tmp_path)
    return folder


@pytest.fixture
def server():
    with run_file_server() as found:
        yield found


def test_local_file_below_a_folder_is_read(root):
    found = allow_images([str(root)], None, environment={}).find(
        "/data/local-files/?d=sub/a%20b.png"
    )
    assert found.read().shape == (3, 4, 3)
    assert found.key == allow_images([str(root)], None).find(f"file://{root}/sub/a%20b.png").key


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=../secret.png",
        "/data/local-files/?d=sub/../../secret.png",
        "/data/local-files/?d=link.png",
        "/data/local-files/?d=up/secret.png",
        "/data/local-files/?d=a%00b.png",
        "/data/local-files/?d=",
        "/data/local-files/",
        "file:///etc/passwd",
        "sub/a b.png",
        "C:\\a.png",
        "",
        "//[a",
        "file://[a/b.png",
        "/data/local-files/?d=" + "a" * 9000,
    ],
)
def test_nothing_outside_the_folder_is_read(root, address):
    with pytest.raises(ImageError, match="of a task; it is not read"):
        allow_images([str(root)], None, environment={}).find(address)


def test_absolute_names_are_below_the_folder_too(root):
    with pytest.raises(ImageError, match="file not found: 'passwd'"):
        allow_images([str(root)], None, environment={}).find("/data/local-files/?d=%2Fetc%2Fpasswd")


def test_document_root_of_label_studio_may_lie_above_the_folder(root, tmp_path):
    environment = {"LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path)}
    allowed = allow_images([str(root)], None, environment=environment)
    assert allowed.find("/data/local-files/?d=root/sub/a%20b.png").read().any()
    with pytest.raises(ImageError, match="below LOCAL_FILES_DOCUMENT_ROOT and inside --images"):
        allowed.find("/data/local-files/?d=secret.png")


@pytest.mark.parametrize(
    "address",
    [
        "s3://other/photos/a.jpg",
        "s3://bucket/photos-private/a.jpg",
        "s3://bucket/photos/../private/a.jpg",
        "s3://bucket/photos/%2e%2e/private/a.jpg",
        "https://host/images/../private/a.jpg",
        "https://host/images/%252e%252e/private/a.jpg",
        "https://host/images/..%5cprivate/a.jpg",
        "https://host.evil.example/images/a.jpg",
        "https://host@evil.example/images/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "ftp://host/images/a.jpg",
        "gopher://host/",
    ],
)
def test_no_other_address_is_asked(address):
    allowed = allow_images(["https://host/images/"], WebOrigin("http://studio:8080"))
    allowed = AllowedImages((*allowed.roots, parse("s3://bucket/photos")), allowed.label_studio)
    with pytest.raises(ImageError, match="expected an image below --images"):
        allowed.find(address)


def parse(text):
    from ovsam_pipeline.storage.remote_path import RemotePath

    return RemotePath(text)


def test_object_below_a_prefix_is_read_also_where_label_studio_names_it_itself(s3):
    s3.put("photos/a.png", make_png())
    allowed = allow_images([f"{s3.uri}/photos"], None, environment={})
    address = f"{s3.uri}/photos/a.png"
    coded = base64.b64encode(address.encode()).decode()
    for given in (address, f"/tasks/7/resolve/?fileuri={coded}"):
        assert allowed.find(given).read().shape == (3, 4, 3)
    with pytest.raises(ImageError, match="cannot be read"):
        allowed.find(f"{s3.uri}/photos/gone.png")
    for_others = base64.b64encode(b"s3://other/a.png").decode()
    with pytest.raises(ImageError, match="expected an image below --images"):
        allowed.find(f"/tasks/7/resolve/?fileuri={for_others}")


def test_uploads_are_asked_of_label_studio_with_its_token(server):
    server.serve("/data/upload/1/a%20b.png", make_png())
    allowed = allow_images([], WebOrigin(server.url, "abc"), environment={})
    for address in ("/data/upload/1/a b.png", f"{server.url}/data/upload/1/a b.png"):
        assert allowed.find(address).read().shape == (3, 4, 3)
    assert {asked[3] for asked in server.requests} == {"Token abc"}
    with pytest.raises(ImageError, match="has no such image"):
        allowed.find("/data/upload/2/gone.png").read()
    with pytest.raises(ImageError, match="--label-studio URL"):
        allow_images([], None).find("/data/upload/1/a.png")


@pytest.mark.parametrize(
    "address",
    ["/api/users/", "/data/../api/users/", "/data/upload/%2e%2e/%2e%2e/admin/", "/", "//evil/a"],
)
def test_only_images_are_asked_of_label_studio(server, address):
    allowed = allow_images([], WebOrigin(f"{server.url}/ls", "abc"), environment={})
    for given in (address, f"{server.url}/ls{address}"):
        with pytest.raises(ImageError, match="of a task; it is not read"):
            allowed.find(given)
    assert not server.requests


def test_label_studio_may_lie_below_a_path(server):
    server.serve("/ls/data/upload/a.png", make_png())
    allowed = allow_images([], WebOrigin(f"{server.url}/ls/", "abc"), environment={})
    for given in ("/data/upload/a.png", "/ls/data/upload/a.png"):
        assert allowed.find(given).read().shape == (3, 4, 3)


def test_web_folder_is_read_without_the_token(server):
    server.serve("/images/a.png", make_png())
    allowed = allow_images([f"{server.url}/images"], WebOrigin("http://studio:1", "abc"))
    assert allowed.find(f"{server.url}/images/a.png").read().shape == (3, 4, 3)
    assert server.requests[-1][3] is None
    with pytest.raises(ImageError, match="expected an image below --images"):
        allowed.find(f"{server.url}/other/a.png")


@pytest.mark.parametrize("target", ["http://169.254.169.254/x", "https://127.0.0.1/x", "//evil/x"])
def test_redirects_to_other_servers_are_not_followed(server, target):
    server.serve("/data/upload/a.png", b"", redirect_to=target)
    with pytest.raises(ImageError, match=r"sends to another server .* it is not asked"):
        WebOrigin(server.url, "abc").read("/data/upload/a.png")


def test_redirect_on_the_same_server_is_followed(server):
    server.serve("/a.png", b"", redirect_to="/b.png")
    server.serve("/b.png", b"content")
    assert WebOrigin(server.url).read("/a.png") == b"content"


def test_too_much_is_refused(server):
    server.serve("/a.png", b"x" * 2000)
    with pytest.raises(ImageError, match="at most 0 MB"):
        WebOrigin(server.url).read("/a.png", max_bytes=1000)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(401, "LABEL_STUDIO_API_KEY"), (404, "has no such image"), (500, r"cannot .*status 500")],
)
def test_refusals_of_the_server_are_sentences(server, status, sentence):
    server.serve("/a.png", b"x", statuses=[status])
    with pytest.raises(ImageError, match=sentence):
        WebOrigin(server.url, "abc").read("/a.png")


def test_personal_access_token_is_exchanged_once(monkeypatch):
    asked = []

    def open_request(self, request):
        asked.append((request.selector, request.get_header("Authorization"), request.data))
        return io.BytesIO(b'{"access": "short"}' if request.data else b"content")

    monkeypatch.setattr(WebOrigin, "_open", open_request)
    server = WebOrigin("http://studio:8080/ls/", "head.body.signature")
    assert [server.read("/data/a.png") for _ in range(2)] == [b"content"] * 2
    assert asked == [
        ("/ls/api/token/refresh/", None, b'{"refresh": "head.body.signature"}'),
        ("/ls/data/a.png", "Bearer short", None),
        ("/ls/data/a.png", "Bearer short", None),
    ]


def test_personal_access_token_that_is_refused_is_a_sentence(monkeypatch):
    monkeypatch.setattr(WebOrigin, "_open", lambda self, request: io.BytesIO(b"[]"))
    with pytest.raises(ImageError, match="does not take the token in LABEL_STUDIO_API_KEY"):
        WebOrigin("http://studio:8080", "head.body.signature").read("/data/a.png")


def test_server_that_is_not_there_is_a_sentence():
    with pytest.raises(ImageError, match=r"cannot read from http://127\.0\.0\.1:9"):
        WebOrigin("http://127.0.0.1:9").read("/a.png")


@pytest.mark.parametrize(
    "url", ["studio:8080", "file:///etc", "http://", "http://u:p@h", "http:/a"]
)
def test_address_of_label_studio_is_a_web_address(url):
    with pytest.raises(ConfigError, match="expected an address like http://localhost:8080"):
        WebOrigin(url)


def test_allowed_places_must_be_there(tmp_path):
    (tmp_path / "a.txt").touch()
    for text in (str(tmp_path / "gone"), str(tmp_path / "a.txt")):
        with pytest.raises(ConfigError, match="expected --images as a folder"):
            allow_images([text], None)
    with pytest.raises(ConfigError, match="without a password"):
        allow_images(["https://user:word@host/images"], None)
    with pytest.raises(ConfigError, match="--images s3://"):
        allow_images(["s3://"], None)


def test_images_that_are_sent_may_be_data_addresses():
    data = base64.b64encode(make_png()).decode()
    first, second = (take_bytes(text, 100) for text in (data, f"data:image/png;base64,{data}"))
    assert first.key == second.key
    assert np.array_equal(first.read(), second.read())
    with pytest.raises(ImageError, match="pixels"):
        take_bytes(data, 5).read()
    for text in ("data:image/png,abc", "no base64!", "a"):
        with pytest.raises(ImageError, match="expected an image as base64"):
            take_bytes(text, 100)
