"""How long new names take in the demo: from the text to the first click that uses them.

    python benchmarks/ui/vocabulary.py [--model nano]

For each built-in list whose names the model knows, and for its first 1,000 names as text, with an
empty cache of embeddings and with a full one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

# Before ovsam looks for it.
os.environ["OVSAM_CACHE"] = tempfile.mkdtemp(prefix="ovsam-vocabulary-")

import numpy as np

import ovsam
from ovsam.errors import VocabularyError
from ovsam_pipeline.ui.demo.prompt import Prompt
from ovsam_pipeline.ui.demo.session import Session
from ovsam_pipeline.ui.demo.vocabulary import (
    DemoVocabulary,
    build_predictor,
    embed_names,
    read_names,
)

LISTS = ("nano", "coco", "everyday", "lvis", "photo")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    given = parser.parse_args()
    model = ovsam.load_model(given.model).prepare_for_inference()
    own = "nano" if given.model == "nano" else "everyday"
    names = embed_names(ovsam.load_vocabulary(own), model)
    session = Session(build_predictor(model, names), names)
    words = DemoVocabulary(session, model, names, lambda _: None)
    image = session.open_image(0, lambda _: np.full((480, 640, 3), 127, np.uint8))
    prompt = Prompt(box=(100, 100, 300, 300))
    session.predict(image, prompt)
    print(f"{given.model}; load {os.getloadavg()[0]:.1f}")
    print(f"{'names':24} {'classes':>8} {'first s':>8} {'again s':>8} {'processor s':>12}")
    for name in LISTS:
        listed = ovsam.load_vocabulary(name).names
        for text in (name, ", ".join(listed[:1000])) if len(listed) > 1000 else (name,):
            try:
                chosen, shown = read_names(text)
                seconds = []
                processor_s = time.process_time()
                for _ in range(2):
                    start_s = time.perf_counter()
                    words.set_names(chosen, shown)
                    session.predict(image, prompt)
                    seconds.append(time.perf_counter() - start_s)
                processor_s = time.process_time() - processor_s
            except VocabularyError as error:
                print(f"{name:24} {len(listed):8,} {str(error)[:90]}")
                continue
            title = name if text == name else f"1,000 names of {name}"
            row = f"{title:24} {chosen.num_classes:8,} {seconds[0]:8.2f} {seconds[1]:8.2f}"
            print(f"{row} {processor_s:12.2f}")


if __name__ == "__main__":
    main()
