// <trend-plot tag="filler/speed" unit="1/min" low="0" high="1500">: what a tag was of late, as a plot and as a table: the
// line of last values in steps, the band between least and greatest, gaps where it was bad, the limits of its range.
// Buttons with data-span beside it (seconds; 0: all there is) say how far back.

import uPlot from "uplot";
import { call } from "../api";
import { subscribe } from "../live";
import { plotted, type Trends } from "../recents";
import { QualityMark, text, withUnit } from "../show";
import { kindOf, type Row } from "../values";

const POINTS = 600;
const TABLE_ROWS = 50;
const AGAIN_MS = 30_000;

interface Sample {
  readonly t: number;
  readonly last: unknown;
  readonly low: unknown;
  readonly high: unknown;
  readonly quality: number;
  readonly broken: boolean;
}

class TrendPlot extends HTMLElement {
  private stop: (() => void) | undefined;
  private plot: uPlot | undefined;
  private samples: Sample[] = [];
  private row: Row | undefined;
  private span = 300;
  private timer: ReturnType<typeof setInterval> | undefined;
  private frame = 0;
  private readonly place = document.createElement("div");
  private readonly figures = document.createElement("div");
  private readonly details = document.createElement("details");
  private readonly body = document.createElement("tbody");
  private readonly outer = new AbortController();
  private readonly themes = new MutationObserver(() => this.redraw());
  private readonly sizes = new ResizeObserver(() => this.resize());

  connectedCallback(): void {
    const { signal } = this.outer;
    for (const button of this.choices()) {
      button.addEventListener("click", () => this.choose(button), { signal });
    }
    this.place.className = "plot live";
    this.place.setAttribute("role", "img");
    this.figures.className = "under";
    const summary = document.createElement("summary");
    summary.textContent = "Recent values as a table";
    this.details.append(summary, this.tableAround());
    this.details.addEventListener("toggle", () => this.drawTable(), { signal });
    // Its colours are the stylesheet's, which change with the theme.
    this.themes.observe(document.documentElement, { attributeFilter: ["data-theme", "data-offline"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw(), { signal });
    void this.load();
    this.timer = setInterval(() => void this.load(), AGAIN_MS);
    this.stop = subscribe(this.getAttribute("tag")!, ({ whole, rows }) => {
      if (whole) this.row = rows[0];
      if (this.row !== undefined && rows.length > 0) this.add(this.row);
    });
  }

  disconnectedCallback(): void {
    this.outer.abort();
    this.stop?.();
    this.themes.disconnect();
    this.sizes.disconnect();
    clearInterval(this.timer);
    cancelAnimationFrame(this.frame);
    this.plot?.destroy();
  }

  private choices(): NodeListOf<HTMLElement> {
    return (this.closest("section") ?? document).querySelectorAll("[data-span]");
  }

  private choose(chosen: HTMLElement): void {
    for (const button of this.choices()) button.setAttribute("aria-pressed", String(button === chosen));
    this.span = Number(chosen.dataset["span"]);
    void this.load();
  }

  private async load(): Promise<void> {
    const tag = this.getAttribute("tag")!;
    const from = this.span === 0 ? "" : `&from=-${this.span * 1000}`;
    try {
      const found = await call<Trends>("GET", `/v1/trend?tag=${encodeURIComponent(tag)}&points=${POINTS}${from}`);
      const shift = Date.now() - found.t;
      const trend = found.tags[tag]!;
      this.samples = trend.t.map((t, at) => ({
        t: t + shift,
        last: trend.last[at],
        low: trend.low[at],
        high: trend.high[at],
        quality: trend.quality[at]!,
        broken: trend.broken[at] === 1,
      }));
      this.soon();
    } catch {
      if (this.samples.length === 0) this.soon();
    }
  }

  private add(row: Row): void {
    if (row.heard === null || row.heard <= (this.samples.at(-1)?.t ?? 0)) return;
    const value = row.kind === "bad" ? null : row.value;
    this.samples.push({ t: row.heard, last: value, low: value, high: value, quality: row.quality, broken: value === null });
    const start = this.span === 0 ? 0 : Date.now() - this.span * 1000;
    while (this.samples.length > 2 * POINTS || this.samples[0]!.t < start) this.samples.shift();
    this.soon();
  }

  private soon(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  // -- the plot --------------------------------------------------------------------------------------------------------

  private draw(): void {
    if (!this.isConnected) return;
    if (this.firstElementChild !== this.place) this.replaceChildren(this.place, this.figures, this.details);
    if (this.plot === undefined) {
      this.plot = new uPlot(this.options(), this.data(), this.place);
      this.sizes.observe(this);
    } else this.plot.setData(this.data());
    this.drawFigures();
    if (this.details.open) this.drawTable();
  }

  private data(): uPlot.AlignedData {
    const columns: [number[], (number | null)[], (number | null)[], (number | null)[]] = [[], [], [], []];
    for (const { t, last, low, high, broken } of this.samples) {
      const value = plotted(last);
      if (broken && value !== null && columns[0].length > 0) {
        // A gap before this point: no line may lead to it.
        push(columns, (columns[0].at(-1)! + t / 1000) / 2, null, null, null);
      }
      push(columns, t / 1000, plotted(low), plotted(high), value);
    }
    const final = this.samples.at(-1);
    // What was last heard still holds, if it was anything.
    if (final !== undefined && plotted(final.last) !== null && !document.documentElement.hasAttribute("data-offline")) {
      const value = plotted(final.last);
      push(columns, Math.max(Date.now(), final.t) / 1000, value, value, value);
    }
    return columns;
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(this);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const font = `12px ${colour("--font")}`;
    const axis: uPlot.Axis = {
      stroke: colour("--muted"),
      font,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
    };
    // A value holds until the next; least and greatest are of the time since the one before.
    const onwards = uPlot.paths.stepped!({ align: 1 });
    const back = uPlot.paths.stepped!({ align: -1 });
    return {
      width: this.clientWidth || 600,
      height: 288,
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => this.range(low, high) } },
      axes: [
        { ...axis, space: 90, values: clock },
        { ...axis, size: 64 },
      ],
      series: [
        {},
        { stroke: "transparent", paths: back, points: { show: false } },
        { stroke: "transparent", paths: back, points: { show: false } },
        { stroke: colour("--accent"), width: 1.5, paths: onwards, points: { show: false } },
      ],
      bands: [{ series: [2, 1], fill: colour("--accent-ground") }],
      hooks: { draw: [(plot) => this.drawLimits(plot, colour("--uncertain"))] },
    };
  }

  private range(low: number | null, high: number | null): [number, number] {
    if (low === null || high === null) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - room, high + room];
  }

