// <tag-now tag="filler/speed">: what a tag is now: its value and unit, quality and age, always up to date.

import { subscribe } from "../live";
import { age, late, QualityMark, withUnit } from "../show";
import type { Row } from "../values";

class TagNow extends HTMLElement {
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private row: Row | undefined;
  private readonly value = document.createElement("span");
  private readonly mark = new QualityMark();
  private readonly age = document.createElement("span");

  connectedCallback(): void {
    this.classList.add("live");
    this.value.className = "value";
    this.age.className = "age";
    this.stop = subscribe(this.getAttribute("tag")!, ({ whole, rows }) => {
      // What the server wrote stays until something newer has come.
      if (whole) this.row = rows[0];
      if (this.row !== undefined && !this.contains(this.value)) {
        this.replaceChildren(this.value, this.mark.element, this.age);
      }
      this.show();
    });
    this.timer = setInterval(() => this.show(), 1_000);
  }

  disconnectedCallback(): void {
    this.stop?.();
    clearInterval(this.timer);
  }

  private show(): void {
    const row = this.row;
    if (row === undefined) return;
    const now = Date.now();
    set(this.value, withUnit(row));
    this.mark.show(row.kind, row.word);
    const stale = late(row, now);
    set(this.age, stale ? `stale: ${age(row, now)} old` : age(row, now));
    this.toggleAttribute("data-stale", stale || row.kind === "bad");
  }
}

function set(element: Element, content: string): void {
  if (element.textContent !== content) element.textContent = content;
}

customElements.define("tag-now", TagNow);
