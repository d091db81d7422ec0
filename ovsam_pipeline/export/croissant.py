"""Labels → a data set described in Croissant 1.1, JSON-LD: who labelled what, with which weights.

    croissant.json       the description: columns, provenance (PROV-O), the licence of each part
    objects.parquet      one row an object
    images.parquet       one row an image, also those without objects
    images/NAME.jpg      the pictures, where they are copied or linked

Licences are told apart, as they are different people's: of the pictures, which ovsam does not know;
of the weights, as run.json has it; of the labels, for whoever publishes them to set.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html; validated and read back
by mlcroissant 1.1.1.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.output.answered_rows import REVIEWED_BY
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.output.reviews import read_answers
from ovsam_pipeline.storage.remote_path import AnyPath

_SPEC, _RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"
_BOX = pa.list_(pa.float32(), 4)
_TYPES: dict[pa.DataType, dict[str, Any]] = {
    pa.int64(): {"dataType": "sc:Integer"},
    pa.int32(): {"dataType": "sc:Integer"},
    pa.float32(): {"dataType": "sc:Float"},
    pa.string(): {"dataType": "sc:Text"},
    # As a cr:BoundingBox mlcroissant 1.1.1 takes lists and texts, and not what Parquet gives.
    _BOX: {"dataType": "sc:Float", "isArray": True, "arrayShape": "4"},
}
_IMAGE_COLUMNS = {
    "image_id": (pa.int64(), "Number of the image in its data set."),
    "file_name": (pa.string(), "Its name there."),
    "path": (pa.string(), "Its file in this folder; nothing where it is not here."),
    "width": (pa.int32(), "Pixels of the upright picture."),
    "height": (pa.int32(), "Pixels of the upright picture."),
}
_OBJECT_COLUMNS = {
    "image_id": (pa.int64(), "The image that the object is in."),
    "object": (pa.int32(), "Number of the object in its image, from 1."),
    "category_id": (pa.int64(), "Its class."),
    "category": (pa.string(), "Name of its class; a person's where one answered."),
    "bbox": (_BOX, "Left, top, width, height; pixels of the upright picture."),
    "area": (pa.int64(), "Pixels of the mask."),
    "mask_counts": (
        pa.string(),
        "Mask as COCO's compressed run lengths; with the image's height and width, "
        "pycocotools.mask.decode takes it.",
    ),
    "score": (pa.float32(), "Probability of the class by who named it, from 0 to 1."),
    "detector_score": (pa.float32(), "Score of the detector's box."),
    "mask_score": (pa.float32(), "Stability of the mask, from 0 to 1."),
    "risk": (pa.float32(), "How likely the label is wrong, from 0 to 1."),
    "reason": (pa.string(), "What speaks against it, in words."),
    "model_category": (pa.string(), "The model's own name for it."),
    "detector_category": (pa.string(), "The detector's name for it."),
    REVIEWED_BY: (pa.string(), "The person who accepted, corrected or added it."),
}
_FIELDS = (
    "category_id", "bbox", "area", "segmentation", "detector_score", "mask_score", "risk",
    "reason", "model_category", "detector_category",
)  # fmt: skip
_OBJECTS_AT_ONCE, _IMAGES_AT_ONCE = 10_000, 1_000
_UNKNOWN_LICENCE = "not stated: whoever publishes this sets it"


def export_croissant(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write tables of the chosen labels, the pictures, and croissant.json into an empty folder."""
    summary = ExportSummary()
    categories = read_categories(output, options.choice)
    files, names = ImageFiles(output, options, summary), SafeNames()
    media_types: set[str] = set()
    with ExitStack() as stack:
        images = stack.enter_context(_TableWriter(target / "images.parquet", _IMAGE_COLUMNS))
        objects = stack.enter_context(_TableWriter(target / "objects.parquet", _OBJECT_COLUMNS))
        for image in iterate_labelled(output, options.choice, _FIELDS):
            path = None
            if options.images != "none":
                path = f"images/{''.join(names.make(image.file_name))}"
                if not files.put(image, target / path):
                    continue
                media_types.add(mimetypes.guess_type(path)[0] or "application/octet-stream")
            images.add([_describe_image(image, path)], _IMAGES_AT_ONCE)
            objects.add(_list_objects(image), _OBJECTS_AT_ONCE)
            summary.images += 1
            summary.objects += len(image.objects)
    document = _describe(output, target, sorted(media_types), categories)
    text = json.dumps(document, ensure_ascii=False, indent=2)
    with explain("cannot write", target, OutputError):
        (target / "croissant.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _describe_image(image: LabelledImage, path: str | None) -> dict[str, Any]:
    row = {name: getattr(image, name) for name in ("image_id", "file_name", "width", "height")}
    return {**row, "path": path}


def _list_objects(image: LabelledImage) -> list[dict[str, Any]]:
    return [
        {
            **{name: item.get(name) for name in _OBJECT_COLUMNS},
            "image_id": image.image_id,
            "object": number,
            "mask_counts": item["segmentation"]["counts"],
        }
        for number, item in enumerate(image.objects, start=1)
    ]


class _TableWriter:
    """Writes rows to a Parquet file, some thousands at a time."""

    def __init__(self, path: Path, columns: Mapping[str, tuple[pa.DataType, str]]) -> None:
        self._path, self._rows = path, list[dict[str, Any]]()
        self._schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()])

    def __enter__(self) -> _TableWriter:
        with explain("cannot write", self._path, OutputError):
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with explain("cannot write", self._path, OutputError):
            if kind is None:
                self._flush()
            self._writer.close()

    def add(self, rows: list[dict[str, Any]], most: int) -> None:
        """Take rows; write them when `most` are together."""
        self._rows += rows
        if len(self._rows) >= most:
            with explain("cannot write", self._path, OutputError):
                self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _describe(
    output: AnyPath, target: Path, media_types: list[str], categories: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the JSON-LD document; `media_types` of the pictures, none where there are none."""
    run = read_run_file(output)
    made = _describe_making(run)
    people = sorted({answer.by for answer in read_answers(output)})
    tools = [made["prov:wasAssociatedWith"]["prov:label"]]
    tools += [entity["prov:label"] for entity in made["prov:used"][1:]]
    reviewers = [{"@type": ["prov:Person", "prov:Agent"], "prov:label": name} for name in people]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [_SPEC, _RAI],
        "name": output.name,
        "description": "Objects in pictures, with names and masks that ovsam made"
        + (" and people reviewed." if people else "."),
        "datePublished": str(run.get("finished") or run.get("started") or "1970-01-01")[:10],
        "version": "1.0.0",
        "license": _list_licences(run),
        "citeAs": f"{output.name}, labelled by {tools[0]}",
        "prov:wasGeneratedBy": made,
        "prov:wasDerivedFrom": {"@id": "pictures"},
        **({"prov:wasAttributedTo": reviewers} if reviewers else {}),
        "rai:machineAnnotationTools": tools,
        "distribution": _list_files(target, made, media_types),
        "recordSet": [
            _describe_categories(categories),
            _describe_table("images", _IMAGE_COLUMNS),
            _describe_table("objects", _OBJECT_COLUMNS),
        ],
    }


def _describe_making(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labelling as an activity of PROV-O: with what, when, by which program."""
    task = str(run.get("task", "label"))
    settings = {k: v for k, v in _find(run, "depends_on").items() if not k.endswith("_hash")}
    made = {
        "@type": "prov:Activity",
        "@id": "labelling",
        "prov:label": f"ovsam {'label --relabel' if task == 'relabel' else task}",
        "description": json.dumps(settings, ensure_ascii=False),
        "prov:startedAtTime": run.get("started"),
        "prov:endedAtTime": run.get("finished"),
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            "prov:label": f"ovsam {run.get('ovsam', '')}".strip(),
        },
        "prov:used": [{"@id": "pictures"}, *_list_weights(run)],
        "prov:wasInformedBy": _describe_filtered(run.get("filtered")),
    }
    return {name: value for name, value in made.items() if value is not None}


