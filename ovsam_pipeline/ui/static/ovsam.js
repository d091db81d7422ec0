// ovsam page, made by page/build.mjs from sources sha256:d4bfb002fb75bc82df83c15e9c85dbcd178e96b104c635e784eb54ede016bd02
"use strict";
(() => {
  // src/shared/dom.ts
  var SVG = "http://www.w3.org/2000/svg";
  function h(tag, attributes = {}, ...children) {
    return fill(document.createElement(tag), attributes, children);
  }
  function svg(tag, attributes = {}, ...children) {
    return fill(document.createElementNS(SVG, tag), attributes, children);
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

  // src/shared/api.ts
  var ApiError = class extends Error {
    constructor(message, status) {
      super(message);
      this.status = status;
      this.name = "ApiError";
    }
    status;
  };
  async function getJson(path, signal) {
    return await (await request(path, { signal })).json();
  }
  async function getBytes(path, signal) {
    return (await request(path, { signal })).arrayBuffer();
  }
  async function postJson(path, body, signal) {
    const headers = { "Content-Type": "application/json" };
    const answer = await request(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    return await answer.json();
  }
  function isAbort(error) {
    return error instanceof DOMException && error.name === "AbortError";
  }
  function describe(error) {
    return error instanceof Error ? error.message : String(error);
  }
  async function request(path, options) {
    let answer;
    try {
      const { signal, ...rest } = options;
      answer = await fetch(path, signal ? { ...rest, signal } : rest);
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError("The server does not answer. Is the command still running?", 0);
    }
    if (answer.ok) return answer;
    throw new ApiError(await readSentence(answer), answer.status);
  }
  async function readSentence(answer) {
    try {
      const told = await answer.json();
      if (typeof told.error === "string") return told.error;
    } catch {
    }
    return `The server answered with status ${answer.status}.`;
  }

  // src/shared/keys.ts
  var NAMES = {
    " ": "Space",
    ArrowLeft: "\u2190",
    ArrowRight: "\u2192",
    ArrowUp: "\u2191",
    ArrowDown: "\u2193",
    Escape: "Esc"
  };
  function listenToKeys(keys, within = document.body) {
    const map = new Map(keys.map((key) => [key.key, key]));
    const handle = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
      if (isTyping(event.target) || isBehindDialog(within)) return;
      const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (name === "?") {
        event.preventDefault();
        showKeys(keys);
        return;
      }
      const found = (event.shiftKey ? map.get(`Shift+${name}`) : void 0) ?? map.get(name);
      if (!found) return;
      event.preventDefault();
      found.run(event);
    };
    document.addEventListener("keydown", handle);
    return () => document.removeEventListener("keydown", handle);
  }
  function showKeys(keys) {
    const rows = keys.filter((key) => key.shown !== "").map(
      (key) => h("tr", {}, h("td", {}, h("kbd", {}, key.shown ?? nameKey(key.key))), h("td", {}, key.about))
    );
    const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
    const dialog = h(
      "dialog",
      { class: "keys", "aria-label": "Keys", "data-testid": "keys", onclose: () => dialog.remove() },
      h("h2", {}, "Keys"),
      h("table", {}, h("tbody", {}, ...rows)),
      h("p", {}, close)
    );
    document.body.append(dialog);
    dialog.showModal();
  }
  function nameKey(key) {
    return key.split("+").map((part) => NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join("+");
  }
  function isTyping(target) {
    if (!(target instanceof HTMLElement)) return false;
    if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
    return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
  }
  function isBehindDialog(within) {
    const open = [...document.querySelectorAll("dialog:modal")].at(-1);
    return open !== void 0 && !open.contains(within);
  }

  // src/shared/toast.ts
  var SECONDS = { status: 5, error: 12 };
  var regions;
  function say(text) {
    show(text, "status");
  }
  function sayError(text) {
    show(text, "error");
  }
  function show(text, kind) {
    const region = findRegions()[kind];
    const close = h("button", { type: "button", class: "toast-close", "aria-label": "Dismiss", onclick: () => toast.remove() }, "\xD7");
    const toast = h("div", { class: `toast toast-${kind}`, "data-testid": `toast-${kind}` }, h("span", {}, text), close);
    while (region.childElementCount >= 3) region.firstElementChild?.remove();
    region.append(toast);
    setTimeout(() => toast.remove(), SECONDS[kind] * 1e3);
  }
  function findRegions() {
    if (!regions || !regions.status.isConnected) {
      regions = { status: h("div", { "aria-live": "polite" }), error: h("div", { "aria-live": "assertive" }) };
      document.body.append(h("div", { class: "toasts" }, regions.error, regions.status));
    }
    const host = document.querySelector("dialog:modal") ?? document.body;
    const box = regions.status.parentElement;
    if (box.parentElement !== host) host.append(box);
    return regions;
  }

  // src/shared/theme.ts
  var KEY = "ovsam-theme";
  function startTheme() {
    apply(readChoice());
  }
  function buildThemeSwitch() {
    const button = h("button", {
      type: "button",
      class: "quiet",
      "data-testid": "theme",
      onclick: () => {
        const other = current() === "dark" ? "light" : "dark";
        apply(other);
        keepChoice(other);
        name();
      }
    });
    const name = () => {
      const other = current() === "dark" ? "light" : "dark";
      button.replaceChildren(other === "dark" ? "Dark" : "Light");
      button.setAttribute("aria-label", `Switch to the ${other} theme`);
    };
    name();
    return button;
  }
  function current() {
    const set = document.documentElement.dataset["theme"];
    if (set === "light" || set === "dark") return set;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
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
  function keepChoice(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
    }
  }

  // src/shared/overlay.ts
  var Overlay = class {
    constructor(options) {
      this.options = options;
      this.names = options.names ?? "active";
      this.element = svg("svg", {
        class: "overlay",
        viewBox: `0 0 ${options.width} ${options.height}`,
        preserveAspectRatio: "xMidYMid meet",
        "data-testid": "overlay",
        "aria-hidden": "true"
      });
      this.element.append(this.masks, this.labels);
      this.sizes.observe(this.element);
    }
    options;
    element;
    drawn = [];
    masks = svg("g");
    labels = svg("g", { class: "overlay-labels" });
    selected = null;
    hovered = null;
    names;
    sizes = new ResizeObserver(() => this.placeLabels());
    /** Replaces what is drawn; large objects lie below small ones. */
    setObjects(objects) {
      const area = (o) => o.bbox[2] * o.bbox[3];
      const order = [...objects].sort((a, b) => area(b) - area(a));
      this.drawn = order.map((object) => ({ object, group: this.drawObject(object), label: drawLabel(object) }));
      this.masks.replaceChildren(...this.drawn.map((d) => d.group));
      this.labels.replaceChildren(...this.drawn.map((d) => d.label));
      this.mark();
    }
    /** Marks one object by its key; null for none. */
    setSelected(key) {
      this.selected = key;
      this.mark();
    }
    /** Chooses which objects show their names. */
    setNames(names) {
      this.names = names;
      this.mark();
    }
    /** Shows or hides masks and boxes. */
    setVisible(what) {
      if (what.masks !== void 0) this.element.classList.toggle("no-masks", !what.masks);
      if (what.boxes !== void 0) this.element.classList.toggle("with-boxes", what.boxes);
    }
    /** Shows a part of the image, in its pixels. */
    setView(view) {
      this.element.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
      this.placeLabels();
    }
    /** Returns the point of the original image under a pointer; null outside it. */
    toImage(event) {
      const matrix = this.element.getScreenCTM();
      if (!matrix) return null;
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      return x < 0 || y < 0 || x >= this.options.width || y >= this.options.height ? null : { x, y };
    }
    /** Returns how many pixels of the screen one of the image has. */
    scale() {
      return this.element.getScreenCTM()?.a ?? 1;
    }
    /** Stops watching the size; call it when the overlay is removed. */
    destroy() {
      this.sizes.disconnect();
      this.element.remove();
    }
    drawObject(object) {
      const [x, y, width, height] = object.bbox;
      const group = svg("g", {
        class: object.path ? "object" : "object is-box",
        color: object.colour,
        "data-key": object.key,
        onpointerenter: () => this.hover(object),
        onpointerleave: () => this.hover(null),
        onclick: (event) => this.options.onSelect?.(object, event)
      });
      if (object.path) {
        group.append(svg("path", { class: "rim", d: object.path, "fill-rule": "evenodd" }));
        group.append(svg("path", { class: "mask", d: object.path, "fill-rule": "evenodd" }));
      }
      group.append(svg("rect", { class: "box", x, y, width, height }));
      return group;
    }
    hover(object) {
      this.hovered = object?.key ?? null;
      this.mark();
      this.options.onHover?.(object);
    }
    mark() {
      for (const { object, group, label } of this.drawn) {
        const isActive = object.key === this.selected || object.key === this.hovered;
        group.classList.toggle("is-selected", object.key === this.selected);
        group.classList.toggle("is-hovered", object.key === this.hovered);
        const isShown = this.names === "all" || this.names === "active" && isActive;
        label.classList.toggle("is-hidden", !isShown);
        label.classList.toggle("is-active", isActive);
        if (isActive) this.labels.append(label);
      }
      this.placeLabels();
    }
    /** Puts names above their objects at the size of text on screen, inside the view. */
    placeLabels() {
      const scale = this.scale();
      const view = this.element.viewBox.baseVal;
      for (const { object, label } of this.drawn) {
        if (label.classList.contains("is-hidden")) continue;
        const text = label.lastElementChild;
        const width = text.getComputedTextLength() + 8;
        label.firstElementChild?.setAttribute("width", String(width));
        const x = clamp(object.bbox[0], view.x, view.x + view.width - width / scale);
        const y = clamp(object.bbox[1] - 18 / scale, view.y, view.y + view.height - 18 / scale);
        label.setAttribute("transform", `translate(${x} ${y}) scale(${1 / scale})`);
      }
    }
  };
  function chooseInk(colour) {
    const part = (at) => {
      const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    };
    const luminance = 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
    return luminance > 0.179 ? "#000" : "#fff";
  }
  function buildChip(name, colour) {
    const dot = h("span", { class: "chip-dot", "aria-hidden": "true" });
    dot.style.setProperty("background-color", colour);
    return h("span", { class: "chip" }, dot, h("bdi", {}, name));
  }
  function drawLabel(object) {
    const score = object.score === null ? "" : ` ${object.score.toFixed(2)}`;
    const name = object.category.length > 40 ? `${object.category.slice(0, 39)}\u2026` : object.category;
    return svg(
      "g",
      { class: "label" },
      svg("rect", { height: 18, rx: 3, fill: object.colour }),
      svg("text", { x: 4, y: 13, fill: chooseInk(object.colour) }, `${name}${score}`)
    );
  }
  function clamp(value, least, most) {
    return Math.max(least, Math.min(value, most));
  }

  // src/gallery/format.ts
  var WHOLE = new Intl.NumberFormat("en");
  function formatCount(value) {
    return WHOLE.format(value);
  }
  function formatAmount(value, noun) {
    return `${formatCount(value)} ${noun}${value === 1 ? "" : "s"}`;
  }
  function formatShare(value) {
    return value === null || value === void 0 || Number.isNaN(value) ? "\u2013" : value.toFixed(2);
  }

  // src/gallery/cards.ts
  var IMAGE_CARD = { width: 168, height: 196, gap: 10 };
  var OBJECT_CARD = { width: 148, height: 208, gap: 10 };
  var SIDES = [256, 512, 1024, 2048];
  var SURROUNDINGS = 0.25;
  var LEAST_CROP = 24;
  function fillImageCard(card, facts) {
    const { image } = facts;
    const problem = facts.error ?? image?.error ?? null;
    const picture = h("div", { class: "card-picture" });
    if (problem !== null) {
      picture.append(h("p", { class: "card-problem error", "data-testid": "card-error" }, problem));
    } else {
      picture.append(buildThumbnail(facts.thumbnail(chooseSide(IMAGE_CARD.width)), picture));
      if (image) picture.append(drawObjects(image, facts.passes));
    }
    const risk = h("span", { class: "card-risk" }, Number.isNaN(facts.highestRisk) ? "" : `risk ${formatShare(facts.highestRisk)}`);
    markRisk(risk, facts.highestRisk);
    card.setAttribute("aria-label", describeImage(facts));
    card.replaceChildren(
      picture,
      h(
        "div",
        { class: "card-text" },
        h("div", { class: "card-name", title: image?.file_name }, h("bdi", {}, image ? shortenName(image.file_name) : "\u2026")),
        h("div", { class: "card-facts muted" }, describeCount(facts), risk)
      )
    );
  }
  function fillObjectCard(card, facts, object) {
    const picture = h("div", { class: "card-picture" });
    const { image } = facts;
    if (facts.error !== void 0) {
      picture.append(h("p", { class: "card-problem error" }, facts.error));
    } else if (image && object) {
      picture.append(drawCrop(image, object, facts.thumbnail));
    } else if (image) {
      picture.append(h("p", { class: "card-problem muted" }, "Not among the labels any more."));
    }
    const risk = h("span", { class: "card-risk" }, object?.risk == null ? "" : `risk ${formatShare(object.risk)}`);
    markRisk(risk, object?.risk ?? NaN);
    card.setAttribute("aria-label", object && image ? describeObject(object, image) : "loading");
    card.replaceChildren(
      picture,
      h(
        "div",
        { class: "card-text" },
        h("div", { class: "card-name" }, object ? buildChip(object.category, object.colour) : "\u2026"),
        h("div", { class: "card-facts muted" }, object?.score == null ? "" : `score ${formatShare(object.score)}`, risk),
        h("div", { class: "card-reason muted", title: object?.reason }, object?.verdict ?? object?.reason ?? "")
      )
    );
    card.classList.toggle("is-answered", object?.verdict != null);
  }
  function emptyCard(card) {
    for (const picture of card.querySelectorAll("img")) picture.removeAttribute("src");
    for (const picture of card.querySelectorAll("image")) picture.removeAttribute("href");
  }
  function findCrop(bbox, aspect) {
    const [left, top, boxWidth, boxHeight] = bbox;
    const width = Math.max(boxWidth * (1 + 2 * SURROUNDINGS), LEAST_CROP);
    const height = Math.max(boxHeight * (1 + 2 * SURROUNDINGS), LEAST_CROP);
    const cropWidth = Math.max(width, height * aspect);
    const cropHeight = cropWidth / aspect;
    return [left + boxWidth / 2 - cropWidth / 2, top + boxHeight / 2 - cropHeight / 2, cropWidth, cropHeight];
  }
  function shortenName(name) {
    const base = name.slice(name.lastIndexOf("/") + 1) || name;
    return base.length <= 28 ? base : `${base.slice(0, 12)}\u2026${base.slice(-14)}`;
  }
  function chooseSide(width) {
    const needed = width * Math.min(devicePixelRatio, 2);
    return SIDES.find((side) => side >= needed) ?? SIDES[SIDES.length - 1] ?? 0;
  }
  function buildThumbnail(address, picture) {
    return h("img", {
      src: address,
      alt: "",
      decoding: "async",
      draggable: "false",
      onerror: (event) => {
        if (!event.target.getAttribute("src")) return;
        event.target.remove();
        picture.append(h("p", { class: "card-problem muted", "data-testid": "card-gone" }, "The picture cannot be read any more."));
      }
    });
  }
  function drawObjects(image, passes) {
    const area = (object) => object.bbox[2] * object.bbox[3];
    const shapes = [...image.objects].sort((one, other) => area(other) - area(one)).map((object) => drawShape(object, passes(object) ? "mask" : "mask is-other"));
    return svg("svg", { class: "masks", viewBox: `0 0 ${image.width ?? 1} ${image.height ?? 1}`, "aria-hidden": "true" }, ...shapes);
  }
  function drawShape(object, kind) {
    if (object.path) {
      return svg("path", { class: kind, d: object.path, color: object.colour, "fill-rule": "evenodd" });
    }
    const [x, y, width, height] = object.bbox;
    return svg("rect", { class: `${kind} is-box`, x, y, width, height, color: object.colour });
  }
  function drawCrop(image, object, thumbnail) {
    const crop = findCrop(object.bbox, 1);
    const [width, height] = [image.width ?? 1, image.height ?? 1];
    const side = chooseSide(OBJECT_CARD.width * Math.max(width, height) / crop[2]);
    const picture = svg("image", { href: thumbnail(side), width, height, preserveAspectRatio: "none" });
    return svg(
      "svg",
      { class: "masks crop", viewBox: crop.join(" "), "aria-hidden": "true" },
      picture,
      drawShape(object, "mask")
    );
  }
  function markRisk(element, risk) {
    element.classList.toggle("is-high", risk >= 0.5);
  }
  function describeCount(facts) {
    if (facts.image?.status === "failed") return "failed";
    const count = formatAmount(facts.objects, "object");
    if (facts.difference === null) return count;
    return Number.isNaN(facts.difference) ? "in one run alone" : `${formatAmount(facts.difference, "difference")}`;
  }
  function describeImage(facts) {
    const risk = Number.isNaN(facts.highestRisk) ? "" : `, highest risk ${formatShare(facts.highestRisk)}`;
    const problem = facts.error ?? facts.image?.error;
    return `${facts.image?.file_name ?? "image"}: ${describeCount(facts)}${risk}${problem ? `: ${problem}` : ""}`;
  }
  function describeObject(object, image) {
    const parts = [`${object.category} in ${image.file_name}`];
    if (object.score !== null) parts.push(`score ${formatShare(object.score)}`);
    if (object.risk !== null) parts.push(`risk ${formatShare(object.risk)}`);
    if (object.reason !== null) parts.push(object.reason);
    if (object.verdict !== null) parts.push(object.verdict);
    return parts.join(", ");
  }

  // src/gallery/view.ts
  var RANGES = ["score", "risk", "margin"];
  var SORTS = ["risk", "score", "margin", "objects", "row", "name", "difference"];
  var REVIEWS = [
    "any",
    "unseen",
    "seen",
    "accepted",
    "renamed",
    "redrawn",
    "rejected",
    "added"
  ];
  var STATUSES = ["any", "labelled", "empty", "failed"];
  var DIFFERENCES = ["any", "different", "same", "alone"];
  var ANY = { low: 0, high: 1 };
  function isAny(range) {
    return range.low <= 0 && range.high >= 1;
  }
  function makeDefaultView(isComparison) {
    return {
      mode: "images",
      sort: isComparison ? "difference" : "risk",
      reversed: false,
      classes: [],
      ranges: { score: ANY, risk: ANY, margin: ANY },
      disagreement: false,
      review: "any",
      status: "any",
      error: "",
      difference: "any",
      name: "",
      open: null
    };
  }
  function clearFilters(view, initial) {
    return { ...initial, mode: view.mode, sort: view.sort, reversed: view.reversed, open: view.open };
  }
  function countFilters(view) {
    return [
      view.classes.length > 0,
      ...RANGES.map((name) => !isAny(view.ranges[name])),
      view.disagreement,
      view.review !== "any",
      view.status !== "any",
      view.error !== "",
      view.difference !== "any",
      view.name !== ""
    ].filter(Boolean).length;
  }
  function writeHash(view, initial) {
    const parts = new URLSearchParams();
    const keep = (name, value, usual) => {
      if (value !== usual) parts.set(name, value);
    };
    keep("mode", view.mode, initial.mode);
    keep("sort", view.sort, initial.sort);
    keep("reversed", view.reversed ? "1" : "", "");
    view.classes.forEach((name) => parts.append("class", name));
    for (const name of RANGES) {
      if (!isAny(view.ranges[name])) {
        parts.set(name, `${view.ranges[name].low}-${view.ranges[name].high}`);
      }
    }
    keep("disagreement", view.disagreement ? "1" : "", "");
    keep("review", view.review, "any");
    keep("status", view.status, "any");
    keep("error", view.error, "");
    keep("difference", view.difference, "any");
    keep("name", view.name, "");
    if (view.open !== null) {
      parts.set("open", [view.open.row, view.open.number ?? []].flat().join("."));
    }
    return parts.toString();
  }
  function readHash(hash, initial) {
    const parts = new URLSearchParams(hash.replace(/^#/, ""));
    const choose = (name, known, usual) => known.find((value) => value === parts.get(name)) ?? usual;
    return {
      mode: choose("mode", ["images", "objects"], initial.mode),
      sort: choose("sort", SORTS, initial.sort),
      reversed: parts.get("reversed") === "1",
      classes: [...new Set(parts.getAll("class"))],
      ranges: {
        score: readRange(parts.get("score")),
        risk: readRange(parts.get("risk")),
        margin: readRange(parts.get("margin"))
      },
      disagreement: parts.get("disagreement") === "1",
      review: choose("review", REVIEWS, "any"),
      status: choose("status", STATUSES, "any"),
      error: parts.get("error") ?? "",
      difference: choose("difference", DIFFERENCES, "any"),
      name: parts.get("name") ?? "",
      open: readPlace(parts.get("open"))
    };
  }
  function readRange(text) {
    const found = /^([\d.]+)-([\d.]+)$/.exec(text ?? "");
    const [low, high] = [Number(found?.[1]), Number(found?.[2])];
    return low >= 0 && low <= high && high <= 1 ? { low, high } : ANY;
  }
  function readPlace(text) {
    const found = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text ?? "");
    if (found === null) return null;
    return { row: Number(found[1]), number: found[2] === void 0 ? null : Number(found[2]) };
  }

  // src/gallery/filters.ts
  var MOST_ERRORS = 100;
  var TYPING_MS = 150;
  var Filters = class {
    element;
    parts;
    clear;
    constructor(index, categories, onChange, onClear) {
      this.parts = [
        buildNameField(onChange),
        buildClassList(index, categories, onChange),
        ...RANGES.filter((name) => index[name].some((value) => !Number.isNaN(value))).map(
          (name) => buildRange(name, onChange)
        ),
        ...buildChoices(index, onChange)
      ];
      this.clear = h("button", { type: "button", "data-testid": "clear", onclick: onClear }, "Clear all");
      this.element = h(
        "form",
        { class: "filters", "aria-label": "Filters", id: "filters", onsubmit: (event) => event.preventDefault() },
        ...this.parts.map((part) => part.element),
        this.clear
      );
    }
    /** Shows what is set, and what each choice would show. */
    update(view, choices) {
      for (const part of this.parts) part.update(view, choices);
      const set = countFilters(view);
      this.clear.disabled = set === 0;
      this.clear.replaceChildren(set === 0 ? "Clear all" : `Clear all (${set})`);
    }
  };
  function buildNameField(onChange) {
    let timer;
    const input = h("input", {
      type: "search",
      id: "filter-name",
      placeholder: "part of a path",
      autocomplete: "off",
      "data-testid": "filter-name",
      oninput: () => {
        clearTimeout(timer);
        timer = window.setTimeout(() => onChange({ name: input.value }), TYPING_MS);
      }
    });
    return {
      element: h("div", { class: "filter" }, h("label", { for: "filter-name" }, "File name"), input),
      update: (view) => {
        if (document.activeElement !== input) input.value = view.name;
      }
    };
  }
  function buildClassList(index, categories, onChange) {
    const total = new Uint32Array(categories.length);
    for (const category of index.category) total[category] = (total[category] ?? 0) + 1;
    const chosen = /* @__PURE__ */ new Set();
    const rows = categories.map((category, place) => {
      const count = h("span", { class: "count" });
      const box = h("input", {
        type: "checkbox",
        onchange: () => {
          if (box.checked) chosen.add(category.name);
          else chosen.delete(category.name);
          onChange({ classes: [...chosen] });
        }
      });
      const element = h("label", { class: "class-row", "data-testid": "class-row" }, box, buildChip(category.name, category.colour), count);
      return { place, category, box, count, element, shown: -1 };
    });
    rows.sort((one, other) => (total[other.place] ?? 0) - (total[one.place] ?? 0));
    const list = h("div", { class: "class-list", role: "group", "aria-label": "Classes", tabindex: -1 }, ...rows.map((row) => row.element));
    const search = h("input", {
      type: "search",
      id: "filter-class",
      placeholder: `find in ${formatCount(categories.length)} classes`,
      autocomplete: "off",
      "data-testid": "filter-class",
      oninput: () => {
        const wanted = search.value.trim().toLowerCase();
        for (const row of rows) row.element.hidden = !row.category.name.toLowerCase().includes(wanted);
      }
    });
    return {
      element: h("div", { class: "filter" }, h("label", { for: "filter-class" }, "Classes"), search, list),
      update: (view, choices) => {
        chosen.clear();
        for (const name of view.classes) chosen.add(name);
        for (const row of rows) {
          row.box.checked = chosen.has(row.category.name);
          const count = choices.classes[row.place] ?? 0;
          if (count === row.shown) continue;
          row.shown = count;
          row.count.replaceChildren(formatCount(count));
          row.element.classList.toggle("is-none", count === 0);
        }
      }
    };
  }
  var RANGE_TITLES = {
    risk: "Risk of being wrong",
    score: "Score",
    margin: "Margin to the next name"
  };
  function buildRange(name, onChange) {
    const bars = svg("svg", { class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" });
    const text = h("span", { class: "range-text muted" });
    const build = (bound) => h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": `${RANGE_TITLES[name]}, ${bound}`,
      "data-testid": `${name}-${bound}`,
      oninput: (event) => onChange({ ranges: { [name]: read(event.target) } })
    });
    const [low, high] = [build("lowest"), build("highest")];
    const read = (moved) => {
      const value = Number(moved.value);
      return moved === low ? { low: value, high: Math.max(value, Number(high.value)) } : { low: Math.min(value, Number(low.value)), high: value };
    };
    const element = h(
      "fieldset",
      { class: "filter range", "data-testid": `range-${name}` },
      h("legend", {}, RANGE_TITLES[name], text),
      bars,
      h("div", { class: "sliders" }, low, high)
    );
    return {
      element,
      update: (view, choices) => {
        const range = view.ranges[name];
        [low.value, high.value] = [String(range.low), String(range.high)];
        text.replaceChildren(isAny(range) ? "" : `${range.low.toFixed(2)} \u2013 ${range.high.toFixed(2)}`);
        drawHistogram(bars, choices.ranges[name], range);
      }
    };
  }
  function drawHistogram(element, counts, range) {
    const highest = Math.sqrt(counts.reduce((most, count) => Math.max(most, count), 1));
    const top = (count) => count === 0 ? 0 : Math.max(0.04, Math.sqrt(count) / highest);
    const draw = (isIn) => Array.from(counts, (count, bar) => {
      const middle = (bar + 0.5) / counts.length;
      if ((middle >= range.low && middle <= range.high) !== isIn || count === 0) return "";
      return `M${bar} 1V${(1 - top(count)).toFixed(3)}h.85V1z`;
    }).join("");
    element.setAttribute("viewBox", `0 0 ${counts.length} 1`);
    element.replaceChildren(svg("path", { class: "bar", d: draw(true) }), svg("path", { class: "bar is-out", d: draw(false) }));
  }
  var REVIEW_TEXTS = {
    any: "Any",
    unseen: "Not seen by a person",
    seen: "Seen by a person",
    accepted: "Accepted",
    renamed: "Renamed",
    redrawn: "Redrawn",
    rejected: "Rejected since the page was loaded",
    added: "Added"
  };
  var STATUS_TEXTS = {
    any: "Any",
    labelled: "With objects",
    empty: "Without objects",
    failed: "Failed"
  };
  var DIFFERENCE_TEXTS = {
    any: "Any",
    different: "Different",
    same: "Same",
    alone: "In one run alone"
  };
  function buildChoices(index, onChange) {
    const parts = [];
    if (index.flags.some((flags) => (flags & 2) !== 0)) parts.push(buildDisagreement(onChange));
    if (index.objects > 0) {
      parts.push(
        buildSelect(
          "review",
          "Answers",
          (view) => view.review,
          (value) => onChange({ review: value }),
          (choices) => REVIEWS.map((value, place) => ({ value, text: REVIEW_TEXTS[value], count: choices.reviews[place] ?? 0 }))
        )
      );
    }
    parts.push(
      buildSelect(
        "status",
        "Images",
        (view) => view.status,
        (value) => onChange({ status: value }),
        (choices) => STATUSES.map((value, place) => ({
          value,
          text: STATUS_TEXTS[value],
          count: place === 0 ? choices.statuses.reduce((sum, count) => sum + count, 0) : choices.statuses[place - 1] ?? 0
        }))
      )
    );
    if (index.errors.length > 0) parts.push(buildErrors(index, onChange));
    if (index.difference !== null) {
      parts.push(
        buildSelect(
          "difference",
          "Comparison",
          (view) => view.difference,
          (value) => onChange({ difference: value }),
          (choices) => DIFFERENCES.map((value, place) => ({
            value,
            text: DIFFERENCE_TEXTS[value],
            count: place === 0 ? choices.differences.reduce((sum, count) => sum + count, 0) : choices.differences[place - 1] ?? 0
          }))
        )
      );
    }
    return parts;
  }
  function buildDisagreement(onChange) {
    const count = h("span", { class: "count" });
    const box = h("input", {
      type: "checkbox",
      "data-testid": "filter-disagreement",
      onchange: () => onChange({ disagreement: box.checked })
    });
    return {
      element: h("label", { class: "filter class-row" }, box, h("span", {}, "Detector and model disagree"), count),
      update: (view, choices) => {
        box.checked = view.disagreement;
        count.replaceChildren(formatCount(choices.disagreement));
      }
    };
  }
  function buildErrors(index, onChange) {
    return buildSelect("error", "Why images failed", (view) => view.error, (error) => onChange({ error }), (choices) => [
      { value: "", text: "Any", count: choices.errors.reduce((sum, count) => sum + count, 0) },
      ...index.errors.map((error, place) => ({ value: error, text: error, count: choices.errors[place] ?? 0 })).sort((one, other) => other.count - one.count).slice(0, MOST_ERRORS)
    ]);
  }
  function buildSelect(name, title, get, set, list) {
    const id = `filter-${name}`;
    const field = h("select", { id, "data-testid": id, onchange: () => set(field.value) });
    let shown = "";
    return {
      element: h("div", { class: "filter" }, h("label", { for: id }, title), field),
      update: (view, choices) => {
        const value = get(view);
        const options = list(choices).filter((option) => option.count > 0 || option.value === value || option === list(choices)[0]);
        const texts = options.map((option) => `${option.text} (${formatCount(option.count)})`);
        if (texts.join("\n") !== shown) {
          shown = texts.join("\n");
          field.replaceChildren(...options.map((option, place) => h("option", { value: option.value }, texts[place])));
        }
        field.value = value;
      }
    };
  }
  function changeView(view, part) {
    return { ...view, ...part, ranges: { ...view.ranges, ...part.ranges } };
  }

  // src/gallery/index.ts
  var SEEN = 1;
  var DISAGREES = 2;
  var VERDICTS = ["none", "accepted", "renamed", "redrawn", "rejected", "added"];
  var NO_ERROR = 4294967295;
  var TYPES = {
    u8: Uint8Array,
    u16: Uint16Array,
    u32: Uint32Array,
    i32: Int32Array,
    f32: Float32Array
  };
  function parseIndex(bytes) {
    const { header, start } = readHeader(bytes);
    const read = (name, type) => {
      const place = header.columns[name];
      if (place === void 0 || place.type !== type) {
        throw new Error(`expected a column ${name} of type ${type} in the index; reload the page`);
      }
      const offset = start + place.offset;
      if (offset + place.length * TYPES[type].BYTES_PER_ELEMENT > bytes.byteLength) {
        throw new Error(`the index ends within its column ${name}; reload the page`);
      }
      return new TYPES[type](bytes, offset, place.length);
    };
    const status = read("status", "u8");
    const category = read("category", "u32");
    const index = {
      images: status.length,
      objects: category.length,
      errors: header.errors,
      status,
      error: read("error", "u32"),
      firstObject: read("first_object", "u32"),
      width: read("width", "i32"),
      height: read("height", "i32"),
      category,
      score: read("score", "f32"),
      risk: read("risk", "f32"),
      margin: read("margin", "f32"),
      flags: read("flags", "u8"),
      verdict: read("verdict", "u8"),
      difference: "difference" in header.columns ? read("difference", "f32") : null
    };
    if (index.firstObject.length !== index.images + 1 || (index.firstObject[index.images] ?? 0) !== index.objects) {
      throw new Error("the index names other objects than it has; reload the page");
    }
    return index;
  }
  function readHeader(bytes) {
    const length = bytes.byteLength < 4 ? 0 : new DataView(bytes).getUint32(0, true);
    if (length === 0 || 4 + length > bytes.byteLength) {
      throw new Error("expected the index of an output, got something else; reload the page");
    }
    const text = new TextDecoder().decode(new Uint8Array(bytes, 4, length));
    return { header: JSON.parse(text), start: Math.ceil((4 + length) / 8) * 8 };
  }
  function findImageOfObjects(index) {
    const owner = new Uint32Array(index.objects);
    for (let image = 0; image < index.images; image++) {
      owner.fill(image, index.firstObject[image], index.firstObject[image + 1]);
    }
    return owner;
  }

  // src/gallery/opinions.ts
  function buildOpinions(object) {
    const { opinions } = object;
    const rows = [
      ["Label", buildChip(object.category, object.colour)],
      ["Risk", joinKnown(object.risk === null ? null : formatShare(object.risk), object.reason)],
      ["Score", formatKnown(object.score)],
      ["Head", formatKnown(opinions.head_score)],
      ["CLIP", formatKnown(opinions.clip_score)],
      ["Model", joinKnown(opinions.model_category, formatKnown(opinions.model_score))],
      ["Detector", joinKnown(opinions.detector_category, formatKnown(opinions.detector_score))],
      ["Margin", formatKnown(opinions.margin)],
      ["Detector's margin", formatKnown(opinions.detector_margin)],
      ["Mask stability", formatKnown(opinions.mask_score)],
      ["Verdict", joinKnown(object.verdict, object.reviewed_by === null ? null : `by ${object.reviewed_by}`)]
    ];
    return h(
      "dl",
      { class: "opinions", "data-testid": "opinions" },
      ...rows.flatMap(
        ([term, value]) => value === null ? [] : [h("dt", {}, term), h("dd", {}, typeof value === "string" ? h("bdi", {}, value) : value)]
      )
    );
  }
  function formatKnown(value) {
    return value === null ? null : formatShare(value);
  }
  function joinKnown(...parts) {
    return parts.filter((part) => part !== null).join(", ") || null;
  }

  // src/gallery/stage.ts
  var PictureStage = class {
    constructor(image, options) {
      this.options = options;
      const [width, height] = [image.width ?? 1, image.height ?? 1];
      this.overlay = new Overlay({ width, height, onSelect: (object) => options.onSelect(object) });
      const picture = svg("image", { href: options.address, width, height, preserveAspectRatio: "none" });
      picture.addEventListener("error", () => void this.explain());
      this.element = h(
        "div",
        { class: "stage", "data-testid": "stage" },
        options.caption === null ? null : h("p", { class: "stage-caption" }, h("bdi", {}, options.caption))
      );
      this.element.prepend(this.overlay.element);
      this.setObjects(options.objects ?? []);
      this.overlay.element.prepend(picture);
      if (options.objects === null) this.tell("This run does not have the image.");
      if (options.address === "") this.tell("There is no picture of this image here.");
    }
    options;
    element;
    overlay;
    setObjects(objects) {
      this.overlay.setObjects(objects);
      const differing = new Set(objects.filter((object) => object.differs).map((object) => object.key));
      for (const group of this.overlay.element.querySelectorAll("[data-key]")) {
        group.classList.toggle("differs", differing.has(group.dataset["key"] ?? ""));
      }
    }
    show(shown) {
      this.overlay.setVisible({ masks: shown.masks, boxes: shown.boxes });
      this.overlay.setNames(shown.names ? "all" : "active");
      this.overlay.element.classList.toggle("no-others", !shown.others);
    }
    tell(sentence) {
      this.element.append(h("p", { class: "stage-problem", role: "status", "data-testid": "stage-problem" }, sentence));
    }
    /** An image element does not tell why it failed; the server does. */
    async explain() {
      const { address } = this.options;
      if (address === "" || !this.element.isConnected) return;
      try {
        await getBytes(address);
        this.tell("The picture cannot be shown.");
      } catch (error) {
        this.tell(describe(error));
      }
    }
  };

  // src/gallery/zoom.ts
  var MOST_PIXELS = 32;
  var STEP = 1.3;
  var CLICK_PIXELS = 4;
  var Zoom = class {
    /** All stages have one size on screen, and their pictures `width` x `height` pixels. */
    constructor(stages, width, height) {
      this.stages = stages;
      this.width = width;
      this.height = height;
      this.x = width / 2;
      this.y = height / 2;
      for (const { element } of stages) {
        element.addEventListener("wheel", (event) => this.handleWheel(event, element), { passive: false });
        element.addEventListener("pointerdown", (event) => this.handleDown(event));
        element.addEventListener("pointermove", (event) => this.handleMove(event, element));
        element.addEventListener("pointerup", (event) => this.pointers.delete(event.pointerId));
        element.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
        element.addEventListener("dblclick", () => this.fit());
        this.sizes.observe(element);
      }
    }
    stages;
    width;
    height;
    scale = 1;
    isFitted = true;
    x;
    y;
    pointers = /* @__PURE__ */ new Map();
    sizes = new ResizeObserver(() => this.isFitted ? this.fit() : this.apply());
    moved = 0;
    /** Shows the whole picture. */
    fit() {
      this.isFitted = true;
      const { width, height } = this.size();
      this.scale = Math.min(width / this.width, height / this.height) || 1;
      this.x = this.width / 2;
      this.y = this.height / 2;
      this.apply();
    }
    /** Shows a box of the picture (left, top, width, height) and what is around it. */
    showBox([left, top, boxWidth, boxHeight]) {
      const { width, height } = this.size();
      const scale = Math.min(width / boxWidth, height / boxHeight, MOST_PIXELS) / 2;
      this.zoom(scale / this.scale, this.x, this.y);
      this.move(left + boxWidth / 2, top + boxHeight / 2);
    }
    /** Zooms in (1) or out (-1) around the middle. */
    step(direction) {
      this.zoom(STEP ** direction, this.x, this.y);
    }
    /** Returns whether the press that just ended was a drag and not a click. */
    wasDragged() {
      return this.moved > CLICK_PIXELS;
    }
    destroy() {
      this.sizes.disconnect();
    }
    size() {
      const element = this.stages[0]?.element;
      return { width: element?.clientWidth ?? 1, height: element?.clientHeight ?? 1 };
    }
    /** Zooms by a factor; the point (x, y) of the picture stays where it is on screen. */
    zoom(factor, x, y) {
      const { width, height } = this.size();
      const fitted = Math.min(width / this.width, height / this.height);
      const scale = Math.max(fitted, Math.min(this.scale * factor, Math.max(MOST_PIXELS, fitted)));
      if (scale === fitted) {
        this.fit();
        return;
      }
      const ratio = this.scale / scale;
      this.isFitted = false;
      this.move(x + (this.x - x) * ratio, y + (this.y - y) * ratio, scale);
    }
    move(x, y, scale = this.scale) {
      const { width, height } = this.size();
      this.scale = scale;
      this.x = keepInside(x, width / scale, this.width);
      this.y = keepInside(y, height / scale, this.height);
      this.apply();
    }
    apply() {
      const size = this.size();
      const [width, height] = [size.width / this.scale, size.height / this.scale];
      if (!(width > 0 && height > 0)) return;
      for (const { overlay } of this.stages) {
        overlay.setView({ x: this.x - width / 2, y: this.y - height / 2, width, height });
      }
    }
    handleWheel(event, element) {
      event.preventDefault();
      const point = this.toPicture(event, element);
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 2e-3)), point.x, point.y);
    }
    handleDown(event) {
      if (event.button !== 0) return;
      if (this.pointers.size === 0) this.moved = 0;
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    }
    handleMove(event, element) {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = { x: event.clientX, y: event.clientY };
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const factor = distance(now, other) / Math.max(1, distance(before, other));
        const point = this.toPicture({ clientX: other.x, clientY: other.y }, element);
        this.zoom(factor, point.x, point.y);
      } else {
        this.move(this.x - (now.x - before.x) / this.scale, this.y - (now.y - before.y) / this.scale);
      }
      this.moved += distance(now, before);
      if (this.wasDragged()) element.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, now);
    }
    toPicture(event, element) {
      const box = element.getBoundingClientRect();
      return {
        x: this.x + (event.clientX - box.left - box.width / 2) / this.scale,
        y: this.y + (event.clientY - box.top - box.height / 2) / this.scale
      };
    }
  };
  function keepInside(middle, shown, whole) {
    return shown >= whole ? whole / 2 : Math.max(shown / 2, Math.min(middle, whole - shown / 2));
  }
  function distance(one, other) {
    return Math.hypot(one.x - other.x, one.y - other.y);
  }

  // src/gallery/large_view.ts
  var first = (objects) => objects[0];
  var last = (objects) => objects[objects.length - 1];
  var firstUnseen = (objects) => objects.find((object) => object.reviewed_by === null) ?? objects[0];
  var LargeView = class {
    constructor(options) {
      this.options = options;
      this.canAnswer = options.source.answer !== void 0 && !options.isBoxes;
      this.nameField = h("input", { list: "category-names", "aria-label": "New name", autocomplete: "off", "data-testid": "rename-field" });
      this.keys = this.listKeys();
      this.dialog = this.build();
      document.body.append(this.dialog);
      listenToKeys(this.keys, this.dialog);
    }
    options;
    dialog;
    title = h("h2", { class: "large-title" });
    position = h("span", { class: "muted", "data-testid": "large-position" });
    session = h("span", { class: "muted", role: "status", "data-testid": "session" });
    stages = h("div", { class: "stages" });
    list = h("ol", { class: "objects", "aria-label": "Objects by risk" });
    details = h("div", { class: "details" });
    announced = h("p", { class: "visually-hidden", "aria-live": "polite" });
    rename = h("form", { class: "rename", hidden: true });
    nameField;
    keys;
    canAnswer;
    walk = null;
    place = 0;
    image = null;
    objects = [];
    selected = null;
    drawn = [];
    zoom = null;
    shown = { masks: true, boxes: false, names: false, others: true };
    boxes = /* @__PURE__ */ new Map();
    answers = 0;
    control = new AbortController();
    /** What was asked for by keys, one after the other. */
    queue = Promise.resolve();
    get isOpen() {
      return this.dialog.open;
    }
    /** Shows a stop of a walk. */
    open(walk, stop) {
      this.walk = walk;
      if (!this.dialog.open) this.dialog.showModal();
      const choose = (objects) => objects.find((object) => object.number === stop.number) ?? objects[0];
      return this.go(stop, choose);
    }
    close() {
      if (this.dialog.open) this.dialog.close();
    }
    build() {
      const button = (text, name, run) => h("button", { type: "button", class: "quiet", "aria-label": name, title: name, onclick: run }, text);
      const header = h(
        "header",
        { class: "large-header" },
        this.title,
        this.position,
        this.session,
        h(
          "div",
          { class: "large-buttons" },
          button("\u2039", "Previous image (P)", () => this.moveImage(-1)),
          button("\u203A", "Next image (N)", () => this.moveImage(1)),
          button("?", "Keys (?)", () => showKeys(this.keys)),
          button("\xD7", "Close (Esc)", () => this.close())
        )
      );
      this.rename.append(this.nameField, h("button", { class: "primary", type: "submit" }, "Rename"));
      this.rename.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submitName();
      });
      this.nameField.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        this.hideRename();
      });
      const names = h("datalist", { id: "category-names" });
      this.nameField.addEventListener("focus", () => {
        if (names.childElementCount !== this.options.categories.length) {
          names.replaceChildren(...this.options.categories.map((value) => h("option", { value })));
        }
      });
      const panel = h(
        "aside",
        { class: "panel", "aria-label": "Objects" },
        this.buildToggles(),
        this.list,
        this.details,
        this.canAnswer ? this.buildAnswers() : null,
        this.rename,
        names,
        this.announced
      );
      return h(
        "dialog",
        {
          class: "large",
          "aria-label": "Image",
          "data-testid": "large",
          onclose: () => this.handleClose()
        },
        header,
        h("div", { class: "large-body" }, this.stages, panel)
      );
    }
    buildToggles() {
      const texts = this.options.isBoxes ? [["names", "Names"], ["others", "Other objects"]] : [["masks", "Masks"], ["boxes", "Boxes"], ["names", "Names"], ["others", "Other objects"]];
      const toggles = texts.map(([name, text]) => {
        const box = h("input", {
          type: "checkbox",
          "data-testid": `toggle-${name}`,
          onchange: () => this.toggle(name, box.checked)
        });
        box.checked = this.shown[name];
        this.boxes.set(name, box);
        return h("label", {}, box, text);
      });
      return h("div", { class: "toggles", role: "group", "aria-label": "What is drawn" }, ...toggles);
    }
    buildAnswers() {
      const button = (text, key, run) => h("button", { type: "button", "data-testid": text.toLowerCase(), onclick: run }, `${text} `, h("kbd", {}, key));
      return h(
        "div",
        { class: "answers", role: "group", "aria-label": "Answer" },
        button("Accept", "A", () => this.answer("accepted")),
        button("Reject", "X", () => this.answer("rejected")),
        button("Rename", "R", () => this.showRename())
      );
    }
    listKeys() {
      const answers = this.canAnswer ? [
        { key: "a", about: "accept the object", run: () => this.answer("accepted") },
        { key: "x", about: "reject it: there is no such object", run: () => this.answer("rejected") },
        { key: "r", about: "rename it", run: () => this.showRename() }
      ] : [];
      return [
        ...answers,
        { key: "j", about: "next object", run: () => this.moveObject(1) },
        { key: "k", about: "previous object", run: () => this.moveObject(-1) },
        { key: "n", about: "next image", run: () => this.moveImage(1) },
        { key: "p", about: "previous image", run: () => this.moveImage(-1) },
        ...this.options.isBoxes ? [] : [{ key: "u", about: "next object that no person has seen", run: () => this.moveUnseen() }],
        { key: "m", about: "show or hide masks", run: () => this.toggle("masks", !this.shown.masks) },
        { key: "o", about: "show or hide the other objects", run: () => this.toggle("others", !this.shown.others) },
        { key: "z", about: "zoom to the object", run: () => this.selected && this.zoom?.showBox(this.selected.bbox) },
        { key: "+", about: "zoom in; the wheel does, too", run: () => this.zoom?.step(1) },
        { key: "=", about: "", shown: "", run: () => this.zoom?.step(1) },
        { key: "-", about: "zoom out", run: () => this.zoom?.step(-1) },
        { key: "0", about: "whole picture", run: () => this.zoom?.fit() },
        { key: "?", about: "these keys", run: () => void 0 }
      ];
    }
    toggle(name, value) {
      this.shown = { ...this.shown, [name]: value };
      const box = this.boxes.get(name);
      if (box) box.checked = value;
      for (const stage of this.drawn) stage.show(this.shown);
    }
    /** Goes to a stop, when all that was asked for before is done. */
    go(stop, choose) {
      return this.enqueue(() => this.show(stop, choose));
    }
    enqueue(step) {
      this.queue = this.queue.then(step).catch((error) => {
        if (!isAbort(error)) sayError(describe(error));
      });
      return this.queue;
    }
    async show(stop, choose) {
      if (!stop || !this.dialog.open) return;
      this.place = stop.place;
      this.hideRename();
      if (this.image?.row !== stop.row) {
        this.control.abort();
        this.control = new AbortController();
        try {
          this.setImage(await this.options.loader.load(stop.row, this.control.signal));
        } catch (error) {
          this.showProblem(stop, describe(error));
          throw error;
        }
      }
      this.selectObject(choose(this.objects) ?? null);
      this.prepareNext();
    }
    setImage(image) {
      const isSame = this.image?.row === image.row;
      this.image = image;
      this.objects = sortByRisk(image.objects);
      this.title.replaceChildren(h("bdi", { title: image.file_name }, image.file_name));
      if (isSame) this.drawn[0]?.setObjects(image.objects);
      else this.buildStages(image);
      this.listObjects();
    }
    buildStages(image) {
      this.zoom?.destroy();
      this.zoom = null;
      for (const stage of this.drawn) stage.overlay.destroy();
      this.drawn = [];
      const problem = image.error ?? (image.width && image.height ? null : "The size of this image is not known.");
      if (problem !== null) {
        this.stages.replaceChildren(h("p", { class: "stage-problem error", "data-testid": "stage-problem" }, problem));
        return;
      }
      const { outputs, source } = this.options;
      const address = source.picture(image.row);
      const onSelect = (object) => {
        if (!this.zoom?.wasDragged()) this.pick(object);
      };
      const build = (caption, objects) => new PictureStage(image, { address, caption, objects, onSelect });
      this.drawn = outputs ? [build(outputs[0], image.objects), build(outputs[1], image.other_objects ?? null)] : [build(null, image.objects)];
      this.stages.replaceChildren(...this.drawn.map((stage) => stage.element));
      for (const stage of this.drawn) stage.show(this.shown);
      this.zoom = new Zoom(this.drawn, image.width ?? 1, image.height ?? 1);
      this.zoom.fit();
    }
    showProblem(stop, sentence) {
      this.image = null;
      this.objects = [];
      this.selected = null;
      this.zoom?.destroy();
      this.zoom = null;
      this.drawn = [];
      this.title.replaceChildren(`Row ${stop.row}`);
      this.stages.replaceChildren(h("p", { class: "stage-problem error" }, sentence));
      this.list.replaceChildren();
      this.details.replaceChildren();
    }
    listObjects() {
      const only = this.image?.other_objects?.filter((object) => object.differs) ?? [];
      this.list.replaceChildren(
        ...this.objects.map((object) => this.buildRow(object)),
        ...only.length > 0 ? [h("li", { class: "list-title muted" }, h("bdi", {}, `Different in ${this.options.outputs?.[1] ?? ""}`))] : [],
        ...only.map((object) => this.buildRow(object, true))
      );
      if (this.objects.length === 0) {
        const text = this.image?.status === "failed" ? "No labels: the image failed." : "No objects.";
        this.list.prepend(h("li", { class: "muted" }, text));
      }
      if (this.image && !this.options.ids.fits(this.image)) {
        this.list.prepend(h("li", { class: "muted", role: "status" }, "The labels of this image changed since the page was loaded; reload it to filter by them."));
      }
    }
    buildRow(object, isOther = false) {
      const risk = object.risk === null ? "" : `risk ${formatShare(object.risk)}`;
      return h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: object.differs ? "object-row differs" : "object-row",
            "data-testid": isOther ? "other-row" : "object-row",
            "data-number": isOther ? null : object.number,
            "data-other": isOther ? object.number : null,
            onclick: () => this.pick(object)
          },
          buildChip(object.category, object.colour),
          h("span", { class: "muted" }, object.differs && !isOther ? "differs " : "", risk, object.verdict === null ? "" : " \u2713")
        )
      );
    }
    /** Selects what was clicked: an object of this run, or one of the other's to look at. */
    pick(object) {
      const own = this.image?.objects[object.number] === object;
      if (own) {
        this.place = this.walk?.findObject(this.image?.row ?? -1, object.number) ?? this.place;
        this.selectObject(object);
      } else {
        this.showSelected(object, true);
      }
    }
    selectObject(object) {
      this.selected = object;
      if (this.image) this.options.onMove({ row: this.image.row, number: object?.number ?? null });
      this.showPosition();
      this.showSelected(object, false);
      if (object) this.announced.replaceChildren(describeObject2(object));
    }
    showSelected(object, isOther) {
      const [own, other] = this.drawn;
      own?.overlay.setSelected(isOther ? null : object?.key ?? null);
      other?.overlay.setSelected(isOther ? object?.key ?? null : null);
      for (const row of this.list.querySelectorAll(".object-row")) {
        const number = isOther ? row.dataset["other"] : row.dataset["number"];
        const isSelected = object !== null && number === String(object.number);
        if (isSelected) row.setAttribute("aria-current", "true");
        else row.removeAttribute("aria-current");
        if (isSelected) row.scrollIntoView({ block: "nearest" });
      }
      this.details.replaceChildren(...object ? [buildOpinions(object)] : []);
    }
    showPosition() {
      if (!this.walk) return;
      const noun = this.walk.isByObject ? "object" : "image";
      this.position.replaceChildren(`${formatCount(this.place + 1)} of ${formatAmount(this.walk.length, noun)}`);
    }
    /** Reads what comes next, so that it is there at once. */
    prepareNext() {
      const next = this.walk?.findImage(this.place, 1);
      if (!next || !this.image) return;
      this.options.loader.load(next.row).catch(() => void 0);
      const address = this.options.source.picture(next.row);
      if (address.startsWith("picture/")) new Image().src = address;
    }
    moveImage(direction) {
      void this.enqueue(async () => {
        const stop = this.walk?.findImage(this.place, direction) ?? null;
        if (!stop) say(direction > 0 ? "This is the last image." : "This is the first image.");
        await this.show(stop, stop?.number == null ? first : byNumber(stop.number));
      });
    }
    moveObject(direction) {
      void this.enqueue(() => this.stepObject(direction));
    }
    async stepObject(direction) {
      if (!this.walk) return;
      const inImage = this.walk.isByObject ? void 0 : this.objects[this.findSelected() + direction];
      if (inImage && this.selected) {
        this.selectObject(inImage);
        return;
      }
      const stop = this.walk.findObjectFrom(this.place, direction);
      if (!stop) say(direction > 0 ? "This is the last object." : "This is the first object.");
      await this.show(stop, stop?.number == null ? direction > 0 ? first : last : byNumber(stop.number));
    }
    findSelected() {
      return this.objects.findIndex((object) => object.number === this.selected?.number);
    }
    moveUnseen() {
      void this.enqueue(async () => {
        if (!this.walk) return;
        const here = this.walk.isByObject ? [] : this.objects.slice(this.findSelected() + 1);
        const unseen = here.find((object) => object.reviewed_by === null);
        if (unseen) {
          this.selectObject(unseen);
          return;
        }
        const stop = this.walk.findUnseen(this.place);
        if (!stop) say("A person has seen every object here.");
        await this.show(stop, stop?.number == null ? firstUnseen : byNumber(stop.number));
      });
    }
    showRename() {
      if (!this.canAnswer || !this.selected) return;
      this.rename.hidden = false;
      this.nameField.value = this.selected.category;
      this.nameField.focus();
      this.nameField.select();
    }
    hideRename() {
      if (this.rename.hidden) return;
      this.rename.hidden = true;
      this.dialog.focus();
    }
    submitName() {
      const name = this.nameField.value.trim();
      if (name === "") {
        sayError("expected a name; type one, or press Esc");
        return;
      }
      this.answer(name === this.selected?.category ? "accepted" : "renamed", name);
    }
    answer(verdict, category) {
      void this.enqueue(async () => {
        const { image, selected } = this;
        if (!image || !selected || !this.options.source.answer || this.options.isBoxes) return;
        const { row } = image;
        const answer = { row, number: selected.number, key: selected.key, verdict };
        const next = this.objects[this.findSelected() + 1] ?? null;
        try {
          const after = await this.options.source.answer(verdict === "renamed" ? { ...answer, category: category ?? "" } : answer);
          this.takeAnswer(image, after);
        } catch (error) {
          await this.recover(image, error);
          return;
        }
        this.hideRename();
        say(verdict === "renamed" ? `Renamed to ${category ?? ""}.` : verdict === "accepted" ? "Accepted." : "Rejected.");
        await this.moveOn(next);
      });
    }
    takeAnswer(before, after) {
      this.answers++;
      this.session.replaceChildren(`${formatAmount(this.answers, "answer")} this session`);
      this.options.ids.update(before, after);
      this.options.loader.put(after);
      this.setImage(after);
      this.options.onAnswer(before.row);
    }
    /** Selects the object that came after the one answered, in this image or in the next. */
    async moveOn(next) {
      const here = this.walk?.isByObject ? void 0 : this.objects.find((object) => object.key === next?.key);
      if (here) {
        this.selectObject(here);
        return;
      }
      const stop = this.walk?.findObjectFrom(this.place, 1) ?? null;
      if (stop) {
        await this.show(stop, stop.number === null ? first : byNumber(stop.number));
        return;
      }
      say("That was the last object.");
      this.selectObject(this.objects.find((object) => object.key === this.selected?.key) ?? last(this.objects) ?? null);
    }
    /** After a refusal: says why, and shows the labels as they are now. */
    async recover(image, error) {
      sayError(describe(error));
      const key = this.selected?.key;
      const [now] = await this.options.source.images([image.row]);
      if (!now) return;
      this.options.ids.update(image, now);
      this.options.loader.put(now);
      this.setImage(now);
      this.selectObject(this.objects.find((object) => object.key === key) ?? first(this.objects) ?? null);
    }
    handleClose() {
      this.control.abort();
      const stop = { place: this.place, row: this.image?.row ?? -1, number: this.selected?.number ?? null };
      this.image = null;
      this.options.onClose(stop);
    }
  };
  function sortByRisk(objects) {
    return [...objects].sort((one, other) => (other.risk ?? -1) - (one.risk ?? -1));
  }
  function byNumber(number) {
    return (objects) => objects.find((object) => object.number === number) ?? objects[0];
  }
  function describeObject2(object) {
    const parts = [object.category];
    if (object.risk !== null) parts.push(`risk ${formatShare(object.risk)}`);
    if (object.reason !== null) parts.push(object.reason);
    if (object.verdict !== null) parts.push(object.verdict);
    return parts.join(", ");
  }

  // src/gallery/source.ts
  var SLICE = 50;
  var ServerSource = class {
    answer;
    constructor(canAnswer) {
      if (canAnswer) this.answer = (answer) => postJson("api/answers", answer);
    }
    async index() {
      return parseIndex(await getBytes("api/index"));
    }
    images(rows, signal) {
      return getJson(`api/images?rows=${rows.join(",")}`, signal);
    }
    thumbnail(row, side) {
      return `thumbnail/${row}?side=${side}`;
    }
    picture(row) {
      return `picture/${row}`;
    }
    names() {
      return getJson("api/names");
    }
  };
  var EmbeddedSource = class {
    constructor(page = document) {
      this.page = page;
      this.rows = JSON.parse(this.read("images"));
    }
    page;
    rows;
    index() {
      const text = atob(this.read("index").trim());
      const bytes = new Uint8Array(text.length);
      for (let place = 0; place < text.length; place++) {
        bytes[place] = text.charCodeAt(place);
      }
      return Promise.resolve(parseIndex(bytes.buffer));
    }
    images(rows) {
      return Promise.resolve(rows.map((row) => this.get(row)));
    }
    thumbnail(row) {
      return this.get(row).thumbnail ?? "";
    }
    picture(row) {
      return this.thumbnail(row);
    }
    names() {
      return Promise.resolve(this.rows.map((image) => image.file_name));
    }
    get(row) {
      const image = this.rows[row];
      if (image === void 0) {
        throw new Error(`the report has ${this.rows.length} images, and none in row ${row}`);
      }
      return image;
    }
    read(id) {
      return this.page.getElementById(id)?.textContent ?? "";
    }
  };

  // src/gallery/loader.ts
  var MOST_KEPT = 1e3;
  var SETTLING_MS = 60;
  var Loader = class {
    /** `onChange` is called with rows that came, or that could not be read. */
    constructor(source, onChange) {
      this.source = source;
      this.onChange = onChange;
    }
    source;
    onChange;
    kept = /* @__PURE__ */ new Map();
    loading = /* @__PURE__ */ new Set();
    failed = /* @__PURE__ */ new Map();
    wanted = /* @__PURE__ */ new Set();
    timer;
    lastWanted = -Infinity;
    /** Returns a row where it is here already. */
    get(row) {
      return this.kept.get(row);
    }
    /** Returns why a row could not be read; undefined where it was not tried or is here. */
    getError(row) {
      return this.failed.get(row);
    }
    /** Keeps a row that came otherwise: with an answer. */
    put(image) {
      this.keep([image]);
    }
    /** Says which rows are in view; those asked for before and no longer wanted are cancelled. */
    want(rows) {
      this.wanted = new Set(rows);
      for (const slice of this.loading) {
        if (!rows.some((row) => slice.rows.has(row))) {
          slice.control.abort();
          this.loading.delete(slice);
        }
      }
      clearTimeout(this.timer);
      const isScrolling = performance.now() - this.lastWanted < SETTLING_MS;
      this.lastWanted = performance.now();
      if (this.listMissing().length === 0) return;
      if (isScrolling) this.timer = window.setTimeout(() => this.request(), SETTLING_MS);
      else this.request();
    }
    /** Returns one row, which is asked for on its own where it is not here; throws as the source does. */
    async load(row, signal) {
      const here = this.kept.get(row);
      if (here) return here;
      const [image] = await this.source.images([row], signal);
      if (!image) throw new Error(`there is no image in row ${row} of this output`);
      this.keep([image]);
      return image;
    }
    listMissing() {
      const pending = [...this.loading];
      return [...this.wanted].filter(
        (row) => !this.kept.has(row) && !pending.some((slice) => slice.rows.has(row))
      );
    }
    request() {
      const missing = this.listMissing();
      for (let start = 0; start < missing.length; start += SLICE) {
        void this.requestSlice(missing.slice(start, start + SLICE));
      }
    }
    async requestSlice(rows) {
      const slice = { rows: new Set(rows), control: new AbortController() };
      this.loading.add(slice);
      try {
        this.keep(await this.source.images(rows, slice.control.signal));
      } catch (error) {
        if (isAbort(error)) return;
        rows.forEach((row) => this.failed.set(row, describe(error)));
      } finally {
        this.loading.delete(slice);
      }
      this.onChange(rows);
    }
    keep(images) {
      for (const image of images) {
        this.failed.delete(image.row);
        this.kept.delete(image.row);
        this.kept.set(image.row, image);
      }
      for (const row of this.kept.keys()) {
        if (this.kept.size <= MOST_KEPT) break;
        if (!this.wanted.has(row)) this.kept.delete(row);
      }
    }
  };

  // src/gallery/names.ts
  var folded = null;
  function findNames(names, text) {
    const wanted = text.toLowerCase();
    if (folded?.of !== names) folded = { of: names, names: names.map((name) => name.toLowerCase()) };
    return Uint8Array.from(folded.names, (name) => name.includes(wanted) ? 1 : 0);
  }
  function rankNames(names) {
    const order = names.map((_, place) => place);
    order.sort((one, other) => {
      const [a, b] = [names[one] ?? "", names[other] ?? ""];
      return a < b ? -1 : a > b ? 1 : one - other;
    });
    const ranks = new Float32Array(names.length);
    order.forEach((place, rank) => ranks[place] = rank);
    return ranks;
  }

  // src/gallery/object_ids.ts
  var ObjectIds = class {
    constructor(index, categories) {
      this.index = index;
      this.categories = categories;
    }
    index;
    categories;
    changed = /* @__PURE__ */ new Map();
    /** Returns the objects of a row by their numbers; -1 where the index does not know them. */
    of(row) {
      const known = this.changed.get(row);
      if (known) return known;
      const start = this.index.firstObject[row] ?? 0;
      const length = (this.index.firstObject[row + 1] ?? start) - start;
      return Array.from({ length }, (_, number) => start + number);
    }
    /** Returns whether a row has as many objects as the index says. */
    fits(image) {
      return this.of(image.row).length === image.objects.length;
    }
    /** Brings the index up to date with a row that came back with an answer. */
    update(before, after) {
      const ids = this.of(before.row);
      const byKey = /* @__PURE__ */ new Map();
      before.objects.forEach((object, number) => {
        byKey.set(object.key, [...byKey.get(object.key) ?? [], ids[number] ?? -1]);
      });
      const now = after.objects.map((object) => byKey.get(object.key)?.shift() ?? -1);
      this.changed.set(before.row, now);
      for (const id of [...byKey.values()].flat()) this.mark(id, "rejected");
      after.objects.forEach((object, number) => {
        const id = now[number] ?? -1;
        if (id < 0) return;
        this.index.category[id] = this.findCategory(object.category);
        this.index.risk[id] = object.risk ?? NaN;
        if (object.verdict !== null) this.mark(id, object.verdict);
      });
    }
    mark(id, verdict) {
      if (id < 0) return;
      this.index.flags[id] = (this.index.flags[id] ?? 0) | SEEN;
      this.index.verdict[id] = Math.max(0, VERDICTS.findIndex((name) => name === verdict));
    }
    /** Returns the number of a class; a name that nobody had before gets one. */
    findCategory(name) {
      const found = this.categories.indexOf(name);
      return found >= 0 ? found : this.categories.push(name) - 1;
    }
  };

  // src/gallery/print.ts
  function printWholeGrid(grid, buildCards) {
    let sheet = null;
    addEventListener("beforeprint", () => {
      sheet?.remove();
      sheet = h("div", { class: "print-grid" }, ...buildCards());
      grid.before(sheet);
    });
    addEventListener("afterprint", () => {
      sheet?.remove();
      sheet = null;
    });
  }

  // src/gallery/order.ts
  var LAST = 4294967295;
  var DIGITS = 1 << 16;
  function orderBy(items, keys, isDescending2) {
    const low = toUnsigned(keys, isDescending2);
    let order = new Uint32Array(items.length).map((_, place) => place);
    order = sortByDigit(order, low, 0);
    order = sortByDigit(order, low, 16);
    return order.map((place) => items[place] ?? 0);
  }
  function toUnsigned(keys, isDescending2) {
    const bits = new Uint32Array(Float32Array.from(keys).buffer);
    for (let place = 0; place < bits.length; place++) {
      const value = bits[place] ?? 0;
      const rising = value & 2147483648 ? ~value : value | 2147483648;
      bits[place] = Number.isNaN(keys[place]) ? LAST : isDescending2 ? ~rising : rising;
    }
    return bits;
  }
  function sortByDigit(order, bits, shift) {
    const starts = new Uint32Array(DIGITS + 1);
    for (const value of bits) {
      const digit = (value >>> shift & DIGITS - 1) + 1;
      starts[digit] = (starts[digit] ?? 0) + 1;
    }
    for (let digit = 1; digit <= DIGITS; digit++) {
      starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
    }
    const sorted = new Uint32Array(order.length);
    for (const place of order) {
      const digit = (bits[place] ?? 0) >>> shift & DIGITS - 1;
      const target = starts[digit] ?? 0;
      sorted[target] = place;
      starts[digit] = target + 1;
    }
    return sorted;
  }

  // src/gallery/select.ts
  var BARS = 40;
  var REJECTED = VERDICTS.indexOf("rejected");
  var NAME = 1;
  var STATUS = 2;
  var ERROR = 4;
  var DIFFERENCE = 8;
  var CLASS = 16;
  var DISAGREEMENT = 32;
  var REVIEW = 64;
  var RANGE_BITS = { score: 128, risk: 256, margin: 512 };
  function select(index, view, extra) {
    const imageFails = testImages(index, view, extra);
    const objectFails = testObjects(index, view, extra);
    const choices = startCounting(index, extra);
    const needsObject = filtersObjects(view);
    const shownImages = new Uint32Array(index.images);
    const shownObjects = new Uint32Array(index.objects);
    let images = 0;
    let objects = 0;
    for (let image = 0; image < index.images; image++) {
      const fails = imageFails[image] ?? 0;
      let isShown = !needsObject;
      const end = index.firstObject[image + 1] ?? 0;
      for (let object = index.firstObject[image] ?? 0; object < end; object++) {
        const objectFail = objectFails[object] ?? 0;
        countObject(index, choices, object, objectFail | fails);
        if (objectFail === 0) {
          isShown = true;
          if (fails === 0) shownObjects[objects++] = object;
        }
      }
      if (isShown) {
        countImage(index, choices, image, fails);
        if (fails === 0) shownImages[images++] = image;
      }
    }
    const passing = shownObjects.subarray(0, objects);
    const items = view.mode === "images" ? shownImages.subarray(0, images) : passing;
    const passes = (object) => objectFails[object] === 0;
    return { items: sort(index, view, extra, items, passes), images, objects, choices, passes };
  }
  function filtersObjects(view) {
    return view.classes.length > 0 || view.disagreement || view.review !== "any" || RANGES.some((name) => !isAny(view.ranges[name]));
  }
  function testImages(index, view, extra) {
    const fails = new Uint8Array(index.images);
    const status = ["labelled", "empty", "failed"].indexOf(view.status);
    const error = index.errors.indexOf(view.error);
    for (let image = 0; image < index.images; image++) {
      let bits = 0;
      if (view.name !== "" && extra.nameMatches !== null && !extra.nameMatches[image]) bits |= NAME;
      if (status >= 0 && index.status[image] !== status) bits |= STATUS;
      if (view.error !== "" && index.error[image] !== error) bits |= ERROR;
      if (view.difference !== "any" && nameDifference(index, image) !== view.difference) {
        bits |= DIFFERENCE;
      }
      fails[image] = bits;
    }
    return fails;
  }
  function nameDifference(index, image) {
    const difference = index.difference?.[image] ?? 0;
    return Number.isNaN(difference) ? "alone" : difference > 0 ? "different" : "same";
  }
  function testObjects(index, view, extra) {
    const fails = new Uint16Array(index.objects);
    failClasses(fails, index, view, extra);
    for (const name of RANGES) failRange(fails, index[name], view.ranges[name], RANGE_BITS[name]);
    for (let object = 0; object < index.objects; object++) {
      let bits = 0;
      if (view.disagreement && !((index.flags[object] ?? 0) & DISAGREES)) bits |= DISAGREEMENT;
      if (!fitsReview(index, object, view)) bits |= REVIEW;
      if (bits) fails[object] = (fails[object] ?? 0) | bits;
    }
    return fails;
  }
  function failClasses(fails, index, view, extra) {
    if (view.classes.length === 0) return;
    const chosen = new Set(view.classes);
    const isChosen = Uint8Array.from(extra.categories, (name) => chosen.has(name) ? 1 : 0);
    for (let object = 0; object < fails.length; object++) {
      if (!isChosen[index.category[object] ?? 0]) fails[object] = CLASS;
    }
  }
  function failRange(fails, values, range, bit) {
    if (isAny(range)) return;
    const low = range.low <= 0 ? -Infinity : Math.fround(range.low);
    const high = range.high >= 1 ? Infinity : Math.fround(range.high);
    for (let object = 0; object < fails.length; object++) {
      const value = values[object] ?? NaN;
      if (!(value >= low && value <= high)) fails[object] = (fails[object] ?? 0) | bit;
    }
  }
  function fitsReview(index, object, view) {
    const verdict = index.verdict[object] ?? 0;
    if (verdict === REJECTED) return view.review === "rejected";
    if (view.review === "any") return true;
    const isSeen = ((index.flags[object] ?? 0) & SEEN) !== 0;
    if (view.review === "seen") return isSeen;
    if (view.review === "unseen") return !isSeen;
    return VERDICTS[verdict] === view.review;
  }
  function startCounting(index, extra) {
    return {
      classes: new Uint32Array(extra.categories.length),
      ranges: {
        score: new Uint32Array(BARS),
        risk: new Uint32Array(BARS),
        margin: new Uint32Array(BARS)
      },
      disagreement: 0,
      reviews: new Uint32Array(REVIEWS.length),
      statuses: new Uint32Array(3),
      errors: new Uint32Array(index.errors.length),
      differences: new Uint32Array(3)
    };
  }
  function countObject(index, counts, object, fails) {
    if (fails === 0 || fails === CLASS) add(counts.classes, index.category[object] ?? 0);
    for (const name of RANGES) {
      if ((fails & ~RANGE_BITS[name]) === 0) {
        const value = index[name][object] ?? NaN;
        if (!Number.isNaN(value)) {
          add(counts.ranges[name], Math.max(0, Math.min(BARS - 1, Math.floor(value * BARS))));
        }
      }
    }
    if ((fails & ~DISAGREEMENT) === 0 && (index.flags[object] ?? 0) & DISAGREES) {
      counts.disagreement++;
    }
    if ((fails & ~REVIEW) === 0) countReview(index, counts.reviews, object);
  }
  function countReview(index, reviews, object) {
    const verdict = VERDICTS[index.verdict[object] ?? 0] ?? "none";
    if (verdict !== "rejected") {
      add(reviews, 0);
      const isSeen = ((index.flags[object] ?? 0) & SEEN) !== 0;
      add(reviews, REVIEWS.indexOf(isSeen ? "seen" : "unseen"));
    }
    if (verdict !== "none") add(reviews, REVIEWS.indexOf(verdict));
  }
  function countImage(index, counts, image, fails) {
    if ((fails & ~STATUS) === 0) add(counts.statuses, index.status[image] ?? 0);
    const error = index.error[image] ?? NO_ERROR;
    if ((fails & ~(ERROR | STATUS)) === 0 && error !== NO_ERROR) add(counts.errors, error);
    if ((fails & ~DIFFERENCE) === 0 && index.difference !== null) {
      const name = nameDifference(index, image);
      add(counts.differences, name === "different" ? 0 : name === "same" ? 1 : 2);
    }
  }
  function add(counts, place) {
    counts[place] = (counts[place] ?? 0) + 1;
  }
  function isDescending(name) {
    return name === "risk" || name === "objects" || name === "difference";
  }
  function sort(index, view, extra, items, passes) {
    const descending = isDescending(view.sort) !== view.reversed;
    if (view.sort === "row" && !view.reversed) return items.slice();
    const values = view.mode === "images" ? imageKeys(index, view.sort, extra, items, passes) : objectKeys(index, view.sort, extra, items);
    return orderBy(items, values, descending);
  }
  function imageKeys(index, by, extra, items, passes) {
    return Float32Array.from(items, (image) => {
      const whole = imageKey(index, by, extra, image);
      if (whole !== null) return whole;
      const values = by === "risk" ? index.risk : by === "score" ? index.score : index.margin;
      const end = index.firstObject[image + 1] ?? 0;
      let found = NaN;
      for (let object = index.firstObject[image] ?? 0; object < end; object++) {
        const value = values[object] ?? NaN;
        if (!passes(object) || Number.isNaN(value)) continue;
        if (Number.isNaN(found) || (by === "risk" ? value > found : value < found)) found = value;
      }
      return found;
    });
  }
  function objectKeys(index, by, extra, items) {
    if (by === "risk" || by === "score" || by === "margin") {
      const values = index[by];
      return Float32Array.from(items, (object) => values[object] ?? NaN);
    }
    let image = 0;
    return Float32Array.from(items, (object) => {
      while ((index.firstObject[image + 1] ?? Infinity) <= object) image++;
      return imageKey(index, by, extra, image) ?? NaN;
    });
  }
  function imageKey(index, by, extra, image) {
    switch (by) {
      case "row":
        return image;
      case "name":
        return extra.nameRanks?.[image] ?? image;
      case "objects":
        return (index.firstObject[image + 1] ?? 0) - (index.firstObject[image] ?? 0);
      case "difference":
        return Number.isNaN(index.difference?.[image] ?? 0) ? 3e38 : index.difference?.[image] ?? 0;
      default:
        return null;
    }
  }
  function findHighestRisk(index, image) {
    let highest = NaN;
    const end = index.firstObject[image + 1] ?? 0;
    for (let object = index.firstObject[image] ?? 0; object < end; object++) {
      const risk = index.risk[object] ?? NaN;
      if (index.verdict[object] !== REJECTED && !(risk <= highest) && !Number.isNaN(risk)) {
        highest = risk;
      }
    }
    return highest;
  }
  function countObjects(index, image) {
    const start = index.firstObject[image] ?? 0;
    const end = index.firstObject[image + 1] ?? 0;
    let count = end - start;
    for (let object = start; object < end; object++) {
      if (index.verdict[object] === REJECTED) count--;
    }
    return count;
  }

  // src/gallery/virtual_grid.ts
  var MOST_HEIGHT = 15e6;
  var MARGIN_ROWS = 2;
  var SETTLING_MS2 = 200;
  var VirtualGrid = class {
    constructor(options) {
      this.options = options;
      this.element = h("div", {
        class: "grid",
        role: "listbox",
        tabindex: -1,
        "aria-label": options.label,
        "data-testid": "grid",
        onkeydown: (event) => this.handleKey(event),
        onclick: (event) => this.handleClick(event),
        onfocusin: (event) => this.handleFocus(event)
      });
      addEventListener("scroll", () => this.schedule(), { passive: true });
      new ResizeObserver(() => this.layOut()).observe(this.element);
    }
    options;
    element;
    cards = /* @__PURE__ */ new Map();
    count = 0;
    size = { width: 200, height: 200, gap: 10 };
    columns = 1;
    active = 0;
    /** Pixels of the grid above the upper edge of the window. */
    offset = 0;
    lastScroll = 0;
    frame = 0;
    timer;
    /** Shows other cards, from the first on or, with `keepPlace`, where it is. */
    show(count, size, keepPlace = false) {
      this.count = count;
      this.size = size;
      this.active = keepPlace ? Math.max(0, Math.min(this.active, count - 1)) : 0;
      this.clear();
      this.layOut();
      if (!keepPlace && this.element.getBoundingClientRect().top < 0) this.scrollToOffset(0);
    }
    /** Fills the cards in view again. */
    refresh(needed = () => true) {
      for (const [position, card] of this.cards) {
        if (needed(position)) this.fill(card, position);
      }
    }
    /** Moves to a card and gives it the focus. */
    focus(position) {
      if (this.count === 0) return;
      this.active = Math.max(0, Math.min(position, this.count - 1));
      this.reveal(this.active);
      this.draw();
      this.cards.get(this.active)?.focus({ preventScroll: true });
    }
    get rowHeight() {
      return this.size.height + this.size.gap;
    }
    get fullHeight() {
      return Math.ceil(this.count / this.columns) * this.rowHeight;
    }
    layOut() {
      const width = this.element.clientWidth;
      const columns = Math.max(1, Math.floor((width + this.size.gap) / (this.size.width + this.size.gap)));
      if (columns !== this.columns) {
        const first2 = Math.floor(this.offset / this.rowHeight) * this.columns;
        this.columns = columns;
        if (this.offset > 0) this.offset = Math.floor(first2 / columns) * this.rowHeight;
      }
      this.element.style.setProperty("height", `${Math.min(this.fullHeight, MOST_HEIGHT)}px`);
      this.draw();
    }
    schedule() {
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.draw();
      });
    }
    /** Returns pixels of the element above the upper edge of the window, negative where it is below. */
    get scrolled() {
      return -this.element.getBoundingClientRect().top;
    }
    followScroll() {
      const scrolled = this.scrolled;
      const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
      if (this.fullHeight <= MOST_HEIGHT || scrolled <= 0) {
        this.offset = scrolled;
      } else if (scrolled >= most) {
        this.offset = this.fullHeight - innerHeight;
      } else if (Math.abs(scrolled - this.lastScroll) > innerHeight) {
        this.offset = scrolled / most * (this.fullHeight - innerHeight);
      } else {
        this.offset += scrolled - this.lastScroll;
        clearTimeout(this.timer);
        this.timer = window.setTimeout(() => this.alignScrollBar(), SETTLING_MS2);
      }
      this.offset = Math.min(this.offset, Math.max(0, this.fullHeight - this.rowHeight));
      this.lastScroll = scrolled;
    }
    /** After small steps, puts the scroll bar where the part of the grid in view is. */
    alignScrollBar() {
      const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
      const wanted = Math.max(1, this.offset / (this.fullHeight - innerHeight) * most);
      this.lastScroll = wanted;
      scrollBy(0, wanted - this.scrolled);
      this.lastScroll = this.scrolled;
      this.draw();
    }
    scrollToOffset(offset) {
      const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
      const scale = this.fullHeight > MOST_HEIGHT ? most / (this.fullHeight - innerHeight) : 1;
      scrollBy(0, offset * scale - this.scrolled);
      this.lastScroll = this.scrolled;
      if (this.fullHeight > MOST_HEIGHT) this.offset = offset;
    }
    draw() {
      this.followScroll();
      const firstRow = Math.max(0, Math.floor(this.offset / this.rowHeight));
      const endRow = Math.ceil((this.offset + innerHeight) / this.rowHeight);
      const start = Math.max(0, firstRow - MARGIN_ROWS) * this.columns;
      const end = Math.max(0, Math.min(this.count, (endRow + MARGIN_ROWS) * this.columns));
      for (const [position, card] of this.cards) {
        if ((position < start || position >= end) && position !== this.active) this.remove(position, card);
      }
      const shift = this.scrolled - this.offset;
      for (let position = start; position < end; position++) this.place(position, shift);
      if (this.count > 0) this.place(this.active, shift);
      this.options.onRange(Math.min(firstRow * this.columns, end), Math.min(endRow * this.columns, end));
    }
    place(position, shift) {
      let card = this.cards.get(position);
      if (!card) {
        card = h("div", {
          class: "card",
          role: "option",
          "data-position": position,
          "data-testid": "card",
          "aria-posinset": position + 1,
          "aria-setsize": this.count
        });
        this.cards.set(position, card);
        this.fill(card, position);
        this.insert(card, position);
      }
      const isActive = position === this.active;
      card.setAttribute("tabindex", isActive ? "0" : "-1");
      card.setAttribute("aria-selected", String(isActive));
      const column = position % this.columns;
      const y = Math.floor(position / this.columns) * this.rowHeight + shift;
      const width = (this.element.clientWidth + this.size.gap) / this.columns - this.size.gap;
      card.style.setProperty("width", `${width}px`);
      card.style.setProperty("height", `${this.size.height}px`);
      card.style.setProperty("transform", `translate(${column * (width + this.size.gap)}px, ${y}px)`);
    }
    /** Screen readers go through the document in its order. */
    insert(card, position) {
      const last2 = this.element.lastElementChild;
      if (!last2 || Number(last2.dataset["position"]) < position) {
        this.element.append(card);
        return;
      }
      for (const other of this.element.children) {
        if (Number(other.dataset["position"]) > position) {
          other.before(card);
          return;
        }
      }
    }
    fill(card, position) {
      this.options.empty(card);
      this.options.fill(card, position);
    }
    remove(position, card) {
      this.options.empty(card);
      card.remove();
      this.cards.delete(position);
    }
    clear() {
      for (const [position, card] of this.cards) this.remove(position, card);
    }
    reveal(position) {
      const top = Math.floor(position / this.columns) * this.rowHeight;
      const above = this.stickyHeight() + this.size.gap;
      if (top - above < this.offset) this.scrollToOffset(top - above);
      else if (top + this.rowHeight > this.offset + innerHeight) {
        this.scrollToOffset(top + this.rowHeight - innerHeight);
      }
    }
    stickyHeight() {
      return Number.parseFloat(getComputedStyle(this.element).scrollMarginTop) || 0;
    }
    handleKey(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const page = Math.max(1, Math.floor(innerHeight / this.rowHeight)) * this.columns;
      const steps = {
        ArrowLeft: -1,
        ArrowRight: 1,
        ArrowUp: -this.columns,
        ArrowDown: this.columns,
        PageUp: -page,
        PageDown: page,
        Home: -this.count,
        End: this.count
      };
      const step = steps[event.key];
      if (step !== void 0) this.focus(this.active + step);
      else if (event.key === "Enter" || event.key === " ") this.options.onOpen(this.active);
      else return;
      event.preventDefault();
    }
    handleClick(event) {
      const position = this.findPosition(event.target);
      if (position === null) return;
      this.focus(position);
      this.options.onOpen(position);
    }
    handleFocus(event) {
      const position = this.findPosition(event.target);
      if (position === null || position === this.active) return;
      this.active = position;
      this.draw();
    }
    findPosition(target) {
      const card = target instanceof Element ? target.closest(".card") : null;
      return card ? Number(card.dataset["position"]) : null;
    }
  };

  // src/gallery/walk.ts
  var REJECTED2 = VERDICTS.indexOf("rejected");
  var Walk = class {
    constructor(index, ids, items, owner) {
      this.index = index;
      this.ids = ids;
      this.items = items;
      this.owner = owner;
    }
    index;
    ids;
    items;
    owner;
    get length() {
      return this.items.length;
    }
    get isByObject() {
      return this.owner !== null;
    }
    /** Returns what is at a place; null outside. */
    at(place) {
      const item = this.items[place];
      if (item === void 0) return null;
      if (!this.owner) return { place, row: item, number: null };
      const row = this.owner[item] ?? 0;
      const number = this.ids.of(row).indexOf(item);
      return { place, row, number: number < 0 ? null : number };
    }
    /** Returns the place of an object in a walk by object; null where it is not part of it. */
    findObject(row, number) {
      const id = this.ids.of(row)[number ?? -1];
      const place = id === void 0 ? -1 : this.items.indexOf(id);
      return place < 0 ? null : place;
    }
    /** Returns the next stop (direction 1) or the one before (-1) at another image. */
    findImage(place, direction, withObjects = false) {
      const row = this.at(place)?.row;
      return this.find(
        place,
        direction,
        (stop) => stop.row !== row && (!withObjects || countObjects(this.index, stop.row) > 0)
      );
    }
    /** Returns the next stop (direction 1) or the one before (-1) with an object. */
    findObjectFrom(place, direction) {
      if (!this.owner) return this.findImage(place, direction, true);
      return this.find(place, direction, (stop) => stop.number !== null);
    }
    /** Returns the next stop with an object that no person saw, after the last place from the first on. */
    findUnseen(place) {
      const isUnseen = (stop) => {
        const ids = this.ids.of(stop.row);
        return stop.number === null ? !this.owner && ids.some((id) => this.isUnseen(id)) : this.isUnseen(ids[stop.number] ?? -1);
      };
      return this.find(place, 1, isUnseen) ?? this.find(-1, 1, isUnseen);
    }
    isUnseen(id) {
      return id >= 0 && !((this.index.flags[id] ?? 0) & SEEN) && this.index.verdict[id] !== REJECTED2;
    }
    find(place, direction, fits) {
      for (let next = place + direction; ; next += direction) {
        const stop = this.at(next);
        if (!stop || fits(stop)) return stop;
      }
    }
  };

  // src/gallery/mount.ts
  var MOST_PRINTED = 5e3;
  var ADDRESS_MS = 300;
  var SORT_TEXTS = {
    risk: "Risk",
    score: "Score",
    margin: "Margin",
    objects: "Number of objects",
    row: "Order of the output",
    name: "File name",
    difference: "Difference"
  };
  function mount2(root, start) {
    const given = start;
    const source = given.embedded ? new EmbeddedSource() : new ServerSource(given.can_answer);
    document.title = `${given.output} \u2013 ovsam`;
    mountGallery(root, given, source);
  }
  function mountGallery(root, start, source) {
    const waiting = h("p", { class: "gallery-waiting muted", role: "status" }, `Reading ${formatAmount(start.images, "image")} \u2026`);
    root.append(waiting);
    source.index().then(
      (index) => {
        waiting.remove();
        new Gallery(root, start, source, index);
      },
      (error) => {
        const retry = h("button", { type: "button", onclick: () => location.reload() }, "Try again");
        waiting.replaceWith(h("div", { class: "gallery-waiting", role: "alert" }, h("p", { class: "error" }, describe(error)), retry));
      }
    );
  }
  var Gallery = class {
    constructor(root, start, source, index) {
      this.start = start;
      this.source = source;
      this.index = index;
      this.initial = makeDefaultView(start.compare !== null);
      this.view = readHash(location.hash, this.initial);
      this.categories = start.categories.map(({ name, colour }) => ({ name, colour }));
      this.names = this.categories.map(({ name }) => name);
      this.ids = new ObjectIds(index, this.names);
      this.owner = findImageOfObjects(index);
      this.extra = { categories: this.names, nameMatches: null, nameRanks: null };
      this.selection = select(index, this.view, this.extra);
      this.loader = new Loader(source, (rows) => this.refreshRows(rows));
      this.grid = new VirtualGrid({
        label: `Labels of ${start.output}`,
        fill: (card, position) => this.fillCard(card, position),
        empty: emptyCard,
        onRange: (first2, end) => this.loader.want(this.listRows(first2, end)),
        onOpen: (position) => this.openPosition(position)
      });
      this.filters = new Filters(index, this.categories, (part) => this.change(part), () => this.set(clearFilters(this.view, this.initial)));
      this.large = new LargeView({
        source,
        loader: this.loader,
        ids: this.ids,
        categories: this.names,
        outputs: start.compare ? [start.output, start.compare.output] : null,
        isBoxes: start.is_boxes,
        onMove: (open) => this.remember({ ...this.view, open }),
        onAnswer: (row) => this.refreshRows([row]),
        onClose: (stop) => this.returnToGrid(stop)
      });
      this.keys = this.listKeys();
      this.build(root);
      this.show();
      void this.completeNames();
      this.openPlace();
      addEventListener("hashchange", () => this.readAddress());
      addEventListener("popstate", () => this.readAddress());
      printWholeGrid(this.grid.element, () => this.fillAllCards());
    }
    start;
    source;
    index;
    initial;
    view;
    selection;
    categories;
    names;
    ids;
    owner;
    loader;
    grid;
    filters;
    large;
    counts = h("p", { class: "counts", role: "status", "data-testid": "counts" });
    nothing = h("p", { class: "nothing muted", hidden: true }, "Nothing fits all filters.");
    modes = /* @__PURE__ */ new Map();
    sort = h("select", { "aria-label": "Sort by", "data-testid": "sort" });
    direction = h("button", { type: "button", "data-testid": "direction" });
    extra;
    fileNames = null;
    timer;
    frame = 0;
    keys;
    build(root) {
      const toggle = h("button", {
        type: "button",
        class: "filters-toggle",
        "aria-controls": "filters",
        "aria-expanded": "false",
        "data-testid": "filters-toggle",
        onclick: () => {
          const isOpen = page.classList.toggle("shows-filters");
          toggle.setAttribute("aria-expanded", String(isOpen));
        }
      }, "Filters");
      const toolbar = h(
        "header",
        { class: "toolbar" },
        h("h1", { title: this.start.output }, h("bdi", {}, this.start.output), this.start.compare ? h("span", { class: "muted" }, " against ", h("bdi", {}, this.start.compare.output)) : null),
        this.counts,
        h(
          "div",
          { class: "tools" },
          toggle,
          this.buildModes(),
          this.buildSort(),
          h("button", { type: "button", class: "quiet", "aria-label": "Keys (?)", title: "Keys (?)", onclick: () => showKeys(this.keys) }, "?"),
          buildThemeSwitch()
        )
      );
      const page = h("div", { class: "gallery", "data-testid": "gallery" }, toolbar, this.filters.element, h("main", {}, this.nothing, this.grid.element));
      root.append(page);
      listenToKeys(this.keys);
    }
    buildModes() {
      const build = (mode, text) => {
        const button = h("button", { type: "button", "data-testid": `mode-${mode}`, onclick: () => this.change({ mode }) }, text);
        this.modes.set(mode, button);
        return button;
      };
      return h("div", { class: "modes", role: "group", "aria-label": "Look at" }, build("images", "Images"), build("objects", "Objects"));
    }
    buildSort() {
      const known = SORTS.filter((name) => name !== "difference" || this.index.difference !== null);
      this.sort.append(...known.map((value) => h("option", { value }, SORT_TEXTS[value])));
      this.sort.addEventListener("change", () => this.change({ sort: this.sort.value, reversed: false }));
      this.direction.addEventListener("click", () => this.change({ reversed: !this.view.reversed }));
      return h("div", { class: "sort" }, this.sort, this.direction);
    }
    listKeys() {
      const answers = this.source.answer && !this.start.is_boxes ? [
        { key: "a", about: "accept the object of the card (among objects)", run: () => this.answerCard("accepted") },
        { key: "x", about: "reject it", run: () => this.answerCard("rejected") }
      ] : [];
      return [
        { key: "ArrowRight", shown: "\u2190 \u2192 \u2191 \u2193", about: "move between cards", run: () => this.grid.focus(0) },
        { key: "Enter", about: "open the card", run: () => this.grid.focus(0) },
        ...answers,
        { key: "f", about: "find in file names", run: () => this.filters.element.querySelector("#filter-name")?.focus() },
        { key: "c", about: "find a class", run: () => this.filters.element.querySelector("#filter-class")?.focus() },
        { key: "?", about: "these keys", run: () => void 0 }
      ];
    }
    change(part) {
      this.set(changeView(this.view, part));
      if (part.name || part.sort === "name") void this.completeNames();
    }
    set(view) {
      this.remember(view);
      if (this.frame) return;
      this.frame = requestAnimationFrame(() => {
        this.frame = 0;
        this.show();
      });
    }
    /** Keeps the view in the address. */
    remember(view) {
      const isOpened = view.open !== null && this.view.open === null;
      this.view = view;
      clearTimeout(this.timer);
      const write = () => {
        const hash = writeHash(this.view, this.initial);
        if (location.hash.replace(/^#/, "") === hash) return;
        if (isOpened) history.pushState(null, "", `#${hash}`);
        else history.replaceState(null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
      };
      if (isOpened) write();
      else this.timer = window.setTimeout(write, ADDRESS_MS);
    }
    /** Follows an address that was typed, pasted, or gone back to. */
    readAddress() {
      const view = readHash(location.hash, this.initial);
      if (writeHash(view, this.initial) === writeHash(this.view, this.initial)) return;
      this.view = view;
      this.show();
      void this.completeNames();
      if (view.open === null) this.large.close();
      else this.openPlace();
    }
    /** Reads file names where the view needs them; nothing else waits for them. */
    async completeNames() {
      if (this.view.name === "" && this.view.sort !== "name") return;
      try {
        this.fileNames ??= await this.source.names();
      } catch (error) {
        sayError(describe(error));
        return;
      }
      this.show();
    }
    show(keepPlace = false) {
      performance.mark("filter-start");
      const { view } = this;
      if (this.fileNames) {
        this.extra = {
          categories: this.names,
          nameMatches: view.name === "" ? null : findNames(this.fileNames, view.name),
          nameRanks: view.sort === "name" ? this.extra.nameRanks ?? rankNames(this.fileNames) : this.extra.nameRanks
        };
      }
      this.selection = select(this.index, view, this.extra);
      performance.measure("gallery: filter", "filter-start");
      const { images, objects, items, choices } = this.selection;
      this.counts.replaceChildren(
        `${formatCount(images)} of ${formatAmount(this.index.images, "image")}, ${formatAmount(objects, "object")}`
      );
      this.nothing.hidden = items.length > 0;
      this.filters.update(view, choices);
      for (const [mode, button] of this.modes) button.setAttribute("aria-pressed", String(mode === view.mode));
      this.sort.value = view.sort;
      this.showDirection();
      this.grid.show(items.length, view.mode === "images" ? IMAGE_CARD : OBJECT_CARD, keepPlace);
      performance.measure("gallery: show", "filter-start");
    }
    showDirection() {
      const falls = ["risk", "objects", "difference"].includes(this.view.sort) !== this.view.reversed;
      this.direction.replaceChildren(falls ? "\u2193" : "\u2191");
      this.direction.setAttribute("aria-label", falls ? "Largest first; switch to smallest first" : "Smallest first; switch to largest first");
      this.direction.title = falls ? "Largest first" : "Smallest first";
    }
    findRow(position) {
      const item = this.selection.items[position] ?? 0;
      return this.view.mode === "images" ? item : this.owner[item] ?? 0;
    }
    listRows(start, end) {
      const rows = /* @__PURE__ */ new Set();
      for (let position = start; position < end; position++) rows.add(this.findRow(position));
      return [...rows];
    }
    fillCard(card, position) {
      const row = this.findRow(position);
      const image = this.loader.get(row);
      const ids = this.ids.of(row);
      const facts = {
        image,
        error: this.loader.getError(row),
        objects: countObjects(this.index, row),
        highestRisk: findHighestRisk(this.index, row),
        difference: this.index.difference?.[row] ?? null,
        passes: (object) => this.selection.passes(ids[object.number] ?? -1),
        thumbnail: (side) => this.source.thumbnail(row, side)
      };
      if (this.view.mode === "images") fillImageCard(card, facts);
      else fillObjectCard(card, facts, image?.objects[ids.indexOf(this.selection.items[position] ?? -1)] ?? null);
    }
    /** Fills a card for each item, for print; returns those whose row is here. */
    fillAllCards() {
      const cards = [];
      for (let position = 0; position < this.selection.items.length && cards.length < MOST_PRINTED; position++) {
        if (!this.start.embedded && !this.loader.get(this.findRow(position))) continue;
        const card = h("div", { class: "card" });
        this.fillCard(card, position);
        cards.push(card);
      }
      return cards;
    }
    refreshRows(rows) {
      const changed = new Set(rows);
      this.grid.refresh((position) => changed.has(this.findRow(position)));
    }
    makeWalk() {
      const owner = this.view.mode === "objects" ? this.owner : null;
      return new Walk(this.index, this.ids, this.selection.items, owner);
    }
    openPosition(position) {
      const walk = this.makeWalk();
      const stop = walk.at(position);
      if (stop) void this.large.open(walk, stop);
    }
    /** Opens what the address names, on its own where the filters leave it out. */
    openPlace() {
      const { open } = this.view;
      if (open === null || this.large.isOpen) return;
      if (open.row >= this.index.images) {
        say(`There is no image in row ${open.row} of this output.`);
        this.remember({ ...this.view, open: null });
        return;
      }
      const walk = this.makeWalk();
      const found = walk.isByObject ? walk.findObject(open.row, open.number) : this.selection.items.indexOf(open.row);
      if (found !== null && found >= 0) void this.large.open(walk, { place: found, ...open });
      else void this.large.open(new Walk(this.index, this.ids, Uint32Array.of(open.row), null), { place: 0, ...open });
    }
    returnToGrid(stop) {
      this.remember({ ...this.view, open: null });
      this.show(true);
      const id = this.ids.of(stop.row)[stop.number ?? -1] ?? -1;
      const item = this.view.mode === "images" ? stop.row : id;
      const position = this.selection.items.indexOf(item);
      if (position >= 0) this.grid.focus(position);
    }
    /** Answers for the object whose card has the focus, and moves on to the next card. */
    answerCard(verdict) {
      const card = document.activeElement?.closest(".card");
      if (!card || this.view.mode !== "objects") return;
      const position = Number(card.dataset["position"]);
      const row = this.findRow(position);
      const image = this.loader.get(row);
      const number = this.ids.of(row).indexOf(this.selection.items[position] ?? -1);
      const object = image?.objects[number];
      if (!image || !object || !this.source.answer) return;
      this.grid.focus(position + 1);
      this.source.answer({ row, number, key: object.key, verdict }).then(
        (after) => {
          this.ids.update(image, after);
          this.loader.put(after);
          this.refreshRows([row]);
        },
        (error) => sayError(describe(error))
      );
    }
  };

  // src/results/mount.ts
  function mount3(root, start) {
    root.append(h("pre", { "data-testid": "results" }, JSON.stringify(start, null, 2)));
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
