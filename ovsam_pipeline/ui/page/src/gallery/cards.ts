/** Cards of the grid: a picture with its masks, or the part of a picture around one object. */
import { h, svg } from "../shared/dom";
import { buildChip } from "../shared/overlay";
import { formatAmount, formatShare } from "./format";
import type { DrawnObject, ImageRow } from "./source";
import type { CardSize } from "./virtual_grid";

export const IMAGE_CARD: CardSize = { width: 168, height: 196, gap: 10 };
export const OBJECT_CARD: CardSize = { width: 148, height: 225, gap: 10 };

/** What a card shows of an image before its row is here, and with it. */
export interface CardFacts {
  readonly image: ImageRow | undefined;
  /** Whether the index says that the image failed: then it has no picture. */
  readonly hasFailed: boolean;
  /** Why the row cannot be read. */
  readonly error: string | undefined;
  readonly objects: number;
  readonly highestRisk: number;
  readonly difference: number | null;
  /** Whether an object is one of those that are looked for. */
  readonly passes: (object: DrawnObject) => boolean;
  readonly thumbnail: (side: number) => string;
}

const SIDES = [256, 512, 1024, 2048] as const;
/** Part of its width and height that is shown around an object, on each side. */
const SURROUNDINGS = 0.25;
const LEAST_CROP = 24;

/** Fills a card with an image. */
export function fillImageCard(card: HTMLElement, facts: CardFacts): void {
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
    Number.isNaN(facts.highestRisk) ? "" : `risk ${formatShare(facts.highestRisk)}`,
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
        h("bdi", {}, image ? shortenName(image.file_name) : "…"),
      ),
      h("div", { class: "card-facts muted" }, describeCount(facts), risk),
    ),
  );
}

/** Fills a card with one object of an image; null where it is gone, for the reason given. */
export function fillObjectCard(card: HTMLElement, facts: CardFacts, object: DrawnObject | null, whyGone: string): void {
  const picture = h("div", { class: "card-picture" });
  const { image } = facts;
  if (facts.error !== undefined) {
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
      h("div", { class: "card-name" }, object ? buildChip(object.category, object.colour) : image ? "" : "…"),
      h("div", { class: "card-facts muted" }, object?.score == null ? "" : `score ${formatShare(object.score)}`, risk),
      h("div", { class: "card-reason muted", title: object?.reason }, object?.verdict ?? object?.reason ?? ""),
    ),
  );
  card.classList.toggle("is-answered", object?.verdict != null);
}

/** Gives up the pictures of a card, those still on their way among them. */
export function emptyCard(card: HTMLElement): void {
  for (const picture of card.querySelectorAll("img")) picture.removeAttribute("src");
  for (const picture of card.querySelectorAll("image")) picture.removeAttribute("href");
}

/** Returns a square of an image around an object: left, top and side, in its pixels. */
export function findCrop(bbox: DrawnObject["bbox"], width: number, height: number): [number, number, number] {
  const [left, top, boxWidth, boxHeight] = bbox;
  const wanted = Math.max(boxWidth, boxHeight) * (1 + 2 * SURROUNDINGS);
  const side = Math.max(LEAST_CROP, Math.min(wanted, Math.max(width, height)));
  // Shifted, so that it shows the picture and not what is outside it.
  const place = (middle: number, whole: number): number =>
    side >= whole ? (whole - side) / 2 : Math.max(0, Math.min(middle - side / 2, whole - side));
  return [place(left + boxWidth / 2, width), place(top + boxHeight / 2, height), side];
}

/** Returns the end of a path that says most where there is room for some 26 letters. */
export function shortenName(name: string): string {
  const base = name.slice(name.lastIndexOf("/") + 1) || name;
  return base.length <= 28 ? base : `${base.slice(0, 12)}…${base.slice(-14)}`;
}

