/**
 * A grid of very many cards of one size, of which only those in view are in the document.
 *
 * It scrolls with the page. Browsers limit the height of elements (Firefox to 17.9 million pixels,
 * Chromium to 33.5), so above MOST_HEIGHT a pixel of the scroll bar stands for several of the grid:
 * small steps still move by what was scrolled, jumps go to the same part of the grid.
 * For keyboards and screen readers it is a list box, whose options are the cards.
 */
import { h } from "../shared/dom";

const MOST_HEIGHT = 15_000_000;
/** Rows of cards that are drawn above and below what is in view. */
const MARGIN_ROWS = 2;
const SETTLING_MS = 200;

export interface GridOptions {
  readonly label: string;
  /** Returns what a card holds; it is asked for each time the card comes into view. */
  readonly fill: (card: HTMLElement, position: number) => void;
  /** Called when a card leaves the document. */
  readonly empty: (card: HTMLElement) => void;
  /** Called with the first position in view and the one after the last. */
  readonly onRange: (start: number, end: number) => void;
  readonly onOpen: (position: number) => void;
}

export interface CardSize {
  /** Least width; cards grow to fill the row. */
  readonly width: number;
  readonly height: number;
  readonly gap: number;
}

export class VirtualGrid {
  readonly element: HTMLElement;
  private readonly cards = new Map<number, HTMLElement>();
  private count = 0;
  private size: CardSize = { width: 200, height: 200, gap: 10 };
  private columns = 1;
  private active = 0;
  /** Pixels of the grid above the upper edge of the window. */
  private offset = 0;
  private lastScroll = 0;
  private frame = 0;
  private timer: number | undefined;

