// ovsam page, made by page/build.mjs from sources sha256:8f2eff7e85e6b1b7d4ff27bf47a05fdd4027f13f87f53b1694ba38d187389099
"use strict";
(() => {
  // src/shared/dom.ts
  function h(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }
  function byId(id) {
    const found = document.getElementById(id);
    if (!found) throw new Error(`the page has no element #${id}`);
    return found;
  }
  function setAttributes(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
      else if (value === null || value === void 0 || value === false) element.removeAttribute(name);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  function fill(element, attributes, children) {
    setAttributes(element, attributes);
    for (const child of children) {
      if (child === null || child === void 0 || child === false) continue;
      element.append(typeof child === "number" ? String(child) : child);
    }
    return element;
  }

  // src/demo/mount.ts
  function mount(root, start) {
    root.append(h("pre", { "data-testid": "demo" }, JSON.stringify(start, null, 2)));
  }

  // src/gallery/mount.ts
  function mount2(root, start) {
    root.append(h("pre", { "data-testid": "gallery" }, JSON.stringify(start, null, 2)));
  }

  // src/results/mount.ts
  function mount3(root, start) {
    root.append(h("pre", { "data-testid": "results" }, JSON.stringify(start, null, 2)));
  }

  // src/shared/theme.ts
  var KEY = "ovsam-theme";
  function startTheme() {
    apply(readChoice());
  }
  function apply(theme) {
    if (theme) document.documentElement.dataset["theme"] = theme;
    else delete document.documentElement.dataset["theme"];
  }
  function readChoice() {
    try {
      const kept = localStorage.getItem(KEY);
      return kept === "light" || kept === "dark" ? kept : null;
    } catch {
      return null;
    }
  }

  // src/main.ts
  var mounts = {
    demo: mount,
    gallery: mount2,
    results: mount3
  };
  function main() {
    startTheme();
    const start = JSON.parse(byId("start").textContent ?? "");
    const kind = String(start.kind);
    const root = byId("root");
    const mount4 = Object.hasOwn(mounts, kind) ? mounts[kind] : void 0;
    root.replaceChildren();
    if (mount4) mount4(root, start);
    else root.append(h("p", { role: "alert" }, `This page has no view of the kind ${kind}.`));
  }
  main();
})();
