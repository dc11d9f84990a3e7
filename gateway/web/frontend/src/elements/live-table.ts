// <live-table device="…">: every tag with its value, quality, age and last minutes. Only rows in sight are in the page, so
// that thousands cost no more than a screenful. The toolbar around it is the server's; this listens to its fields:
// [data-filter], [data-errors], [data-grouped], and says the numbers in [data-count].

import { subscribe } from "../live";
import { onPresence } from "../presence";
import { Recents } from "../recents";
import { age, late, QualityMark, text, withUnit } from "../show";
import { Spark } from "../spark";
import type { Row } from "../values";
import { icon } from "../icons";

type Key = "tag" | "value" | "quality" | "age";

interface Heading {
  readonly device: string;
  readonly all: number;
  readonly poor: number;
  readonly open: boolean;
}

type Item = Row | Heading;

const HEADINGS: readonly (readonly [Key | "trend", string])[] = [
  ["tag", "Tag"],
  ["value", "Value"],
  ["quality", "Quality"],
  ["age", "Age"],
  ["trend", "Last 2 minutes"],
];
const AROUND = 6;
const SAY_AFTER_MS = 800;
const FRESH_MS = 700;

class LiveTable extends HTMLElement {
  private stop: (() => void) | undefined;
  private stopPresence: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private saying: ReturnType<typeof setTimeout> | undefined;
  private rows: readonly Row[] = [];
  private items: readonly Item[] = [];
  private shown = 0;
  private readonly closed = new Set<string>();
  private readonly lines = new Map<string, Line>();
  private readonly recents = new Recents(() => this.draw());
  private key: Key | undefined;
  private down = false;
  private frame = 0;
  private drawn = 0;
  private readonly box = document.createElement("div");
  private readonly table = document.createElement("table");
  private readonly body = document.createElement("tbody");
  private readonly above = spacer();
  private readonly below = spacer();
  private readonly outer = new AbortController();

  connectedCallback(): void {
    const place = this.closest("[data-live-tags]") ?? document;
    const { signal } = this.outer;
    for (const [name, event] of [["filter", "input"], ["errors", "change"], ["grouped", "change"]] as const) {
      place.querySelector(`[data-${name}]`)?.addEventListener(event, () => this.filtered(), { signal });
    }
    this.box.addEventListener("scroll", () => this.soon(), { passive: true, signal });
    this.box.addEventListener("keydown", (event) => this.keyed(event), { signal });
    addEventListener("resize", () => this.soon(), { passive: true, signal });
    this.build();
    this.stop = subscribe(this.pattern, ({ whole, rows }) => this.take(whole, rows));
    this.stopPresence = onPresence(() => this.draw());
    this.timer = setInterval(() => this.tick(), 1_000);
  }

  disconnectedCallback(): void {
    this.outer.abort();
    this.stop?.();
    this.stopPresence?.();
    this.recents.stop();
    clearInterval(this.timer);
    clearTimeout(this.saying);
    cancelAnimationFrame(this.frame);
  }

  private get pattern(): string {
    const device = this.getAttribute("device");
    return device === null ? "*" : `${device}/*`;
  }

  private field<T extends HTMLElement>(name: string): T | null {
    return (this.closest("[data-live-tags]") ?? document).querySelector<T>(`[data-${name}]`);
  }

