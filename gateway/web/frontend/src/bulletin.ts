// One stream of changes of state for every tab of this browser, beside the one of values and for the same reason. It runs
// where the hub runs. How much needs repair is told along with it, so that no page has to ask.

/** What changed, as the control API's stream says it (GET /v1/events). */
export interface Change {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type Severity = "error" | "warning" | "notice";

export interface Repairs {
  readonly open: number;
  readonly worst: Severity | null;
}

/** To a tab. */
export type News =
  | { readonly kind: "reachable"; readonly reachable: boolean }
  | { readonly kind: "change"; readonly change: Change }
  | { readonly kind: "repairs"; readonly repairs: Repairs };

type Tell = (news: News) => void;

const KINDS = ["device", "link", "sink", "alarm", "config", "repairs", "machine"] as const;
const SETTLE_MS = 1_000; // a link that goes takes its devices along: one question for all of them

export class Bulletin {
  private readonly guests = new Set<Tell>();
  private source: EventSource | undefined;
  private reachable: boolean | undefined;
  private repairs: Repairs | undefined;
  private counting: ReturnType<typeof setTimeout> | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  join(tell: Tell): void {
    this.guests.add(tell);
    if (this.reachable !== undefined) tell({ kind: "reachable", reachable: this.reachable });
    if (this.repairs !== undefined) tell({ kind: "repairs", repairs: this.repairs });
    if (this.guests.size === 1) this.connect();
  }

  leave(tell: Tell): void {
    if (!this.guests.delete(tell) || this.guests.size > 0) return;
    this.close();
    this.reachable = this.repairs = undefined; // by the time somebody asks again they may be otherwise
  }

  private connect(): void {
    this.close();
    const source = new EventSource("/api/v1/events");
    this.source = source;
    source.addEventListener("open", () => {
      this.failures = 0;
      this.reach(true);
      this.count(0); // what changed before isn't told
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const data = JSON.parse((event as MessageEvent<string>).data) as Change["data"];
        this.tellAll({ kind: "change", change: { event: kind, data } });
        if (kind === "repairs") this.found(data as unknown as Repairs);
        else this.count(SETTLE_MS);
      });
    }
    source.addEventListener("error", () => {
      this.reach(false);
      this.close();
      this.failures += 1;
      this.again = setTimeout(() => this.connect(), Math.min(10_000, 500 * 2 ** Math.min(this.failures, 5)));
    });
  }

  private close(): void {
    clearTimeout(this.again);
    clearTimeout(this.counting);
    this.counting = undefined;
    this.source?.close();
    this.source = undefined;
  }

  private count(afterMs: number): void {
    this.counting ??= setTimeout(() => {
      this.counting = undefined;
      void this.ask();
    }, afterMs);
  }

  private async ask(): Promise<void> {
    try {
      const response = await fetch("/api/v1/repairs", { headers: { accept: "application/json" } });
      if (!response.ok) return;
      const repairs = (await response.json()) as readonly { severity: Severity }[];
      this.found({ open: repairs.length, worst: repairs[0]?.severity ?? null });
    } catch {
      // Nobody answers: the stream ends, too, and asks again when it is back.
    }
  }

  private found(repairs: Repairs): void {
    this.repairs = { open: repairs.open, worst: repairs.worst };
    this.tellAll({ kind: "repairs", repairs: this.repairs });
  }

  private reach(reachable: boolean): void {
    if (this.reachable === reachable) return;
    this.reachable = reachable;
    this.tellAll({ kind: "reachable", reachable });
  }

  private tellAll(news: News): void {
    for (const tell of this.guests) tell(news);
  }
}
