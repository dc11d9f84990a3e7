// <change-banner>: on every page, a change of the configuration that runs and isn't confirmed yet, counting down to the
// moment when it comes back by itself. It knows that moment even if the page is cut off, and after a reload then: what
// the change has cut off may be the way to this page.
//
// It also marks the menu while there is a draft, and says on the pages about changes when what they show is out of date.

import { Refused, call } from "../api";
import { actions, box, countdown, line, recall, remember, sentence } from "../banner";
import { onBeginning, onChange } from "../news";
import { setSource } from "../presence";
import { type Mood, say } from "../say";

interface Pending {
  readonly revision: number;
  readonly author: string;
  readonly reason: string;
  readonly confirm_by: "hand" | "health";
  readonly seconds_left: number;
  readonly not_well_yet: readonly string[];
}

interface State {
  readonly pending: Pending | null;
  readonly draft: { readonly author: string; readonly changed_by: string } | null;
  readonly seen: string;
}

interface Revision {
  readonly outcome: string;
  readonly decided_by: string | null;
  readonly why: string | null;
}

interface Kept {
  readonly pending: Pending;
  readonly until: number;
}

const LABEL = "Change of the configuration";
const KEPT = "tidegate-pending";
const TOLD = "tidegate-told";
const QUIET_MS = 15_000; // what changes is told by itself
const BUSY_MS = 1_000;
const SAID_AT = [30, 10];

class ChangeBanner extends HTMLElement {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stops: readonly (() => void)[] = [];
  private ticking: ReturnType<typeof setInterval> | undefined;
  private kept = recall<Kept>(KEPT);
  private cut = false;
  private shown = "";
  private stale = false;
  private reloading = false;
  private readonly clock = document.createElement("span");
  private readonly spoken = document.createElement("span");
  private readonly look = (): void => {
    if (document.visibilityState === "visible") void this.ask();
  };