  private build(): void {
    this.box.className = "scroll live";
    this.box.tabIndex = 0;
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", "Tags, table");
    const caption = document.createElement("caption");
    caption.className = "unseen";
    caption.textContent = "Tags as they are now";
    const head = document.createElement("thead");
    const row = head.insertRow();
    row.setAttribute("aria-rowindex", "1");
    for (const [key, title] of HEADINGS) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = key;
      if (key === "trend") cell.textContent = title;
      else {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "quiet sort";
        button.textContent = title;
        button.addEventListener("click", () => this.sort(key));
        cell.append(button);
        cell.dataset["key"] = key;
      }
      row.append(cell);
    }
    this.body.append(this.above, this.below);
    this.table.append(caption, head, this.body);
    this.box.append(this.table);
  }

  // -- what comes ----------------------------------------------------------------------------------------------------

  private take(whole: boolean, rows: readonly Row[]): void {
    const now = Date.now();
    if (whole) {
      this.rows = rows;
      this.lines.clear();
      for (const line of [...this.body.children]) if (line !== this.above && line !== this.below) line.remove();
      this.dataset["ready"] = "";
      if (rows.length === 0) {
        this.blank("No tags yet", "Add a device, and its tags appear here.");
        return;
      }
      if (this.firstElementChild !== this.box) this.replaceChildren(this.box);
      this.arrange();
    } else if (this.rows.length > 0) {
      if (this.field<HTMLInputElement>("errors")?.checked || this.key === "value" || this.key === "quality") this.arrange();
    }
    for (const row of rows) this.recents.add(row, now);
    if (document.visibilityState === "visible") this.draw();
  }

  /** Ages tick by themselves where nothing else has just drawn them. */
  private tick(): void {
    if (document.visibilityState !== "visible" || performance.now() - this.drawn < FRESH_MS) return;
    if (this.key === "age") this.arrange();
    this.draw();
  }

  // -- what is shown ---------------------------------------------------------------------------------------------------

  private filtered(): void {
    const filter = this.field<HTMLInputElement>("filter")?.value.trim() ?? "";
    const url = new URL(location.href);
    for (const [name, value] of [
      ["filter", filter],
      ["errors", this.field<HTMLInputElement>("errors")?.checked ? "1" : ""],
      ["grouped", this.field<HTMLInputElement>("grouped")?.checked === false ? "0" : ""],
    ] as const) {
      if (value === "") url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    history.replaceState(history.state, "", url);
    this.box.scrollTop = 0;
    this.arrange(true);
    this.draw();
    clearTimeout(this.saying);
    this.saying = setTimeout(() => this.say(), SAY_AFTER_MS);
  }

  private say(): void {
    const count = this.field("said");
    if (count !== null) count.textContent = `${this.shown} of ${this.rows.length} tags shown`;
  }

  private sort(key: Key): void {
    if (this.key !== key) [this.key, this.down] = [key, false];
    else if (!this.down) this.down = true;
    else this.key = undefined;
    for (const cell of this.table.tHead!.querySelectorAll<HTMLElement>("th[data-key]")) {
      if (cell.dataset["key"] === this.key) cell.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    this.arrange(true);
    this.draw();
  }

  /** Which tags in which order. Not while somebody is at a row: it must not move away from under them. */
  private arrange(asked = false): void {
    if (!asked && this.body.contains(document.activeElement)) return;
    const needles = (this.field<HTMLInputElement>("filter")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const errors = this.field<HTMLInputElement>("errors")?.checked ?? false;
    const found = this.rows.filter((row) => {
      if (errors && row.kind === "good") return false;
      const name = row.tag.toLowerCase();
      return needles.every((needle) => name.includes(needle));
    });
    this.shown = found.length;
    if (this.key !== undefined) found.sort(comparing(this.key, this.down));
    const grouped = this.field<HTMLInputElement>("grouped")?.checked ?? false;
    this.items = grouped ? this.byDevice(found) : found;
    const count = this.field("count");
    if (count !== null) {
      const poor = this.rows.reduce((sum, row) => sum + (row.kind === "good" ? 0 : 1), 0);
      const said = found.length === this.rows.length ? `${this.rows.length} tags` : `${found.length} of ${this.rows.length} tags`;
      count.textContent = `${said}, ${poor === 0 ? "all good" : `${poor} not good`}`;
    }
    this.table.setAttribute("aria-rowcount", String(this.items.length + 1));
    this.table.toggleAttribute("data-grouped", grouped);
  }

  private byDevice(rows: readonly Row[]): Item[] {
    const devices = new Map<string, Row[]>();
    for (const row of rows) {
      const own = devices.get(row.device);
      if (own === undefined) devices.set(row.device, [row]);
      else own.push(row);
    }
    return [...devices].flatMap(([device, own]) => {
      const open = !this.closed.has(device);
      const heading: Heading = { device, all: own.length, poor: own.filter((row) => row.kind !== "good").length, open };
      return open ? [heading, ...own] : [heading];
    });
  }

  private soon(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private draw(): void {
    if (this.rows.length === 0 || !this.isConnected) return;
    this.drawn = performance.now();
    const height = this.lineHeight;
    const first = Math.max(0, Math.floor(this.box.scrollTop / height) - AROUND);
    const last = Math.min(this.items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / height) + AROUND);
    const keep = new Set<string>();
    let after: Element = this.above;
    const now = Date.now();
    for (let at = first; at < last; at++) {
      const item = this.items[at]!;
      const key = "tag" in item ? item.tag : `/${item.device}`;
      keep.add(key);
      let line = this.lines.get(key);
      if (line === undefined) {
        line = "tag" in item ? new TagLine(item) : new DeviceLine(item.device, (device) => this.fold(device));
        this.lines.set(key, line);
      }
      line.show(item as never, now, this.recents);
      const index = String(at + 2);
      if (line.element.getAttribute("aria-rowindex") !== index) line.element.setAttribute("aria-rowindex", index);
      if (after.nextElementSibling !== line.element) after.after(line.element);
      after = line.element;
    }
    for (const [key, line] of this.lines) {
      if (keep.has(key)) continue;
      // Whoever was at a row that scrolls out of sight is at the table from then on, not nowhere.
      if (line.element.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      line.element.remove();
      this.lines.delete(key);
    }
    stretch(this.above, first * height);
    stretch(this.below, (this.items.length - last) * height);
    this.toggleAttribute("data-none", this.items.length === 0);
  }

  private get lineHeight(): number {
    return Number.parseFloat(getComputedStyle(this).getPropertyValue("--line-height")) || 40;
  }

  private fold(device: string): void {
    if (!this.closed.delete(device)) this.closed.add(device);
    this.arrange(true);
    this.draw();
  }

  /** Up and down go from row to row. */
  private keyed(event: KeyboardEvent): void {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const line = document.activeElement?.closest("tr");
    if (line === null || line === undefined || !this.body.contains(line)) return;
    event.preventDefault();
    const at = Number(line.getAttribute("aria-rowindex")) - 2 + (event.key === "ArrowDown" ? 1 : -1);
    const item = this.items[at];
    if (item === undefined) return;
    const height = this.lineHeight;
    const head = this.table.tHead!.offsetHeight;
    if (at * height < this.box.scrollTop) this.box.scrollTop = at * height;
    else if ((at + 1) * height + head > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = (at + 1) * height + head - this.box.clientHeight;
    }
    this.draw();
    this.lines.get("tag" in item ? item.tag : `/${item.device}`)?.focus();
  }

  private blank(title: string, about: string): void {
    const place = document.createElement("div");
    place.className = "blank";
    const strong = document.createElement("strong");
    strong.textContent = title;
    const paragraph = document.createElement("p");
    paragraph.textContent = about;
    const link = document.createElement("a");
    link.className = "button primary";
    link.href = "/devices";
    link.textContent = "Go to the devices";
    place.append(icon("tags"), strong, paragraph, link);
    this.replaceChildren(place);
  }
}

/** One row of the table that is in the page. */
interface Line {
  readonly element: HTMLTableRowElement;
  show(item: never, now: number, recents: Recents): void;
  focus(): void;
}

class TagLine implements Line {
  readonly element = document.createElement("tr");
  private readonly link = document.createElement("a");
  private readonly device = document.createElement("span");
  private readonly value = document.createElement("span");
  private readonly mark = new QualityMark();
  private readonly age: HTMLTableCellElement;
  private readonly spark = new Spark();

  constructor(row: Row) {
    const name = document.createElement("th");
    name.scope = "row";
    name.className = "tag";
    this.link.href = `/tags/${row.tag}`;
    this.device.className = "device";
    this.device.textContent = `${row.device}/`;
    this.link.append(this.device, row.path);
    this.link.title = row.tag;
    name.append(this.link);
    this.element.append(name);
    const value = this.element.insertCell();
    value.className = "value";
    value.append(this.value);
    const quality = this.element.insertCell();
    quality.className = "quality";
    quality.append(this.mark.element);
    this.age = this.element.insertCell();
    this.age.className = "age";
    const trend = this.element.insertCell();
    trend.className = "trend";
    trend.append(this.spark.element);
  }

  show(row: Row, now: number, recents: Recents): void {
    const value = withUnit(row);
    if (this.value.textContent !== value) {
      this.value.textContent = value;
      this.value.title = value;
    }
    this.mark.show(row.kind, row.word);
    const stale = late(row, now);
    const said = stale ? `stale, ${age(row, now)}` : age(row, now);
    if (this.age.textContent !== said) this.age.textContent = said;
    const state = row.kind === "good" ? (stale ? "stale" : "") : row.kind;
    if (this.element.className !== state) this.element.className = state;
    this.spark.draw(recents.of(row), now);
  }

  focus(): void {
    this.link.focus();
  }
}

class DeviceLine implements Line {
  readonly element = document.createElement("tr");
  private readonly button = document.createElement("button");
  private readonly count = document.createElement("span");

  constructor(device: string, fold: (device: string) => void) {
    this.element.className = "group";
    const cell = document.createElement("th");
    cell.scope = "rowgroup";
    cell.colSpan = HEADINGS.length;
    this.button.type = "button";
    this.button.className = "quiet";
    const name = document.createElement("span");
    name.textContent = device;
    this.button.append(icon("chevron"), name);
    this.button.addEventListener("click", () => fold(device));
    this.count.className = "muted";
    cell.append(this.button, this.count);
    this.element.append(cell);
  }

  show(heading: Heading): void {
    this.button.setAttribute("aria-expanded", String(heading.open));
    const said = `${heading.all} ${heading.all === 1 ? "tag" : "tags"}${heading.poor ? `, ${heading.poor} not good` : ""}`;
    if (this.count.textContent !== said) this.count.textContent = said;
  }

  focus(): void {
    this.button.focus();
  }
}

function spacer(): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.className = "spacer";
  row.setAttribute("aria-hidden", "true");
  row.insertCell().colSpan = HEADINGS.length;
  return row;
}

function stretch(row: HTMLTableRowElement, height: number): void {
  const size = `${height}px`;
  const cell = row.cells[0]!;
  if (cell.style.height !== size) cell.style.height = size;
  row.hidden = height === 0;
}

function comparing(key: Key, down: boolean): (a: Row, b: Row) => number {
  const sign = down ? -1 : 1;
  const by: Readonly<Record<Key, (a: Row, b: Row) => number>> = {
    tag: (a, b) => a.tag.localeCompare(b.tag, "en", { numeric: true }),
    // The worst first.
    quality: (a, b) => b.quality - a.quality,
    age: (a, b) => (b.heard ?? -Infinity) - (a.heard ?? -Infinity) || 0,
    value: (a, b) => {
      if (typeof a.value === "number" && typeof b.value === "number") return a.value - b.value;
      return text(a.value, a.type).localeCompare(text(b.value, b.type), "en", { numeric: true });
    },
  };
  return (a, b) => sign * by[key](a, b) || a.index - b.index;
}

customElements.define("live-table", LiveTable);
