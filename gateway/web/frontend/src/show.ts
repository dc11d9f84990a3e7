// How a value, its quality and its age are shown, wherever they are.

import { icon } from "./icons";
import type { Kind, Row } from "./values";
import { duration } from "./words";

interface Cut {
  readonly cut: number;
  readonly head: unknown;
}

/** A value as text, no digit changed. What JSON numbers can't hold comes as text already. */
export function text(value: unknown, type: string): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return type.startsWith("float32") ? shortest(value) : String(value);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return `[${value.map((element) => text(element, type)).join(", ")}]`;
  if (isCut(value)) return Array.isArray(value.head)
    ? `[${value.head.map((element) => text(element, type)).join(", ")}, … ${value.cut} in all]`
    : `${text(value.head, type)}… (${value.cut} characters)`;
  return JSON.stringify(value);
}

/** The number as a float32 is written: the fewest digits that are still this one. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(value);
}

function isCut(value: unknown): value is Cut {
  return typeof value === "object" && value !== null && "cut" in value;
}

export function withUnit(row: Row): string {
  const shown = text(row.value, row.type);
  return row.unit === null || row.value === null ? shown : `${shown} ${row.unit}`;
}

/** A tag that is read in intervals and was missed for several of them, though nobody has called it bad yet. */
export function late(row: Row, now: number): boolean {
  const interval = row.group.interval_ms;
  return interval !== null && row.heard !== null && now - row.heard > Math.max(3 * interval, 5_000);
}

export function age(row: Row, now: number): string {
  if (row.heard === null) return "never";
  const ms = now - row.heard;
  return ms < 1_000 ? "now" : duration(ms);
}

/** `BadWaitingForInitialData` → `Bad: waiting for initial data`. */
export function words(name: string): string {
  const split = name.replace(/([a-z])([A-Z0-9])/g, "$1 $2").replace(/([A-Z])([A-Z][a-z])/g, "$1 $2");
  const found = /^(Good|Uncertain|Bad) (.+)$/.exec(split);
  return found === null ? split : `${found[1]}: ${found[2]!.toLowerCase()}`;
}

/** An icon and a word that say the same as the colour. */
export class QualityMark {
  readonly element = document.createElement("span");
  private readonly word = document.createElement("span");
  private use: SVGUseElement;
  private shown = "";

  constructor() {
    const svg = icon("good");
    this.use = svg.querySelector("use")!;
    this.element.append(svg, this.word);
  }

  show(kind: Kind, name: string): void {
    if (this.shown === name) return;
    this.shown = name;
    this.element.className = `state ${kind}`;
    const href = this.use.getAttribute("href")!;
    this.use.setAttribute("href", href.replace(/#.*/, `#${kind}`));
    this.word.textContent = words(name);
    this.element.title = name;
  }
}
