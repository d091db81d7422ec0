"""Two hundred names that would run, redraw or confuse a page that takes them for more than text.

Whatever runs sets `window.__ran`.
"""

# ruff: noqa: RUF001

import re

_RUN = "window.__ran=1"
_PAYLOADS = (
    f"<img src=x onerror={_RUN}>",
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"</title><script>{_RUN}</script>",
    f"</style><script>{_RUN}</script>",
    f"</textarea><img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}>",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<iframe srcdoc='<script>parent.{_RUN}</script>'>",
    f"<body onload={_RUN}>",
    f"<details open ontoggle={_RUN}>",
    f'"><img src=x onerror={_RUN}>',
    f"'><img src=x onerror={_RUN}>",
    f"' autofocus onfocus='{_RUN}",
    f'" onmouseover="{_RUN}',
    f"javascript:{_RUN}",
    f"`${{{_RUN}}}`",
    f"');{_RUN};('",
    f'\\");{_RUN};//',
    f"\\u003cimg src=x onerror={_RUN}\\u003e",
    "{{constructor.constructor('window.__ran=1')()}}",
    "<!--",
    "--!><b>",
    "]]><b>",
    "<style>*{display:none!important}</style>",
    "<base href=http://evil.example>",
    "<link rel=stylesheet href=http://evil.example>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<plaintext>",
    "&lt;b&gt;&amp;&#60;",
    "data:text/html,<script>",
    "url(http://evil.example/x)",
    ";}*{display:none}",
    "%3Cscript%3E%00%2e%2e%2f",
    "..%2f..%2fetc%2fpasswd",
    "?query=1&a=b#fragment",
    "a+b c=d;e,f",
    "\\\\server\\share",
    "C:\\x:y",
    "$(touch x);`touch y`|z",
    "=cmd|'calc'!A0",
    "+1-1@SUM(1)",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "undefined",
    "null",
    "NaN",
    "-0",
    "1e999",
    "[object Object]",
    "\u202egnp.exe",
    "\u2066\u2067left right\u2069",
    "\u200b\u200d\ufeff",
    "a" + "\u0301" * 30,
    "two\nlines",
    "two\r\nlines\u2028and\u2029paragraphs",
    "tab\tand\x0bfeed\x0c",
    "\x1b[31mred\x07\x08",
    "\x7f\x85",
    "W" * 120,
    "long " * 24,
    "😀👩‍👩‍👧🏽",
    "𝕏 ﷽ ꧅",
    "日本語の名前",
    "اسم عربي",
    "שם עברי",
    "ｆｕｌｌｗｉｄｔｈ ＜ｂ＞",
    "...",
    " spaces ",
)
_COUNT = 200


def make_class_names():
    """Names of classes."""
    rounds = (f"{payload} {index}" for index in range(5) for payload in _PAYLOADS)
    return [name for name, _ in zip(rounds, range(_COUNT), strict=False)]


def make_file_names():
    """Names of files that a disk takes; a slash makes a folder, as of `</script>`."""
    names = [re.sub("/+", "/", name).strip("/") for name in make_class_names()]
    names = [f"{name}.png" for name in names]
    assert all(0 < len(part.encode()) <= 255 for name in names for part in name.split("/"))
    return names
