// <machine-banner>: on every page, a change of the machine's network or time that isn't confirmed yet, counting down to the
// moment when the machine takes it back. It may be this page that the change cuts off: then the way to the machine's new
// address stands here, under which it can be confirmed.

import { Refused, call } from "../api";
import { actions, box, countdown, line, recall, remember, sentence } from "../banner";
import { onBeginning, onChange } from "../news";
import { setSource } from "../presence";
import { type Mood, say } from "../say";

interface Unconfirmed {
  readonly id: string;
  readonly what: "network" | "time";
  readonly subject: string;
  readonly seconds_left: number;
  readonly address: string | null;
  /** Of who made the change here: under which name to look where a DHCP server gives the address. */
  readonly hostname?: string;
}

interface Happened {
  readonly event: string;
  readonly change: { readonly state: string; readonly detail: string };
}

interface Kept {
  readonly change: Unconfirmed;
  readonly until: number;
}

const LABEL = "Change of the machine";
const TOLD = "tidegate-machine-told";
const BUSY_MS = 1_000;
const PATIENCE_MS = 4_000;
const SAID_AT = [30, 10];

class MachineBanner extends HTMLElement {
  private kept: Kept | undefined;
  private cut = false;
  private shown = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private ticking: ReturnType<typeof setInterval> | undefined;
  private stops: readonly (() => void)[] = [];
  private readonly clock = document.createElement("span");
  private readonly spoken = document.createElement("span");
  private readonly begun = (event: Event): void => {
    const change = (event as CustomEvent<Unconfirmed>).detail;
    for (const dialog of document.querySelectorAll<HTMLDialogElement>("dialog[open]")) dialog.close();
    this.keep(change);
    this.draw();
    this.querySelector<HTMLElement>("[data-do]")?.focus();
    this.later();
  };

  connectedCallback(): void {
    this.spoken.className = "unseen";
    this.spoken.setAttribute("role", "status");
    this.clock.className = "clock";
    document.addEventListener("tg:machine", this.begun);
    this.addEventListener("click", (event) => void this.act(event));
    this.stops = [
      onBeginning(() => void this.ask()),
      onChange(({ event }) => {
        if (event === "machine") void this.ask();
      }),
    ];
    const told = recall<{ mood: Mood; text: string }>(TOLD);
    if (told !== undefined) say(told.mood, told.text);
    remember(TOLD, undefined);
    this.draw();
    void this.ask();
  }

  disconnectedCallback(): void {
    document.removeEventListener("tg:machine", this.begun);
    for (const stop of this.stops) stop();
    clearTimeout(this.timer);
    clearInterval(this.ticking);
    setSource("machine", undefined);
  }

  private later(): void {
    clearTimeout(this.timer);
    if (this.kept !== undefined || this.cut) this.timer = setTimeout(() => void this.ask(), BUSY_MS);
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const response = await fetch("/api/v1/machine/unconfirmed", {
        headers: { accept: "application/json" },
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!response.ok) throw new TypeError(`the page answers ${response.status}`);
      const { unconfirmed } = (await response.json()) as { unconfirmed: Unconfirmed | null };
      this.cut = false;
      setSource("machine", this.kept === undefined ? undefined : true);
      const before = this.kept?.change;
      if (unconfirmed !== null) this.keep(unconfirmed);
      else if (before !== undefined) await this.tell();
    } catch {
      // Without a change this isn't for us to say: others notice that the page is offline.
      this.cut = this.kept !== undefined;
      if (this.cut) setSource("machine", false);
    }
    if (!this.isConnected) return;
    this.draw();
    this.later();
  }

  private keep(change: Unconfirmed): void {
    const before = this.kept?.change;
    const known = before?.id === change.id;
    this.kept = {
      change: { ...change, hostname: change.hostname ?? (known ? before.hostname : undefined) ?? "" },
      until: Date.now() + change.seconds_left * 1000,
    };
    if (!known) this.spoken.textContent = `${title(change)} It waits to be confirmed, ${Math.round(change.seconds_left)} seconds are left.`;
  }

