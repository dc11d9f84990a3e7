// Recent values of tags, for sparklines: what the gateway's ring has is fetched once for those that are looked at, what
// comes afterwards is added from the stream.

import { call } from "./api";
import type { Row } from "./values";

export interface Trend {
  readonly t: number[];
  readonly last: unknown[];
  readonly low: unknown[];
  readonly high: unknown[];
  readonly quality: number[];
  readonly broken: number[];
}

export interface Trends {
  readonly t: number;
  readonly tags: Readonly<Record<string, Trend>>;
}

/** Points of one tag; null is a gap. Times by this browser's clock. */
export interface Points {
  readonly t: number[];
  readonly v: (number | null)[];
}

export const SPAN_MS = 120_000;
const MOST_POINTS = 60;
const KEPT_POINTS = 2 * MOST_POINTS;
const AT_ONCE = 100;
const KEPT_TAGS = 400;

/** As a place on an axis; exactness is for text. */
export function plotted(value: unknown): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "string" && value !== "" && Number.isFinite(Number(value))) return Number(value);
  return null;
}

export function isPlotted(type: string): boolean {
  return !type.includes("[") && !["string", "bytes", "datetime", "json"].includes(type);
}

export class Recents {
  private readonly known = new Map<string, Points>();
  private readonly wanted = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called when fetched values have come. */
  constructor(private readonly changed: () => void) {}

  /** What is known of a tag; it is fetched if that is nothing yet. */
  of(row: Row): Points | undefined {
    const points = this.known.get(row.tag);
    if (points === undefined && isPlotted(row.type)) {
      this.wanted.add(row.tag);
      this.timer ??= setTimeout(() => void this.fetch(), 150);
    }
    return points;
  }

  /** What a tag is now. One that nobody looked at stays unknown. */
  add(row: Row, now: number): void {
    const points = this.known.get(row.tag);
    if (points === undefined) return;
    points.t.push(now);
    points.v.push(row.kind === "bad" ? null : plotted(row.value));
    let old = 0;
    while (points.t[old]! < now - SPAN_MS || points.t.length - old > KEPT_POINTS) old++;
    if (old > 0) {
      points.t.splice(0, old);
      points.v.splice(0, old);
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    this.wanted.clear();
    this.known.clear();
  }

  private async fetch(): Promise<void> {
    const tags = [...this.wanted].slice(-AT_ONCE);
    this.wanted.clear();
    try {
      const query = tags.map((tag) => `tag=${encodeURIComponent(tag)}`).join("&");
      const found = await call<Trends>("GET", `/v1/trend?${query}&from=-${SPAN_MS}&points=${MOST_POINTS}`);
      const shift = Date.now() - found.t;
      for (const [tag, trend] of Object.entries(found.tags)) {
        this.known.delete(tag);
        this.known.set(tag, { t: trend.t.map((at) => at + shift), v: trend.last.map(plotted) });
      }
      for (const tag of [...this.known.keys()].slice(0, Math.max(0, this.known.size - KEPT_TAGS))) this.known.delete(tag);
      this.changed();
    } catch {
      // Sparklines are missing then; the table says by itself that the gateway is away.
    } finally {
      this.timer = undefined;
    }
  }
}