  connectedCallback(): void {
    this.spoken.className = "unseen";
    this.spoken.setAttribute("role", "status");
    this.clock.className = "clock";
    document.addEventListener("visibilitychange", this.look);
    this.stops = [
      onBeginning(() => void this.ask()),
      onChange(({ event }) => {
        if (event === "config") void this.ask();
      }),
    ];
    this.addEventListener("click", (event) => void this.act(event));
    const told = recall<{ mood: Mood; text: string }>(TOLD);
    if (told !== undefined) say(told.mood, told.text);
    remember(TOLD, undefined);
    this.draw();
    void this.ask();
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.look);
    for (const stop of this.stops) stop();
    clearTimeout(this.timer);
    clearInterval(this.ticking);
    setSource("changes", undefined);
  }

  private async ask(): Promise<void> {
    clearTimeout(this.timer);
    if (document.visibilityState === "hidden") return;
    try {
      const response = await fetch("/changes/state", {
        headers: { accept: "application/json" },
        signal: AbortSignal.timeout(5_000),
      });
      if (!response.ok) throw new TypeError(`the page answers ${response.status}`);
      await this.take((await response.json()) as State);
      this.cut = false;
      setSource("changes", true);
    } catch {
      this.cut = true;
      setSource("changes", false);
    }
    if (!this.isConnected) return;
    this.draw();
    this.timer = setTimeout(() => void this.ask(), this.kept === undefined && !this.cut ? QUIET_MS : BUSY_MS);
  }

  private async take(state: State): Promise<void> {
    this.mark(state);
    const before = this.kept?.pending;
    if (state.pending === null) {
      this.keep(undefined);
      if (before !== undefined) await this.tell(before);
      return;
    }
    const fresh = before?.revision !== state.pending.revision;
    this.keep({ pending: state.pending, until: Date.now() + state.pending.seconds_left * 1000 });
    if (fresh) this.spoken.textContent = `A change of the configuration waits to be confirmed, ${Math.round(state.pending.seconds_left)} seconds are left.`;
  }

  /** What came of the change that was unconfirmed just now. */
  private async tell(pending: Pending): Promise<void> {
    const revision = await call<Revision>("GET", `/v1/config/history/${pending.revision}`);
    const by = revision.decided_by === null || revision.decided_by === "gateway" ? "" : ` by ${revision.decided_by}`;
    const confirmed = revision.outcome === "confirmed";
    const what = confirmed ? `is confirmed${by}` : `was taken back${by || " by itself"}`;
    const why = !confirmed && revision.why !== null && by === "" ? `: ${revision.why}` : "";
    const mood: Mood = confirmed ? "good" : by ? "info" : "warn";
    const text = `Revision ${pending.revision} ${what}${why}.`;
    if (this.reloading) remember(TOLD, { mood, text });
    else say(mood, text);
  }

  private keep(kept: Kept | undefined): void {
    this.kept = kept;
    remember(KEPT, kept);
  }

  /** The menu's entry, and whether a page about changes shows what is. */
  private mark(state: State): void {
    const badge = document.querySelector<HTMLElement>("[data-badge]");
    if (badge !== null) {
      const text = state.pending !== null ? "To confirm" : state.draft !== null ? "Draft" : "";
      badge.hidden = text === "";
      badge.textContent = text;
      badge.title = state.draft !== null ? `Begun by ${state.draft.author}` : "";
    }
    const seen = document.querySelector<HTMLElement>("[data-changes-seen]")?.dataset["changesSeen"];
    this.stale = seen !== undefined && seen !== state.seen;
  }

  private draw(): void {
    clearInterval(this.ticking);
    const { kept } = this;
    const shape = JSON.stringify([kept?.pending.revision, kept?.pending.not_well_yet, this.cut, this.stale]);
    if (kept !== undefined) {
      this.tick();
      this.ticking = setInterval(() => this.tick(), 250);
    }
    if (shape === this.shown) return; // what has the focus keeps it
    this.shown = shape;
    const focused = this.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["do"] : undefined;
    const parts: Node[] = [this.spoken];
    if (kept !== undefined) parts.push(this.notice(kept.pending));
    else if (this.stale) parts.push(this.outdated());
    this.replaceChildren(...parts);
    if (focused !== undefined) this.querySelector<HTMLElement>(`[data-do="${focused}"]`)?.focus();
  }

  private notice(pending: Pending): HTMLElement {
    const note = box("warn", "uncertain", LABEL);
    const text = note.lastElementChild!;
    const head = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = title(pending);
    head.append(strong, " ", this.clock);
    text.append(head);
    if (pending.reason !== "") text.append(line(pending.reason));
    if (pending.not_well_yet.length > 0) text.append(line(`Not well again yet: ${pending.not_well_yet.join(", ")}.`));
    if (pending.confirm_by === "health") text.append(line("The gateway confirms it by itself once all is well again."));
    if (this.cut) text.append(line("This page is cut off from the gateway. That may be what the change did; then it is taken back by itself."));
    else if (this.hasAttribute("may")) text.append(actions(["confirm", "Confirm", "primary"], ["rollback", "Take back", ""]));
    else text.append(line("An engineer or admin can confirm it or take it back."));
    return note;
  }

  private outdated(): HTMLElement {
    const note = box("info", "info", LABEL);
    note.lastElementChild!.append(line("Somebody changed something since this page was loaded."), actions(["reload", "Show it as it is now", ""]));
    return note;
  }

  private tick(): void {
    const { kept } = this;
    if (kept === undefined) return;
    const left = Math.max(0, Math.ceil((kept.until - Date.now()) / 1000));
    const text = countdown(left);
    if (this.clock.textContent === text) return;
    this.clock.textContent = text;
    if (SAID_AT.includes(left)) this.spoken.textContent = `The change is taken back in ${left} seconds.`;
  }

  private async act(event: Event): Promise<void> {
    const button = (event.target as Element).closest<HTMLButtonElement>("[data-do]");
    if (button === null) return;
    const what = button.dataset["do"]!;
    if (what === "reload") {
      location.reload();
      return;
    }
    button.disabled = true;
    try {
      await call("POST", `/v1/config/${what}`, what === "rollback" ? {} : undefined);
      this.reloading = document.querySelector("[data-changes-seen]") !== null;
      await this.ask();
      if (this.reloading) location.reload();
    } catch (error) {
      say("bad", error instanceof Refused ? sentence(error) : "The page doesn't answer. The change is taken back by itself.");
      button.disabled = false;
    }
  }
}

function title(pending: Pending): string {
  return `Unconfirmed: revision ${pending.revision} by ${pending.author}.`;
}

customElements.define("change-banner", ChangeBanner);
