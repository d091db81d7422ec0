"""Pages in Chromium that notice their faults."""

from urllib.parse import urlsplit


class Pages:
    """Pages that a test opens, and the faults that they had.

    A fault is a console error or warning, an uncaught exception, a dialog, or a request outside
    loopback.
    """

    def __init__(self, browser) -> None:
        self.faults: list[str] = []
        self._browser, self._contexts = browser, []

    def open(self, address, width=1280, height=800, scheme="light", allowed=(), **context):
        """Return a page at an address; `allowed` are parts of messages that are no faults."""
        viewport = {"width": width, "height": height}
        made = self._browser.new_context(viewport=viewport, color_scheme=scheme, **context)
        self._contexts.append(made)
        made.set_default_timeout(10_000)
        # Looked at, not held up: with a route Playwright would carry each upload to its driver.
        made.on("request", self._check)
        page = made.new_page()

        def note(text: str) -> None:
            if not any(part in text for part in allowed):
                self.faults.append(text)

        def dismiss(dialog) -> None:
            self.faults.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("console", lambda m: note(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", dismiss)
        page.goto(address)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _check(self, request) -> None:
        url = urlsplit(request.url)
        if url.hostname != "127.0.0.1" and url.scheme not in ("file", "data", "blob"):
            self.faults.append(f"asked for {request.url}")
