// <spark-line tag="filler/speed">: the last two minutes of one tag.

import { subscribe } from "../live";
import { Recents } from "../recents";
import { Spark } from "../spark";
import type { Row } from "../values";

class SparkLine extends HTMLElement {
  private stop: (() => void) | undefined;
  private timer: ReturnType<typeof setInterval> | undefined;
  private row: Row | undefined;
  private readonly spark = new Spark();
  private readonly recents = new Recents(() => this.draw());

  connectedCallback(): void {
    this.replaceChildren(this.spark.element);
    this.stop = subscribe(this.getAttribute("tag")!, ({ whole, rows }) => {
      if (whole) this.row = rows[0];
      if (this.row !== undefined && rows.length > 0) this.recents.add(this.row, Date.now());
      this.draw();
    });
    this.timer = setInterval(() => this.draw(), 1_000);
  }

  disconnectedCallback(): void {
    this.stop?.();
    this.recents.stop();
    clearInterval(this.timer);
  }

  private draw(): void {
    if (this.row !== undefined && document.visibilityState === "visible") {
      this.spark.draw(this.recents.of(this.row), Date.now());
    }
  }
}

customElements.define("spark-line", SparkLine);
