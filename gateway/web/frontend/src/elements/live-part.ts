// <live-part src="/overview/live" every="2">: a part of a page that the server renders anew every few seconds.
//
// Not while nobody looks (a hidden tab asks nothing), and never while somebody types in it. What comes is put in by
// morphing, so that focus, selection and open menus stay. With on="device link" at once, too, when one of these changes.

import htmx from "htmx.org";
import { onChange } from "../news";
import { setSource } from "../presence";

const SLOWEST_MS = 15_000;
const SETTLE_MS = 200; // what changes together is shown together

let parts = 0;

export class LivePart extends HTMLElement {
  private readonly name = `part ${parts++}`;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort: AbortController | undefined;
  private failures = 0;
  private stop: (() => void) | undefined;
  private readonly look = (): void => {
    if (document.visibilityState === "visible") this.wait(0);
  };

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.look);
    const kinds = this.getAttribute("on")?.split(" ");
    if (kinds !== undefined) {
      this.stop = onChange(({ event }) => {
        if (kinds.includes(event)) this.wait(SETTLE_MS);
      });
    }
    this.wait(this.hasAttribute("now") ? 0 : this.interval);
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.look);
    this.stop?.();
    clearTimeout(this.timer);
    this.abort?.abort();
    setSource(this.name, undefined);
  }

  /** Ask now, whatever the interval. */
  refresh(): void {
    this.wait(0);
  }

  private get interval(): number {
    return Number(this.getAttribute("every") ?? 2) * 1000;
  }

  private wait(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), ms);
  }

  private async ask(): Promise<void> {
    if (document.visibilityState === "hidden") return;
    if (!this.beingEdited()) {
      this.abort?.abort();
      this.abort = new AbortController();
      await this.load(AbortSignal.any([this.abort.signal, AbortSignal.timeout(10_000)]));
    }
    if (this.isConnected) this.wait(Math.min(SLOWEST_MS, this.interval * 2 ** Math.min(this.failures, 4)));
  }

  private async load(signal: AbortSignal): Promise<void> {
    try {
      const response = await fetch(this.getAttribute("src")!, {
        headers: { "hx-request": "true", "hx-request-type": "partial", accept: "text/html" },
        signal,
      });
      const redirect = response.headers.get("hx-redirect");
      if (redirect !== null) {
        location.assign(redirect);
        return;
      }
      const text = await response.text();
      if (!this.isConnected || this.beingEdited()) return;
      // An error is shown in place only if there is nothing better: old values, greyed, are worth more.
      if (response.ok || this.childElementCount === 0) await htmx.swap({ target: this, text, swap: "innerMorph" } as never);
      this.failures = response.ok ? 0 : this.failures + 1;
      setSource(this.name, response.ok);
    } catch (error) {
      if (!this.isConnected || (error instanceof DOMException && error.name === "AbortError")) return;
      this.failures += 1;
      setSource(this.name, false);
    }
  }

  private beingEdited(): boolean {
    const active = document.activeElement;
    return active !== null && this.contains(active) && active.matches("input, select, textarea, [contenteditable]");
  }
}

customElements.define("live-part", LivePart);
