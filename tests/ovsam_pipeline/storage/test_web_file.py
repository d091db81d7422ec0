import gzip
import pickle
import socket

import pytest
from bad_images import encode, make_picture
from file_server import run_file_server
from PIL import Image

from ovsam.errors import ImageError
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.outcomes import STORAGE_FAILED, STORAGE_REFUSED
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage import web_file as http_file
from ovsam_pipeline.storage.web_file import HttpFile, hide_secrets

PICTURE = make_picture()
PNG = encode(Image.fromarray(PICTURE), "PNG")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    http_file._build_opener.cache_clear()
    with run_file_server() as server:
        yield server
    http_file._build_opener.cache_clear()


def is_read(file: HttpFile) -> bool:
    return bool((decode_image(file) == PICTURE).all())


# Names


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h.org/a%20b.jpg#top", "https://h.org/a%20b.jpg"),
        ("https://me:secret@h.org/a.jpg", "https://h.org/a.jpg"),
        ("https://h.org/get?id=7&st=2", "https://h.org/get?id=7&st=2"),
        ("https://h.org/get?id=7&token=abc", "https://h.org/get?id=7"),
        ("https://h.org/a?api_key=abc&clientSecret=d&X-Password=e", "https://h.org/a"),
        (
            "https://h.org/a?author=me&key=7&design=x&auth=abc",
            "https://h.org/a?author=me&key=7&design=x",
        ),
        ("https://h.org/a?access%5Ftoken=abc", "https://h.org/a"),
        ("https://b.s3.org/k.jpg?X-Amz-Date=1&X-Amz-Signature=2&v=3", "https://b.s3.org/k.jpg?v=3"),
        ("https://a.blob.org/c/k.jpg?sv=1&se=2&sp=r&sig=x%3D", "https://a.blob.org/c/k.jpg"),
    ],
)
def test_name_has_no_secret_and_nothing_that_changes(url, expected):
    file = pickle.loads(pickle.dumps(HttpFile(url)))  # noqa: S301  our own
    assert file == HttpFile(url)
    assert str(file) == expected


def test_parts_of_an_address():
    file = HttpFile("https://h.org/a/b%20c.json.gz?v=1")
    assert (file.name, file.suffix) == ("b c.json.gz", ".gz")
    assert file.parent.url == "https://h.org/a?v=1"
    assert (HttpFile("https://h.org/a/") / "x y/ü.jpg").url == "https://h.org/a/x%20y/%C3%BC.jpg"


# Reading


def test_image_is_read_and_decoded_whatever_its_address_says(server):
    server.serve("/pics/a%20%C3%BC", PNG)
    assert is_read(HttpFile(f"{server.url}/pics/a ü"))
    assert is_read(HttpFile(f"{server.url}/pics/a%20%C3%BC#part"))


def test_password_of_the_address_is_sent_and_not_told(server):
    server.serve("/a.png", PNG)
    assert is_read(HttpFile(server.url.replace("://", "://me:p%40ss@") + "/a.png"))
    assert server.requests[-1][3] == "Basic bWU6cEBzcw=="


def test_errors_that_pass_are_tried_again(server):
    served = server.serve("/a.png", PNG, statuses=[500, 503])
    assert is_read(HttpFile(f"{server.url}/a.png"))
    assert (served.statuses, len(server.requests)) == ([], 3)


def test_cut_body_is_read_again(server):
    server.serve("/a.png", PNG, cut_after=[10, len(PNG) - 1])
    assert is_read(HttpFile(f"{server.url}/a.png"))
    assert len(server.requests) == 3


def test_redirects_are_followed_to_web_addresses_only(server):
    server.serve("/a.png", PNG)
    server.serve("/moved", b"", redirect_to="/a.png")
    server.serve("/trap", b"", redirect_to="file:///etc/hostname")
    server.serve("/round", b"", redirect_to="/round")
    assert is_read(HttpFile(f"{server.url}/moved"))
    for path in ("/trap", "/round"):
        with pytest.raises(ImageError, match="302"):
            decode_image(HttpFile(server.url + path))


