"""CVAT's auto-annotation by `ovsam serve`: what cvat-cli takes as --function-file.

Needs cvat-sdk, which brings Pillow; neither torch nor ovsam. `ovsam serve --cvat-function FILE`
writes it. Parameters, each as `-p NAME=str:VALUE`:

    server  address that `ovsam serve` printed for CVAT; else the variable OVSAM_SERVER
    names   class names with commas between; else those of the server's --vocabulary
    kind    "detection" (whole frames, the default), or "interaction" (clicks and boxes, for agents)
"""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import cvat_sdk.models as models
import PIL.Image

_TIMEOUT_S = 600


def create(server: str = "", names: str = "", kind: str = "detection") -> Any:
    """Return the function that cvat-cli runs."""
    address = server or os.environ.get("OVSAM_SERVER", "")
    if not address.startswith(("http://", "https://")):
        raise cvataa.BadFunctionError(
            "expected the address that `ovsam serve` printed for CVAT: "
            "-p server=str:http://127.0.0.1:9090/TOKEN/cvat"
        )
    if kind not in ("detection", "interaction"):
        raise cvataa.BadFunctionError(f"expected kind as detection or interaction, got {kind}")
    client = _Client(address.rstrip("/"))
    if kind == "interaction":
        return Interaction(client)
    return Detection(client, [name.strip() for name in names.split(",") if name.strip()])


class _Client:
    """Asks the server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def post(self, route: str, **content: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._address}/{route}",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise cvataa.BadFunctionError(f"ovsam serve: {_read_sentence(error)}") from error
        except OSError as error:
            raise cvataa.BadFunctionError(f"cannot reach ovsam serve: {error}") from error


class Detection:
    """All objects of a frame, as `ovsam label` finds them."""

    def __init__(self, client: _Client, names: Sequence[str]) -> None:
        self._client, self._names = client, list(names)
        labels = client.post("labels", names=self._names)["labels"]
        self._ids = {name: number for number, name in enumerate(labels)}
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, number) for name, number in self._ids.items()]
        )

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: PIL.Image.Image
    ) -> list[models.LabeledShapeRequest]:
        """Return the objects of a frame."""
        found = self._client.post(
            "detect",
            image=_encode(image),
            names=self._names,
            threshold=context.conf_threshold,
            polygons=context.conv_mask_to_poly,
        )
        return [
            cvataa.shape(
                self._ids[shape["label"]],
                type=shape["type"],
                points=[float(number) for number in shape["points"]],
                score=float(shape["score"]),
            )
            for shape in found["shapes"]
            if shape["label"] in self._ids
        ]


class Interaction:
    """The object at clicks, or in a box; for `cvat-cli function run-agent`."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self.spec = cvataa.InteractionFunctionSpec(
            min_pos_points=0, min_neg_points=0, min_bounding_boxes=0
        )

    def preprocess_image(self, context: Any, image: PIL.Image.Image) -> str:  # noqa: ARG002
        """Return the frame as it is sent; the server encodes it once."""
        return _encode(image)

    def detect(self, context: Any, pp_image: str, prompts: Any) -> list[Any]:  # noqa: ARG002
        """Return the mask at the prompts."""
        points = [[x, y, 1] for x, y in prompts.pos_points]
        points += [[x, y, 0] for x, y in prompts.neg_points]
        corners = prompts.bounding_box
        box = None if corners is None else [*corners[0], *corners[1]]
        prompt = {"points": points, "box": box}
        found = self._client.post("interact", image=pp_image, prompt=prompt)
        return [
            cvataa.InteractionResultShape(
                type="mask", points=[float(number) for number in shape["points"]]
            )
            for shape in found["shapes"]
        ]


def _encode(image: PIL.Image.Image) -> str:
    """Return the pixels as PNG in base64. CVAT counts in them: no orientation goes along."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "PNG", compress_level=1, exif=b"")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _read_sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"status {error.code}"
