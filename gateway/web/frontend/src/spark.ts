// A sparkline: the last minutes of one tag, its gaps open, as wide as high values go. For the eye only; the numbers stand
// beside it.

import { type Points, SPAN_MS } from "./recents";

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 24;
const EDGE = 2;

export class Spark {
  readonly element = document.createElementNS(NS, "svg");
  private readonly path = document.createElementNS(NS, "path");
  private drawn = "";

  constructor() {
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("aria-hidden", "true");
    this.element.append(this.path);
  }

  draw(points: Points | undefined, now: number): void {
    const d = points === undefined ? "" : outline(points, now);
    if (d === this.drawn) return;
    this.drawn = d;
    this.path.setAttribute("d", d);
  }
}

/** Steps: a value holds until the next one comes. */
export function outline(points: Points, now: number): string {
  let low = Infinity;
  let high = -Infinity;
  for (const value of points.v) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return "";
  const scale = high === low ? 0 : (HEIGHT - 2 * EDGE) / (high - low);
  const start = now - SPAN_MS;
  const parts: string[] = [];
  let open = false;
  points.v.forEach((value, at) => {
    const x = Math.max(0, ((points.t[at]! - start) / SPAN_MS) * WIDTH).toFixed(1);
    if (value === null) {
      if (open) parts.push(`H${x}`);
      open = false;
      return;
    }
    const y = (scale === 0 ? HEIGHT / 2 : HEIGHT - EDGE - (value - low) * scale).toFixed(1);
    parts.push(open ? `H${x}V${y}` : `M${x} ${y}`);
    open = true;
  });
  if (open) parts.push(`H${WIDTH}`);
  return parts.join("");
}
