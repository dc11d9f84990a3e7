// <live-value tag="filler/level">: one value with its unit, its quality as icon, word and colour, and its age.

import { icon } from "../icons";
import { subscribe } from "../live";
import type { Row } from "../values";
import { duration } from "../words";

const OLD_MS = 5_000;

class LiveValue extends HTMLElement {
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private row: Row | undefined;
  private readonly figure = document.createElement("span");
  private readonly quality = document.createElement("span");
  private readonly age = document.createElement("small");

  connectedCallback(): void {
    const tag = this.getAttribute("tag") ?? "";
    this.classList.add("live");
    this.figure.className = "figure-now";
    this.age.className = "muted";
    this.replaceChildren(this.figure, this.quality, this.age);
    // A tag's name may hold what means something in a pattern: each such character stands for itself in brackets.
    this.stop = subscribe(tag.replace(/[*?[]/g, "[$&]"), ({ rows, whole }) => {
      if (whole) this.row = rows[0];
      this.show();
    });
    this.timer = setInterval(() => this.showAge(), 1000);
    this.show();
  }

  disconnectedCallback(): void {
    this.stop?.();
    clearInterval(this.timer);
  }

  private show(): void {
    const { row } = this;
    if (row === undefined) {
      this.figure.textContent = "–";
      return;
    }
    this.figure.textContent = text(row);
    if (this.quality.dataset["word"] !== row.word) {
      this.quality.dataset["word"] = row.word;
      this.quality.className = `state ${row.kind}`;
      const word = document.createElement("span");
      word.textContent = row.word;
      this.quality.replaceChildren(icon(row.kind), word);
    }
    this.showAge();
  }

  private showAge(): void {
    const heard = this.row?.heard;
    const age = heard === null || heard === undefined ? undefined : Date.now() - heard;
    const old = Math.max(OLD_MS, 3 * (this.row?.group.interval_ms ?? 0));
    this.age.textContent = age === undefined || age < old ? "" : `${duration(age)} ago`;
    this.classList.toggle("stale", age !== undefined && age >= old);
  }
}

/** A value as people read it, with its unit. */
export function text(row: Row): string {
  const { value, unit } = row;
  if (value === null || value === undefined) return "–";
  const said = typeof value === "object" ? JSON.stringify(value) : String(value);
  return unit === null ? said : `${said} ${unit}`;
}

customElements.define("live-value", LiveValue);