  /** What came of the change that was unconfirmed just now. */
  private async tell(): Promise<void> {
    const happened = await call<readonly Happened[]>("GET", "/v1/events/recent");
    const last = happened.filter(({ event }) => event === "machine").at(-1);
    this.kept = undefined;
    setSource("machine", undefined);
    if (last === undefined) return;
    const { state, detail } = last.change;
    const mood: Mood = state === "confirmed" ? "good" : "warn";
    const text = `${detail[0]!.toUpperCase()}${detail.slice(1)}.`;
    if (document.querySelector("[data-machine]") === null) {
      say(mood, text);
      return;
    }
    remember(TOLD, { mood, text });
    location.reload();
  }

  private draw(): void {
    clearInterval(this.ticking);
    const { kept } = this;
    const shape = JSON.stringify([kept?.change.id, kept?.change.hostname, this.cut]);
    if (kept !== undefined) {
      this.tick();
      this.ticking = setInterval(() => this.tick(), 250);
    }
    if (shape === this.shown) return; // what has the focus keeps it
    this.shown = shape;
    const focused = this.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["do"] : undefined;
    this.replaceChildren(this.spoken, ...(kept === undefined ? [] : [this.notice(kept.change)]));
    if (focused !== undefined) this.querySelector<HTMLElement>(`[data-do="${focused}"]`)?.focus();
  }

  private notice(change: Unconfirmed): HTMLElement {
    const note = box("warn", "uncertain", LABEL);
    const text = note.lastElementChild!;
    const head = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = title(change);
    head.append(strong, " ", this.clock);
    text.append(head);
    const elsewhere = place(change);
    if (this.cut) text.append(line("This page is cut off from the machine, which may be what the change did."));
    if (elsewhere !== undefined) {
      const way = line(this.cut ? "Confirm it under its new address: " : "Its new address: ");
      const link = document.createElement("a");
      link.href = `${elsewhere}/system/machine`;
      link.textContent = elsewhere;
      way.append(link);
      text.append(way);
    }
    if (this.cut) text.append(line("If you do nothing, the machine takes it back, and this page is here again."));
    else if (this.hasAttribute("may")) text.append(actions(["confirm", "Confirm", "primary"], ["take-back", "Take back", ""]));
    else text.append(line("An admin can confirm it or take it back."));
    return note;
  }

  private tick(): void {
    const { kept } = this;
    if (kept === undefined) return;
    const left = Math.max(0, Math.ceil((kept.until - Date.now()) / 1000));
    const text = countdown(left);
    if (this.clock.textContent === text) return;
    this.clock.textContent = text;
    if (SAID_AT.includes(left)) this.spoken.textContent = `The change of the machine is taken back in ${left} seconds.`;
  }

  private async act(event: Event): Promise<void> {
    const button = (event.target as Element).closest<HTMLButtonElement>("[data-do]");
    if (button === null) return;
    button.disabled = true;
    try {
      await call("POST", `/v1/machine/${button.dataset["do"]!}`);
      await this.ask();
    } catch (error) {
      say("bad", error instanceof Refused ? sentence(error) : "The page doesn't answer. The machine takes the change back by itself.");
      button.disabled = false;
    }
  }
}

function title(change: Unconfirmed): string {
  return change.what === "network" ? `Unconfirmed: the network of ${change.subject}.` : "Unconfirmed: the machine's time.";
}

/** The origin under which the machine is reached now, where that isn't this one. */
function place(change: Unconfirmed): string | undefined {
  const host = change.address ?? (change.what === "network" && change.hostname ? `${change.hostname}.local` : undefined);
  if (host === undefined) return undefined;
  const written = host.includes(":") ? `[${host}]` : host;
  return written === location.hostname ? undefined : `https://${written}${location.port === "" ? "" : `:${location.port}`}`;
}

customElements.define("machine-banner", MachineBanner);
