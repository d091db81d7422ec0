"""Leases on moto's S3 behind a proxy that lists late, or that ignores conditions."""

import threading
import time
from datetime import UTC, datetime

import pytest
from s3_server import Fault

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError, OutputLockedError
from ovsam_pipeline.output import lock as output_lock
from ovsam_pipeline.output.lock import take_lock
from ovsam_pipeline.storage.conditional import (
    ConditionalObject,
    Keys,
    UnsupportedError,
    find_keys,
    sign,
)
from ovsam_pipeline.storage.remote_path import RemotePath


@pytest.fixture
def out(s3) -> RemotePath:
    return RemotePath(f"{s3.uri}/out")


@pytest.fixture
def start(out):
    """Start some runs at once; return the locks that were taken and how many were refused."""
    held, refused = [], []

    def take(take_lock) -> None:
        try:
            held.append(take_lock(out))
        except OutputLockedError:
            refused.append(1)

    def start_all(count: int, take_lock=take_lock):
        threads = [threading.Thread(target=take, args=[take_lock]) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return held, len(refused)

    yield start_all
    for lock in held:
        lock.close()


def list_leases(s3) -> list[str]:
    return [key for key in s3.list_keys() if ".lock-" in key]


def test_of_runs_that_start_together_exactly_one_gets_a_store_that_lists_late(s3, start):
    s3.proxy.faults.append(Fault("late", "list-type", seconds=60))
    held, num_refused = start(4)
    assert (len(held), num_refused) == (1, 3)
    assert list_leases(s3) == ["out/.lock-run"]


def test_lease_is_free_after_its_owner_and_renewed_while_it_lives(s3, out):
    lock = take_lock(out, lease_s=1.2)
    time.sleep(1.6)
    lock.check()
    with pytest.raises(OutputLockedError, match=r"process \d+ on"):
        take_lock(out, lease_s=60)
    lock.close()
    assert list_leases(s3) == []


def test_dead_owner_s_lease_is_taken_over_and_the_owner_learns_it(s3, out, monkeypatch):
    monkeypatch.setattr(output_lock, "_MARGIN_S", 0.0)
    late = take_lock(out, lease_s=600)
    time.sleep(2.1)
    with pytest.raises(OutputLockedError, match="or in 60 s if it died"):
        take_lock(out, lease_s=60)
    other = take_lock(out, lease_s=1)
    assert "has taken it over" in late._lease.renew()
    other.close()
    assert late._lease.renew() == "it was removed from the store"
    late.close()


def test_first_write_whose_answer_got_lost_is_known_again(s3, out, monkeypatch):
    create = ConditionalObject.create

    def lose_the_answer(self, content):
        create(self, content)
        return create(self, content)  # as a repeated request finds it

    monkeypatch.setattr(ConditionalObject, "create", lose_the_answer)
    lock = take_lock(out)
    monkeypatch.undo()
    with pytest.raises(OutputLockedError):
        take_lock(out)
    lock.close()


@pytest.mark.parametrize("login", ["keys, but the store ignores conditions", "a role"])
def test_without_conditions_one_of_three_wins_by_listing(s3, start, monkeypatch, login):
    if login == "a role":
        monkeypatch.setattr("ovsam_pipeline.storage.conditional.find_keys", lambda: None)
    s3.proxy.faults.append(Fault("unconditional", "out/.lock", methods=("PUT",)))
    held, num_refused = start(3)
    assert (len(held), num_refused) == (1, 2)
    assert len(list_leases(s3)) == 1


def test_run_with_keys_and_one_with_a_role_see_each_other(s3, out, monkeypatch):
    lock = take_lock(out)
    monkeypatch.setattr("ovsam_pipeline.storage.conditional.find_keys", lambda: None)
    monkeypatch.setattr(output_lock, "_OTHERS_LEAVE_S", 0.0)
    with pytest.raises(OutputLockedError, match=r"process \d+ on"):
        take_lock(out)
    lock.close()
    lock = take_lock(out)
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.proxy.url)
    with pytest.raises(OutputLockedError, match=r"process \d+ on"):
        take_lock(out)
    lock.close()


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_login_without_a_right_is_said_as_a_wrong_setting(s3, out, method):
    s3.proxy.faults.append(Fault("status", status=403, methods=(method,)))
    with pytest.raises(ConfigError, match=r"^cannot use s3://.*allowed to list, read, write and"):
        take_lock(out)


def test_busy_store_is_waited_for(s3, out):
    s3.proxy.faults.append(Fault("status", "lock-run", times=3, status=429))
    take_lock(out).close()
    assert ("PUT", f"/{out.uri.removeprefix('s3://')}/.lock-run") in s3.proxy.requests


def test_lost_lease_stops_its_owner(s3, out):
    lock = take_lock(out, lease_s=2)
    s3.delete("out/.lock-run")
    time.sleep(0.8)
    with pytest.raises(OutputError, match="is lost: it was removed from the store, and another"):
        lock.check()
    lock.close()


def test_signature_is_that_of_amazon_s_own_example():
    """docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "GET Object"."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "us-east-1")
    headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9"}
    signed = sign("GET", "/test.txt", b"", headers, keys, datetime(2013, 5, 24, tzinfo=UTC))
    assert signed["authorization"].endswith(
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_keys_are_found_in_the_profile_and_never_guessed(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert find_keys() is None
    file.write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n[sso]\nsso_session = x\n"
    )
    assert find_keys() == Keys("a", "b%c", "", "eu-west-1")
    monkeypatch.setenv("AWS_PROFILE", "sso")
    assert find_keys() is None
    file.write_bytes(b"\xff")
    assert find_keys() is None
    for uri in ("gs://b/x", "memory://b/x", "s3://b/x"):
        with pytest.raises(UnsupportedError):
            ConditionalObject(RemotePath(uri))
