"""What a person looks at: local pages of `ovsam demo` and `ovsam view`, and the server for editors.

In: an output, or images and a model. Out: one page in a browser, drawn by the bundle in `static/`
(TypeScript in `page/`), and JSON below the page's address. Every request needs the token of the
printed address (`security.py`). Starlette and uvicorn are the extra `ovsam[ui]`: modules here
import them at their top, and are imported by commands only when these run. Begin with `server.py`.
"""