def _describe_filtered(filtered: Any) -> dict[str, Any] | None:
    """Return what was done before a filter chose among its objects; None where none did."""
    if not isinstance(filtered, Mapping):
        return None
    settings = {k: v for k, v in _find(filtered, "depends_on").items() if not k.endswith("_hash")}
    return {
        "@type": "prov:Activity",
        "prov:label": f"ovsam {filtered.get('task', 'label')}",
        "description": json.dumps(settings, ensure_ascii=False),
    }


def _find(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def _list_weights(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return model, detector and vocabulary as entities that the labels depend on."""
    entities = []
    for kind, digest in (
        ("model", "identity"),
        ("detector", "fingerprint"),
        ("vocabulary", "hash"),
    ):
        part = _find(run, kind)
        if not part.get("name"):
            continue
        entity = {"@type": "prov:Entity", "@id": kind, "prov:label": f"{kind} {part['name']}"}
        if part.get("licence"):
            entity["license"] = str(part["licence"])
        if part.get(digest):
            entity["identifier"] = str(part[digest])
        entities.append(entity)
    return entities


def _list_licences(run: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return one entry a part, as they are different people's."""
    parts = {"pictures": _UNKNOWN_LICENCE, "labels": _UNKNOWN_LICENCE}
    for kind in ("model", "detector"):
        part = _find(run, kind)
        if part.get("name"):
            licence = part.get("licence") or "not stated"
            parts[f"weights of the {kind} {part['name']}"] = str(licence)
    return [
        {"@type": "sc:CreativeWork", "name": f"{part}: {licence}"}
        for part, licence in parts.items()
    ]


def _list_files(
    target: Path, made: Mapping[str, Any], media_types: list[str]
) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    for name in ("images", "objects"):
        path = target / f"{name}.parquet"
        with explain("cannot read", path, OutputError), path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": f"{name}.parquet",
                "name": f"{name}.parquet",
                "contentUrl": f"{name}.parquet",
                "contentSize": f"{path.stat().st_size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": digest,
                "license": _UNKNOWN_LICENCE,
                "prov:wasGeneratedBy": {"@id": made["@id"]},
            }
        )
    if media_types:
        files.append(
            {
                "@type": "cr:FileSet",
                "@id": "pictures",
                "name": "pictures",
                "description": "The pictures, as labelled; images.parquet has their paths.",
                "encodingFormat": media_types,
                "includes": "images/**",
                "license": _UNKNOWN_LICENCE,
            }
        )
    return files


def _describe_categories(categories: list[dict[str, Any]]) -> dict[str, Any]:
    fields = (("id", "sc:Integer"), ("name", "sc:Text"))
    return {
        "@type": "cr:RecordSet",
        "@id": "categories",
        "name": "categories",
        "description": "The classes to choose from, found or not.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "categories/id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"categories/{name}",
                "name": name,
                "dataType": kind,
            }
            for name, kind in fields
        ],
        "data": [
            {f"categories/{name}": category[name] for name, _ in fields} for category in categories
        ],
    }


def _describe_table(name: str, columns: Mapping[str, tuple[pa.DataType, str]]) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "description": about,
            **_TYPES[kind],
            "source": {"fileObject": {"@id": f"{name}.parquet"}, "extract": {"column": column}},
        }
        for column, (kind, about) in columns.items()
    ]
    described: dict[str, Any] = {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": "One record an image." if name == "images" else "One record an object.",
        "field": fields,
    }
    if name == "images":
        described["key"] = {"@id": "images/image_id"}
    return described


# The terms of Croissant 1.1 without prefixes, as its own tools write them, and PROV-O's.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        term: f"cr:{term}"
        for term in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract",
            "field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray",
            "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip
