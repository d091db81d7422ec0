/** What `ovsam serve` shows in a browser: the address that each editor is given. */
import { h } from "../shared/dom";
import { buildThemeSwitch } from "../shared/theme";
import { say, sayError } from "../shared/toast";

interface EditorsStart {
  readonly labels: string;
  readonly editors: readonly Editor[];
}

interface Editor {
  readonly name: string;
  readonly path: string;
  readonly where: string;
}

/** Shows the addresses in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  const { labels, editors } = start as EditorsStart;
  document.title = "ovsam serve";
  root.append(
    h(
      "main",
      { class: "editors" },
      h("header", { class: "editors-head" }, h("h1", {}, "ovsam serve"), buildThemeSwitch()),
      h("p", { class: "muted" }, labels),
      ...editors.map(buildEditor),
      h("p", { class: "muted" }, "Whoever has an address can use this server."),
    ),
  );
}

function buildEditor({ name, path, where }: Editor): HTMLElement {
  const address = new URL(path, document.baseURI).href;
  const copy = h("button", { type: "button", "aria-label": `Copy the address for ${name}` }, "Copy");
  copy.addEventListener("click", () => {
    navigator.clipboard.writeText(address).then(
      () => say(`Address for ${name} copied`),
      () => sayError("The browser does not let this page copy; select the address"),
    );
  });
  return h(
    "section",
    { class: "editors-one", "aria-label": name },
    h("h2", {}, name),
    h("p", {}, where),
    h("div", { class: "editors-address" }, h("code", { "data-testid": `address-${path}` }, address), copy),
  );
}
