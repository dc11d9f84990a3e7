// <wire-trace>: starts a trace of a device, shows its frames as they come, and the chosen one in <hex-trace>. The gateway
// ends it by itself; how long that takes still is always to be seen. A trace="ID" is taken up where it is.

import { call, Refused, stream } from "../api";
import { answered } from "../early";
import { clock, type Frame, type TraceStatus } from "../frames";
import { icon } from "../icons";
import { note } from "../note";
import { setSource } from "../presence";
import type { HexTrace } from "./hex-trace";
import "./hex-trace";

const MOST = 2000; // frames that a page keeps; the gateway keeps more for the capture
const AGAIN_MS = 1_000;

class WireTrace extends HTMLElement {
  private frames: Frame[] = [];
  private coming: Frame[] = [];
  private readonly rows = new Map<number, HTMLTableRowElement>();
  private chosen: number | undefined;
  private current = 0;
  private paused = false;
  private drawing = 0;
  private seen = 0;
  private endsAt = 0;
  private seconds = 0;
  private status: TraceStatus | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private abort: AbortController | undefined;
  private readonly outer = new AbortController();

  connectedCallback(): void {
    const { signal } = this.outer;
    this.spot("form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.start());
    }, { signal });
    this.addEventListener("click", (event) => this.clicked(event), { signal });
    this.field("sought").addEventListener("input", () => this.sift(), { signal });
    this.field("faults").addEventListener("change", () => this.sift(), { signal });
    const rows = this.spot("rows");
    rows.addEventListener("keydown", (event) => this.keyed(event), { signal });
    rows.addEventListener("focusin", (event) => this.choose(numberOf(event.target as Element)), { signal });
    answered(this);
    const id = this.getAttribute("trace");
    if (id !== null) void this.guarded(() => this.follow(id));
  }

  disconnectedCallback(): void {
    this.outer.abort();
    this.leave();
  }

  private spot(name: string): HTMLElement {
    return this.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
  }

  private field(id: string): HTMLInputElement {
    return this.querySelector<HTMLInputElement>(`#${id}`)!;
  }

  private async guarded(work: () => Promise<void>): Promise<void> {
    const said = this.spot("said");
    said.replaceChildren();
    try {
      await work();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      const refused = error instanceof Refused ? error.problem : undefined;
      if (refused === undefined && !(error instanceof TypeError)) throw error;
      said.replaceChildren(
        refused === undefined
          ? note("bad", "The page doesn't answer", "Is the gateway reachable?")
          : note("bad", refused.detail, refused.mend ?? "", refused.code),
      );
    }
  }

  private async start(): Promise<void> {
    const device = this.field("device").value;
    const made = await call<TraceStatus>("POST", "/v1/traces", { device, seconds: Number(this.field("seconds").value) });
    const url = new URL(location.href);
    url.search = `?trace=${encodeURIComponent(made.id)}`;
    history.replaceState(history.state, "", url);
    await this.follow(made.id);
  }

  private async stopNow(): Promise<void> {
    if (this.status !== undefined) await call("POST", `/v1/traces/${encodeURIComponent(this.status.id)}/stop`);
  }

  // --- the stream ---

  private async follow(id: string): Promise<void> {
    this.leave();
    this.clear();
    const abort = (this.abort = new AbortController());
    const path = `/v1/traces/${encodeURIComponent(id)}`;
    this.begin(await call<TraceStatus>("GET", path), path);
    while (this.status?.ended === null || this.seen < (this.status?.frames ?? 0)) {
      try {
        for await (const { event, data } of stream(`${path}/stream?after=${this.seen}`, undefined, abort.signal)) {
          setSource("trace", true);
          if (event === "frame") this.take(data as Frame);
          if (event === "ended") this.over(data as TraceStatus);
        }
        if (this.status?.ended !== null) break;
      } catch (error) {
        if (abort.signal.aborted || error instanceof Refused) {
          this.over({ ...this.status!, ended: "it isn't kept any more" });
          throw error;
        }
      }
      // The connection is gone, and the trace goes on without it.
      setSource("trace", false);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      if (abort.signal.aborted) return;
    }
    setSource("trace", undefined);
  }

  private leave(): void {
    this.abort?.abort();
    clearInterval(this.ticking);
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    setSource("trace", undefined);
  }

  private clear(): void {
    this.frames = [];
    this.coming = [];
    this.rows.clear();
    this.seen = 0;
    this.chosen = undefined;
    this.pause(false);
    this.spot("rows").replaceChildren();
  }

  private begin(status: TraceStatus, path: string): void {
    this.status = status;
    this.seconds = status.seconds;
    this.endsAt = Date.now() + status.left_s * 1000;
    this.field("device").value = status.device;
    const capture = this.spot("pcap") as HTMLAnchorElement;
    capture.href = `/api${path}/capture`;
    capture.hidden = !status.pcap;
    const json = this.spot("json") as HTMLAnchorElement;
    json.href = `/api${path}/frames`;
    json.download = `${status.device}.json`;
    for (const part of ["traced", "running"]) this.spot(part).hidden = false;
    this.ticking = setInterval(() => this.tell(), 250);
    this.tell();
    this.tally();
  }

  private over(status: TraceStatus): void {
    this.status = status;
    clearInterval(this.ticking);
    this.tell();
    this.tally();
  }

  /** How long it still goes on, or why it ended. */
  private tell(): void {
    const ended = this.status!.ended;
    const left = Math.max(0, this.endsAt - Date.now()) / 1000;
    const chip = document.createElement("span");
    chip.className = `state chip ${ended === null ? "good" : "off"}`;
    const word = document.createElement("span");
    word.textContent = ended === null ? "Running" : "Off";
    chip.append(icon(ended === null ? "play" : "off"), word);
    const state = this.spot("state");
    if (state.textContent !== word.textContent) state.replaceChildren(chip);
    const minutes = Math.floor(Math.ceil(left) / 60);
    const rest = String(Math.ceil(left) % 60).padStart(2, "0");
    const text = ended === null ? `Off by itself in ${minutes}:${rest}` : `It ended: ${ended}`;
    if (this.spot("left").textContent !== text) this.spot("left").textContent = text;
    const progress = this.spot("progress") as HTMLProgressElement;
    progress.hidden = ended !== null;
    progress.value = 1 - left / this.seconds;
    this.querySelector<HTMLElement>('[data-do="stop"]')!.hidden = ended !== null;
    this.spot("start").hidden = ended === null;
  }

  // --- frames ---

  private take(frame: Frame): void {
    this.seen = frame.number;
    this.coming.push(frame);
    if (this.coming.length > MOST) this.coming.shift();
    if (this.paused) this.tally();
    else this.draw();
  }

  /** What came since the last picture of the screen is put in at once. */
  private draw(): void {
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      const scroll = this.spot("scroll");
      const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 8;
      const fresh = this.coming.splice(0);
      this.frames.push(...fresh);
      for (const gone of this.frames.splice(0, Math.max(0, this.frames.length - MOST))) {
        this.rows.get(gone.number)?.remove();
        this.rows.delete(gone.number);
      }
      const sieve = this.sieve();
      this.spot("rows").append(...fresh.filter((frame) => this.frames.includes(frame) && sieve(frame)).map((frame) => this.row(frame)));
      this.oneStop();
      if (below) scroll.scrollTop = scroll.scrollHeight;
      this.tally();
    });
  }

  private row(frame: Frame): HTMLTableRowElement {
    const row = document.createElement("tr");
    row.dataset["frame"] = String(frame.number);
    row.tabIndex = -1;
    row.setAttribute("aria-selected", String(frame.number === this.chosen));
    if (frame.fault) row.className = "fault";
    const sent = frame.direction === "sent";
    const meaning = document.createElement("td");
    meaning.className = "meaning break";
    if (frame.fault) {
      const mark = document.createElement("span");
      mark.className = "state bad";
      mark.append(icon("bad"), unseen("Fault: "));
      meaning.append(mark, " ");
    }
    meaning.append(frame.summary);
    if (frame.note !== "") {
      const more = document.createElement("small");
      more.className = "muted";
      more.textContent = ` ${frame.note}`;
      meaning.append(more);
    }
    row.append(
      cell(String(frame.number), "number"),
      cell(clock(frame), "mono when"),
      cell(sent ? "→ sent" : "← received", "towards"),
      cell(frame.device === frame.unit ? frame.unit : `${frame.unit} ${frame.device}`.trim(), "unit"),
      cell(String(frame.size), "number"),
      meaning,
    );
    this.rows.set(frame.number, row);
    return row;
  }

  private sieve(): (frame: Frame) => boolean {
    const words = this.field("sought").value.trim().toLowerCase();
    const hex = words.replaceAll(" ", "");
    const faults = this.field("faults").checked;
    return (frame) => {
      if (faults && !frame.fault) return false;
      if (words === "") return true;
      const text = `${frame.summary} ${frame.unit} ${frame.device} ${frame.note} ${frame.direction}`.toLowerCase();
      return text.includes(words) || (/^([0-9a-f]{2})+$/.test(hex) && frame.hex.includes(hex));
    };
  }

  private sift(): void {
    this.rows.clear();
    this.spot("rows").replaceChildren(...this.frames.filter(this.sieve()).map((frame) => this.row(frame)));
    this.oneStop();
    this.tally();
  }

  private tally(): void {
    const all = this.frames.length;
    const dropped = Math.max(0, this.seen - all - this.coming.length);
    const shown = this.rows.size === all ? `${all} frames` : `${this.rows.size} of ${all} frames`;
    this.spot("count").textContent = shown + (dropped > 0 ? `, ${dropped} older ones aren't shown` : "");
    const button = this.querySelector<HTMLElement>('[data-do="pause"]')!;
    const word = !this.paused ? "Pause" : this.coming.length === 0 ? "Go on" : `Go on (${this.coming.length} new)`;
    const text = button.querySelector("span")!;
    if (text.textContent !== word) text.textContent = word;
  }

  private pause(paused: boolean): void {
    this.paused = paused;
    const button = this.querySelector<HTMLElement>('[data-do="pause"]')!;
    button.setAttribute("aria-pressed", String(paused));
    button.querySelector("svg")!.replaceWith(icon(paused ? "play" : "pause"));
    this.tally();
    if (!paused) this.draw();
  }

  // --- choosing one ---

  /** Tab comes to one row: the chosen one, or else the first. */
  private oneStop(): void {
    const body = this.spot("rows");
    const at = (this.chosen === undefined ? undefined : this.rows.get(this.chosen)) ?? (body.firstElementChild as HTMLElement | null);
    if (at === null) return;
    const before = this.rows.get(this.current);
    if (before !== undefined && before !== at) before.tabIndex = -1;
    at.tabIndex = 0;
    this.current = Number(at.dataset["frame"]);
  }

  private choose(number: number | undefined): void {
    const frame = this.frames.find((each) => each.number === number);
    if (frame === undefined || number === this.chosen) return;
    this.rows.get(this.chosen ?? 0)?.setAttribute("aria-selected", "false");
    this.rows.get(frame.number)?.setAttribute("aria-selected", "true");
    this.chosen = frame.number;
    this.oneStop();
    this.spot("title").textContent = `Frame ${frame.number}: ${frame.summary}`;
    this.querySelector<HexTrace>("hex-trace")!.show(frame);
  }

  private clicked(event: Event): void {
    const target = event.target as Element;
    const action = target.closest<HTMLElement>("[data-do]")?.dataset["do"];
    if (action === "stop") void this.guarded(() => this.stopNow());
    if (action === "pause") this.pause(!this.paused);
    target.closest<HTMLElement>("tr[data-frame]")?.focus();
  }

  private keyed(event: KeyboardEvent): void {
    const row = (event.target as Element).closest<HTMLElement>("tr[data-frame]");
    if (row === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const body = this.spot("rows");
    const next = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: body.firstElementChild,
      End: body.lastElementChild,
      Enter: this.querySelector("hex-trace [tabindex='0']"),
    }[event.key] as HTMLElement | null | undefined;
    if (next === undefined) return;
    event.preventDefault();
    next?.focus();
  }
}

function numberOf(target: Element): number | undefined {
  const number = target.closest<HTMLElement>("tr[data-frame]")?.dataset["frame"];
  return number === undefined ? undefined : Number(number);
}

function cell(text: string, kind = ""): HTMLTableCellElement {
  const made = document.createElement("td");
  if (kind !== "") made.className = kind;
  made.textContent = text;
  return made;
}

function unseen(text: string): HTMLElement {
  const made = document.createElement("span");
  made.className = "unseen";
  made.textContent = text;
  return made;
}

customElements.define("wire-trace", WireTrace);
