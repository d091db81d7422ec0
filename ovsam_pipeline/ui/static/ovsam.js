// ovsam page, made by page/build.mjs from sources sha256:28edc093bb60a45bade563e06b0a7580054f4a94fd6cb7337349a58976f6213b
"use strict";
(() => {
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
  async function postFile(path, file, signal) {
    const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
    return await (await request(path, { method: "POST", headers, body: file, signal })).json();
  }
  async function deleteJson(path) {
    return await (await request(path, { method: "DELETE" })).json();
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
      if (isPressing(event)) return;
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
  function isPressing(event) {
    const isPress = event.key === "Enter" || event.key === " ";
    return isPress && event.target instanceof Element && event.target.closest("button, a, summary") !== null;
  }
  function isBehindDialog(within) {
    const open = [...document.querySelectorAll("dialog:modal")].at(-1);
    return open !== void 0 && !open.contains(within);
  }

  // src/shared/toast.ts
  var SECONDS = { status: 5, error: 12 };
  var regions;
  function startToasts() {
    findRegions();
  }
  function say(text, action) {
    show(text, "status", action);
  }
  function sayError(text) {
    show(text, "error");
  }
  function show(text, kind, action) {
    const region = findRegions()[kind];
    const close = h("button", { type: "button", class: "toast-close", "aria-label": "Dismiss", onclick: () => toast.remove() }, "\xD7");
    const toast = h("div", { class: `toast toast-${kind}`, "data-testid": `toast-${kind}` }, h("span", {}, text));
    if (action) {
      for (const old of region.querySelectorAll(".has-action")) old.remove();
      toast.classList.add("has-action");
      const run = () => {
        toast.remove();
        action.run();
      };
      toast.append(h("button", { type: "button", class: "toast-action", "data-testid": "toast-action", onclick: run }, action.text));
    }
    toast.append(close);
    while (region.childElementCount >= 3) region.firstElementChild?.remove();
    region.append(toast);
    setTimeout(() => toast.remove(), SECONDS[kind] * 1e3);
  }
  function findRegions() {
    if (!regions || !regions.status.isConnected) {
      regions = { status: h("div", { "aria-live": "polite" }), error: h("div", { "aria-live": "assertive" }) };
      document.body.append(h("div", { class: "toasts" }, regions.error, regions.status));
    }
    const host = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
    const box = regions.status.parentElement;
    if (box.parentElement !== host) host.append(box);
    return regions;
  }

  // src/demo/accepted_panel.ts
  var COPIED_MS = 1500;
  var AcceptedPanel = class {
    constructor(actions, output) {
      this.actions = actions;
      this.element = h(
        "section",
        { class: "demo-panel", "aria-labelledby": "accepted-title" },
        h("h2", { id: "accepted-title" }, "Accepted ", this.count),
        this.empty,
        this.list,
        h("p", { class: "hint" }, "They are kept in ", h("code", {}, output), "; to export them:"),
        buildCommand("ovsam export", quote(output), "--format yolo"),
        h(
          "button",
          { type: "button", "data-testid": "write", onclick: () => actions.writeAnnotations() },
          "Write annotations.json now"
        )
      );
    }
    actions;
    element;
    list = h("ul", { class: "demo-objects", "data-testid": "accepted" });
    empty = h("p", { class: "hint" }, "None in this image yet.");
    count = h("span", { class: "demo-count" });
    show(objects) {
      this.empty.hidden = objects.length > 0;
      this.count.textContent = objects.length > 0 ? String(objects.length) : "";
      this.list.replaceChildren(...objects.map((object) => this.buildRow(object)));
    }
    buildRow(object) {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      swatch.style.setProperty("--colour", object.colour);
      const row = h("li", { class: "demo-object", "data-testid": "accepted-object" });
      const name = h(
        "button",
        { type: "button", class: "plain", title: "Rename", "aria-label": `Rename ${object.category}` },
        h("bdi", {}, object.category)
      );
      name.addEventListener("click", () => this.startRenaming(row, object));
      const remove = h(
        "button",
        { type: "button", class: "plain icon", "aria-label": `Remove ${object.category}`, title: "Remove" },
        "\xD7"
      );
      let isSure = this.actions.canRestore(object);
      remove.addEventListener("click", () => {
        if (isSure) return this.actions.remove(object);
        isSure = true;
        remove.textContent = "Remove?";
      });
      row.append(swatch, name, remove);
      const { highlight } = this.actions;
      for (const event of ["pointerenter", "focusin"]) {
        row.addEventListener(event, () => highlight(object.key));
      }
      for (const event of ["pointerleave", "focusout"]) {
        row.addEventListener(event, () => highlight(null));
      }
      return row;
    }
    /** Turn a row into a field: Enter renames, Escape or leaving it does not. */
    startRenaming(row, object) {
      const field = h("input", {
        type: "text",
        class: "field",
        list: "names",
        maxlength: "200",
        autocomplete: "off",
        "aria-label": `New name of ${object.category}`,
        "data-testid": "rename-accepted"
      });
      field.value = object.category;
      const before = [...row.childNodes];
      const stop = () => {
        if (field.isConnected) row.replaceChildren(...before);
      };
      field.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Escape") stop();
        if (event.key !== "Enter") return;
        const name = field.value.trim();
        stop();
        if (name !== "" && name !== object.category) this.actions.rename(object, name);
      });
      field.addEventListener("blur", stop);
      row.replaceChildren(field);
      field.focus();
      field.select();
    }
  };
  function buildCommand(command, path, options) {
    const text = `${command} ${path} ${options}`;
    const copy = h("button", { type: "button", "aria-label": "Copy the command" }, "Copy");
    copy.hidden = !window.isSecureContext;
    copy.addEventListener("click", () => {
      void navigator.clipboard.writeText(text).then(() => {
        copy.textContent = "Copied";
        setTimeout(() => copy.textContent = "Copy", COPIED_MS);
      });
    });
    const whole = (part) => h("span", {}, part);
    const shown = [whole(command), ` ${path} `, whole(options)];
    return h("div", { class: "line" }, h("code", { class: "command", "data-testid": "export" }, ...shown), copy);
  }
  function quote(path) {
    return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
  }

  // src/demo/newest.ts
  var Newest = class {
    controller = null;
    get isAsking() {
      return this.controller !== null;
    }
    /** Return the answer, or undefined where a newer question came or `cancel` was called. */
    async ask(question) {
      this.cancel();
      const controller = new AbortController();
      this.controller = controller;
      try {
        const answer = await question(controller.signal);
        return controller.signal.aborted ? void 0 : answer;
      } catch (error) {
        if (controller.signal.aborted) return void 0;
        throw error;
      } finally {
        if (this.controller === controller) this.controller = null;
      }
    }
    cancel() {
      this.controller?.abort();
      this.controller = null;
    }
  };
  var Throttled = class {
    constructor(ask, onAnswer, onError) {
      this.ask = ask;
      this.onAnswer = onAnswer;
      this.onError = onError;
    }
    ask;
    onAnswer;
    onError;
    isAsking = false;
    next = null;
    put(question) {
      this.next = question;
      if (!this.isAsking) void this.run();
    }
    /** Forget what was not asked yet; the answer under way still comes. */
    clear() {
      this.next = null;
    }
    async run() {
      this.isAsking = true;
      while (this.next !== null) {
        const question = this.next;
        this.next = null;
        try {
          this.onAnswer(question, await this.ask(question));
        } catch (error) {
          this.next = null;
          this.onError(error);
        }
      }
      this.isAsking = false;
    }
  };

  // src/demo/server.ts
  function openImage(row, signal) {
    return postJson("api/open", { row }, signal);
  }
  function uploadImage(file) {
    return postFile("api/upload", file);
  }
  function predict(row, prompt, signal) {
    return postJson("api/predict", { row, ...prompt, hover: false }, signal);
  }
  function preview(row, prompt, page, sequence) {
    return postJson("api/predict", { row, ...prompt, hover: true, page, sequence });
  }
  function setVocabulary(choice, signal) {
    return postJson("api/vocabulary", choice, signal);
  }
  function findNames(text, signal) {
    return getJson(`api/names?text=${encodeURIComponent(text)}`, signal);
  }
  function addExample(name, row, prompt) {
    return postJson("api/examples", { name, row, prompt });
  }
  function removeExample(number) {
    return deleteJson(`api/examples/${number}`);
  }
  function accept(row, prompt, category) {
    return postJson("api/accept", { row, prompt, category });
  }
  function withdraw(row, object) {
    return postJson("api/withdraw", { row, number: object.number, key: object.key });
  }
  function rename(row, object, category) {
    return postJson("api/rename", { row, number: object.number, key: object.key, category });
  }
  function writeAnnotations() {
    return postJson("api/export", {});
  }

  // src/demo/completion.ts
  function buildCompletion(root) {
    const list = h("datalist", { id: "names" });
    const asking = new Newest();
    const complete = async (event) => {
      const field = event.target;
      if (!(field instanceof HTMLInputElement) || field.list !== list) return;
      try {
        const names = await asking.ask((signal) => findNames(field.value, signal));
        if (names !== void 0) list.replaceChildren(...names.map((name) => h("option", { value: name })));
      } catch {
        list.replaceChildren();
      }
    };
    root.addEventListener("focusin", (event) => void complete(event));
    root.addEventListener("input", (event) => void complete(event));
    return list;
  }

  // src/demo/connection.ts
  var FIRST_WAIT_MS = 500;
  var LONGEST_WAIT_MS = 4e3;
  var Connection = class {
    /** `onChange` learns when the server stops and starts answering. */
    constructor(onChange) {
      this.onChange = onChange;
    }
    onChange;
    isLost = false;
    /** Ask until there is an answer, or another error than silence. */
    async keepAsking(question, signal) {
      for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
        try {
          return await this.ask(question);
        } catch (error) {
          if (!isSilence(error) || signal.aborted) throw error;
          await pause(wait, signal);
        }
      }
    }
    /** Ask once. */
    async ask(question) {
      try {
        const answer = await question();
        this.mark(false);
        return answer;
      } catch (error) {
        if (isSilence(error)) this.mark(true);
        else if (error instanceof ApiError) this.mark(false);
        throw error;
      }
    }
    mark(isLost) {
      if (isLost === this.isLost) return;
      this.isLost = isLost;
      this.onChange(isLost);
    }
  };
  function isSilence(error) {
    return error instanceof ApiError && error.status === 0;
  }
  function pause(milliseconds, signal) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  // src/demo/current_panel.ts
  var CurrentPanel = class {
    element;
    field = h("input", {
      type: "text",
      class: "field",
      list: "names",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "200",
      placeholder: "another name",
      "aria-label": "Another name for this object",
      "data-testid": "rename"
    });
    title = h("p", { class: "object-name", "data-testid": "current-name" });
    facts = h("p", { class: "about", "data-testid": "current-facts" });
    names = h("ol", { class: "names", "aria-label": "Names, best first" });
    exampleField = h("input", {
      type: "text",
      class: "field",
      list: "names",
      autocomplete: "off",
      spellcheck: "false",
      maxlength: "200",
      placeholder: "name of the class",
      "aria-label": "Class that this object is an example of",
      "data-testid": "example-name"
    });
    /** Name and buttons again, for phones: right below the image. */
    quick;
    quickName = h("bdi", { class: "name-text" });
    body;
    hint;
    constructor(actions) {
      const form = h("form", { class: "line" }, this.field, h("button", { type: "submit" }, "Rename"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const name = this.field.value.trim();
        if (name !== "") actions.rename(name);
      });
      const example = h(
        "form",
        { class: "line" },
        this.exampleField,
        h("button", { type: "submit", "data-testid": "add-example" }, "Use as example")
      );
      example.addEventListener("submit", (event) => {
        event.preventDefault();
        const name = this.exampleField.value.trim();
        if (name === "") this.exampleField.focus();
        else actions.addExample(name);
      });
      this.names.addEventListener("click", (event) => {
        const button2 = event.target instanceof Element ? event.target.closest("button") : null;
        const name = button2?.getAttribute("data-name");
        if (name !== null && name !== void 0) actions.rename(name);
      });
      this.body = h(
        "div",
        { hidden: true },
        this.title,
        this.facts,
        this.names,
        form,
        h(
          "div",
          { class: "line" },
          button("Accept", "Enter", "accept", actions.accept, "primary"),
          button("Clear", "Esc", "clear", actions.clear)
        ),
        example
      );
      this.quick = h(
        "div",
        { class: "quick line", hidden: true },
        this.quickName,
        h("button", { type: "button", class: "primary", onclick: actions.accept }, "Accept"),
        h("button", { type: "button", onclick: actions.clear }, "Clear")
      );
      this.hint = h("p", { class: "hint" }, "Click an object in the image, or drag a box around it.");
      this.element = h(
        "section",
        { class: "demo-panel", "aria-labelledby": "current-title" },
        h("h2", { id: "current-title" }, "Object"),
        this.hint,
        this.body
      );
    }
    /** Show an answer, or what to do where there is none. */
    show(found, name) {
      this.body.hidden = this.quick.hidden = found === null;
      this.hint.hidden = found !== null;
      if (found === null) {
        this.field.value = "";
        return;
      }
      this.title.textContent = this.quickName.textContent = name ?? "without a name";
      this.title.classList.toggle("is-unnamed", name === null);
      this.facts.textContent = describe2(found);
      this.names.replaceChildren(
        ...found.names.map(({ category, score, ignored }) => {
          const isChosen = category === name;
          const bar = h("span", { class: "bar", "aria-hidden": "true" });
          bar.style.width = `${Math.round(100 * score)}%`;
          return h(
            "li",
            {},
            h(
              "button",
              {
                type: "button",
                class: "name",
                "aria-pressed": String(isChosen),
                "data-name": category,
                "data-testid": "name",
                title: category
              },
              bar,
              h("bdi", { class: "name-text" }, category),
              ignored ? h("span", { class: "muted" }, "left out by label") : null,
              h("span", { class: "name-score" }, score.toFixed(2))
            )
          );
        })
      );
    }
  };
  function describe2(found) {
    const facts = [];
    if (found.mask_score !== null) facts.push(`mask stability ${found.mask_score.toFixed(2)}`);
    if (found.risk !== null) facts.push(`risk ${found.risk.toFixed(2)}`);
    if (found.reason !== null && found.reason !== "") facts.push(found.reason);
    return facts.join(" \xB7 ");
  }
  function button(text, key, testId, onClick, look = "") {
    const element = h(
      "button",
      { type: "button", class: look, "data-testid": testId },
      text,
      h("kbd", { "aria-hidden": "true" }, key)
    );
    element.addEventListener("click", onClick);
    return element;
  }

  // src/demo/history.ts
  var History = class {
    done = [];
    undone = [];
    isBusy = false;
    get canUndo() {
      return this.done.length > 0;
    }
    get canRedo() {
      return this.undone.length > 0;
    }
    /** Remember a step that was just done. */
    add(step) {
      this.done.push(step);
      this.undone.length = 0;
    }
    undo() {
      return this.move(this.done, this.undone, (step) => step.undo());
    }
    redo() {
      return this.move(this.undone, this.done, (step) => step.redo());
    }
    /** Take the newest step of one list to the other; one at a time, also when keys repeat. */
    async move(from, to, run) {
      const step = from.at(-1);
      if (step === void 0 || this.isBusy) return;
      this.isBusy = true;
      try {
        await run(step);
        from.splice(from.lastIndexOf(step), 1);
        to.push(step);
      } finally {
        this.isBusy = false;
      }
    }
  };

  // src/demo/scribble.ts
  var LONGEST_SIDE = 512;
  var OPAQUE = 128;
  function encodeStrokes(strokes, image) {
    const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
    const width = Math.max(1, Math.round(image.width * scale));
    const height = Math.max(1, Math.round(image.height * scale));
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser cannot paint on a canvas");
    context.scale(width / image.width, height / image.height);
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) {
      context.lineWidth = Math.max(2 * stroke.radius, 1 / scale);
      context.beginPath();
      stroke.points.forEach(([x, y]) => context.lineTo(x, y));
      const last2 = stroke.points.at(-1);
      if (last2 !== void 0) context.lineTo(last2[0], last2[1]);
      context.stroke();
    }
    const { data } = context.getImageData(0, 0, width, height);
    const isPainted = (x, y) => (data[4 * (y * width + x) + 3] ?? 0) >= OPAQUE;
    return { size: [height, width], counts: writeCounts(countRuns(isPainted, width, height)) };
  }
  function countRuns(isPainted, width, height) {
    const runs = [];
    let value = false;
    let length = 0;
    for (let x = 0; x < width; x++) {
      for (let y = 0; y < height; y++) {
        if (isPainted(x, y) !== value) {
          runs.push(length);
          length = 0;
          value = !value;
        }
        length++;
      }
    }
    runs.push(length);
    return runs;
  }
  function writeCounts(runs) {
    let text = "";
    runs.forEach((run, index) => {
      let rest = index > 2 ? run - (runs[index - 2] ?? 0) : run;
      let hasMore = true;
      while (hasMore) {
        const bits = rest & 31;
        rest >>= 5;
        hasMore = bits & 16 ? rest !== -1 : rest !== 0;
        text += String.fromCharCode((hasMore ? bits | 32 : bits) + 48);
      }
    });
    return text;
  }

  // src/demo/prompt.ts
  var EMPTY = { points: [], box: null, strokes: [] };
  function isEmpty(prompt) {
    return prompt.points.length === 0 && prompt.box === null && prompt.strokes.length === 0;
  }
  function hasObject(prompt) {
    return prompt.box !== null || prompt.strokes.length > 0 || prompt.points.some(([, , label]) => label);
  }
  function addPoint(prompt, [x, y], isPositive) {
    const point = [roundPixel(x), roundPixel(y), isPositive ? 1 : 0];
    return { ...prompt, points: [...prompt.points, point] };
  }
  function setBox(prompt, from, to, size) {
    return { ...prompt, box: boxBetween(from, to, size) };
  }
  function addStroke(prompt, stroke) {
    return { ...prompt, strokes: [...prompt.strokes, stroke] };
  }
  function boxBetween([x0, y0], [x1, y1], { width, height }) {
    const cutX = (x) => roundPixel(Math.min(Math.max(x, 0), width));
    const cutY = (y) => roundPixel(Math.min(Math.max(y, 0), height));
    return [
      cutX(Math.min(x0, x1)),
      cutY(Math.min(y0, y1)),
      cutX(Math.max(x0, x1)),
      cutY(Math.max(y0, y1))
    ];
  }
  function isInside([x, y], { width, height }) {
    return x >= 0 && y >= 0 && x < width && y < height;
  }
  function toJson(prompt, size) {
    const scribble = prompt.strokes.length > 0 ? encodeStrokes(prompt.strokes, size) : null;
    return { points: prompt.points, box: prompt.box, scribble };
  }
  function roundPixel(value) {
    return Math.round(value * 10) / 10;
  }

  // src/demo/image_work.ts
  var NOTHING = { prompt: EMPTY, name: null };
  var ImageWork = class {
    constructor(opened, connection, onChange) {
      this.connection = connection;
      this.onChange = onChange;
      this.row = opened.row;
      this.width = opened.width;
      this.height = opened.height;
      this.accepted = opened.accepted;
    }
    connection;
    onChange;
    row;
    width;
    height;
    history = new History();
    draft = NOTHING;
    /** The newest answer; it belongs to an earlier prompt while `isAsking`. */
    found = null;
    accepted;
    /** Why there is no answer to the prompt, as a sentence. */
    error = null;
    /** When the newest prompt was drawn, by performance.now(). */
    askedAt = 0;
    asking = new Newest();
    answer = Promise.resolve();
    isAccepting = false;
    /** Drafts of objects accepted by this page, by key: their removal can be undone. */
    drafts = /* @__PURE__ */ new Map();
    get isAsking() {
      return this.asking.isAsking;
    }
    /** The name that the object gets when it is accepted; null where nobody named it. */
    get name() {
      const best = this.found?.names.find(({ ignored }) => ignored !== true);
      return this.draft.name ?? best?.category ?? null;
    }
    /** Replace the draft, as one step of the history. */
    change(change) {
      const before = this.draft;
      const after = { ...before, ...change };
      this.history.add({ undo: () => this.put(before), redo: () => this.put(after) });
      this.put(after);
    }
    /** Ask again: after another vocabulary, or when the image is shown again. */
    refresh() {
      this.answer = this.ask();
      this.onChange(this);
    }
    /** Give up the question under way. */
    leave() {
      this.asking.cancel();
    }
    /** Wait for the answer to the newest prompt. */
    async settle() {
      while (this.isAsking) await this.answer;
    }
    /** Accept the current object by its name; it must have a mask. */
    async accept() {
      if (this.isAccepting) return;
      this.isAccepting = true;
      try {
        const { draft, name } = this;
        if (name === null) return;
        let added = await this.add(draft, name);
        this.history.add({
          undo: async () => {
            await this.take(added.object);
            for (const object of added.replaced) await this.restore(object);
            this.put(draft);
          },
          redo: async () => {
            added = await this.add(draft, name);
            this.put(NOTHING);
          }
        });
        if (this.draft === draft) this.put(NOTHING);
      } finally {
        this.isAccepting = false;
      }
    }
    canRestore(object) {
      return this.drafts.has(object.key);
    }
    /** Remove an accepted object; it can be undone where this page accepted it. */
    async remove(object) {
      await this.take(object);
      if (!this.canRestore(object)) return;
      this.history.add({ undo: () => this.restore(object), redo: () => this.take(object) });
    }
    async rename(object, category) {
      const give = async (name) => {
        const now = this.find(object);
        this.setAccepted(await this.connection.ask(() => rename(this.row, now, name)));
      };
      await give(category);
      this.history.add({ undo: () => give(object.category), redo: () => give(category) });
    }
    setAccepted({ accepted }) {
      this.accepted = accepted;
      this.onChange(this);
    }
    put(draft) {
      const isSame = draft.prompt === this.draft.prompt;
      this.draft = draft;
      if (!isSame) this.answer = this.ask();
      this.onChange(this);
    }
    async ask() {
      const { prompt } = this.draft;
      this.error = null;
      this.askedAt = performance.now();
      if (!hasObject(prompt)) {
        this.asking.cancel();
        this.found = null;
        return;
      }
      const question = toJson(prompt, this);
      try {
        const found = await this.asking.ask(
          (signal) => this.connection.keepAsking(() => predict(this.row, question, signal), signal)
        );
        if (found === void 0) return;
        this.found = found;
      } catch (error) {
        this.found = null;
        this.error = describe(error);
      }
      this.onChange(this);
    }
    async add(draft, name) {
      const before = this.accepted;
      const question = toJson(draft.prompt, this);
      const answer = await this.connection.ask(() => accept(this.row, question, name));
      const isIn = (objects, key) => objects.some((object2) => object2.key === key);
      const { accepted } = answer;
      const object = accepted.find(({ key }) => !isIn(before, key)) ?? accepted.findLast(({ category }) => category === name);
      if (object === void 0) throw new Error("the server accepted the object and does not list it");
      this.drafts.set(object.key, draft);
      this.setAccepted(answer);
      return { object, replaced: before.filter(({ key }) => !isIn(accepted, key)) };
    }
    /** Accept an object again by the prompt that it came from; nothing where that is not known. */
    async restore(object) {
      const draft = this.drafts.get(object.key);
      if (draft !== void 0) await this.add(draft, object.category);
    }
    async take(object) {
      const now = this.find(object);
      this.setAccepted(await this.connection.ask(() => withdraw(this.row, now)));
    }
    /** Objects are numbered anew when one goes; the key stays. */
    find(object) {
      return this.accepted.find(({ key }) => key === object.key) ?? object;
    }
  };

  // src/shared/theme.ts
  var KEY = "ovsam-theme";
  function startTheme() {
    apply(readChoice());
  }
  function buildThemeSwitch() {
    const button2 = h("button", {
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
      button2.replaceChildren(other === "dark" ? "Dark" : "Light");
      button2.setAttribute("aria-label", `Switch to the ${other} theme`);
    };
    name();
    return button2;
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

  // src/demo/layout.ts
  var SPINNER_AFTER_MS = 150;
  var Layout = class {
    /** Says what a screen reader should read out; not visible. */
    live = h("p", { class: "visually-hidden", role: "status", "data-testid": "live" });
    latency = h("span", { class: "latency", "data-testid": "latency" });
    problem = h("span", { class: "error", role: "alert", "data-testid": "problem" });
    fileName = h("bdi", { class: "file-name", "data-testid": "file-name" });
    fileSize = h("span", { class: "muted", "data-testid": "file-size" });
    spinner = h("span", { class: "spinner", hidden: true, "data-testid": "spinner" });
    banner = h("p", { class: "banner", role: "alert", hidden: true, "data-testid": "banner" });
    empty;
    spinnerTimer = 0;
    constructor(root, start, parts) {
      const choose = h("input", {
        type: "file",
        accept: "image/*",
        multiple: true,
        class: "visually-hidden",
        tabindex: "-1",
        "aria-label": "Images to open",
        "data-testid": "files"
      });
      choose.addEventListener("change", () => {
        parts.onFiles([...choose.files ?? []]);
        choose.value = "";
      });
      const openButton = () => h("button", { type: "button", onclick: () => choose.click() }, "Open image\u2026");
      this.empty = h(
        "div",
        { class: "empty" },
        h("p", {}, "Drop an image here, paste one, or choose a file."),
        openButton()
      );
      const { name, licence } = start.model;
      parts.stage.append(this.empty, this.spinner);
      root.classList.add("demo");
      root.append(
        h(
          "header",
          { class: "top" },
          h("h1", {}, "ovsam demo"),
          h("span", { class: "muted model" }, `model ${name}`, licence ? ` \xB7 ${licence}` : ""),
          openButton(),
          choose,
          buildThemeSwitch()
        ),
        this.banner,
        h("nav", { class: "images", "aria-label": "Images" }, parts.strip),
        h(
          "main",
          { class: "work" },
          parts.toolbar,
          parts.stage,
          parts.quick,
          h("div", { class: "below" }, this.fileName, this.fileSize, this.problem, this.latency),
          parts.help,
          this.live
        ),
        h("aside", { class: "panels", "aria-label": "Object, names and results" }, ...parts.panels)
      );
    }
    showFile(name, size) {
      this.fileName.textContent = name;
      this.fileSize.textContent = size;
      this.empty.hidden = true;
    }
    showLatency(text) {
      this.latency.textContent = text;
    }
    showProblem(sentence) {
      if (this.problem.textContent !== (sentence ?? "")) this.problem.textContent = sentence ?? "";
    }
    announce(text) {
      this.live.textContent = text;
    }
    showBanner(sentence) {
      this.banner.hidden = sentence === null;
      this.banner.textContent = sentence ?? "";
    }
    /** Show the spinner where waiting lasts longer than a person notices. */
    showWaiting(isWaiting) {
      if (!isWaiting) {
        clearTimeout(this.spinnerTimer);
        this.spinnerTimer = 0;
        this.spinner.hidden = true;
      } else if (this.spinnerTimer === 0) {
        this.spinnerTimer = setTimeout(() => this.spinner.hidden = false, SPINNER_AFTER_MS);
      }
    }
  };

  // src/demo/gestures.ts
  var SECONDARY_BUTTON = 2;
  var MIDDLE_BUTTON = 1;
  var CLICK_SLACK = { mouse: 4, touch: 10 };
  var WHEEL_PER_DOUBLING = 400;
  var LINE_PIXELS = 16;
  function listenToGestures(stage, handlers) {
    let gesture = null;
    const fingers = /* @__PURE__ */ new Map();
    const place = (event) => {
      const frame = stage.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    const cancel = () => {
      const wasDrawing = gesture !== null;
      gesture = null;
      if (wasDrawing) handlers.onCancel();
      return wasDrawing;
    };
    const startDrag = (event, at) => ({
      pointer: event.pointerId,
      start: at,
      points: [at],
      isNegative: event.button === SECONDARY_BUTTON || event.altKey,
      kind: chooseDrag(event, handlers)
    });
    stage.addEventListener("pointerdown", (event) => {
      if (event.target instanceof Element && event.target.closest("button") !== null) return;
      const at = place(event);
      stage.setPointerCapture(event.pointerId);
      handlers.onHover(null, false);
      if (event.pointerType === "touch") fingers.set(event.pointerId, at);
      if (fingers.size > 1) {
        cancel();
        return;
      }
      gesture = startDrag(event, at);
      if (gesture.kind === "stroke") handlers.onStroke(gesture.points, false);
    });
    stage.addEventListener("pointermove", (event) => {
      const at = place(event);
      if (fingers.size > 1) return pinch(fingers, event.pointerId, at, handlers);
      if (event.pointerType === "touch") fingers.set(event.pointerId, at);
      if (gesture === null) {
        if (event.pointerType !== "touch" && event.buttons === 0) {
          handlers.onHover(at, event.altKey);
        }
        return;
      }
      if (event.pointerId === gesture.pointer) follow(gesture, event, at, handlers);
    });
    const end = (event) => {
      fingers.delete(event.pointerId);
      if (gesture === null || event.pointerId !== gesture.pointer) return;
      const done = gesture;
      gesture = null;
      finish(done, place(event), handlers);
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", (event) => {
      fingers.delete(event.pointerId);
      cancel();
    });
    stage.addEventListener("pointerleave", () => handlers.onHover(null, false));
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener("auxclick", (event) => event.preventDefault());
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PIXELS : 1;
        handlers.onZoom(2 ** (-event.deltaY * pixels / WHEEL_PER_DOUBLING), place(event));
      },
      { passive: false }
    );
    return cancel;
  }
  function chooseDrag(event, handlers) {
    if (event.button === MIDDLE_BUTTON || handlers.isPanning()) return "pan";
    return handlers.isPainting() && event.button === 0 ? "stroke" : "undecided";
  }
  function follow(gesture, event, at, handlers) {
    const last2 = gesture.points.at(-1) ?? gesture.start;
    const slack = event.pointerType === "touch" ? CLICK_SLACK.touch : CLICK_SLACK.mouse;
    if (gesture.kind === "undecided" && distance(gesture.start, at) >= slack) gesture.kind = "box";
    if (gesture.kind === "pan") handlers.onPan(at[0] - last2[0], at[1] - last2[1]);
    if (gesture.kind === "undecided") return;
    gesture.points.push(at);
    if (gesture.kind === "box") handlers.onBox(gesture.start, at, false);
    if (gesture.kind === "stroke") handlers.onStroke(gesture.points, false);
  }
  function finish(gesture, at, handlers) {
    if (gesture.kind === "undecided") handlers.onClick(gesture.start, gesture.isNegative);
    if (gesture.kind === "box") handlers.onBox(gesture.start, at, true);
    if (gesture.kind === "stroke") handlers.onStroke(gesture.points, true);
  }
  function pinch(fingers, moved, at, handlers) {
    const before = fingers.get(moved);
    const other = [...fingers].find(([pointer]) => pointer !== moved)?.[1];
    if (before === void 0 || other === void 0) return;
    fingers.set(moved, at);
    const middle = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
    handlers.onPan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    handlers.onZoom(distance(at, other) / Math.max(distance(before, other), 1), middle);
  }
  function distance([x0, y0], [x1, y1]) {
    return Math.hypot(x1 - x0, y1 - y0);
  }

  // src/demo/pointing.ts
  var ARROWS = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1]
  };
  var CROSSHAIR_STEP = 12;
  var Pointing = class {
    constructor(around) {
      this.around = around;
      const { element } = around.stage;
      this.cancel = listenToGestures(element, this);
      element.addEventListener("keydown", (event) => this.onStageKey(event));
      document.addEventListener("keydown", (event) => this.onSpaceDown(event));
      document.addEventListener("keyup", (event) => this.onSpaceUp(event));
      window.addEventListener("blur", () => this.setSpace(false));
    }
    around;
    /** Stops the drag under way; whether there was one. */
    cancel;
    isSpaceHeld = false;
    hasPanned = false;
    /** The keyboard's place in image pixels, and whether it moved since its last point. */
    crosshair = null;
    hasMoved = false;
    /** The first corner of a box that the keyboard draws. */
    corner = null;
    isPainting() {
      return this.around.tool() === "scribble";
    }
    isPanning() {
      return this.isSpaceHeld;
    }
    onClick(at, isNegative) {
      this.hideCrosshair();
      this.addPoint(this.around.stage.toImage(at), isNegative);
    }
    onBox(from, to, isDone) {
      const { stage } = this.around;
      const image = this.around.image();
      if (image === null) return;
      this.drawBox(image, stage.toImage(from), stage.toImage(to), isDone);
    }
    onStroke(points, isDone) {
      const { stage } = this.around;
      const image = this.around.image();
      if (image === null) return;
      const radius = this.around.brush() / 2 / stage.scale;
      const stroke = { radius, points: points.map((at) => stage.toImage(at)) };
      stage.setPointer({ at: points.at(-1) ?? [0, 0], brush: this.around.brush() });
      if (!isDone) return stage.setDraft({ stroke });
      stage.setDraft({});
      if (!stroke.points.some((at) => isInside(at, image))) return;
      image.change({ prompt: addStroke(image.draft.prompt, stroke) });
    }
    onCancel() {
      this.around.stage.setDraft({});
    }
    onHover(at, isNegative) {
      const { stage } = this.around;
      stage.setPointer(at === null ? null : { at, brush: this.isPainting() ? this.around.brush() : null });
      this.preview(at === null ? null : stage.toImage(at), isNegative);
    }
    onPan(dx, dy) {
      this.hasPanned = true;
      this.around.stage.pan(dx, dy);
    }
    onZoom(factor, at) {
      this.around.stage.zoom(factor, at);
    }
    /** Forget the crosshair and the box that it began; whether there was one. */
    hideCrosshair() {
      const wasShown = this.crosshair !== null;
      this.crosshair = this.corner = null;
      this.hasMoved = false;
      this.around.stage.setCrosshair(null);
      this.around.stage.setDraft({});
      return wasShown;
    }
    preview(at, isNegative) {
      const image = this.around.image();
      const prompt = at === null || image === null ? null : this.promptAt(image, at, isNegative);
      this.around.onHover(this.isPainting() || this.isSpaceHeld ? null : prompt);
    }
    /** The prompt with one more point; null where that would be none. */
    promptAt(image, at, isNegative) {
      const isExcluding = isNegative || this.around.tool() === "exclude";
      const prompt = addPoint(image.draft.prompt, at, !isExcluding);
      return isInside(at, image) && hasObject(prompt) ? prompt : null;
    }
    addPoint(at, isNegative) {
      const image = this.around.image();
      if (image === null || !isInside(at, image)) return;
      const prompt = this.promptAt(image, at, isNegative);
      if (prompt === null) say("Click the object first; then exclude what is not part of it.");
      else image.change({ prompt });
    }
    drawBox(image, from, to, isDone) {
      const prompt = setBox(image.draft.prompt, from, to, image);
      if (!isDone) return this.around.stage.setDraft({ box: prompt.box });
      this.around.stage.setDraft({});
      const [left, top, right, bottom] = prompt.box ?? [0, 0, 0, 0];
      if (right - left >= 1 && bottom - top >= 1) image.change({ prompt });
    }
    onStageKey(event) {
      const arrow = ARROWS[event.key];
      const image = this.around.image();
      if (image === null || event.ctrlKey || event.metaKey) return;
      if (arrow !== void 0) {
        const step = event.shiftKey ? 1 : CROSSHAIR_STEP;
        this.crosshair = this.around.stage.moveCrosshair(step * arrow[0], step * arrow[1]);
        this.hasMoved = true;
        if (this.corner !== null) this.drawBox(image, this.corner, this.crosshair, false);
        else this.preview(this.crosshair, event.altKey);
      } else if (event.key === "Enter" && this.crosshair !== null && this.hasMoved) this.place(event);
      else if (event.key === "b" && this.crosshair !== null) this.placeCorner(image, this.crosshair);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }
    /** Put a point at the crosshair, or end the box that was begun. */
    place(event) {
      const image = this.around.image();
      if (this.crosshair === null || image === null) return;
      this.hasMoved = false;
      if (this.corner !== null) this.placeCorner(image, this.crosshair);
      else this.addPoint(this.crosshair, event.altKey);
    }
    placeCorner(image, at) {
      if (this.corner === null) {
        this.corner = at;
        return say("Box begun: move with the arrows, then press B or Enter.");
      }
      const from = this.corner;
      this.corner = null;
      this.hasMoved = false;
      this.drawBox(image, from, at, true);
    }
    onSpaceDown(event) {
      if (event.key !== " " || isControl(event.target) || event.defaultPrevented) return;
      event.preventDefault();
      if (!event.repeat) this.setSpace(true);
    }
    /** Space pans while it is held; without a drag it places a point. */
    onSpaceUp(event) {
      if (event.key !== " " || !this.isSpaceHeld) return;
      const isTap = !this.hasPanned;
      this.setSpace(false);
      if (isTap && document.activeElement === this.around.stage.element) this.place(event);
    }
    setSpace(isHeld) {
      this.isSpaceHeld = isHeld;
      this.hasPanned = false;
      this.around.stage.element.classList.toggle("is-panning", isHeld);
    }
  };
  function isControl(target) {
    return target instanceof Element && target.closest("button, input, textarea, select, a, dialog") !== null;
  }

  // src/shared/overlay.ts
  var LABEL_HEIGHT = 18;
  var LABEL_STEP = 1.1;
  var MOST_MOVES = 20;
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
        class: `object${object.path ? "" : " is-box"}${isRejected(object) ? " is-rejected" : ""}`,
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
    /** Puts names above their objects at the size of text on screen, inside the view, clear of each other. */
    placeLabels() {
      const scale = this.scale();
      const view = this.element.viewBox.baseVal;
      const taken = [];
      for (const { object, label } of this.drawn) {
        if (label.classList.contains("is-hidden")) continue;
        const text = label.lastElementChild;
        const width = text.getComputedTextLength() + 8;
        label.firstElementChild?.setAttribute("width", String(width));
        const size = { width: width / scale, height: LABEL_HEIGHT / scale };
        const x = clamp(object.bbox[0], view.x, view.x + view.width - size.width);
        const place = findFree({ ...size, x, y: object.bbox[1] - size.height }, taken, view);
        taken.push(place);
        label.setAttribute("transform", `translate(${place.x} ${place.y}) scale(${1 / scale})`);
      }
    }
  };
  function findFree(wanted, taken, view) {
    const lowest = view.y + view.height - wanted.height;
    let place = { ...wanted, y: clamp(wanted.y, view.y, lowest) };
    for (let move = 1; move <= MOST_MOVES && taken.some((other) => overlap(place, other)); move++) {
      place = { ...place, y: clamp(wanted.y + move * LABEL_STEP * wanted.height, view.y, lowest) };
    }
    return place;
  }
  function overlap(one, other) {
    const isBeside = one.x >= other.x + other.width || other.x >= one.x + one.width;
    return !isBeside && one.y < other.y + other.height && other.y < one.y + one.height;
  }
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
    return h("span", { class: "chip" }, dot, h("bdi", {}, name || "no class"));
  }
  function drawLabel(object) {
    const score = object.score === null ? "" : ` ${object.score.toFixed(2)}`;
    const name = object.category.length > 40 ? `${object.category.slice(0, 39)}\u2026` : object.category;
    return svg(
      "g",
      { class: isRejected(object) ? "label is-rejected" : "label" },
      svg("rect", { height: LABEL_HEIGHT, rx: 3, fill: object.colour }),
      svg("text", { x: 4, y: 13, fill: chooseInk(object.colour) }, `${name}${score}`)
    );
  }
  function isRejected(object) {
    return object.verdict === "rejected";
  }
  function clamp(value, least, most) {
    return Math.max(least, Math.min(value, most));
  }

  // src/demo/viewport.ts
  var MARGIN = 12;
  var LEAST_OF_FIT = 0.5;
  var MOST_OF_FIT = 40;
  var MOST_PIXELS_A_PIXEL = 16;
  var KEPT = 48;
  var Viewport = class {
    constructor(image, stage) {
      this.image = image;
      this.stage = stage;
      this.fit();
    }
    image;
    stage;
    /** Page pixels per image pixel. */
    scale = 1;
    left = 0;
    top = 0;
    isFitted = true;
    /** Show the whole image, as large as the stage allows. */
    fit() {
      this.scale = this.fittedScale();
      this.left = (this.stage.width - this.image.width * this.scale) / 2;
      this.top = (this.stage.height - this.image.height * this.scale) / 2;
      this.isFitted = true;
    }
    /** Take a new size of the stage; a fitted image stays fitted, another keeps its middle. */
    resize(stage) {
      const middle = this.toImage([this.stage.width / 2, this.stage.height / 2]);
      this.stage = stage;
      if (this.isFitted) return this.fit();
      this.left = stage.width / 2 - middle[0] * this.scale;
      this.top = stage.height / 2 - middle[1] * this.scale;
      this.keepInSight();
    }
    /** Zoom by a factor around a place of the stage, which stays where it is. */
    zoom(factor, at = [this.stage.width / 2, this.stage.height / 2]) {
      const fitted = this.fittedScale();
      const most = Math.max(fitted * MOST_OF_FIT, MOST_PIXELS_A_PIXEL);
      const scale = Math.min(Math.max(this.scale * factor, fitted * LEAST_OF_FIT), most);
      const [x, y] = this.toImage(at);
      this.scale = scale;
      this.left = at[0] - x * scale;
      this.top = at[1] - y * scale;
      this.isFitted = false;
      this.keepInSight();
    }
    pan(dx, dy) {
      this.left += dx;
      this.top += dy;
      this.isFitted = false;
      this.keepInSight();
    }
    toImage([x, y]) {
      return [(x - this.left) / this.scale, (y - this.top) / this.scale];
    }
    toStage([x, y]) {
      return [this.left + x * this.scale, this.top + y * this.scale];
    }
    fittedScale() {
      const { image, stage } = this;
      const width = Math.max(stage.width - 2 * MARGIN, 1);
      const height = Math.max(stage.height - 2 * MARGIN, 1);
      return Math.min(width / image.width, height / image.height);
    }
    keepInSight() {
      const width = this.image.width * this.scale;
      const height = this.image.height * this.scale;
      this.left = Math.min(Math.max(this.left, KEPT - width), this.stage.width - KEPT);
      this.top = Math.min(Math.max(this.top, KEPT - height), this.stage.height - KEPT);
    }
  };

  // src/demo/stage.ts
  var POINT_RADIUS = 6;
  var MAGNIFIED = 6;
  var Stage = class {
    element;
    picture = h("img", { class: "picture", alt: "" });
    // Two drawings: masks scale with the image, marks keep their size at every zoom.
    masks = svg("svg", { class: "mask-layer", "aria-hidden": "true" });
    marks = svg("svg", { class: "marks", "aria-hidden": "true" });
    frame = h("div", { class: "picture-frame" }, this.picture, this.masks);
    plate = h("span", { class: "plate", "data-testid": "hover-name", hidden: true });
    layers = {
      strokes: svg("g", { class: "strokes" }),
      current: svg("g", { class: "current", "data-testid": "current-mask" }),
      hover: svg("g", { class: "hover", "data-testid": "hover-mask" })
    };
    accepted = null;
    view = null;
    size = { width: 1, height: 1 };
    prompt = EMPTY;
    draft = { box: null, stroke: null };
    crosshair = null;
    pointer = null;
    hoverText = "";
    constructor() {
      const { strokes, current: current2, hover } = this.layers;
      this.masks.append(strokes, current2, hover);
      this.element = h(
        "div",
        {
          class: "demo-stage",
          tabindex: "0",
          role: "application",
          "aria-label": "Image",
          "aria-roledescription": "image to segment",
          "aria-describedby": "stage-help",
          "data-testid": "stage"
        },
        this.frame,
        this.marks,
        this.plate
      );
      new ResizeObserver(() => {
        this.view?.resize(this.room());
        this.draw();
      }).observe(this.element);
    }
    /** Show an image of a size; its picture may have fewer pixels. */
    show(address, name, size) {
      this.size = size;
      this.frame.hidden = false;
      const onload = () => this.draw();
      const picture = h("img", { class: "picture", src: address, alt: name, draggable: "false", onload });
      this.element.setAttribute("aria-label", `Image ${name}`);
      this.picture.replaceWith(picture);
      this.picture = picture;
      this.masks.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
      this.view = new Viewport(size, this.room());
      this.accepted?.destroy();
      this.accepted = new Overlay({ ...size, names: "all" });
      this.masks.before(this.accepted.element);
      this.crosshair = null;
      this.draw();
    }
    /** Show no image. */
    hide() {
      this.view = null;
      this.frame.hidden = true;
      this.marks.replaceChildren();
    }
    get scale() {
      return this.view?.scale ?? 1;
    }
    toImage(at) {
      return this.view?.toImage(at) ?? at;
    }
    setAccepted(objects) {
      this.accepted?.setObjects(objects);
    }
    /** Emphasise one accepted object, or none. */
    highlight(key) {
      this.accepted?.setSelected(key);
    }
    /** Draw the mask of the current prompt; an outdated one stays, faded, until the next. */
    setCurrent(path, isOutdated = false) {
      this.layers.current.classList.toggle("is-outdated", isOutdated);
      this.layers.current.replaceChildren(...path === null ? [] : [outline(path)]);
    }
    setHover(path, text = "") {
      this.layers.hover.replaceChildren(...path === null ? [] : [outline(path)]);
      this.hoverText = path === null ? "" : text;
      this.drawMarks();
    }
    setPrompt(prompt) {
      this.prompt = prompt;
      this.drawStrokes();
      this.drawMarks();
    }
    /** Draw the box or stroke that is being dragged. */
    setDraft(draft) {
      this.draft = { box: draft.box ?? null, stroke: draft.stroke ?? null };
      this.drawStrokes();
      this.drawMarks();
    }
    setPointer(pointer) {
      this.pointer = pointer;
      this.drawMarks();
    }
    /** The crosshair of the keyboard, in image pixels; null hides it. */
    setCrosshair(at) {
      this.crosshair = at;
      this.drawMarks();
    }
    /** Move the crosshair by page pixels, from the middle of the image if it was hidden. */
    moveCrosshair(dx, dy) {
      const { width, height } = this.size;
      const [x, y] = this.crosshair ?? [width / 2, height / 2];
      const clamp2 = (value, most) => Math.min(Math.max(value, 0), most - 0.1);
      const at = [clamp2(x + dx / this.scale, width), clamp2(y + dy / this.scale, height)];
      this.setCrosshair(at);
      return at;
    }
    zoom(factor, at) {
      this.view?.zoom(factor, at);
      this.draw();
    }
    pan(dx, dy) {
      this.view?.pan(dx, dy);
      this.draw();
    }
    fit() {
      this.view?.fit();
      this.draw();
    }
    room() {
      return { width: this.element.clientWidth, height: this.element.clientHeight };
    }
    draw() {
      const { view, size } = this;
      if (view === null) return;
      this.frame.style.left = `${view.left}px`;
      this.frame.style.top = `${view.top}px`;
      this.frame.style.width = `${size.width * view.scale}px`;
      this.frame.style.height = `${size.height * view.scale}px`;
      const pixelSide = size.width * view.scale / Math.max(this.picture.naturalWidth, 1);
      this.picture.classList.toggle("is-magnified", pixelSide >= MAGNIFIED);
      this.drawMarks();
    }
    drawStrokes() {
      const { stroke } = this.draft;
      const strokes = stroke === null ? this.prompt.strokes : [...this.prompt.strokes, stroke];
      this.layers.strokes.replaceChildren(...strokes.map(drawStroke));
    }
    drawMarks() {
      const { view } = this;
      if (view === null) return;
      const box = this.draft.box ?? this.prompt.box;
      const marks = [];
      if (box !== null) marks.push(...drawBox(box, view));
      for (const [x, y, label] of this.prompt.points) marks.push(drawPoint(view.toStage([x, y]), label));
      if (this.crosshair !== null) marks.push(drawCrosshair(view.toStage(this.crosshair)));
      if (this.pointer !== null && this.pointer.brush !== null) {
        const [cx, cy] = this.pointer.at;
        marks.push(svg("circle", { class: "brush", cx, cy, r: this.pointer.brush / 2 }));
      }
      this.marks.replaceChildren(...marks);
      this.drawHoverPlate();
    }
    /** Write the preview's name next to the pointer. */
    drawHoverPlate() {
      const { plate, pointer } = this;
      plate.hidden = this.hoverText === "" || pointer === null;
      if (plate.hidden || pointer === null) return;
      plate.textContent = this.hoverText;
      const [x, y] = pointer.at;
      const room = this.room();
      plate.style.left = `${Math.max(0, Math.min(x + 14, room.width - plate.offsetWidth - 2))}px`;
      plate.style.top = `${Math.max(0, Math.min(y + 18, room.height - plate.offsetHeight - 2))}px`;
    }
  };
  function outline(path) {
    return svg(
      "g",
      {},
      svg("path", { class: "rim", d: path, "fill-rule": "evenodd" }),
      svg("path", { class: "line", d: path, "fill-rule": "evenodd" })
    );
  }
  function drawStroke(stroke) {
    const [first2] = stroke.points;
    const points = first2 === void 0 ? [] : [first2, ...stroke.points];
    return svg("polyline", {
      points: points.map(([x, y]) => `${x},${y}`).join(" "),
      "stroke-width": 2 * stroke.radius
    });
  }
  function drawBox([left, top, right, bottom], view) {
    const [x, y] = view.toStage([left, top]);
    const frame = { x, y, width: (right - left) * view.scale, height: (bottom - top) * view.scale };
    return [svg("rect", { class: "box-rim", ...frame }), svg("rect", { class: "box", ...frame })];
  }
  function drawPoint([x, y], label) {
    const arm = POINT_RADIUS / 2;
    const plus = `M${x - arm} ${y}h${2 * arm}` + (label ? `M${x} ${y - arm}v${2 * arm}` : "");
    return svg(
      "g",
      { class: label ? "point" : "point is-negative" },
      svg("circle", { cx: x, cy: y, r: POINT_RADIUS }),
      svg("path", { d: plus })
    );
  }
  function drawCrosshair([x, y]) {
    const path = `M${x - 16} ${y}h12M${x + 4} ${y}h12M${x} ${y - 16}v12M${x} ${y + 4}v12`;
    return svg(
      "g",
      { class: "crosshair", "data-testid": "crosshair" },
      svg("path", { class: "rim", d: path }),
      svg("path", { class: "line", d: path })
    );
  }

  // src/demo/strip.ts
  var ITEM = 96;
  var SPARE = 3;
  var THUMBNAIL_SIDE = 192;
  var Strip = class {
    constructor(onChoose) {
      this.onChoose = onChoose;
      this.list = h("div", { class: "strip-list", role: "presentation" });
      this.element = h(
        "div",
        {
          class: "strip",
          role: "listbox",
          tabindex: "0",
          "aria-label": "Images",
          "data-testid": "strip"
        },
        this.list
      );
      this.element.addEventListener("scroll", () => this.draw(), { passive: true });
      this.element.addEventListener("keydown", (event) => this.onKey(event));
      new ResizeObserver(() => this.draw()).observe(this.element);
    }
    onChoose;
    element;
    list;
    items = /* @__PURE__ */ new Map();
    counts = /* @__PURE__ */ new Map();
    images = [];
    current = -1;
    show(images) {
      this.images = images;
      this.items.forEach((item) => item.remove());
      this.items.clear();
      this.element.hidden = images.length === 0;
      this.draw();
    }
    /** Mark the image of a row as the current one and scroll it into sight. */
    choose(row) {
      this.current = this.images.findIndex((image) => image.row === row);
      if (this.current < 0) return;
      const { start, length } = this.window();
      const from = this.current * ITEM;
      if (from < start) this.scrollTo(from);
      if (from + ITEM > start + length) this.scrollTo(from + ITEM - length);
      this.draw();
      this.items.forEach((item, index) => this.mark(item, index));
    }
    /** Show how many objects of a row are accepted. */
    count(row, accepted) {
      this.counts.set(row, accepted);
      const index = this.images.findIndex((image) => image.row === row);
      const item = this.items.get(index);
      if (item !== void 0) this.mark(item, index);
    }
    get isRow() {
      return getComputedStyle(this.element).getPropertyValue("--strip-axis").trim() === "x";
    }
    window() {
      return this.isRow ? { start: this.element.scrollLeft, length: this.element.clientWidth } : { start: this.element.scrollTop, length: this.element.clientHeight };
    }
    scrollTo(start) {
      if (this.isRow) this.element.scrollLeft = start;
      else this.element.scrollTop = start;
    }
    /** Keep elements for the images in sight only. */
    draw() {
      const total = `${this.images.length * ITEM}px`;
      this.list.style.width = this.isRow ? total : "";
      this.list.style.height = this.isRow ? "" : total;
      const { start, length } = this.window();
      const first2 = Math.max(0, Math.floor(start / ITEM) - SPARE);
      const end = Math.min(this.images.length, Math.ceil((start + length) / ITEM) + SPARE);
      for (const [index, item] of this.items) {
        if (index >= first2 && index < end) continue;
        item.remove();
        this.items.delete(index);
      }
      for (let index = first2; index < end; index++) {
        const image = this.images[index];
        if (image === void 0) continue;
        const item = this.items.get(index) ?? this.build(image, index);
        item.style.left = this.isRow ? `${index * ITEM}px` : "";
        item.style.top = this.isRow ? "" : `${index * ITEM}px`;
      }
    }
    build(image, index) {
      const picture = h("img", {
        src: `thumbnail/${image.row}?side=${THUMBNAIL_SIDE}`,
        alt: "",
        draggable: "false"
      });
      picture.addEventListener("error", () => picture.remove());
      const item = h(
        "div",
        {
          class: "strip-item",
          role: "option",
          id: `image-${image.row}`,
          title: image.file_name,
          "aria-setsize": String(this.images.length),
          "aria-posinset": String(index + 1),
          "data-testid": "strip-item"
        },
        picture,
        h("span", { class: "strip-name" }, image.file_name),
        h("span", { class: "strip-count" })
      );
      item.addEventListener("click", () => this.onChoose(image.row));
      this.items.set(index, item);
      this.list.append(item);
      this.mark(item, index);
      return item;
    }
    mark(item, index) {
      const image = this.images[index];
      if (image === void 0) return;
      const isCurrent = index === this.current;
      const accepted = this.counts.get(image.row) ?? 0;
      item.setAttribute("aria-selected", String(isCurrent));
      const spoken = accepted > 0 ? `${image.file_name}, ${accepted} accepted` : image.file_name;
      item.setAttribute("aria-label", spoken);
      const badge = item.querySelector(".strip-count");
      if (badge !== null) badge.textContent = accepted > 0 ? String(accepted) : "";
      if (isCurrent) this.element.setAttribute("aria-activedescendant", item.id);
    }
    onKey(event) {
      const steps = {
        ArrowDown: 1,
        ArrowRight: 1,
        ArrowUp: -1,
        ArrowLeft: -1,
        Home: -this.images.length,
        End: this.images.length
      };
      const step = steps[event.key];
      if (step === void 0) return;
      event.preventDefault();
      event.stopPropagation();
      const index = Math.min(Math.max(this.current + step, 0), this.images.length - 1);
      const image = this.images[index];
      if (image !== void 0) this.onChoose(image.row);
    }
  };

  // src/demo/toolbar.ts
  var HELP = {
    include: "Click: part of the object. Alt-click or right click: not part of it. Drag: a box around it.",
    exclude: "Click: not part of the object. Drag: a box around it.",
    scribble: "Drag: paint the object roughly."
  };
  var HELP_OF_TOUCH = {
    include: "Tap: part of the object. Drag: a box around it. For what is no part of it: Exclude.",
    exclude: "Tap: not part of the object. Drag: a box around it.",
    scribble: "Drag: paint the object roughly."
  };
  var ZOOM_STEP = 1.4;
  var Toolbar = class {
    constructor(actions) {
      this.actions = actions;
      this.tools = /* @__PURE__ */ new Map([
        ["include", this.buildTool("include", "Include", "A click adds to the object")],
        ["exclude", this.buildTool("exclude", "Exclude", "A click takes away from the object (X)")],
        ["scribble", this.buildTool("scribble", "Scribble", "Paint the object roughly (S)")]
      ]);
      this.undoButton = buildButton("Undo", "Undo (Ctrl-Z)", "undo", actions.undo);
      this.redoButton = buildButton("Redo", "Redo (Ctrl-Shift-Z)", "redo", actions.redo);
      this.previewSwitch.addEventListener("change", actions.changed);
      this.element = h(
        "div",
        { class: "toolbar", role: "toolbar", "aria-label": "Tools" },
        h("div", { class: "group", role: "group", "aria-label": "What a click does" }, ...this.tools.values()),
        this.brushLabel,
        h("div", { class: "group" }, this.undoButton, this.redoButton),
        h(
          "div",
          { class: "group" },
          buildButton("\u2212", "Zoom out (-)", "zoom-out", () => actions.zoom(1 / ZOOM_STEP)),
          buildButton("Fit", "Show the whole image (0)", "fit", actions.fit),
          buildButton("+", "Zoom in (+)", "zoom-in", () => actions.zoom(ZOOM_STEP))
        ),
        h("label", { class: "preview-switch", title: "Show what a click would give, while the pointer moves" }, this.previewSwitch, "Preview"),
        buildButton("?", "Keys (?)", "help", actions.help)
      );
      this.show();
    }
    actions;
    element;
    help = h("p", { id: "stage-help", class: "stage-help" });
    tools;
    brushSize = h("input", {
      type: "range",
      min: "4",
      max: "80",
      value: "24",
      "aria-label": "Brush size in pixels of the page",
      "data-testid": "brush"
    });
    brushLabel = h("label", { class: "brush-size", hidden: true }, "Brush", this.brushSize);
    previewSwitch = h("input", { type: "checkbox", checked: true, "data-testid": "preview" });
    undoButton;
    redoButton;
    current = "include";
    get tool() {
      return this.current;
    }
    /** Diameter of the brush in page pixels. */
    get brush() {
      return Number(this.brushSize.value);
    }
    get hasPreview() {
      return this.previewSwitch.checked;
    }
    /** Choose a tool; choosing it again goes back to including. */
    toggle(tool) {
      this.current = this.current === tool ? "include" : tool;
      this.show();
      this.actions.changed();
    }
    showHistory(canUndo, canRedo) {
      this.undoButton.disabled = !canUndo;
      this.redoButton.disabled = !canRedo;
    }
    show() {
      this.tools.forEach((button2, tool) => button2.setAttribute("aria-pressed", String(tool === this.current)));
      this.brushLabel.hidden = this.current !== "scribble";
      this.help.textContent = (matchMedia("(hover: none)").matches ? HELP_OF_TOUCH : HELP)[this.current];
    }
    buildTool(tool, text, title) {
      return buildButton(text, title, `tool-${tool}`, () => {
        this.current = tool;
        this.show();
        this.actions.changed();
      });
    }
  };
  function buildButton(text, title, testId, onclick) {
    const name = text.length > 1 ? null : title;
    return h("button", { type: "button", title, "aria-label": name, "data-testid": testId, onclick }, text);
  }

  // src/demo/uploads.ts
  function listenToFiles(root, onFiles) {
    let depth = 0;
    const show3 = (change) => {
      depth = Math.max(0, depth + change);
      root.classList.toggle("is-dropping", depth > 0);
    };
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
    document.addEventListener("dragenter", (event) => {
      if (hasFiles(event)) show3(1);
    });
    document.addEventListener("dragleave", (event) => {
      if (hasFiles(event)) show3(-1);
    });
    document.addEventListener("dragover", (event) => {
      if (hasFiles(event)) event.preventDefault();
    });
    document.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      show3(-depth);
      onFiles([...event.dataTransfer?.files ?? []]);
    });
    document.addEventListener("paste", (event) => {
      const files = [...event.clipboardData?.files ?? []];
      if (files.length === 0) return;
      event.preventDefault();
      onFiles(files);
    });
  }

  // src/demo/vocabulary_panel.ts
  var VocabularyPanel = class {
    constructor(actions, builtIns) {
      this.actions = actions;
      const apply2 = h("button", { type: "submit", "data-testid": "apply-vocabulary" }, "Use these names");
      const form = h("form", { class: "stack" }, this.text, h("div", { class: "line" }, apply2, this.lists));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        actions.useNames(this.text.value);
      });
      this.text.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
      });
      this.lists.append(
        h("option", { value: "" }, "or a list\u2026"),
        ...builtIns.map(
          ({ name, classes }) => h("option", { value: name }, `${name} (${classes.toLocaleString("en")})`)
        )
      );
      this.lists.addEventListener("change", () => {
        if (this.lists.value !== "") actions.useBuiltIn(this.lists.value);
      });
      this.element = h(
        "section",
        { class: "demo-panel", "aria-labelledby": "vocabulary-title" },
        h("h2", { id: "vocabulary-title" }, "Names to choose from"),
        form,
        this.status,
        this.examplesTitle,
        this.examples
      );
    }
    actions;
    element;
    text = h("textarea", {
      class: "field",
      rows: "4",
      spellcheck: "false",
      "aria-label": "Names, separated by commas or lines",
      "data-testid": "vocabulary"
    });
    lists = h("select", { "aria-label": "Built-in list", "data-testid": "built-in" });
    status = h("p", { class: "about", role: "status", "data-testid": "vocabulary-status" });
    examples = h("ul", { class: "examples", "data-testid": "examples" });
    examplesTitle = h("h3", { hidden: true }, "Classes by examples");
    showText(text, classes) {
      this.text.value = text;
      this.status.textContent = countClasses(classes);
    }
    showBusy() {
      this.status.classList.remove("is-error");
      this.status.textContent = "Reading the names\u2026";
    }
    showVocabulary(vocabulary, builtIn) {
      if (builtIn !== null) this.text.value = vocabulary.names.slice(0, SHOWN).join(", ");
      if (builtIn !== null && vocabulary.classes > SHOWN) this.text.value = builtIn;
      if (builtIn === null) this.lists.value = "";
      this.status.classList.remove("is-error");
      this.status.textContent = `${countClasses(vocabulary.classes)}, ${vocabulary.seconds.toFixed(1)} s`;
    }
    showError(sentence) {
      this.status.classList.add("is-error");
      this.status.textContent = sentence;
      this.lists.value = "";
    }
    showExamples(examples) {
      this.examplesTitle.hidden = examples.length === 0;
      this.examples.replaceChildren(...examples.map((example) => this.buildExample(example)));
    }
    buildExample(example) {
      const remove = h(
        "button",
        { type: "button", class: "plain icon", "aria-label": `Remove this example of ${example.name}` },
        "\xD7"
      );
      remove.addEventListener("click", () => this.actions.removeExample(example));
      return h("li", { class: "shown-example" }, h("bdi", { class: "name-text" }, example.name), remove);
    }
  };
  var SHOWN = 100;
  function countClasses(classes) {
    return classes === 1 ? "1 class" : `${classes.toLocaleString("en")} classes`;
  }

  // src/demo/demo.ts
  var NONE = [];
  var Demo = class {
    constructor(root, begin) {
      this.begin = begin;
      this.images = [...begin.images];
      this.toolbar = new Toolbar({
        undo: () => void this.attempt(() => this.image?.history.undo()),
        redo: () => void this.attempt(() => this.image?.history.redo()),
        zoom: (factor) => this.stage.zoom(factor),
        fit: () => this.stage.fit(),
        changed: () => this.showTool(),
        help: () => showKeys(this.keys)
      });
      this.current = new CurrentPanel({
        rename: (name) => this.chooseName(name),
        accept: () => void this.accept(),
        clear: () => this.clear(),
        addExample: (name) => void this.addExample(name)
      });
      this.accepted = new AcceptedPanel(
        {
          highlight: (key) => this.stage.highlight(key),
          rename: (object, name) => void this.attempt(() => this.image?.rename(object, name)),
          canRestore: (object) => this.image?.canRestore(object) ?? false,
          remove: (object) => void this.remove(object),
          writeAnnotations: () => void this.writeAnnotations()
        },
        begin.output
      );
      this.vocabulary = new VocabularyPanel(
        {
          useNames: (text) => void this.useVocabulary({ text }),
          useBuiltIn: (builtin) => void this.useVocabulary({ builtin }),
          removeExample: (example) => void this.removeExample(example)
        },
        begin.vocabularies
      );
      this.layout = new Layout(root, begin, {
        strip: this.strip.element,
        toolbar: this.toolbar.element,
        stage: this.stage.element,
        help: this.toolbar.help,
        quick: this.current.quick,
        panels: [this.current.element, this.accepted.element, this.vocabulary.element],
        onFiles: (files) => void this.upload(files)
      });
      this.pointing = new Pointing({
        stage: this.stage,
        image: () => this.image,
        tool: () => this.toolbar.tool,
        brush: () => this.toolbar.brush,
        onHover: (prompt) => this.wantPreview(prompt)
      });
      root.append(buildCompletion(root));
      listenToFiles(root, (files) => void this.upload(files));
      listenToKeys(this.keys);
      document.addEventListener("keydown", (event) => this.onUndoKey(event));
    }
    begin;
    stage = new Stage();
    toolbar;
    strip = new Strip((row) => void this.open(row));
    current;
    accepted;
    vocabulary;
    layout;
    pointing;
    connection = new Connection((isLost) => this.showConnection(isLost));
    opening = new Newest();
    naming = new Newest();
    previews = new Throttled(
      ({ image, prompt }) => this.askPreview(image, prompt),
      (preview2, found) => this.showPreview(preview2, found),
      () => this.stage.setHover(null)
    );
    keys = this.buildKeys();
    images;
    opened = /* @__PURE__ */ new Map();
    image = null;
    /** Row of the image that is shown or being opened; -1 for none. */
    row = -1;
    sequence = 0;
    isPreviewWanted = false;
    shownFound = null;
    shownAccepted = null;
    /** Show the start data and open the first image. */
    start() {
      const { text, classes } = this.begin.vocabulary;
      this.vocabulary.showText(text, classes);
      this.vocabulary.showExamples(this.begin.examples);
      this.strip.show(this.images);
      this.show();
      const [first2] = this.images;
      if (first2 !== void 0) void this.open(first2.row);
    }
    async open(row) {
      if (row === this.row && this.image !== null) return;
      this.image?.leave();
      this.image = null;
      this.row = row;
      this.pointing.cancel();
      this.pointing.hideCrosshair();
      this.wantPreview(null);
      this.strip.choose(row);
      this.layout.showFile(this.nameOf(row), "");
      this.layout.showLatency("");
      this.stage.hide();
      this.show();
      this.layout.showWaiting(true);
      try {
        const opened = await this.opening.ask(
          (signal) => this.connection.keepAsking(() => openImage(row, signal), signal)
        );
        if (opened !== void 0) this.enter(opened);
      } catch (error) {
        this.layout.showWaiting(false);
        this.layout.showProblem(describe(error));
      }
    }
    /** Show an image that the server has encoded. */
    enter(opened) {
      const { row, width, height, seconds, warning } = opened;
      const known = this.opened.get(row);
      const image = known ?? new ImageWork(opened, this.connection, (changed) => this.onChange(changed));
      this.opened.set(row, image);
      this.image = image;
      const name = this.nameOf(row);
      this.stage.show(`picture/${row}`, name, image);
      this.layout.showFile(name, `${width} \xD7 ${height}`);
      this.layout.showLatency(`read and encoded in ${seconds.toFixed(2)} s`);
      image.setAccepted(opened);
      if (!isEmpty(image.draft.prompt)) image.refresh();
      if (warning !== null && known === void 0) say(warning);
    }
    onChange(image) {
      this.strip.count(image.row, image.accepted.length);
      if (image === this.image) this.show();
    }
    /** Draw all that depends on the open image. */
    show() {
      const { image } = this;
      const draft = image?.draft ?? NOTHING;
      const found = image?.found ?? null;
      this.stage.setPrompt(draft.prompt);
      this.stage.setCurrent(found?.path ?? null, image?.isAsking ?? false);
      this.current.show(found, image?.name ?? null);
      this.showAccepted(image?.accepted ?? NONE);
      this.toolbar.showHistory(image?.history.canUndo ?? false, image?.history.canRedo ?? false);
      this.layout.showWaiting(image?.isAsking ?? false);
      this.layout.showProblem(image?.error ?? null);
      if (image !== null && found !== null && found !== this.shownFound) this.tell(image, found);
      this.shownFound = found;
    }
    /** Draw accepted objects where they changed: a name that is being typed stays. */
    showAccepted(objects) {
      if (objects === this.shownAccepted) return;
      this.shownAccepted = objects;
      this.stage.setAccepted(objects);
      this.accepted.show(objects);
    }
    /** Say how long a new answer took, once it is on the screen, and what it is. */
    tell(image, found) {
      this.stage.setHover(null);
      const { askedAt } = image;
      requestAnimationFrame(() => {
        const shown = Math.round(performance.now() - askedAt);
        const model = Math.round(1e3 * found.model_seconds);
        this.layout.showLatency(`prompt to mask ${shown} ms, of it the model ${model} ms`);
      });
      const share = Math.round(100 * found.area / (image.width * image.height));
      const score = found.names[0]?.score.toFixed(2) ?? "";
      const what = found.path === "" ? "No mask" : `${image.name ?? "Object without a name"} ${score}`;
      this.layout.announce(`${what}, ${share} % of the image. Enter accepts.`);
    }
    showTool() {
      this.stage.element.classList.toggle("is-scribbling", this.toolbar.tool === "scribble");
      this.wantPreview(null);
    }
    wantPreview(prompt) {
      const { image } = this;
      const isWanted = prompt !== null && image !== null && this.toolbar.hasPreview && !image.isAsking;
      this.isPreviewWanted = isWanted;
      if (isWanted) this.previews.put({ image, drawn: image.draft.prompt, prompt });
      else {
        this.previews.clear();
        this.stage.setHover(null);
      }
    }
    askPreview(image, prompt) {
      this.sequence += 1;
      return preview(image.row, toJson(prompt, image), this.begin.page, this.sequence);
    }
    /** Show a preview unless the pointer has left or the prompt has changed meanwhile. */
    showPreview({ image, drawn }, found) {
      const isOf = image === this.image && drawn === image.draft.prompt && !image.isAsking;
      if (!isOf || !this.isPreviewWanted || found.skipped) return;
      const name = found.names[0];
      this.stage.setHover(found.path, name === void 0 ? "" : `${name.category} ${name.score.toFixed(2)}`);
    }
    chooseName(name) {
      if (this.image === null || this.image.found === null) return;
      this.image.change({ name });
      this.stage.element.focus();
    }
    async accept() {
      const { image } = this;
      if (image === null || isEmpty(image.draft.prompt)) return;
      await image.settle();
      if (image.found === null) return;
      if (image.found.path === "") return say("The mask is empty: click the object again.");
      if (image.name === null) {
        this.current.field.focus();
        return say("Type a name for the object first.");
      }
      const { name } = image;
      if (await this.attempt(() => image.accept())) this.layout.announce(`Accepted: ${name}.`);
    }
    clear() {
      if (this.pointing.cancel() || this.pointing.hideCrosshair()) return;
      if (this.image !== null && !isEmpty(this.image.draft.prompt)) this.image.change(NOTHING);
    }
    async remove(object) {
      if (!await this.attempt(() => this.image?.remove(object))) return;
      this.stage.highlight(null);
      this.layout.announce(`Removed: ${object.category}.`);
    }
    async writeAnnotations() {
      await this.attempt(async () => {
        const { annotations } = await this.connection.ask(writeAnnotations);
        say(`Wrote ${annotations}.`);
      });
    }
    async useVocabulary(choice) {
      this.vocabulary.showBusy();
      try {
        const vocabulary = await this.naming.ask(
          (signal) => this.connection.ask(() => setVocabulary(choice, signal))
        );
        if (vocabulary === void 0) return;
        this.vocabulary.showVocabulary(vocabulary, "builtin" in choice ? choice.builtin : null);
        this.image?.refresh();
      } catch (error) {
        this.vocabulary.showError(describe(error));
      }
    }
    async addExample(name) {
      const { image } = this;
      if (image === null || image.found === null) return;
      const question = toJson(image.draft.prompt, image);
      await this.attempt(async () => {
        const add2 = () => addExample(name, image.row, question);
        this.showExamples(await this.connection.ask(add2));
        this.layout.announce(`Added as an example of ${name}.`);
      });
    }
    async removeExample(example) {
      const remove = () => removeExample(example.number);
      await this.attempt(async () => this.showExamples(await this.connection.ask(remove)));
    }
    showExamples(examples) {
      this.vocabulary.showExamples(examples);
      this.image?.refresh();
    }
    async upload(files) {
      let first2 = null;
      for (const file of files) {
        await this.attempt(async () => {
          const image = await this.connection.ask(() => uploadImage(file));
          if (!this.images.some(({ row }) => row === image.row)) this.images.push(image);
          first2 ??= image.row;
        });
      }
      this.strip.show(this.images);
      if (first2 !== null) await this.open(first2);
    }
    /** Do what the server may refuse: a refusal is shown; return whether it was done. */
    async attempt(run) {
      try {
        await run();
        return true;
      } catch (error) {
        sayError(isSilence(error) ? "Not done: the server does not answer." : describe(error));
        if (isSilence(error)) void this.waitForServer();
        return false;
      } finally {
        this.show();
      }
    }
    /** Ask until the server is back; what it has accepted may have changed meanwhile. */
    async waitForServer() {
      const { image } = this;
      if (image === null) return;
      const { row } = image;
      try {
        const opened = await this.opening.ask(
          (signal) => this.connection.keepAsking(() => openImage(row, signal), signal)
        );
        if (opened !== void 0) image.setAccepted(opened);
      } catch (error) {
        this.layout.showProblem(describe(error));
      }
    }
    showConnection(isLost) {
      this.layout.showBanner(
        isLost ? "The server does not answer. Nothing is lost here; asking again until it does." : null
      );
    }
    step(by) {
      const index = this.images.findIndex(({ row }) => row === this.row);
      const next = this.images[index + by];
      if (next !== void 0) void this.open(next.row);
      else say(by > 0 ? "This is the last image." : "This is the first image.");
    }
    nameOf(row) {
      return this.images.find((image) => image.row === row)?.file_name ?? "";
    }
    buildKeys() {
      const nothing = () => void 0;
      return [
        { key: "Enter", about: "accept the object", run: () => void this.accept() },
        { key: "Escape", about: "clear the prompt", run: () => this.clear() },
        { key: "Ctrl+z", about: "undo; with Shift redo", run: nothing },
        { key: "x", about: "exclude: a click takes away", run: () => this.toolbar.toggle("exclude") },
        { key: "s", about: "scribble: paint the object roughly", run: () => this.toolbar.toggle("scribble") },
        { key: "n", about: "next image", run: () => this.step(1) },
        { key: "p", about: "previous image", run: () => this.step(-1) },
        { key: "+", about: "zoom in (or the wheel)", run: () => this.stage.zoom(ZOOM_STEP) },
        { key: "=", about: "", shown: "", run: () => this.stage.zoom(ZOOM_STEP) },
        { key: "-", about: "zoom out", run: () => this.stage.zoom(1 / ZOOM_STEP) },
        { key: "0", about: "show the whole image", run: () => this.stage.fit() },
        { key: "", shown: "Space + drag", about: "move the image", run: nothing },
        { key: "", shown: "Alt + click", about: "exclude (or right click)", run: nothing },
        { key: "", shown: "\u2190 \u2191 \u2192 \u2193", about: "on the image: move a crosshair; with Shift by a pixel", run: nothing },
        { key: "", shown: "Space, Enter", about: "place a point at the crosshair", run: nothing },
        { key: "", shown: "B", about: "begin, then end a box at the crosshair", run: nothing }
      ];
    }
    onUndoKey(event) {
      const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
      if (!isUndo || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
      event.preventDefault();
      const history2 = this.image?.history;
      void this.attempt(() => event.shiftKey ? history2?.redo() : history2?.undo());
    }
  };

  // src/demo/mount.ts
  function mount(root, start) {
    new Demo(root, start).start();
  }

  // src/editors/mount.ts
  function mount2(root, start) {
    const { labels, editors } = start;
    document.title = "ovsam serve";
    root.append(
      h(
        "main",
        { class: "editors" },
        h("header", { class: "editors-head" }, h("h1", {}, "ovsam serve"), buildThemeSwitch()),
        h("p", { class: "muted" }, labels),
        ...editors.map(buildEditor),
        h("p", { class: "muted" }, "Whoever has an address can use this server.")
      )
    );
  }
  function buildEditor({ name, path, where }) {
    const address = new URL(path, document.baseURI).href;
    const copy = h("button", { type: "button", "aria-label": `Copy the address for ${name}` }, "Copy");
    copy.addEventListener("click", () => {
      navigator.clipboard.writeText(address).then(
        () => say(`Address for ${name} copied`),
        () => sayError("The browser does not let this page copy; select the address")
      );
    });
    return h(
      "section",
      { class: "editors-one", "aria-label": name },
      h("h2", {}, name),
      h("p", {}, where),
      h("div", { class: "editors-address" }, h("code", { "data-testid": `address-${path}` }, address), copy)
    );
  }

  // src/gallery/answers.ts
  var CONFLICT = 409;
  var Answers = class {
    constructor(options) {
      this.options = options;
    }
    options;
    given = [];
    get canUndo() {
      return this.given.length > 0;
    }
    /** Stores an answer on an object of an image; returns the image as it is now. */
    async give(before, object, verdict, category) {
      const { source } = this.options;
      if (!source.answer) throw new Error("nothing can be answered here");
      const { row } = before;
      const answer = { row, number: object.number, key: object.key, verdict };
      const after = await source.answer(category === void 0 ? answer : { ...answer, category });
      if (after.answer !== null) {
        this.given.push({ row, answer: after.answer, about: describeAnswer(object, verdict, category), key: object.key });
      }
      return this.show(before, after);
    }
    /** Takes back the last answer of this session; null where there is none. */
    async undo() {
      const last2 = this.given.pop();
      if (!last2) return null;
      try {
        const image = await this.withdraw(await this.options.loader.load(last2.row), last2.answer);
        return { about: last2.about, image, object: image.objects.find(({ key }) => key === last2.key) };
      } catch (error) {
        if (!(error instanceof ApiError && error.status === CONFLICT)) this.given.push(last2);
        throw error;
      }
    }
    /** Brings a rejected object back; returns its image as it is now. */
    async restore(before, rejected) {
      const after = await this.withdraw(before, rejected.key);
      const place = this.given.findIndex(({ answer }) => answer === rejected.key);
      if (place >= 0) this.given.splice(place, 1);
      return after;
    }
    /** Lets all know how a row is now; returns it as it is shown. */
    async show(before, after) {
      const { source, loader, ids, isCompared, onChange } = this.options;
      const [compared] = isCompared ? await source.images([before.row]) : [];
      const now = compared ?? after;
      ids.update(before, now);
      loader.put(now);
      onChange(before.row);
      return now;
    }
    async withdraw(before, answer) {
      if (!this.options.source.withdraw) throw new Error("nothing can be answered here");
      return this.show(before, await this.options.source.withdraw({ row: before.row, answer }));
    }
  };
  function describeAnswer(object, verdict, category) {
    return verdict === "renamed" ? `renamed ${object.category} to ${category ?? ""}` : `${verdict} ${object.category}`;
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
  var OBJECT_CARD = { width: 148, height: 225, gap: 10 };
  var SIDES = [256, 512, 1024, 2048];
  var SURROUNDINGS = 0.25;
  var LEAST_CROP = 24;
  function fillImageCard(card, facts) {
    const { image } = facts;
    const problem = facts.error ?? image?.error ?? null;
    const picture = h("div", { class: "card-picture" });
    if (problem !== null || facts.hasFailed) {
      picture.append(h("p", { class: "card-problem error", "data-testid": "card-error" }, problem));
    } else {
      picture.append(buildThumbnail(facts.thumbnail(chooseSide(IMAGE_CARD.width)), picture));
      if (image) picture.append(drawObjects(image, facts.passes));
    }
    const risk = h(
      "span",
      { class: "card-risk" },
      Number.isNaN(facts.highestRisk) ? "" : `risk ${formatShare(facts.highestRisk)}`
    );
    markRisk(risk, facts.highestRisk);
    card.setAttribute("aria-label", describeImage(facts));
    card.replaceChildren(
      picture,
      h(
        "div",
        { class: "card-text" },
        h(
          "div",
          { class: "card-name", title: image?.file_name },
          h("bdi", {}, image ? shortenName(image.file_name) : "\u2026")
        ),
        h("div", { class: "card-facts muted" }, describeCount(facts), risk)
      )
    );
  }
  function fillObjectCard(card, facts, object, whyGone) {
    const picture = h("div", { class: "card-picture" });
    const { image } = facts;
    if (facts.error !== void 0) {
      picture.append(h("p", { class: "card-problem error" }, facts.error));
    } else if (image && object) {
      picture.append(drawCrop(image, object, facts.thumbnail, () => picture.append(buildGone())));
    } else if (image) {
      picture.append(h("p", { class: "card-problem muted" }, whyGone));
    }
    const risk = h("span", { class: "card-risk" }, object?.risk == null ? "" : `risk ${formatShare(object.risk)}`);
    markRisk(risk, object?.risk ?? NaN);
    card.setAttribute("aria-label", object && image ? describeObject(object, image) : image ? whyGone : "loading");
    card.replaceChildren(
      picture,
      h(
        "div",
        { class: "card-text" },
        h("div", { class: "card-name" }, object ? buildChip(object.category, object.colour) : image ? "" : "\u2026"),
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
  function findCrop(bbox, width, height) {
    const [left, top, boxWidth, boxHeight] = bbox;
    const wanted = Math.max(boxWidth, boxHeight) * (1 + 2 * SURROUNDINGS);
    const side = Math.max(LEAST_CROP, Math.min(wanted, Math.max(width, height)));
    const place = (middle, whole) => side >= whole ? (whole - side) / 2 : Math.max(0, Math.min(middle - side / 2, whole - side));
    return [place(left + boxWidth / 2, width), place(top + boxHeight / 2, height), side];
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
    if (address === "") return buildGone();
    return h("img", {
      src: address,
      alt: "",
      decoding: "async",
      draggable: "false",
      onerror: (event) => {
        if (!event.target.getAttribute("src")) return;
        event.target.remove();
        picture.append(buildGone());
      }
    });
  }
  function buildGone() {
    return h("p", { class: "card-problem muted", "data-testid": "card-gone" }, "The picture cannot be read any more.");
  }
  function drawObjects(image, passes) {
    const area = (object) => object.bbox[2] * object.bbox[3];
    const shapes = [...image.objects].sort((one, other) => area(other) - area(one)).map((object) => drawShape(object, passes(object) ? "mask" : "mask is-other"));
    return svg(
      "svg",
      { class: "masks", viewBox: `0 0 ${image.width ?? 1} ${image.height ?? 1}`, "aria-hidden": "true" },
      ...shapes
    );
  }
  function drawShape(object, kind) {
    if (object.path) {
      return svg("path", { class: kind, d: object.path, color: object.colour, "fill-rule": "evenodd" });
    }
    const [x, y, width, height] = object.bbox;
    return svg("rect", { class: `${kind} is-box`, x, y, width, height, color: object.colour });
  }
  function drawCrop(image, object, thumbnail, onGone) {
    const [width, height] = [image.width ?? 1, image.height ?? 1];
    const [left, top, side] = findCrop(object.bbox, width, height);
    const address = thumbnail(chooseSide(OBJECT_CARD.width * Math.max(width, height) / side));
    const picture = svg("image", { href: address, width, height, preserveAspectRatio: "none" });
    picture.addEventListener("error", () => picture.hasAttribute("href") && onGone());
    if (address === "") onGone();
    return svg(
      "svg",
      { class: "masks crop", viewBox: `${left} ${top} ${side} ${side}`, "aria-hidden": "true" },
      picture,
      drawShape(object, "mask")
    );
  }
  function markRisk(element, risk) {
    element.classList.toggle("is-high", risk >= 0.5);
  }
  function describeCount(facts) {
    if (facts.hasFailed) return "failed";
    const count2 = formatAmount(facts.objects, "object");
    if (facts.difference === null) return count2;
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
  var RANGES = ["risk", "score", "margin"];
  var SORTS = ["risk", "score", "margin", "objects", "row", "name", "difference"];
  var REVIEWS = ["any", "unseen", "seen", "accepted", "renamed", "redrawn", "rejected", "added"];
  var STATUSES = ["any", "labelled", "empty", "failed"];
  var DIFFERENCES = ["any", "different", "same", "alone"];
  var ANY = { low: 0, high: 1 };
  function isAny(range) {
    return range.low <= 0 && range.high >= 1;
  }
  function makeDefaultView(sorts) {
    const wanted = ["difference", "risk", "score"];
    return {
      mode: "images",
      sort: wanted.find((name) => sorts.includes(name)) ?? "row",
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
        h("div", { class: "filters-title" }, h("h2", {}, "Filters"), this.clear),
        ...this.parts.map((part) => part.element)
      );
    }
    /** Shows what is set, and what each choice would show. */
    update(view, choices) {
      for (const part of this.parts) part.update(view, choices);
      const set = countFilters(view);
      this.clear.hidden = set === 0;
      this.clear.replaceChildren(`Clear all (${set})`);
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
    const buildRow = (category, place) => {
      const count2 = h("span", { class: "count" });
      const box = h("input", {
        type: "checkbox",
        onchange: () => {
          if (box.checked) chosen.add(category.name);
          else chosen.delete(category.name);
          onChange({ classes: [...chosen] });
        }
      });
      const element = h(
        "label",
        { class: "class-row", "data-testid": "class-row" },
        box,
        buildChip(category.name, category.colour),
        count2
      );
      return { place, category, box, count: count2, element, shown: -1 };
    };
    const rows = categories.map(buildRow);
    rows.sort((one, other) => (total[other.place] ?? 0) - (total[one.place] ?? 0));
    const list = h(
      "div",
      { class: "class-list", role: "group", "aria-label": "Classes" },
      ...rows.map((row) => row.element)
    );
    const rove = makeRoving(list);
    const search = h("input", {
      type: "search",
      id: "filter-class",
      placeholder: `find in ${formatCount(categories.length)} classes`,
      autocomplete: "off",
      "data-testid": "filter-class",
      oninput: () => {
        const wanted = search.value.trim().toLowerCase();
        for (const row of rows) row.element.hidden = !row.category.name.toLowerCase().includes(wanted);
        rove();
      }
    });
    return {
      element: h("div", { class: "filter" }, h("label", { for: "filter-class" }, "Classes"), search, list),
      update: (view, choices) => {
        chosen.clear();
        for (const name of view.classes) chosen.add(name);
        for (let place = rows.length; place < categories.length; place++) {
          const row = buildRow(categories[place], place);
          rows.push(row);
          list.append(row.element);
          rove();
        }
        for (const row of rows) {
          row.box.checked = chosen.has(row.category.name);
          const count2 = choices.classes[row.place] ?? 0;
          if (count2 === row.shown) continue;
          row.shown = count2;
          row.count.replaceChildren(formatCount(count2));
          row.element.classList.toggle("is-none", count2 === 0);
        }
      }
    };
  }
  function makeRoving(list) {
    const findBoxes = () => [
      ...list.querySelectorAll("label:not([hidden]) > input")
    ];
    const rove = (active = findBoxes()[0]) => {
      for (const box of list.querySelectorAll("input")) box.tabIndex = box === active ? 0 : -1;
    };
    list.addEventListener("focusin", (event) => rove(event.target));
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step === void 0) return;
      event.preventDefault();
      const boxes = findBoxes();
      boxes[boxes.indexOf(event.target) + step]?.focus();
    });
    rove();
    return () => rove();
  }
  var RANGE_TITLES = {
    risk: ["Risk", "how likely an object is wrong"],
    score: ["Score", "how sure the label is"],
    margin: ["Margin", "of the best name to the next one"]
  };
  function buildRange(name, onChange) {
    const [title, about] = RANGE_TITLES[name];
    const bars = svg("svg", { class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" });
    const text = h("span", { class: "range-text muted" });
    const build2 = (bound) => h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": `${title}, ${bound}`,
      "data-testid": `${name}-${bound}`,
      oninput: (event) => onChange({ ranges: { [name]: read(event.target) } })
    });
    const [low, high] = [build2("lowest"), build2("highest")];
    const read = (moved) => {
      const value = Number(moved.value);
      return moved === low ? { low: value, high: Math.max(value, Number(high.value)) } : { low: Math.min(value, Number(low.value)), high: value };
    };
    const element = h(
      "fieldset",
      { class: "filter range", "data-testid": `range-${name}` },
      h("legend", { title: about }, title, text),
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
    const highest = Math.sqrt(counts.reduce((most, count2) => Math.max(most, count2), 1));
    const top = (count2) => count2 === 0 ? 0 : Math.max(0.04, Math.sqrt(count2) / highest);
    const draw = (isIn) => Array.from(counts, (count2, bar) => {
      const middle = (bar + 0.5) / counts.length;
      if ((middle >= range.low && middle <= range.high) !== isIn || count2 === 0) return "";
      return `M${bar} 1V${(1 - top(count2)).toFixed(3)}h.85V1z`;
    }).join("");
    element.setAttribute("viewBox", `0 0 ${counts.length} 1`);
    element.replaceChildren(
      svg("path", { class: "bar", d: draw(true) }),
      svg("path", { class: "bar is-out", d: draw(false) })
    );
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
          count: place === 0 ? choices.statuses.reduce((sum, count2) => sum + count2, 0) : choices.statuses[place - 1] ?? 0
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
            count: place === 0 ? choices.differences.reduce((sum, count2) => sum + count2, 0) : choices.differences[place - 1] ?? 0
          }))
        )
      );
    }
    return parts;
  }
  function buildDisagreement(onChange) {
    const count2 = h("span", { class: "count" });
    const box = h("input", {
      type: "checkbox",
      "data-testid": "filter-disagreement",
      onchange: () => onChange({ disagreement: box.checked })
    });
    return {
      element: h("label", { class: "filter class-row" }, box, h("span", {}, "Detector and model disagree"), count2),
      update: (view, choices) => {
        box.checked = view.disagreement;
        count2.replaceChildren(formatCount(choices.disagreement));
      }
    };
  }
  function buildErrors(index, onChange) {
    return buildSelect(
      "error",
      "Why images failed",
      (view) => view.error,
      (error) => onChange({ error }),
      (choices) => [
        { value: "", text: "Any", count: choices.errors.reduce((sum, count2) => sum + count2, 0) },
        ...index.errors.map((error, place) => ({ value: error, text: error, count: choices.errors[place] ?? 0 })).sort((one, other) => other.count - one.count).slice(0, MOST_ERRORS)
      ]
    );
  }
  function buildSelect(name, title, get, set, list) {
    const id = `filter-${name}`;
    const field = h("select", { id, "data-testid": id, onchange: () => set(field.value) });
    let shown = "";
    return {
      element: h("div", { class: "filter" }, h("label", { for: id }, title), field),
      update: (view, choices) => {
        const value = get(view);
        const options = list(choices).filter(
          (option) => option.count > 0 || option.value === value || option === list(choices)[0]
        );
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
  var FAILED = 2;
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
      const end = index.firstObject[image + 1] ?? 0;
      for (let object = index.firstObject[image] ?? 0; object < end; object++) owner[object] = image;
    }
    return owner;
  }

  // src/gallery/object_list.ts
  var ObjectList = class {
    /** `onRestore` brings back what was rejected; null: nothing can be. */
    constructor(onPick, onRestore) {
      this.onPick = onPick;
      this.onRestore = onRestore;
    }
    onPick;
    onRestore;
    element = h("ol", { class: "objects", "aria-label": "Objects by risk" });
    /** Shows objects; `others` are the different ones of a run called `otherName`, `notes` come first. */
    show(objects, rejected, others, otherName, notes) {
      const title = others.length > 0 ? [h("li", { class: "muted" }, h("bdi", {}, `Different in ${otherName}`))] : [];
      this.element.replaceChildren(
        ...notes.map((note) => h("li", { class: "muted" }, note)),
        ...objects.map((object) => this.buildRow(object, false)),
        ...rejected.map((object) => this.buildRejected(object)),
        ...title,
        ...others.map((object) => this.buildRow(object, true))
      );
    }
    /** Marks one object; null for none. */
    select(object, isOther) {
      for (const row of this.element.querySelectorAll(".object-row")) {
        const number = isOther ? row.dataset["other"] : row.dataset["number"];
        const isSelected = object !== null && number === String(object.number);
        if (isSelected) {
          row.setAttribute("aria-current", "true");
          row.scrollIntoView({ block: "nearest" });
        } else {
          row.removeAttribute("aria-current");
        }
      }
    }
    buildRejected(object) {
      const restore = this.onRestore;
      const name = `Restore ${object.category}`;
      return h(
        "li",
        { class: "rejected-row", "data-testid": "rejected-row" },
        h("s", {}, buildChip(object.category, object.colour)),
        h("span", { class: "muted" }, object.reviewed_by === null ? "rejected" : `rejected by ${object.reviewed_by}`),
        restore === null ? null : h(
          "button",
          { type: "button", "aria-label": name, "data-testid": "restore", onclick: () => restore(object) },
          "Restore"
        )
      );
    }
    buildRow(object, isOther) {
      const facts = [
        object.differs && !isOther ? "differs" : "",
        object.risk === null ? "" : `risk ${formatShare(object.risk)}`,
        object.verdict === null ? "" : "\u2713"
      ];
      const button2 = h(
        "button",
        {
          type: "button",
          class: object.differs ? "object-row differs" : "object-row",
          "data-testid": isOther ? "other-row" : "object-row",
          "data-number": isOther ? null : object.number,
          "data-other": isOther ? object.number : null,
          onclick: () => this.onPick(object)
        },
        buildChip(object.category, object.colour),
        h("span", { class: "muted" }, facts.filter(Boolean).join(" \xB7 "))
      );
      return h("li", {}, button2);
    }
  };

  // src/gallery/opinions.ts
  var MEANINGS = {
    Risk: "how likely the label is wrong (0 to 1), and why",
    Score: "of the name",
    Head: "score by the head that was trained on masks",
    CLIP: "score by CLIP alone",
    Model: "the model's own name and score",
    Detector: "the detector's name, where it has one, and score",
    Margin: "the probability of the model's best name minus that of its second",
    "Detector's margin": "the model's probability of its name minus that of the detector's",
    "Mask stability": "how little the mask changes with the threshold",
    Verdict: "what a person said"
  };
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
        ([term, value]) => value === null ? [] : [h("dt", { title: MEANINGS[term] }, term), h("dd", {}, typeof value === "string" ? h("bdi", {}, value) : value)]
      )
    );
  }
  function formatKnown(value) {
    return value === null ? null : formatShare(value);
  }
  function joinKnown(...parts) {
    return parts.filter((part) => part !== null).join(", ") || null;
  }

  // src/gallery/rename_form.ts
  var RenameForm = class {
    constructor(options) {
      this.options = options;
      this.field.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault();
        this.close();
      });
      this.element = h(
        "form",
        { class: "rename", hidden: true },
        this.field,
        h("button", { class: "primary", type: "submit" }, "Rename"),
        this.names
      );
      this.element.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submit();
      });
    }
    options;
    element;
    field = h("input", {
      list: "category-names",
      "aria-label": "New name",
      autocomplete: "off",
      "data-testid": "rename-field"
    });
    names = h("datalist", { id: "category-names" });
    /** Asks for another name than the present one. */
    open(present) {
      const { categories } = this.options;
      if (this.names.childElementCount !== categories.length) {
        this.names.replaceChildren(...categories.map(({ name }) => h("option", { value: name })));
      }
      this.element.hidden = false;
      this.field.value = present;
      this.field.focus();
      this.field.select();
    }
    close() {
      if (this.element.hidden) return;
      this.element.hidden = true;
      this.options.onLeave();
    }
    submit() {
      const name = this.field.value.trim();
      if (name === "") sayError("expected a name; type one, or press Esc");
      else this.options.onName(name);
    }
  };

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
        const factor = distance2(now, other) / Math.max(1, distance2(before, other));
        const point = this.toPicture({ clientX: other.x, clientY: other.y }, element);
        this.zoom(factor, point.x, point.y);
      } else {
        this.move(this.x - (now.x - before.x) / this.scale, this.y - (now.y - before.y) / this.scale);
      }
      this.moved += distance2(now, before);
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
  function distance2(one, other) {
    return Math.hypot(one.x - other.x, one.y - other.y);
  }

  // src/gallery/large_view.ts
  var CONFLICT2 = 409;
  var LOADING_MS = 200;
  var first = (objects) => objects[0];
  var last = (objects) => objects[objects.length - 1];
  var firstUnseen = (objects) => objects.find((object) => object.reviewed_by === null) ?? objects[0];
  var LargeView = class {
    constructor(options) {
      this.options = options;
      this.canAnswer = options.source.answer !== void 0 && !options.isBoxes;
      this.list = new ObjectList(
        (object) => this.pick(object),
        this.canAnswer ? (object) => this.restore(object) : null
      );
      this.rename = new RenameForm({
        categories: options.categories,
        onName: (name) => this.answer(name === this.selected?.category ? "accepted" : "renamed", name),
        onLeave: () => this.dialog.focus()
      });
      this.keys = this.listKeys();
      this.dialog = this.build();
      document.body.append(this.dialog);
    }
    options;
    dialog;
    title = h("h2", { class: "large-title" });
    position = h("span", { class: "muted", "data-testid": "large-position" });
    session = h("span", { class: "muted session", role: "status", "data-testid": "session" });
    stages = h("div", { class: "stages" });
    list;
    details = h("div", { class: "details" });
    announced = h("p", { class: "visually-hidden", "aria-live": "polite" });
    rename;
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
    answered = 0;
    undoButton = h(
      "button",
      { type: "button", disabled: true, "data-testid": "undo", onclick: () => this.undo() },
      "Undo ",
      h("kbd", {}, "Z")
    );
    stopKeys = () => void 0;
    control = new AbortController();
    /** What was asked for by keys, one after the other. */
    queue = Promise.resolve();
    /** Counts failures: keys that were pressed before one were meant for what did not come to pass. */
    turn = 0;
    /** Shows a stop of a walk. */
    open(walk, stop) {
      this.walk = walk;
      if (!this.dialog.open) {
        this.dialog.showModal();
        this.dialog.focus();
        this.stopKeys = listenToKeys(this.keys, this.dialog);
      }
      const choose = (objects) => objects.find((object) => object.number === stop.number) ?? objects[0];
      this.undoButton.disabled = !this.options.answers.canUndo;
      return this.go(stop, choose);
    }
    close() {
      if (this.dialog.open) this.dialog.close();
    }
    build() {
      const button2 = (text, name, run) => h(
        "button",
        {
          type: "button",
          class: text === "?" ? "quiet keys-button" : "quiet",
          "aria-label": name,
          title: name,
          onclick: run
        },
        text
      );
      const header = h(
        "header",
        { class: "large-header" },
        this.title,
        h("div", { class: "large-meta" }, this.position, this.session),
        h(
          "div",
          { class: "large-buttons" },
          button2("\u2039", "Previous image (P)", () => this.moveImage(-1)),
          button2("\u203A", "Next image (N)", () => this.moveImage(1)),
          button2("?", "Keys (?)", () => showKeys(this.keys)),
          button2("\xD7", "Close (Esc)", () => this.close())
        )
      );
      const panel = h(
        "aside",
        { class: "panel", "aria-label": "Objects" },
        this.buildToggles(),
        this.list.element,
        this.details,
        this.canAnswer ? this.buildAnswers() : null,
        this.rename.element,
        this.announced
      );
      return h(
        "dialog",
        {
          class: "large",
          tabindex: -1,
          "aria-label": "Image",
          "data-testid": "large",
          onclose: () => this.handleClose()
        },
        header,
        h("div", { class: "large-body" }, this.stages, panel)
      );
    }
    buildToggles() {
      const texts = this.options.isBoxes ? [
        ["names", "Names"],
        ["others", "Other objects"]
      ] : [
        ["masks", "Masks"],
        ["boxes", "Boxes"],
        ["names", "Names"],
        ["others", "Other objects"]
      ];
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
      const button2 = (text, key, run) => h("button", { type: "button", "data-testid": text.toLowerCase(), onclick: run }, `${text} `, h("kbd", {}, key));
      return h(
        "div",
        { class: "answers", role: "group", "aria-label": "Answer" },
        button2("Accept", "A", () => this.answer("accepted")),
        button2("Reject", "X", () => this.answer("rejected")),
        button2("Rename", "R", () => this.showRename()),
        this.undoButton
      );
    }
    listKeys() {
      const answers = this.canAnswer ? [
        { key: "a", about: "accept the object", run: () => this.answer("accepted") },
        { key: "x", about: "reject it: there is no such object", run: () => this.answer("rejected") },
        { key: "r", about: "rename it", run: () => this.showRename() },
        // A key that is held down must not take back the whole session: nothing brings that back.
        { key: "z", about: "take back the last answer", run: (event) => event.repeat || this.undo() }
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
        { key: "f", about: "zoom to the object", run: () => this.selected && this.zoom?.showBox(this.selected.bbox) },
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
      const turn = this.turn;
      this.queue = this.queue.then(() => turn === this.turn ? step() : void 0).catch((error) => {
        this.turn++;
        if (!isAbort(error)) sayError(describe(error));
      });
      return this.queue;
    }
    async show(stop, choose) {
      if (!stop || !this.dialog.open) return;
      this.place = stop.place;
      this.rename.close();
      if (this.image?.row !== stop.row) await this.load(stop);
      if (!this.dialog.open) return;
      this.selectObject(choose(this.objects) ?? null);
      this.prepareNext();
    }
    async load(stop) {
      this.control.abort();
      this.control = new AbortController();
      const timer = setTimeout(() => this.dialog.classList.add("is-loading"), LOADING_MS);
      try {
        this.setImage(await this.options.loader.load(stop.row, this.control.signal));
      } catch (error) {
        this.showProblem(stop, describe(error));
        throw error;
      } finally {
        clearTimeout(timer);
        this.dialog.classList.remove("is-loading");
      }
    }
    setImage(image) {
      const isSame = this.image?.row === image.row;
      this.image = image;
      this.objects = sortByRisk(image.objects);
      this.title.replaceChildren(h("bdi", { title: image.file_name }, image.file_name));
      if (isSame) {
        this.drawn[0]?.setObjects(listDrawn(image));
        this.drawn[1]?.setObjects(image.other_objects ?? []);
      } else {
        this.buildStages(image);
      }
      this.listObjects(image);
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
      const build2 = (caption, objects) => new PictureStage(image, { address, caption, objects, onSelect });
      this.drawn = outputs ? [build2(outputs[0], listDrawn(image)), build2(outputs[1], image.other_objects ?? null)] : [build2(null, listDrawn(image))];
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
      this.list.show([], [], [], "", []);
      this.details.replaceChildren();
    }
    listObjects(image) {
      const notes = [];
      if (!this.options.ids.note(image)) {
        notes.push("The labels of this image changed since the page was loaded; reload it to filter by them.");
      }
      if (this.objects.length === 0) {
        notes.push(image.status === "failed" ? "No labels: the image failed." : "No objects.");
      }
      const others = image.other_objects?.filter((object) => object.differs) ?? [];
      this.list.show(this.objects, image.rejected ?? [], others, this.options.outputs?.[1] ?? "", notes);
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
      this.rename.close();
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
      this.list.select(object, isOther);
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
      this.options.loader.load(next.row).then(
        (image) => {
          if (image.status !== "failed") new Image().src = this.options.source.picture(next.row);
        },
        () => void 0
        // it is asked for again when it is shown
      );
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
    /** Asks for a name when what was asked for before is done: until then another object is selected. */
    showRename() {
      void this.enqueue(() => {
        if (this.canAnswer && this.selected && this.dialog.open) this.rename.open(this.selected.category);
        return Promise.resolve();
      });
    }
    answer(verdict, category) {
      void this.enqueue(async () => {
        const { image, selected } = this;
        if (!image || !selected || !this.canAnswer) return;
        const name = verdict === "renamed" ? category ?? "" : void 0;
        const next = this.objects[this.findSelected() + 1] ?? null;
        try {
          this.takeRow(await this.options.answers.give(image, selected, verdict, name));
        } catch (error) {
          if (error instanceof ApiError && error.status === CONFLICT2) await this.recover(image);
          throw error;
        }
        this.rename.close();
        this.countAnswer(1, describeAnswer(selected, verdict, name));
        await this.moveOn(next);
      });
    }
    /** Takes back the last answer, of cards too, and shows its object. */
    undo() {
      void this.enqueue(async () => {
        if (!this.canAnswer) return;
        const undone = await this.options.answers.undo();
        if (!undone) {
          say("No answer of this session is left to take back.");
          return;
        }
        const { image, object } = undone;
        this.countAnswer(-1, `took back: ${undone.about}`);
        if (this.image?.row === image.row) this.takeRow(image);
        const number = object?.number ?? null;
        const stop = this.walk?.findStop(image.row, number) ?? null;
        const choose = number === null ? first : byNumber(number);
        if (stop) await this.show(stop, choose);
        else if (this.image?.row === image.row) this.selectObject(choose(this.objects) ?? null);
      });
    }
    /** Brings a rejected object of the image back. */
    restore(rejected) {
      void this.enqueue(async () => {
        const { image } = this;
        if (!image?.rejected?.includes(rejected)) return;
        try {
          this.takeRow(await this.options.answers.restore(image, rejected));
        } catch (error) {
          if (error instanceof ApiError && error.status === CONFLICT2) await this.recover(image);
          throw error;
        }
        this.undoButton.disabled = !this.options.answers.canUndo;
        this.session.replaceChildren("restored ", h("bdi", {}, rejected.category));
        const known = new Set(image.objects.map(({ key }) => key));
        this.selectObject(this.objects.find(({ key }) => !known.has(key)) ?? first(this.objects) ?? null);
        this.dialog.focus();
      });
    }
    countAnswer(more, done) {
      this.answered = Math.max(0, this.answered + more);
      this.undoButton.disabled = !this.options.answers.canUndo;
      this.session.replaceChildren(`${formatAmount(this.answered, "answer")} this session: `, h("bdi", {}, done));
    }
    /** Shows a row as it is now. */
    takeRow(now) {
      if (this.dialog.open) this.setImage(now);
    }
    /** Selects the object that came after the one answered, in this image or in the next. */
    async moveOn(next) {
      if (!this.dialog.open) return;
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
    /** Somebody else answered meanwhile: shows the labels as they are now. */
    async recover(image) {
      const key = this.selected?.key;
      const [now] = await this.options.source.images([image.row]).catch(() => []);
      if (!now) return;
      this.takeRow(await this.options.answers.show(image, now));
      this.selectObject(this.objects.find((object) => object.key === key) ?? first(this.objects) ?? null);
    }
    handleClose() {
      this.stopKeys();
      this.control.abort();
      const stop = { place: this.place, row: this.image?.row ?? -1, number: this.selected?.number ?? null };
      this.image = null;
      this.options.onClose(stop);
    }
  };
  function sortByRisk(objects) {
    return [...objects].sort((one, other) => (other.risk ?? -1) - (one.risk ?? -1));
  }
  function listDrawn(image) {
    return [...image.objects, ...image.rejected ?? []];
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
    withdraw;
    constructor(canAnswer) {
      if (!canAnswer) return;
      this.answer = (answer) => postJson("api/answers", answer);
      this.withdraw = (withdrawal) => postJson("api/withdraw", withdrawal);
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
    async count() {
      return (await getJson("api/refresh")).images;
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
      return this.kept.get(row) ?? this.source.get?.(row);
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
      const here = this.get(row);
      if (here) return here;
      const [image] = await this.source.images([row], signal);
      if (!image) throw new Error(`there is no image in row ${row} of this output`);
      this.keep([image]);
      return image;
    }
    listMissing() {
      if (this.source.get) return [];
      const pending = [...this.loading];
      return [...this.wanted].filter((row) => !this.kept.has(row) && !pending.some((slice) => slice.rows.has(row)));
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
  function findNames2(names, text) {
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
    /** Objects that answers took away, by row and key: they may be brought back. */
    gone = /* @__PURE__ */ new Map();
    /** Returns the objects of a row by their numbers; -1 where the index does not know them. */
    of(row) {
      const known = this.changed.get(row);
      if (known) return known;
      const start = this.index.firstObject[row] ?? 0;
      const length = (this.index.firstObject[row + 1] ?? start) - start;
      return Array.from({ length }, (_, number) => start + number);
    }
    /**
     * Takes note of a row that came; returns whether its objects are those of the index. Where somebody
     * else changed their number, none of them can be told from the others.
     */
    note(image) {
      const known = this.of(image.row);
      if (known.length === image.objects.length) return !known.includes(-1);
      this.changed.set(
        image.row,
        image.objects.map(() => -1)
      );
      return image.objects.length === 0;
    }
    /** Brings the index up to date with a row that came back with an answer. */
    update(before, after) {
      const ids = this.of(before.row);
      const byKey = /* @__PURE__ */ new Map();
      before.objects.forEach((object, number) => {
        byKey.set(object.key, [...byKey.get(object.key) ?? [], ids[number] ?? -1]);
      });
      const find = (key) => byKey.get(key)?.shift() ?? this.gone.get(nameGone(before, key))?.shift() ?? -1;
      const now = after.objects.map((object) => find(object.key));
      this.changed.set(before.row, now);
      for (const [key, left] of byKey) {
        const name = nameGone(before, key);
        this.gone.set(name, [...this.gone.get(name) ?? [], ...left]);
        for (const id of left) this.mark(id, true, "rejected");
      }
      after.objects.forEach((object, number) => {
        const id = now[number] ?? -1;
        if (id < 0) return;
        this.index.category[id] = this.findCategory(object);
        this.index.risk[id] = object.risk ?? NaN;
        this.mark(id, object.reviewed_by !== null, object.verdict ?? "none");
      });
    }
    mark(id, isSeen, verdict) {
      if (id < 0) return;
      const flags = this.index.flags[id] ?? 0;
      this.index.flags[id] = isSeen ? flags | SEEN : flags & ~SEEN;
      this.index.verdict[id] = Math.max(
        0,
        VERDICTS.findIndex((name) => name === verdict)
      );
    }
    /** Returns the number of a class; a name that nobody had before gets one. */
    findCategory({ category, colour }) {
      const found = this.categories.findIndex(({ name }) => name === category);
      return found >= 0 ? found : this.categories.push({ name: category, colour }) - 1;
    }
  };
  function nameGone(image, key) {
    return `${image.row} ${key}`;
  }

  // src/gallery/print.ts
  function printWholeGrid(grid, buildCards2, count2) {
    const page = document.documentElement;
    let sheet = null;
    let theme;
    addEventListener("beforeprint", () => {
      sheet?.remove();
      const cards = buildCards2();
      const note = cards.length < count2() ? h(
        "p",
        {},
        `${formatCount(cards.length)} of ${formatCount(count2())}: those that were in view. A page with all: ovsam report OUT --html FILE`
      ) : null;
      sheet = h("div", { class: "print-sheet" }, note, h("div", { class: "print-grid" }, ...cards));
      grid.before(sheet);
      theme = page.dataset["theme"];
      page.dataset["theme"] = "light";
    });
    addEventListener("afterprint", () => {
      sheet?.remove();
      sheet = null;
      if (theme === void 0) delete page.dataset["theme"];
      else page.dataset["theme"] = theme;
    });
  }

  // src/gallery/order.ts
  var LAST = 4294967295;
  var DIGITS = 1 << 16;
  function orderBy(keys, isDescending2) {
    const bits = toUnsigned(keys, isDescending2);
    const places = new Uint32Array(keys.length).map((_, place) => place);
    return sortByDigit(sortByDigit(places, bits, 0), bits, 16);
  }
  function toUnsigned(keys, isDescending2) {
    const bits = new Uint32Array(keys.slice().buffer);
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
  var OBJECT_SORTS = new Set(RANGES);
  var Selector = class {
    constructor(index) {
      this.index = index;
      this.owner = findImageOfObjects(index);
      this.bars = { risk: findBars(index.risk), score: findBars(index.score), margin: findBars(index.margin) };
    }
    index;
    owner;
    bars;
    orders = /* @__PURE__ */ new Map();
    /** Forgets orders: after an answer, or when names are known. */
    forgetOrders() {
      this.orders.clear();
    }
    /** Returns what a view shows. */
    select(view, extra) {
      const { isShown, objectFails, ...counted } = this.test(view, extra);
      const { images, objects } = counted;
      const passes = (object) => objectFails[object] === 0;
      const items = view.mode === "images" ? this.orderImages(view, extra, isShown, images, passes) : this.orderObjects(view, extra, isShown, objects, passes);
      return { items, ...counted, passes };
    }
    /** Returns how much a view shows; faster than to select. */
    count(view, extra) {
      return this.test(view, extra);
    }
    test(view, extra) {
      const { index } = this;
      const imageFails = testImages(index, view, extra);
      const objectFails = testObjects(index, view, extra);
      const counter = new Counter(index, this.bars, extra.categories.length);
      const needsObject = filtersObjects(view);
      const isShown = new Uint8Array(index.images);
      let [images, objects] = [0, 0];
      for (let image = 0; image < index.images; image++) {
        const fails = imageFails[image] ?? 0;
        const end = index.firstObject[image + 1] ?? 0;
        let hasObject2 = !needsObject;
        for (let object = index.firstObject[image] ?? 0; object < end; object++) {
          const own = objectFails[object] ?? 0;
          counter.countObject(object, own | fails);
          if (own !== 0) continue;
          hasObject2 = true;
          if (fails === 0) objects++;
        }
        if (!hasObject2) continue;
        counter.countImage(image, fails);
        if (fails !== 0) continue;
        isShown[image] = 1;
        images++;
      }
      return { images, objects, choices: counter.choices, isShown, objectFails };
    }
    /** An image stands where the first of its objects that pass stands; those without one are last. */
    orderImages(view, extra, isShown, count2, passes) {
      const items = new Uint32Array(count2);
      let length = 0;
      if (OBJECT_SORTS.has(view.sort)) {
        for (const object of this.findOrder(view, extra)) {
          const image = this.owner[object] ?? 0;
          if (isShown[image] !== 1 || !passes(object)) continue;
          isShown[image] = 2;
          items[length++] = image;
        }
        isShown.forEach((state, image) => {
          if (state === 1) items[length++] = image;
        });
      } else {
        for (const image of this.findOrder(view, extra)) {
          if (isShown[image]) items[length++] = image;
        }
      }
      return items;
    }
    orderObjects(view, extra, isShown, count2, passes) {
      const items = new Uint32Array(count2);
      let length = 0;
      if (OBJECT_SORTS.has(view.sort)) {
        for (const object of this.findOrder(view, extra)) {
          if (passes(object) && isShown[this.owner[object] ?? 0]) items[length++] = object;
        }
      } else {
        for (const image of this.findOrder(view, extra)) {
          if (!isShown[image]) continue;
          const end = this.index.firstObject[image + 1] ?? 0;
          for (let object = this.index.firstObject[image] ?? 0; object < end; object++) {
            if (passes(object)) items[length++] = object;
          }
        }
      }
      return items;
    }
    /** Returns all objects, or all images, in the order of a view. */
    findOrder(view, extra) {
      const key = `${view.sort} ${view.reversed}`;
      const known = this.orders.get(key);
      if (known) return known;
      const values = OBJECT_SORTS.has(view.sort) ? this.index[view.sort] : findImageKeys(this.index, view.sort, extra);
      const order = orderBy(values, isDescending(view));
      this.orders.set(key, order);
      return order;
    }
  };
  function listSorts(index) {
    return SORTS.filter((name) => {
      if (name === "difference") return index.difference !== null;
      return !OBJECT_SORTS.has(name) || index[name].some((value) => !Number.isNaN(value));
    });
  }
  function isDescending(view) {
    return ["risk", "objects", "difference"].includes(view.sort) !== view.reversed;
  }
  function findImageKeys(index, by, extra) {
    const keys = new Float32Array(index.images);
    for (let image = 0; image < index.images; image++) {
      if (by === "objects") keys[image] = (index.firstObject[image + 1] ?? 0) - (index.firstObject[image] ?? 0);
      else if (by === "difference")
        keys[image] = Number.isNaN(index.difference?.[image]) ? Infinity : index.difference?.[image] ?? 0;
      else keys[image] = (by === "name" ? extra.nameRanks?.[image] : void 0) ?? image;
    }
    return keys;
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
      if (view.difference !== "any" && nameDifference(index, image) !== view.difference) bits |= DIFFERENCE;
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
    failClasses(fails, index.category, view.classes, extra.categories);
    for (const name of RANGES) failRange(fails, index[name], view.ranges[name], RANGE_BITS[name]);
    if (view.disagreement) failFlag(fails, index.flags, DISAGREES, true, DISAGREEMENT);
    failReview(fails, index, view.review);
    return fails;
  }
  function failClasses(fails, category, classes, categories) {
    if (classes.length === 0) return;
    const chosen = new Set(classes);
    const isChosen = Uint8Array.from(categories, ({ name }) => chosen.has(name) ? 1 : 0);
    for (let object = 0; object < fails.length; object++) {
      if (!isChosen[category[object] ?? 0]) fails[object] = CLASS;
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
  function failFlag(fails, flags, flag, wanted, bit) {
    for (let object = 0; object < fails.length; object++) {
      if (((flags[object] ?? 0) & flag) !== 0 !== wanted) fails[object] = (fails[object] ?? 0) | bit;
    }
  }
  function failReview(fails, index, review) {
    if (review === "seen" || review === "unseen") failFlag(fails, index.flags, SEEN, review === "seen", REVIEW);
    const wanted = VERDICTS.indexOf(review);
    for (let object = 0; object < fails.length; object++) {
      const verdict = index.verdict[object] ?? 0;
      const fits = wanted > 0 ? verdict === wanted : verdict !== REJECTED;
      if (!fits) fails[object] = (fails[object] ?? 0) | REVIEW;
    }
  }
  function findBars(values) {
    const bars = new Uint8Array(values.length);
    for (let place = 0; place < values.length; place++) {
      const value = values[place] ?? NaN;
      bars[place] = Number.isNaN(value) ? BARS : Math.max(0, Math.min(BARS - 1, Math.floor(value * BARS)));
    }
    return bars;
  }
  var Counter = class {
    constructor(index, bars, numClasses) {
      this.index = index;
      this.bars = bars;
      this.classes = new Uint32Array(numClasses);
      this.errors = new Uint32Array(index.errors.length);
    }
    index;
    bars;
    classes;
    risk = new Uint32Array(BARS + 1);
    score = new Uint32Array(BARS + 1);
    margin = new Uint32Array(BARS + 1);
    reviews = new Uint32Array(REVIEWS.length);
    statuses = new Uint32Array(3);
    errors;
    differences = new Uint32Array(3);
    disagreement = 0;
    get choices() {
      const { risk, score, margin } = this;
      return {
        classes: this.classes,
        ranges: { risk: risk.subarray(0, BARS), score: score.subarray(0, BARS), margin: margin.subarray(0, BARS) },
        disagreement: this.disagreement,
        reviews: this.reviews,
        statuses: this.statuses,
        errors: this.errors,
        differences: this.differences
      };
    }
    /** Counts an object with the filters that it and its image fail. */
    countObject(object, fails) {
      if ((fails & fails - 1) !== 0) return;
      const { index, bars } = this;
      if ((fails & ~CLASS) === 0) add(this.classes, index.category[object] ?? 0);
      if ((fails & ~RANGE_BITS.risk) === 0) add(this.risk, bars.risk[object] ?? 0);
      if ((fails & ~RANGE_BITS.score) === 0) add(this.score, bars.score[object] ?? 0);
      if ((fails & ~RANGE_BITS.margin) === 0) add(this.margin, bars.margin[object] ?? 0);
      if ((fails & ~DISAGREEMENT) === 0 && (index.flags[object] ?? 0) & DISAGREES) this.disagreement++;
      if ((fails & ~REVIEW) === 0) this.countReview(object);
    }
    countImage(image, fails) {
      const { index } = this;
      if ((fails & ~STATUS) === 0) add(this.statuses, index.status[image] ?? 0);
      const error = index.error[image] ?? NO_ERROR;
      if ((fails & ~(ERROR | STATUS)) === 0 && error !== NO_ERROR) add(this.errors, error);
      if ((fails & ~DIFFERENCE) === 0 && index.difference !== null) {
        const name = nameDifference(index, image);
        add(this.differences, name === "different" ? 0 : name === "same" ? 1 : 2);
      }
    }
    countReview(object) {
      const verdict = this.index.verdict[object] ?? 0;
      if (verdict !== REJECTED) {
        add(this.reviews, ANY_REVIEW);
        add(this.reviews, (this.index.flags[object] ?? 0) & SEEN ? SEEN_REVIEW : UNSEEN_REVIEW);
      }
      if (verdict !== 0) add(this.reviews, REVIEWS.indexOf(VERDICTS[verdict]));
    }
  };
  var ANY_REVIEW = REVIEWS.indexOf("any");
  var SEEN_REVIEW = REVIEWS.indexOf("seen");
  var UNSEEN_REVIEW = REVIEWS.indexOf("unseen");
  function add(counts, place) {
    counts[place] = (counts[place] ?? 0) + 1;
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
    let count2 = end - start;
    for (let object = start; object < end; object++) {
      if (index.verdict[object] === REJECTED) count2--;
    }
    return count2;
  }

  // src/gallery/toolbar.ts
  var SORT_TEXTS = {
    risk: "Risk",
    score: "Score",
    margin: "Margin",
    objects: "Number of objects",
    row: "Order of the output",
    name: "File name",
    difference: "Difference"
  };
  var Toolbar2 = class {
    constructor(options) {
      this.options = options;
      const tools = [
        this.buildFiltersToggle(),
        this.buildModes(),
        this.buildSort(),
        this.buildKeysButton(),
        buildThemeSwitch()
      ];
      this.element = h(
        "header",
        { class: "toolbar" },
        options.title,
        this.counts,
        h("div", { class: "tools" }, ...tools)
      );
    }
    options;
    element;
    counts = h("p", { class: "counts", role: "status", "data-testid": "counts" });
    modes = /* @__PURE__ */ new Map();
    sort = h("select", { "aria-label": "Sort by", "data-testid": "sort" });
    direction = h("button", { type: "button", "data-testid": "direction" });
    isReversed = false;
    /** Shows which view is chosen. */
    update(view) {
      for (const [mode, button2] of this.modes) button2.setAttribute("aria-pressed", String(mode === view.mode));
      this.sort.value = view.sort;
      this.isReversed = view.reversed;
      const falls = isDescending(view);
      const [now, other] = falls ? ["Largest first", "smallest first"] : ["Smallest first", "largest first"];
      this.direction.replaceChildren(falls ? "\u2193" : "\u2191");
      this.direction.setAttribute("aria-label", `${now}; switch to ${other}`);
      this.direction.title = now;
    }
    /** Shows how much the view holds. */
    count({ images, objects }) {
      const all = formatAmount(this.options.images, "image");
      this.counts.replaceChildren(`${formatCount(images)} of ${all}, ${formatAmount(objects, "object")}`);
    }
    buildFiltersToggle() {
      const button2 = h(
        "button",
        {
          type: "button",
          class: "filters-toggle",
          "aria-controls": "filters",
          "aria-expanded": "false",
          "data-testid": "filters-toggle",
          onclick: () => {
            const isShown = this.options.onToggleFilters();
            button2.setAttribute("aria-expanded", String(isShown));
            button2.textContent = isShown ? "Close" : "Filters";
          }
        },
        "Filters"
      );
      return button2;
    }
    buildModes() {
      const build2 = (mode, text) => {
        const onclick = () => this.options.onChange({ mode });
        const button2 = h("button", { type: "button", "data-testid": `mode-${mode}`, onclick }, text);
        this.modes.set(mode, button2);
        return button2;
      };
      const buttons = [build2("images", "Images"), build2("objects", "Objects")];
      return h("div", { class: "modes", role: "group", "aria-label": "Look at" }, ...buttons);
    }
    buildSort() {
      this.sort.append(...this.options.sorts.map((value) => h("option", { value }, SORT_TEXTS[value])));
      this.sort.addEventListener(
        "change",
        () => this.options.onChange({ sort: this.sort.value, reversed: false })
      );
      this.direction.addEventListener("click", () => this.options.onChange({ reversed: !this.isReversed }));
      return h("div", { class: "sort" }, this.sort, this.direction);
    }
    buildKeysButton() {
      const name = "Keys (?)";
      return h(
        "button",
        { type: "button", class: "quiet keys-button", "aria-label": name, title: name, onclick: this.options.onKeys },
        "?"
      );
    }
  };

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
    show(count2, size, keepPlace = false) {
      this.count = count2;
      this.size = size;
      this.active = keepPlace ? Math.max(0, Math.min(this.active, count2 - 1)) : 0;
      const hasFocus = this.element.contains(document.activeElement);
      this.clear();
      this.layOut();
      if (hasFocus) this.cards.get(this.active)?.focus({ preventScroll: true });
      const above = this.stickyHeight() + this.size.gap;
      if (!keepPlace && this.scrolled > -above) this.scrollToOffset(-above);
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
    /** Gives the focus to the card that had it last. */
    focusActive() {
      this.focus(this.active);
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
      const scale = this.fullHeight > MOST_HEIGHT && offset > 0 ? most / (this.fullHeight - innerHeight) : 1;
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
    /** Returns the stop at an image, or at an object of it in a walk by object; null where there is none. */
    findStop(row, number) {
      const place = this.owner ? this.findObject(row, number) ?? -1 : this.items.indexOf(row);
      return place < 0 ? null : { place, row, number };
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
  var COUNT_MS = 300;
  function mount3(root, start) {
    const given = start;
    const source = given.embedded ? new EmbeddedSource() : new ServerSource(given.can_answer);
    document.title = `${findLastPart(given.output)} \u2013 ovsam`;
    mountGallery(root, given, source);
  }
  function mountGallery(root, start, source) {
    const waiting = h(
      "p",
      { class: "gallery-waiting muted", role: "status" },
      `Reading ${formatAmount(start.images, "image")} \u2026`
    );
    root.append(waiting);
    source.index().then(
      (index) => {
        waiting.remove();
        new Gallery(root, start, source, index);
      },
      (error) => {
        const retry = h("button", { type: "button", onclick: () => location.reload() }, "Try again");
        waiting.replaceWith(
          h("div", { class: "gallery-waiting", role: "alert" }, h("p", { class: "error" }, describe(error)), retry)
        );
      }
    );
  }
  var Gallery = class {
    constructor(root, start, source, index) {
      this.start = start;
      this.source = source;
      this.index = index;
      this.initial = makeDefaultView(listSorts(index));
      this.view = readHash(location.hash, this.initial);
      this.outputs = nameOutputs(start.output, start.compare?.output ?? "");
      this.categories = start.categories.map(({ name, colour }) => ({ name, colour }));
      this.ids = new ObjectIds(index, this.categories);
      this.selector = new Selector(index);
      this.extra = { categories: this.categories, nameMatches: null, nameRanks: null };
      this.selection = this.selector.select(this.view, this.extra);
      this.loader = new Loader(source, (rows) => this.takeRows(rows));
      this.answers = new Answers({
        source,
        loader: this.loader,
        ids: this.ids,
        isCompared: start.compare !== null,
        onChange: (row) => this.takeAnswer(row)
      });
      this.grid = new VirtualGrid({
        label: `Labels in ${findLastPart(start.output)}`,
        fill: (card, position) => this.fillCard(card, position),
        empty: emptyCard,
        onRange: (first2, end) => this.loader.want(this.listRows(first2, end)),
        onOpen: (position) => this.openPosition(position)
      });
      this.filters = new Filters(
        index,
        this.categories,
        (part) => this.change(part),
        () => this.set(clearFilters(this.view, this.initial))
      );
      this.toolbar = new Toolbar2({
        title: this.buildTitle(),
        images: index.images,
        sorts: listSorts(index),
        onChange: (part) => this.change(part),
        onToggleFilters: () => this.page.classList.toggle("shows-filters"),
        onKeys: () => showKeys(this.keys)
      });
      this.large = new LargeView({
        source,
        loader: this.loader,
        ids: this.ids,
        answers: this.answers,
        categories: this.categories,
        outputs: start.compare ? this.outputs : null,
        isBoxes: start.is_boxes,
        onMove: (open) => this.remember({ ...this.view, open }),
        onClose: (stop) => this.returnToGrid(stop)
      });
      this.keys = this.listKeys();
      this.build(root);
      this.show();
      void this.completeNames();
      this.openPlace();
      addEventListener("hashchange", () => this.readAddress());
      addEventListener("popstate", () => this.readAddress());
      printWholeGrid(
        this.grid.element,
        () => this.fillAllCards(),
        () => this.selection.items.length
      );
      document.addEventListener("visibilitychange", () => void this.lookForMore());
    }
    start;
    source;
    index;
    initial;
    view;
    selection;
    outputs;
    categories;
    ids;
    selector;
    loader;
    answers;
    grid;
    toolbar;
    filters;
    large;
    page = h("div", { class: "gallery", "data-testid": "gallery" });
    nothing = h("p", { class: "nothing muted", hidden: true });
    extra;
    fileNames = null;
    timer;
    countTimer;
    frame = 0;
    queue = Promise.resolve();
    keys;
    build(root) {
      const main2 = h("main", {}, this.buildDamage(), this.nothing, this.grid.element);
      this.page.append(this.toolbar.element, this.filters.element, main2);
      root.append(this.page);
      listenToKeys(this.keys);
    }
    buildTitle() {
      const { output, compare: compare2 } = this.start;
      const [own, other] = this.outputs;
      const against = compare2 ? h("span", { class: "muted" }, " against ", h("bdi", { title: compare2.output }, other)) : null;
      return h("h1", { title: output }, h("bdi", {}, own), against);
    }
    /** Returns what of the output cannot be read; null where all can. */
    buildDamage() {
      const sentences = Object.values(this.start.damaged ?? {});
      if (sentences.length === 0) return null;
      return h(
        "div",
        { class: "damage", role: "status", "data-testid": "damage" },
        ...sentences.map((sentence) => h("p", { class: "error" }, sentence))
      );
    }
    listKeys() {
      const answers = this.source.answer && !this.start.is_boxes ? [
        {
          key: "a",
          about: "accept the object of the card (among objects)",
          run: () => this.answerCard("accepted")
        },
        { key: "x", about: "reject it", run: () => this.answerCard("rejected") },
        { key: "z", about: "take back the last answer", run: (event) => event.repeat || this.undo() }
      ] : [];
      return [
        { key: "g", about: "go to the cards", run: () => this.grid.focusActive() },
        // Only listed: the grid listens to these where it has the focus, and sliders need them, too.
        { key: "in the grid", shown: "\u2190 \u2192 \u2191 \u2193", about: "move between cards", run: () => void 0 },
        { key: "in the grid, too", shown: "Enter", about: "open the card", run: () => void 0 },
        ...answers,
        {
          key: "f",
          about: "find in file names",
          run: () => this.filters.element.querySelector("#filter-name")?.focus()
        },
        {
          key: "c",
          about: "find a class",
          run: () => this.filters.element.querySelector("#filter-class")?.focus()
        },
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
          categories: this.categories,
          nameMatches: view.name === "" ? null : findNames2(this.fileNames, view.name),
          nameRanks: this.rankNames(this.fileNames)
        };
      }
      this.selection = this.selector.select(view, this.extra);
      performance.measure("gallery: filter", "filter-start");
      const { items } = this.selection;
      this.showCounts(this.selection);
      this.nothing.hidden = items.length > 0;
      this.nothing.replaceChildren(
        this.index.images === 0 ? "This output has no images yet." : "Nothing fits all filters."
      );
      this.toolbar.update(view);
      this.grid.show(items.length, view.mode === "images" ? IMAGE_CARD : OBJECT_CARD, keepPlace);
      performance.measure("gallery: show", "filter-start");
    }
    showCounts(counted) {
      this.toolbar.count(counted);
      this.filters.update(this.view, counted.choices);
    }
    rankNames(names) {
      if (this.extra.nameRanks || this.view.sort !== "name") return this.extra.nameRanks;
      this.selector.forgetOrders();
      return rankNames(names);
    }
    /** When somebody comes back to the page: says whether a run has labelled more meanwhile. */
    async lookForMore() {
      if (document.hidden || !this.source.count) return;
      try {
        const more = await this.source.count() - this.index.images;
        if (more > 0) say(`${formatAmount(more, "more image")} labelled meanwhile; reload the page to see them.`);
      } catch {
      }
    }
    findRow(position) {
      const item = this.selection.items[position] ?? 0;
      return this.view.mode === "images" ? item : this.selector.owner[item] ?? 0;
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
        hasFailed: this.index.status[row] === FAILED,
        error: this.loader.getError(row),
        objects: countObjects(this.index, row),
        highestRisk: findHighestRisk(this.index, row),
        difference: this.index.difference?.[row] ?? null,
        passes: (object) => this.selection.passes(ids[object.number] ?? -1),
        thumbnail: (side) => this.source.thumbnail(row, side)
      };
      if (this.view.mode === "images") fillImageCard(card, facts);
      else this.fillObject(card, facts, this.selection.items[position] ?? -1);
    }
    fillObject(card, facts, object) {
      const number = this.ids.of(this.selector.owner[object] ?? 0).indexOf(object);
      const isRejected2 = this.index.verdict[object] === VERDICTS.indexOf("rejected");
      fillObjectCard(
        card,
        facts,
        facts.image?.objects[number] ?? null,
        isRejected2 ? "Rejected." : "Not among the labels any more."
      );
    }
    /** Fills a card for each item, for print; returns those whose row is here. */
    fillAllCards() {
      const cards = [];
      for (let position = 0; position < this.selection.items.length && cards.length < MOST_PRINTED; position++) {
        if (!this.loader.get(this.findRow(position))) continue;
        const card = h("div", { class: "card" });
        this.fillCard(card, position);
        cards.push(card);
      }
      return cards;
    }
    /** Counts anew after an answer; cards keep their places until the view changes. */
    takeAnswer(row) {
      this.selector.forgetOrders();
      this.refreshRows([row]);
      clearTimeout(this.countTimer);
      this.countTimer = window.setTimeout(() => this.showCounts(this.selector.count(this.view, this.extra)), COUNT_MS);
    }
    takeRows(rows) {
      for (const row of rows) {
        const image = this.loader.get(row);
        if (image) this.ids.note(image);
      }
      this.refreshRows(rows);
    }
    refreshRows(rows) {
      const changed = new Set(rows);
      this.grid.refresh((position) => changed.has(this.findRow(position)));
    }
    makeWalk() {
      const owner = this.view.mode === "objects" ? this.selector.owner : null;
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
      if (open === null) return;
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
      const object = this.selection.items[position];
      if (object === void 0 || !this.loader.get(this.findRow(position))) return;
      this.grid.focus(position + 1);
      this.enqueue(() => this.sendAnswer(object, verdict));
    }
    /** One after the other: an answer may change the numbers of the objects in its row. */
    enqueue(step) {
      this.queue = this.queue.then(step).catch((error) => sayError(describe(error)));
    }
    /** Takes back the last answer, and goes to the card of its object. */
    undo() {
      this.enqueue(async () => {
        const undone = await this.answers.undo();
        if (!undone) {
          say("No answer of this session is left to take back.");
          return;
        }
        say(`Took back: ${undone.about}.`);
        const { row } = undone.image;
        const id = this.ids.of(row)[undone.object?.number ?? -1] ?? -1;
        const position = this.selection.items.indexOf(this.view.mode === "images" ? row : id);
        if (position >= 0) this.grid.focus(position);
      });
    }
    async sendAnswer(object, verdict) {
      const row = this.selector.owner[object] ?? 0;
      const image = await this.loader.load(row);
      const number = this.ids.of(row).indexOf(object);
      const drawn = image.objects[number];
      if (!drawn) return;
      await this.answers.give(image, drawn, verdict);
      if (verdict === "rejected") say(`Rejected ${drawn.category}.`, { text: "Undo", run: () => this.undo() });
    }
  };
  function findLastPart(path) {
    return path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
  }
  function nameOutputs(one, other) {
    const [short, shortOther] = [findLastPart(one), findLastPart(other)];
    return short === shortOther ? [one, other] : [short, shortOther];
  }

  // src/results/format.ts
  var UNDEFINED = "\u2013";
  function percent(value) {
    return value === null || value === void 0 || value < 0 ? UNDEFINED : (100 * value).toFixed(1);
  }
  function count(value) {
    return value.toLocaleString("en");
  }
  function things(value, one, many = `${one}s`) {
    return `${count(value)} ${value === 1 ? one : many}`;
  }

  // src/results/classes.ts
  var LABELS = {
    category_id: "Id",
    name: "Class",
    split: "Split",
    frequency: "Frequency",
    annotations: "Annotations",
    instances: "Instances",
    iou: "IoU",
    accuracy: "Accuracy",
    segm_predictions: "Masks",
    segm_AP: "Mask AP",
    segm_AP50: "Mask AP50",
    segm_AR: "Mask AR",
    bbox_predictions: "Boxes",
    bbox_AP: "Box AP",
    bbox_AP50: "Box AP50",
    bbox_AR: "Box AR"
  };
  var TEXTS = ["name", "split", "frequency"];
  var WHOLE2 = ["category_id", "annotations", "instances", "segm_predictions", "bbox_predictions"];
  var FREQUENCIES = { r: "rare", c: "common", f: "frequent" };
  var NAME_ORDER = new Intl.Collator("en", { numeric: true });
  var MOST_ROWS = 2e3;
  var ClassTable = class {
    constructor(classes, onSelect) {
      this.classes = classes;
      this.onSelect = onSelect;
      const { columns, rows } = classes;
      const filled = columns.map((_, place) => place).filter((place) => rows.some((row) => row[place] !== null));
      const id = columns.indexOf("category_id");
      this.columns = [...filled.filter((place) => place !== id), id];
      this.sortedBy = columns.indexOf("annotations");
      this.choices = new Map(
        ["split", "frequency"].map((name) => columns.indexOf(name)).filter((place) => this.columns.includes(place)).map((place) => [place, this.buildChoice(place)])
      );
      this.rows = rows.map((row, number) => this.buildRow(row, number));
      this.element = h("div", { class: "classes" }, this.buildControls(), this.told, this.buildTable());
      this.show();
    }
    classes;
    onSelect;
    element;
    body = h("tbody");
    told = h("p", { class: "muted", "aria-live": "polite", "data-testid": "class-count" });
    rows;
    columns;
    heads = /* @__PURE__ */ new Map();
    search = h("input", {
      type: "search",
      placeholder: "Class name",
      "aria-label": "Filter classes by name",
      "data-testid": "class-filter",
      oninput: () => this.show()
    });
    choices;
    withAny = h("input", { type: "checkbox", checked: true, onchange: () => this.show() });
    sortedBy;
    isFalling = true;
    selected = null;
    /** Marks a class, or none; does not call `onSelect`. */
    select(row) {
      if (this.selected !== null) this.rows[this.selected]?.removeAttribute("aria-current");
      this.selected = row;
      if (row !== null) this.rows[row]?.setAttribute("aria-current", "true");
    }
    buildControls() {
      return h(
        "div",
        { class: "results-controls" },
        this.search,
        ...this.choices.values(),
        h("label", {}, this.withAny, " only classes with annotations")
      );
    }
    buildChoice(place) {
      const name = this.classes.columns[place] ?? "";
      const values = [...new Set(this.classes.rows.map((row) => row[place]))].filter((value) => value !== null).sort();
      const options = values.map((value) => h("option", { value }, FREQUENCIES[String(value)] ?? String(value)));
      return h(
        "select",
        { "aria-label": LABELS[name] ?? name, "data-testid": `class-${name}`, onchange: () => this.show() },
        h("option", { value: "" }, `any ${name}`),
        ...options
      );
    }
    buildTable() {
      const heads = this.columns.map((place) => {
        const name = this.classes.columns[place] ?? "";
        const button2 = h("button", { type: "button", class: "sort", onclick: () => this.sort(place) }, LABELS[name] ?? name);
        const head = h("th", { scope: "col", class: TEXTS.includes(name) ? "" : "number" }, button2);
        this.heads.set(place, head);
        return head;
      });
      return h(
        "div",
        { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Classes" },
        h("table", { class: "grid class-table", "data-testid": "classes" }, h("thead", {}, h("tr", {}, ...heads)), this.body)
      );
    }
    buildRow(row, number) {
      const cells = this.columns.map((place) => {
        const name = this.classes.columns[place] ?? "";
        const value = row[place] ?? null;
        if (name === "name") {
          const button2 = h("button", { type: "button", class: "link" }, h("bdi", {}, value));
          return h("th", { scope: "row" }, button2);
        }
        return h("td", { class: TEXTS.includes(name) ? "" : "number" }, showCell(name, value));
      });
      return h("tr", { "data-testid": "class-row", onclick: () => this.choose(number) }, ...cells);
    }
    choose(number) {
      this.onSelect(this.selected === number ? null : number);
    }
    sort(place) {
      const isText = TEXTS.includes(this.classes.columns[place] ?? "");
      this.isFalling = place === this.sortedBy ? !this.isFalling : !isText;
      this.sortedBy = place;
      this.show();
    }
    show() {
      const numbers = this.filter();
      const way = this.isFalling ? -1 : 1;
      const value = (number) => this.classes.rows[number]?.[this.sortedBy] ?? null;
      numbers.sort((a, b) => compare(value(a), value(b), way));
      const shown = numbers.slice(0, MOST_ROWS).flatMap((number) => this.rows[number] ?? []);
      this.body.replaceChildren(...shown);
      for (const [place, head] of this.heads) {
        if (place === this.sortedBy) head.setAttribute("aria-sort", this.isFalling ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      }
      const cut = numbers.length > MOST_ROWS ? `; the first ${count(MOST_ROWS)} are shown: filter or sort to see others` : "";
      this.told.textContent = `${count(numbers.length)} of ${things(this.rows.length, "class", "classes")}${cut}. Numbers are percent.`;
    }
    filter() {
      const wanted = this.search.value.trim().toLowerCase();
      const { columns, rows } = this.classes;
      const name = columns.indexOf("name");
      const annotations = columns.indexOf("annotations");
      const chosen = [...this.choices].filter(([, choice]) => choice.value);
      return rows.flatMap((row, number) => {
        if (wanted && !String(row[name]).toLowerCase().includes(wanted)) return [];
        if (this.withAny.checked && !row[annotations]) return [];
        return chosen.every(([place, choice]) => String(row[place]) === choice.value) ? [number] : [];
      });
    }
  };
  function showCell(name, value) {
    if (value === null) return name === "split" || name === "frequency" ? "" : UNDEFINED;
    if (typeof value === "string") return name === "frequency" ? FREQUENCIES[value] ?? value : value;
    if (name === "category_id") return String(value);
    return WHOLE2.includes(name) ? count(value) : percent(value);
  }
  function compare(a, b, way) {
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "string" || typeof b === "string") return way * NAME_ORDER.compare(String(a), String(b));
    return way * (a - b);
  }

  // src/results/examples.ts
  function buildCards(examples) {
    const cards = examples.map(
      (example, number) => h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "example",
            "data-testid": "example",
            "aria-label": `Open: ${describe3(example)}`,
            onclick: () => openExample(examples, number)
          },
          buildPicture(example, example.crop, toView(example.window)),
          h("span", { class: "example-text" }, ...describeSides(example))
        )
      )
    );
    return h("ul", { class: "cards" }, ...cards);
  }
  function buildLegend() {
    return h(
      "p",
      { class: "muted outlines" },
      buildLine("truth"),
      "annotation: white, solid",
      buildLine("prediction"),
      "prediction: orange, dashed"
    );
  }
  function buildLine(side) {
    return h("span", { class: `line-sample ${side}`, "aria-hidden": "true" });
  }
  function openExample(examples, first2) {
    let number = first2;
    const body = h("div", { class: "example-large" });
    const dialog = h(
      "dialog",
      { class: "example-dialog", "aria-label": "Example", "data-testid": "example-dialog", onclose: () => end() },
      body
    );
    const step = (by) => {
      number = Math.min(examples.length - 1, Math.max(0, number + by));
      show3();
    };
    const show3 = () => {
      const example = examples[number];
      if (!example) return;
      const { picture, button: button2 } = buildLarge(example);
      const controls = h(
        "div",
        { class: "results-controls" },
        h("button", { type: "button", disabled: number === 0, onclick: () => step(-1) }, "Previous"),
        h("button", { type: "button", disabled: number === examples.length - 1, onclick: () => step(1) }, "Next"),
        h("span", { class: "muted", "aria-live": "polite" }, `${number + 1} of ${examples.length}`),
        button2,
        h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close")
      );
      body.replaceChildren(picture, controls, buildFacts(example));
    };
    const stop = listenToKeys(
      [
        { key: "n", about: "Next example", run: () => step(1) },
        { key: "p", about: "Previous example", run: () => step(-1) },
        { key: "ArrowRight", about: "Next example", shown: "", run: () => step(1) },
        { key: "ArrowLeft", about: "Previous example", shown: "", run: () => step(-1) }
      ],
      dialog
    );
    const end = () => {
      stop();
      dialog.remove();
    };
    show3();
    document.body.append(dialog);
    dialog.showModal();
  }
  function buildLarge(example) {
    const around = buildPicture(example, example.crop, toView(example.window));
    if (!example.picture) return { picture: around, button: null };
    const all = { x: 0, y: 0, width: example.width, height: example.height };
    const whole = buildPicture(example, example.picture, all);
    const picture = h("div", {}, whole);
    const button2 = h(
      "button",
      {
        type: "button",
        "aria-pressed": "false",
        "data-testid": "closer",
        onclick: () => {
          const isClose = button2.getAttribute("aria-pressed") === "false";
          button2.setAttribute("aria-pressed", String(isClose));
          picture.replaceChildren(isClose ? around : whole);
        }
      },
      "Only around the object"
    );
    return { picture, button: button2 };
  }
  function buildPicture(example, address, view) {
    const frame = h("span", { class: "frame" });
    frame.style.setProperty("--ratio", String(view.width / view.height));
    const overlay = new Overlay({ width: example.width, height: example.height, names: "none" });
    overlay.setObjects(listSides(example));
    overlay.setView(view);
    if (address) {
      const gone = () => picture.replaceWith(h("span", { class: "gone muted" }, "The picture cannot be read"));
      const loading = address.startsWith("data:") ? "eager" : "lazy";
      const picture = h("img", { src: address, alt: "", loading, decoding: "async", onerror: gone });
      frame.append(picture);
    } else {
      frame.append(h("span", { class: "gone muted" }, "No picture"));
    }
    frame.append(overlay.element);
    return frame;
  }
  function buildFacts(example) {
    const facts = [
      ["What is wrong", example.words],
      ["IoU, percent", example.iou === null ? null : percent(example.iou)],
      ["File", example.file_name],
      ["Image id", example.image_id],
      ["Annotation id", example.annotation_id]
    ];
    const shown = facts.filter(([, value]) => value !== null);
    const sides = ["truth", "prediction"].flatMap((side) => [
      h("dt", {}, side === "truth" ? "Annotation" : "Prediction"),
      h("dd", {}, buildLine(side), h("bdi", {}, nameWithScore(example[side])))
    ]);
    return h("dl", { class: "facts" }, ...sides, ...shown.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, h("bdi", {}, value))]));
  }
  function listSides(example) {
    return [example.truth, example.prediction].filter((side) => side !== null);
  }
  function describe3(example) {
    const iou = example.iou === null ? "" : `, IoU ${percent(example.iou)} percent`;
    return `annotation ${example.truth?.category ?? "none"}, prediction ${nameWithScore(example.prediction)}${iou}`;
  }
  function describeSides(example) {
    const iou = example.iou === null ? "" : `IoU ${percent(example.iou)} \xB7 `;
    return [
      h("span", {}, h("bdi", {}, example.truth?.category ?? "nothing there"), " \u2192 ", h("bdi", {}, nameWithScore(example.prediction))),
      h("span", { class: "muted" }, iou, h("bdi", {}, example.file_name ?? `image ${example.image_id}`))
    ];
  }
  function nameWithScore(side) {
    if (!side) return "nothing";
    return side.score === null ? side.category : `${side.category} ${side.score.toFixed(2)}`;
  }
  function toView([x, y, width, height]) {
    return { x, y, width, height };
  }

  // src/results/confusions.ts
  var Confusions = class {
    constructor(results, source) {
      this.results = results;
      this.source = source;
      this.buttons = results.pairs.map((pair, number) => this.buildPair(pair, number));
      const side = h("div", {}, h("h3", {}, "Pairs: annotation \u2192 prediction"), this.told, this.list);
      const matrix = results.matrix && results.matrix.classes.length > 0 && this.buildMatrix(results.matrix);
      this.element = h("div", { class: "confusions" }, side, matrix);
      this.setClass(null);
    }
    results;
    source;
    element;
    list = h("ol", { class: "pairs", "data-testid": "pairs" });
    told = h("p", { class: "muted", "aria-live": "polite" });
    buttons;
    className = null;
    /** Lists the pairs of one class only; null lists all. */
    setClass(name) {
      this.className = name;
      const chosen = this.results.pairs.flatMap(
        (pair, number) => name === null || pair.truth === name || pair.predicted === name ? [number] : []
      );
      this.list.replaceChildren(...chosen.map((number) => h("li", {}, this.buttons[number])));
      const shown = this.results.pairs.length;
      const all = this.results.num_pairs > shown ? `the ${count(shown)} most frequent of ${count(this.results.num_pairs)}` : things(shown, "pair");
      this.told.textContent = this.className === null ? `${all}.` : `${things(chosen.length, "pair")} with ${this.className}, of ${all}.`;
    }
    buildPair(pair, number) {
      const most = this.results.pairs[0]?.count ?? 1;
      const bar = h("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", String(pair.count / most));
      return h(
        "button",
        { type: "button", class: "pair", "data-testid": "pair", onclick: () => void this.open(number) },
        h("span", { class: "pair-names" }, h("bdi", {}, pair.truth), " \u2192 ", h("bdi", {}, pair.predicted)),
        bar,
        h("span", { class: "number" }, count(pair.count))
      );
    }
    async open(number) {
      const pair = this.results.pairs[number];
      if (!pair) return;
      try {
        const examples = await this.source.examples(String(number));
        const close = h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
        const dialog = h(
          "dialog",
          { class: "pair-dialog", "aria-labelledby": "pair-title", "data-testid": "pair-dialog", onclose: () => dialog.remove() },
          h("div", { class: "results-controls" }, h("h2", { id: "pair-title" }, h("bdi", {}, pair.truth), " \u2192 ", h("bdi", {}, pair.predicted)), close),
          h("p", { class: "muted" }, describeShown(pair, examples.length)),
          examples.length > 0 && buildLegend(),
          buildCards(examples)
        );
        document.body.append(dialog);
        dialog.showModal();
      } catch (error) {
        if (!isAbort(error)) sayError(describe(error));
      }
    }
    buildMatrix(matrix) {
      const numbers = new Map(this.results.pairs.map((pair, number) => [JSON.stringify([pair.truth, pair.predicted]), number]));
      const most = Math.max(1, ...matrix.counts.flatMap((row, at) => row.filter((_, place) => place !== at)));
      const head = [...matrix.classes, "others", "not found"].map(
        (name, place) => h("th", { scope: "col", class: place < matrix.classes.length ? "" : "muted" }, h("bdi", {}, name))
      );
      const rows = matrix.classes.map((name, at) => {
        const cells = matrix.classes.map((other, place) => {
          const value = matrix.counts[at]?.[place] ?? 0;
          if (at === place) return h("td", { class: "right", title: `${name}: ${count(value)} right` }, value || "");
          const cell = h("td", { title: `${name} \u2192 ${other}: ${count(value)}` });
          if (!value) return cell;
          cell.style.setProperty("--share", String(value / most));
          const number = numbers.get(JSON.stringify([name, other]));
          cell.className = "mistaken";
          cell.append(
            number === void 0 ? String(value) : h("button", { type: "button", "aria-label": `${name} \u2192 ${other}: ${value}`, onclick: () => void this.open(number) }, value)
          );
          return cell;
        });
        const ends = [matrix.others[at] ?? 0, matrix.missed[at] ?? 0].map((value) => h("td", { class: "muted" }, value || ""));
        return h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, name)), ...cells, ...ends);
      });
      return h(
        "div",
        {},
        h("h3", {}, `Matrix of the ${things(matrix.classes.length, "class", "classes")} most often mistaken`),
        h("p", { class: "muted" }, "A row is a class as annotated, a column as predicted. A number opens its pair."),
        h(
          "div",
          { class: "matrix-frame", tabindex: 0, role: "region", "aria-label": "Matrix of confusions" },
          h("table", { class: "matrix", "data-testid": "matrix" }, h("thead", {}, h("tr", {}, h("td"), ...head)), h("tbody", {}, ...rows))
        )
      );
    }
  };
  function describeShown(pair, shown) {
    const all = things(pair.count, "instance");
    if (shown === 0) return `${all}; no examples of it are kept here.`;
    return shown < pair.count ? `${all}; the ${shown} of the highest scores.` : `${all}.`;
  }

  // src/results/curves.ts
  var NAMES2 = ["precision_50", "precision_75", "precision"];
  var TITLES = {
    precision_50: "IoU .50",
    precision_75: "IoU .75",
    precision: "IoU .50:.95"
  };
  var KINDS = { segm: "Masks", bbox: "Boxes" };
  var RECALLS = 101;
  var WIDTH = 520;
  var HEIGHT = 320;
  var LEFT = 44;
  var BOTTOM = 40;
  var TOP = 8;
  var RIGHT = 12;
  function readCurves(curves, row) {
    if (row === null) {
      const { precision_50, precision_75, precision } = curves;
      return precision_50 && precision_75 && precision ? { precision_50, precision_75, precision } : null;
    }
    const place = curves.classes.indexOf(row);
    if (place < 0) return null;
    const bytes = Uint8Array.from(atob(curves.data), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const read = (kind) => Array.from({ length: RECALLS }, (_, at) => view.getUint16(2 * ((place * NAMES2.length + kind) * RECALLS + at), true) / 65535);
    return { precision_50: read(0), precision_75: read(1), precision: read(2) };
  }
  var CurvePanel = class {
    constructor(results) {
      this.results = results;
      const names = Object.keys(results.curves);
      this.kind = names[0] ?? "";
      this.kinds = new Map(
        names.map((kind) => [kind, h("button", { type: "button", onclick: () => this.choose(kind) }, KINDS[kind] ?? kind)])
      );
      const switches = names.length > 1 && h("div", { class: "results-controls no-print" }, ...this.kinds.values());
      this.element = h("div", { class: "curves", "data-testid": "curves" }, this.title, switches, this.body);
      this.show();
    }
    results;
    element;
    kind;
    row = null;
    title = h("h3", { "data-testid": "curve-title" });
    body = h("div");
    kinds;
    /** Shows the class of a row of the table; null shows the mean of all. */
    setClass(row) {
      this.row = row;
      this.show();
    }
    choose(kind) {
      this.kind = kind;
      this.show();
    }
    show() {
      for (const [kind, button2] of this.kinds) button2.setAttribute("aria-pressed", String(kind === this.kind));
      const curves = this.results.curves[this.kind];
      if (!curves) return;
      const many = curves.classes.length;
      const name = this.row === null ? null : this.results.classes.rows[this.row]?.[this.results.classes.columns.indexOf("name")];
      const of = name === null || name === void 0 ? `mean of ${many === 1 ? "one class" : `${many} classes`}` : String(name);
      this.title.textContent = `${KINDS[this.kind] ?? this.kind}, precision over recall: ${of}`;
      const lines = readCurves(curves, this.row);
      this.body.replaceChildren(lines ? buildPlot(lines) : h("p", { class: "muted" }, "It has no annotation to be found, so no curve."));
    }
  };
  function buildPlot(lines) {
    const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
    const dots = NAMES2.map((name) => svg("circle", { class: `dot ${name}`, r: 3.5 }));
    const drawing = svg(
      "svg",
      { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Precision over recall; the table below has its values" },
      drawAxes(),
      ...NAMES2.map((name) => svg("path", { class: `line ${name}`, d: drawLine(lines[name]) })),
      svg("g", { class: "reading" }, cursor, ...dots)
    );
    const told = h("p", { class: "reading-text", "aria-live": "polite", "data-testid": "curve-reading" });
    const range = h("input", {
      type: "range",
      min: 0,
      max: RECALLS - 1,
      value: 50,
      "aria-label": "Recall to read precision at",
      class: "no-print",
      oninput: () => read(range.valueAsNumber)
    });
    const read = (at) => {
      cursor.setAttribute("x1", String(toX(at)));
      cursor.setAttribute("x2", String(toX(at)));
      dots.forEach((dot, number) => {
        dot.setAttribute("cx", String(toX(at)));
        dot.setAttribute("cy", String(toY(lines[NAMES2[number] ?? "precision"][at] ?? 0)));
      });
      const values = NAMES2.map((name) => `${TITLES[name]}: ${percent(lines[name][at])}`).join(", ");
      told.textContent = `At recall ${at} %, precision at ${values}`;
      range.value = String(at);
    };
    drawing.addEventListener("pointermove", (event) => {
      const matrix = drawing.getScreenCTM();
      if (!matrix) return;
      const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      const share = (x - LEFT) / (WIDTH - LEFT - RIGHT);
      read(Math.round(Math.min(1, Math.max(0, share)) * (RECALLS - 1)));
    });
    read(50);
    return h("div", {}, drawing, buildLegend2(lines), range, told, buildTable(lines));
  }
  function buildLegend2(lines) {
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const items = NAMES2.map(
      (name) => h(
        "li",
        {},
        svg("svg", { class: "plot sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, svg("path", { class: `line ${name}`, d: "M0 4H28" })),
        `${TITLES[name]}: AP ${percent(mean(lines[name]))}`
      )
    );
    return h("ul", { class: "legend" }, ...items);
  }
  function buildTable(lines) {
    const rows = Array.from({ length: 11 }, (_, step) => 10 * step).map(
      (at) => h("tr", {}, h("th", { scope: "row" }, `${at} %`), ...NAMES2.map((name) => h("td", {}, percent(lines[name][at]))))
    );
    return h(
      "details",
      { class: "no-print" },
      h("summary", {}, "Values as a table"),
      h(
        "table",
        { class: "grid", "data-testid": "curve-table" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Recall"), ...NAMES2.map((name) => h("th", { scope: "col" }, TITLES[name])))),
        h("tbody", {}, ...rows)
      )
    );
  }
  function drawAxes() {
    const ticks = [0, 20, 40, 60, 80, 100];
    return svg(
      "g",
      { class: "axes" },
      ...ticks.flatMap((tick) => [
        svg("line", { x1: toX(tick), x2: toX(tick), y1: TOP, y2: HEIGHT - BOTTOM }),
        svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: toY(tick / 100), y2: toY(tick / 100) }),
        svg("text", { x: toX(tick), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, tick),
        svg("text", { x: LEFT - 6, y: toY(tick / 100) + 4, "text-anchor": "end" }, tick)
      ]),
      svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "Recall, percent"),
      svg("text", { transform: `translate(12 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, "Precision, percent")
    );
  }
  function drawLine(values) {
    return values.map((value, at) => `${at ? "L" : "M"}${toX(at).toFixed(1)} ${toY(value).toFixed(1)}`).join("");
  }
  function toX(at) {
    return LEFT + at / (RECALLS - 1) * (WIDTH - LEFT - RIGHT);
  }
  function toY(value) {
    return HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP);
  }

  // src/results/numbers.ts
  var TITLES2 = { instances: "Instances", segm: "Masks", bbox: "Boxes" };
  var GROUPS = [
    ["all", ""],
    ["base", "_base"],
    ["novel", "_novel"]
  ];
  var PRECISION = {
    AP: "IoU .50:.95",
    AP50: "IoU .50",
    AP75: "IoU .75",
    APs: "small, area < 32\xB2",
    APm: "medium",
    APl: "large, area > 96\xB2",
    AP_base: "base classes",
    AP_novel: "novel classes",
    AP50_base: "base, IoU .50",
    AP50_novel: "novel, IoU .50",
    APr: "rare classes",
    APc: "common classes",
    APf: "frequent classes"
  };
  var LEFT_OUT = {
    instances_unanswered: "left out: their images have no predictions",
    instances_missing: "without an answer: IoU 0 and wrong",
    instances_repeated: "further predictions of one prompt: left out",
    instances_in_neither_split: "left out: their class is neither base nor novel"
  };
  function buildNumbers(metrics) {
    const tables = Object.entries(metrics.metrics).flatMap(
      ([group, values]) => group === "instances" ? [buildInstances(values)] : buildDetections(TITLES2[group] ?? group, values)
    );
    return h("div", { class: "numbers", "data-testid": "numbers" }, ...tables);
  }
  function buildProtocol(metrics) {
    const { dataset, counts = {}, seconds = {}, problems = [], matching } = metrics;
    const { made_with: madeWith, ...protocol } = metrics.protocol;
    const lists = [
      ["Data set", dataset],
      ["Protocol", protocol],
      ["Predictions were made with", isRecord(madeWith) ? withoutHashes(madeWith) : {}],
      ["Counts", counts],
      ["How images were found", isRecord(matching) ? matching : {}],
      ["Seconds", seconds],
      ["Made", { ovsam: metrics.ovsam, finished: metrics.finished }]
    ];
    return h(
      "div",
      { class: "protocol", "data-testid": "protocol" },
      ...lists.filter(([, values]) => Object.keys(values).length).map(([title, values]) => buildList(title, values)),
      problems.length > 0 && h("section", { class: "odd" }, h("h3", {}, "Odd input"), h("ul", {}, ...problems.map((text) => h("li", {}, text))))
    );
  }
  function buildInstances(values) {
    const groups = GROUPS.filter(([, suffix]) => suffix === "" || values[`instances${suffix}`]);
    const rows = groups.map(
      ([name, suffix]) => h(
        "tr",
        {},
        h("th", { scope: "row" }, name),
        h("td", {}, percent(values[`iou${suffix}`])),
        h("td", {}, percent(values[`accuracy${suffix}`])),
        h("td", {}, count(values[`instances${suffix}`] ?? 0))
      )
    );
    const more = Object.entries(LEFT_OUT).filter(([name]) => values[name]);
    return h(
      "section",
      {},
      h("h3", {}, "Instances, percent"),
      h(
        "table",
        { class: "grid" },
        h("thead", {}, h("tr", {}, ...["", "IoU", "Accuracy", "Instances"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, ...rows)
      ),
      more.length > 0 && h("p", { class: "muted" }, more.map(([name, about]) => `${count(values[name] ?? 0)} ${about}`).join("; "))
    );
  }
  function buildDetections(title, values) {
    const isRecall = (name) => name.startsWith("AR");
    const precision = Object.keys(values).filter((name) => !isRecall(name));
    const recall = Object.keys(values).filter(isRecall);
    return [
      buildColumn(`${title}: precision, percent`, precision, values),
      buildColumn(`${title}: recall, percent`, recall, values)
    ];
  }
  function buildColumn(title, names, values) {
    const rows = names.map(
      (name) => h(
        "tr",
        {},
        h("th", { scope: "row" }, name.replace("_", " ")),
        h("td", {}, percent(values[name])),
        h("td", { class: "muted about" }, PRECISION[name] ?? describeRecall(name))
      )
    );
    return h("section", {}, h("h3", {}, title), h("table", { class: "grid" }, h("tbody", {}, ...rows)));
  }
  var SIZES = { s: "small", m: "medium", l: "large" };
  function describeRecall(name) {
    const found = /^AR([sml]?)(?:@(\d+))?$/.exec(name);
    if (!found) return "";
    const size = found[1] ? SIZES[found[1]] ?? "" : "";
    return [size, found[2] ? `${found[2]} an image` : ""].filter(Boolean).join(", ");
  }
  function buildList(title, values) {
    const items = Object.entries(values).flatMap(([name, value]) => [
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd", {}, show2(value))
    ]);
    return h("section", {}, h("h3", {}, title), h("dl", {}, ...items));
  }
  function show2(value) {
    if (value === null || value === void 0) return UNDEFINED;
    if (isRecord(value)) {
      const parts = Object.entries(value).map(([name, part]) => `${name.replaceAll("_", " ")} ${show2(part)}`);
      return parts.join(", ");
    }
    if (typeof value === "object") return JSON.stringify(value);
    return typeof value === "number" && Number.isInteger(value) ? count(value) : String(value);
  }
  function withoutHashes(values) {
    return Object.fromEntries(Object.entries(values).filter(([name]) => !/_(hash|version)$/.test(name)));
  }
  function isRecord(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
  }

  // src/results/source.ts
  var ServerSource2 = class {
    results() {
      return getJson("api/results");
    }
    examples(of) {
      return getJson(`api/results/examples?of=${encodeURIComponent(of)}`);
    }
  };
  var EmbeddedSource2 = class {
    held = JSON.parse(byId("results").textContent ?? "");
    results() {
      return Promise.resolve(this.held.results);
    }
    examples(of) {
      return Promise.resolve(this.held.examples[of] ?? []);
    }
  };

  // src/results/mount.ts
  function mount4(root, start) {
    const source = start.embedded ? new EmbeddedSource2() : new ServerSource2();
    root.append(h("p", { class: "muted results-wait" }, "Reading the results \u2026"));
    source.results().then((results) => root.replaceChildren(build(results, source))).catch((error) => root.replaceChildren(h("p", { class: "error results-wait", role: "alert" }, describe(error))));
  }
  function build(results, source) {
    const { metrics } = results;
    const name = String(metrics.dataset["name"] ?? "");
    document.title = `${name}: results of ovsam eval`;
    const curves = Object.keys(results.curves).length > 0 ? new CurvePanel(results) : null;
    const confusions = results.pairs.length > 0 ? new Confusions(results, source) : null;
    const classes = new ClassTable(results.classes, (row) => {
      classes.select(row);
      curves?.setClass(row);
      confusions?.setClass(row === null ? null : String(results.classes.rows[row]?.[results.classes.columns.indexOf("name")]));
    });
    const sections = [
      ["numbers", "Numbers", buildNumbers(metrics)],
      ["classes", "Classes", h("div", { class: curves ? "with-side" : "" }, classes.element, curves?.element)],
      ["confusions", "Confusions", confusions?.element ?? null],
      ["worst", "Worst instances", results.worst > 0 ? buildWorst(results, source) : null],
      ["protocol", "How it was measured", buildProtocol(metrics)]
    ];
    const shown = sections.filter(([, , element]) => element);
    return h(
      "div",
      { class: "results", "data-testid": "results" },
      h(
        "header",
        {},
        h("h1", {}, "Results on ", h("bdi", {}, name)),
        h("nav", { class: "no-print", "aria-label": "Parts of the page" }, ...shown.map(([id, title]) => h("a", { href: `#${id}` }, title))),
        buildThemeSwitch()
      ),
      h(
        "main",
        {},
        h("p", { class: "muted" }, summarise(results)),
        ...results.notes.map((note) => h("p", { class: "note" }, note)),
        ...shown.map(([id, title, element]) => h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), element))
      )
    );
  }
  function summarise(results) {
    const { counts = {}, protocol } = results.metrics;
    const seen = ["images", "annotations", "predictions"].map((name) => things(counts[name] ?? 0, name.replace(/s$/, "")));
    return `${seen.join(", ")}. Predictions: ${String(protocol["predictions"] ?? "")}`;
  }
  function buildWorst(results, source) {
    const body = h("div", {}, h("p", { class: "muted" }, "Reading \u2026"));
    source.examples("worst").then((examples) => body.replaceChildren(buildLegend(), buildCards(examples))).catch((error) => body.replaceChildren(h("p", { class: "error" }, describe(error))));
    return h("div", { "data-testid": "worst" }, h("p", { class: "muted" }, describeWorst(results)), body);
  }
  function describeWorst(results) {
    return "instances" in results.metrics.metrics ? `${things(results.worst, "instance")} of the lowest IoU, wrong names first.` : "Half are the surest wrong predictions, half the largest annotations that nothing found.";
  }

  // src/main.ts
  var mounts = {
    demo: mount,
    editors: mount2,
    gallery: mount3,
    results: mount4
  };
  function main() {
    startTheme();
    startToasts();
    const start = JSON.parse(byId("start").textContent ?? "");
    const kind = String(start.kind);
    const root = byId("root");
    const mount5 = Object.hasOwn(mounts, kind) ? mounts[kind] : void 0;
    root.replaceChildren();
    if (mount5) mount5(root, start);
    else root.append(h("p", { role: "alert" }, `This page has no view of the kind ${kind}.`));
  }
  main();
})();
