"""PLACEHOLDER by H4 until H1's file comes: overwrite it."""
from __future__ import annotations

import numpy as np

__all__ = ["KeySet"]


class KeySet:
    def __init__(self) -> None:
        self._keys: set[int] = set()

    def add(self, keys: np.ndarray) -> np.ndarray:
        new = np.zeros(len(keys), bool)
        for i, key in enumerate(keys.tolist()):
            new[i] = key not in self._keys
            self._keys.add(key)
        return new
