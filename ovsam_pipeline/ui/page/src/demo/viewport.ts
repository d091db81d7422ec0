// Where the image lies in the stage: zoom and pan, between pixels of the image and of the page.

import type { Size, XY } from "./prompt";

const MARGIN = 12;
const LEAST_OF_FIT = 0.5;
const MOST_OF_FIT = 40;
const MOST_PIXELS_A_PIXEL = 16;
/** Part of the image's side, in page pixels, that never leaves the stage. */
const KEPT = 48;

export class Viewport {
  /** Page pixels per image pixel. */
  scale = 1;
  left = 0;
  top = 0;
  private isFitted = true;

  constructor(
    private image: Size,
    private stage: Size,
  ) {
    this.fit();
  }

  /** Show the whole image, as large as the stage allows. */
  fit(): void {
    this.scale = this.fittedScale();
    this.left = (this.stage.width - this.image.width * this.scale) / 2;
    this.top = (this.stage.height - this.image.height * this.scale) / 2;
    this.isFitted = true;
  }

  /** Take a new size of the stage; a fitted image stays fitted, another keeps its middle. */
  resize(stage: Size): void {
    const middle = this.toImage([this.stage.width / 2, this.stage.height / 2]);
    this.stage = stage;
    if (this.isFitted) return this.fit();
    this.left = stage.width / 2 - middle[0] * this.scale;
    this.top = stage.height / 2 - middle[1] * this.scale;
    this.keepInSight();
  }

  /** Zoom by a factor around a place of the stage, which stays where it is. */
  zoom(factor: number, at: XY = [this.stage.width / 2, this.stage.height / 2]): void {
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

  pan(dx: number, dy: number): void {
    this.left += dx;
    this.top += dy;
    this.isFitted = false;
    this.keepInSight();
  }

  toImage([x, y]: XY): XY {
    return [(x - this.left) / this.scale, (y - this.top) / this.scale];
  }

  toStage([x, y]: XY): XY {
    return [this.left + x * this.scale, this.top + y * this.scale];
  }

  private fittedScale(): number {
    const { image, stage } = this;
    const width = Math.max(stage.width - 2 * MARGIN, 1);
    const height = Math.max(stage.height - 2 * MARGIN, 1);
    return Math.min(width / image.width, height / image.height);
  }

  private keepInSight(): void {
    const width = this.image.width * this.scale;
    const height = this.image.height * this.scale;
    this.left = Math.min(Math.max(this.left, KEPT - width), this.stage.width - KEPT);
    this.top = Math.min(Math.max(this.top, KEPT - height), this.stage.height - KEPT);
  }
}
