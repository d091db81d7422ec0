"""Put the previews of the example photographs into README's picture.

ovsam label examples/photos -o labels --preview 8
python scripts/readme_picture.py labels docs/images/photos.jpg
"""

import sys
from pathlib import Path

from PIL import Image

_COLUMNS, _CELL_HW, _GAP = 4, (300, 400), 6


def main(labels: Path, target: Path) -> None:
    """Draw all pictures of a run's preview folder in rows of four, each as large as fits."""
    paths = sorted((labels / "preview").glob("*.jpg"))
    height, width = _CELL_HW
    rows = -(-len(paths) // _COLUMNS)
    size = _COLUMNS * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP
    sheet = Image.new("RGB", size, "white")
    for index, path in enumerate(paths):
        picture = Image.open(path)
        picture.thumbnail((width, height))
        row, column = divmod(index, _COLUMNS)
        left = column * (width + _GAP) + (width - picture.width) // 2
        sheet.paste(picture, (left, row * (height + _GAP) + (height - picture.height) // 2))
    sheet.save(target, quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
