"""Where bytes lie: local files, objects of S3, Google Cloud Storage, Azure and fsspec, the web.

In: a path or an address as the user wrote it. Out: a `Path`, or a `RemotePath` or `HttpFile` that
behaves like one and raises the OSErrors that files raise, with a sentence on what to do. Requests
are repeated in `retry.py`; a file that is written is whole or absent (`atomic.py`). Begin with
`remote_path.py`.
"""
