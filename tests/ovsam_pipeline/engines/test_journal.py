"""What a process that died had in hand, for the one after it."""

import pytest

from ovsam_pipeline.engines.journal import Journal, choose_journal, describe_images
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.storage.remote_path import RemotePath

IMAGES = [ImageRecord(index, f"{index}.png", None, 1) for index in range(4)]
KEYS = [image.identity for image in IMAGES]


@pytest.fixture
def open_journal(tmp_path):
    """A journal of the same output; the process before is dead where it was not closed."""
    return lambda command="night", death="signal 9": Journal(tmp_path / "j", command, death)


def hold(journal, images, *, is_alone=False):
    list(journal.watch(images, is_alone=is_alone))


def test_images_in_hand_are_suspects_and_one_that_was_alone_is_given_up(open_journal):
    first = open_journal()
    hold(first, IMAGES[:3])
    first.release(KEYS[0])
    second = open_journal()
    assert (second.died, second.death) == ((KEYS[1], KEYS[2]), "signal 9")
    assert list(second.suspects) == [KEYS[1], KEYS[2]]
    hold(second, IMAGES[1:2], is_alone=True)
    second.blame("it did not end within 5 s")
    third = open_journal()
    assert third.given_up == {KEYS[1]: "it did not end within 5 s"}
    assert list(third.suspects) == [KEYS[2]]


def test_what_was_given_up_is_tried_again_last_by_the_next_command(open_journal):
    first = open_journal()
    hold(first, IMAGES[:1], is_alone=True)
    again = open_journal()
    assert KEYS[0] in again.given_up
    again.close()
    tomorrow = open_journal("tomorrow")
    assert (tomorrow.died, tomorrow.given_up, list(tomorrow.suspects)) == ((), {}, [KEYS[0]])


def test_image_alone_in_hand_of_killed_commands_is_given_up_at_the_third_time(
    open_journal,
):
    hold(open_journal("first"), IMAGES[:2])
    for command in ("second", "third"):
        hold(open_journal(command), IMAGES[:1], is_alone=True)
        journal = open_journal("look")
        assert (journal.given_up, list(journal.suspects)) == ({}, [KEYS[1], KEYS[0]])
    hold(journal, IMAGES[:1], is_alone=True)
    assert list(open_journal("fourth").given_up) == [KEYS[0]]


def test_innocent_image_that_gets_a_row_is_no_suspect_any_more(open_journal, tmp_path):
    hold(open_journal("first"), IMAGES[:1], is_alone=True)
    journal = open_journal("second")
    hold(journal, IMAGES[:1], is_alone=True)
    journal.release(KEYS[0])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_journal_is_gone_once_all_suspects_have_rows(open_journal, tmp_path):
    hold(open_journal(), IMAGES[:2])
    journal = open_journal()
    hold(journal, IMAGES[:2])
    for key in KEYS[:2]:
        journal.release(key)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_processes_that_die_without_a_row_are_counted(open_journal):
    hold(open_journal(), IMAGES[:2])
    second = open_journal()
    assert second.num_vain == 1
    hold(second, IMAGES[2:])
    third = open_journal()
    assert third.num_vain == 2
    hold(third, IMAGES[:1])
    third.release(KEYS[0])
    hold(third, IMAGES[1:])
    assert open_journal().num_vain == 0


@pytest.mark.parametrize("text", ["", "[]", '{"in_hand": 5}', '{"in_hand": ["a|1"', "\0\xff"])
def test_damaged_journal_says_nothing(open_journal, tmp_path, text):
    (tmp_path / "j").write_text(text)
    journal = open_journal()
    assert (journal.died, journal.suspects, journal.given_up) == ((), {}, {})


def test_journal_of_a_store_is_a_file_of_this_machine(tmp_path):
    assert choose_journal(tmp_path) == tmp_path / ".in-hand"
    one, other = (choose_journal(RemotePath(f"s3://bucket/{name}")) for name in "ab")
    assert one != other
    assert describe_images(KEYS) == "0.png, 1.png, 2.png and 1 more"
