// One stream of values for every tab of this browser: HTTP/1.1 gives an origin six connections, and a stream a tab would
// use them up. It runs in a shared worker, or where browsers have none in the tab itself.

import type { Snapshot, Tick } from "./values";

/** From a tab: what it wants to see now. An empty list ends its part. */
export interface Wish {
  readonly patterns: readonly string[];
}

/** To a tab. */
export type Told =
  | { readonly kind: "state"; readonly online: boolean; readonly since: number }
  | { readonly kind: "snapshot"; readonly body: Snapshot; readonly at: number; readonly ticks: readonly TimedTick[] }
  | { readonly kind: "tick"; readonly body: Tick; readonly at: number };

export interface TimedTick {
  readonly body: Tick;
  readonly at: number;
}

type Tell = (told: Told) => void;

const QUIET_MS = 12_000; // the control API says something every few seconds, even if nothing changed
const KEPT_TICKS = 60;

export class Hub {
  private readonly guests = new Map<Tell, readonly string[]>();
  private source: EventSource | undefined;
  private pattern = "";
  private online: boolean | undefined; // nobody knows before the first answer
  private since = Date.now();
  private snapshot: { body: Snapshot; at: number } | undefined;
  private ticks: TimedTick[] = [];
  private quiet: ReturnType<typeof setTimeout> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  wish(tell: Tell, wish: Wish): void {
    const before = this.pattern;
    if (wish.patterns.length === 0) this.guests.delete(tell);
    else this.guests.set(tell, wish.patterns);
    const pattern = this.common();
    if (pattern !== before) {
      this.pattern = pattern;
      this.connect();
    } else if (this.guests.has(tell) && this.snapshot !== undefined) {
      // What came since the snapshot goes along: whoever comes later sees the same as the others.
      tell({ kind: "snapshot", ...this.snapshot, ticks: this.ticks });
    }
    if (this.online !== undefined) tell({ kind: "state", online: this.online, since: this.since });
  }

  leave(tell: Tell): void {
    this.wish(tell, { patterns: [] });
  }

  /** What serves everybody: the one pattern that all want, or everything. */
  private common(): string {
    const all = new Set([...this.guests.values()].flat());
    if (all.size === 0) return "";
    return all.size === 1 ? [...all][0]! : "*";
  }

  private connect(): void {
    this.close();
    if (this.pattern === "") return;
    const source = new EventSource(`/api/v1/live?match=${encodeURIComponent(this.pattern)}`);
    this.source = source;
    source.addEventListener("open", () => this.listen());
    source.addEventListener("snapshot", (event) => {
      this.snapshot = { body: JSON.parse((event as MessageEvent<string>).data) as Snapshot, at: Date.now() };
      this.ticks = [];
      this.failures = 0;
      this.state(true);
      this.tellAll({ kind: "snapshot", ...this.snapshot, ticks: [] });
      this.listen();
    });
    source.addEventListener("tick", (event) => {
      const tick: TimedTick = { body: JSON.parse((event as MessageEvent<string>).data) as Tick, at: Date.now() };
      this.keep(tick);
      this.state(true);
      this.tellAll({ kind: "tick", ...tick });
      this.listen();
    });
    source.addEventListener("error", () => this.retry());
    this.listen();
  }

  /** Past ticks are merged when there are many: only the last value of each place counts. */
  private keep(tick: TimedTick): void {
    this.ticks.push(tick);
    if (this.ticks.length > KEPT_TICKS) this.ticks = [merge(this.ticks)];
  }

  private listen(): void {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.retry(), QUIET_MS);
  }

  private retry(): void {
    this.state(false);
    this.close();
    this.failures += 1;
    this.again = setTimeout(() => this.connect(), Math.min(10_000, 500 * 2 ** Math.min(this.failures, 5)));
  }

  private close(): void {
    clearTimeout(this.quiet);
    clearTimeout(this.again);
    this.source?.close();
    this.source = undefined;
    this.snapshot = undefined;
    this.ticks = [];
  }

  private state(online: boolean): void {
    if (online === this.online) return;
    this.online = online;
    this.since = Date.now();
    this.tellAll({ kind: "state", online, since: this.since });
  }

  private tellAll(told: Told): void {
    for (const tell of this.guests.keys()) tell(told);
  }
}

function merge(ticks: readonly TimedTick[]): TimedTick {
  const last = ticks[ticks.length - 1]!;
  const places = new Map<number, { v: unknown; q: number; a: number | null }>();
  const groups = new Map<number, number>();
  const names: Record<string, string> = {};
  for (const { body, at } of ticks) {
    const older = last.at - at;
    body.i.forEach((index, k) => {
      const age = body.a?.[k] ?? null;
      places.set(index, { v: body.v[k], q: body.q?.[k] ?? 0, a: age === null || age < 0 ? age : age + older });
    });
    body.g?.forEach((group, k) => groups.set(group, body.ga![k]! + older));
    Object.assign(names, body.names);
  }
  const kept = [...places.values()];
  return {
    at: last.at,
    body: {
      t: last.body.t,
      i: [...places.keys()],
      v: kept.map((place) => place.v),
      q: kept.map((place) => place.q),
      a: kept.map((place) => place.a),
      g: [...groups.keys()],
      ga: [...groups.values()],
      names,
    },
  };
}
