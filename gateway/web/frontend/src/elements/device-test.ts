// <device-test>: the test of the way to a configured device, rung by rung, and what the test read brought.

import { answered } from "../early";
import { icon } from "../icons";
import { type Reading, type Rung, Setup } from "../setup";
import { words } from "../show";

class DeviceTest extends Setup {
  connectedCallback(): void {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.guarded(() => this.test());
    });
    this.addEventListener("click", (event) => {
      if ((event.target as Element).closest('[data-do="stop"]') !== null) this.stop();
    });
    answered(this);
  }

  private async test(): Promise<void> {
    const ladder = this.spot("ladder");
    ladder.replaceChildren();
    this.spot("untested").hidden = true;
    this.spot("read").hidden = true;
    const device = this.field("device")!.value;
    history.replaceState(history.state, "", `?device=${encodeURIComponent(device)}`);
    for await (const { event, data } of this.streamed("/v1/tests/device", { device })) {
      if (event !== "rung") continue;
      const rung = data as Rung;
      this.show(ladder, rung);
      const read = rung.details.tags;
      if (read !== undefined && read.length > 0) {
        this.spot("values").replaceChildren(...read.map(rowOf));
        this.spot("read").hidden = false;
      }
    }
  }
}

function rowOf(reading: Reading): HTMLTableRowElement {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.className = "break";
  head.textContent = reading.tag;
  const value = document.createElement("td");
  value.className = "number";
  const shown = reading.value === null ? "–" : typeof reading.value === "object" ? JSON.stringify(reading.value) : String(reading.value);
  value.textContent = reading.unit !== null && reading.value !== null ? `${shown} ${reading.unit}` : shown;
  const severity = reading.quality >>> 30;
  const kind = severity === 0 ? "good" : severity === 1 ? "uncertain" : "bad";
  const mark = document.createElement("span");
  mark.className = `state ${kind}`;
  mark.append(icon(kind), words(reading.quality_name));
  const quality = document.createElement("td");
  quality.append(mark);
  if (reading.message !== null) {
    const why = document.createElement("p");
    why.className = "muted break";
    why.textContent = reading.message;
    quality.append(why);
  }
  row.append(head, value, quality);
  return row;
}

customElements.define("device-test", DeviceTest);
