"""Shared by all tests. Its being here also puts tests/ on the import path: `import bad_images`."""