  private drawLimits(plot: uPlot, colour: string): void {
    const { ctx, bbox } = plot;
    for (const name of ["low", "high"]) {
      const limit = this.getAttribute(name);
      if (limit === null) continue;
      const y = plot.valToPos(Number(limit), "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.save();
      ctx.strokeStyle = colour;
      ctx.setLineDash([6, 4]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.restore();
    }
  }

  private redraw(): void {
    if (this.plot === undefined || !this.isConnected) return;
    this.plot.destroy();
    this.plot = new uPlot(this.options(), this.data(), this.place);
  }

  private resize(): void {
    if (this.plot !== undefined && this.clientWidth > 0 && this.clientWidth !== this.plot.width) {
      this.plot.setSize({ width: this.clientWidth, height: 288 });
    }
  }

  // -- the same in figures ----------------------------------------------------------------------------------------------

  private drawFigures(): void {
    const type = this.row?.type ?? "";
    const unit = this.getAttribute("unit") ?? "";
    const numbers = this.samples.flatMap(({ low, high }) => [low, high]).filter((value) => plotted(value) !== null);
    const gaps = this.samples.filter(({ broken }) => broken).length;
    const said: string[] = [];
    if (numbers.length > 0) {
      const least = numbers.reduce((a, b) => (plotted(b)! < plotted(a)! ? b : a));
      const most = numbers.reduce((a, b) => (plotted(b)! > plotted(a)! ? b : a));
      said.push(`Least ${text(least, type)} ${unit}`.trim(), `greatest ${text(most, type)} ${unit}`.trim());
    }
    const first = this.samples[0];
    if (first !== undefined) said.push(`since ${timeOf(first.t, true)}`);
    if (gaps > 0) said.push(`${gaps} ${gaps === 1 ? "gap" : "gaps"}`);
    const sentence = said.length === 0 ? "Nothing is kept of it yet." : said.join(", ");
    if (this.figures.textContent !== sentence) this.figures.textContent = sentence;
    this.place.setAttribute("aria-label", `Trend. ${sentence}`);
  }

  private tableAround(): HTMLElement {
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Recent values, table");
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const title of ["Time", "Value", "Quality"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = title;
      head.append(cell);
    }
    table.append(this.body);
    scroll.append(table);
    return scroll;
  }

  private drawTable(): void {
    if (!this.details.open) return;
    const rows = this.samples.slice(-TABLE_ROWS).reverse().map((sample) => {
      const line = document.createElement("tr");
      const at = new Date(sample.t);
      line.insertCell().textContent = `${timeOf(sample.t, true)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
      const row = { value: sample.last, type: this.row?.type ?? "", unit: this.getAttribute("unit") || null } as Row;
      line.insertCell().textContent = withUnit(row);
      const mark = new QualityMark();
      const kind = kindOf(sample.quality);
      mark.show(kind, kind === "good" ? "Good" : kind === "uncertain" ? "Uncertain" : "Bad");
      line.insertCell().append(mark.element);
      return line;
    });
    this.body.replaceChildren(...rows);
  }
}

function push(
  columns: readonly [number[], (number | null)[], (number | null)[], (number | null)[]],
  t: number,
  low: number | null,
  high: number | null,
  last: number | null,
): void {
  columns[0].push(t);
  columns[1].push(low);
  columns[2].push(high);
  columns[3].push(last);
}

function clock(_: uPlot, splits: number[]): string[] {
  const fine = splits.length > 1 && splits[1]! - splits[0]! < 60;
  return splits.map((at) => timeOf(at * 1000, fine));
}

/** `14:05`, `14:05:09`; with the day, `11-25 14:05`, where that isn't today. */
function timeOf(ms: number, fine: boolean): string {
  const at = new Date(ms);
  const parts = [at.getHours(), at.getMinutes(), ...(fine ? [at.getSeconds()] : [])];
  const time = parts.map(twoDigits).join(":");
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ${time}`;
}

function twoDigits(part: number): string {
  return String(part).padStart(2, "0");
}

customElements.define("trend-plot", TrendPlot);