/** Returns the side of the smallest thumbnail that is sharp at a width on screen. */
export function chooseSide(width: number): number {
  const needed = width * Math.min(devicePixelRatio, 2);
  return SIDES.find((side) => side >= needed) ?? SIDES[SIDES.length - 1] ?? 0;
}

function buildThumbnail(address: string, picture: HTMLElement): HTMLElement {
  if (address === "") return buildGone();
  return h("img", {
    src: address,
    alt: "",
    decoding: "async",
    draggable: "false",
    onerror: (event: Event) => {
      // A card that was emptied has no address: that is no failure.
      if (!(event.target as HTMLImageElement).getAttribute("src")) return;
      (event.target as HTMLImageElement).remove();
      picture.append(buildGone());
    },
  });
}

function buildGone(): HTMLElement {
  return h("p", { class: "card-problem muted", "data-testid": "card-gone" }, "The picture cannot be read any more.");
}

function drawObjects(image: ImageRow, passes: (object: DrawnObject) => boolean): SVGElement {
  const area = (object: DrawnObject): number => object.bbox[2] * object.bbox[3];
  const shapes = [...image.objects]
    .sort((one, other) => area(other) - area(one))
    .map((object) => drawShape(object, passes(object) ? "mask" : "mask is-other"));
  return svg(
    "svg",
    { class: "masks", viewBox: `0 0 ${image.width ?? 1} ${image.height ?? 1}`, "aria-hidden": "true" },
    ...shapes,
  );
}

function drawShape(object: DrawnObject, kind: string): SVGElement {
  if (object.path) {
    return svg("path", { class: kind, d: object.path, color: object.colour, "fill-rule": "evenodd" });
  }
  const [x, y, width, height] = object.bbox;
  return svg("rect", { class: `${kind} is-box`, x, y, width, height, color: object.colour });
}

function drawCrop(
  image: ImageRow,
  object: DrawnObject,
  thumbnail: (side: number) => string,
  onGone: () => void,
): SVGElement {
  const [width, height] = [image.width ?? 1, image.height ?? 1];
  const [left, top, side] = findCrop(object.bbox, width, height);
  // As sharp as the crop is on screen: a small object needs a large picture.
  const address = thumbnail(chooseSide((OBJECT_CARD.width * Math.max(width, height)) / side));
  const picture = svg("image", { href: address, width, height, preserveAspectRatio: "none" });
  picture.addEventListener("error", () => picture.hasAttribute("href") && onGone());
  if (address === "") onGone();
  return svg(
    "svg",
    { class: "masks crop", viewBox: `${left} ${top} ${side} ${side}`, "aria-hidden": "true" },
    picture,
    drawShape(object, "mask"),
  );
}

/** Marks risks by words and weight, not by colour alone. */
function markRisk(element: HTMLElement, risk: number): void {
  element.classList.toggle("is-high", risk >= 0.5);
}

function describeCount(facts: CardFacts): string {
  if (facts.hasFailed) return "failed";
  const count = formatAmount(facts.objects, "object");
  if (facts.difference === null) return count;
  return Number.isNaN(facts.difference) ? "in one run alone" : `${formatAmount(facts.difference, "difference")}`;
}

function describeImage(facts: CardFacts): string {
  const risk = Number.isNaN(facts.highestRisk) ? "" : `, highest risk ${formatShare(facts.highestRisk)}`;
  const problem = facts.error ?? facts.image?.error;
  return `${facts.image?.file_name ?? "image"}: ${describeCount(facts)}${risk}${problem ? `: ${problem}` : ""}`;
}

function describeObject(object: DrawnObject, image: ImageRow): string {
  const parts = [`${object.category} in ${image.file_name}`];
  if (object.score !== null) parts.push(`score ${formatShare(object.score)}`);
  if (object.risk !== null) parts.push(`risk ${formatShare(object.risk)}`);
  if (object.reason !== null) parts.push(object.reason);
  if (object.verdict !== null) parts.push(object.verdict);
  return parts.join(", ");
}