  constructor(private readonly options: GridOptions) {
    this.element = h("div", {
      class: "grid",
      role: "listbox",
      tabindex: -1,
      "aria-label": options.label,
      "data-testid": "grid",
      onkeydown: (event: KeyboardEvent) => this.handleKey(event),
      onclick: (event: MouseEvent) => this.handleClick(event),
      onfocusin: (event: FocusEvent) => this.handleFocus(event),
    });
    addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.layOut()).observe(this.element);
  }

  /** Shows other cards, from the first on or, with `keepPlace`, where it is. */
  show(count: number, size: CardSize, keepPlace = false): void {
    this.count = count;
    this.size = size;
    this.active = keepPlace ? Math.max(0, Math.min(this.active, count - 1)) : 0;
    // A card that is removed takes the focus along, and a keyboard would begin at the top again.
    const hasFocus = this.element.contains(document.activeElement);
    this.clear();
    this.layOut();
    if (hasFocus) this.cards.get(this.active)?.focus({ preventScroll: true });
    const above = this.stickyHeight() + this.size.gap;
    if (!keepPlace && this.scrolled > -above) this.scrollToOffset(-above);
  }

  /** Fills the cards in view again. */
  refresh(needed: (position: number) => boolean = () => true): void {
    for (const [position, card] of this.cards) {
      if (needed(position)) this.fill(card, position);
    }
  }

  /** Moves to a card and gives it the focus. */
  focus(position: number): void {
    if (this.count === 0) return;
    this.active = Math.max(0, Math.min(position, this.count - 1));
    this.reveal(this.active);
    this.draw();
    this.cards.get(this.active)?.focus({ preventScroll: true });
  }

  /** Gives the focus to the card that had it last. */
  focusActive(): void {
    this.focus(this.active);
  }

  private get rowHeight(): number {
    return this.size.height + this.size.gap;
  }

  private get fullHeight(): number {
    return Math.ceil(this.count / this.columns) * this.rowHeight;
  }

  private layOut(): void {
    const width = this.element.clientWidth;
    const columns = Math.max(1, Math.floor((width + this.size.gap) / (this.size.width + this.size.gap)));
    if (columns !== this.columns) {
      const first = Math.floor(this.offset / this.rowHeight) * this.columns;
      this.columns = columns;
      if (this.offset > 0) this.offset = Math.floor(first / columns) * this.rowHeight;
    }
    this.element.style.setProperty("height", `${Math.min(this.fullHeight, MOST_HEIGHT)}px`);
    this.draw();
  }

  private schedule(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Returns pixels of the element above the upper edge of the window, negative where it is below. */
  private get scrolled(): number {
    return -this.element.getBoundingClientRect().top;
  }

  private followScroll(): void {
    const scrolled = this.scrolled;
    const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
    if (this.fullHeight <= MOST_HEIGHT || scrolled <= 0) {
      this.offset = scrolled;
    } else if (scrolled >= most) {
      this.offset = this.fullHeight - innerHeight;
    } else if (Math.abs(scrolled - this.lastScroll) > innerHeight) {
      this.offset = (scrolled / most) * (this.fullHeight - innerHeight);
    } else {
      this.offset += scrolled - this.lastScroll;
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.alignScrollBar(), SETTLING_MS);
    }
    this.offset = Math.min(this.offset, Math.max(0, this.fullHeight - this.rowHeight));
    this.lastScroll = scrolled;
  }

  /** After small steps, puts the scroll bar where the part of the grid in view is. */
  private alignScrollBar(): void {
    const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
    const wanted = Math.max(1, (this.offset / (this.fullHeight - innerHeight)) * most);
    this.lastScroll = wanted;
    scrollBy(0, wanted - this.scrolled);
    this.lastScroll = this.scrolled;
    this.draw();
  }

  private scrollToOffset(offset: number): void {
    const most = Math.min(this.fullHeight, MOST_HEIGHT) - innerHeight;
    const scale = this.fullHeight > MOST_HEIGHT && offset > 0 ? most / (this.fullHeight - innerHeight) : 1;
    scrollBy(0, offset * scale - this.scrolled);
    this.lastScroll = this.scrolled;
    if (this.fullHeight > MOST_HEIGHT) this.offset = offset;
  }

  private draw(): void {
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

  private place(position: number, shift: number): void {
    let card = this.cards.get(position);
    if (!card) {
      card = h("div", {
        class: "card",
        role: "option",
        "data-position": position,
        "data-testid": "card",
        "aria-posinset": position + 1,
        "aria-setsize": this.count,
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
  private insert(card: HTMLElement, position: number): void {
    const last = this.element.lastElementChild as HTMLElement | null;
    if (!last || Number(last.dataset["position"]) < position) {
      this.element.append(card);
      return;
    }
    for (const other of this.element.children) {
      if (Number((other as HTMLElement).dataset["position"]) > position) {
        other.before(card);
        return;
      }
    }
  }

  private fill(card: HTMLElement, position: number): void {
    this.options.empty(card);
    this.options.fill(card, position);
  }

  private remove(position: number, card: HTMLElement): void {
    this.options.empty(card);
    card.remove();
    this.cards.delete(position);
  }

  private clear(): void {
    for (const [position, card] of this.cards) this.remove(position, card);
  }

  private reveal(position: number): void {
    const top = Math.floor(position / this.columns) * this.rowHeight;
    // What sticks to the upper edge of the page covers cards there.
    const above = this.stickyHeight() + this.size.gap;
    if (top - above < this.offset) this.scrollToOffset(top - above);
    else if (top + this.rowHeight > this.offset + innerHeight) {
      this.scrollToOffset(top + this.rowHeight - innerHeight);
    }
  }

  private stickyHeight(): number {
    return Number.parseFloat(getComputedStyle(this.element).scrollMarginTop) || 0;
  }

  private handleKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(innerHeight / this.rowHeight)) * this.columns;
    const steps: Record<string, number> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -this.count,
      End: this.count,
    };
    const step = steps[event.key];
    if (step !== undefined) this.focus(this.active + step);
    else if (event.key === "Enter" || event.key === " ") this.options.onOpen(this.active);
    else return;
    event.preventDefault();
  }

  private handleClick(event: MouseEvent): void {
    const position = this.findPosition(event.target);
    if (position === null) return;
    this.focus(position);
    this.options.onOpen(position);
  }

  private handleFocus(event: FocusEvent): void {
    const position = this.findPosition(event.target);
    if (position === null || position === this.active) return;
    this.active = position;
    this.draw();
  }

  private findPosition(target: EventTarget | null): number | null {
    const card = target instanceof Element ? target.closest<HTMLElement>(".card") : null;
    return card ? Number(card.dataset["position"]) : null;
  }
}
