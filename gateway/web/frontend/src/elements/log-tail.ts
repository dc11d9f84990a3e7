// <log-tail>: the log as it goes on, by level and text, at the end unless somebody has scrolled away from it. A tab in the
// background lets go of its stream and catches up when it is back.

import { Refused, stream } from "../api";
import { answered } from "../early";
import { icon } from "../icons";
import { note } from "../note";
import { setSource } from "../presence";
import { say } from "../say";

interface Entry {
  readonly id: number;
  readonly timestamp_ms: number;
  readonly level: "debug" | "info" | "warning" | "error";
  readonly logger: string;
  readonly message: string;
  readonly traceback: string | null;
}

const MOST = 1000;
const SETTLE_MS = 300;
const SLOWEST_MS = 10_000;
const KINDS = { debug: "off", info: "info", warning: "uncertain", error: "bad" } as const;

class LogTail extends HTMLElement {
  private readonly entries: Entry[] = [];
  private coming: Entry[] = [];
  private last = 0;
  private missed = 0;
  private paused = false;
  private drawing = 0;
  private abort: AbortController | undefined;
  private asking: ReturnType<typeof setTimeout> | undefined;
  private readonly outer = new AbortController();

  connectedCallback(): void {
    const { signal } = this.outer;
    this.addEventListener("click", (event) => this.clicked(event), { signal });
    this.match.addEventListener("input", () => this.anew(SETTLE_MS), { signal });
    this.level.addEventListener("change", () => this.anew(0), { signal });
    document.addEventListener("visibilitychange", () => this.look(), { signal });
    answered(this);
    this.anew(0);
  }

  disconnectedCallback(): void {
    this.outer.abort();
    this.leave();
  }

  private get match(): HTMLInputElement {
    return this.querySelector<HTMLInputElement>("#match")!;
  }

  private get level(): HTMLSelectElement {
    return this.querySelector<HTMLSelectElement>("#level")!;
  }

  private spot(name: string): HTMLElement {
    return this.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
  }

  private get wanted(): URLSearchParams {
    return new URLSearchParams({ level: this.level.value, match: this.match.value });
  }

  /** From the beginning, with what is wanted now. */
  private anew(afterMs: number): void {
    clearTimeout(this.asking);
    this.asking = setTimeout(() => {
      this.leave();
      this.entries.length = 0;
      this.coming = [];
      this.last = this.missed = 0;
      this.spot("rows").replaceChildren();
      const url = new URL(location.href);
      for (const [name, value] of this.wanted) url.searchParams.set(name, value);
      history.replaceState(history.state, "", url);
      (this.spot("file") as HTMLAnchorElement).href = `/diagnostics/logs.txt?${this.wanted}`;
      void this.follow();
    }, afterMs);
  }

  private look(): void {
    if (document.visibilityState === "hidden") this.leave();
    else void this.follow();
  }

  private leave(): void {
    this.abort?.abort();
    this.abort = undefined;
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    setSource("log", undefined);
  }

  private async follow(): Promise<void> {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    for (let failures = 0; !abort.signal.aborted; failures++) {
      try {
        const wanted = this.wanted;
        wanted.set("after", String(this.last));
        // What is kept comes at once; if nothing has by then, there is nothing.
        const settled = setTimeout(() => this.draw(), SETTLE_MS);
        abort.signal.addEventListener("abort", () => clearTimeout(settled));
        for await (const { event, data } of stream(`/v1/logs/stream?${wanted}`, undefined, abort.signal)) {
          failures = 0;
          setSource("log", true);
          this.spot("said").replaceChildren();
          if (event === "log") this.take(data as Entry);
          if (event === "missed") this.missed += (data as { missed: number }).missed;
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Refused && error.problem.status < 500) {
          const { detail, mend, code } = error.problem;
          this.spot("said").replaceChildren(note("bad", detail, mend ?? "", code));
          return;
        }
        this.last = 0; // a gateway that was started anew counts from one
      }
      if (abort.signal.aborted) return;
      setSource("log", false);
      await new Promise((resolve) => setTimeout(resolve, Math.min(SLOWEST_MS, 500 * 2 ** Math.min(failures, 5))));
    }
  }

