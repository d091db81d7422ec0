import logging
import threading
import time

import pytest
from fake_labeller import make_labeller, write_images

from ovsam_pipeline.engines.cluster.node_setup import Probe
from ovsam_pipeline.engines.worker import Worker
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows, list_parts
from ovsam_pipeline.output.parts import PartWriter, compute_part_name, tally_part
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.listing import list_images

CONFIG = LabelConfig(sources=("images",))


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "in", 6)
    return list(list_images([tmp_path / "in"]))


@pytest.fixture
def writer(tmp_path):
    with OutputFolder(tmp_path / "out") as folder:
        yield PartWriter(folder.parts_folder, "f", max_images=2, max_seconds=0.001)


def make_worker(build=make_labeller) -> Worker:
    worker = Worker(CONFIG, build, None)
    worker.load({}, is_first=False)
    return worker


def test_shard_is_one_part_with_the_name_that_the_driver_expects(images, writer, tmp_path):
    worker = make_worker()
    worker.begin(writer, Probe(None))
    result = worker.label(7, images)
    (part,) = list_parts(tmp_path / "out")
    assert result.part == part.name == compute_part_name((i.identity for i in images), "f")
    assert (result.number, result.tally.statuses["labelled"], result.tally.objects) == (7, 6, 12)
    assert result.stage_seconds.keys() == {"decode", "detect", "segment", "write"}
    assert tally_part(part) == result.tally


def test_same_shard_again_replaces_its_part(images, writer, tmp_path):
    worker = make_worker()
    worker.begin(writer, Probe(None))
    assert worker.label(1, images).part == worker.label(2, images[::-1]).part
    assert len(list(iterate_rows(tmp_path / "out"))) == 6


def test_bad_image_is_a_failed_row_of_its_shard(images, writer, tmp_path):
    images[2].path.write_bytes(b"no picture")
    worker = make_worker()
    worker.begin(writer, Probe(None))
    result = worker.label(1, images)
    assert result.tally.statuses == {"labelled": 5, "failed": 1}
    assert tally_part(list_parts(tmp_path / "out")[0]).reasons == result.tally.reasons


def test_stopped_worker_commits_what_it_has_and_takes_no_more(images, writer, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "0.05")
    worker = make_worker()
    worker.begin(writer, Probe(None))
    threading.Timer(0.12, worker.stop).start()
    result = worker.label(1, images)
    assert 0 < result.tally.statuses["labelled"] < 6
    assert result.part is not None
    assert worker.label(2, images).part is None


def test_look_tells_how_far_a_worker_is(images, writer, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "0.03")
    worker = make_worker()
    worker.begin(writer, Probe(None))
    thread = threading.Thread(target=worker.label, args=(1, images))
    thread.start()
    seen = [worker.look()]
    while thread.is_alive():
        time.sleep(0.01)
        seen.append(worker.look())
    done = [state.done for state in seen]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert (seen[-1].done, seen[-1].state) == (6, "idle")
    assert seen[-1].stage_seconds["segment"] > 0


def test_log_records_travel_with_the_answers(images, writer):
    def build(config, embedding):
        logging.getLogger("ovsam_pipeline.labelling.labeller").info("using the weights %s", "x")
        return make_labeller(config)

    worker = Worker(CONFIG, build, None)
    assert (logging.INFO, "using the weights x") in worker.load({}, is_first=True).notes
    worker.begin(writer, Probe(None))
    assert worker.label(1, images).notes == ()


def test_worker_refuses_an_output_that_it_does_not_see(writer, tmp_path):
    with pytest.raises(OutputError, match="does not see the output folder"):
        make_worker().begin(writer, Probe(tmp_path / "other" / ".probe-x"))


def test_texts_of_another_machine_are_not_computed_again(tmp_path, monkeypatch):
    from ovsam.text import embedding_cache as text_cache

    monkeypatch.setattr(text_cache, "_used_files", set())
    monkeypatch.setenv("OVSAM_HOME", str(tmp_path / "home"))
    Worker(CONFIG, make_labeller, None).load({"ab.safetensors": b"12"}, is_first=False)
    (file,) = (tmp_path / "home").rglob("ab.safetensors")
    assert file.read_bytes() == b"12"
    text_cache._used_files.add(file)
    assert Worker(CONFIG, make_labeller, None).load({}, is_first=True).texts == {
        "ab.safetensors": b"12"
    }
