"""What keeps people with a keyboard or a screen reader from using a page."""

# WCAG 2.2 A and AA, as axe-core checks them, and its advice on landmarks and headings left out.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

# The element that has the focus: what it is, where it is, and whether a ring is drawn around it.
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    id: element.dataset.testid || element.getAttribute('aria-label') || element.textContent.trim().slice(0, 40),
    tag: element.tagName.toLowerCase(),
    has_ring: (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none',
    is_seen: box.width > 0 && box.height > 0,
  };
}"""  # noqa: E501
# Controls that a keyboard must reach: seen, enabled, and not left to the arrow keys of their group.
CONTROLS = """() => [...document.querySelectorAll('button, input, select, textarea, a[href], summary, [tabindex="0"]')]
  .filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.tabIndex >= 0)
  .filter((e) => e.type !== 'radio' || e.checked)
  .length"""  # noqa: E501


def find_faults(page):
    """Rules of WCAG that a page breaks, with the elements; empty where there is none."""
    from axe_playwright_python.sync_playwright import Axe

    only = {"type": "tag", "values": RULES}
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]})
    return [
        f"{fault['id']} ({fault['help']}): {node['target']} {node['html'][:200]}"
        for fault in found.response["violations"]
        for node in fault["nodes"]
    ]


def walk_by_tab(page, most=400):
    """The elements that Tab reaches from the beginning of a page, until it leaves it."""
    page.evaluate("document.activeElement?.blur()")
    stops = []
    for _ in range(most):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            break
        stops.append(focused)
    return stops


def count_controls(page):
    """How many controls a keyboard has to reach."""
    return page.evaluate(CONTROLS)
