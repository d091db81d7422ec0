/** Examples as cards: the part of the image around the object, truth solid and prediction dashed. */
import { h } from "../shared/dom";
import { listenToKeys } from "../shared/keys";
import { Overlay, type View } from "../shared/overlay";
import type { DrawnObject } from "../shared/types";
import { percent } from "./format";
import type { Example } from "./source";

/** Returns a card for each example; a click opens one large. */
export function buildCards(examples: readonly Example[]): HTMLElement {
  const cards = examples.map((example, number) =>
    h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "example",
          "data-testid": "example",
          "aria-label": `Open: ${describe(example)}`,
          onclick: () => openExample(examples, number),
        },
        buildPicture(example, example.crop, toView(example.window)),
        h("span", { class: "example-text" }, ...describeSides(example)),
      ),
    ),
  );
  return h("ul", { class: "cards" }, ...cards);
}

/** What the lines of the pictures mean. */
export function buildLegend(): HTMLElement {
  return h(
    "p",
    { class: "muted outlines" },
    buildLine("truth"),
    "annotation: white, solid",
    buildLine("prediction"),
    "prediction: orange, dashed",
  );
}

function buildLine(side: "truth" | "prediction"): HTMLElement {
  return h("span", { class: `line-sample ${side}`, "aria-hidden": "true" });
}

function openExample(examples: readonly Example[], first: number): void {
  let number = first;
  const body = h("div", { class: "example-large" });
  const dialog = h(
    "dialog",
    { class: "example-dialog", "aria-label": "Example", "data-testid": "example-dialog", onclose: () => end() },
    body,
  );
  const step = (by: number): void => {
    number = Math.min(examples.length - 1, Math.max(0, number + by));
    show();
  };
  const show = (): void => {
    const example = examples[number];
    if (!example) return;
    const { picture, button } = buildLarge(example);
    const controls = h(
      "div",
      { class: "results-controls" },
      h("button", { type: "button", disabled: number === 0, onclick: () => step(-1) }, "Previous"),
      h("button", { type: "button", disabled: number === examples.length - 1, onclick: () => step(1) }, "Next"),
      h("span", { class: "muted", "aria-live": "polite" }, `${number + 1} of ${examples.length}`),
      button,
      h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close"),
    );
    body.replaceChildren(picture, controls, buildFacts(example));
  };
  const stop = listenToKeys(
    [
      { key: "n", about: "Next example", run: () => step(1) },
      { key: "p", about: "Previous example", run: () => step(-1) },
      { key: "ArrowRight", about: "Next example", shown: "", run: () => step(1) },
      { key: "ArrowLeft", about: "Previous example", shown: "", run: () => step(-1) },
    ],
    dialog,
  );
  const end = (): void => {
    stop();
    dialog.remove();
  };
  show();
  document.body.append(dialog);
  dialog.showModal();
}

/** The whole image where a server has it, and then a button for the part around the object. */
function buildLarge(example: Example): { picture: HTMLElement; button: HTMLElement | null } {
  const around = buildPicture(example, example.crop, toView(example.window));
  if (!example.picture) return { picture: around, button: null };
  const all = { x: 0, y: 0, width: example.width, height: example.height };
  const whole = buildPicture(example, example.picture, all);
  const picture = h("div", {}, whole);
  const button = h(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      "data-testid": "closer",
      onclick: () => {
        const isClose = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", String(isClose));
        picture.replaceChildren(isClose ? around : whole);
      },
    },
    "Only around the object",
  );
  return { picture, button };
}

function buildPicture(example: Example, address: string | null, view: View): HTMLElement {
  const frame = h("span", { class: "frame" });
  frame.style.setProperty("--ratio", String(view.width / view.height));
  const overlay = new Overlay({ width: example.width, height: example.height, names: "none" });
  overlay.setObjects(listSides(example));
  overlay.setView(view);
  if (address) {
    const gone = (): void => picture.replaceWith(h("span", { class: "gone muted" }, "The picture cannot be read"));
    // What the page itself holds need not wait until it is seen, and is there when it is printed.
    const loading = address.startsWith("data:") ? "eager" : "lazy";
    const picture = h("img", { src: address, alt: "", loading, decoding: "async", onerror: gone });
    frame.append(picture);
  } else {
    frame.append(h("span", { class: "gone muted" }, "No picture"));
  }
  frame.append(overlay.element);
  return frame;
}

function buildFacts(example: Example): HTMLElement {
  const facts: readonly (readonly [string, string | number | null])[] = [
    ["What is wrong", example.words],
    ["IoU, percent", example.iou === null ? null : percent(example.iou)],
    ["File", example.file_name],
    ["Image id", example.image_id],
    ["Annotation id", example.annotation_id],
  ];
  const shown = facts.filter(([, value]) => value !== null);
  const sides = (["truth", "prediction"] as const).flatMap((side) => [
    h("dt", {}, side === "truth" ? "Annotation" : "Prediction"),
    h("dd", {}, buildLine(side), h("bdi", {}, nameWithScore(example[side]))),
  ]);
  return h("dl", { class: "facts" }, ...sides, ...shown.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, h("bdi", {}, value))]));
}

function listSides(example: Example): DrawnObject[] {
  return [example.truth, example.prediction].filter((side) => side !== null);
}

function describe(example: Example): string {
  const iou = example.iou === null ? "" : `, IoU ${percent(example.iou)} percent`;
  return `annotation ${example.truth?.category ?? "none"}, prediction ${nameWithScore(example.prediction)}${iou}`;
}

function describeSides(example: Example): HTMLElement[] {
  const iou = example.iou === null ? "" : `IoU ${percent(example.iou)} · `;
  return [
    h("span", {}, h("bdi", {}, example.truth?.category ?? "nothing there"), " → ", h("bdi", {}, nameWithScore(example.prediction))),
    h("span", { class: "muted" }, iou, h("bdi", {}, example.file_name ?? `image ${example.image_id}`)),
  ];
}

function nameWithScore(side: DrawnObject | null): string {
  if (!side) return "nothing";
  return side.score === null ? side.category : `${side.category} ${side.score.toFixed(2)}`;
}

function toView([x, y, width, height]: Example["window"]): View {
  return { x, y, width, height };
}