@pytest.mark.parametrize(
    ("status", "reason", "num_requests"),
    [
        (404, "file not found", 1),
        (410, "file not found", 1),
        (401, f"^{STORAGE_REFUSED}: the server answered 401", 1),
        (403, f"^{STORAGE_REFUSED}: the server answered 403 Forbidden$", 1),
        (400, f"^{STORAGE_FAILED}: the server answered 400", None),
    ],
)
def test_final_answers_become_reasons(server, status, reason, num_requests):
    server.serve("/a.png", PNG, statuses=[status] * 99)
    with pytest.raises(ImageError, match=reason):
        decode_image(HttpFile(f"{server.url}/a.png"))
    assert num_requests in (None, len(server.requests))


def test_server_that_always_fails_is_given_up(server):
    server.serve("/a.png", PNG, statuses=[502] * 99)
    with pytest.raises(ImageError, match=f"{STORAGE_FAILED}: .*502 Bad Gateway"):
        decode_image(HttpFile(f"{server.url}/a.png"))
    assert 2 <= len(server.requests) <= 10


def test_nobody_there_is_a_failure_of_the_storage():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ImageError, match=f"{STORAGE_FAILED}: .*refused"):
        decode_image(HttpFile(f"http://127.0.0.1:{port}/a.png"))


def test_silent_and_dripping_servers_run_out_of_time(server, monkeypatch):
    served = server.serve("/a.png", PNG, delay_s=0.3)
    monkeypatch.setattr(http_file, "_TIMEOUT_S", 0.05)
    with pytest.raises(ImageError, match=f"{STORAGE_FAILED}: .*timed out"):
        decode_image(HttpFile(f"{server.url}/a.png"))
    served.delay_s = 0
    monkeypatch.setattr(http_file, "_TIMEOUT_S", 5)
    monkeypatch.setattr(http_file, "_ATTEMPT_S", -1)
    with pytest.raises(ImageError, match="not read within -1 seconds"):
        decode_image(HttpFile(f"{server.url}/a.png"))


def test_file_larger_than_any_allowed_image_is_not_read(server):
    server.serve("/a.png", PNG + b"\0" * (2 << 20))
    with pytest.raises(ImageError, match="expected at most 1 MB for the largest image allowed"):
        decode_image(HttpFile(f"{server.url}/a.png"), max_pixels=100)
    assert len(server.requests) == 1


def test_page_in_place_of_an_image_says_so(server):
    server.serve("/a.jpg", b"<!DOCTYPE html><title>log in</title>")
    with pytest.raises(
        ImageError, match="the storage failed: the server sent a web page in place of the image"
    ):
        decode_image(HttpFile(f"{server.url}/a.jpg"))


# As sources


def test_list_mixes_paths_and_addresses(server, tmp_path):
    server.serve("/x/a.png", PNG)
    (tmp_path / "b.png").write_bytes(PNG)
    (tmp_path / "list.txt").write_text(
        f"b.png\n{server.url}/x/a.png?v=2&token=t\n{server.url}/x/a.png?v=2\nfile://{tmp_path}/b.png\n"
    )
    listing = list_images([tmp_path / "list.txt"])
    records = list(listing)
    assert [r.file_name for r in records] == ["b.png", f"{server.url}/x/a.png?v=2"]
    assert listing.num_duplicates == 2
    assert records[1].identity == f"{server.url}/x/a.png?v=2|-1:0"
    assert server.requests == []


def test_list_at_an_address_is_relative_to_it(server, tmp_path):
    server.serve("/data/list.txt", b"# images\na.png\nsub/../sub/b c.png\nhttps://h.org/z.png\n")
    server.serve("/data/a.png", PNG)
    server.serve("/data/sub/b%20c.png", PNG)
    records = list(list_images([f"{server.url}/data/list.txt"]))
    assert [r.file_name for r in records] == ["a.png", "sub/b c.png", "https://h.org/z.png"]
    assert is_read(records[0])
    assert is_read(records[1])


