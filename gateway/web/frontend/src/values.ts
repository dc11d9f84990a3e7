// What the control API's stream of values says (GET /v1/live), and what a page makes of it.

/** The table that a snapshot begins with: columns, one place a tag. */
export interface Table {
  readonly path: readonly string[];
  readonly unit: readonly (string | null)[];
  readonly type: readonly string[];
  readonly group: readonly number[];
  readonly topic: readonly (string | null)[];
  readonly writable: readonly number[];
}

export interface Group {
  readonly device: string;
  readonly group: string;
  readonly link: string;
  readonly driver: string;
  readonly location: readonly string[];
  readonly interval_ms: number | null;
}

/** What changed: columns again. `i` are places in the table. */
export interface Tick {
  readonly t: number;
  readonly i: readonly number[];
  readonly v: readonly unknown[];
  /** Qualities; absent where all are good. */
  readonly q?: readonly number[];
  /** Ages in ms of tags that were heard of by themselves; null: as their group, -1: never. */
  readonly a?: readonly (number | null)[];
  /** Groups that were heard of, and the age of that in ms. */
  readonly g?: readonly number[];
  readonly ga?: readonly number[];
  /** Words of quality codes that weren't said before. */
  readonly names?: Readonly<Record<string, string>>;
}

export interface Snapshot extends Tick {
  readonly generation: number;
  readonly groups: readonly Group[];
  readonly tags: Table;
}

export type Kind = "good" | "uncertain" | "bad";

/** One tag as it is now. The same object is changed in place from update to update. */
export interface Row {
  readonly index: number;
  /** `device/path`. */
  readonly tag: string;
  readonly device: string;
  readonly path: string;
  readonly unit: string | null;
  readonly type: string;
  readonly group: Group;
  readonly topic: string | null;
  readonly writable: boolean;
  value: unknown;
  quality: number;
  kind: Kind;
  /** The standard's name of the quality: `Good`, `BadTimeout`. */
  word: string;
  /** When it was last heard of, by this browser's clock in ms; null: never. */
  heard: number | null;
}

export function kindOf(quality: number): Kind {
  const severity = quality >>> 30;
  return severity === 0 ? "good" : severity === 1 ? "uncertain" : "bad";
}

/** All tags of one stream, as they are now. */
export class Values {
  readonly rows: Row[];
  private readonly words = new Map<number, string>([[0, "Good"]]);
  private readonly byGroup: Row[][];

  constructor(snapshot: Snapshot, now: number) {
    const table = snapshot.tags;
    this.byGroup = snapshot.groups.map(() => []);
    this.rows = table.path.map((path, index) => {
      const group = snapshot.groups[table.group[index]!]!;
      const row: Row = {
        index,
        tag: `${group.device}/${path}`,
        device: group.device,
        path,
        unit: table.unit[index] ?? null,
        type: table.type[index]!,
        group,
        topic: table.topic[index] ?? null,
        writable: table.writable[index] === 1,
        value: null,
        quality: 0x80320000,
        kind: "bad",
        word: "BadWaitingForInitialData",
        heard: null,
      };
      this.byGroup[table.group[index]!]!.push(row);
      return row;
    });
    this.take(snapshot, now);
  }

  /** Take up what changed; returns the rows that did. */
  take(tick: Tick, now: number): Row[] {
    for (const [code, word] of Object.entries(tick.names ?? {})) this.words.set(Number(code), word);
    tick.g?.forEach((group, at) => {
      const heard = now - tick.ga![at]!;
      for (const row of this.byGroup[group] ?? []) row.heard = heard;
    });
    const changed: Row[] = [];
    tick.i.forEach((index, at) => {
      const row = this.rows[index];
      if (row === undefined) return;
      row.value = tick.v[at];
      row.quality = (tick.q?.[at] ?? 0) >>> 0;
      row.kind = kindOf(row.quality);
      row.word = this.words.get(row.quality) ?? `0x${row.quality.toString(16).padStart(8, "0")}`;
      const age = tick.a?.[at];
      if (age !== undefined && age !== null) row.heard = age < 0 ? null : now - age;
      changed.push(row);
    });
    return changed;
  }
}

/** Shell pattern over `device/path` as the control API reads it: `*` any text, `?` any character, `[…]` one of these. */
export function matcher(pattern: string): (tag: string) => boolean {
  if (pattern === "*") return () => true;
  const source = pattern.replace(/\[(!?)([^\]]+)\]|[*?]|[^*?[]+|\[/g, (part, not: string | undefined, set: string) => {
    if (part === "*") return ".*";
    if (part === "?") return ".";
    if (set !== undefined) return `[${not ? "^" : ""}${set.replace(/\\/g, "\\\\")}]`;
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  const expression = new RegExp(`^(?:${source})$`, "s");
  return (tag) => expression.test(tag);
}