  private take(entry: Entry): void {
    if (entry.id <= this.last) return;
    if (this.last === 0) this.entries.length = 0;
    this.last = entry.id;
    this.coming.push(entry);
    if (this.coming.length > MOST) this.coming.shift();
    if (this.paused) this.tally();
    else this.draw();
  }

  private draw(): void {
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const rows = this.spot("rows");
      const scroll = this.spot("scroll");
      const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 8;
      const fresh = this.paused ? [] : this.coming.splice(0);
      this.entries.push(...fresh);
      this.entries.splice(0, Math.max(0, this.entries.length - MOST));
      rows.append(...fresh.map(rowOf));
      while (rows.childElementCount > this.entries.length) rows.firstElementChild!.remove();
      this.spot("waiting").hidden = true;
      this.spot("table").hidden = this.entries.length === 0;
      this.spot("none").hidden = this.entries.length > 0;
      if (below) scroll.scrollTop = scroll.scrollHeight;
      this.tally();
    });
  }

  private tally(): void {
    const missed = this.missed > 0 ? `, ${this.missed} came too fast and are missing` : "";
    this.spot("count").textContent = `${this.entries.length} ${this.entries.length === 1 ? "entry" : "entries"}${missed}`;
    const word = !this.paused ? "Pause" : this.coming.length === 0 ? "Go on" : `Go on (${this.coming.length} new)`;
    const text = this.querySelector('[data-do="pause"] > span')!;
    if (text.textContent !== word) text.textContent = word;
  }

  private clicked(event: Event): void {
    const button = (event.target as Element).closest<HTMLElement>("[data-do]");
    if (button?.dataset["do"] === "pause") {
      this.paused = !this.paused;
      button.setAttribute("aria-pressed", String(this.paused));
      button.querySelector("svg")!.replaceWith(icon(this.paused ? "play" : "pause"));
      this.tally();
      if (!this.paused) this.draw();
    }
    if (button?.dataset["do"] === "copy") void this.copy();
  }

  private async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.entries.map(lineOf).join("\n"));
      say("good", `Copied: ${this.entries.length} entries`);
    } catch {
      say("bad", "The browser doesn't let this page copy; download the log instead.");
    }
  }
}

function rowOf(entry: Entry): HTMLTableRowElement {
  const row = document.createElement("tr");
  row.dataset["level"] = entry.level;
  const when = document.createElement("time");
  const moment = new Date(entry.timestamp_ms);
  when.dateTime = moment.toISOString();
  when.title = moment.toISOString();
  when.textContent = moment.toTimeString().slice(0, 8);
  const level = document.createElement("span");
  level.className = `state ${KINDS[entry.level]}`;
  level.append(icon(KINDS[entry.level]), entry.level);
  const message = document.createElement("td");
  message.className = "message break";
  message.append(entry.message);
  if (entry.traceback !== null) {
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "Traceback";
    const trace = document.createElement("pre");
    trace.textContent = entry.traceback;
    details.append(summary, trace);
    message.append(details);
  }
  const cells = [when, level, entry.logger.replace(/^gateway\./, "")].map((content) => {
    const cell = document.createElement("td");
    cell.append(content);
    return cell;
  });
  cells[0]!.className = "mono";
  cells[2]!.className = "muted break";
  row.append(...cells, message);
  return row;
}

function lineOf(entry: Entry): string {
  const line = `${new Date(entry.timestamp_ms).toISOString()} ${entry.level.toUpperCase().padEnd(7)} ${entry.logger}: ${entry.message}`;
  return entry.traceback === null ? line : `${line}\n${entry.traceback}`;
}

customElements.define("log-tail", LogTail);
