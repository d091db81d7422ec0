/** Which class was named as which other: a list of pairs, and a matrix of the classes most often mistaken. */
import { describe, isAbort } from "../shared/api";
import { h } from "../shared/dom";
import { sayError } from "../shared/toast";
import { buildCards, buildLegend } from "./examples";
import { count, things } from "./format";
import type { Matrix, Pair, Results, Source } from "./source";

export class Confusions {
  readonly element: HTMLElement;
  private readonly list = h("ol", { class: "pairs", "data-testid": "pairs" });
  private readonly told = h("p", { class: "muted", "aria-live": "polite" });
  private readonly buttons: readonly HTMLButtonElement[];
  private className: string | null = null;

  constructor(
    private readonly results: Results,
    private readonly source: Source,
  ) {
    this.buttons = results.pairs.map((pair, number) => this.buildPair(pair, number));
    const side = h("div", {}, h("h3", {}, "Pairs: annotation → prediction"), this.told, this.list);
    const matrix = results.matrix && results.matrix.classes.length > 0 && this.buildMatrix(results.matrix);
    this.element = h("div", { class: "confusions" }, side, matrix);
    this.setClass(null);
  }

  /** Lists the pairs of one class only; null lists all. */
  setClass(name: string | null): void {
    this.className = name;
    const chosen = this.results.pairs.flatMap((pair, number) =>
      name === null || pair.truth === name || pair.predicted === name ? [number] : [],
    );
    this.list.replaceChildren(...chosen.map((number) => h("li", {}, this.buttons[number])));
    const shown = this.results.pairs.length;
    const all = this.results.num_pairs > shown ? `the ${count(shown)} most frequent of ${count(this.results.num_pairs)}` : things(shown, "pair");
    this.told.textContent = this.className === null ? `${all}.` : `${things(chosen.length, "pair")} with ${this.className}, of ${all}.`;
  }

  private buildPair(pair: Pair, number: number): HTMLButtonElement {
    const most = this.results.pairs[0]?.count ?? 1;
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", String(pair.count / most));
    return h(
      "button",
      { type: "button", class: "pair", "data-testid": "pair", onclick: () => void this.open(number) },
      h("span", { class: "pair-names" }, h("bdi", {}, pair.truth), " → ", h("bdi", {}, pair.predicted)),
      bar,
      h("span", { class: "number" }, count(pair.count)),
    );
  }

  private async open(number: number): Promise<void> {
    const pair = this.results.pairs[number];
    if (!pair) return;
    try {
      const examples = await this.source.examples(String(number));
      const close = h("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close");
      const dialog = h(
        "dialog",
        { class: "pair-dialog", "aria-labelledby": "pair-title", "data-testid": "pair-dialog", onclose: () => dialog.remove() },
        h("div", { class: "results-controls" }, h("h2", { id: "pair-title" }, h("bdi", {}, pair.truth), " → ", h("bdi", {}, pair.predicted)), close),
        h("p", { class: "muted" }, describeShown(pair, examples.length)),
        examples.length > 0 && buildLegend(),
        buildCards(examples),
      );
      document.body.append(dialog);
      dialog.showModal();
    } catch (error) {
      if (!isAbort(error)) sayError(describe(error));
    }
  }

  private buildMatrix(matrix: Matrix): HTMLElement {
    const numbers = new Map(this.results.pairs.map((pair, number) => [JSON.stringify([pair.truth, pair.predicted]), number]));
    const most = Math.max(1, ...matrix.counts.flatMap((row, at) => row.filter((_, place) => place !== at)));
    const head = [...matrix.classes, "others", "not found"].map((name, place) =>
      h("th", { scope: "col", class: place < matrix.classes.length ? "" : "muted" }, h("bdi", {}, name)),
    );
    const rows = matrix.classes.map((name, at) => {
      const cells = matrix.classes.map((other, place) => {
        const value = matrix.counts[at]?.[place] ?? 0;
        if (at === place) return h("td", { class: "right", title: `${name}: ${count(value)} right` }, value || "");
        const cell = h("td", { title: `${name} → ${other}: ${count(value)}` });
        if (!value) return cell;
        cell.style.setProperty("--share", String(value / most));
        const number = numbers.get(JSON.stringify([name, other]));
        cell.className = "mistaken";
        cell.append(
          number === undefined
            ? String(value)
            : h("button", { type: "button", "aria-label": `${name} → ${other}: ${value}`, onclick: () => void this.open(number) }, value),
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
        h("table", { class: "matrix", "data-testid": "matrix" }, h("thead", {}, h("tr", {}, h("td"), ...head)), h("tbody", {}, ...rows)),
      ),
    );
  }
}

function describeShown(pair: Pair, shown: number): string {
  const all = things(pair.count, "instance");
  if (shown === 0) return `${all}; no examples of it are kept here.`;
  return shown < pair.count ? `${all}; the ${shown} of the highest scores.` : `${all}.`;
}