def test_image_at_an_address_is_a_source(server):
    server.serve("/data/a.png?size=large", PNG)
    (record,) = list_images([f"{server.url}/data/a.png?size=large"])
    assert record.file_name == "a.png?size=large"
    assert is_read(record)


def test_coco_file_and_images_at_addresses(server, tmp_path):
    text = b'{"images": [{"id": 5, "file_name": "a.png", "width": 60, "height": 40}]}'
    server.serve("/set/instances.json", text)
    server.serve("/set/a.png", PNG)
    (tmp_path / "instances.json").write_bytes(text)
    (near,) = list_images([f"{server.url}/set/instances.json"])
    (far,) = list_images([tmp_path / "instances.json"], image_root=f"{server.url}/set/")
    assert near == far
    assert near == ImageRecord(5, "a.png", HttpFile(f"{server.url}/set/a.png"), -1, 0, 60, 40)
    assert is_read(near)


def test_compressed_coco_file_at_an_address_is_read(server):
    text = b'{"images": [{"id": 5, "file_name": "a b.png"}]}'
    server.serve("/set/instances.json.gz", gzip.compress(text))
    server.serve("/set/a%20b.png", PNG)
    (record,) = list_images([f"{server.url}/set/instances.json.gz"])
    assert (record.image_id, record.file_name) == (5, "a b.png")
    assert is_read(record)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{url}/gone.txt", r"cannot read the list .*gone\.txt: the server answered 404"),
        ("{url}/gone.json", r"cannot read .*gone\.json: the server answered 404"),
        ("{url}/x.tar", "expected archives here or on an object store .*x.tar: download it"),
        ("{url}/x.tar.gz", r"expected a plain \.tar"),
        ("https:///x.jpg", "an address with a host"),
    ],
)
def test_address_that_cannot_work_is_refused(server, source, reason):
    with pytest.raises(SourceError, match=reason):
        list(list_images([source.format(url=server.url)]))


def test_password_does_not_go_along_with_a_redirect():
    request = HttpFile("http://user:secret@host/x.jpg")._build_request()
    assert "Authorization" not in request.headers
    assert "Authorization" in request.unredirected_hdrs


def test_odd_queries_are_quoted():
    request = HttpFile("http://host/x.jpg?n=a b&m=\u00e4&sig=a%2Bb")._build_request()
    assert request.full_url == "http://host/x.jpg?n=a%20b&m=%C3%A4&sig=a%2Bb"


def test_address_that_cannot_be_asked_for_is_not_told_with_its_signature():
    with pytest.raises(ImageError, match="cannot be asked for") as caught:
        HttpFile("http://host:abc/x.jpg?sig=SECRET").read_bytes()
    assert "SECRET" not in str(caught.value)


def test_address_with_a_mistake_is_one_sentence():
    with pytest.raises(SourceError, match="one with a mistake: Invalid IPv6 URL"):
        list(list_images(["http://[::1/x.jpg"]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photos/a@b?token=1.jpg", "photos/a@b?token=1.jpg"),
        ("https://me:pw@h.org/x.txt", "https://***@h.org/x.txt"),
        ("https://ghp_token@h.org/x?v=2", "https://***@h.org/x?v=2"),
        ("https://h.org/x?v=2&api_key=abc", "https://h.org/x?v=2&api_key=***"),
        (
            "https://h.org/x?X-Amz-Date=1&X-Amz-Signature=2",
            "https://h.org/x?X-Amz-Date=***&X-Amz-Signature=***",
        ),
        ("boxes:https://me:pw@h.org/x.json", "boxes:https://***@h.org/x.json"),
        ("hf://datasets/user/name@v1.0", "hf://datasets/user/name@v1.0"),
        ("s3://bucket/p?/*.jpg", "s3://bucket/p?/*.jpg"),
    ],
)
def test_secrets_of_addresses_are_hidden(text, shown):
    assert hide_secrets(text) == shown
