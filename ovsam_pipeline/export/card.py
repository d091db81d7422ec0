"""The dataset card of an export: README.md, as people and the Hugging Face hub read it, with plots.

What is told: what there is, by which weights under which licence, with which thresholds, how right
it is and how that was measured, what people answered, what is known to be missing or doubtful.
Names of files, classes and people are text of others: they are escaped and cut.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.card_plots import draw_plots
from ovsam_pipeline.export.labels import LabelChoice, iterate_labelled
from ovsam_pipeline.outcomes import Reasons, count_are, count_things
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.output.checked_labels import (
    Calibration,
    Certificate,
    Precision,
    read_calibration,
)
from ovsam_pipeline.output.folder import list_parts, read_run_file
from ovsam_pipeline.output.part_tables import iterate_tables
from ovsam_pipeline.output.reviews import Answers, read_answers
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

logger = logging.getLogger(__name__)

CARD_FILE = "README.md"
_BESIDE_FILE = "README.ovsam.md"
# The last line of a card that nobody has edited.
_SEAL = re.compile(rb"\n<!-- ovsam ([0-9a-f]{32}) -->\n\Z")
_MOST_TEXT, _MOST_ROWS = 80, 30
# What means something in Markdown, wherever on a line it is.
_MARKS = frozenset(r"\`*_{}[]()#+!|~$^=@")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_DOUBTFUL_RISK = 0.5
_NO_NAME = "(no name)"
_HISTOGRAM_BINS = 20
# Up to how many images, as the hub names it.
_SIZES = {
    1_000: "n<1K",
    10_000: "1K<n<10K",
    100_000: "10K<n<100K",
    1_000_000: "100K<n<1M",
    10_000_000: "1M<n<10M",
    100_000_000: "10M<n<100M",
}
_LARGEST = "100M<n<1B"


@dataclass
class Contents:
    """What an export holds.

    Attributes:
        classes: objects by class.
        reviewed: objects that a person accepted, corrected or added.
        scores: histogram of scores, 20 bins over [0, 1].
        doubtful: objects with a risk of .5 or more that nobody reviewed.
        gone: images that were not found, and are left out.
    """

    images: int = 0
    empty: int = 0
    gone: int = 0
    reviewed: int = 0
    doubtful: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_HISTOGRAM_BINS, np.int64))

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return self.classes.total()


@dataclass(frozen=True)
class CardFacts:
    """All that a card tells of; certificate and calibration only where they are of these labels."""

    name: str
    run: Mapping[str, Any]
    contents: Contents
    choice: LabelChoice
    failures: Reasons
    answers: Answers
    precision: Precision | None
    certificate: Certificate | None
    calibration: Calibration | None


def write_card(
    output: AnyPath,
    folder: Path,
    choice: LabelChoice,
    *,
    before: Path | None = None,
    gone: Set[int] = frozenset(),
    precision: Precision | None = None,
    certificate: Certificate | None = None,
) -> None:
    """Write README.md and its plots into the folder of an export.

    Args:
        output: what was exported.
        folder: where the export was written; a README.md that is there stays, with ours beside it.
        choice: which of its objects.
        before: the folder that this one will replace: a README.md that somebody edited there comes
            along.
        gone: ids of images that were not found and are not in the export.
        precision: of all labels of the output, where a sample of them was checked.
        certificate: of the output, as it stands today.
    """
    facts = _collect(output, choice, gone, precision, certificate)
    with explain("cannot write the dataset card in", folder, OutputError):
        if before is not None and not _is_as_written(before / CARD_FILE):
            (folder / CARD_FILE).write_bytes((before / CARD_FILE).read_bytes())
        is_taken = (folder / CARD_FILE).exists()
        plots = draw_plots(folder, facts.contents.classes, facts.contents.scores, facts.calibration)
        text = "\n".join(_write_lines(facts, plots))
        content = f"{text}\n".encode()
        seal = f"\n<!-- ovsam {_hash(content)} -->\n".encode()
        (folder / (_BESIDE_FILE if is_taken else CARD_FILE)).write_bytes(content + seal)


def _is_as_written(path: Path) -> bool:
    """Whether there is no card, or one that nobody has edited."""
    if not path.is_file():
        return True
    content = path.read_bytes()
    seal = _SEAL.search(content)
    return seal is not None and _hash(content[: seal.start()]) == seal[1].decode()


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _collect(
    output: AnyPath,
    choice: LabelChoice,
    gone: Set[int],
    precision: Precision | None,
    certificate: Certificate | None,
) -> CardFacts:
    run = read_run_file(output)
    calibration = _read_calibration(output)
    if certificate is not None and (
        certificate.stale or certificate.revised or certificate.threshold is None
    ):
        certificate = None
    if calibration is not None and calibration.fingerprint != run.get("fingerprint"):
        calibration = None
    return CardFacts(
        output.name if isinstance(output, RemotePath) else output.resolve().name,
        run,
        _count_contents(output, choice, gone),
        choice,
        _count_failures(output),
        read_answers(output),
        precision,
        certificate,
        calibration,
    )


def _read_calibration(output: AnyPath) -> Calibration | None:
    try:
        return read_calibration(output)
    except OutputError as error:  # no reason to write no export
        logger.warning("the dataset card leaves out how good scores are: %s", error)
        return None


def _count_contents(output: AnyPath, choice: LabelChoice, gone: Set[int]) -> Contents:
    found = Contents()
    for image in iterate_labelled(output, choice, ("risk",)):
        if image.image_id in gone:
            found.gone += 1
            continue
        found.images += 1
        found.empty += not image.objects
        for item in image.objects:
            found.classes[item["category"] or _NO_NAME] += 1
            if item.get(REVIEWED_BY) is not None:
                found.reviewed += 1
            elif (item.get("risk") or 0) >= _DOUBTFUL_RISK:
                found.doubtful += 1
            score = min(1.0, max(0.0, float(item["score"])))
            found.scores[min(int(score * _HISTOGRAM_BINS), _HISTOGRAM_BINS - 1)] += 1
    return found


def _count_failures(output: AnyPath) -> Reasons:
    reasons = Reasons()
    for table in iterate_tables(list_parts(output), ("file_name", "error")):
        for row in table.filter(pc.is_valid(table["error"])).to_pylist():
            reasons.add(row["error"], row["file_name"])
    return reasons


def _write_lines(facts: CardFacts, plots: Mapping[str, str]) -> Iterator[str]:
    contents = facts.contents
    yield from _write_front_matter(facts)
    yield f"\n# {escape(facts.name)}\n"
    yield (
        f"{count_things(contents.images, 'image')} ({contents.empty} without an object), "
        f"{count_things(contents.objects, 'object')} with masks, "
        f"{count_things(len(contents.classes), 'class')}. Labelled by ovsam "
        f"{escape(facts.run.get('ovsam', ''))}; "
        f"{count_are(contents.reviewed, 'object')} as accepted or drawn by a person."
    )
    yield from _write_choice(facts.choice)
    yield "\n## How right the labels are\n"
    yield from _write_trust(facts)
    if "reliability" in plots:
        yield f"\n![Scores against the share of right labels]({plots['reliability']})"
    yield "\n## How the labels were made\n"
    yield from _write_making(facts.run)
    yield "\n## What people answered\n"
    told = describe_answers(facts.answers, escape, _MOST_ROWS)
    yield f"{told} They are in the labels." if list(facts.answers) else told
    yield "\n## Known failures\n"
    yield from _write_failures(facts)
    yield "\n## Classes and scores\n"
    yield from _write_classes(contents)
    for name, title in (("classes", "Objects of each class"), ("scores", "Scores of the labels")):
        if name in plots:
            yield f"\n![{title}]({plots[name]})"


def _write_front_matter(facts: CardFacts) -> Iterator[str]:
    """Yield YAML: texts as JSON has them, which YAML reads as well."""
    size = next((n for most, n in _SIZES.items() if facts.contents.images < most), _LARGEST)
    yield "---"
    yield f"pretty_name: {json.dumps(_tidy(facts.name), ensure_ascii=False)}"
    # Whose the pictures are is not known here; the weights' licence is told below.
    yield "license: unknown"
    yield "task_categories:\n- image-segmentation\n- object-detection"
    yield f"size_categories:\n- {size}"
    yield "annotations_creators:\n- machine-generated"
    if facts.contents.reviewed:
        yield "- expert-generated"
    yield "tags:\n- instance-segmentation\n- ovsam"
    yield "---"


def _write_choice(choice: LabelChoice) -> Iterator[str]:
    words = []
    if choice.min_score:
        words.append(f"with a score of at least {choice.min_score:g}")
    if choice.max_risk is not None:
        words.append(f"with a risk of at most {choice.max_risk:g}")
    if choice.classes:
        words.append(f"of the classes {', '.join(map(escape, choice.classes[:_MOST_ROWS]))}")
    if choice.reviewed_only:
        words.append("that a person saw")
    if words:
        seen = ""
        if choice.min_score or choice.max_risk is not None:
            seen = " Neither score nor risk keeps out what a person accepted or drew."
        yield f"\nOnly objects {', '.join(words)} are here.{seen}"


def _write_trust(facts: CardFacts) -> Iterator[str]:
    measured, found = facts.precision, facts.certificate
    if measured is not None and measured.share is not None:
        yield (
            f"- Precision of all labels, as the model made them: **{_percent(measured.share)}** "
            f"({_percent(measured.low)} to {_percent(measured.high)} with 95 % confidence), by "
            f"{count_things(measured.checked, 'check')} of {measured.drawn} objects drawn by "
            "chance."
        )
    if found is not None and found.threshold is not None:
        yield (
            f"- Certified: of the {found.accepted} objects ({_percent(found.accepted_share)}) with "
            f"`risk` ≤ {found.threshold:g} at least **{_percent(found.target)}** are right, with "
            f"{_percent(found.confidence)} confidence. Of {count_things(found.checks, 'check')} "
            f"among them {found.wrong} were wrong or not answered (learn then test, exact tails; "
            f"{escape(found.at[:10])})."
        )
        for one in found.classes:
            yield (
                f"  - of class {escape(one.category)} {one.accepted} of {one.objects} with `risk` "
                f"≤ {one.threshold:g} ({one.wrong} of {count_things(one.checks, 'check')} wrong)"
            )
        if facts.contents.gone or not facts.choice.holds_all_up_to(found.threshold):
            yield "  - This export has only some of these: of those alone nothing is promised."
        if found.later:
            yield f"  - {count_are(found.later, 'object')} newer than the sample and not covered."
    calibration = facts.calibration
    if calibration is not None:
        label = calibration.label
        yield (
            f"- 1 - `risk` as a probability is off by {label.error_before:.3f}; calibrated "
            f"(sigmoid({label.slope:.3f} · logit(1 - risk) {_sign(label.offset)})) by "
            f"{label.error_after:.3f}, on {count_things(label.answers, 'answer')}."
        )
    if measured is None and found is None:
        yield (
            "Nobody has measured it: no uniform sample of these labels was checked. "
            "Treat them as guesses."
        )


def _write_making(run: Mapping[str, Any]) -> Iterator[str]:
    rows = []
    for kind in ("model", "detector", "vocabulary"):
        made = run.get(kind)
        if not isinstance(made, dict) or not made.get("name"):
            continue
        licence = made.get("licence")
        more = [f"licence of the weights: {licence}"] if licence else []
        if kind == "vocabulary" and made.get("classes"):
            more.append(f"{made['classes']} names")
        rows.append((kind, ", ".join([str(made["name"]), *more])))
    settings = run.get("depends_on", {})
    before = run.get("filtered")
    if isinstance(before, dict) and isinstance(before.get("depends_on"), dict):
        rows.append(("filtered from", str(before.get("output"))))
        settings = {**before["depends_on"], **settings}
    kept = {
        name: value
        for name, value in settings.items()
        if name not in ("model", "detector", "vocabulary")
        and not name.endswith(("_hash", "_version"))
    }
    rows += [(name, str(value)) for name, value in kept.items()]
    rows += [
        (name, run[name]) for name in ("started", "finished") if isinstance(run.get(name), str)
    ]
    yield from _write_table(("what", "with"), rows)
    yield (
        "\nThe licence of the pictures is theirs, and not known to ovsam. Whoever publishes this "
        "sets `license` above."
    )


def describe_answers(
    answers: Answers, show_name: Callable[[str], str], most_people: int | None = None
) -> str:
    """Return a sentence on how many answers there are, of which verdicts, and by whom."""
    given = list(answers)
    if not given:
        return "Nobody has reviewed these labels."
    people = Counter(answer.by for answer in given).most_common(most_people)
    verdicts = Counter(answer.verdict for answer in given).most_common()
    by = ", ".join(f"{show_name(name)} ({count})" for name, count in people)
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in verdicts)
    images = count_things(len(answers.by_image), "image")
    return f"{count_things(len(given), 'answer')} on {images}: {kinds}. By {by}."


def _write_failures(facts: CardFacts) -> Iterator[str]:
    contents, common = facts.contents, facts.failures.list_common()
    unseen = contents.objects - contents.reviewed
    if unseen:
        yield (
            f"- {contents.doubtful} of {count_things(unseen, 'object')} that nobody reviewed "
            f"({_percent(contents.doubtful / unseen)}) have a risk of {_DOUBTFUL_RISK:g} or more."
        )
    yield "- Objects that no detector found are missing; nothing here counts them."
    if contents.gone:
        left_out = count_are(contents.gone, "image")
        yield f"- {left_out} left out, as the picture was not there any more."
    if not common:
        yield "- Every image could be read."
        return
    total = sum(group.count for group in common)
    yield f"- {count_are(total, 'image')} left out, as they could not be labelled:\n"
    rows = [(str(group.count), group.sentence, group.file_name) for group in common[:_MOST_ROWS]]
    yield from _write_table(("images", "reason", "e.g."), rows)


def _write_classes(contents: Contents) -> Iterator[str]:
    common = contents.classes.most_common()
    rows = [(name, str(count)) for name, count in common[:_MOST_ROWS]]
    yield from _write_table(("class", "objects"), rows)
    if len(common) > _MOST_ROWS:
        yield f"\nand {count_things(len(common) - _MOST_ROWS, 'more class')}."


def _write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(escape, row))} |"


def escape(text: object) -> str:
    """Return text of others as Markdown that shows it and does nothing else."""
    signs = "".join(_ENTITIES.get(c, f"\\{c}" if c in _MARKS else c) for c in _tidy(text))
    # Addresses would become links without any sign around them.
    return re.sub(r"(?i)(?<=www)\.", "&#46;", signs.replace("://", ":&#47;&#47;"))


def _tidy(text: object) -> str:
    """Return text on one line, without what cannot be seen, and not too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return line if len(line) <= _MOST_TEXT else f"{line[: _MOST_TEXT - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _sign(number: float) -> str:
    """Return a number as the last term of a sum."""
    return f"{'-' if number < 0 else '+'} {abs(number):.3f}"
